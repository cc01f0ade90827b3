"""Activations of VGG16's frozen layers, computed once and cached on disk.

What a frozen layer outputs for an image never changes. Part 2 needs the last layer's output for each photo (the
bottleneck features) and part 3 block 4's for a few augmented copies of each, so VGG16's frozen blocks, nine tenths of
its work, run once and not in every epoch.

A cache is one ``.npy`` file, named for what it was computed from, every photo's pixels included: a file of that name is
reused, others are removed. It appears complete or not at all, and ends with the SHA-256 of what is before; a pass
through VGG16 that was interrupted is repeated. It is read as a :class:`tutorial.disk_array.DiskArray`.
"""

import math
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from io import BytesIO
from itertools import chain
from pathlib import Path

from tutorial.augmentation import AugmentedImages, Features, Images
from tutorial.backend import keras, tf
from tutorial.cli import ProgressBar, duration, echo
from tutorial.dataset import Photos
from tutorial.devices import one_device
from tutorial.disk_array import DiskArray, blocks
from tutorial.files import atomic_write, has_room
from tutorial.images import INFERENCE_BATCH
from tutorial.vgg16 import use_winograd

import numpy as np

CHECKSUM = 32  # bytes of SHA-256 at a cache's end
READ_SIZE = 2**20  # bytes that are read at a time to compute it
MakeImages = Callable[[np.ndarray], np.ndarray]  # from rows, int (b,), to preprocessed images, float32 (b, h, w, 3)


class Cache:
    """The activations of one set of images: a ``.npy`` file, perhaps not there yet.

    Args:
        network: from preprocessed images to activations.
        images: gives its inputs.
        count: how many images there are.
        path: the file, without the suffix; what the activations depend on is appended as a digest.
        key: what they depend on besides the network's shape.
        dtype: of the numbers in the file.
    """

    def __init__(
        self, network: keras.Model, images: MakeImages, count: int, path: Path, key: tuple, dtype: str
    ) -> None:
        self.network, self.images, self.count, self.dtype = network, images, count, np.dtype(dtype)
        self.shape = (count, *network.output_shape[1:])
        suffix = sha256(repr((key, self.shape, dtype)).encode()).hexdigest()[:16]
        self.path = path.with_name(f"{path.name}-{suffix}.npy")

    @property
    def header(self) -> bytes:
        """What NumPy writes before the activations."""
        file = BytesIO()
        kind = {"descr": self.dtype.str, "fortran_order": False, "shape": self.shape}
        np.lib.format.write_array_header_1_0(file, kind)
        return file.getvalue()

    @property
    def bytes(self) -> int:
        """Its size on disk."""
        return math.prod(self.shape) * self.dtype.itemsize

    def load(self) -> DiskArray | None:
        """The activations; None if the file is missing or damaged. It is never unpickled."""
        if not self.path.exists():
            return None
        try:
            with open(self.path, "rb") as file:
                digest, left = sha256(file.read(len(self.header))), self.bytes
                while portion := file.read(min(left, READ_SIZE)):
                    digest.update(portion)
                    left -= len(portion)
                if digest.digest() == file.read(CHECKSUM + 1):
                    return self.opened()
        except OSError:
            pass
        echo(f"{self.path} is damaged: computing it again")
        self.path.unlink()
        return None

    def opened(self) -> DiskArray:
        """The file, which is complete; it stays open, even if it is removed."""
        return DiskArray(open(self.path, "rb"), self.shape, self.dtype.str, len(self.header))

    def compute(self, description: str) -> Iterator[np.ndarray]:
        """Run all images through the network, in order; yields its outputs batch by batch, in the file's dtype."""
        progress = ProgressBar(description, self.count)
        for rows in blocks(np.arange(self.count), INFERENCE_BATCH):
            with one_device():
                outputs = self.network.predict_on_batch(self.images(rows)).astype(self.dtype)
            assert np.isfinite(outputs).all()  # float16 ends at 65504, far beyond VGG16's activations
            yield outputs
            progress.update(rows[-1] + 1)
        progress.close()

    def save(self, description: str) -> DiskArray:
        """Compute the activations into the file; no more than a batch of them is in memory."""
        start, digest = time.monotonic(), sha256()
        with atomic_write(self.path) as temporary, open(temporary, "wb") as file:
            for part in chain([self.header], map(np.ndarray.tobytes, self.compute(description))):
                digest.update(part)
                file.write(part)
            file.write(digest.digest())
        echo(f"{description}, {self.count} photos: {duration(time.monotonic() - start)}")
        return self.opened()


