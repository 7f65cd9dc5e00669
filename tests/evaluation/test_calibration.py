"""Calibration against bins filled by hand and against temperatures that are known."""

import math
from dataclasses import replace

import numpy as np
import pytest
from fakes import BY_HAND, two_classes

from dfclib.errors import UserError
from dfclib.evaluation.calibration import (
    expected_calibration_error,
    fit_temperature,
    reliability,
    with_temperature,
)
from dfclib.predictions import Predictions


def drawn(temperature: float, n: int = 40_000, seed: int = 0) -> Predictions:
    """Labels drawn from softmax(logits / temperature), beside softmax(logits)."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 3, (n, 5))
    logits -= logits.max(axis=1, keepdims=True)
    said, true = np.exp(logits), np.exp(logits / temperature)
    said, true = said / said.sum(axis=1, keepdims=True), true / true.sum(axis=1, keepdims=True)
    labels = (rng.random((n, 1)) > np.cumsum(true, axis=1)).sum(axis=1).clip(0, 4)
    ids = np.arange(n).astype(str)
    return Predictions(ids, said.argmax(axis=1), tuple("01234"), said.astype(np.float32), labels)


def log_loss(predictions: Predictions) -> float:
    return -np.log(predictions.probabilities[np.arange(len(predictions)), predictions.labels]).mean()


def test_bins_hold_what_belongs_in_them():
    table = reliability(BY_HAND, bins=4)
    assert list(table.columns) == ["low", "high", "n", "confidence", "accuracy"]
    assert table["low"].tolist() == [0, 0.25, 0.5, 0.75]
    assert table["high"].tolist() == [0.25, 0.5, 0.75, 1]
    assert table["n"].tolist() == [0, 1, 2, 3]  # a confidence on an edge belongs below it
    np.testing.assert_allclose(table["confidence"], [np.nan, 0.5, 0.6875, 2.75 / 3])
    np.testing.assert_allclose(table["accuracy"], [np.nan, 1, 0.5, 2 / 3])
    assert reliability(BY_HAND)["n"].sum() == 6 and len(reliability(BY_HAND)) == 15


def test_expected_calibration_error_by_hand():
    # (1 x |0.5 - 1| + 2 x |0.6875 - 0.5| + 3 x |2.75/3 - 2/3|) / 6
    assert expected_calibration_error(BY_HAND, bins=4) == pytest.approx((0.5 + 0.375 + 0.75) / 6)
    assert expected_calibration_error(BY_HAND, bins=1) == pytest.approx(4.625 / 6 - 4 / 6)
    sure_and_right = two_classes([1.0, 1.0], [True, True])
    assert expected_calibration_error(sure_and_right) == 0


def test_the_confidence_is_that_of_the_predicted_class():
    other = replace(BY_HAND, predicted=np.ones(6, np.int64))  # as a file may say, against its own probabilities
    assert expected_calibration_error(other, bins=1) == pytest.approx(abs(1.375 / 6 - 2 / 6))


@pytest.mark.parametrize("temperature", [0.5, 1.0, 1.7, 3.0])
def test_a_known_temperature_is_found(temperature):
    predictions = drawn(temperature)
    found = fit_temperature(predictions)
    assert found == pytest.approx(temperature, rel=0.03)
    corrected = with_temperature(predictions, found)
    assert log_loss(corrected) <= log_loss(predictions)
    for other in (found * 0.98, found * 1.02):
        assert log_loss(with_temperature(predictions, other)) > log_loss(corrected)
    assert expected_calibration_error(corrected) < 0.01
    assert fit_temperature(corrected) == pytest.approx(1, abs=1e-3)


def test_a_loss_without_a_lowest_point_gives_an_end():
    assert fit_temperature(two_classes([0.9, 0.8], [True, True])) == pytest.approx(0.05)
    assert fit_temperature(two_classes([0.9, 0.8], [False, False])) == pytest.approx(20)
    assert fit_temperature(two_classes([1.0, 1.0], [True, True])) == pytest.approx(0.05)  # the loss is 0 everywhere


def test_a_temperature_changes_no_answer_and_is_softmax_of_logits():
    predictions = drawn(1.0, n=500)
    assert with_temperature(predictions, 1).probabilities == pytest.approx(predictions.probabilities, abs=1e-7)
    softened = with_temperature(predictions, 2)
    powers = predictions.probabilities.astype(np.float64) ** 0.5
    np.testing.assert_allclose(softened.probabilities, powers / powers.sum(axis=1, keepdims=True), rtol=1e-6)
    assert softened.probabilities.dtype == np.float32
    np.testing.assert_array_equal(softened.probabilities.argmax(axis=1), predictions.predicted)
    # a tie that a vote drew for the second class stays drawn so
    tied = replace(two_classes([0.5], [False]), predicted=np.array([1]))
    assert with_temperature(tied, 3).predicted.tolist() == [1]
    assert with_temperature(predictions, 1e6).predicted.tolist() == predictions.predicted.tolist()


def test_a_probability_of_zero_stays_finite():
    for temperature in (0.05, 1, 20):
        assert np.isfinite(with_temperature(two_classes([1.0], [True]), temperature).probabilities).all()
    # an infinite loss could not be lowered, and the search would end at the cold end
    assert fit_temperature(two_classes([1.0, 0.9], [False, True])) > 1


@pytest.mark.parametrize("function", [reliability, expected_calibration_error, fit_temperature])
def test_calibration_needs_labels_probabilities_and_rows(function):
    with pytest.raises(UserError, match="without true labels"):
        function(replace(BY_HAND, labels=None))
    with pytest.raises(UserError, match="labels only"):
        function(replace(BY_HAND, probabilities=None))
    with pytest.raises(UserError, match="split is empty"):
        function(BY_HAND.take(np.array([], int)))


def test_wrong_bins_and_temperatures_are_refused():
    with pytest.raises(UserError, match="at least one bin"):
        reliability(BY_HAND, bins=0)
    for temperature in (0, -1, math.nan, math.inf):
        with pytest.raises(UserError, match="above 0"):
            with_temperature(BY_HAND, temperature)
    with pytest.raises(UserError, match="labels only"):
        with_temperature(replace(BY_HAND, probabilities=None), 2)
    assert with_temperature(replace(BY_HAND, labels=None), 2).labels is None  # images to predict have none
