"""Votes over any number of predictions, and the CSV files that predictions are exchanged in.

Nothing here depends on the order of rows or of members: rows are matched by id, sums are taken over sorted
terms, and a tie that has to be drawn is drawn from the seed and the image's id.
"""

import csv
import hashlib
import io
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from dfclib.errors import UserError
from dfclib.files import write_text
from dfclib.runs import Predictions

SHOWN = 3  # differing ids that a message names
INTEGER = re.compile(r"0|[1-9][0-9]*")


def align(members: Sequence[Predictions], names: Sequence[str] | None = None) -> list[Predictions]:
    """The members with the same rows and the same classes, in the first member's order.

    Class names come from the members that have probabilities, which must name the same classes; where none
    has, they are all labels that occur in any member. True labels that one member knows are given to all.
    names: what messages call the members ("member 1" and so on by default).
    Raises UserError where ids, class names or true labels differ, or an id occurs twice.
    """
    if not members:
        raise UserError("nothing to vote on: give at least one run or prediction file")
    names = _names(members, names)
    class_names = _common_classes(members, names)
    aligned = [_with_classes(member, class_names) for member in members]
    orders = [
        _order(first=members[0], first_name=names[0], other=m, name=n) for m, n in zip(members, names, strict=True)
    ]
    aligned = [member.take(order) for member, order in zip(aligned, orders, strict=True)]
    for member, name in zip(aligned, names, strict=True):
        if member.probabilities is not None and not np.isfinite(member.probabilities).all():
            raise UserError(f"{name} has probabilities that are not finite numbers: make its predictions again")
    labels = _common_labels(aligned, names)
    return [replace(member, ids=aligned[0].ids, labels=labels) for member in aligned]


def hard_vote(members: Sequence[Predictions], seed: int = 0, names: Sequence[str] | None = None) -> Predictions:
    """The most frequent label of each image over any number of members.

    A tie goes to the highest mean probability where every member has probabilities; where not, or where that
    ties too, to a draw from (seed, id). Ids and their order are the first member's.
    Returned: predicted, the winners; probabilities float32 (n, k), shares of the votes.
    Raises UserError as `align` does.
    """
    members = align(members, names)
    class_names = members[0].class_names
    votes = np.zeros((len(members[0]), len(class_names)), np.int64)
    for member in members:
        votes[np.arange(len(votes)), member.predicted] += 1
    candidates = votes == votes.max(axis=1, keepdims=True)
    if all(member.probabilities is not None for member in members):
        mean = _mean(np.stack([member.probabilities for member in members]), np.ones(len(members)))
        best = np.where(candidates, mean, -np.inf)
        candidates = best == best.max(axis=1, keepdims=True)
    shares = (votes / len(members)).astype(np.float32)
    return replace(members[0], predicted=_decide(candidates, members[0], seed), probabilities=shares)


def soft_vote(
    members: Sequence[Predictions],
    weights: Sequence[float] | None = None,
    seed: int = 0,
    names: Sequence[str] | None = None,
) -> Predictions:
    """The highest weighted mean probability of each image; exact ties by a draw from (seed, id).

    weights: one a member, not negative, not all 0; they are divided by their sum. None weights all alike.
    Returned: probabilities float32 (n, k), the weighted means.
    Raises UserError as `align` does, for wrong weights, and where a member has no probabilities.
    """
    members = align(members, names)
    names = _names(members, names)
    for member, name in zip(members, names, strict=True):
        if member.probabilities is None:
            raise UserError(f"{name} has labels only, and a soft vote needs probabilities: vote hard")
    weights = np.ones(len(members)) if weights is None else np.asarray(weights, np.float64)
    if weights.shape != (len(members),):
        raise UserError(f"{len(members)} members but {weights.size} weights: give one weight a member")
    if not np.isfinite(weights).all() or weights.min() < 0 or weights.max() == 0:
        raise UserError(f"weights must be numbers from 0 up and not all 0, received {weights.tolist()}")
    mean = _mean(np.stack([member.probabilities for member in members]), weights)
    candidates = mean == mean.max(axis=1, keepdims=True)
    return replace(members[0], predicted=_decide(candidates, members[0], seed), probabilities=mean.astype(np.float32))


