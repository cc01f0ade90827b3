"""Is a photo like those that a model was trained on? Where it is not, the model's answer means nothing.

A classifier has to name one of its classes, whatever it is shown. What it saw in the photo tells more: the angle
between its features and the mean of the nearest class's training photos. How many dogs, drawings and pictures of noise
that tells apart from the classes' own photos: benchmarks/unlike.md.
"""

from dataclasses import dataclass

import numpy as np

FOLDS = 5  # parts in which the training photos are judged by the others
FLAGGED = 0.03  # share of the training photos beyond the limit; fine-tuning brings them a little closer than others


@dataclass(frozen=True)
class Familiarity:
    """What a model's training photos look like to it."""

    centres: np.ndarray  # float32, (classes, d), of unit length: each class's mean
    limit: float = np.inf  # the distance beyond which a photo is unlike them

    def distances(self, features: np.ndarray) -> np.ndarray:
        """How far each photo, float (n, d), is from the nearest class: float, (n,), 1 less the cosine of the angle."""
        return 1 - (_unit(features) @ self.centres.T).max(axis=1)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)


def _centres(features: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return _unit(np.stack([_unit(features[labels == label]).mean(axis=0) for label in np.unique(labels)]))


def familiarity(features: np.ndarray, labels: np.ndarray) -> Familiarity:
    """Fit to the training photos; the limit is the distance that all but FLAGGED of them keep from the others.

    Args:
        features: float (n, d), what the network sees in each training photo before it decides.
        labels: (n,), 0, 1, ...
    """
    distances = np.empty(len(features))
    for fold in range(min(FOLDS, len(features))):
        own = np.arange(len(features)) % FOLDS == fold
        others = ~own if set(labels[~own]) == set(labels) else own | True  # a class of one photo judges itself
        distances[own] = Familiarity(_centres(features[others], labels[others])).distances(features[own])
    return Familiarity(_centres(features, labels).astype(np.float32), float(np.quantile(distances, 1 - FLAGGED)))
