"""Votes over any number of predictions: hard, soft and geometric, and a search for a vote's weights.

No result depends on the order of rows or of members: rows are matched by id, sums are taken over sorted terms, and
what ties is drawn from the seed and the image's id.
"""

import hashlib
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import combinations, pairwise

import numpy as np

from dfclib.errors import UserError
from dfclib.predictions import Predictions
from dfclib.predictions.csv_files import label_key, sorted_labels

Members = Sequence[Predictions]  # for the same images
Weights = Sequence[float] | None  # one per member, not negative, not all 0; divided by their sum. None: all alike
Names = Sequence[str] | None  # how messages call the members; None: "member 1" and so on

SHOWN = 3  # differing ids that a message names
PARTS = 20  # a search tries weights that are multiples of 1/20
MOST_SEARCHED = 5  # members, and so 10,626 weights to try: some seconds for 1,250 images
SMALLEST = float(np.finfo(np.float32).tiny)  # the smallest float32 that no device flushes to zero


def align(members: Members, names: Names = None) -> list[Predictions]:
    """Bring members to the same rows and classes, in the first member's order.

    Class names come from the members that have probabilities, which must name the same classes; where none
    has, they are all labels that occur in any member. True labels that one member knows are given to all.
    Raises UserError where ids, class names or true labels differ, an id occurs twice, or probabilities are not finite.
    """
    if not members:
        raise UserError("nothing to vote on: give at least one run or prediction file")
    names = _names(members, names)
    class_names = _common_classes(members, names)
    aligned = []
    for member, name in zip(members, names, strict=True):
        rows = _matching_rows(members[0], names[0], member, name)
        aligned.append(_with_classes(member, class_names).take(rows))
        if member.probabilities is not None and not np.isfinite(member.probabilities).all():
            raise UserError(f"{name} has probabilities that are not finite numbers: make its predictions again")
    labels = _common_labels(aligned, names)
    return [replace(member, ids=aligned[0].ids, labels=labels) for member in aligned]


def hard_vote(members: Members, seed: int = 0, names: Names = None) -> Predictions:
    """Vote for the most frequent label of each image; its probabilities are shares of the votes, float32 (n, k).

    A tie goes to the highest mean probability where every member has probabilities; where not, or where that
    ties too, to a draw from (seed, id).
    """
    members = align(members, names)
    class_names = members[0].class_names
    votes = np.zeros((len(members[0]), len(class_names)), np.int64)
    for member in members:
        votes[np.arange(len(votes)), member.predicted] += 1
    scores = votes
    if all(member.probabilities is not None for member in members):
        mean = _mean(np.stack([member.probabilities for member in members]), np.ones(len(members)))
        scores = np.where(votes == votes.max(axis=1, keepdims=True), mean, -np.inf)
    shares = (votes / len(members)).astype(np.float32)
    return replace(members[0], predicted=_winners(scores, members[0], seed), probabilities=shares)


def soft_vote(members: Members, weights: Weights = None, seed: int = 0, names: Names = None) -> Predictions:
    """Vote for the highest weighted mean probability of each image; exact ties are drawn from (seed, id).

    The vote's probabilities are these means, float32 (n, k). Raises UserError where a member has none.
    """
    return vote("soft", members, weights, seed, names)


def vote(kind: str, members: Members, weights: Weights = None, seed: int = 0, names: Names = None) -> Predictions:
    """Vote as an EnsembleRecipe's `vote` names it: hard (which ignores weights), soft or geometric.

    A geometric vote is a soft one with the weighted geometric mean, divided by its sum. It averages the members'
    logits, up to a constant per image: a member that gives a class next to nothing counts for more than in a soft
    vote. A probability of 0 would forbid its class whatever the others say: it counts as the smallest normal float32.
    """
    if kind == "hard":
        return hard_vote(members, seed, names)
    check_weights(weights, len(members))
    members, terms = _terms(kind, members, names)
    mean = _mean(terms, np.ones(len(members)) if weights is None else np.asarray(weights, np.float64))
    probabilities = _as_probabilities(kind, mean).astype(np.float32)
    return replace(members[0], predicted=_winners(mean, members[0], seed), probabilities=probabilities)