def vote(
    kind: str,
    members: Sequence[Predictions],
    weights: Sequence[float] | None = None,
    seed: int = 0,
    names: Sequence[str] | None = None,
) -> Predictions:
    """`hard_vote` or `soft_vote`, as an EnsembleRecipe's `vote` says; weights count in a soft one alone."""
    return hard_vote(members, seed, names) if kind == "hard" else soft_vote(members, weights, seed, names)


def read_predictions(path: Path | str) -> Predictions:
    """Predictions from a CSV file: `image_id,label` and perhaps one probability column a class.

    With probability columns the classes are their headings, in their order. Without, they are the labels that
    occur in the file, sorted (whole numbers by value); `align` brings files with different ones together.
    Truth is not in such a file: `labels` is None. Raises UserError naming the file and the row.
    """
    path = Path(path)
    rows = _read_rows(path)
    header_row, header = rows[0]
    if header[:2] != ["image_id", "label"]:
        raise UserError(f"{path}, row {header_row}: expected a header image_id,label,...; received {','.join(header)}")
    classes = header[2:]
    for i, name in enumerate(classes):
        if not name or name in classes[:i]:
            raise UserError(f"{path}, row {header_row}: column {i + 3} is named {name!r}: no name, or one used twice")
    if len(rows) == 1:
        raise UserError(f"{path} has a header but no rows: no predictions to read")
    seen: dict[str, int] = {}
    probabilities = np.empty((len(rows) - 1, len(classes)), np.float32)
    for i, (number, row) in enumerate(rows[1:]):
        where = f"{path}, row {number}"
        if len(row) != len(header):
            raise UserError(f"{where}: expected {len(header)} columns as in the header, received {len(row)}")
        for column, value in zip(("image_id", "label"), row, strict=False):
            if not value:
                raise UserError(f"{where}: {column} is empty")
        if row[0] in seen:
            raise UserError(f"{where}: image_id {row[0]!r} stands in row {seen[row[0]]} already; keep one of them")
        seen[row[0]] = number
        if classes:
            if row[1] not in classes:
                raise UserError(f"{where}: label {row[1]!r} is none of the columns {', '.join(classes)}")
            probabilities[i] = _read_probabilities(row[2:], classes, where)
    labels = [row[1] for _, row in rows[1:]]
    class_names = tuple(classes) if classes else _sorted_labels(labels, str(path))
    index = {name: i for i, name in enumerate(class_names)}
    return Predictions(
        ids=np.array(list(seen)),
        predicted=np.array([index[label] for label in labels], np.int64),
        class_names=class_names,
        probabilities=probabilities if classes else None,
    )


def write_predictions(predictions: Predictions, path: Path | str) -> Path:
    """Write `image_id,label` and, where there are any, one probability column a class, atomically.

    Labels are the original class names. Probabilities have nine digits, enough to read the same float32 back.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    with_probabilities = predictions.probabilities is not None
    writer.writerow(["image_id", "label", *(predictions.class_names if with_probabilities else ())])
    for i, (id_, label) in enumerate(zip(predictions.ids, predictions.predicted, strict=True)):
        values = predictions.probabilities[i] if with_probabilities else ()
        writer.writerow([id_, predictions.class_names[label], *(f"{value:.9g}" for value in values)])
    return write_text(path, text.getvalue())


def _names(members: Sequence[Predictions], names: Sequence[str] | None) -> list[str]:
    return list(names) if names is not None else [f"member {i}" for i in range(1, len(members) + 1)]


def _mean(probabilities: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted mean of (m, n, k) over m: float64 (n, k), the same bits whatever the order of members."""
    terms = probabilities.astype(np.float64) * weights[:, None, None]
    # A sum of floats depends on its order, and a vote must not: sort first.
    return np.sort(terms, axis=0).sum(axis=0) / math.fsum(weights)


def _decide(candidates: np.ndarray, member: Predictions, seed: int) -> np.ndarray:
    """One class a row of bool (n, k): the only candidate, or one drawn from (seed, id). int64 (n,)."""
    winners = candidates.argmax(axis=1).astype(np.int64)
    for row in np.flatnonzero(candidates.sum(axis=1) > 1):
        # by name and not by index: which index a class has may depend on the order of members
        tied = sorted(np.flatnonzero(candidates[row]), key=lambda label: _label_key(member.class_names[label]))
        digest = hashlib.sha256(f"{seed}\0{member.ids[row]}".encode()).digest()
        winners[row] = tied[int.from_bytes(digest[:8]) % len(tied)]
    return winners


