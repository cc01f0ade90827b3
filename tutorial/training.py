"""Training and its record: progress with time left, the history as CSV, the scores in words."""

import argparse
import csv
import os
import time
from pathlib import Path

from tutorial.backend import keras, tf
from tutorial.command_line import ProgressLine, TutorialError, duration
from tutorial.photos import PhotoFiles
from tutorial.pictures import save_history_plot
from tutorial.weights_file import FILES, About, save_weights
from tutorial.whole_file import written_whole

History = dict[str, list[float]]  # accuracy, loss, val_accuracy, val_loss: a number an epoch


def prepare(seed: int) -> str:
    """Seed every source of chance, make TensorFlow's sums repeatable, and say which device the training runs on."""
    keras.utils.set_random_seed(seed)
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


def print_found(train: PhotoFiles, validation: PhotoFiles, device: str) -> None:
    """Tell the reader what the part found."""
    for files in (train, validation):
        counts = ", ".join(f"{count} {name}" for name, count in files.counts().items())
        print(f"{files.folder}: {counts}")
    print(f"device: {device}")


class _Progress(keras.callbacks.Callback):
    """A line an epoch, and on a terminal a line that moves within the epoch."""

    def on_train_begin(self, logs=None) -> None:
        self.epochs, self.steps = self.params["epochs"], self.params["steps"]
        self.start = time.monotonic()
        self.line = ProgressLine("training step", self.epochs * self.steps)
        self.epoch = 0

    def on_train_batch_end(self, batch, logs=None) -> None:
        self.line.update(self.epoch * self.steps + batch + 1)

    def on_epoch_end(self, epoch, logs) -> None:
        self.epoch = epoch + 1
        self.line.clear()
        left = (time.monotonic() - self.start) / self.epoch * (self.epochs - self.epoch)
        print(
            f"epoch {self.epoch:{len(str(self.epochs))}}/{self.epochs}"
            f"  train: accuracy {logs['accuracy']:.3f}, loss {logs['loss']:.3f}"
            f"  validation: accuracy {logs['val_accuracy']:.3f}, loss {logs['val_loss']:.3f}"
            f"  ({duration(left)} left)",
            flush=True,
        )


def train(network: keras.Model, training, validation, epochs: int, batch_size: int | None = None) -> History:
    """Keras's ``fit`` with our progress lines.

    Args:
        network: compiled, with the metric ``accuracy``.
        training: ``augmentation.Batches``, or arrays ``(features, labels)``.
        validation: likewise; it is never augmented.
        epochs: passes over the training data.
        batch_size: for arrays; ``Batches`` have their own.

    Returns:
        accuracy, loss (means over the epoch, as it trains), val_accuracy and val_loss (after it).

    Raises:
        TutorialError: the computer ran out of memory.
    """
    data = {"x": training} if isinstance(training, keras.utils.PyDataset) else {"x": training[0], "y": training[1]}
    try:
        history = network.fit(
            **data,
            validation_data=validation,
            epochs=epochs,
            batch_size=batch_size,
            shuffle=not isinstance(training, keras.utils.PyDataset),  # Batches shuffle photos themselves
            callbacks=[_Progress()],
            verbose=0,
        )
    except (MemoryError, tf.errors.ResourceExhaustedError):
        raise TutorialError("there is not enough memory for this training: give a smaller --batch-size.") from None
    return history.history


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


def save_outcome(
    network: keras.Model,
    history: History,
    model: str,
    title: str,
    image_size: int,
    files: tuple[PhotoFiles, PhotoFiles],
    args: argparse.Namespace,
    start: float,
) -> None:
    """The end of every part: print the scores and save the weights file, the history (CSV) and its plot (PNG).

    Args:
        network: trained; its weights are saved.
        history: from :func:`train`.
        model: which part's, a key of ``weights_file.FILES``; it names the files.
        title: of the plot.
        image_size: pixels a side.
        files: the training and validation photos that were used.
        args: the part's flags.
        start: ``time.monotonic()`` when the part began.

    Raises:
        TutorialError: the folder cannot be written to.
    """
    minutes = (time.monotonic() - start) / 60
    print_scores(history)
    weights = args.weights_dir / FILES[model][0]
    table, plot = args.weights_dir / f"{model}.csv", args.weights_dir / f"{model}.png"
    save_history(history, table)
    save_history_plot(history, title, plot)
    about = About(
        model=model,
        class_names=list(files[0].class_names),
        image_size=image_size,
        photos={"train": files[0].counts(), "validation": files[1].counts()},
        settings={name: vars(args)[name] for name in ("epochs", "batch_size", "seed", "views") if name in args},
        scores={name: float(values[-1]) for name, values in history.items()},
        minutes=minutes,
    )
    save_weights(network, weights, about)
    print(f"saved {weights}, {table.name} and {plot.name} after {duration(60 * minutes)}")
