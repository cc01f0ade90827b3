"""What surrounds ``fit``: the start of a part, the optimizer, class weights, callbacks."""

import argparse
import math
import os
from types import SimpleNamespace

from tutorial.augmentation import Features
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
    """``fit``'s ``class_weight``: every class has the same weight in all; 1 where the classes are equal."""
    counts = photos.counts().values()
    return {label: sum(counts) / (len(counts) * count) for label, count in enumerate(counts)}


def adamw(settings: SimpleNamespace, train_data: Features) -> keras.optimizers.Optimizer:
    """AdamW with one epoch of linear warm-up, cosine decay of the learning rate, and a moving average of the weights.

    I. Loshchilov & F. Hutter, SGDR (2017) and Decoupled Weight Decay Regularization (2019).

    Args:
        settings: ``learning_rate`` (the peak; constant without ``cosine_decay``), ``weight_decay``, ``ema_momentum``
            (0 for no moving average) and ``epochs``.
        train_data: the training data; its length is the number of steps in an epoch.
    """
    steps = len(train_data)
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, max(1, (settings.epochs - 1) * steps), warmup_target=settings.learning_rate, warmup_steps=steps
    )
    return keras.optimizers.AdamW(
        schedule if settings.cosine_decay else settings.learning_rate,
        weight_decay=settings.weight_decay,
        use_ema=bool(settings.ema_momentum),
        ema_momentum=settings.ema_momentum,
    )


def accuracy(labels: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
    """A metric for ``compile``: the most probable class is the label; of two that mixup blends, the larger share's."""
    if outputs.shape[-1] == 1:
        return keras.metrics.binary_accuracy(keras.ops.round(labels), outputs)
    return keras.metrics.categorical_accuracy(labels, outputs)


def training_callbacks(ema_momentum: float = 0.0) -> list[keras.callbacks.Callback]:
    """``fit``'s callbacks: stop at NaN, a progress bar, and the moving average of the weights if there is one.

    When ``fit`` ends, so does training on several GPUs: networks that are made then predict on one.
    """
    averaged = [keras.callbacks.SwapEMAWeights(swap_on_epoch=True)] if ema_momentum else []
    return [_Progress(), *averaged, keras.callbacks.LambdaCallback(on_train_end=lambda _: use_one_device())]


class _Progress(keras.callbacks.Callback):
    """A progress bar over all epochs, and an end to training that has diverged."""

    def on_epoch_begin(self, epoch, logs=None) -> None:
        if not hasattr(self, "bar"):
            self.steps, total = self.params["steps"], self.params["epochs"] * self.params["steps"]
            self.bar = ProgressBar("training", total, epoch * self.steps)
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs) -> None:
        self.bar.update(self.epoch * self.steps + batch + 1)
        self._check(logs["loss"])

    def on_epoch_end(self, epoch, logs) -> None:
        self._check(logs["val_loss"])
        if epoch + 1 == self.params["epochs"]:
            self.bar.close()

    def _check(self, loss: float) -> None:
        if not math.isfinite(loss):
            self.bar.close()
            raise TutorialError(
                f"the loss is {loss} in epoch {self.epoch + 1}, so the weights are useless and are not saved: use a "
                "smaller learning rate, with --set learning_rate=..., and --restart."
            )