def check_weights(weights: Weights, members: int) -> None:
    """Raise UserError where a vote of so many members cannot be weighted so."""
    if weights is None:
        return
    if len(weights) != members:
        raise UserError(f"{members} members but {len(weights)} weights: give one weight per member")
    # beyond these, sums of products of weights leave what a float holds
    if not np.isfinite(weights).all() or min(weights) < 0 or not 1e-9 <= max(weights) <= 1e9:
        raise UserError(f"weights must be numbers from 0 up to 1e9 and not all 0, received {list(weights)}")


def check_searchable(members: int) -> None:
    """Raise UserError where a vote has too many members to search their weights."""
    if members > MOST_SEARCHED:
        raise UserError(
            f"weights are searched for at most {MOST_SEARCHED} members, received {members}: give the weights"
        )


def search_weights(members: Members, kind: str = "soft", names: Names = None) -> tuple[float, ...]:
    """Find the weights, one per member and adding up to 1, with which a soft or geometric vote gets most images right.

    All multiples of 1/20 are tried. Where several weights get as many images right, the lowest log loss decides (to
    nine decimals), then the nearest to equal weights, then the first member's larger weight. Members are for images
    held out of training, never for validation: a vote looks better than it is on images that chose its weights.
    Raises UserError as `vote` does, where labels are not known, and for more than five members.
    """
    m = len(members)
    check_searchable(m)
    members, terms = _terms(kind, members, names)
    labels = members[0].require_labels()

    def cost(counts: tuple[int, ...]) -> tuple:
        mean = _mean(terms, np.array(counts, np.float64))
        right = np.count_nonzero(_winners(mean, members[0], seed=0) == labels)
        true = _as_probabilities(kind, mean)[np.arange(len(labels)), labels]
        loss = round(float(-np.log(np.maximum(true, SMALLEST)).mean()), 9)
        return -right, loss, sum((m * count - PARTS) ** 2 for count in counts), [-count for count in counts]

    return tuple(count / PARTS for count in min(_compositions(PARTS, m), key=cost))


def _terms(kind: str, members: Members, names: Names) -> tuple[list[Predictions], np.ndarray]:
    """The members aligned, and their probabilities, or logarithms of these, to average: float64 (m, n, k)."""
    if kind not in ("soft", "geometric"):
        raise UserError(f"there is no weighted vote {kind!r}: name soft or geometric, or hard for one without weights")
    members = align(members, names)
    for member, name in zip(members, _names(members, names), strict=True):
        if member.probabilities is None:
            raise UserError(f"{name} has labels only, and a {kind} vote needs probabilities: vote hard")
    probabilities = np.stack([member.probabilities for member in members]).astype(np.float64)
    return members, probabilities if kind == "soft" else np.log(np.maximum(probabilities, SMALLEST))


def _as_probabilities(kind: str, mean: np.ndarray) -> np.ndarray:
    """Means of probabilities as they are; means of logarithms as probabilities that add up to 1. float64 (n, k)."""
    if kind == "soft":
        return mean
    raised = np.exp(mean - mean.max(axis=1, keepdims=True))
    return raised / np.sort(raised, axis=1).sum(axis=1, keepdims=True)


def _compositions(total: int, length: int) -> Iterator[tuple[int, ...]]:
    """Every tuple of `length` whole numbers from 0 up that add up to `total`."""
    last = total + length - 1  # of a row of `total` units with length - 1 bars between them
    for bars in combinations(range(last), length - 1):
        yield tuple(bar - before - 1 for before, bar in pairwise((-1, *bars, last)))


def _names(members: Members, names: Names) -> list[str]:
    return list(names) if names is not None else [f"member {i}" for i in range(1, len(members) + 1)]


