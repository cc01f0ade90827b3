"""Part 1: a small convnet, trained from scratch on very little data.

Three convolution layers and two dense ones learn to tell two classes of photos apart with nothing
to go on but the photos themselves. Two things hold back the overfitting that so little data invites:
augmentation, which shows the network a slightly different view of each photo every time, and
dropout, which keeps it from leaning on any one feature. It is the baseline that parts 2 and 3 beat.

    data/train/<class>/*.jpg            the photos to learn from, one folder for each of two classes
    data/validation/<class>/*.jpg       others of the same two classes, to see how well it learnt
"""

import sys
import time

from tutorial.command_line import part_parser, run, same_folders
from tutorial.photos import find_photos, load_photos

# Settings: the texts' numbers
image_size = 150  # pixels a side; every photo is squeezed into this square
epochs = 30  # times that every training photo is seen
batch_size = 16  # photos a step
shear, zoom = 0.2, 0.2  # training views: sheared by up to 0.2 radians, 20 % larger to 20 % smaller ...
flip = True  # ... and every other one mirrored
preview_count = 20  # views of one photo that are saved to look at


def main() -> None:
    """Run part 1."""
    args = part_parser(
        "Part 1: train a small convnet from scratch.",
        "python fine_tuning_VGG16_pt1.py --data data --epochs 30",
        epochs,
        batch_size,
    ).parse_args()

    # ---- The photos ----------------------------------------------------------------------------
    train_files, validation_files = find_photos(args.data)

    # Only now, since TensorFlow takes seconds to load and a wrong --data should not.
    import numpy as np

    from tutorial.augmentation import Augmentation, Batches, warp
    from tutorial.networks import small_convnet
    from tutorial.pictures import save_jpeg, save_sheet
    from tutorial.training import prepare, print_found, save_outcome, train

    start = time.monotonic()
    print_found(train_files, validation_files, prepare(args.seed))
    train_pixels, train_files = load_photos(train_files, image_size)
    validation_pixels, validation_files = load_photos(validation_files, image_size)

    # ---- Augmentation, to look at --------------------------------------------------------------
    # Rotated and shifted too, which the training is not, so that the eye sees what a warp can do.
    strong = Augmentation(rotation=40, shift=0.2, shear=0.2, zoom=0.2, flip=True)
    rng = np.random.default_rng(args.seed)
    views = warp(np.repeat(train_pixels[:1], preview_count, axis=0), strong.matrices(preview_count, rng))
    for i, view in enumerate(views, 1):
        save_jpeg(view, args.weights_dir / "preview" / f"view_{i:02}.jpg")
    sheet = args.weights_dir / "preview.png"
    save_sheet(np.concatenate([train_pixels[:1], views]), sheet)
    print(f"{preview_count} views of {train_files.paths[0]}: {sheet} (the first is the photo itself)")

    # ---- The network ---------------------------------------------------------------------------
    network = small_convnet(image_size)
    network.compile(optimizer="rmsprop", loss="binary_crossentropy", metrics=["accuracy"])
    print(f"small convnet: {network.count_params():,} parameters, all of them learnt from these photos")

    # ---- Training ------------------------------------------------------------------------------
    # Each epoch sees new views of the training photos. The validation photos are never augmented:
    # they stand for the photos that the model will be asked about.
    training = Batches(
        train_pixels,
        train_files.labels,
        args.batch_size,
        Augmentation(shear=shear, zoom=zoom, flip=flip),
        args.seed,
    )
    validation = Batches(validation_pixels, validation_files.labels, args.batch_size)
    history = train(network, training, validation, args.epochs)

    # ---- What came of it -----------------------------------------------------------------------
    files = train_files, validation_files
    save_outcome(network, history, "small_convnet", "Part 1: small convnet", image_size, files, args, start)
    print(f"next: python fine_tuning_VGG16_pt2.py{same_folders(args)}")


if __name__ == "__main__":
    sys.exit(run(main))
