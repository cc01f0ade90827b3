"""Calibrated answers against values computed by hand and by SciPy; familiarity on points laid out by hand."""

import math

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from tutorial.calibration import (
    CAUTION,
    calibration_error,
    class_probabilities,
    fit_temperature,
    log_loss,
    reliability,
    sure_from,
    tempered,
)
from tutorial.familiarity import familiarity


def test_a_sigmoids_output_is_the_second_classs_probability():
    assert class_probabilities(np.float32([[0.25], [1]])).tolist() == [[0.75, 0.25], [0, 1]]
    three = np.array([[0.2, 0.3, 0.5]])
    assert np.array_equal(class_probabilities(three), three)


def test_the_temperature_divides_the_logits():
    logits = np.array([[2.0, -1.0, 0.5], [0.0, 3.0, 3.0]])

    def softmax(values):
        powers = np.exp(values)
        return powers / powers.sum(axis=1, keepdims=True)

    for temperature in (0.3, 1, 2.5):
        assert tempered(softmax(logits), temperature) == pytest.approx(softmax(logits / temperature))
    sigmoid = 1 / (1 + math.exp(-1.2))
    cooler = tempered(class_probabilities(np.array([[sigmoid]])), 2)
    assert cooler[0, 1] == pytest.approx(1 / (1 + math.exp(-0.6)))
    certain = tempered(np.array([[0.0, 1.0]]), 2)  # a saturated sigmoid stays a number
    assert np.isfinite(certain).all() and certain[0, 1] > 0.999


def test_the_fitted_temperature_is_the_one_that_scipy_finds():
    """Answers drawn three times surer than they should be."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 1.5, 2000)
    labels = np.float32(rng.random(2000) < 1 / (1 + np.exp(-logits)))
    sure = class_probabilities(1 / (1 + np.exp(-3 * logits))[:, None])

    def loss(log_temperature):
        scaled = 3 * logits / np.exp(log_temperature)
        return np.sum(np.logaddexp(0, np.where(labels, -scaled, scaled))) + (log_temperature / CAUTION) ** 2 / 2

    found = fit_temperature(sure, labels)
    assert found == pytest.approx(np.exp(minimize_scalar(loss, bounds=(-2, 2), method="bounded").x), rel=0.011)
    assert 2.7 < found < 3.3
    assert calibration_error(tempered(sure, found), labels) < 0.03 < 0.1 < calibration_error(sure, labels)


def test_few_photos_that_are_all_right_do_not_ask_for_boundless_sureness():
    answers = np.tile([[0.1, 0.9], [0.8, 0.2]], (5, 1))
    labels = np.tile([1, 0], 5)
    assert 0.4 < fit_temperature(answers, labels) < 1


def test_calibration_error_by_hand():
    """Bins 0.5-0.6 (one of two right), 0.6-0.7 (right), 0.9-1 (two of two right)."""
    answers = np.array([[0.55, 0.45], [0.41, 0.59], [0.62, 0.38], [0.05, 0.95], [0.0, 1.0]])
    labels = np.array([0, 0, 0, 1, 1])
    assert reliability(answers, labels) == [(pytest.approx(0.57), 0.5, 2), (0.62, 1, 1), (pytest.approx(0.975), 1, 2)]
    assert calibration_error(answers, labels) == pytest.approx((0.07 * 2 + 0.38 + 0.025 * 2) / 5)
    assert log_loss(answers[:2], labels[:2]) == pytest.approx(-(math.log(0.55) + math.log(0.41)) / 2)


def test_not_sure_is_for_half_of_the_mistakes_and_no_more_than_a_tenth_of_the_photos():
    sure = np.linspace(0.5, 0.995, 100)
    answers = np.stack([sure, 1 - sure], axis=1)
    labels = np.zeros(100)
    labels[[0, 3, 50]] = 1  # wrong at 0.5, 0.515 and 0.75
    assert sure_from(answers, labels) == pytest.approx(0.515)
    labels[[60, 70, 80, 90]] = 1
    assert sure_from(answers, labels) == pytest.approx(np.quantile(sure, 0.1))
    assert sure_from(answers, np.zeros(100)) == 0.5


def test_the_unlike_are_far_from_every_class():
    rng = np.random.default_rng(0)

    def cone(axis, count):
        return rng.uniform(1, 5, (count, 1)) * (np.eye(8)[axis] + rng.normal(0, 0.05, (count, 8)))

    labels = np.repeat([0, 1], 100)
    known = familiarity(np.concatenate([cone(0, 100), cone(1, 100)]), labels)
    assert known.centres.shape == (2, 8)
    new = np.concatenate([cone(0, 500), cone(1, 500)])
    assert 0.01 < (known.distances(new) > known.limit).mean() < 0.09  # about FLAGGED
    assert (known.distances(cone(5, 50)) > known.limit).all()
    between = np.eye(8)[[0]] + np.eye(8)[[1]]  # 45 degrees from both
    assert known.distances(between)[0] == pytest.approx(1 - math.cos(math.pi / 4), abs=0.01)
    assert np.isfinite(familiarity(rng.random((2, 8)), np.array([0, 1])).limit)  # a photo a class