def _remove_outdated(folder: Path, prefix: str, caches: list[Cache]) -> None:
    """Remove the folder's files with this prefix that are not these caches."""
    for path in set(folder.glob(f"{prefix}*.npy")) - {cache.path for cache in caches}:
        path.unlink()


def bottleneck_features(base: keras.Model, photos: Photos, preprocessing: str, folder: Path) -> DiskArray:
    """VGG16's output for every photo, not augmented: from the cache, or computed and cached.

    Args:
        base: ``keras.applications.VGG16`` without its top. On a CPU it computes by Winograd's algorithm from now on.
        photos: with their images, of the base's input size.
        preprocessing: a key of ``images.PREPROCESSING``.
        folder: of the cache.

    Returns:
        float32, (n, h, w, 512), or (n, 512) where the base ends with pooling, in the photos' order.

    Raises:
        TutorialError: the folder cannot be written to.
    """
    images, split = Images(photos, INFERENCE_BATCH, preprocessing), photos.folder.name
    path, what = folder / f"bottleneck_features_{split}", f"bottleneck features of {split}"
    key = (images.digest, preprocessing)
    cache = Cache(use_winograd(base), images.copies, len(photos.labels), path, key, "<f4")
    if (features := cache.load()) is not None:
        echo(f"reusing the {what}")
    elif has_room(folder, cache.bytes, what, "they are not cached, and the next run computes them again"):
        features = cache.save(what)
    else:
        memory = BytesIO()
        for outputs in cache.compute(what):
            memory.write(outputs.data)
        features = DiskArray(memory, cache.shape, cache.dtype.str)
    _remove_outdated(folder, path.name, [cache])
    return features


class CachedActivations(Features):
    """Batches of cached activations, float32 (b, h, w, c): epoch ``e`` gets copy ``e % copies`` of each photo."""

    def __init__(self, images: Images, copies: list[DiskArray]) -> None:
        super().__init__(copies[0], images.photos, images.batch_size, images.seed)
        self.copies = copies

    def inputs(self, rows: np.ndarray, index: int) -> np.ndarray:
        """The activations of these rows."""
        return self.copies[self.epoch % len(self.copies)][rows].astype(np.float32)


def cached_activations(
    base: keras.Model, train_data: AugmentedImages, validation_data: Images, copies: int, folder: Path
) -> tuple[CachedActivations, CachedActivations] | None:
    """Cache block 4's output (float16) for augmented copies of the training photos, and for the validation photos.

    Args:
        base: ``keras.applications.VGG16`` without its top. On a CPU it computes by Winograd's algorithm from now on.
        train_data: the training photos with their augmentation.
        validation_data: the validation photos.
        copies: augmented copies of each training photo; 0 for new ones in every epoch.
        folder: of the cache.

    Returns:
        Training and validation data for block 5; None where there are to be new copies in every epoch: when that was
        requested, on a GPU, which is fast enough, and when the disk is too small.

    Raises:
        TutorialError: the folder cannot be written to.
    """
    with one_device():
        frozen = keras.Model(use_winograd(base).input, base.get_layer("block4_pool").output)
    if not copies:
        return None
    if tf.config.list_physical_devices("GPU"):
        echo("a GPU is fast enough for new augmented copies in every epoch: cached_copies is not used")
        return None

    def cache(data: Images, split: str, copy: int) -> Cache:
        key = (data.digest, data.preprocessing, getattr(data, "affine", ()), getattr(data, "color", ()), data.seed)
        path = folder / f"block4_{split}_copy{copy + 1}"
        return Cache(frozen, lambda rows: data.copies(rows, copy, int(rows[0])), len(data.labels), path, key, "<f2")

    caches = [*(cache(train_data, "train", copy) for copy in range(copies)), cache(validation_data, "validation", 0)]
    _remove_outdated(folder, "block4_", caches)
    found = [one.load() for one in caches]
    missing = [one for one, array in zip(caches, found, strict=True) if array is None]
    what = f"block 4's activations for {copies} augmented copies of each photo"
    otherwise = "training on new copies in every epoch, which is slower; a smaller --cached-copies needs less space"
    if missing and not has_room(folder, sum(one.bytes for one in missing), what, otherwise):
        return None
    arrays = []
    for i, (one, array) in enumerate(zip(caches, found, strict=True), 1):
        split = f"train, copy {i} of {copies}" if i <= copies else "validation"
        arrays.append(one.save(f"block 4's activations of {split}") if array is None else array)
    if len(missing) < len(caches):
        echo(f"reusing block 4's activations in {folder} for the same photos and settings")
    return CachedActivations(train_data, arrays[:-1]), CachedActivations(validation_data, arrays[-1:])
