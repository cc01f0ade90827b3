"""Part 3: fine-tune VGG16's last convolutional block.

Part 2 used VGG16 unchanged. Here its trained top model is put on VGG16, and both are trained further, but of VGG16 only
the last block: the first blocks detect edges and textures, which all photos have in common. Two more things protect
VGG16's weights: the top model is already trained (a random one would send large gradients back), and the learning rate
is small.

    python fine_tuning_VGG16_pt3.py --data data                       after part 2 with the same folders and recipe
    python fine_tuning_VGG16_pt3.py --data data --recipe improved
"""

import math
import sys

from fine_tuning_VGG16_pt2 import top_model
from tools.report import write_report
from tutorial.activations import cached_activations
from tutorial.augmentation import AugmentedImages, Images
from tutorial.checkpoint import Checkpoint
from tutorial.cli import TutorialError, command_line, echo, run
from tutorial.dataset import Photos, load_images
from tutorial.evaluation import evaluate, predict_data, save_model
from tutorial.imagenet_weights import imagenet_weights
from tutorial.model_file import WeightsFile
from tutorial.recipes import same_flags
from tutorial.training import TrainingProgress, class_weights, start

import keras
import numpy as np
from keras.optimizers import SGD, Adam

RECIPES = {  # what a recipe does not name is off; --set changes any value, e.g. --set augmentation.zoom_range=0.3
    "original": dict(  # the blog post's, with 30 epochs instead of 50
        epochs=30, batch_size=16, dropout=0.5,
        optimizer="sgd", learning_rate=0.0001, momentum=0.9,
        augmentation=dict(shear_range=0.2, zoom_range=0.2, horizontal_flip=True),  # shear in radians
        cached_copies=4,  # augmented copies of each photo that take turns; 0: new ones in every epoch
    ),
    "improved": dict(
        steps=250, batch_size=16,  # instead of epochs: many photos need fewer passes than few
        optimizer="adam", learning_rate=0.00001, class_weights=True,
        augmentation=dict(shear_range=0.2, zoom_range=0.2, horizontal_flip=True),
        cached_copies=4, calibration=True, out_of_distribution=True,  # detect photos unlike the training photos
    ),
}  # fmt: skip


def main() -> None:
    """Fine-tune, evaluate and save VGG16 with its top model."""
    args, s = start(__doc__, RECIPES, mixed_precision=True, several_gpus=True)

    # What part 2 has saved
    command = f"python fine_tuning_VGG16_pt2.py{same_flags(args)}"
    top_file = args.weights_dir / "bottleneck_fc_model.weights.h5"
    if not top_file.exists():
        raise TutorialError(f"part 3 starts from part 2's {top_file}, which does not exist; run first: {command}")
    saved = WeightsFile(top_file)
    part2 = saved.info
    train, validation, test = load_images(args.data, part2.image_size, args.weights_dir)
    if (part2.model, part2.recipe, part2.class_names) != ("bottleneck_fc_model", args.recipe, list(train.class_names)):
        raise TutorialError(
            f"{top_file} is a {part2.model} ({part2.recipe}) for {' and '.join(part2.class_names)}, not part 2's top "
            f"model ({args.recipe}) for {' and '.join(train.class_names)}; run first: {command}"
        )
    s.pooling = part2.settings["pooling"]  # saved with the model: predict.py builds the same network

    # VGG16 without its classifier, as trained on ImageNet, and part 2's trained top model on it
    base = keras.applications.VGG16(
        weights=imagenet_weights(), include_top=False, pooling=s.pooling or None,
        input_shape=(part2.image_size, part2.image_size, 3),
    )  # fmt: skip
    num_classes = len(train.class_names)
    top = top_model(base.output_shape[1:], num_classes, s.dropout)
    saved.load_weights(top)
    saved.check_held_out((validation, test), command)  # stops if part 2 was trained on any of these photos
    model = keras.Model(base.input, top(base.output), name="vgg16_with_top")

    # Freeze blocks 1 to 4; this has to come before compile
    for layer in base.layers:
        layer.trainable = layer.name.startswith("block5_")
    trained = sum(np.prod(weight.shape) for weight in model.trainable_weights)
    echo(f"VGG16 with top model: {model.count_params():,} parameters, {trained:,} of them trained")

    # Data: augmented again, since block 5 sees the photos and not only their features
    train_data = AugmentedImages(train, s.batch_size, args.seed, part2.preprocessing, **s.augmentation)
    validation_data = Images(validation, s.batch_size, part2.preprocessing)
    weights_file = args.weights_dir / "fine_tuned_vgg16.weights.h5"
    s.epochs = s.epochs or math.ceil(s.steps / len(train_data))
    s.cached_copies = min(s.cached_copies, s.epochs)  # an epoch uses one copy
    checkpoint = Checkpoint(weights_file, args, s, train_data, validation_data, top.get_weights())

    # The frozen blocks' output for an image never changes, so it is computed once for a few augmented copies of each
    # photo, and only block 5 and the top model run in every epoch. `trained_layers` shares its weights with `model`.
    trained_layers = model
    cached = cached_activations(base, train_data, validation_data, s.cached_copies, args.weights_dir / "activations")
    if cached:  # otherwise (on a GPU, with --cached-copies 0, on a full disk) every epoch has new copies
        train_data, validation_data = cached
        trained_layers = keras.Model(base.get_layer("block4_pool").output, model.output)
    trained_layers.compile(
        loss="binary_crossentropy" if num_classes == 2 else "categorical_crossentropy",
        optimizer=Adam(s.learning_rate) if s.optimizer == "adam" else SGD(s.learning_rate, s.momentum),
        metrics=["accuracy"],
    )

    # Training; if it is interrupted, the same command resumes after the last finished epoch
    trained_layers.fit(
        train_data, validation_data=validation_data,
        epochs=s.epochs, initial_epoch=checkpoint.restore(trained_layers, train_data),
        class_weight=class_weights(train) if s.class_weights else None,
        callbacks=[TrainingProgress(), checkpoint], shuffle=False, verbose=2,  # train_data shuffles
    )  # fmt: skip

    # Evaluate; save the weights and everything else that predict.py needs in one file
    def predictions(photos: Photos) -> np.ndarray:
        data = validation_data if photos is validation else Images(photos, s.batch_size, part2.preprocessing)
        return predict_data(model, data)[0]

    results = evaluate(predictions, validation, test, s.calibration)
    features = predict_data(model, train_data)[1] if s.out_of_distribution else None
    save_model(weights_file, model, args, s, train, results, checkpoint, part2.preprocessing, features)
    if args.report:
        write_report(args.weights_dir, args.data)
    echo(f"next: {command_line('python', 'predict.py', '--weights', str(weights_file))} PHOTO")


if __name__ == "__main__":
    sys.exit(run(main, resumable=True))
