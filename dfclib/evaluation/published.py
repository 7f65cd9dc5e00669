"""What the authors published of their results: confusion matrices, counts, and the files behind S0's vote.

report/published holds them, with their sources. A matrix says what predictions say that have lost their images' names:
whatever takes `Predictions` takes an author's, but which images he and we both got right is not known.
"""

import csv
import gzip
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dfclib.errors import UserError
from dfclib.evaluation.metrics import confusion_matrix, wilson_interval
from dfclib.files import read_json
from dfclib.predictions import Predictions
from dfclib.predictions.csv_files import sorted_labels

FOLDER = Path("report/published")


@dataclass(frozen=True, eq=False)
class PublishedResult:
    """One result as its author published it.

    recipe: the name of the recipe that reproduces it; split: the images that it was measured on, n of them, `correct`
    of them right; matrix: int64 (k, k), one row per true class and one column per predicted class, or None;
    epochs: how many were trained, best_epoch: which one was kept, None where the author does not say
    """

    recipe: str
    split: str
    n: int
    correct: int
    source: str
    matrix: np.ndarray | None = None
    note: str = ""
    epochs: int | None = None
    best_epoch: int | None = None

    @property
    def accuracy(self) -> float:
        return self.correct / self.n

    @property
    def interval(self) -> tuple[float, float]:
        """The ends of the accuracy's 95% Wilson interval, fractions."""
        return wilson_interval(self.correct, self.n)

    def is_of(self, predictions: Predictions) -> bool:
        """Whether `predictions` are of as many images of each class; without a matrix, of as many images."""
        if predictions.labels is None or self.matrix is None:
            return predictions.labels is not None and len(predictions) == self.n
        counts = np.bincount(predictions.labels, minlength=len(predictions.class_names))
        return counts.tolist() == self.matrix.sum(axis=1).tolist()

    def predictions(self) -> Predictions:
        """The matrix as predictions of n images, numbered from 0, whose classes are "0", "1" and so on.

        Raises UserError where the author published no matrix.
        """
        if self.matrix is None:
            raise UserError(f"{self.recipe}: the author published an accuracy and no confusion matrix")
        labels, predicted = np.indices(self.matrix.shape).reshape(2, -1).repeat(self.matrix.ravel(), axis=1)
        ids, classes = np.arange(self.n).astype(str), tuple(map(str, range(len(self.matrix))))
        return Predictions(ids, predicted, classes, labels=labels)


def published_results(folder: Path | str = FOLDER) -> dict[str, PublishedResult]:
    """The authors' results in `folder`/results.json by recipe; none where the folder does not exist.

    Raises UserError, naming the file and the entry, for a matrix that is not square or has other than whole numbers.
    """
    if not Path(folder).is_dir():
        return {}
    path = Path(folder) / "results.json"
    return {name: _result(name, entry, f"{path}: {name}") for name, entry in read_json(path)["results"].items()}


def published_vote(path: Path | str = FOLDER / "s0_vote.csv.gz") -> dict[str, Predictions]:
    """S0's prediction files of the competition's 6,500 test images by their names, the published vote last.

    The rows are in the order of the images' ids, which the file leaves out; they are numbered from 0. True labels are
    not known. Raises UserError where the file does not exist.
    """
    try:
        with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
            header, *rows = csv.reader(io.StringIO(file.read()))
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist: it is part of the repository, not of the installed package") from error
    columns = np.array(rows).T
    classes = sorted_labels(columns.ravel(), str(path))
    ids, index = np.arange(len(rows)).astype(str), {name: i for i, name in enumerate(classes)}
    answers = (np.array([index[label] for label in column]) for column in columns)
    return {name: Predictions(ids, answer, classes) for name, answer in zip(header, answers, strict=True)}


def compare_with_published(published: PublishedResult, ours: Predictions) -> dict[str, float | int]:
    """What can be said of the author's network and ours on the same images, when only their matrices are known.

    Which images the two answer differently is unknown, but not how many at least. So McNemar's p value (see
    `comparison.compare`) lies between two bounds: its lowest, if the two agree on as many images as the matrices
    allow, and its highest, if on as few.

    Returns:
        difference (our accuracy less the author's, a fraction), differing (images answered differently, at least),
        lowest_p and highest_p, two-sided.

    Raises UserError where there is no matrix, or where the two are not of as many images of the same classes.
    """
    from scipy.stats import binomtest

    theirs, mine = confusion_matrix(published.predictions()), confusion_matrix(ours)
    if theirs.shape != mine.shape or (theirs.sum(axis=1) != mine.sum(axis=1)).any():
        raise UserError(
            f"{published.recipe}: the author's matrix counts {theirs.sum(axis=1).tolist()} images per class and ours "
            f"{mine.sum(axis=1).tolist()}: only results on the same images can be compared"
        )
    n, before, after = mine.sum(axis=1), theirs.diagonal(), mine.diagonal()
    p = []
    for one_alone in (abs(after - before), np.minimum(before + after, 2 * n - before - after)):
        won, tosses = int((one_alone + after - before).sum()) // 2, int(one_alone.sum())
        p.append(float(binomtest(won, tosses).pvalue) if tosses else 1.0)
    return {
        "difference": int((after - before).sum()) / int(n.sum()),
        "differing": int(n.sum() - np.minimum(theirs, mine).sum()),
        "lowest_p": p[0],
        "highest_p": p[1],
    }


def _result(name: str, entry: Mapping[str, Any], where: str) -> PublishedResult:
    entry = dict(entry)
    if "matrix" in entry:
        matrix = np.array(entry["matrix"])
        if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or matrix.dtype.kind != "i" or matrix.min() < 0:
            raise UserError(f"{where}: a matrix must have as many rows as columns of whole numbers, none below 0")
        entry |= {"matrix": matrix, "n": int(matrix.sum()), "correct": int(matrix.trace())}
    try:
        return PublishedResult(recipe=name, **entry)
    except TypeError as error:
        raise UserError(f"{where}: {error}") from error
