"""Which photos are unlike the others of their class, by what ImageNet's VGG16 sees in them.

Nobody has to say what does not belong: dogs among cats, drawings and food have in common that they differ from most.
"""

import zipfile
from pathlib import Path

import numpy as np

from tutorial.command_line import ProgressLine
from tutorial.photos import PhotoError, read_many
from tutorial.whole_file import written_whole

# Recall of planted dogs depends on all three settings (benchmarks/prune.md): VGG16's own preprocessing (with the
# texts' 1/255 the ranking is no better than chance), its own image size, and block 5's maximum over the photo.
IMAGE_SIZE = 224  # pixels a side; 150 costs half the time and loses up to a fifth of the intruders
LAYER = "block5_conv3"  # 512 channels; the maximum of each over the photo: "is there one anywhere?"
BATCH_SIZE = 16  # photos at a time

FEWEST = 20  # photos of a class, below which "unlike the others" means little
SUSPECTS = 0.05  # share of the class that each round takes for intruders ...
FEWEST_SUSPECTS = 4  # ... but a probe learns nothing from two photos
ROUNDS = 3
RIDGE = 1.0  # strength of the probe's regularisation, in mean squared lengths of a feature vector


def photo_features(paths: list[Path], digests: list[str], kept: Path) -> np.ndarray:
    """What VGG16 sees in each photo: float32, (n, 512), of unit length, from ``kept`` where it holds them already.

    Args:
        paths: readable photos.
        digests: their SHA-256, by which ``kept`` knows a photo, wherever it has been moved to.
        kept: a ``.npz`` file; what is computed here is added to it, also when Ctrl-C ends the run.

    Raises:
        TutorialError: the ImageNet weights cannot be had, or ``kept`` cannot be written.
    """
    known = _read(kept)
    missing = {digest: path for digest, path in zip(digests, paths, strict=True) if digest not in known}
    if missing:
        try:
            _compute(missing, known)
        finally:
            with written_whole(kept) as beside, open(beside, "wb") as file:
                np.savez(file, digests=np.array(list(known)), features=np.array(list(known.values()), np.float32))
    return np.array([known[digest] for digest in digests], np.float32).reshape(len(digests), 512)


def _read(kept: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(kept) as file:  # np.load refuses pickled objects unless told otherwise
            return dict(zip(file["digests"].tolist(), file["features"].reshape(-1, 512), strict=True))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        print(f"{kept} is damaged: computing the features again")
        return {}


def _compute(missing: dict[str, Path], known: dict[str, np.ndarray]) -> None:
    from tutorial.backend import keras  # seconds to load, and needed for nothing else here
    from tutorial.networks import vgg16_base

    base = vgg16_base(IMAGE_SIZE)
    maxima = keras.layers.GlobalMaxPooling2D()(base.get_layer(LAYER).output)
    network = keras.Model(base.input, maxima)
    digests = list(missing)
    batch: list[np.ndarray] = []
    progress = ProgressLine("asking VGG16 about the photos", len(missing))
    for i, pixels in enumerate(read_many(list(missing.values()), IMAGE_SIZE), 1):
        # A photo that has become unreadable since it was looked at is asked about as a black one.
        batch.append(np.zeros((IMAGE_SIZE, IMAGE_SIZE, 3)) if isinstance(pixels, PhotoError) else pixels)
        if len(batch) == BATCH_SIZE or i == len(missing):
            seen = network.predict_on_batch(keras.applications.vgg16.preprocess_input(np.array(batch, np.float32)))
            seen /= np.maximum(np.linalg.norm(seen, axis=1, keepdims=True), 1e-9)
            known.update(zip(digests[i - len(batch) : i], seen, strict=True))
            batch = []
            progress.update(i)
    progress.clear()


def _standard(scores: np.ndarray) -> np.ndarray:
    return (scores - scores.mean()) / max(scores.std(), 1e-9)


def _probe(features: np.ndarray, suspect: np.ndarray) -> np.ndarray:
    """How much each photo looks like the suspects to a linear probe that was fitted without it.

    Weighted ridge regression, suspects and others of equal weight together; its leave-one-out predictions follow
    from the one fit on all (Hastie, Tibshirani, Friedman: The Elements of Statistical Learning, 2009, eq. 7.64).
    """
    weights = np.where(suspect, 0.5 / suspect.mean(), 0.5 / (1 - suspect.mean()))
    centred = np.float64(features) - np.average(features, axis=0, weights=weights)
    design = np.hstack([centred, np.ones((len(features), 1))])
    penalty = np.full(design.shape[1], RIDGE * np.mean(np.sum(centred**2, axis=1)) + 1e-9)
    penalty[-1] = 0  # the constant is not held back
    solved = np.linalg.solve(design.T @ (weights[:, None] * design) + np.diag(penalty), (design * weights[:, None]).T)
    own = np.einsum("ij,ji->i", design, solved)  # the share of its own label in each photo's prediction
    return (design @ (solved @ suspect) - own * suspect) / (1 - own)


def unlikeness(features: np.ndarray) -> np.ndarray:
    """How unlike the others of its class each photo is, in standard deviations: float64, (n,), larger is more unlike.

    First by the distance to the class's median. Then the most distant are taken for intruders and a linear probe
    learns what they have in common, which finds those of their kind that are less distant; and so on.

    Args:
        features: (n, 512), of one class, from :func:`photo_features`; n at least FEWEST.
    """
    assert len(features) >= FEWEST
    distance = _standard(np.linalg.norm(features - np.median(features, axis=0), axis=1))
    scores = distance
    for _ in range(ROUNDS):
        suspect = np.zeros(len(features), bool)
        suspect[np.argsort(-scores, kind="stable")[: max(FEWEST_SUSPECTS, round(SUSPECTS * len(features)))]] = True
        scores = _standard(_standard(_probe(features, suspect)) + 0.5 * distance)
    return scores
