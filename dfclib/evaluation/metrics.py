"""Accuracy with its interval, per-class figures, the confusion matrix and how much a curve fluctuates.

What takes predictions raises UserError where the true labels are not known, and where there are no images.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from dfclib.predictions import Predictions

if TYPE_CHECKING:
    import pandas as pd


def wilson_interval(correct: int, n: int) -> tuple[float, float]:
    """95% score interval of a proportion (E. B. Wilson, J. Am. Stat. Assoc. 22, 1927).

    Its ends, fractions, cover what another sample of `n` images might have given; not other seeds, and not the
    advantage of a checkpoint that was chosen on these images. Raises ValueError unless 0 <= correct <= n and n > 0.
    """
    from scipy.stats import binomtest

    interval = binomtest(int(correct), int(n)).proportion_ci(method="wilson")
    return float(interval.low), float(interval.high)


def summary(predictions: Predictions) -> dict[str, float | int | None]:
    """n, correct (images), accuracy, low, high (fractions; 95% Wilson interval), log_loss (nats, or None).

    log_loss needs probabilities. Of a hard vote's shares it says little: a true class without a vote costs 36 nats.
    """
    correct, n = int(np.sum(predictions.correct)), len(predictions)
    low, high = wilson_interval(correct, n)
    figures = {"n": n, "correct": correct, "accuracy": correct / n, "low": low, "high": high}
    return figures | {"log_loss": None if predictions.probabilities is None else _log_loss(predictions)}


def per_class(predictions: Predictions) -> "pd.DataFrame":
    """One row per class: class (original name), n (images), precision, recall, f1 (fractions; 0 instead of 0 / 0)."""
    import pandas as pd
    from sklearn.metrics import precision_recall_fscore_support

    labels, classes = predictions.require_labels(), np.arange(len(predictions.class_names))
    precision, recall, f1, n = precision_recall_fscore_support(
        labels, predictions.predicted, labels=classes, zero_division=0
    )
    names = list(predictions.class_names)
    return pd.DataFrame({"class": names, "n": n, "precision": precision, "recall": recall, "f1": f1})


def confusion_matrix(predictions: Predictions) -> np.ndarray:
    """Counts of images, one row per true class and one column per predicted class: int64 (k, k)."""
    from sklearn import metrics

    labels, classes = predictions.require_labels(), np.arange(len(predictions.class_names))
    return metrics.confusion_matrix(labels, predictions.predicted, labels=classes)


def validation_fluctuation(history: "pd.DataFrame | dict[str, Any]") -> float:
    """How much `val_accuracy` (fractions) jumps from epoch to epoch against its trend, in percentage points.

    The change from each epoch to the next, less the mean change over the run (the trend), squared, averaged, root
    taken, times 100; NaN below three epochs. An even climb has 0; a curve that jumps five points up and down about 5.
    """
    changes = np.diff(np.asarray(history["val_accuracy"], float))
    if len(changes) < 2:
        return float("nan")
    return float(100 * np.sqrt(np.mean((changes - changes.mean()) ** 2)))


def _log_loss(predictions: Predictions) -> float:
    from sklearn.metrics import log_loss

    probabilities = predictions.require_probabilities().astype(np.float64)
    # float32 rows add up to 1 within 1e-7, which scikit-learn remarks on for float64
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    return float(log_loss(predictions.labels, probabilities, labels=np.arange(probabilities.shape[1])))
