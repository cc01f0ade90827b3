"""Bottleneck features: what VGG16 sees in each photo, computed once and kept."""

import hashlib
import io
import time
import zipfile
from collections.abc import Iterator
from contextlib import nullcontext
from itertools import islice
from pathlib import Path

import numpy as np

from tutorial.backend import keras
from tutorial.batches import digest
from tutorial.command_line import duration
from tutorial.photos import PREPROCESSING, RESCALE, PhotoFiles, readable_photos
from tutorial.whole_file import UNFINISHED, continued, has_room, written_whole

PORTION = 8  # photos at a time: larger portions are no faster and take more memory


def _digests(files: PhotoFiles, settings: str) -> np.ndarray:
    """A SHA-256 for each photo, of its bytes and of how it is read: changes when the features would."""
    return np.array([hashlib.sha256(settings.encode() + path.read_bytes()).hexdigest() for path in files.paths])


def _kept(path: Path, files: PhotoFiles, digests: np.ndarray) -> tuple[np.ndarray, PhotoFiles] | None:
    """The features in ``path`` and the photos they came from, if they are these very photos."""
    try:
        with np.load(path) as file:  # np.load refuses pickled objects unless told otherwise
            photos = {str(photo.relative_to(files.folder)): i for i, photo in enumerate(files.paths)}
            if not np.array_equal(file["digests"], digests) or not all(photo in photos for photo in file["photos"]):
                print(f"the photos have changed since {path} was saved: computing their features again")
                return None
            features, used = file["features"], files.only([photos[photo] for photo in file["photos"]])
            if not np.array_equal(file["labels"], used.labels) or len(features) != len(used.labels):
                raise ValueError("features and labels do not belong together")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        print(f"{path} is damaged: computing the features again")
        return None
    print(f"reusing the features of {len(features)} photos in {path}")
    return features, used


def _portions(items: Iterator, size: int) -> Iterator[list]:
    while portion := list(islice(items, size)):
        yield portion


def bottleneck_features(
    base: keras.Model,
    files: PhotoFiles,
    path: Path,
    preprocessing: str = RESCALE,
    mirrored: bool = False,
) -> tuple[np.ndarray, PhotoFiles]:
    """The base's output for every photo, from ``path`` if it holds them already, else computed and saved there.

    The file is NumPy's ``.npz``: ``features``, ``labels`` and ``photos`` (paths below the split's folder),
    one of each a photo, and ``digests``, by which a later run sees whether the photos are still the same.

    Args:
        base: from (n, size, size, 3), preprocessed, to (n, h, w, c).
        files: the photos; unreadable ones are named and left out.
        path: where the features are kept.
        preprocessing: a key of ``photos.PREPROCESSING``.
        mirrored: of the photos' mirror images instead.

    Returns:
        features, float32 (n, h, w, c), and the n photos they belong to, in the same order.

    Raises:
        TutorialError: no photo of a class can be read, or the file cannot be written.
    """
    image_size = base.input_shape[1]
    shape = base.output_shape[1:]
    seen = [layer.height for layer in base.layers if isinstance(layer, keras.layers.Resizing)] or image_size
    settings = f"{image_size} {seen} {shape} {preprocessing} {mirrored}"
    look = ", enlarged" * (seen != image_size) + ", mirrored" * mirrored
    digests = _digests(files, settings)
    kept = _kept(path, files, digests)
    if kept is not None:
        return kept
    needed = len(files.paths) * 4 * int(np.prod(shape))  # float32
    what, otherwise = f"the features of {len(files.paths)} photos", "the next run will compute them again"
    keep = has_room(path.parent, needed, what, otherwise)
    began = time.monotonic()
    features = np.empty((len(files.paths), *shape), np.float32)
    found: list[int] = []
    # What is done goes into a file as it comes, so that a run that is killed does not begin anew. It is named for what
    # it holds; others like it are of photos that have changed.
    unfinished = path.with_name(f"{path.stem}_{digest(digests)[:16]}{UNFINISHED}")
    for old in path.parent.glob(f"{path.stem}_{'?' * 16}{UNFINISHED}"):
        if old != unfinished:
            old.unlink()
    portion_bytes = PORTION * features[:1].nbytes
    with continued(unfinished, b"", portion_bytes) if keep else nullcontext((io.BytesIO(), 0)) as (file, done):
        if done:
            file.seek(0)
            features[: done * PORTION] = np.frombuffer(file.read(), np.float32).reshape(-1, *shape)
            print(f"features of {files.folder}{look}: continuing after {done * PORTION} photos")
        # Photos are read as they are needed and not all at once: the features of many take memory enough.
        for number, portion in enumerate(_portions(readable_photos(files, image_size), PORTION)):
            here = slice(len(found), len(found) + len(portion))
            found += [i for i, _ in portion]
            if number >= done:
                photos = PREPROCESSING[preprocessing]([pixels for _, pixels in portion])
                features[here] = base.predict_on_batch(photos[:, :, ::-1] if mirrored else photos)
                file.write(features[here].tobytes())
                file.flush()
    features, used = features[: len(found)], files.only(found)  # row by row the same photos
    print(f"features of {len(found)} photos in {files.folder}{look}: {duration(time.monotonic() - began)}", flush=True)
    if keep:
        photos = np.array([str(photo.relative_to(files.folder)) for photo in used.paths])
        with written_whole(path) as beside:
            np.savez(beside, features=features, labels=used.labels, photos=photos, digests=digests)
        unfinished.unlink()
    return features, used
