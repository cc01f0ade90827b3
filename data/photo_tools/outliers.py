"""Outliers: the photos that differ most from the others of their class, by VGG16's ImageNet features.

No labels are needed: dogs, drawings and food among cats have in common that they differ from most photos.
"""

from itertools import islice
from pathlib import Path

from photo_tools.label_errors import FOLDS, out_of_fold_probabilities
from tutorial.cli import ProgressBar, echo
from tutorial.files import atomic_write
from tutorial.images import INFERENCE_BATCH, PREPROCESSING, PhotoError, read_ahead

import numpy as np

# With ImageNet (Caffe) preprocessing, VGG16's input size and block 5's global maximum; recall: benchmarks/prune.md
IMAGE_SIZE = 224  # height and width in pixels
LAYER = "block5_conv3"  # 512 channels; global max pooling: is a feature anywhere in the photo?
FEWEST = 20  # photos of a class; with fewer there is no "most" to differ from
SUSPECTS = 0.05  # share of the class that each round labels as outliers ...
FEWEST_SUSPECTS = FOLDS  # ... but at least as many photos
ROUNDS = 3


def photo_features(paths: list[Path], digests: list[str], cache: Path) -> np.ndarray:
    """VGG16's features of each photo: float32, (n, 512), of unit length, from the cache where it holds them.

    Args:
        paths: readable photos.
        digests: their SHA-256, the keys of the cache: a photo may be moved.
        cache: a ``.npz`` file; what is computed here is added to it, also when Ctrl-C ends the run.

    Raises:
        TutorialError: the ImageNet weights cannot be fetched, or the cache cannot be written.
    """
    known = _read(cache)
    missing = {digest: path for digest, path in zip(digests, paths, strict=True) if digest not in known}
    if missing:
        try:
            _compute(missing, known)
        finally:
            with atomic_write(cache) as temporary, open(temporary, "wb") as file:
                np.savez(file, digests=np.array(list(known)), features=np.array(list(known.values()), np.float32))
    unread = np.zeros(512)  # a photo that has become unreadable meanwhile; the next run tries it again
    return np.array([known.get(digest, unread) for digest in digests], np.float32).reshape(len(digests), 512)


def _read(cache: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(cache) as file:  # np.load refuses pickled objects unless told otherwise
            return dict(zip(file["digests"].tolist(), file["features"].reshape(-1, 512), strict=True))
    except FileNotFoundError:
        return {}
    except Exception:  # NumPy and zipfile raise errors of many kinds for damaged files
        echo(f"{cache} is damaged: computing the features again")
        return {}


def _compute(missing: dict[str, Path], known: dict[str, np.ndarray]) -> None:
    from tutorial.backend import keras  # takes seconds to load
    from tutorial.imagenet_weights import imagenet_weights
    from tutorial.vgg16 import use_winograd

    shape = (IMAGE_SIZE, IMAGE_SIZE, 3)
    base = use_winograd(keras.applications.VGG16(weights=imagenet_weights(), include_top=False, input_shape=shape))
    maxima = keras.layers.GlobalMaxPooling2D()(base.get_layer(LAYER).output)
    network = keras.Model(base.input, maxima)
    progress, done = ProgressBar("VGG16 features", len(missing)), 0
    pictures = (pixels for pixels, _ in read_ahead(list(missing.values()), IMAGE_SIZE))
    readable = (one for one in zip(missing, pictures, strict=True) if not isinstance(one[1], PhotoError))
    while batch := dict(islice(readable, 2 * INFERENCE_BATCH)):
        seen = network.predict_on_batch(PREPROCESSING["caffe"](list(batch.values())))
        seen /= np.maximum(np.linalg.norm(seen, axis=1, keepdims=True), 1e-9)
        known.update(zip(batch, seen, strict=True))
        progress.update(done := done + len(batch))
    progress.close()


def _standard(scores: np.ndarray) -> np.ndarray:
    return (scores - scores.mean()) / max(scores.std(), 1e-9)


def outlier_scores(features: np.ndarray) -> np.ndarray:
    """How far each photo is from the others of its class, in standard deviations: float64, (n,).

    First the distance to the class's median. Then, in each round, the most distant photos are labeled as outliers, and
    a linear classifier learns what they have in common, which finds others like them that are less distant.

    Args:
        features: (n, 512), of one class, from :func:`photo_features`; n at least FEWEST.

    Raises:
        TutorialError: the scikit-learn package is not installed.
    """
    assert len(features) >= FEWEST
    distance = _standard(np.linalg.norm(features - np.median(features, axis=0), axis=1))
    scores = distance
    for _ in range(ROUNDS):
        suspect = np.zeros(len(features), bool)
        suspect[np.argsort(-scores, kind="stable")[: max(FEWEST_SUSPECTS, round(SUSPECTS * len(features)))]] = True
        inlier, outlier = out_of_fold_probabilities(features, suspect, np.arange(len(features))).T
        scores = _standard(_standard(np.log(outlier) - np.log(inlier)) + 0.5 * distance)
    return scores
