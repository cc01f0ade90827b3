"""Part 3: fine-tuning the last convolution block of VGG16.

Part 2 used VGG16 as it came. Part 3 puts part 2's trained top model back onto VGG16 and goes on training
the two together, but only VGG16's last block: the early blocks see edges and textures, which
cats share with everything on ImageNet, while the last block sees what is particular, and that may now
become particular to these two classes. Two things keep it from undoing what VGG16 knows: the top
model is already trained (an untrained one would send large random errors back into block 5), and
the steps are small: plain SGD at a learning rate of 0.0001.
"""

import math
import sys

from tutorial.command_line import TutorialError, count_or_zero, defaults, part_parser, part_settings, run, same_choices
from tutorial.photos import find_photos, find_test, load_photos
from tutorial.weights_file import FILES, load_weights, read_about

settings = {  # the texts' numbers, and those of --recipe improved
    "blocks": (1, 1),  # of VGG16's five, counted from the last, that go on training
    "epochs": (30, 8),  # times that every training photo is seen
    "batch_size": (16, 16),  # photos a step
    "views": (4, 4),  # of each photo, that take turns; 0: a fresh one every epoch, as in the texts, four times slower
    "rotation": (0.0, 15.0),  # training views: turned by up to so many degrees, ...
    "shift": (0.0, 0.1),  # ... shifted by up to a tenth, ...
    "shear": (0.2, 0.2),  # ... sheared by up to 0.2 radians, ...
    "zoom": (0.2, 0.2),  # ... 20 % larger to 20 % smaller, ...
    "flip": (True, True),  # ... every other one mirrored, ...
    "light": (0.0, 0.1),  # ... lighter or darker, ...
    "contrast": (0.0, 0.2),  # ... with more or less contrast, ...
    "erase": (0.0, 0.0),  # ... and every other one with a rectangle missing
    "learning_rate": (1e-4, 1e-4),  # small steps, so that block 5 is adapted and not overwritten
    "momentum": (0.9, None),
    "dropout": (0.5, 0.5),  # share of the features, or of what is made of them, that each step does without
    "weight_decay": (None, 0.01),
    "fade": (None, True),  # steps grow in the first epoch and then fade to nothing
    "average": (None, 0.99),  # of each weight over the last hundred steps or so, rather than where it happens to be
    "smoothing": (None, 0.0),  # share of a label that is spread over all classes
    "balance": (None, True),  # a class with fewer photos counts as much as one with more
    "mirrored": (False, True),  # answer with the mean of a photo's and its mirror image's
}


