"""Calibrated probabilities: of the photos that get 80%, eight in ten should be classified correctly.

An overfitted network is too confident, and it may favor one class. Two things are fitted on the validation photos: a
temperature, which divides all logits (C. Guo et al., On Calibration of Modern Neural Networks, 2017), and an offset for
each class, which is added to its logit. For two classes that is Platt scaling (J. Platt, Probabilistic Outputs for
Support Vector Machines, 1999), for more bias-corrected temperature scaling (A. Alexandari et al., Maximum Likelihood
with Bias-Corrected Calibration, 2020).
"""

import numpy as np

BINS = 10  # of equal width, in which confidence and accuracy are compared
PRIOR_STD = 0.5  # of 1 / temperature about 1, and of the offsets about 0
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


def calibrate(probabilities: np.ndarray, temperature: float, offsets: list[float]) -> np.ndarray:
    """Probabilities, (n, classes), whose logits are divided by the temperature, and each class's offset added.

    Temperature 1 and no offsets leave them as they are.
    """
    if temperature == 1 and not any(offsets):
        return probabilities
    return _softmax(_logits(probabilities) / temperature + np.array(offsets))


def _logits(probabilities: np.ndarray) -> np.ndarray:
    return np.log(np.clip(probabilities, EPSILON, 1))


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def log_loss(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """The mean of -log(the right class's probability), natural logarithm."""
    right = probabilities[np.arange(len(labels)), np.int64(labels)]
    return float(-np.log(np.clip(right, EPSILON, 1)).mean())


def fit_calibration(probabilities: np.ndarray, labels: np.ndarray) -> tuple[float, list[float]]:
    """The temperature, at most MAX_TEMPERATURE, and the offsets with the smallest log loss on photos not trained on.

    Normal priors, PRIOR_STD wide, keep the temperature near 1 and the offsets near 0: where all validation photos are
    classified correctly the loss alone would lead to unlimited confidence, and a handful of photos should not overrule
    the network. Newton's method; the loss is convex in 1 / temperature and the offsets.

    Args:
        probabilities: (n, classes), as the network gives them.
        labels: (n,), 0, 1, ...
    """
    logits, labels = _logits(probabilities), np.asarray(labels, np.int64)
    count, classes = logits.shape
    # The derivative of each logit by each parameter: the logit itself for 1 / temperature, one for its class's offset.
    slopes = np.concatenate([logits[:, :, None], np.tile(np.eye(classes), (count, 1, 1))], axis=2)
    prior = np.eye(1 + classes)[0]
    parameters = prior

    def loss(at: np.ndarray) -> float:
        if at[0] < 1 / MAX_TEMPERATURE:
            return np.inf
        return count * log_loss(_softmax(slopes @ at), labels) + np.sum((at - prior) ** 2) / (2 * PRIOR_STD**2)

    for _ in range(50):
        found = _softmax(slopes @ parameters)
        mean = np.einsum("nc,ncp->np", found, slopes)
        gradient = (mean - slopes[np.arange(count), labels]).sum(axis=0) + (parameters - prior) / PRIOR_STD**2
        curvature = np.einsum("nc,ncp,ncq->pq", found, slopes, slopes) - mean.T @ mean
        step = np.linalg.solve(curvature + np.eye(1 + classes) / PRIOR_STD**2, gradient)
        while np.abs(step).max() > 1e-6 and loss(parameters - step) > loss(parameters):
            step /= 2
        parameters = parameters - step
        if np.abs(step).max() <= 1e-6:
            break
    return float(1 / parameters[0]), parameters[1:].tolist()


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
