"""What predictions are worth: accuracy with its interval, tables a class, the ladder of the six attempts."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dfclib.errors import UserError
from dfclib.predictions import Predictions
from dfclib.recipes import EnsembleRecipe, Recipe, all_recipes
from dfclib.runs import Run

if TYPE_CHECKING:
    import pandas as pd

AUTHOR = "author, public test"
# Of a training that chooses on the validation set, and of one that chooses on held-out images: two columns.
OURS = {
    "published": "ours, validation",
    "held_out": "ours, validation (looked at once)",
}
KEPT = {"last": "last epoch", "best_val_loss": "lowest loss on {}", "best_val_accuracy": "highest accuracy on {}"}
WATCHED = {"published": "validation", "held_out": "held-out images"}
# What an author may have measured accuracy on, as a recipe's claims name it and as a reader does
CLAIMS = {"public_test": "public test", "validation": "validation", "test": "test", "kaggle": "Kaggle"}
LADDER = {recipe.name: recipe.attempt for recipe in all_recipes() if recipe.attempt}


def wilson_interval(correct: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Score interval of a proportion (E. B. Wilson, J. Am. Stat. Assoc. 22, 1927), as fractions.

    It covers what another sample of `n` images might have given; not other seeds, and not the advantage of a
    checkpoint that was chosen on these images. Raises ValueError unless 0 <= correct <= n and n > 0.
    """
    from scipy.stats import binomtest

    interval = binomtest(int(correct), int(n)).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)


def summary(predictions: Predictions) -> dict[str, float | int | None]:
    """n, correct, accuracy, low, high (95% Wilson interval) and log_loss (nats; None without probabilities).

    A vote's "probabilities" are shares, whose log loss says little: a true class without a vote costs 36.
    Raises UserError where the true labels are not known.
    """
    labels = _labels(predictions)
    correct = int(np.sum(predictions.predicted == labels))
    low, high = wilson_interval(correct, len(labels))
    return {
        "n": len(labels),
        "correct": correct,
        "accuracy": correct / len(labels),
        "low": low,
        "high": high,
        "log_loss": _log_loss(predictions),
    }


def per_class(predictions: Predictions) -> "pd.DataFrame":
    """One row a class: class (original name), n (images), precision, recall, f1 (fractions).

    Precision of a class that is never predicted, and recall of one without images, are given as 0.
    Raises UserError where the true labels are not known.
    """
    import pandas as pd
    from sklearn.metrics import precision_recall_fscore_support

    labels = _labels(predictions)
    classes = np.arange(len(predictions.class_names))
    precision, recall, f1, n = precision_recall_fscore_support(
        labels, predictions.predicted, labels=classes, zero_division=0
    )
    names = list(predictions.class_names)
    return pd.DataFrame({"class": names, "n": n, "precision": precision, "recall": recall, "f1": f1})


def confusion_matrix(predictions: Predictions) -> np.ndarray:
    """Counts int64 (k, k): a row a true class, a column a predicted one.

    Raises UserError where the true labels are not known.
    """
    from sklearn import metrics

    labels = _labels(predictions)
    classes = np.arange(len(predictions.class_names))
    return metrics.confusion_matrix(labels, predictions.predicted, labels=classes).astype(np.int64)


def validation_fluctuation(history: "pd.DataFrame | dict[str, Any]") -> float:
    """How wildly validation accuracy swings: the root mean square of its changes *against* its trend, in points.

    The change from each epoch to the next, less the mean change over the run (the trend), squared, averaged, root
    taken, times 100. A curve that climbs evenly has 0; one that jumps five points up and down has about 5.
    history: needs `val_accuracy` (fractions), one value an epoch. NaN below three epochs: there is nothing to swing.
    """
    changes = np.diff(np.asarray(history["val_accuracy"], float))
    if len(changes) < 2:
        return float("nan")
    return float(100 * np.sqrt(np.mean((changes - changes.mean()) ** 2)))


