"""The datasets that ``fit`` trains on: augmented images for training, unchanged ones for validation.

An augmented image is one affine transform (rotation, shift, shear, zoom, flip) about the image's center; what it
uncovers at the edges is filled with the nearest pixel. The ranges mean what they meant in the blog post, Keras 1's
``ImageDataGenerator``, shear in radians included. What an epoch contains depends on the seed and the epoch alone, so
that an interrupted run resumes at any epoch with the same bits.
"""

import hashlib
from functools import cached_property
from pathlib import Path

from tutorial.backend import keras
from tutorial.cli import echo
from tutorial.dataset import Photos
from tutorial.devices import replicas
from tutorial.disk_array import DiskArray, blocks
from tutorial.files import atomic_write
from tutorial.images import PREPROCESSING
from tutorial.plots import save_contact_sheet

import numpy as np
from PIL import Image


def one_hot(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Labels 0, 1, ... as the networks' outputs should be: float32, (n,) for two classes, else (n, num_classes)."""
    labels = np.asarray(labels, np.float32)
    return labels if num_classes == 2 else np.eye(num_classes, dtype=np.float32)[np.int64(labels)]


class Features(keras.utils.PyDataset):
    """Batches ``(inputs, labels)`` of arrays: shuffled with a seed, in order without one.

    Args:
        inputs: (n, ...), one row for each photo.
        photos: their labels and class names.
        batch_size: rows in a batch; the last batch of an epoch may be smaller.
        seed: of each epoch's order; None for the order in which they are. Several GPUs get equal shares of every batch,
            so the last one is filled up with the epoch's first rows, fewer than there are GPUs.
    """

    def __init__(
        self, inputs: np.ndarray | DiskArray, photos: Photos, batch_size: int, seed: int | None = None
    ) -> None:
        # Two threads prepare batches. With one, Keras leaves that to tf.data, whose autotuning thread delays the start
        # of about every second epoch by up to ten seconds on a machine with two cores. With several GPUs it has to be
        # one: there Keras 3.15's fit takes a batch before the first epoch (_maybe_symbolic_build in its trainer.py),
        # and what two threads have prepared by then is left in their queue and trained on instead of the next batches.
        super().__init__(workers=2 if replicas() == 1 else 1)
        self.labels = one_hot(photos.labels, len(photos.class_names))
        assert len(inputs) == len(self.labels)
        self.arrays, self.photos, self.batch_size, self.seed = inputs, photos, batch_size, seed
        self.set_epoch(0)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all inputs and labels."""
        return digest(self.arrays, self.labels)

    def __len__(self) -> int:
        return -(-len(self.labels) // self.batch_size)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        rows = self.order[index * self.batch_size : (index + 1) * self.batch_size]
        return self.inputs(rows, index), self.labels[rows]

    def inputs(self, rows: np.ndarray, index: int) -> np.ndarray:
        """The inputs of these rows, batch ``index`` of this epoch."""
        return self.arrays[rows]

    def set_epoch(self, epoch: int) -> None:
        """Go to this epoch, counted from 0, and draw its order."""
        self.epoch, self.order = epoch, np.arange(len(self.labels))
        if self.seed is not None:
            np.random.default_rng([self.seed, epoch]).shuffle(self.order)
            self.order = np.append(self.order, self.order[: -len(self.order) % replicas()])

    def on_epoch_end(self) -> None:
        """Keras calls this."""
        self.set_epoch(self.epoch + 1)


def digest(*arrays: np.ndarray | DiskArray) -> str:
    """SHA-256 of arrays: their shapes, dtypes and numbers."""
    found = hashlib.sha256()
    for array in arrays:
        found.update(f"{array.shape} {array.dtype}".encode())
        for some in blocks(array, 100):
            found.update(np.ascontiguousarray(some).data)
    return found.hexdigest()


class Images(Features):
    """Batches of photos as they are, in order: float32 (b, size, size, 3), preprocessed.

    Args:
        photos: with their images, from ``load_images``.
        batch_size: photos in a batch.
        preprocessing: a key of ``images.PREPROCESSING``.
        seed: see :class:`Features`.
    """

    def __init__(
        self, photos: Photos, batch_size: int, preprocessing: str = "rescale", seed: int | None = None
    ) -> None:
        super().__init__(photos.images, photos, batch_size, seed)
        self.preprocessing = preprocessing

    def inputs(self, rows: np.ndarray, index: int) -> np.ndarray:
        """The photos of these rows, preprocessed."""
        return self.copies(rows, self.epoch, index)

    def copies(self, rows: np.ndarray, *key: int) -> np.ndarray:
        """The photos of these rows, preprocessed; augmented, where they are, by the random numbers of ``key``."""
        return PREPROCESSING[self.preprocessing](self.arrays[rows])


class AugmentedImages(Images):
    """Batches of augmented photos, shuffled; each amount is drawn uniformly from its range.

    Args:
        photos: with their images, from ``load_images``.
        batch_size: photos in a batch.
        seed: of all random numbers.
        preprocessing: a key of ``images.PREPROCESSING``.
        rotation_range: degrees, either way.
        shift_range: fraction of the width, and of the height, either way.
        shear_range: radians, either way; later versions of Keras read the same 0.2 as degrees, which is invisible.
        zoom_range: width and height each become 1 - zoom to 1 + zoom of what the photo shows.
        horizontal_flip: flip left to right with probability 0.5.
        brightness: fraction of the full range that is added to or taken from all pixels.
        contrast: differences from the image's mean become 1 - contrast to 1 + contrast of what they were.
        random_erasing: with probability 0.5, erase a rectangle whose sides are 0.1 to this fraction of the image's size
            (Z. Zhong et al., Random Erasing Data Augmentation, 2017; filled with the image's mean).
        mixup_alpha: blend each photo with another of its batch, and its label likewise, by shares from Beta(alpha,
            alpha), the photo's own being the larger; 0 for none (H. Zhang et al., mixup: Beyond Empirical Risk
            Minimization, 2018).
    """

    seed: int

    def __init__(
        self,
        photos: Photos,
        batch_size: int,
        seed: int,
        preprocessing: str = "rescale",
        *,
        rotation_range: float = 0.0,
        shift_range: float = 0.0,
        shear_range: float = 0.0,
        zoom_range: float = 0.0,
        horizontal_flip: bool = False,
        brightness: float = 0.0,
        contrast: float = 0.0,
        random_erasing: float = 0.0,
        mixup_alpha: float = 0.0,
    ) -> None:
        super().__init__(photos, batch_size, preprocessing, seed)
        self.affine = (rotation_range, shift_range, shear_range, zoom_range, horizontal_flip)
        self.color = (brightness, contrast, random_erasing)
        self.mixup_alpha = mixup_alpha

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        inputs, labels = super().__getitem__(index)
        if self.mixup_alpha:
            rng = np.random.default_rng([self.seed, self.epoch, index, 1])  # another stream than the transforms'
            shares = rng.beta(self.mixup_alpha, self.mixup_alpha, len(labels))
            others = rng.permutation(len(labels))
            shares = np.maximum(shares, 1 - shares).astype(np.float32)
            inputs, labels = (_blend(one, one[others], shares) for one in (inputs, labels))
        return inputs, labels

    def copies(self, rows: np.ndarray, *key: int) -> np.ndarray:
        """Augmented copies of the photos of these rows, preprocessed; the same key gives the same copies."""
        rng = np.random.default_rng([self.seed, *key])
        images = affine_transform(self.arrays[rows], affine_matrices(len(rows), rng, *self.affine))
        return PREPROCESSING[self.preprocessing](color_transform(images, rng, *self.color))


def _blend(some: np.ndarray, others: np.ndarray, shares: np.ndarray) -> np.ndarray:
    shares = shares.reshape(-1, *[1] * (some.ndim - 1))
    return shares * some + (1 - shares) * others


def affine_matrices(
    count: int, rng: np.random.Generator, rotation: float, shift: float, shear: float, zoom: float, flip: bool
) -> np.ndarray:
    """Draw ``count`` affine transforms; the amounts are those of :class:`AugmentedImages`.

    Returns:
        float64, (count, 3, 3), from a copy's (x, y, 1) to its photo's, both from the center, in fractions of the size.
        The order is that of Keras 1's ``ImageDataGenerator``: rotation, shift, shear, zoom, then the flip.
    """
    theta = np.deg2rad(rng.uniform(-rotation, rotation, count))
    shift_x, shift_y = rng.uniform(-shift, shift, (2, count))
    angle = rng.uniform(-shear, shear, count)
    zoom_x, zoom_y = rng.uniform(1 - zoom, 1 + zoom, (2, count))
    flipped = np.where(rng.random(count) < (0.5 if flip else 0), -1.0, 1.0)
    zero, one = np.zeros(count), np.ones(count)

    def matrices(*rows: list[np.ndarray]) -> np.ndarray:
        return np.moveaxis(np.array([*rows, [zero, zero, one]]), 2, 0)

    rotated = matrices([np.cos(theta), np.sin(theta), zero], [-np.sin(theta), np.cos(theta), zero])
    shifted = matrices([one, zero, shift_x], [zero, one, shift_y])
    sheared = matrices([np.cos(angle), zero, zero], [-np.sin(angle), one, zero])
    zoomed = matrices([zoom_x * flipped, zero, zero], [zero, zoom_y, zero])
    return rotated @ shifted @ sheared @ zoomed


def affine_transform(images: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    """Copies of images by one affine transform each: bilinear, the edges' nearest pixel beyond them.

    Args:
        images: any dtype, (n, size, size, 3).
        matrices: (n, 3, 3), from :func:`affine_matrices`.

    Returns:
        float32, the same shape and range.
    """
    size = images.shape[1]
    center = (size - 1) / 2
    to_pixels = np.array([[size, 0, center], [0, size, center], [0, 0, 1]])
    moves = to_pixels @ matrices @ np.linalg.inv(to_pixels)
    return keras.ops.convert_to_numpy(
        keras.ops.image.affine_transform(
            np.asarray(images, np.float32),
            np.float32(moves.reshape(-1, 9)[:, :8]),
            interpolation="bilinear",
            fill_mode="nearest",
        )
    )


def color_transform(
    images: np.ndarray, rng: np.random.Generator, brightness: float, contrast: float, random_erasing: float
) -> np.ndarray:
    """Images with other brightness and contrast and a rectangle erased; amounts as in :class:`AugmentedImages`.

    Args:
        images: (n, size, size, 3) in 0..255.

    Returns:
        float32, the same shape and range.
    """
    if not (brightness or contrast or random_erasing):
        return images
    (count, size), images = images.shape[:2], np.array(images)
    mean = images.mean(axis=(1, 2, 3), keepdims=True)
    if brightness or contrast:
        gain = rng.uniform(1 - contrast, 1 + contrast, (count, 1, 1, 1))
        added = rng.uniform(-brightness, brightness, (count, 1, 1, 1)) * 255
        images *= np.float32(gain)
        images += np.float32(mean * (1 - gain) + added)
        np.clip(images, 0, 255, out=images)
    if random_erasing:
        sides = (rng.uniform(min(0.1, random_erasing), random_erasing, (count, 2)) * size).astype(np.int64)
        corners = (rng.random((count, 2)) * (size - sides)).astype(np.int64)
        for i in np.flatnonzero(rng.random(count) < 0.5):
            (y, x), (height, width) = corners[i], sides[i]
            images[i, y : y + height, x : x + width] = mean[i]
    return images


def augmented_copies(image: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Copies of one image with the blog post's strong transforms for looking at: rotation and shifts too.

    Args:
        image: any dtype, (size, size, 3).
        count: of copies.
        seed: same seed, same copies.

    Returns:
        float32, (count, size, size, 3), in the image's range.
    """
    matrices = affine_matrices(
        count, np.random.default_rng(seed), rotation=40, shift=0.2, shear=0.2, zoom=0.2, flip=True
    )
    return affine_transform(np.repeat(image[None], count, axis=0), matrices)


def save_preview(photos: Photos, folder: Path, count: int, seed: int) -> None:
    """Save augmented copies of the first photo, as JPEGs in a folder and as one contact sheet."""
    copies = augmented_copies(photos.images[0], count, seed)
    for i, pixels in enumerate(copies, 1):
        with atomic_write(folder / f"copy_{i:02}.jpg") as temporary:
            Image.fromarray(np.uint8(np.clip(pixels, 0, 255).round())).save(temporary, "JPEG", quality=90)
    sheet = folder.with_suffix(".png")
    save_contact_sheet(np.concatenate([photos.images[:1], copies]), sheet)
    echo(f"{count} augmented copies of {photos.paths[0]}: {sheet} (the first is the photo itself)")
