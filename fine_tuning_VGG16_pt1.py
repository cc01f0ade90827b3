"""Part 1: a small convnet, trained from scratch on very little data.

Three convolution layers and two dense ones learn to tell two classes of photos apart with nothing
to go on but the photos themselves. Two things hold back the overfitting that so little data invites:
augmentation, which shows the network a slightly different view of each photo every time, and
dropout, which keeps it from leaning on any one feature. It is the baseline that parts 2 and 3 beat.

    data/train/<class>/*.jpg            the photos to learn from, one folder for each of two classes or more
    data/validation/<class>/*.jpg       others of the same classes, to see how well it learnt
"""

import sys

from tutorial.command_line import part_parser, part_settings, run, same_choices
from tutorial.photos import RESCALE, find_photos, find_test, load_photos

image_size = 150  # pixels a side; every photo is squeezed into this square
preview_count = 20  # views of one photo that are saved to look at

settings = {  # the texts' numbers, and those of --recipe improved
    "epochs": (30, 100),  # times that every training photo is seen
    "batch_size": (16, 32),  # photos a step
    "rotation": (0.0, 15.0),  # training views: turned by up to so many degrees, ...
    "shift": (0.0, 0.1),  # ... shifted by up to a tenth, ...
    "shear": (0.2, 0.2),  # ... sheared by up to 0.2 radians, ...
    "zoom": (0.2, 0.2),  # ... 20 % larger to 20 % smaller, ...
    "flip": (True, True),  # ... every other one mirrored, ...
    "light": (0.0, 0.15),  # ... lighter or darker, ...
    "contrast": (0.0, 0.2),  # ... with more or less contrast, ...
    "erase": (0.0, 0.3),  # ... and every other one with a rectangle of up to 0.3 of the side missing
    "mix": (0.0, 0.4),  # each view blended with another, and its label too: mixup's alpha, 0 for none
    "dropout": (0.5, 0.3),  # share of the last features that each step does without
    "learning_rate": (0.001, 0.001),
    "weight_decay": (None, 0.1),
    "fade": (None, True),  # steps grow in the first epoch and then fade to nothing
    "average": (None, 0.99),  # of each weight over the last hundred steps or so, rather than where it happens to be
    "smoothing": (None, 0.0),  # share of a label that is spread over all classes
    "balance": (None, True),  # a class with fewer photos counts as much as one with more
    "mirrored": (False, True),  # answer with the mean of a photo's and its mirror image's
}


def main() -> None:
    """Run part 1."""
    example = "python fine_tuning_VGG16_pt1.py --data data --recipe improved"
    args = part_parser("Part 1: train a small convnet from scratch.", example, settings).parse_args()
    s = part_settings(args)

    # ---- The photos ----------------------------------------------------------------------------
    train_files, validation_files = find_photos(args.data)
    test_files = find_test(args.data, train_files)

    # Only now, since TensorFlow takes seconds to load and a wrong --data should not.
    import numpy as np

    from tutorial.answers import judge
    from tutorial.augmentation import augmentation, views_to_look_at
    from tutorial.backend import keras
    from tutorial.batches import PhotoBatches
    from tutorial.checkpoint import Checkpoint
    from tutorial.networks import accuracy, loss_function, small_convnet, targets
    from tutorial.pictures import save_jpeg, save_sheet
    from tutorial.training import Outcome, class_weights, fading_steps, prepare, print_found, save_outcome, train

    print_found((train_files, validation_files, test_files), prepare(args))
    train_pixels, train_files = load_photos(train_files, image_size)
    validation_pixels, validation_files = load_photos(validation_files, image_size)

    # ---- Augmentation, to look at --------------------------------------------------------------
    views = views_to_look_at(train_pixels[0], preview_count, args.seed)
    for i, view in enumerate(views, 1):
        save_jpeg(view, args.weights_dir / "preview" / f"view_{i:02}.jpg")
    sheet = args.weights_dir / "preview.png"
    save_sheet(np.concatenate([train_pixels[:1], views]), sheet)
    print(f"{preview_count} views of {train_files.paths[0]}: {sheet} (the first is the photo itself)")

    # ---- The network ---------------------------------------------------------------------------
    classes = len(train_files.class_names)
    network = small_convnet(image_size, classes, args.recipe, s.dropout)
    if args.recipe == "tutorial":
        optimizer = keras.optimizers.RMSprop(s.learning_rate)
    else:
        optimizer = fading_steps(s, len(train_pixels))
    network.compile(optimizer=optimizer, loss=loss_function(classes, s.smoothing), metrics=[accuracy])
    print(f"small convnet: {network.count_params():,} parameters, all of them learnt from these photos")

    # ---- Training ------------------------------------------------------------------------------
    # Each epoch sees new views of the training photos. The validation photos are never augmented:
    # they stand for the photos that the model will be asked about.
    labels, validation_labels = (targets(files.labels, classes) for files in (train_files, validation_files))
    training = PhotoBatches(train_pixels, labels, s.batch_size, augmentation(s), args.seed, mix=s.mix)
    validation = PhotoBatches(validation_pixels, validation_labels, s.batch_size)
    checkpoint = Checkpoint(args, "small_convnet", s, training, validation)
    weights = class_weights(train_files) if s.balance else None
    history = train(network, training, validation, s.epochs, checkpoint, weights)

    # ---- What came of it -----------------------------------------------------------------------
    # The validation photos have chosen (the settings, how sure to be), so they flatter the model a little. Test
    # photos, where there are any, are looked at here for the first time.
    sets = {"validation": (validation_pixels, validation_files)}
    if test_files:
        sets["test"] = load_photos(test_files, image_size)
    files = [train_files, *(used for _, used in sets.values())]
    judged = judge(network, sets, RESCALE, s.mirrored)
    title = "Part 1: small convnet"
    outcome = Outcome("small_convnet", title, network, history, files, judged, mirrored=s.mirrored)
    save_outcome(outcome, image_size, args, s, checkpoint)
    print(f"next: python fine_tuning_VGG16_pt2.py{same_choices(args)}")


if __name__ == "__main__":
    sys.exit(run(main, continues=True))
