"""Part 2: bottleneck features of a network that already knows how to see.

VGG16 learnt on 1.2 million ImageNet photos what edges, fur, eyes and ears look like. Part 2 borrows that:
it sends every photo once through VGG16's convolution layers, keeps what comes out at their end (the
bottleneck features, 4 x 4 x 512 numbers a photo), and trains only a small top model on them. The
slow network runs once over each photo instead of once an epoch, so fifty epochs take seconds; the price is
that the photos cannot be augmented, since each has just one set of features.
"""

import sys

from tutorial.command_line import TutorialError, part_parser, part_settings, run, same_choices
from tutorial.photos import RESCALE, VGG16, PhotoFiles, find_photos, find_test

image_size = 150  # pixels a side; part 3 goes on with the same

settings = {  # the texts' numbers, and those of --recipe improved
    "epochs": (50, 50),  # times that the top model sees the features of every training photo
    "batch_size": (16, 32),  # photos a step
    "dropout": (0.5, 0.5),  # share of the features, or of what is made of them, that each step does without
    "smoothing": (None, 0.0),  # share of a label that is spread over all classes
    "learning_rate": (0.001, 0.003),
    "weight_decay": (None, 0.01),
    "fade": (None, True),  # steps grow in the first epoch and then fade to nothing
    "average": (None, 0.99),  # of each weight over the last hundred steps or so, rather than where it happens to be
    "balance": (None, True),  # a class with fewer photos counts as much as one with more
    "enlarged": (None, 224),  # pixels a side of a second look at each photo: the size that VGG16 learnt from
    "average_places": (False, True),  # the top model sees averages over the photo's places, and not each place
    "own_preprocessing": (None, True),  # colours as VGG16 learnt them, and not as 0 to 1
    "mirrored": (False, True),  # train on mirror images too, and answer with the mean of a photo's and its mirror's
}


def main() -> None:
    """Run part 2."""
    example = "python fine_tuning_VGG16_pt2.py --data data --recipe improved"
    args = part_parser("Part 2: train a top model on VGG16's bottleneck features.", example, settings).parse_args()
    s = part_settings(args)
    if s.enlarged not in (None, image_size) and not s.average_places:
        raise TutorialError(
            f"--set average_places=False needs --set enlarged={image_size}: places differ with the size."
        )

    # ---- The photos ----------------------------------------------------------------------------
    train_files, validation_files = find_photos(args.data)
    test_files = find_test(args.data, train_files)

    # Only now, since TensorFlow takes seconds to load and a wrong --data should not.
    import numpy as np

    from tutorial.backend import keras
    from tutorial.batches import Batches
    from tutorial.calibration import class_probabilities
    from tutorial.checkpoint import Checkpoint
    from tutorial.familiarity import familiarity
    from tutorial.features import bottleneck_features
    from tutorial.networks import averaging, looks, loss_function, targets, top_model, vgg16_base
    from tutorial.training import Outcome, class_weights, fading_steps, prepare, print_found, save_outcome, train

    print_found((train_files, validation_files, test_files), prepare(args))

    # ---- Bottleneck features -------------------------------------------------------------------
    # No augmentation here, and no shuffling: the features stay in the order of their labels. The improved recipe looks
    # at each photo's mirror image too, and at both enlarged: four sets of features a photo.
    base = vgg16_base(image_size)
    if s.average_places:  # the top model begins with the averages, so they are all that has to be kept
        base = averaging(base)
    preprocessing = VGG16 if s.own_preprocessing else RESCALE

    def features(files: PhotoFiles) -> tuple[list[np.ndarray], PhotoFiles]:
        found = []
        for number, look in enumerate(looks(base, s.enlarged)):
            for mirrored in (False, True) if s.mirrored else (False,):
                name = f"{files.folder.name}{'_enlarged' * number}{'_mirrored' * mirrored}"
                kept = args.weights_dir / f"bottleneck_features_{name}.npz"
                one, used = bottleneck_features(look, files, kept, preprocessing, mirrored)
                found.append(one)
        return found, used

    train_features, train_files = features(train_files)
    validation_features, validation_files = features(validation_files)
    shape = base.output_shape[1:]
    print(f"bottleneck features: {' x '.join(map(str, shape))} numbers a photo")

    # ---- The top model -------------------------------------------------------------------------
    classes = len(train_files.class_names)
    top = top_model(shape, classes, s.average_places, s.dropout)
    labels = np.concatenate([targets(train_files.labels, classes)] * len(train_features))
    if args.recipe == "tutorial":
        optimizer = keras.optimizers.RMSprop(s.learning_rate)
    else:
        optimizer = fading_steps(s, len(labels))
    top.compile(optimizer=optimizer, loss=loss_function(classes, s.smoothing), metrics=["accuracy"])
    print(f"top model: {top.count_params():,} parameters, learnt from these photos")
    learnt_from = np.concatenate(train_features) if len(train_features) > 1 else train_features[0]
    training = Batches(learnt_from, labels, s.batch_size, args.seed)
    validation = Batches(validation_features[0], targets(validation_files.labels, classes), s.batch_size)
    checkpoint = Checkpoint(args, "bottleneck_fc_model", s, training, validation)
    weights = class_weights(train_files) if s.balance else None
    history = train(top, training, validation, s.epochs, checkpoint, weights)

    # ---- What came of it -----------------------------------------------------------------------
    # The validation photos have chosen (the settings, how sure to be), so they flatter the model a little. Test
    # photos, where there are any, are looked at here for the first time.
    def answers(found: list[np.ndarray]) -> np.ndarray:
        return np.mean([class_probabilities(top.predict_on_batch(one)) for one in found], axis=0)

    files, judged = [train_files, validation_files], {"validation": answers(validation_features)}
    if test_files:
        test_features, test_files = features(test_files)
        files, judged = [*files, test_files], judged | {"test": answers(test_features)}
    known = None
    if args.recipe != "tutorial":
        known = familiarity(train_features[0].mean(axis=(1, 2)), train_files.labels)
    title = "Part 2: top model on bottleneck features"
    outcome = Outcome("bottleneck_fc_model", title, top, history, files, judged, known, preprocessing, s.mirrored)
    save_outcome(outcome, image_size, args, s, checkpoint)
    print(f"next: python fine_tuning_VGG16_pt3.py{same_choices(args)}")


if __name__ == "__main__":
    sys.exit(run(main, continues=True))
