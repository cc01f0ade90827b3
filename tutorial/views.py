"""Part 3's shortcut: what the frozen blocks say of each view, computed once and kept.

Blocks 1 to 4 of VGG16 are nine tenths of its work, and while they are frozen, their output for a given view of a
photo never changes. So it is computed once for the validation photos and for a number of augmented views of each
training photo, and block 5 and the top model train on that: the same mathematics, up to the rounding to float16.
"""

import hashlib
import io
import math
import time
from pathlib import Path

import numpy as np

from tutorial.backend import keras, tf
from tutorial.batches import Batches, PhotoBatches
from tutorial.command_line import ProgressLine, TutorialError, duration
from tutorial.whole_file import UNFINISHED, continued, has_room

PORTION = 8  # photos at a time through the frozen blocks: larger portions are no faster and take more memory


class KeptBatches(Batches):
    """Batches of kept outputs, float32 (b, h, w, c): epoch ``e`` gets the view ``e % views`` of each photo.

    Args:
        batches: of the photos.
        paths: the views' files.
    """

    def __init__(self, batches: PhotoBatches, paths: list[Path]) -> None:
        super().__init__(batches.arrays, batches.labels, batches.batch_size, batches.seed)
        self.paths = paths

    def inputs(self, here: np.ndarray, index: int) -> np.ndarray:
        """The kept outputs of the photos ``here``. Mapped anew each time, so that what was read does not pile up."""
        return np.load(self.paths[self.epoch % len(self.paths)], mmap_mode="r")[here].astype(np.float32)


def kept_views(
    frozen: keras.Model, training: PhotoBatches, validation: PhotoBatches, views: int, folder: Path
) -> tuple[KeptBatches, KeptBatches] | None:
    """Keep the frozen blocks' output for the views and the validation photos, as .npy files of float16 in a folder.

    A file is named for the photos and settings it was made from: one that is there already is reused, and one
    that belongs to other photos or settings is removed.

    Args:
        frozen: the frozen blocks, from ``networks.split_after_first_blocks``.
        training: the training photos with their augmentation.
        validation: the validation photos, which have one view: themselves.
        views: how many views of each training photo; 0 for a fresh one every epoch.
        folder: where the files are.

    Returns:
        Training and validation batches for the blocks that follow; None where fresh views are to be used instead:
        when they were asked for, on a GPU, which has no need of the shortcut, and when the disk is too small.

    Raises:
        TutorialError: the folder cannot be written to.
    """
    if not views:
        return None
    if tf.config.list_physical_devices("GPU"):
        print("a GPU is fast enough for a fresh view of each photo every epoch: --views is not used")
        return None
    sets = [
        (batches, _paths(frozen, batches, folder / name, number))
        for batches, name, number in ((training, "train", views), (validation, "val", 1))
    ]
    keys = {_key(paths[0]) for _, paths in sets}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path in [*folder.glob("*.npy"), *folder.glob(f"*{UNFINISHED}")]:
            if _key(path) not in keys:
                path.unlink()
    except OSError as error:
        raise TutorialError(f"{folder} cannot be written to ({error.strerror}): name another --weights-dir.") from None
    row = 2 * math.prod(frozen.output_shape[1:])  # bytes a photo, float16
    for batches, paths in sets:
        for path in paths:
            if path.exists() and not _is_whole(path, (len(batches.labels), *frozen.output_shape[1:])):
                print(f"{path} is damaged: computing it again")
                path.unlink()
    needed = sum(row * len(batches.labels) for batches, paths in sets for path in paths if not path.exists())
    instead = "training on a fresh view every epoch instead, which is slower and needs no disk; --views takes fewer"
    if not has_room(folder, needed, f"the frozen blocks' outputs for {views} views a photo", instead):
        return None
    for batches, paths in sets:
        for number, path in enumerate(paths):
            if not path.exists():
                _keep(frozen, batches, number, path, f"view {number + 1} of {len(paths)}")
    if needed < sum(row * len(batches.labels) * len(paths) for batches, paths in sets):
        print(f"reusing the frozen blocks' output in {folder} for photos and settings that are the same")
    return KeptBatches(*sets[0]), KeptBatches(*sets[1])


def _paths(frozen: keras.Model, batches: PhotoBatches, start: Path, views: int) -> list[Path]:
    """The file of each view, named for what it holds."""
    settings = (batches.digest, batches.augmentation, batches.seed, batches.preprocessing, frozen.output_shape)
    key = hashlib.sha256(repr(settings).encode()).hexdigest()[:16]
    return [start.with_name(f"{start.name}_{key}_view{number}.npy") for number in range(views)]


def _is_whole(path: Path, shape: tuple[int, ...]) -> bool:
    """Whether the file is an array of this shape, float16; mapped, not read, and never unpickled."""
    try:
        kept = np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError):
        return False
    return kept.shape == shape and kept.dtype == np.float16


def _key(path: Path) -> str:
    """What the views of the same photos and settings have in common: the name without the view's number."""
    return path.name.rpartition("_view")[0]


def _keep(frozen: keras.Model, batches: PhotoBatches, number: int, path: Path, what: str) -> None:
    """Send one view of every photo through the frozen blocks, in the photos' order, and save what comes out.

    In portions, never whole in memory; a run that was killed goes on after the last portion that is there.
    """
    start, count = time.monotonic(), len(batches.labels)
    header, shape = io.BytesIO(), (count, *frozen.output_shape[1:])
    np.lib.format.write_array_header_1_0(header, {"descr": "<f2", "fortran_order": False, "shape": shape})
    unfinished = path.with_name(path.name + UNFINISHED)
    with continued(unfinished, header.getvalue(), PORTION * 2 * math.prod(shape[1:])) as (file, done):
        if done:
            print(f"{what}: continuing after {done * PORTION} photos")
        progress = ProgressLine(f"{what}: photos", count, done * PORTION)
        for first in range(done * PORTION, count, PORTION):
            here = np.arange(first, min(first + PORTION, count))
            outputs = frozen.predict_on_batch(batches.view(here, number, first)).astype("<f2")
            assert np.isfinite(outputs).all()  # float16 ends at 65504, far beyond what VGG16 says of a photo
            file.write(outputs.tobytes())
            progress.update(first + len(here))
    unfinished.replace(path)
    progress.clear()
    photos = "training" if batches.augmentation else "validation"
    print(f"{what}, {count} {photos} photos: {duration(time.monotonic() - start)}", flush=True)
