"""Predictions of a trained network, and what a part does when training has ended: evaluate, then save."""

import argparse
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

from tutorial.activations import CachedActivations
from tutorial.augmentation import Features
from tutorial.backend import keras, tf
from tutorial.calibration import (
    calibrate,
    calibration_error,
    class_probabilities,
    fit_temperature,
    log_loss,
    rejection_threshold,
    reliability,
)
from tutorial.checkpoint import Checkpoint
from tutorial.cli import ProgressBar, duration, echo
from tutorial.dataset import Photos
from tutorial.disk_array import DiskArray, blocks
from tutorial.images import INFERENCE_BATCH, PREPROCESSING
from tutorial.model_file import ModelInfo, save_weights
from tutorial.out_of_distribution import fit_detector
from tutorial.plots import save_history, save_history_plot, save_reliability_plot
from tutorial.vgg16 import with_features, without_frozen_blocks

import numpy as np


def predict(
    network: keras.Model,
    images: np.ndarray | DiskArray | list[np.ndarray],
    preprocessing: str = "rescale",
    flip: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Predictions for photos, not calibrated.

    Args:
        network: from ``vgg16.with_features``.
        images: uint8 (n, size, size, 3), or a list of n of them.
        preprocessing: a key of ``images.PREPROCESSING``.
        flip: test-time augmentation: each prediction is the mean of the photo's and its horizontal flip's.

    Returns:
        A probability for each class, float64 (n, classes), and the features, float32 (n, d), of the photos as they are.
    """
    size = network.inputs[0].shape[1]
    most = INFERENCE_BATCH * (4 if tf.config.list_physical_devices("GPU") else 1)
    step = max(1, most * min(256, size) ** 2 // size**2)  # fewer large images at a time: memory
    batches = (PREPROCESSING[preprocessing](images[i : i + step]) for i in range(0, len(images), step))
    return _predict(network, batches, len(images), flip)


def predict_data(model: keras.Model, data: Features, flip: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Predictions, not calibrated, for what ``fit`` gets.

    Args:
        model: from photos to probabilities.
        data: photos, or their cached activations; where they are augmented, as in the first epoch.
        flip: see :func:`predict`.

    Returns:
        As :func:`predict`, of every photo in order.
    """
    data.set_epoch(0)
    network, rows = with_features(model), np.arange(len(data.labels))
    if isinstance(data, CachedActivations):
        network = without_frozen_blocks(network)
    batches = (data.inputs(some, int(some[0])) for some in blocks(rows, INFERENCE_BATCH))
    return _predict(network, batches, len(rows), flip)


def _predict(
    network: keras.Model, batches: Iterable[np.ndarray], count: int, flip: bool
) -> tuple[np.ndarray, np.ndarray]:
    probabilities, features = [], []
    progress, done = ProgressBar("predicting", count), 0
    for batch in batches:
        outputs, seen = network.predict_on_batch(batch)
        found = class_probabilities(outputs)
        if flip:
            found = (found + class_probabilities(network.predict_on_batch(batch[:, :, ::-1])[0])) / 2
        probabilities.append(found)
        features.append(seen)
        progress.update(done := done + len(batch))
    progress.close()
    return np.concatenate(probabilities), np.concatenate(features)


@dataclass
class Results:
    """The evaluation of a trained network."""

    scores: dict[str, float]  # val_accuracy, val_loss, val_calibration_error; and of the test photos
    predictions: list[tuple[Photos, np.ndarray]]  # validation and test photos; (n, classes), calibrated
    bins: tuple[list, list] = ([], [])  # of the reliability diagram, before and after calibration
    temperature: float = 1.0
    threshold: float = 0.0  # below which a prediction is reported as "not sure"


def evaluate(
    predictions: Callable[[Photos], np.ndarray], validation: Photos, test: Photos | None, calibration: bool
) -> Results:
    """Evaluate a trained network: print its scores on test photos and, where it is calibrated, on validation photos.

    Calibration and rejection threshold are fitted on the validation photos, which also guided the settings, so their
    scores are slightly optimistic. Nothing is fitted on the test photos.

    Args:
        predictions: computes a probability for each class, float (n, classes), of n photos.
        validation: the validation photos.
        test: the test photos.
        calibration: whether probabilities are calibrated.
    """
    found = predictions(validation)
    results = Results({}, [])
    if calibration:
        results.temperature = fit_temperature(found, validation.labels)
    calibrated = calibrate(found, results.temperature)
    results.predictions.append((validation, calibrated))
    if calibration:
        results.threshold = rejection_threshold(calibrated, validation.labels)
        results.bins = reliability(found, validation.labels), reliability(calibrated, validation.labels)
        note = f" (temperature {results.temperature:.2f}), rejection threshold {results.threshold:.0%}"
        results.scores |= _scores(calibrated, validation, "val", note)
    if len(named := set(found.argmax(axis=1).tolist())) == 1:
        echo(
            f"warning: the model predicts {validation.class_names[named.pop()]} for every validation photo; it has not "
            "learned to separate the classes: try more epochs, more photos or another seed"
        )
    if test:
        calibrated = calibrate(predictions(test), results.temperature)
        results.scores |= _scores(calibrated, test, "test", "; held-out photos: report this number")
        results.predictions.append((test, calibrated))
    return results


def _scores(probabilities: np.ndarray, photos: Photos, prefix: str, note: str) -> dict[str, float]:
    accuracy = float((probabilities.argmax(axis=1) == photos.labels).mean())
    loss, error = log_loss(probabilities, photos.labels), calibration_error(probabilities, photos.labels)
    split = photos.folder.name
    echo(f"{split:10}  predictions: accuracy {accuracy:.3f}, loss {loss:.3f}, calibration error {error:.3f}{note}")
    return {f"{prefix}_accuracy": accuracy, f"{prefix}_loss": loss, f"{prefix}_calibration_error": error}


def save_model(
    path: Path,
    model: keras.Model,
    args: argparse.Namespace,
    settings: SimpleNamespace,
    train: Photos,
    results: Results,
    checkpoint: Checkpoint,
    preprocessing: str = "rescale",
    features: np.ndarray | None = None,
) -> None:
    """Save a trained model with all that predict.py needs to know, the history (CSV) and plots (PNG).

    Args:
        path: of the weights file.
        model: its weights are saved.
        args: the part's flags.
        settings: the recipe's, saved with it.
        train: the training photos.
        results: from :func:`evaluate`.
        checkpoint: the run's, which is removed in the end: there is nothing left to resume.
        preprocessing: a key of ``images.PREPROCESSING``.
        features: of the training photos, float (n, d), for out-of-distribution detection; None without it.

    Raises:
        TutorialError: the folder cannot be written to.
    """
    history, minutes, name = checkpoint.history, checkpoint.seconds / 60, path.name.removesuffix(".weights.h5")
    table, plot = path.with_name(f"{name}.csv"), path.with_name(f"{name}.png")
    info = ModelInfo(
        model=name,
        class_names=list(train.class_names),
        image_size=train.images.shape[1],
        photos={split.folder.name: split.counts() for split in (train, *(photos for photos, _ in results.predictions))},
        settings={**vars(settings), "seed": args.seed},
        scores={key: values[-1] for key, values in history.items()} | results.scores,
        minutes=minutes,
        preprocessing=preprocessing,
        recipe=args.recipe,
        temperature=results.temperature,
        rejection_threshold=results.threshold,
    )
    detector = None if features is None else fit_detector(features, train.labels)
    save_weights(model, path, info, detector, train.digests, results.predictions)
    save_history(history, table)
    save_history_plot(history, name.replace("_", " "), plot)
    if settings.calibration:
        save_reliability_plot(*results.bins, path.with_name(f"{name}_reliability.png"))
    checkpoint.remove()
    echo(f"saved {path}, {table.name} and {plot.name} after {duration(60 * minutes)}")