def _mean(terms: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted mean of (m, n, k) over m: float64 (n, k), the same bits whatever the order of members."""
    terms = terms.astype(np.float64, copy=False) * weights[:, None, None]
    # sorted first: a sum of floats depends on its order, and a vote must not
    return np.sort(terms, axis=0).sum(axis=0) / math.fsum(weights)


def _winners(scores: np.ndarray, member: Predictions, seed: int) -> np.ndarray:
    """The class with the highest score of each image, exact ties drawn from (seed, id): int64 (n,)."""
    candidates = scores == scores.max(axis=1, keepdims=True)
    winners = candidates.argmax(axis=1).astype(np.int64)
    for row in np.flatnonzero(candidates.sum(axis=1) > 1):
        # by name and not by index: which index a class has may depend on the order of members
        tied = sorted(np.flatnonzero(candidates[row]), key=lambda label: label_key(member.class_names[label]))
        digest = hashlib.sha256(f"{seed}\0{member.ids[row]}".encode()).digest()
        winners[row] = tied[int.from_bytes(digest[:8]) % len(tied)]
    return winners


def _matching_rows(first: Predictions, first_name: str, other: Predictions, name: str) -> list[int]:
    """The rows of `other` in the order of `first`."""
    rows = {id_: row for row, id_ in enumerate(other.ids.tolist())}
    if len(rows) != len(other):
        ids, counts = np.unique(other.ids, return_counts=True)
        raise UserError(f"{name} has ids more than once: {_some(ids[counts > 1])}")
    wanted = first.ids.tolist()
    missing, extra = sorted(set(wanted) - rows.keys()), sorted(rows.keys() - set(wanted))
    if missing or extra:
        only = [f"only in {who}: {_some(ids)}" for who, ids in ((first_name, missing), (name, extra)) if ids]
        raise UserError(
            f"{first_name} ({len(wanted)} ids) and {name} ({len(rows)} ids) are about different images; "
            f"{'; '.join(only)}. Vote over predictions for the same split."
        )
    return [rows[id_] for id_ in wanted]


def _common_classes(members: Members, names: Sequence[str]) -> tuple[str, ...]:
    complete = [i for i, member in enumerate(members) if member.probabilities is not None]
    if not complete:
        return sorted_labels((label for member in members for label in member.class_names), " and ".join(names))
    classes = members[complete[0]].class_names
    for i, member in enumerate(members):
        # a file of labels only knows the classes that it predicts: any part of all classes will do
        differ = set(member.class_names) ^ set(classes) if i in complete else set(member.class_names) - set(classes)
        if differ:
            raise UserError(
                f"{names[complete[0]]} and {names[i]} have different classes: {_some(classes)} against "
                f"{_some(member.class_names)}. Vote over predictions for the same classes."
            )
    return classes


def _common_labels(members: Members, names: Sequence[str]) -> np.ndarray | None:
    known = [i for i, member in enumerate(members) if member.labels is not None]
    for i in known[1:]:
        differs = np.flatnonzero(members[i].labels != members[known[0]].labels)
        if len(differs):
            raise UserError(
                f"{names[known[0]]} and {names[i]} disagree about the true label of "
                f"{_some(members[0].ids[differs])}: they come from different data"
            )
    return members[known[0]].labels if known else None


def _with_classes(member: Predictions, class_names: tuple[str, ...]) -> Predictions:
    """The same predictions, with classes numbered as in `class_names`, which holds all of the member's."""
    new = np.array([class_names.index(name) for name in member.class_names], np.int64)
    return replace(
        member,
        predicted=new[member.predicted],
        class_names=class_names,
        # where there are probabilities, both orders hold the same classes
        probabilities=None if member.probabilities is None else member.probabilities[:, np.argsort(new)],
        labels=None if member.labels is None else new[member.labels],
    )


def _some(items: Iterable) -> str:
    items = [str(item) for item in items]
    more = f" and {len(items) - SHOWN} more" if len(items) > SHOWN else ""
    return ", ".join(items[:SHOWN]) + more
