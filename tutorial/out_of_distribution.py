"""Out-of-distribution detection: is a photo like those that a model was trained on? If not, ignore its prediction.

A classifier names one of its classes whatever the photo shows. The score is the cosine distance between the photo's
features and the nearest class's mean over the training photos. How many dogs, drawn cats and noise images that detects:
``benchmarks/out_of_distribution.md``.
"""

from dataclasses import dataclass

import numpy as np

FOLDS = 5  # each fold of the training photos is scored with the class means of the others
FLAGGED = 0.03  # share of the training photos beyond the threshold; fine-tuning brings them a little closer than others


@dataclass(frozen=True)
class Detector:
    """Class means of the training photos' features, and the threshold on the distance to the nearest."""

    class_means: np.ndarray  # float32, (classes, d), of unit length
    threshold: float = np.inf  # the score beyond which a photo is out of distribution

    def scores(self, features: np.ndarray) -> np.ndarray:
        """The distance of each photo, float (n, d), to the nearest class: float, (n,), 1 less the cosine."""
        return 1 - (_unit(features) @ self.class_means.T).max(axis=1)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)


def _class_means(features: np.ndarray, labels: np.ndarray, used: np.ndarray) -> np.ndarray:
    """Of the photos that are used, bool (n,): float (classes, d), of unit length."""
    return _unit(np.stack([_unit(features[used & (labels == label)]).mean(axis=0) for label in np.unique(labels)]))


def fit_detector(features: np.ndarray, labels: np.ndarray) -> Detector:
    """Fit to the training photos; all but FLAGGED of them score below the threshold when cross-validated.

    Args:
        features: float (n, d), the network's features of each training photo before its classifier.
        labels: (n,), 0, 1, ...
    """
    scores = np.empty(len(features))
    for fold in range(min(FOLDS, len(features))):
        own = np.arange(len(features)) % FOLDS == fold
        others = ~own if set(labels[~own]) == set(labels) else own | True  # a class of one photo is its own mean
        scores[own] = Detector(_class_means(features, labels, others)).scores(features[own])
    means = _class_means(features, labels, np.ones(len(labels), bool))
    return Detector(means.astype(np.float32), float(np.quantile(scores, 1 - FLAGGED)))
