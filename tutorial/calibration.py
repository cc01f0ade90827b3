"""Calibrated probabilities: of the photos that get 80%, eight in ten should be classified correctly.

An overfitted network is too confident, a strongly regularized one not confident enough. A temperature, fitted on the
validation photos, divides all logits (C. Guo et al., On Calibration of Modern Neural Networks, 2017). It changes no
prediction's class.
"""

import numpy as np

BINS = 10  # of equal width, in which confidence and accuracy are compared
PRIOR_STD = 0.5  # of 1 / temperature about 1
MAX_TEMPERATURE = 10.0  # there all classes are nearly equal
EPSILON = 1e-7  # probabilities are clipped to it


def class_probabilities(outputs: np.ndarray) -> np.ndarray:
    """A probability for each class from a network's outputs.

    Args:
        outputs: (n, 1), a sigmoid's, the probability of the second of two classes; or (n, classes), a softmax's.

    Returns:
        float64, (n, classes).
    """
    outputs = np.asarray(outputs, np.float64)
    return np.hstack([1 - outputs, outputs]) if outputs.shape[1] == 1 else outputs


def calibrate(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities, (n, classes), whose logits are divided by the temperature; 1 leaves them as they are."""
    if temperature == 1:
        return probabilities
    ratios = np.clip(probabilities, EPSILON, 1)
    powers = (ratios / ratios.max(axis=1, keepdims=True)) ** (1 / temperature)
    return powers / powers.sum(axis=1, keepdims=True)


def log_loss(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """The mean of -log(the right class's probability), natural logarithm."""
    right = probabilities[np.arange(len(labels)), np.int64(labels)]
    return float(-np.log(np.clip(right, EPSILON, 1)).mean())


def fit_temperature(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """The temperature, 1 / MAX_TEMPERATURE to MAX_TEMPERATURE, with the smallest log loss on photos not trained on.

    A normal prior, PRIOR_STD wide, keeps 1 / temperature near 1: where all validation photos are classified correctly
    the loss alone would lead to unlimited confidence. The loss is convex in 1 / temperature: its minimum is searched
    among values that are 1% apart.

    Args:
        probabilities: (n, classes), as the network gives them.
        labels: (n,), 0, 1, ...
    """

    def loss(temperature: float) -> float:
        prior = (1 / temperature - 1) ** 2 / (2 * PRIOR_STD**2)
        return len(labels) * log_loss(calibrate(probabilities, temperature), labels) + prior

    return min(np.geomspace(1 / MAX_TEMPERATURE, MAX_TEMPERATURE, 461).tolist(), key=loss)


def reliability(probabilities: np.ndarray, labels: np.ndarray) -> list[tuple[float, float, int]]:
    """A reliability diagram: mean confidence, accuracy and number of photos of each bin that is not empty."""
    confidence, correct = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    bins = np.minimum(np.int64(confidence * BINS), BINS - 1)
    return [
        (float(confidence[here].mean()), float(correct[here].mean()), int(here.sum()))
        for one in range(BINS)
        if (here := bins == one).any()
    ]


def calibration_error(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Expected calibration error: the mean over the photos of their bin's gap between confidence and accuracy.

    M. Pakdaman Naeini et al., Obtaining Well Calibrated Probabilities Using Bayesian Binning (2015).
    """
    bins = reliability(probabilities, labels)
    return sum(abs(confidence - accuracy) * count for confidence, accuracy, count in bins) / len(labels)


def rejection_threshold(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """The probability below which a prediction is reported as "not sure", from photos that were not trained on.

    Half of the wrong predictions are below it, unless a tenth of all photos would be, too: then it is their first
    decile. Where none is wrong, it is the lowest probability of all.
    """
    confidence, wrong = probabilities.max(axis=1), probabilities.argmax(axis=1) != labels
    if not wrong.any():
        return float(confidence.min())
    return float(min(np.median(confidence[wrong]), np.quantile(confidence, 0.1)))
