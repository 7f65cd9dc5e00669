"""Two or more predictions of the same images: where they differ, what a change fixed and spoiled, and how sure that is.

Rows are matched by id (`ensembles.align`), so that runs and files in any order can be compared.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from dfclib.ensembles import align
from dfclib.errors import UserError
from dfclib.predictions import Predictions

if TYPE_CHECKING:
    import pandas as pd


def disagreement(members: Sequence[Predictions], names: Sequence[str] | None = None) -> np.ndarray:
    """The share of images to which two members give different answers, right or wrong: float64 (m, m), 0 to 1.

    Labels are not needed. Raises UserError as `align` does, and where there are no images.
    """
    members = align(members, names)
    if not len(members[0]):
        raise UserError("there are no images to compare answers for: the split is empty")
    answers = np.stack([member.predicted for member in members])
    return np.mean(answers[:, None] != answers[None], axis=2)


def fixed_and_made(
    before: Predictions, after: Predictions, names: tuple[str, str] = ("before", "after")
) -> "pd.DataFrame":
    """What became of the errors: one row a true class, and a last one, "all".

    Columns: class (original name), n (images), errors_before, fixed (wrong before, right after), made (right before,
    wrong after), errors_after = errors_before - fixed + made. Raises UserError as `align` does and without labels.
    """
    import pandas as pd

    members, (was_right, is_right) = _right([before, after], names)
    classes = [*members[0].class_names, "all"]
    rows = []
    for number, name in enumerate(classes):
        here = members[0].labels == number if number < len(classes) - 1 else np.ones(len(members[0]), bool)
        counts = [here, here & ~was_right, here & ~was_right & is_right, here & was_right & ~is_right, here & ~is_right]
        rows.append([name, *(int(np.count_nonzero(count)) for count in counts)])
    return pd.DataFrame(rows, columns=["class", "n", "errors_before", "fixed", "made", "errors_after"])


def compare(
    before: Predictions,
    after: Predictions,
    resamples: int = 10_000,
    seed: int = 0,
    names: tuple[str, str] = ("before", "after"),
) -> dict[str, float | int]:
    """Whether `after` is better than `before` on the same images, by more than chance explains.

    n; accuracy_before, accuracy_after, difference (after less before), as fractions; only_before_right,
    only_after_right (images); mcnemar_p, two-sided: how often a fair coin splits the images that one alone gets right
    at least so unevenly (Q. McNemar, Psychometrika 12, 1947, in its exact, binomial form; 1 where there are none);
    low, high: the 95% percentile interval of the difference over bootstrap resamples of the images, each taken with
    both answers to it (B. Efron, Annals of Statistics 7, 1979).
    Both speak of other images of the same kind, not of other seeds, nor of predictions chosen on these images.
    Raises UserError as `align` does and without labels.
    """
    from scipy.stats import binomtest

    _, (was_right, is_right) = _right([before, after], names)
    n = len(was_right)
    lost, won = (int(np.count_nonzero(x)) for x in (was_right & ~is_right, ~was_right & is_right))
    # An image adds 1, -1 or 0 to the difference, so that drawing n images anew is drawing three counts.
    draws = np.random.default_rng(seed).multinomial(n, [won / n, lost / n, (n - won - lost) / n], size=resamples)
    low, high = np.quantile((draws[:, 0] - draws[:, 1]) / n, [0.025, 0.975])
    return {
        "n": n,
        "accuracy_before": float(np.mean(was_right)),
        "accuracy_after": float(np.mean(is_right)),
        "difference": (won - lost) / n,
        "only_before_right": lost,
        "only_after_right": won,
        "mcnemar_p": float(binomtest(won, won + lost).pvalue) if won + lost else 1.0,
        "low": float(low),
        "high": float(high),
    }


def rescued(members: Sequence[Predictions], ensemble: Predictions, names: Sequence[str] | None = None) -> np.ndarray:
    """Where a member is wrong and the ensemble right: bool (m, n), images in the first member's order.

    names: what messages call the members and, last, the ensemble. Raises UserError as `align` does and without labels.
    """
    _, right = _right([*members, ensemble], names)
    return ~right[:-1] & right[-1]


def spoiled(members: Sequence[Predictions], ensemble: Predictions, names: Sequence[str] | None = None) -> np.ndarray:
    """Where a member is right and the ensemble wrong: bool (m, n), as `rescued`."""
    _, right = _right([*members, ensemble], names)
    return right[:-1] & ~right[-1]


def is_right(predictions: Predictions) -> np.ndarray:
    """Which answers are right: bool (n,). Raises UserError without labels or images."""
    if predictions.labels is None:
        raise UserError("none of these predictions comes with true labels: there is no right or wrong to compare")
    if not len(predictions):
        raise UserError("there are no images to compare predictions of: the split is empty")
    return predictions.predicted == predictions.labels


def _right(members: Sequence[Predictions], names: Sequence[str] | None) -> tuple[list[Predictions], np.ndarray]:
    """The members aligned, and which of their answers are right: bool (m, n)."""
    members = align(members, names)
    return members, np.stack([is_right(member) for member in members])
