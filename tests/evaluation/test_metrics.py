"""Accuracy with its interval, per-class figures, confusion and fluctuation, against cases computed by hand."""

import math
from dataclasses import replace

import numpy as np
import pytest
from fakes import hand_made

from dfclib.errors import UserError
from dfclib.evaluation import metrics


@pytest.mark.parametrize(
    ("correct", "n", "low", "high"),
    [
        # Newcombe, Statistics in Medicine 17 (1998), table I, method 3 (score without correction)
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_interval_gives_published_values(correct, n, low, high):
    assert metrics.wilson_interval(correct, n) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize(("correct", "n"), [(3, 2), (-1, 5), (0, 0)])
def test_wilson_interval_refuses_impossible_counts(correct, n):
    with pytest.raises(ValueError):
        metrics.wilson_interval(correct, n)


def test_summary_of_a_hand_made_case():
    result = metrics.summary(hand_made())
    low, high = metrics.wilson_interval(3, 6)
    log_loss = (3 * math.log(2) + 3 * math.log(4)) / 6
    assert result == pytest.approx(
        {"n": 6, "correct": 3, "accuracy": 0.5, "low": low, "high": high, "log_loss": log_loss}, abs=1e-12
    )
    assert metrics.summary(replace(hand_made(), probabilities=None))["log_loss"] is None


def test_per_class_of_a_hand_made_case():
    table = metrics.per_class(hand_made())
    assert list(table.columns) == ["class", "n", "precision", "recall", "f1"]
    assert table["class"].tolist() == ["a", "b", "c"]
    assert table["n"].tolist() == [3, 2, 1]
    assert table["precision"].tolist() == pytest.approx([2 / 4, 1 / 2, 0])
    assert table["recall"].tolist() == pytest.approx([2 / 3, 1 / 2, 0])
    assert table["f1"].tolist() == pytest.approx([4 / 7, 1 / 2, 0])


def test_confusion_matrix_has_true_classes_in_rows():
    matrix = metrics.confusion_matrix(hand_made())
    assert matrix.dtype == np.int64
    assert matrix.tolist() == [[2, 1, 0], [1, 1, 0], [1, 0, 0]]


@pytest.mark.parametrize("function", [metrics.summary, metrics.per_class, metrics.confusion_matrix])
def test_evaluation_needs_labels_and_rows(function):
    with pytest.raises(UserError, match="without true labels"):
        function(replace(hand_made(), labels=None))
    with pytest.raises(UserError, match="no predictions"):
        function(hand_made().take(np.array([], int)))


@pytest.mark.parametrize(
    ("curve", "expected"),
    [
        ([0.50, 0.60, 0.70, 0.80], 0.0),  # an even climb
        ([0.7, 0.7, 0.7], 0.0),
        ([0.80, 0.75, 0.80, 0.75, 0.80], 5.0),  # changes -5 +5 -5 +5, mean 0
        ([0.50, 0.60, 0.60], 5.0),  # changes 10 and 0, mean 5
        ([0.10, 0.20, 0.50], 10.0),  # changes 10 and 30, mean 20
        ([0.0, 0.03, 0.0, 0.0], 100 * math.sqrt((0.03**2 + 0.03**2) / 3)),
    ],
)
def test_fluctuation_by_hand(curve, expected):
    assert metrics.validation_fluctuation({"val_accuracy": curve}) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("curve", [[], [0.5], [0.5, 0.9]])
def test_fluctuation_needs_three_epochs(curve):
    assert math.isnan(metrics.validation_fluctuation({"val_accuracy": curve}))


def test_a_run_records_its_fluctuation(finished):
    expected = metrics.validation_fluctuation(finished.history)
    assert finished.metrics["validation_fluctuation"] == pytest.approx(expected)
