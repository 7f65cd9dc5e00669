"""Calibration: how far confidence is from accuracy, and the temperature that corrects most of it.

The confidence of a prediction is the probability of the predicted class. A hard vote's shares look like probabilities,
but say how many voters agree, not how likely they are to be right. Every function raises UserError without
probabilities, and those that compare with the truth without labels or images.
"""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar

from dfclib.ensembles import SMALLEST
from dfclib.errors import UserError
from dfclib.predictions import Predictions


def reliability(predictions: Predictions, bins: int = 15) -> pd.DataFrame:
    """Confidence and accuracy in bins of confidence, as a reliability diagram shows them.

    One row per bin, all of the same width: low, high (the bin holds low < confidence <= high), n (images), confidence
    (mean) and accuracy; NaN in the last two where a bin is empty.
    """
    if bins < 1:
        raise UserError(f"confidence needs at least one bin, received {bins}")
    confidence, right = predictions.confidence, predictions.correct
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
    """
    table = reliability(predictions, bins)
    gaps = (table["confidence"] - table["accuracy"]).abs().fillna(0)
    return float(np.average(gaps, weights=table["n"]))


def fit_temperature(held_out: Predictions) -> float:
    """The temperature to divide logits by for the lowest log loss (C. Guo et al., ICML 2017).

    Logits are the logarithms of the probabilities, which differ from the model's own by a constant per image that
    softmax removes. Take images that were held out of training, never those that the result is reported on.

    Returns:
        Above 1 where the confidence was too high, below 1 where it was too low; from 0.05 to 20, and the nearer end
        where the loss has no minimum between (as where every prediction is right).
    """
    logits = _logits(held_out)
    true = logits[np.arange(len(logits)), held_out.require_labels()]

    def loss(log_temperature: float) -> float:
        scaled = logits / math.exp(log_temperature)
        return float(np.mean(np.log(np.exp(scaled).sum(axis=1)) - true / math.exp(log_temperature)))

    ends = math.log(0.05), math.log(20)
    # The loss is convex in 1 / T, so that between two ends it has one valley.
    found = minimize_scalar(loss, bounds=ends, method="bounded", options={"xatol": 1e-7})
    return math.exp(min((*ends, float(found.x)), key=loss))


def with_temperature(predictions: Predictions, temperature: float) -> Predictions:
    """The same predicted classes with other probabilities: softmax(log(probabilities) / temperature).

    Above 1 probabilities move towards equal shares, below 1 apart. `predicted` is taken over, so that two classes that
    become equal after rounding change no prediction.
    """
    if not (math.isfinite(temperature) and temperature > 0):
        raise UserError(f"a temperature must be a finite number above 0, received {temperature!r}")
    raised = np.exp(_logits(predictions) / temperature)
    return replace(predictions, probabilities=(raised / raised.sum(axis=1, keepdims=True)).astype(np.float32))


def _logits(predictions: Predictions) -> np.ndarray:
    """Logarithms of the probabilities less each row's largest: float64 (n, k), none above 0."""
    logits = np.log(np.maximum(predictions.require_probabilities().astype(np.float64), SMALLEST))
    return logits - logits.max(axis=1, keepdims=True)
