"""Part 2: bottleneck features of a network that already knows how to see.

VGG16 learnt on 1.2 million ImageNet photos what edges, fur, eyes and ears look like. Part 2 borrows that:
it sends every photo once through VGG16's convolution layers, keeps what comes out at their end (the
bottleneck features, 4 x 4 x 512 numbers a photo), and trains only a small top model on them. The
slow network runs once over each photo instead of once an epoch, so fifty epochs take seconds; the price is
that the photos cannot be augmented, since each has just one set of features.
"""

import sys
import time

from tutorial.command_line import part_parser, run, same_folders
from tutorial.photos import find_photos

# Settings: the texts' numbers
image_size = 150  # pixels a side; part 3 goes on with the same
epochs = 50  # times that the top model sees the features of every training photo
batch_size = 16  # photos a step


def main() -> None:
    """Run part 2."""
    args = part_parser(
        "Part 2: train a top model on VGG16's bottleneck features.",
        "python fine_tuning_VGG16_pt2.py --data data --epochs 50",
        epochs,
        batch_size,
    ).parse_args()

    # ---- The photos ----------------------------------------------------------------------------
    train_files, validation_files = find_photos(args.data)

    # Only now, since TensorFlow takes seconds to load and a wrong --data should not.
    from tutorial.features import bottleneck_features
    from tutorial.networks import top_model, vgg16_base
    from tutorial.training import prepare, print_found, save_outcome, train

    start = time.monotonic()
    print_found(train_files, validation_files, prepare(args.seed))

    # ---- Bottleneck features -------------------------------------------------------------------
    # No augmentation here, and no shuffling: the features stay in the order of their labels.
    base = vgg16_base(image_size)
    train_kept = args.weights_dir / "bottleneck_features_train.npz"
    validation_kept = args.weights_dir / "bottleneck_features_validation.npz"
    train_features, train_files = bottleneck_features(base, train_files, train_kept, args.batch_size)
    validation_features, validation_files = bottleneck_features(
        base, validation_files, validation_kept, args.batch_size
    )
    print(f"bottleneck features: {' x '.join(map(str, train_features.shape[1:]))} numbers a photo")

    # ---- The top model -------------------------------------------------------------------------
    top = top_model(train_features.shape[1:])
    top.compile(optimizer="rmsprop", loss="binary_crossentropy", metrics=["accuracy"])
    print(f"top model: {top.count_params():,} parameters, learnt from these photos")
    history = train(
        top,
        (train_features, train_files.labels),
        (validation_features, validation_files.labels),
        args.epochs,
        args.batch_size,
    )

    # ---- What came of it -----------------------------------------------------------------------
    files = train_files, validation_files
    title = "Part 2: top model on bottleneck features"
    save_outcome(top, history, "bottleneck_fc_model", title, image_size, files, args, start)
    print(f"next: python fine_tuning_VGG16_pt3.py{same_folders(args)}")


if __name__ == "__main__":
    sys.exit(run(main))
