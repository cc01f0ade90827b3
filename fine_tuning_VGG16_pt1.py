"""Part 1: train a small convnet from scratch.

The first model of the Keras blog post "Building powerful image classification models using very little data". Data
augmentation and dropout limit its overfitting; parts 2 and 3 improve on it.

    data/train/<class>/*.jpg          training photos, one folder for each of two or more classes
    data/validation/<class>/*.jpg     validation photos of the same classes

    python fine_tuning_VGG16_pt1.py --data data
    python fine_tuning_VGG16_pt1.py --data data --recipe improved
"""

import sys
from typing import Any

from tools.report import write_report
from tutorial.augmentation import AugmentedImages, Images, save_preview
from tutorial.checkpoint import Checkpoint
from tutorial.cli import echo, run
from tutorial.dataset import load_images
from tutorial.devices import replicas
from tutorial.evaluation import evaluate, predict_data, save_model
from tutorial.recipes import same_flags
from tutorial.training import TrainingProgress, accuracy, class_weights, start

import keras
from keras import layers
from keras.optimizers import Adam, RMSprop, schedules

IMAGE_SIZE = 150  # photos are resized to 150 x 150
RECIPES = {  # what a recipe does not name is off; --set changes any value, e.g. --set augmentation.zoom_range=0.3
    "original": dict(  # the blog post's, with 30 epochs instead of 50
        network="small_convnet", epochs=30, batch_size=16, dropout=0.5,
        optimizer="rmsprop", learning_rate=0.001,
        augmentation=dict(shear_range=0.2, zoom_range=0.2, horizontal_flip=True),  # shear in radians
    ),
    "improved": dict(
        network="batchnorm_convnet", epochs=100, batch_size=32, dropout=0.3, class_weights=True,
        optimizer="adam", learning_rate=0.001, cosine_decay=True,  # of the learning rate, to 0
        augmentation=dict(  # rotation in degrees, shear in radians, the others are fractions
            shear_range=0.2, zoom_range=0.2, horizontal_flip=True, rotation_range=15.0, shift_range=0.1,
            brightness=0.15, contrast=0.2, random_erasing=0.3, mixup_alpha=0.4,
        ),
        flip_tta=True, calibration=True,  # average the predictions for the photo and its horizontal flip
    ),
}  # fmt: skip


def small_convnet(num_classes: int, dropout: float = 0.5, image_size: int = IMAGE_SIZE) -> keras.Model:
    """The blog post's network: 1,212,513 parameters for two classes, most of them between Flatten and Dense."""
    return keras.Sequential([
        keras.Input((image_size, image_size, 3)),
        layers.Conv2D(32, 3, activation="relu"),
        layers.MaxPooling2D(2),
        layers.Conv2D(32, 3, activation="relu"),
        layers.MaxPooling2D(2),
        layers.Conv2D(64, 3, activation="relu"),
        layers.MaxPooling2D(2),
        layers.Flatten(),  # 17 x 17 x 64 feature maps become one vector
        layers.Dense(64, activation="relu"),
        layers.Dropout(dropout),
        output_layer(num_classes),  # Dense(1, activation="sigmoid") for two classes
    ], name="small_convnet")  # fmt: skip


def batchnorm_convnet(num_classes: int, dropout: float = 0.3, image_size: int = IMAGE_SIZE) -> keras.Model:
    """Batch normalization, and global average pooling instead of Flatten: 391,649 parameters."""
    network = keras.Sequential([keras.Input((image_size, image_size, 3))], name="batchnorm_convnet")
    for filters, kernel_size, strides in ((32, 5, 2), (64, 3, 1), (128, 3, 1), (256, 3, 1)):
        network.add(layers.Conv2D(filters, kernel_size, strides, padding="same", use_bias=False))
        network.add(layers.BatchNormalization(momentum=0.9, synchronized=replicas() > 1))  # on several GPUs
        network.add(layers.ReLU())
        network.add(layers.MaxPooling2D(2) if filters < 256 else layers.GlobalAveragePooling2D())
    network.add(layers.Dropout(dropout))
    network.add(output_layer(num_classes))
    return network


def output_layer(num_classes: int, **options: Any) -> layers.Layer:
    """One sigmoid unit for two classes, as in the blog post; a softmax for more. ``options`` are those of Dense."""
    units, activation = (1, "sigmoid") if num_classes == 2 else (num_classes, "softmax")
    return layers.Dense(units, activation=activation, dtype="float32", **options)  # in mixed precision, too


NETWORKS = {"small_convnet": small_convnet, "batchnorm_convnet": batchnorm_convnet}


def main() -> None:
    """Train, evaluate and save the convnet."""
    args, s = start(__doc__, RECIPES, several_gpus=True)  # the flags, and the settings of the recipe

    # Data: newly augmented images in every epoch for training, unchanged ones for validation; pixels in 0..1
    train, validation, test = load_images(args.data, IMAGE_SIZE, args.weights_dir)
    train_data = AugmentedImages(train, s.batch_size, args.seed, **s.augmentation)
    validation_data = Images(validation, s.batch_size)
    save_preview(train, args.weights_dir / "preview", count=20, seed=args.seed)  # stronger than in training

    # Network
    num_classes = len(train.class_names)
    model = NETWORKS[s.network](num_classes, s.dropout)
    rate = schedules.CosineDecay(s.learning_rate, s.epochs * len(train_data)) if s.cosine_decay else s.learning_rate
    model.compile(
        loss="binary_crossentropy" if num_classes == 2 else "categorical_crossentropy",
        optimizer=Adam(rate) if s.optimizer == "adam" else RMSprop(rate),
        metrics=[accuracy],  # as Keras's "accuracy", also for labels that mixup has blended
    )
    echo(f"{s.network}: {model.count_params():,} parameters")

    # Training; if it is interrupted, the same command resumes after the last finished epoch
    weights_file = args.weights_dir / "small_convnet.weights.h5"
    checkpoint = Checkpoint(weights_file, args, s, train_data, validation_data)
    model.fit(
        train_data, validation_data=validation_data,
        epochs=s.epochs, initial_epoch=checkpoint.restore(model, train_data),
        class_weight=class_weights(train) if s.class_weights else None,
        callbacks=[TrainingProgress(), checkpoint], shuffle=False, verbose=2,  # train_data shuffles
    )  # fmt: skip

    # Evaluate; save the weights and everything else that predict.py needs in one file
    results = evaluate(
        lambda photos: predict_data(model, Images(photos, s.batch_size), s.flip_tta)[0], validation, test, s.calibration
    )
    save_model(weights_file, model, args, s, train, results, checkpoint)
    if args.report:
        write_report(args.weights_dir, args.data)
    echo(f"next: python fine_tuning_VGG16_pt2.py{same_flags(args)}")


if __name__ == "__main__":
    sys.exit(run(main, resumable=True))