def ladder(runs: Sequence[Run]) -> "pd.DataFrame":
    """The six attempts in their order: the author's figure on the public test, ours on validation.

    One row an attempt, data set, scale, protocol, device and precision; runs of other recipes are left out.
    Where several seeds were run, the row shows the lowest, and how many there are, their mean and deviation.
    The author's figure and ours come from different images and are not to be subtracted. Columns:

    attempt; author's figure; ours (a column a protocol); low, high (95% Wilson interval of ours); n (images);
    seed, seeds, mean and deviation over seeds (missing for one seed); scale; image size; epochs trained
    (missing for a vote); which epoch is kept; members (1, or voters); protocol; data; device; precision; run (a name).
    """
    import pandas as pd

    groups: dict[tuple, list[Run]] = {}
    for run in runs:
        if run.recipe.name in LADDER:
            groups.setdefault(_group(run), []).append(run)
    rows = [_ladder_row(sorted(groups[key], key=lambda run: run.seed)) for key in sorted(groups)]
    ours = [name for protocol, name in OURS.items() if any(row["protocol"] == protocol for row in rows)]
    columns = ["attempt", AUTHOR, *(ours or [OURS["published"]]), "low", "high", "n"]
    columns += ["seed", "seeds", "mean over seeds", "deviation over seeds", "scale", "image size", "epochs"]
    columns += ["kept", "members", "protocol", "data", "device", "precision", "run"]
    return pd.DataFrame(rows, columns=columns).astype({"epochs": "Int64"})


def author_figures(claims: dict[str, float]) -> str:
    """What the author states: `validation 88.9%, Kaggle 90.0%`; empty where nothing is stated."""
    return ", ".join(f"{name} {100 * claims[key]:.2f}%" for key, name in CLAIMS.items() if key in claims)


def kept(recipe: Recipe | EnsembleRecipe) -> str:
    """Which epoch's weights a run of `recipe` ends with, for a vote its members': `lowest loss on validation`."""
    texts = (KEPT[member.keep].format(WATCHED[recipe.protocol]) for member in recipe.members)
    return " or ".join(dict.fromkeys(texts))


def data_name(data: dict) -> str:
    """What a table or figure calls a run's data (`run.data`)."""
    if not data["embedded"]:
        return data["name"]
    if data["name"] == "garments":
        return "generated garments, not Fashion-MNIST"
    return "embedded data, not the competition's images"


def _group(run: Run) -> tuple:
    order = list(LADDER).index(run.recipe.name)
    scale = ("quick", "compact", "full").index(run.scale)
    data = (run.data["name"], run.data["fingerprint"])
    device = [run.environment[name] or "" for name in ("device", "precision")]  # None: a vote over several
    return order, data, scale, run.recipe.given_epochs or 0, run.is_current, run.protocol, *device


def _ladder_row(runs: Sequence[Run]) -> dict:
    """One row from the seeds of one attempt, sorted."""
    run = runs[0]
    result = summary(run.predictions("validation"))
    accuracies = [run.predictions("validation").accuracy for run in runs]
    several = len(runs) > 1
    sizes = {member.image_size for member in run.recipe.members}
    return {
        "attempt": LADDER[run.recipe.name],
        AUTHOR: run.recipe.claims.get("public_test", np.nan),
        OURS[run.protocol]: result["accuracy"],
        "low": result["low"],
        "high": result["high"],
        "n": result["n"],
        "seed": run.seed,
        "seeds": len(runs),
        "mean over seeds": np.mean(accuracies) if several else np.nan,
        "deviation over seeds": np.std(accuracies, ddof=1) if several else np.nan,
        "scale": run.scale_text,
        "image size": ", ".join(f"{height}x{width}" for height, width in sorted(sizes)),
        "epochs": len(run.history) or None,
        "kept": kept(run.recipe),
        "members": len(run.members) or 1,
        "protocol": run.protocol,
        "data": data_name(run.data),
        "device": run.environment["device"],
        "precision": run.environment["precision"],
        "run": run.name,
    }


def _labels(predictions: Predictions) -> np.ndarray:
    if predictions.labels is None:
        raise UserError("these predictions come without true labels: there is nothing to compare them with")
    if not len(predictions):
        raise UserError("there are no predictions to evaluate: the split is empty")
    return predictions.labels


def _log_loss(predictions: Predictions) -> float | None:
    from sklearn.metrics import log_loss

    if predictions.probabilities is None:
        return None
    probabilities = predictions.probabilities.astype(np.float64)
    # float32 rows add up to 1 within 1e-7, which scikit-learn remarks on for float64
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    return float(log_loss(predictions.labels, probabilities, labels=np.arange(probabilities.shape[1])))