def main() -> None:
    """Run part 3."""
    text = "Part 3: fine-tune VGG16's last convolution block, starting from part 2's top model."
    p = part_parser(text, "python fine_tuning_VGG16_pt3.py --data data --recipe improved", settings)
    text = f"views of each training photo that take turns; 0: a fresh one every epoch ({defaults(settings['views'])})"
    p.add_argument("--views", type=count_or_zero, metavar="N", help=text)
    args = p.parse_args()
    s = part_settings(args)

    # ---- The photos, and what part 2 left ------------------------------------------------------
    train_files, validation_files = find_photos(args.data)
    test_files = find_test(args.data, train_files)
    name, command = FILES["bottleneck_fc_model"]
    command += same_choices(args)
    top_weights = args.weights_dir / name
    if not top_weights.exists():
        raise TutorialError(f"part 3 starts from part 2's {top_weights}, which is not there; run first: {command}")
    about = read_about(top_weights)
    made = about.model, about.recipe, about.class_names
    if made != ("bottleneck_fc_model", args.recipe, list(train_files.class_names)):
        raise TutorialError(
            f"{top_weights} is a {about.model} ({about.recipe}) for {' and '.join(about.class_names)}, not part 2's "
            f"top model ({args.recipe}) for {' and '.join(train_files.class_names)}; run first: {command}"
        )
    image_size = about.image_size

    # Only now, since TensorFlow takes seconds to load and a wrong flag should not.
    from tutorial.answers import judge, known_photos
    from tutorial.augmentation import augmentation
    from tutorial.backend import keras
    from tutorial.batches import PhotoBatches
    from tutorial.checkpoint import Checkpoint
    from tutorial.networks import (
        averaging,
        freeze_first_blocks,
        loss_function,
        split_after_first_blocks,
        targets,
        top_model,
        vgg16_base,
        with_top,
    )
    from tutorial.training import (
        Outcome,
        class_weights,
        fading_steps,
        prepare,
        print_found,
        save_outcome,
        train,
        use_tensor_cores,
    )
    from tutorial.views import kept_views

    print_found((train_files, validation_files, test_files), prepare(args))
    use_tensor_cores()
    train_pixels, train_files = load_photos(train_files, image_size)
    validation_pixels, validation_files = load_photos(validation_files, image_size)

    # ---- The network: VGG16, and part 2's top model on it --------------------------------------
    classes = len(train_files.class_names)
    # Its looks at a photo and its top are those of part 2.
    s.enlarged, s.average_places = about.settings.get("enlarged"), bool(about.settings.get("average_places"))
    base = vgg16_base(image_size)
    if s.average_places:
        base = averaging(base)
    top = top_model(base.output_shape[1:], classes, s.average_places, s.dropout)
    load_weights(top, top_weights)
    network = with_top(base, top, s.enlarged)
    freeze_first_blocks(base, s.blocks)  # before compile, which takes note of what is trainable
    trained = sum(math.prod(weight.shape) for weight in network.trainable_weights)
    blocks = "block 5" if s.blocks == 1 else f"the last {s.blocks} blocks"
    print(f"VGG16 with top: {network.count_params():,} parameters, {trained:,} trained: {blocks} and the top model")

    # ---- Training ------------------------------------------------------------------------------
    # Augmentation is back, since block 5 sees the photos and no longer only their features.
    preprocessing = about.preprocessing
    labels, validation_labels = (targets(files.labels, classes) for files in (train_files, validation_files))
    training = PhotoBatches(train_pixels, labels, s.batch_size, augmentation(s), args.seed, preprocessing)
    validation = PhotoBatches(validation_pixels, validation_labels, s.batch_size, preprocessing=preprocessing)
    checkpoint = Checkpoint(args, "fine_tuned_vgg16", s, training, validation, top.get_weights())
    # The frozen blocks always say the same of the same view, so they are asked once, and training goes on from
    # what they said: their weights are in `network` all the same, and so is what block 5 and the top learn.
    # Training looks at the photos as they are, a third of the work: asked with both looks, it answers as well.
    s.views = min(s.views, s.epochs)
    frozen, trained_part = split_after_first_blocks(base, top, s.blocks)
    kept = kept_views(frozen, training, validation, s.views, args.weights_dir / "frozen_blocks")
    if kept:
        training, validation = kept
    else:
        s.views, trained_part = 0, with_top(base, top)
    if args.recipe == "tutorial":
        optimizer = keras.optimizers.SGD(s.learning_rate, momentum=s.momentum)
    else:
        optimizer = fading_steps(s, len(labels))
    trained_part.compile(optimizer=optimizer, loss=loss_function(classes, s.smoothing), metrics=["accuracy"])
    weights = class_weights(train_files) if s.balance else None
    history = train(trained_part, training, validation, s.epochs, checkpoint, weights)

    # ---- What came of it -----------------------------------------------------------------------
    # The validation photos have chosen (the settings, how sure to be), so they flatter the model a little. Test
    # photos, where there are any, are looked at here for the first time.
    sets = {"validation": (validation_pixels, validation_files)}
    if test_files:
        sets["test"] = load_photos(test_files, image_size)
    files = [train_files, *(used for _, used in sets.values())]
    judged, known = judge(network, sets, preprocessing, s.mirrored), None
    if args.recipe != "tutorial":
        known = known_photos(network, train_pixels, train_files, preprocessing)
    title = "Part 3: fine-tuned VGG16"
    outcome = Outcome("fine_tuned_vgg16", title, network, history, files, judged, known, preprocessing, s.mirrored)
    save_outcome(outcome, image_size, args, s, checkpoint)
    print(f"next: python predict.py --weights {args.weights_dir / FILES['fine_tuned_vgg16'][0]} PHOTO")


if __name__ == "__main__":
    sys.exit(run(main, continues=True))
