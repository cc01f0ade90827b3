"""Part 3: fine-tune VGG16's last convolutional block.

Part 2 used VGG16 as it was. Here part 2's trained top model is put back on VGG16, and both are trained further, VGG16
in its last block only: the first blocks detect edges and textures, which cats share with everything on ImageNet, while
block 5 detects what is specific. Two things protect VGG16's pretrained weights: the top model is already trained (a
randomly initialized one would send large gradients back into block 5), and the learning rate is small.

    python fine_tuning_VGG16_pt3.py --data data                       after part 2 with the same flags
    python fine_tuning_VGG16_pt3.py --data data --recipe improved
"""

import sys

from fine_tuning_VGG16_pt2 import top_model
from tools.report import write_report
from tutorial.activations import cached_activations
from tutorial.augmentation import AugmentedImages, Images
from tutorial.checkpoint import Checkpoint
from tutorial.cli import TutorialError, echo, run
from tutorial.dataset import load_images
from tutorial.evaluation import evaluate, features_of, predictor, save_model
from tutorial.imagenet_weights import imagenet_weights
from tutorial.model_file import FILES, WeightsFile
from tutorial.recipes import same_flags
from tutorial.training import adamw, class_weights, start, training_callbacks
from tutorial.vgg16 import attach_top, split_at_block5

import keras

RECIPES = {  # what a recipe does not name is off; --set changes any value, e.g. --set augmentation.zoom_range=0.3
    "original": dict(  # the blog post's
        epochs=30, batch_size=16, dropout=0.5,
        optimizer="sgd", learning_rate=0.0001, momentum=0.9,
        augmentation=dict(shear_range=0.2, zoom_range=0.2, horizontal_flip=True),  # shear in radians
        cached_copies=4,  # augmented copies of each photo that take turns; 0: new ones in every epoch
    ),
    "improved": dict(
        epochs=8, batch_size=16, dropout=0.5,
        optimizer="adamw", learning_rate=0.0001, cosine_decay=True, weight_decay=0.01,
        ema_momentum=0.99, class_weights=True,  # validate and save a moving average of the weights
        augmentation=dict(
            shear_range=0.2, zoom_range=0.2, horizontal_flip=True, rotation_range=15.0, shift_range=0.1,
            brightness=0.1, contrast=0.2,
        ),
        cached_copies=4,
        flip_tta=True, calibration=True,  # average the predictions for the photo and its horizontal flip
        out_of_distribution=True,  # detect photos that differ from all training photos
    ),
}  # fmt: skip


def main() -> None:
    """Fine-tune, evaluate and save VGG16 with its top model."""
    args, s = start(__doc__, RECIPES, mixed_precision=True)

    # What part 2 has saved
    name, command = FILES["bottleneck_fc_model"]
    top_file, command = args.weights_dir / name, command + same_flags(args)
    if not top_file.exists():
        raise TutorialError(f"part 3 starts from part 2's {top_file}, which does not exist; run first: {command}")
    saved = WeightsFile(top_file)
    part2 = saved.info
    train, validation, test = load_images(args.data, part2.image_size)
    if (part2.model, part2.recipe, part2.class_names) != ("bottleneck_fc_model", args.recipe, list(train.class_names)):
        raise TutorialError(
            f"{top_file} is a {part2.model} ({part2.recipe}) for {' and '.join(part2.class_names)}, not part 2's top "
            f"model ({args.recipe}) for {' and '.join(train.class_names)}; run first: {command}"
        )
    s.pooling, s.input_sizes = part2.settings["pooling"], tuple(part2.settings["input_sizes"])

    # VGG16 without its classifier, as trained on ImageNet, and part 2's top model on it
    image_shape = (part2.image_size, part2.image_size, 3)
    base = keras.applications.VGG16(weights=imagenet_weights(), include_top=False, input_shape=image_shape)
    num_classes = len(train.class_names)
    top = top_model((1, 1, 512) if s.pooling else base.output_shape[1:], num_classes, s.pooling, s.dropout)
    saved.load_weights(top)
    saved.check_held_out((validation, test), command)
    top_weights = top.get_weights()

    # Freeze blocks 1 to 4; this has to come before compile
    for layer in base.layers:
        layer.trainable = layer.name.startswith("block5_")
    model = attach_top(base, top, s.pooling, s.input_sizes)
    trained = sum(int(weight.value.shape.num_elements()) for weight in model.trainable_weights)
    echo(f"VGG16 with top model: {model.count_params():,} parameters, {trained:,} of them trained")

    # Data: augmented again, since block 5 sees the photos and not only their features
    train_data = AugmentedImages(train, s.batch_size, args.seed, part2.preprocessing, **s.augmentation)
    validation_data = Images(validation, s.batch_size, part2.preprocessing)
    weights_file = args.weights_dir / "fine_tuned_vgg16.weights.h5"
    s.cached_copies = min(s.cached_copies, s.epochs)
    checkpoint = Checkpoint(weights_file, args, s, train_data, validation_data, top_weights)

    # The frozen blocks' output for an image never changes, so it is computed once for a few augmented copies of each
    # photo, and only block 5 and the top model run in every epoch. `trainable` shares its weights with `model`.
    frozen, trainable = split_at_block5(base, top, s.pooling)
    cached = cached_activations(frozen, train_data, validation_data, s.cached_copies, args.weights_dir / "activations")
    if cached:
        train_data, validation_data = cached
    else:
        trainable = attach_top(base, top, s.pooling, [part2.image_size])
    trainable.compile(
        loss="binary_crossentropy" if num_classes == 2 else "categorical_crossentropy",
        optimizer=adamw(s, train_data)
        if s.optimizer == "adamw"
        else keras.optimizers.SGD(s.learning_rate, momentum=s.momentum),
        metrics=["accuracy"],
    )

    # Training; if it is interrupted, the same command resumes after the last finished epoch
    trainable.fit(
        train_data, validation_data=validation_data,
        epochs=s.epochs, initial_epoch=checkpoint.restore(trainable, train_data),
        class_weight=class_weights(train) if s.class_weights else None,
        callbacks=[*training_callbacks(s), checkpoint], shuffle=False, verbose=2,  # train_data is shuffled by seed
    )  # fmt: skip

    # Evaluation; then the weights, and all that predict.py needs to know, are saved in one file
    results = evaluate(predictor(model, part2.preprocessing, s.flip_tta), validation, test, s.calibration)
    features = features_of(model, train, part2.preprocessing) if s.out_of_distribution else None
    save_model(weights_file, model, args, s, train, results, checkpoint, part2.preprocessing, features)
    if args.report:
        write_report(args.weights_dir, args.data)
    echo(f"next: python predict.py --weights {weights_file} PHOTO")


if __name__ == "__main__":
    sys.exit(run(main, resumable=True))
