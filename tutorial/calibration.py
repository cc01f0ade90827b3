"""Probabilities that mean something: of the photos that get 80 %, eight in ten should be right.

A network that has learnt its training photos by heart is as sure of others, and wrongly so. One number, the
temperature, is fitted on the validation photos and divides all logits: C. Guo et al., On Calibration of Modern Neural
Networks (2017). It changes how sure the network is, never which class it names.
"""

import numpy as np

BINS = 10  # of equal width, in which sureness and share of right answers are compared
CAUTION = 0.5  # spread of log(temperature) that is believed before a photo is seen; keeps few photos from overruling it
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


def tempered(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities, (n, classes), whose logits are divided by the temperature; 1 leaves them as they are."""
    if temperature == 1:
        return probabilities
    logits = np.log(np.clip(probabilities, LEAST, 1)) / temperature
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def log_loss(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """The mean of -log(the right class's probability), natural logarithm."""
    right = probabilities[np.arange(len(labels)), np.int64(labels)]
    return float(-np.log(np.clip(right, LEAST, 1)).mean())


def fit_temperature(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """The temperature, 0.1 to 10, with the smallest log loss on photos that were not trained on.

    A little is added to the loss for temperatures far from 1 (a normal prior on the logarithm, CAUTION wide): where
    all validation photos are right, the loss alone would ask for boundless sureness.
    """
    logs = np.linspace(np.log(0.1), np.log(10), 461)  # steps of 1 %
    losses = [
        len(labels) * log_loss(tempered(probabilities, np.exp(one)), labels) + (one / CAUTION) ** 2 / 2 for one in logs
    ]
    return float(np.exp(logs[int(np.argmin(losses))]))


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
