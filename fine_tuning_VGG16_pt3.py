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
import time

from tutorial.command_line import TutorialError, count_or_zero, part_parser, run, same_folders
from tutorial.photos import find_photos, load_photos
from tutorial.weights_file import FILES, load_weights, read_about

# Settings: the texts' numbers
epochs = 30  # times that every training photo is seen
batch_size = 16  # photos a step
learning_rate, momentum = 1e-4, 0.9  # small steps, so that block 5 is adapted and not overwritten
shear, zoom = 0.2, 0.2  # training views: sheared by up to 0.2 radians, 20 % larger to 20 % smaller ...
flip = True  # ... and every other one mirrored
views = 4  # views of each photo that take turns; 0: a fresh one every epoch, as in the texts, four times slower


def main() -> None:
    """Run part 3."""
    p = part_parser(
        "Part 3: fine-tune VGG16's last convolution block, starting from part 2's top model.",
        "python fine_tuning_VGG16_pt3.py --data data --epochs 30",
        epochs,
        batch_size,
    )
    text = "views of each training photo that take turns; 0: a fresh one every epoch (default: %(default)s)"
    p.add_argument("--views", type=count_or_zero, metavar="N", default=views, help=text)
    args = p.parse_args()

    # ---- The photos, and what part 2 left ------------------------------------------------------
    train_files, validation_files = find_photos(args.data)
    name, command = FILES["bottleneck_fc_model"]
    command += same_folders(args)
    top_weights = args.weights_dir / name
    if not top_weights.exists():
        raise TutorialError(f"part 3 starts from part 2's {top_weights}, which is not there; run first: {command}")
    about = read_about(top_weights)
    if about.model != "bottleneck_fc_model" or about.class_names != list(train_files.class_names):
        raise TutorialError(
            f"{top_weights} is a {about.model} for {' and '.join(about.class_names)}, not part 2's top model for "
            f"{' and '.join(train_files.class_names)}; run first: {command}"
        )
    image_size = about.image_size

    # Only now, since TensorFlow takes seconds to load and a wrong flag should not.
    from tutorial.augmentation import Augmentation, Batches
    from tutorial.backend import keras
    from tutorial.networks import freeze_up_to_last_block, split_at_last_block, top_model, vgg16_base, with_top
    from tutorial.training import prepare, print_found, save_outcome, train, use_tensor_cores
    from tutorial.views import kept_views

    start = time.monotonic()
    print_found(train_files, validation_files, prepare(args.seed))
    use_tensor_cores()
    train_pixels, train_files = load_photos(train_files, image_size)
    validation_pixels, validation_files = load_photos(validation_files, image_size)

    # ---- The network: VGG16, and part 2's top model on it --------------------------------------
    base = vgg16_base(image_size)
    top = top_model(base.output_shape[1:])
    load_weights(top, top_weights)
    network = with_top(base, top)
    freeze_up_to_last_block(base)  # before compile, which takes note of what is trainable
    trained = sum(math.prod(weight.shape) for weight in network.trainable_weights)
    print(f"VGG16 with top: {network.count_params():,} parameters, {trained:,} trained: block 5 and the top model")

    # ---- Training ------------------------------------------------------------------------------
    # Augmentation is back, since block 5 sees the photos and no longer only their features.
    training = Batches(
        train_pixels,
        train_files.labels,
        args.batch_size,
        Augmentation(shear=shear, zoom=zoom, flip=flip),
        args.seed,
    )
    validation = Batches(validation_pixels, validation_files.labels, args.batch_size)
    # The frozen blocks always say the same of the same view, so they are asked once, and training goes on from
    # what they said: their weights are in `network` all the same, and so is what block 5 and the top learn.
    args.views = min(args.views, args.epochs)
    frozen, last_block = split_at_last_block(base)
    kept = kept_views(frozen, training, validation, args.views, args.weights_dir / "block4")
    if kept:
        training, validation = kept
        trained_part = with_top(last_block, top)
    else:
        args.views, trained_part = 0, network
    trained_part.compile(
        optimizer=keras.optimizers.SGD(learning_rate, momentum=momentum),
        loss="binary_crossentropy",
        metrics=["accuracy"],
    )
    history = train(trained_part, training, validation, args.epochs)

    # ---- What came of it -----------------------------------------------------------------------
    files = train_files, validation_files
    save_outcome(network, history, "fine_tuned_vgg16", "Part 3: fine-tuned VGG16", image_size, files, args, start)
    print(f"next: python predict.py --weights {args.weights_dir / FILES['fine_tuned_vgg16'][0]} PHOTO")


if __name__ == "__main__":
    sys.exit(run(main))
