"""Training and its record: progress with time left, the history as CSV, the scores in words."""

import argparse
import csv
import math
import os
import time
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from tutorial.backend import keras, tf
from tutorial.batches import Batches
from tutorial.calibration import calibrated, calibration_error, fit_calibration, log_loss, reliability, sure_from
from tutorial.checkpoint import Checkpoint, History
from tutorial.command_line import RECIPES, ProgressLine, TutorialError, duration
from tutorial.familiarity import Familiarity
from tutorial.photos import RESCALE, PhotoFiles
from tutorial.pictures import save_history_plot, save_reliability_plot
from tutorial.weights_file import FILES, About, save_weights
from tutorial.whole_file import hold, written_whole


def prepare(args: argparse.Namespace) -> str:
    """Keep other runs out of the part's folder, seed every source of chance and make TensorFlow's sums repeatable.

    Returns:
        The device that the training runs on, in words.

    Raises:
        TutorialError: another run is at work in the folder.
    """
    hold(args.weights_dir)
    keras.utils.set_random_seed(args.seed)
    tf.config.experimental.enable_op_determinism()
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return f"CPU, {os.cpu_count()} cores (TensorFlow sees no GPU)"
    return "GPU, " + ", ".join(tf.config.experimental.get_device_details(gpu).get("device_name", "?") for gpu in gpus)


def use_tensor_cores() -> None:
    """On a GPU with tensor cores, compute in float16 from now on, and say so; the weights stay float32.

    Tensor cores came with compute capability 7.0 (Volta). Networks that are built afterwards use them.
    """
    gpus = tf.config.list_physical_devices("GPU")
    details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
    if gpus and all(one.get("compute_capability", (0, 0)) >= (7, 0) for one in details):
        keras.mixed_precision.set_global_policy("mixed_float16")
        print("mixed precision: float16 on the GPU's tensor cores, float32 weights")


def print_found(files: tuple[PhotoFiles | None, ...], device: str) -> None:
    """Tell the reader what the part found."""
    for split in files:
        if split:
            counts = ", ".join(f"{count} {name}" for name, count in split.counts().items())
            print(f"{split.folder}: {counts}")
    print(f"device: {device}")


class _Progress(keras.callbacks.Callback):
    """A line an epoch, on a terminal a line that moves within the epoch, and an end to training that went wrong."""

    def __init__(self, before: int) -> None:
        super().__init__()
        self.epoch = self.before = before  # epochs that are done

    def on_train_begin(self, logs=None) -> None:
        self.epochs, self.steps = self.params["epochs"], self.params["steps"]
        self.start = time.monotonic()
        self.line = ProgressLine("training step", self.epochs * self.steps, self.before * self.steps)

    def on_train_batch_end(self, batch, logs) -> None:
        self.line.update(self.epoch * self.steps + batch + 1)
        self.check(logs["loss"])

    def check(self, loss: float) -> None:
        """Raises TutorialError where the loss is no finite number; what is saved is from before that."""
        if not math.isfinite(loss):
            self.line.clear()
            raise TutorialError(
                f"the loss is {loss} in epoch {self.epoch + 1}, so the weights are of no use any more and are not "
                "saved: take smaller steps, with --set learning_rate=..., and --restart."
            )

    def on_epoch_end(self, epoch, logs) -> None:
        self.check(logs["val_loss"])
        self.epoch = epoch + 1
        self.line.clear()
        left = (time.monotonic() - self.start) / (self.epoch - self.before) * (self.epochs - self.epoch)
        print(
            f"epoch {self.epoch:{len(str(self.epochs))}}/{self.epochs}"
            f"  train: accuracy {logs['accuracy']:.3f}, loss {logs['loss']:.3f}"
            f"  validation: accuracy {logs['val_accuracy']:.3f}, loss {logs['val_loss']:.3f}"
            f"  ({duration(left)} left)",
            flush=True,
        )


def class_weights(files: PhotoFiles) -> dict[int, float]:
    """How much a photo of each class counts: as much in all as another class's, 1 where the classes are equal."""
    counts = files.counts().values()
    return {label: sum(counts) / (len(counts) * count) for label, count in enumerate(counts)}


