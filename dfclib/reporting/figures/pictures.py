"""Pages of pictures with predicted classes: right and wrong ones, and those that a vote puts right.

All need predictions with labels and probabilities, and raise UserError without.
"""

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from dfclib.datasets.images import ImageSet
from dfclib.ensembles import align
from dfclib.errors import UserError
from dfclib.predictions import Predictions
from dfclib.reporting.figures import style

COLUMNS = 6  # pictures in a row
LETTERS = 11  # of a name, as many as stand beside one another: "T-shirt/top"


def answers(images: ImageSet, groups: Mapping[str, Predictions], title: str = "Answers") -> Figure:
    """Pictures in groups: above each its true class, below it the predicted class and its probability, red where wrong.

    groups: predictions by heading, as `right_and_wrong` and `put_right` return them, each one's picture found by its
    id among `images`; an empty group keeps its heading
    """
    if not groups:
        raise UserError("no groups of predictions to show: give at least one heading with its predictions")
    places = {str(id_): i for i, id_ in enumerate(images.ids)}
    counts = [math.ceil(len(group) / COLUMNS) for group in groups.values()]
    heights = [0.3 + 1.27 * count for count in counts]
    title += "\nabove each: true class; below: answer and its probability"
    figure = style.new_figure(0.75 + sum(heights), title)
    figure.get_layout_engine().set(hspace=0.06)  # a name belongs to the picture below it, not to the one above
    parts = figure.subfigures(len(groups), 1, height_ratios=heights, squeeze=False)[:, 0]
    for part, (heading, group), count in zip(parts, groups.items(), counts, strict=True):
        part.suptitle(heading, fontsize=style.LABEL, x=0.01, ha="left")
        if not count:
            continue
        labels, shares = group.require_labels(), group.confidence
        panels = part.subplots(count, COLUMNS, squeeze=False).ravel()
        for axes in panels:
            style.bare(axes)
        for i, axes in enumerate(panels[: len(group)]):
            id_, truth, answer = str(group.ids[i]), labels[i], group.predicted[i]
            if id_ not in places:
                raise UserError(f"image {id_!r} is not among the {len(images):,} given: give the images of its split")
            style.show(axes, images.images[places[id_]], "auto")  # 100 pixels on 80: "nearest" would leave some out
            axes.set_title(style.short(group.class_names[truth], LETTERS), fontsize=style.SMALL, pad=2)
            text = f"{style.short(group.class_names[answer], LETTERS)}\n{100 * shares[i]:.0f}%"
            colour = "black" if truth == answer else style.VERMILION
            axes.set_xlabel(text, fontsize=style.SMALL, labelpad=2, color=colour)
    return figure


def right_and_wrong(predictions: Predictions) -> dict[str, Predictions]:
    """At most 18 right predictions, spread over the classes, and as many wrong ones, the most confident first.

    Right ones are the first of each class in turn, in the order of the rows; nothing is drawn at random.
    """
    correct, labels = predictions.correct, predictions.require_labels()
    rows = np.flatnonzero(correct)
    number = pd.Series(rows).groupby(labels[rows]).cumcount()  # of each right prediction among those of its class
    spread = rows[np.lexsort((labels[rows], number))][: 3 * COLUMNS]
    sure = _most_confident(predictions, ~correct, 3 * COLUMNS)
    return {
        f"Right: {len(spread)} of {len(rows):,}": predictions.take(spread),
        f"Wrong: {len(sure)} of {len(correct) - len(rows):,}, the most confident": predictions.take(sure),
    }


def put_right(members: Mapping[str, Predictions], vote: Predictions) -> dict[str, Predictions]:
    """For each member, at most six predictions that are wrong where the vote is right, the most confident first.

    Rows are matched by id. Raises UserError as `align` does, too.
    """
    *aligned, vote = align([*members.values(), vote], [*members, "the vote"])
    groups = {}
    for name, member in zip(members, aligned, strict=True):
        which = ~member.correct & vote.correct
        rows = _most_confident(member, which, COLUMNS)
        groups[f"{name} wrong, the vote right: {len(rows)} of {which.sum():,}"] = member.take(rows)
    return groups


def _most_confident(predictions: Predictions, which: np.ndarray, count: int) -> np.ndarray:
    """Rows of `which` (bool (n,)) by falling confidence, equal ones in their order."""
    rows = np.flatnonzero(which)
    return rows[np.argsort(-predictions.confidence[rows], kind="stable")][:count]