def _order(first: Predictions, first_name: str, other: Predictions, name: str) -> np.ndarray:
    """The rows of `other` in the order of `first`: int (n,)."""
    rows = {id_: row for row, id_ in enumerate(other.ids.tolist())}
    if len(rows) != len(other):
        ids, counts = np.unique(other.ids, return_counts=True)
        raise UserError(f"{name} has ids more than once: {_some(ids[counts > 1])}")
    mine = first.ids.tolist()
    missing, extra = [i for i in mine if i not in rows], sorted(set(rows) - set(mine))
    if missing or extra:
        parts = [f"only in {first_name}: {_some(sorted(missing))}"] if missing else []
        parts += [f"only in {name}: {_some(extra)}"] if extra else []
        raise UserError(
            f"{first_name} ({len(mine)} ids) and {name} ({len(rows)} ids) are about different images; "
            f"{'; '.join(parts)}. Vote over predictions for the same split."
        )
    return np.array([rows[id_] for id_ in mine], np.int64)


def _common_classes(members: Sequence[Predictions], names: Sequence[str]) -> tuple[str, ...]:
    complete = [i for i, member in enumerate(members) if member.probabilities is not None]
    if not complete:
        return _sorted_labels((label for member in members for label in member.class_names), " and ".join(names))
    first = complete[0]
    classes = members[first].class_names
    for i, member in enumerate(members):
        # A file of labels only knows the classes that it predicts: any part of all classes will do.
        same = set(member.class_names) == set(classes) if i in complete else set(member.class_names) <= set(classes)
        if not same:
            raise UserError(
                f"{names[first]} and {names[i]} have different classes: {_some(classes)} against "
                f"{_some(member.class_names)}. Vote over predictions for the same classes."
            )
    return classes


def _common_labels(members: Sequence[Predictions], names: Sequence[str]) -> np.ndarray | None:
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
    if member.class_names == class_names:
        return member
    new = np.array([class_names.index(name) for name in member.class_names], np.int64)
    probabilities = member.probabilities
    if probabilities is not None:
        probabilities = np.empty_like(probabilities)
        probabilities[:, new] = member.probabilities
    labels = None if member.labels is None else new[member.labels]
    return replace(
        member,
        predicted=new[member.predicted],
        class_names=class_names,
        probabilities=probabilities,
        labels=labels,
    )


def _sorted_labels(labels: Iterable[str], where: str) -> tuple[str, ...]:
    """The different labels, whole numbers by value. Raises UserError where numbers and names are mixed."""
    found = sorted(set(labels), key=_label_key)
    numbers = [label for label in found if INTEGER.fullmatch(label)]
    if numbers and len(numbers) < len(found):
        other = next(label for label in found if label not in numbers)
        raise UserError(f"{where}: labels are both whole numbers ({numbers[0]!r}) and names ({other!r})")
    return tuple(found)


def _label_key(label: str) -> tuple[int, str]:
    return (int(label), label) if INTEGER.fullmatch(label) else (0, label)


def _read_rows(path: Path) -> list[tuple[int, list[str]]]:
    """(row in the file, stripped cells) for each row that is not blank, the header first."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, strict=True)
            rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if any(map(str.strip, row))]
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist: give a run's folder or a CSV file of predictions") from error
    except IsADirectoryError as error:
        raise UserError(f"{path} is a folder, not a CSV file of predictions") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} is not a CSV file in UTF-8: {error}") from error
    if not rows:
        raise UserError(f"{path} is empty: expected the header image_id,label and one row an image")
    return rows


def _read_probabilities(cells: Sequence[str], classes: Sequence[str], where: str) -> list[float]:
    values = []
    for name, cell in zip(classes, cells, strict=True):
        try:
            value = float(cell)
        except ValueError:
            value = math.nan
        if not 0 <= value <= 1:
            raise UserError(f"{where}: the probability of {name!r} must be a number from 0 to 1, received {cell!r}")
        values.append(value)
    if abs(math.fsum(values) - 1) > 0.01:
        raise UserError(f"{where}: the probabilities must add up to 1, received {math.fsum(values):.4g}")
    return values


def _some(items: Iterable) -> str:
    items = [str(item) for item in items]
    more = f" and {len(items) - SHOWN} more" if len(items) > SHOWN else ""
    return ", ".join(items[:SHOWN]) + more
