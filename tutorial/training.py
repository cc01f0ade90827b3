"""What surrounds ``fit``: the start of a part, class weights, the progress bar."""

import argparse
import math
import os
from types import SimpleNamespace

from tutorial.backend import keras, tf
from tutorial.cli import ProgressBar, TutorialError, echo
from tutorial.dataset import Photos
from tutorial.devices import replicas, share_batches, use_one_device
from tutorial.files import lock
from tutorial.recipes import Recipes, parse_settings


def start(
    doc: str | None, recipes: Recipes, mixed_precision: bool = False, several_gpus: bool = False
) -> tuple[argparse.Namespace, SimpleNamespace]:
    """The start of every part: flags and settings, one run at a time in a folder, seeds, the devices.

    Args:
        doc: the script's docstring.
        recipes: the script's.
        mixed_precision: compute in float16 with float32 weights, on a GPU with tensor cores (compute capability 7.0,
            Volta, or later). Not on several: Keras 3.15's ``LossScaleOptimizer`` looks for overflow in the gradients of
            the first alone (``_tf_apply``), and those of the others would end in the weights.
        several_gpus: train on several GPUs, where there are several, until ``fit`` ends.

    Returns:
        The flags and the recipe's settings, see ``recipes.parse_settings``.

    Raises:
        TutorialError: a setting is wrong, or another run is using the folder.
    """
    args, settings = parse_settings(doc or "", recipes)
    lock(args.weights_dir)
    keras.utils.set_random_seed(args.seed)
    tf.config.experimental.enable_op_determinism()
    gpus = [tf.config.experimental.get_device_details(gpu) for gpu in tf.config.list_physical_devices("GPU")]
    if several_gpus:
        share_batches(settings.batch_size)
    policy = "float32"
    if not gpus:
        echo(f"device: CPU, {os.cpu_count()} cores (TensorFlow sees no GPU)")
    else:
        echo("device: GPU, " + ", ".join(gpu.get("device_name", "?") for gpu in gpus))
        if mixed_precision and replicas() == 1 and all(gpu.get("compute_capability", (0, 0)) >= (7, 0) for gpu in gpus):
            policy = "mixed_float16"
            echo("mixed precision: float16 on the GPU's tensor cores, float32 weights")
    keras.mixed_precision.set_global_policy(policy)
    return args, settings


def class_weights(photos: Photos) -> dict[int, float]:
    """``fit``'s ``class_weight``: every class has the same total weight; 1 where the classes are equal."""
    counts = photos.counts().values()
    return {label: sum(counts) / (len(counts) * count) for label, count in enumerate(counts)}


def accuracy(labels: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
    """A metric for ``compile``: the most probable class is the label; of two that mixup blends, the larger share's."""
    if outputs.shape[-1] == 1:
        return keras.metrics.binary_accuracy(keras.ops.round(labels), outputs)
    return keras.metrics.categorical_accuracy(labels, outputs)


class TrainingProgress(keras.callbacks.Callback):
    """A progress bar over all epochs, and an end to training that has diverged.

    When ``fit`` ends, so do training on several GPUs and mixed precision: networks made after that are for predictions.
    """

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Keras calls this, and the others."""
        self.steps, self.epoch = self.params["steps"], epoch
        if not hasattr(self, "bar"):
            self.bar = ProgressBar("training", self.params["epochs"] * self.steps, epoch * self.steps)

    def on_train_batch_end(self, batch: int, logs: dict[str, float]) -> None:  # noqa: D102
        self.bar.update(self.epoch * self.steps + batch + 1)
        self._check(logs["loss"])

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:  # noqa: D102
        self._check(logs["val_loss"])
        if epoch + 1 == self.params["epochs"]:
            self.bar.close()

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:  # noqa: D102
        use_one_device()
        keras.mixed_precision.set_global_policy("float32")

    def _check(self, loss: float) -> None:
        if not math.isfinite(loss):
            raise TutorialError(
                f"the loss is {loss} in epoch {self.epoch + 1}, so the weights are useless and are not saved: use a "
                "smaller learning rate, with --set learning_rate=..., and --restart."
            )
