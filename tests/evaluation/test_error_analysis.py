"""Errors of an ensemble and its members, on five images whose errors are counted by hand."""

from dataclasses import replace

import numpy as np
import pytest

from dfclib.ensembles import soft_vote
from dfclib.errors import UserError
from dfclib.evaluation import calibration
from dfclib.evaluation.error_analysis import error_analysis, taken_for
from dfclib.predictions import Predictions

IDS = np.array(["a", "b", "c", "d", "e"])
TRUTH = np.array([0, 1, 2, 2, 2])


def said(*rows: tuple[float, float, float]) -> Predictions:
    shares = np.array(rows, np.float32)
    return Predictions(IDS, shares.argmax(axis=1), ("0", "1", "4"), shares, TRUTH)


# right on a, c and e; wrong on b (says 0) and d (says 1)
FIRST = said((0.8, 0.1, 0.1), (0.5, 0.4, 0.1), (0.1, 0.1, 0.8), (0.1, 0.6, 0.3), (0.2, 0.2, 0.6))
# right on a and b; wrong on c (says 0), d (says 1) and e (says 0)
SECOND = said((0.7, 0.2, 0.1), (0.1, 0.8, 0.1), (0.5, 0.1, 0.4), (0.1, 0.7, 0.2), (0.9, 0.05, 0.05))
VOTE = soft_vote([FIRST, SECOND])  # right on a, b and c; d stays 1; e becomes 0


def test_who_is_put_right_and_who_is_spoiled():
    found = error_analysis({"first": FIRST, "second": SECOND}, VOTE)
    assert found.rescued["first"].tolist() == ["b"] and found.rescued["second"].tolist() == ["c"]
    assert found.spoiled["first"].tolist() == ["e"] and found.spoiled["second"].tolist() == []
    assert found.all_wrong.tolist() == ["d"]
    assert found.temperatures == found.calibration_error_after == {}


def test_rows_are_matched_by_id():
    backwards = SECOND.take(np.arange(5)[::-1])
    found = error_analysis({"first": FIRST, "second": backwards}, VOTE)
    assert found.rescued["second"].tolist() == ["c"]


def test_the_hard_class_is_counted_both_ways():
    table = taken_for(SECOND, "4").set_index("other")
    assert table.loc["0"].tolist() == ["4", 2, 0] and table.loc["1"].tolist() == ["4", 1, 0]
    assert taken_for(FIRST, "0").set_index("other").loc["1"].tolist() == ["0", 0, 1]
    found = error_analysis({"first": FIRST, "second": SECOND}, VOTE)
    assert found.hard_class["second"].equals(taken_for(SECOND, "4"))


def test_confidence_and_calibration_are_those_of_calibration():
    found = error_analysis({"first": FIRST, "second": SECOND}, VOTE)
    assert found.confidence["first"]["right"]["mean"] == pytest.approx((0.8 + 0.8 + 0.6) / 3)
    assert found.confidence["first"]["wrong"]["n"] == 2
    assert found.calibration_error["ensemble"] == calibration.expected_calibration_error(VOTE)


def test_temperatures_come_from_held_out_predictions_alone():
    held_out = {"first": replace(FIRST, labels=FIRST.predicted), "second": SECOND, "ensemble": VOTE}
    found = error_analysis({"first": FIRST, "second": SECOND}, VOTE, held_out=held_out)
    # always right on held-out images: the coldest temperature, although it errs on the others
    assert found.temperatures["first"] == pytest.approx(calibration.COLDEST, rel=1e-3)
    assert found.temperatures["second"] == pytest.approx(calibration.fit_temperature(SECOND))
    cooled = calibration.with_temperature(FIRST, found.temperatures["first"])
    assert found.calibration_error_after["first"] == calibration.expected_calibration_error(cooled)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"hard_class": "5"}, "there are 0, 1, 4"),
        ({"held_out": {"first": FIRST}}, "first, second, ensemble"),
    ],
)
def test_wrong_arguments_are_told(arguments, words):
    with pytest.raises(UserError, match=words):
        error_analysis({"first": FIRST, "second": SECOND}, VOTE, **arguments)


def test_without_labels_there_are_no_errors_to_analyse():
    unknown = [replace(p, labels=None) for p in (FIRST, SECOND, VOTE)]
    with pytest.raises(UserError, match="true labels"):
        error_analysis({"first": unknown[0], "second": unknown[1]}, unknown[2])
