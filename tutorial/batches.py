"""What training sees, batch by batch: each epoch in an order of its own, photos as new views, pairs of them mixed.

What epoch ``e`` looks like depends on the seed and on ``e`` alone, so that a run that was interrupted can go on at any
epoch as if nothing had happened.
"""

import hashlib
from functools import cached_property

import numpy as np

from tutorial.augmentation import Augmentation, warp
from tutorial.backend import keras
from tutorial.photos import PREPROCESSING, RESCALE


def digest(*arrays: np.ndarray) -> str:
    """SHA-256 of arrays: their shapes, dtypes and numbers."""
    found = hashlib.sha256()
    for array in arrays:
        found.update(f"{array.shape} {array.dtype}".encode())
        found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()


class Batches(keras.utils.PyDataset):
    """Batches of arrays for ``fit``, ``(inputs, labels)``: shuffled for training, in order for validation.

    The last batch of an epoch may be smaller.

    Args:
        arrays: (n, ...), one row a photo.
        labels: float32 (n,) or (n, classes), from ``networks.targets``.
        batch_size: photos a batch.
        seed: of each epoch's order; None for the order in which they are.
    """

    def __init__(self, arrays: np.ndarray, labels: np.ndarray, batch_size: int, seed: int | None = None) -> None:
        # Two threads make batches ahead. With one, Keras leaves that to tf.data, whose autotuning thread holds up
        # the start of about every second epoch for up to ten seconds on a machine of two cores.
        super().__init__(workers=2)
        assert len(arrays) == len(labels)
        self.arrays, self.labels, self.batch_size, self.seed = arrays, labels, batch_size, seed
        self.go_to(0)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of what they are batches of, labels included."""
        return digest(self.arrays, self.labels)

    def __len__(self) -> int:
        return -(-len(self.labels) // self.batch_size)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        here = self.order[index * self.batch_size : (index + 1) * self.batch_size]
        return self.inputs(here, index), self.labels[here]

    def inputs(self, here: np.ndarray, index: int) -> np.ndarray:
        """What the network gets of the rows ``here``, batch ``index`` of this epoch."""
        return self.arrays[here]

    def go_to(self, epoch: int) -> None:
        """Begin with this epoch, counted from 0: draw its order."""
        self.epoch, self.order = epoch, np.arange(len(self.labels))
        if self.seed is not None:
            np.random.default_rng([self.seed, epoch]).shuffle(self.order)

    def on_epoch_end(self) -> None:
        """Keras calls this."""
        self.go_to(self.epoch + 1)


def _blend(some: np.ndarray, others: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """As much of each as its share says, and the rest from the other."""
    shares = shares.reshape(-1, *[1] * (some.ndim - 1))
    return shares * some + (1 - shares) * others


class PhotoBatches(Batches):
    """Batches of photos, preprocessed: augmented where they are for training, untouched for validation.

    The inputs are float32 (b, size, size, 3), in 0..1 where they are rescaled.

    With ``mix``, each photo is blended with another of its batch, and its label likewise, the photo's own share being
    the larger one: H. Zhang et al., mixup: Beyond Empirical Risk Minimization (2018). ``mix`` is their alpha: the
    shares are drawn from Beta(alpha, alpha), so that 0.4 blends a little most of the time, and 1 evenly by any amount.

    Args:
        pixels: uint8 (n, size, size, 3).
        labels: see :class:`Batches`.
        batch_size: photos a batch.
        augmentation: of training photos; without one they come untouched and in order.
        seed: of all chance.
        preprocessing: a key of ``photos.PREPROCESSING``.
        mix: 0 for none.
    """

    def __init__(
        self,
        pixels: np.ndarray,
        labels: np.ndarray,
        batch_size: int,
        augmentation: Augmentation | None = None,
        seed: int = 0,
        preprocessing: str = RESCALE,
        mix: float = 0.0,
    ) -> None:
        super().__init__(pixels, labels, batch_size, None if augmentation is None else seed)
        self.augmentation, self.preprocessing, self.mix = augmentation, preprocessing, mix
        self.views_seed = seed

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        inputs, labels = super().__getitem__(index)
        if self.mix:
            rng = np.random.default_rng([self.views_seed, self.epoch, index, 1])  # another stream than the views'
            shares, others = rng.beta(self.mix, self.mix, len(labels)), rng.permutation(len(labels))
            shares = np.maximum(shares, 1 - shares).astype(np.float32)
            inputs, labels = (_blend(one, one[others], shares) for one in (inputs, labels))
        return inputs, labels

    def inputs(self, here: np.ndarray, index: int) -> np.ndarray:
        """What the network gets of the photos ``here``, batch ``index`` of this epoch."""
        return self.view(here, self.epoch, index)

    def view(self, here: np.ndarray, *chance: int) -> np.ndarray:
        """The photos ``here``, preprocessed; where they are augmented, the views drawn from the seed and ``chance``."""
        pixels = self.arrays[here]
        if self.augmentation is not None:
            rng = np.random.default_rng([self.views_seed, *chance])
            pixels = warp(pixels, self.augmentation.matrices(len(here), rng))
            pixels = self.augmentation.relight(pixels, rng)
        return PREPROCESSING[self.preprocessing](pixels)
