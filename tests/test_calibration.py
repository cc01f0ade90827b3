"""Calibration against values computed by hand and by SciPy; out-of-distribution detection on points set by hand."""

import math

from tutorial.calibration import (
    PRIOR_STD,
    calibrate,
    calibration_error,
    class_probabilities,
    fit_temperature,
    log_loss,
    rejection_threshold,
    reliability,
)
from tutorial.out_of_distribution import fit_detector

import numpy as np
import pytest
from scipy.optimize import minimize_scalar


def test_a_sigmoids_output_is_the_second_classs_probability():
    assert class_probabilities(np.float32([[0.25], [1]])).tolist() == [[0.75, 0.25], [0, 1]]
    three = np.array([[0.2, 0.3, 0.5]])
    assert np.array_equal(class_probabilities(three), three)


def softmax(logits):
    powers = np.exp(logits)
    return powers / powers.sum(axis=1, keepdims=True)


def test_the_temperature_divides_the_logits():
    logits = np.array([[2.0, -1.0, 0.5], [0.0, 3.0, 3.0]])
    for temperature in (0.3, 1, 2.5):
        assert calibrate(softmax(logits), temperature) == pytest.approx(softmax(logits / temperature))
    sigmoid = class_probabilities(np.array([[1 / (1 + math.exp(-1.2))]]))
    assert calibrate(sigmoid, 2)[0, 1] == pytest.approx(1 / (1 + math.exp(-0.6)))
    assert calibrate(sigmoid, 1) is sigmoid  # the original recipe
    certain = calibrate(np.array([[0.0, 1.0]]), 2)  # a saturated sigmoid stays a number
    assert np.isfinite(certain).all() and certain[0, 1] > 0.999


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("factor", [3, 0.4])
def test_the_temperature_is_the_one_that_scipy_finds(classes, factor):
    """Of a network with logits three times too large, or too small."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 1.5, (2000, classes))
    labels = np.array([rng.choice(classes, p=row) for row in softmax(logits)])
    found = softmax(factor * logits)

    def loss(scale):
        moved = np.log(np.clip(found, 1e-7, 1)) * scale
        right = moved[np.arange(2000), labels] - np.log(np.exp(moved).sum(axis=1))
        return -right.sum() + (scale - 1) ** 2 / (2 * PRIOR_STD**2)

    expected = 1 / minimize_scalar(loss, (0.1, 1), tol=1e-9).x
    temperature = fit_temperature(found, labels.astype(np.float32))
    assert temperature == pytest.approx(expected, rel=0.006)
    assert temperature == pytest.approx(factor, rel=0.2)
    calibrated = calibrate(found, temperature)
    assert calibration_error(calibrated, labels) < 0.03 < 0.1 < calibration_error(found, labels)
    assert (calibrated.argmax(axis=1) == found.argmax(axis=1)).all()


def test_few_photos_that_are_all_right_do_not_give_unlimited_confidence():
    outputs = np.tile([[0.1, 0.9], [0.8, 0.2]], (5, 1))
    assert 0.4 < fit_temperature(outputs, np.tile([1, 0], 5)) < 1


def test_a_network_that_is_always_wrong_is_not_inverted():
    outputs = np.tile([[0.001, 0.999], [0.999, 0.001]], (50, 1))
    assert 5 < fit_temperature(outputs, np.tile([0, 1], 50)) <= 10.001


def test_calibration_error_by_hand():
    """Bins 0.5-0.6 (one of two right), 0.6-0.7 (right), 0.9-1 (two of two right)."""
    outputs = np.array([[0.55, 0.45], [0.41, 0.59], [0.62, 0.38], [0.05, 0.95], [0.0, 1.0]])
    labels = np.array([0, 0, 0, 1, 1])
    assert reliability(outputs, labels) == [(pytest.approx(0.57), 0.5, 2), (0.62, 1, 1), (pytest.approx(0.975), 1, 2)]
    assert calibration_error(outputs, labels) == pytest.approx((0.07 * 2 + 0.38 + 0.025 * 2) / 5)
    assert log_loss(outputs[:2], labels[:2]) == pytest.approx(-(math.log(0.55) + math.log(0.41)) / 2)


def test_half_of_the_mistakes_and_at_most_a_tenth_of_the_photos_are_below_the_threshold():
    sure = np.linspace(0.5, 0.995, 100)
    outputs = np.stack([sure, 1 - sure], axis=1)
    labels = np.zeros(100)
    labels[[0, 3, 50]] = 1  # wrong at 0.5, 0.515 and 0.75
    assert rejection_threshold(outputs, labels) == pytest.approx(0.515)
    labels[[60, 70, 80, 90]] = 1
    assert rejection_threshold(outputs, labels) == pytest.approx(np.quantile(sure, 0.1))
    assert rejection_threshold(outputs, np.zeros(100)) == 0.5


def test_out_of_distribution_is_far_from_every_class():
    rng = np.random.default_rng(0)

    def cone(axis, count):
        return rng.uniform(1, 5, (count, 1)) * (np.eye(8)[axis] + rng.normal(0, 0.05, (count, 8)))

    labels = np.repeat([0, 1], 100)
    detector = fit_detector(np.concatenate([cone(0, 100), cone(1, 100)]), labels)
    assert detector.class_means.shape == (2, 8)
    new = np.concatenate([cone(0, 500), cone(1, 500)])
    assert 0.01 < (detector.scores(new) > detector.threshold).mean() < 0.09  # about FLAGGED
    assert (detector.scores(cone(5, 50)) > detector.threshold).all()
    between = np.eye(8)[[0]] + np.eye(8)[[1]]  # 45 degrees from both
    assert detector.scores(between)[0] == pytest.approx(1 - math.cos(math.pi / 4), abs=0.01)
    assert np.isfinite(fit_detector(rng.random((2, 8)), np.array([0, 1])).threshold)  # a photo a class


def test_the_class_means_of_classes_of_different_sizes():
    rng = np.random.default_rng(0)
    features, labels = rng.random((3300, 6), np.float32), np.float32(rng.random(3300) < 0.3)
    unit = features / np.linalg.norm(np.float64(features), axis=1, keepdims=True)
    means = np.stack([unit[labels == label].mean(axis=0) for label in (0, 1)])
    expected = means / np.linalg.norm(means, axis=1, keepdims=True)
    assert fit_detector(features, labels).class_means == pytest.approx(expected, abs=1e-5)
