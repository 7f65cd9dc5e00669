"""Whether a prediction's confidence is worth what it says, and the one temperature that mends most of it.

The confidence of a prediction is the probability of the class that it names. All of this is about probabilities: the
shares of a hard vote (`ensembles.hard_vote`) have the same form, but say how many voters agree, not how likely they
are to be right, and a label file has none.
"""

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from dfclib.ensembles import SMALLEST
from dfclib.errors import UserError
from dfclib.predictions import Predictions

if TYPE_CHECKING:
    import pandas as pd

COLDEST, HOTTEST = 0.05, 20.0  # temperatures between which one is looked for


def reliability(predictions: Predictions, bins: int = 15) -> "pd.DataFrame":
    """What a reliability diagram shows: one row a bin of confidence, all of the same width.

    Columns: low, high (the bin holds low < confidence <= high), n (images), confidence (mean), accuracy; NaN in the
    last two where a bin is empty. Raises UserError without labels or probabilities, and where bins is below 1.
    """
    import pandas as pd

    if bins < 1:
        raise UserError(f"confidence needs at least one bin, received {bins}")
    confidence, right = _confidence(predictions)
    place = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    n, confidences, rights = (np.bincount(place, weights, minlength=bins) for weights in (None, confidence, right))
    some = np.maximum(n, 1)  # an empty bin divides by 1 and is blanked
    columns = {"low": np.arange(bins) / bins, "high": np.arange(1, bins + 1) / bins, "n": n}
    columns |= {"confidence": np.where(n, confidences / some, np.nan), "accuracy": np.where(n, rights / some, np.nan)}
    return pd.DataFrame(columns)


def expected_calibration_error(predictions: Predictions, bins: int = 15) -> float:
    """Mean distance between confidence and accuracy over the bins of `reliability`, weighted by images: 0 to 1.

    M. P. Naeini et al., AAAI 2015; of the predicted class, with 15 bins, as C. Guo et al., ICML 2017, report it.
    It depends on the bins, and chance in the bins makes it larger, more so the fewer images: compare it at equal n.
    Raises UserError as `reliability` does.
    """
    table = reliability(predictions, bins)
    gaps = (table["confidence"] - table["accuracy"]).abs().fillna(0)
    return float((gaps * table["n"]).sum() / table["n"].sum())


def fit_temperature(held_out: Predictions) -> float:
    """The temperature above 0 that logits are to be divided by for the lowest log loss (C. Guo et al., ICML 2017).

    held_out: predictions of a single model, or of a soft or geometric vote, for images that were held out of training,
    with labels; never for the images that the result is reported on. Logits are the logarithms of the probabilities,
    which differ from the model's own by a constant an image that softmax removes.
    Above 1: the confidence was too high; below 1: too low. It is looked for from 0.05 to 20, and the nearer end is
    returned where the loss has no lowest point between (as where every answer is right).
    Raises UserError without labels or probabilities.
    """
    from scipy.optimize import minimize_scalar

    _confidence(held_out)  # labels and probabilities are there
    logits = _logits(held_out)
    true = logits[np.arange(len(logits)), held_out.labels]

    def loss(log_temperature: float) -> float:
        scaled = logits / math.exp(log_temperature)
        return float(np.mean(np.log(np.exp(scaled).sum(axis=1)) - true / math.exp(log_temperature)))

    ends = math.log(COLDEST), math.log(HOTTEST)
    # The loss is convex in 1 / T, so that between two ends it has one valley.
    found = minimize_scalar(loss, bounds=ends, method="bounded", options={"xatol": 1e-7})
    return math.exp(min((*ends, float(found.x)), key=loss))


def with_temperature(predictions: Predictions, temperature: float) -> Predictions:
    """The same answers with other probabilities: softmax(log(probabilities) / temperature), float32 (n, k).

    Above 1 they move towards equal shares, below 1 apart. The order of classes stays, and `predicted` is taken over,
    so that two classes that become equal after rounding change no answer.
    Raises UserError without probabilities, and where the temperature is not a finite number above 0.
    """
    if not (math.isfinite(temperature) and temperature > 0):
        raise UserError(f"a temperature must be a finite number above 0, received {temperature!r}")
    if predictions.probabilities is None:
        raise UserError("these predictions are labels only: a temperature changes probabilities")
    raised = np.exp(_logits(predictions) / temperature)
    return replace(predictions, probabilities=(raised / raised.sum(axis=1, keepdims=True)).astype(np.float32))


def confidence_by_correctness(predictions: Predictions) -> dict[str, dict[str, float | int]]:
    """How sure the right and the wrong answers are: {"right": {"n", "mean", "median"}, "wrong": the same}.

    Mean and median are NaN where there is no such answer. Raises UserError without labels or probabilities.
    """
    confidence, right = _confidence(predictions)

    def describe(values: np.ndarray) -> dict[str, float | int]:
        some = len(values) > 0
        return {
            "n": len(values),
            "mean": float(np.mean(values)) if some else math.nan,
            "median": float(np.median(values)) if some else math.nan,
        }

    return {"right": describe(confidence[right]), "wrong": describe(confidence[~right])}


def _confidence(predictions: Predictions) -> tuple[np.ndarray, np.ndarray]:
    """Probability of the class that is named, float64 (n,), and whether it is the true one, bool (n,)."""
    if predictions.probabilities is None:
        raise UserError("these predictions are labels only: calibration is about probabilities")
    if predictions.labels is None:
        raise UserError("these predictions come without true labels: their confidence has nothing to be held against")
    if not len(predictions):
        raise UserError("there are no predictions to calibrate: the split is empty")
    confidence = predictions.probabilities[np.arange(len(predictions)), predictions.predicted].astype(np.float64)
    return confidence, predictions.predicted == predictions.labels


def _logits(predictions: Predictions) -> np.ndarray:
    """Logarithms of the probabilities less each row's largest: float64 (n, k), none above 0."""
    logits = np.log(np.maximum(predictions.probabilities.astype(np.float64), SMALLEST))
    return logits - logits.max(axis=1, keepdims=True)
