"""Two or more sets of predictions of the same images: where they differ, and which errors a change fixed and made.

Rows are matched by id (`ensembles.align`), so that runs and files in any order can be compared; true labels on one of
them are enough. `names` are what error messages call them. All raise UserError as `align` does and without images,
`fixed_and_made` and `compare` without labels, too.
"""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from dfclib.ensembles import align
from dfclib.errors import UserError
from dfclib.predictions import Predictions

MOST_VOTERS = 12  # and so 4,095 votes to count: a second for 1,250 images


def disagreement(members: Sequence[Predictions], names: Sequence[str] | None = None) -> np.ndarray:
    """The share of images for which two members predict different classes, right or wrong: float64 (m, m), 0 to 1."""
    members = align(members, names)
    if not len(members[0]):
        raise UserError("there are no images to compare answers for: the split is empty")
    answers = np.stack([member.predicted for member in members])
    return np.mean(answers[:, None] != answers[None], axis=2)


def fixed_and_made(before: Predictions, after: Predictions, names: Sequence[str] | None = None) -> pd.DataFrame:
    """Errors that a change fixed and errors that it made: one row per true class and a last one, "all".

    class (original name), n (images), errors_before, fixed (wrong before, right after), made (right before, wrong
    after), errors_after = errors_before - fixed + made.
    """
    before, after = align([before, after], names)
    was_right, is_right = before.correct, after.correct
    counted = {
        "n": np.ones_like(was_right),
        "errors_before": ~was_right,
        "fixed": ~was_right & is_right,
        "made": was_right & ~is_right,
        "errors_after": ~is_right,
    }
    images, classes = pd.DataFrame(counted), before.class_names
    table = images.groupby(before.labels).sum().reindex(range(len(classes)), fill_value=0)
    table.loc[len(classes)] = images.sum()
    table.insert(0, "class", [*classes, "all"])
    return table


def accuracy_by_voters(members: Sequence[Predictions], names: Sequence[str] | None = None) -> pd.DataFrame:
    """Accuracy of hard votes over all subsets of `members`, one row per number of voters.

    Where t labels tie and the truth is one of them, the image counts 1 / t: what drawing one of them gets right on
    average. So no subset is lucky in its draws.

    Returns:
        voters (1 to m), votes (subsets of that size), mean, low and high (their accuracies, fractions).

    Raises UserError for more than 12 members, too.
    """
    m = len(members)
    if m > MOST_VOTERS:
        raise UserError(f"all subsets are counted for at most {MOST_VOTERS} voters, received {m}: give fewer of them")
    members = align(members, names)
    labels, k = members[0].require_labels(), len(members[0].class_names)
    # (m, n, k): one vote per member and image
    votes = np.stack([member.predicted[:, None] == np.arange(k) for member in members]).astype(np.int8)
    rows = []
    for voters in range(1, m + 1):
        accuracies = []
        for chosen in combinations(range(m), voters):
            counts = votes[list(chosen)].sum(axis=0, dtype=np.int8)
            tied = counts == counts.max(axis=1, keepdims=True)
            accuracies.append(np.mean(tied[np.arange(len(labels)), labels] / tied.sum(axis=1)))
        found = {"mean": np.mean(accuracies), "low": min(accuracies), "high": max(accuracies)}
        rows.append({"voters": voters, "votes": len(accuracies), **found})
    return pd.DataFrame(rows)


def compare(before: Predictions, after: Predictions, names: Sequence[str] | None = None) -> dict[str, float | int]:
    """Test whether `after` is better than `before` on the same images by more than chance explains.

    The p value is McNemar's (Psychometrika 12, 1947) in its exact, binomial form: how often a fair coin splits the
    images that only one of the two gets right at least so unevenly. The interval is the 95% percentile interval of the
    difference over 10,000 bootstrap resamples of the images, each taken with both answers to it (B. Efron, Annals of
    Statistics 7, 1979). Both speak of other images of the same kind, not of other seeds, nor of predictions that were
    chosen on these images.

    Returns:
        difference (after less before) and the ends low and high of its interval, as fractions; only_before_right,
        only_after_right (images); mcnemar_p, two-sided, 1 where no image is right in one alone.
    """
    was_right, is_right = (predictions.correct for predictions in align([before, after], names))
    n = len(was_right)
    lost, won = (int(np.count_nonzero(x)) for x in (was_right & ~is_right, ~was_right & is_right))
    # An image adds 1, -1 or 0 to the difference, so that drawing n images anew is drawing three counts.
    draws = np.random.default_rng(0).multinomial(n, [won / n, lost / n, (n - won - lost) / n], size=10_000)
    low, high = np.quantile((draws[:, 0] - draws[:, 1]) / n, [0.025, 0.975])
    return {
        "difference": (won - lost) / n,
        "only_before_right": lost,
        "only_after_right": won,
        "mcnemar_p": float(binomtest(won, won + lost).pvalue) if won + lost else 1.0,
        "low": float(low),
        "high": float(high),
    }
