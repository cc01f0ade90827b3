"""Part 2: train a top model on VGG16's bottleneck features.

VGG16's convolutional layers, trained on 1.2 million ImageNet photos, run once over every photo. Their output, the
bottleneck features, is cached, and only a small classifier, the top model, is trained on it. Fifty epochs take seconds;
the price is that the photos cannot be augmented, since each has only one set of features.

    data/train/<class>/*.jpg          training photos, one folder for each of two or more classes
    data/validation/<class>/*.jpg     validation photos of the same classes

    python fine_tuning_VGG16_pt2.py --data data
    python fine_tuning_VGG16_pt2.py --data data --recipe improved
"""

import sys

from fine_tuning_VGG16_pt1 import output_layer
from tools.report import write_report
from tutorial.activations import bottleneck_features
from tutorial.augmentation import Features
from tutorial.calibration import class_probabilities
from tutorial.checkpoint import Checkpoint
from tutorial.cli import echo, run
from tutorial.dataset import Photos, load_images
from tutorial.disk_array import DiskArray, blocks
from tutorial.evaluation import evaluate, save_model
from tutorial.imagenet_weights import imagenet_weights
from tutorial.recipes import same_flags
from tutorial.training import TrainingProgress, class_weights, start

import keras
import numpy as np
from keras import layers
from keras.optimizers import Adam, RMSprop

RECIPES = {  # what a recipe does not name is off; --set changes any value, e.g. --set image_size=224
    "original": dict(  # the blog post's
        image_size=150, preprocessing="rescale",  # pixels in 0..1
        epochs=50, batch_size=16, dropout=0.5,
        optimizer="rmsprop", learning_rate=0.001,
    ),
    "improved": dict(
        image_size=256, preprocessing="caffe",  # as Keras's vgg16.preprocess_input
        pooling="avg",  # global average pooling instead of Flatten and Dense
        C=0.06,  # inverse strength of the L2 regularization, as in scikit-learn's LogisticRegression
        epochs=50, batch_size=32,
        optimizer="adam", learning_rate=0.003, class_weights=True,
        calibration=True, out_of_distribution=True,  # detect photos unlike the training photos
    ),
}  # fmt: skip


def top_model(feature_shape: tuple[int, ...], num_classes: int, dropout: float = 0.5, l2: float = 0.0) -> keras.Model:
    """The classifier on VGG16's features.

    The blog post's Flatten and Dense(256) have 2,097,665 parameters for 4 x 4 x 512 features and two classes. With
    global average pooling 513 are left, a logistic regression on each photo's 512 averages, which are normalized to
    mean 0 and standard deviation 1. ``dropout`` is for the first alone, ``l2`` for the second.
    """
    if len(feature_shape) > 1:
        body = [layers.Flatten(), layers.Dense(256, activation="relu"), layers.Dropout(dropout)]
        output = output_layer(num_classes)
    else:
        body = [layers.LayerNormalization(center=False, scale=False)]
        output = output_layer(num_classes, kernel_initializer="zeros", kernel_regularizer=keras.regularizers.L2(l2))
    return keras.Sequential([keras.Input(feature_shape), *body, output], name="top_model")


def main() -> None:
    """Compute the bottleneck features; train, evaluate and save the top model."""
    args, s = start(__doc__, RECIPES)  # the flags, and the settings of the recipe
    train, validation, test = load_images(args.data, s.image_size, args.weights_dir)

    # VGG16 without its classifier, as trained on ImageNet
    base = keras.applications.VGG16(
        weights=imagenet_weights(), include_top=False, pooling=s.pooling or None,
        input_shape=(s.image_size, s.image_size, 3),
    )  # fmt: skip

    # Bottleneck features: every photo goes through VGG16 once
    def features(photos: Photos) -> DiskArray:
        return bottleneck_features(base, photos, s.preprocessing, args.weights_dir / "activations")

    train_features, validation_features = features(train), features(validation)
    train_data = Features(train_features, train, s.batch_size, args.seed)
    validation_data = Features(validation_features, validation, s.batch_size)
    echo(f"bottleneck features: {' x '.join(map(str, train_features.shape[1:]))} for each photo")

    # The top model, trained on the features alone
    num_classes = len(train.class_names)
    l2 = 1 / (2 * s.C * len(train.labels)) if s.C else 0.0  # Keras adds it to the mean loss of the photos, not the sum
    top = top_model(train_features.shape[1:], num_classes, s.dropout, l2)
    top.compile(
        loss="binary_crossentropy" if num_classes == 2 else "categorical_crossentropy",
        optimizer=Adam(s.learning_rate) if s.optimizer == "adam" else RMSprop(s.learning_rate),
        metrics=["accuracy"],
    )
    echo(f"top model: {top.count_params():,} parameters")

    # Training; if it is interrupted, the same command resumes after the last finished epoch
    weights_file = args.weights_dir / "bottleneck_fc_model.weights.h5"
    checkpoint = Checkpoint(weights_file, args, s, train_data, validation_data)
    top.fit(
        train_data, validation_data=validation_data,
        epochs=s.epochs, initial_epoch=checkpoint.restore(top, train_data),
        class_weight=class_weights(train) if s.class_weights else None,
        callbacks=[TrainingProgress(), checkpoint], shuffle=False, verbose=2,  # train_data shuffles
    )  # fmt: skip

    # Evaluate; save the weights and everything else that predict.py needs in one file
    def predictions(photos: Photos) -> np.ndarray:
        found = validation_features if photos is validation else features(photos)
        return class_probabilities(np.concatenate([top.predict_on_batch(block) for block in blocks(found)]))

    results = evaluate(predictions, validation, test, s.calibration)
    averages = None
    if s.out_of_distribution:
        averages = np.concatenate([block.reshape(len(block), -1, 512).mean(1) for block in blocks(train_features)])
    save_model(weights_file, top, args, s, train, results, checkpoint, s.preprocessing, averages)
    if args.report:
        write_report(args.weights_dir, args.data)
    echo(f"next: python fine_tuning_VGG16_pt3.py{same_flags(args)}")


if __name__ == "__main__":
    sys.exit(run(main, resumable=True))
