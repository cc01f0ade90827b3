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
from tutorial.cli import TutorialError, echo, run
from tutorial.dataset import Photos, load_images
from tutorial.evaluation import evaluate, save_model
from tutorial.imagenet_weights import imagenet_weights
from tutorial.recipes import same_flags
from tutorial.training import adamw, class_weights, start, training_callbacks

import keras
import numpy as np
from keras import layers

IMAGE_SIZE = 150  # photos are resized to 150 x 150, in part 3 as well
RECIPES = {  # what a recipe does not name is off; --set changes any value, e.g. --set dropout=0.4
    "original": dict(  # the blog post's
        preprocessing="rescale", input_sizes=(150,),  # pixels in 0..1
        epochs=50, batch_size=16, dropout=0.5,
        optimizer="rmsprop", learning_rate=0.001,
    ),
    "improved": dict(
        preprocessing="caffe", input_sizes=(150, 224),  # as VGG16 was trained; predictions are averaged over sizes
        pooling="avg",  # global average pooling instead of Flatten and Dense
        epochs=50, batch_size=32, dropout=0.5,
        optimizer="adamw", learning_rate=0.003, cosine_decay=True, weight_decay=0.01,
        ema_momentum=0.99, class_weights=True,  # validate and save a moving average of the weights
        flip_tta=True, calibration=True,  # train on flipped photos too, and average the predictions
        out_of_distribution=True,  # detect photos that differ from all training photos
    ),
}  # fmt: skip


def top_model(feature_shape: tuple[int, ...], num_classes: int, pooling: str = "", dropout: float = 0.5) -> keras.Model:
    """The classifier on VGG16's features.

    The blog post's Flatten and Dense(256) have 2,097,665 parameters for 4 x 4 x 512 features and two classes. With
    global average pooling, 513 are left; each photo's 512 averages are normalized to mean 0 and standard deviation 1.
    """
    body = [layers.Flatten(), layers.Dense(256, activation="relu")]
    if pooling:
        body = [layers.GlobalAveragePooling2D(), layers.LayerNormalization(center=False, scale=False)]
    return keras.Sequential(
        [keras.Input(feature_shape), *body, layers.Dropout(dropout), output_layer(num_classes)], name="top_model"
    )


def main() -> None:
    """Compute the bottleneck features; train, evaluate and save the top model."""
    args, s = start(__doc__, RECIPES)
    if len(s.input_sizes) != 1 and not s.pooling:
        raise TutorialError("without --set pooling=avg there can be one input size: --set 'input_sizes=(150,)'.")
    train, validation, test = load_images(args.data, IMAGE_SIZE)

    # VGG16 without its classifier, as trained on ImageNet
    base = keras.applications.VGG16(
        weights=imagenet_weights(), include_top=False, input_shape=(IMAGE_SIZE, IMAGE_SIZE, 3)
    )

    # Bottleneck features: every photo goes through VGG16 once, at each input size, and flipped too if flip_tta is on
    def features(photos: Photos) -> list[np.ndarray]:
        folder = args.weights_dir / "activations"
        return bottleneck_features(base, photos, s.preprocessing, s.pooling, s.input_sizes, s.flip_tta, folder)

    train_features, validation_features = features(train), features(validation)
    train_data = Features(np.concatenate(train_features), train, s.batch_size, args.seed)
    validation_data = Features(validation_features[0], validation, s.batch_size)
    echo(f"bottleneck features: {' x '.join(map(str, train_features[0].shape[1:]))} for each photo")

    # The top model, trained on the features alone
    num_classes = len(train.class_names)
    top = top_model(train_features[0].shape[1:], num_classes, s.pooling, s.dropout)
    top.compile(
        loss="binary_crossentropy" if num_classes == 2 else "categorical_crossentropy",
        optimizer=adamw(s, train_data) if s.optimizer == "adamw" else keras.optimizers.RMSprop(s.learning_rate),
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
        callbacks=[*training_callbacks(s), checkpoint], shuffle=False, verbose=2,  # train_data is shuffled by seed
    )  # fmt: skip

    # Evaluation; then the weights, and all that predict.py needs to know, are saved in one file
    def predictions(photos: Photos) -> np.ndarray:
        found = validation_features if photos is validation else features(photos)
        return np.mean([class_probabilities(top.predict_on_batch(one)) for one in found], axis=0)

    results = evaluate(predictions, validation, test, s.calibration)
    pooled = train_features[0].mean(axis=(1, 2)) if s.out_of_distribution else None
    save_model(weights_file, top, args, s, train, results, checkpoint, s.preprocessing, pooled)
    if args.report:
        write_report(args.weights_dir, args.data)
    echo(f"next: python fine_tuning_VGG16_pt3.py{same_flags(args)}")


if __name__ == "__main__":
    sys.exit(run(main, resumable=True))
