"""Predictions in memory: rows stay together, and what is not known is refused."""

import numpy as np
import pytest
from fakes import hand_made, labels_only

from dfclib.errors import UserError
from dfclib.predictions import Predictions


def test_take_keeps_rows_together():
    whole = hand_made()
    part = whole.take(np.array([4, 1]))
    for name in ("ids", "predicted", "probabilities", "labels"):
        assert np.array_equal(getattr(part, name), getattr(whole, name)[[4, 1]])
    assert labels_only([0, 1]).take([1]).probabilities is None


@pytest.mark.parametrize(
    "changes",
    [
        {"predicted": np.zeros(2, np.int64)},
        {"probabilities": np.zeros((3, 3), np.float32)},
        {"labels": np.zeros(4, np.int64)},
        {"ids": np.array([["a"], ["b"], ["c"]])},
    ],
    ids=str,
)
def test_arrays_of_other_shapes_are_refused(changes):
    columns = {"ids": np.array(["a", "b", "c"]), "predicted": np.zeros(3, np.int64), "class_names": ("x", "y")}
    Predictions(**columns)
    with pytest.raises(ValueError, match=f"3 ids and 2 classes but {next(iter(changes))} of shape"):
        Predictions(**(columns | changes))


def test_right_predictions_their_share_and_confidence():
    predictions = hand_made()
    assert predictions.correct.tolist() == [True, True, False, True, False, False]
    assert predictions.accuracy == 0.5
    assert predictions.confidence.tolist() == [0.5] * 6
    assert predictions.confidence.dtype == np.float64


def test_labels_and_probabilities_that_are_not_there_are_refused():
    bare = labels_only([0, 1])
    for ask in (lambda: bare.accuracy, lambda: bare.correct, bare.require_labels):
        with pytest.raises(UserError, match="without true labels"):
            ask()
    with pytest.raises(UserError, match="labels only"):
        _ = bare.confidence
    with pytest.raises(UserError, match="the split is empty"):
        hand_made().take([]).require_labels()
