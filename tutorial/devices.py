"""Several GPUs in one machine: each has a copy of the network and computes an equal share of every batch.

``tf.distribute.MirroredStrategy`` adds up their gradients, so that a step is the one that a single GPU would take.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from tutorial.backend import tf
from tutorial.cli import echo


def gpus() -> list[str]:
    """The names of the GPUs that TensorFlow sees."""
    return [device.name for device in tf.config.list_logical_devices("GPU")]


def share_batches(batch_size: int) -> None:
    """Where there are several GPUs, train the networks that are made from now on on all of them.

    Keras takes the mean of the GPUs' mean losses. That is the mean over the batch if all shares are equal, so no more
    GPUs are used than divide the batch; see ``augmentation.Features`` for an epoch's last batch.

    Args:
        batch_size: photos in a batch, all GPUs together.
    """
    names = gpus()
    if len(names) < 2:
        return
    count = max(n for n in range(1, len(names) + 1) if batch_size % n == 0)
    echo(f"{count} of {len(names)} GPUs are used, with equal shares of each batch of {batch_size} photos")
    if count > 1:
        tf.distribute.experimental_set_strategy(tf.distribute.MirroredStrategy(names[:count]))


def use_one_device() -> None:
    """End :func:`share_batches`."""
    tf.distribute.experimental_set_strategy(None)


def replicas() -> int:
    """How many GPUs share each batch; 1 without a GPU."""
    return tf.distribute.get_strategy().num_replicas_in_sync


@contextmanager
def one_device() -> Iterator[None]:
    """Make and call networks for predictions, while others train on several GPUs.

    Keras's ``predict_on_batch`` would compute the whole batch on each GPU and return all of the results.
    """
    strategy = tf.distribute.get_strategy() if tf.distribute.has_strategy() else None
    use_one_device()
    try:
        yield
    finally:
        tf.distribute.experimental_set_strategy(strategy)
