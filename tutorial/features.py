"""Bottleneck features: what VGG16 sees in each photo, computed once and kept."""

import hashlib
import time
import zipfile
from pathlib import Path

import numpy as np

from tutorial.backend import keras
from tutorial.command_line import ProgressLine, duration
from tutorial.photos import PhotoFiles, load_photos, rescale
from tutorial.whole_file import written_whole


def _digests(files: PhotoFiles, image_size: int) -> np.ndarray:
    """A SHA-256 for each photo, of its bytes and the size it is read at: changes when the features would."""
    return np.array([hashlib.sha256(b"%d" % image_size + path.read_bytes()).hexdigest() for path in files.paths])


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


def bottleneck_features(
    base: keras.Model, files: PhotoFiles, path: Path, batch_size: int
) -> tuple[np.ndarray, PhotoFiles]:
    """The base's output for every photo, from ``path`` if it holds them already, else computed and saved there.

    The file is NumPy's ``.npz``: ``features``, ``labels`` and ``photos`` (paths below the split's folder),
    one of each a photo, and ``digests``, by which a later run sees whether the photos are still the same.

    Args:
        base: from (n, size, size, 3), rescaled, to (n, h, w, c).
        files: the photos; unreadable ones are named and left out.
        path: where the features are kept.
        batch_size: photos at a time; it changes the speed, not the result.

    Returns:
        features, float32 (n, h, w, c), and the n photos they belong to, in the same order.

    Raises:
        TutorialError: no photo of a class can be read, or the file cannot be written.
    """
    image_size = base.input_shape[1]
    digests = _digests(files, image_size)
    kept = _kept(path, files, digests)
    if kept is not None:
        return kept
    began = time.monotonic()
    pixels, used = load_photos(files, image_size)
    assert len(pixels) == len(used.labels)  # row by row the same photos, and the features row by row theirs
    features = np.empty((len(pixels), *base.output_shape[1:]), np.float32)
    progress = ProgressLine(f"features of {files.folder}", len(pixels))
    for start in range(0, len(pixels), batch_size):
        here = slice(start, start + batch_size)
        features[here] = base.predict_on_batch(rescale(pixels[here]))
        progress.update(start + batch_size)
    progress.clear()
    print(f"features of {len(pixels)} photos in {files.folder}: {duration(time.monotonic() - began)}", flush=True)
    photos = np.array([str(photo.relative_to(files.folder)) for photo in used.paths])
    with written_whole(path) as beside:
        np.savez(beside, features=features, labels=used.labels, photos=photos, digests=digests)
    return features, used
