"""Probabilities that mean something: of the photos that get 80 %, eight in ten should be right.

A network that has learnt its training photos by heart is as sure of others, and wrongly so, and it may lean towards
one class. Two things are fitted on the validation photos: a temperature, which divides all logits (C. Guo et al., On
Calibration of Modern Neural Networks, 2017), and an offset for each class, which is added to its logit. For two classes
that is Platt scaling (J. Platt, Probabilistic Outputs for Support Vector Machines, 1999), for more bias-corrected
temperature scaling (A. Alexandari et al., Maximum Likelihood with Bias-Corrected Calibration, 2020).
"""

import numpy as np

BINS = 10  # of equal width, in which sureness and share of right answers are compared
CAUTION = 0.5  # spread of 1 / temperature about 1 and of offsets about 0 that is believed before a photo is seen
HOTTEST = 10.0  # temperature: there all classes are nearly equal
LEAST = 1e-7  # what float32 can tell from 0 and from 1


def class_probabilities(outputs: np.ndarray) -> np.ndarray:
    """A probability for each class from a network's outputs.

    Args:
        outputs: (n, 1), a sigmoid's, the probability of the second of two classes; or (n, classes), a softmax's.

    Returns:
        float64, (n, classes).
    """
    outputs = np.asarray(outputs, np.float64)
    return np.hstack([1 - outputs, outputs]) if outputs.shape[1] == 1 else outputs


def calibrated(probabilities: np.ndarray, temperature: float, offsets: list[float]) -> np.ndarray:
    """Probabilities, (n, classes), whose logits are divided by the temperature, and each class's offset added.

    Temperature 1 and no offsets leave them as they are.
    """
    if temperature == 1 and not any(offsets):
        return probabilities
    return _softmax(_logits(probabilities) / temperature + np.array(offsets))


def _logits(probabilities: np.ndarray) -> np.ndarray:
    return np.log(np.clip(probabilities, LEAST, 1))


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def log_loss(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """The mean of -log(the right class's probability), natural logarithm."""
    right = probabilities[np.arange(len(labels)), np.int64(labels)]
    return float(-np.log(np.clip(right, LEAST, 1)).mean())


def fit_calibration(probabilities: np.ndarray, labels: np.ndarray) -> tuple[float, list[float]]:
    """The temperature, at most HOTTEST, and the offsets with the smallest log loss on photos not trained on.

    A little is added to the loss for a temperature far from 1 and for offsets far from 0 (normal priors, CAUTION wide):
    where all validation photos are right, the loss alone would ask for boundless sureness, and a handful of photos
    should not overrule the network. Found by Newton's method; the loss is convex in 1 / temperature and the offsets.

    Args:
        probabilities: (n, classes), as the network gives them.
        labels: (n,), 0, 1, ...
    """
    logits, labels = _logits(probabilities), np.asarray(labels, np.int64)
    count, classes = logits.shape
    # What each parameter adds to a logit when it grows by one: 1 / temperature the network's own, an offset one.
    slopes = np.concatenate([logits[:, :, None], np.tile(np.eye(classes), (count, 1, 1))], axis=2)
    prior = np.eye(1 + classes)[0]
    parameters = prior

    def loss(at: np.ndarray) -> float:
        if at[0] < 1 / HOTTEST:
            return np.inf
        return count * log_loss(_softmax(slopes @ at), labels) + np.sum((at - prior) ** 2) / (2 * CAUTION**2)

    for _ in range(50):
        found = _softmax(slopes @ parameters)
        mean = np.einsum("nc,ncp->np", found, slopes)
        gradient = (mean - slopes[np.arange(count), labels]).sum(axis=0) + (parameters - prior) / CAUTION**2
        curvature = np.einsum("nc,ncp,ncq->pq", found, slopes, slopes) - mean.T @ mean
        step = np.linalg.solve(curvature + np.eye(1 + classes) / CAUTION**2, gradient)
        while np.abs(step).max() > 1e-6 and loss(parameters - step) > loss(parameters):
            step /= 2
        parameters = parameters - step
        if np.abs(step).max() <= 1e-6:
            break
    return float(1 / parameters[0]), parameters[1:].tolist()


def reliability(probabilities: np.ndarray, labels: np.ndarray) -> list[tuple[float, float, int]]:
    """How sure the answers are and how often right: for each bin that is not empty (mean of both, photos)."""
    sure, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    bins = np.minimum(np.int64(sure * BINS), BINS - 1)
    return [
        (float(sure[here].mean()), float(right[here].mean()), int(here.sum()))
        for one in range(BINS)
        if (here := bins == one).any()
    ]


def calibration_error(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Expected calibration error: the mean over the photos of their bin's gap between sureness and right answers.

    M. Pakdaman Naeini et al., Obtaining Well Calibrated Probabilities Using Bayesian Binning (2015).
    """
    return sum(abs(sure - right) * count for sure, right, count in reliability(probabilities, labels)) / len(labels)


def sure_from(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """The probability below which "not sure" is the better answer, from photos that were not trained on.

    Half of the wrong answers lie below it, unless a tenth of all photos would too: then it is their tenth. Where
    nothing is wrong, it is the least probability with which a photo was right.
    """
    sure, wrong = probabilities.max(axis=1), probabilities.argmax(axis=1) != labels
    if not wrong.any():
        return float(sure.min())
    return float(min(np.median(sure[wrong]), np.quantile(sure, 0.1)))