def fading_steps(settings: SimpleNamespace, photos: int) -> keras.optimizers.Optimizer:
    """AdamW whose steps grow for an epoch and then fade to nothing along a cosine, and whose weights are averaged.

    I. Loshchilov & F. Hutter, SGDR (2017) and Decoupled Weight Decay Regularization (2019).

    Args:
        settings: ``learning_rate`` of the largest steps, ``fade`` (without it all are as large), ``weight_decay``
            (share of each weight, times the learning rate, that each step takes off), ``average`` (share of the running
            average that each step keeps; :func:`train` validates the average and ends with it), ``epochs`` and
            ``batch_size``.
        photos: how many there are to train on.
    """
    steps = -(-photos // settings.batch_size)
    fading = keras.optimizers.schedules.CosineDecay(
        0.0, max(1, (settings.epochs - 1) * steps), warmup_target=settings.learning_rate, warmup_steps=steps
    )
    return keras.optimizers.AdamW(
        fading if settings.fade else settings.learning_rate,
        weight_decay=settings.weight_decay,
        use_ema=True,
        ema_momentum=settings.average,
    )


def train(
    network: keras.Model,
    training: Batches,
    validation: Batches,
    epochs: int,
    checkpoint: Checkpoint,
    class_weight: dict[int, float] | None = None,
) -> History:
    """Keras's ``fit`` with our progress lines; goes on where an interrupted run stopped.

    Args:
        network: compiled, with the metric ``accuracy``.
        training: what it learns from.
        validation: what it is judged by after each epoch; never augmented.
        epochs: passes over the training data.
        checkpoint: the run's.
        class_weight: from :func:`class_weights`; all photos count the same without.

    Returns:
        accuracy, loss (means over the epoch, as it trains), val_accuracy and val_loss (after it).

    Raises:
        TutorialError: the computer ran out of memory, or the loss is not a finite number any more.
    """
    checkpoint.restore(network)
    if checkpoint.epochs == epochs:
        return checkpoint.history
    training.go_to(checkpoint.epochs)
    optimizer = getattr(network.optimizer, "inner_optimizer", network.optimizer)  # mixed precision wraps it
    averaged = [keras.callbacks.SwapEMAWeights(swap_on_epoch=True)] if optimizer.use_ema else []
    try:
        network.fit(
            training,
            validation_data=validation,
            epochs=epochs,
            initial_epoch=checkpoint.epochs,
            shuffle=False,  # batches are in an order of their own
            callbacks=[_Progress(checkpoint.epochs), *averaged, checkpoint],
            class_weight=class_weight,
            verbose=0,
        )
    except (MemoryError, tf.errors.ResourceExhaustedError):
        raise TutorialError("there is not enough memory for this training: give a smaller --batch-size.") from None
    return checkpoint.history


def print_scores(history: History) -> None:
    """Final and best accuracy and loss, train and validation."""
    for prefix, name in (("", "train     "), ("val_", "validation")):
        accuracy, loss = history[f"{prefix}accuracy"], history[f"{prefix}loss"]
        best = max(range(len(accuracy)), key=accuracy.__getitem__)
        least = min(range(len(loss)), key=loss.__getitem__)
        print(
            f"{name}  final: accuracy {accuracy[-1]:.3f}, loss {loss[-1]:.3f}"
            f"  best: accuracy {accuracy[best]:.3f} (epoch {best + 1}), loss {loss[least]:.3f} (epoch {least + 1})"
        )


def save_history(history: History, path: Path) -> None:
    """The history as CSV: epoch, accuracy, loss, val_accuracy, val_loss."""
    names = ["accuracy", "loss", "val_accuracy", "val_loss"]
    with written_whole(path) as beside, open(beside, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["epoch", *names])
        for epoch, row in enumerate(zip(*(history[name] for name in names), strict=True), 1):
            writer.writerow([epoch, *(f"{value:.6f}" for value in row)])


@dataclass(frozen=True)
class Outcome:
    """What a part ends with."""

    model: str  # which part's, a key of weights_file.FILES; it names the files
    title: str  # of the plot
    network: keras.Model  # trained; its weights are saved
    history: History  # from :func:`train`
    files: list[PhotoFiles]  # that were used: training, validation, and test where there are any
    answers: dict[str, np.ndarray]  # of the validation and test photos: a probability for each class, (n, classes)
    familiarity: Familiarity | None = None  # with the training photos
    preprocessing: str = RESCALE
    mirrored: bool = False  # how the answers were found


def save_outcome(
    outcome: Outcome, image_size: int, args: argparse.Namespace, settings: SimpleNamespace, checkpoint: Checkpoint
) -> None:
    """The end of every part: print the scores and save the weights file, the history (CSV) and its plot (PNG).

    In the improved recipe the answers are calibrated on the validation photos first. The test photos choose nothing.

    Args:
        outcome: what came of the training.
        image_size: pixels a side.
        args: the part's flags.
        settings: from :func:`command_line.part_settings`.
        checkpoint: the run's, which is removed at the end: there is nothing left to continue.

    Raises:
        TutorialError: the folder cannot be written to.
    """
    minutes = checkpoint.seconds / 60
    history, model = outcome.history, outcome.model
    print_scores(history)
    scores = {name: float(values[-1]) for name, values in history.items()}
    temperature, unsure_below = 1.0, 0.0
    offsets: list[float] = []
    table, plot = args.weights_dir / f"{model}.csv", args.weights_dir / f"{model}.png"
    if args.recipe != RECIPES[0]:
        found, labels = outcome.answers["validation"], outcome.files[1].labels
        temperature, offsets = fit_calibration(found, labels)
        answers = calibrated(found, temperature, offsets)
        unsure_below = sure_from(answers, labels)
        scores.update(_scored(answers, labels, "val"))
        print(
            f"validation  answers: accuracy {scores['val_accuracy']:.3f}, loss {scores['val_loss']:.3f}, calibration "
            f"error {scores['val_calibration_error']:.3f} (temperature {temperature:.2f}), "
            f"not sure below {100 * unsure_below:.0f} %"
        )
        picture = args.weights_dir / f"{model}_reliability.png"
        save_reliability_plot(reliability(found, labels), reliability(answers, labels), picture)
    named = set(outcome.answers["validation"].argmax(axis=1).tolist())
    if len(named) == 1:
        name = outcome.files[0].class_names[named.pop()]
        print(
            f"warning: this model says {name} of every validation photo, so it has not learnt to tell the classes "
            "apart: give it more epochs, more photos or another seed"
        )
    if "test" in outcome.answers:
        found, labels = outcome.answers["test"], outcome.files[2].labels
        scores.update(_scored(calibrated(found, temperature, offsets), labels, "test"))
        print(
            f"test        answers: accuracy {scores['test_accuracy']:.3f}, loss {scores['test_loss']:.3f}, calibration "
            f"error {scores['test_calibration_error']:.3f}: photos that chose nothing, the number to quote"
        )
    save_history(history, table)
    save_history_plot(history, outcome.title, plot)
    about = About(
        model=model,
        class_names=list(outcome.files[0].class_names),
        image_size=image_size,
        photos={split.folder.name: split.counts() for split in outcome.files},
        settings={name: value for name, value in vars(settings).items() if value is not None} | {"seed": args.seed},
        scores=scores,
        minutes=minutes,
        preprocessing=outcome.preprocessing,
        recipe=args.recipe,
        mirrored=outcome.mirrored,
        temperature=temperature,
        offsets=offsets,
        unsure_below=unsure_below,
    )
    weights = args.weights_dir / FILES[model][0]
    save_weights(outcome.network, weights, about, outcome.familiarity)
    checkpoint.remove()
    print(f"saved {weights}, {table.name} and {plot.name} after {duration(60 * minutes)}")


def _scored(probabilities: np.ndarray, labels: np.ndarray, prefix: str) -> dict[str, float]:
    """Accuracy, log loss and calibration error of answers."""
    return {
        f"{prefix}_accuracy": float((probabilities.argmax(axis=1) == labels).mean()),
        f"{prefix}_loss": log_loss(probabilities, labels),
        f"{prefix}_calibration_error": calibration_error(probabilities, labels),
    }
