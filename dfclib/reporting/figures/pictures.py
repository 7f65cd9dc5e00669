"""Pages of pictures with predicted classes: right and wrong ones, those that a vote puts right, gradient maps.

All need predictions with labels and probabilities, and raise UserError without.
"""

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
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
        labels = group.require_labels()
        panels = part.subplots(count, COLUMNS, squeeze=False).ravel()
        for axes in panels:
            style.bare(axes)
        for i, axes in enumerate(panels[: len(group)]):
            id_, truth = str(group.ids[i]), labels[i]
            if id_ not in places:
                raise UserError(f"image {id_!r} is not among the {len(images):,} given: give the images of its split")
            style.show(axes, images.images[places[id_]], "auto")  # 100 pixels on 80: "nearest" would leave some out
            axes.set_title(style.short(group.class_names[truth], LETTERS), fontsize=style.SMALL, pad=2)
            _write_answer(axes, group, i)
    return figure


def gradient_maps(
    images: np.ndarray,
    answers: Mapping[str, Predictions],
    maps: Mapping[str, np.ndarray],
    title: str = "Where the answers come from",
) -> Figure:
    """Pictures with a network's gradient maps over them, one row per network: the redder, the more a place speaks for
    the answer, from the least to the most of its own map. Above each picture stands its true class, below a map the
    answer and its probability, red where wrong.

    Args:
        images: uint8 (n, height, width, channels), as the networks see them (`pipelines.framed`); six are shown.
        answers: Predictions of these images by network, in their order.
        maps: By the same names float (n, height, width) in 0..1, as `training.inference.gradient_maps` returns them.
    """
    if not answers or list(answers) != list(maps):
        raise UserError(f"answers of {', '.join(answers) or 'nobody'}, maps of {', '.join(maps) or 'nobody'}")
    first, count = next(iter(answers.values())), min(len(images), COLUMNS)
    title += "\nabove: true class; below: answer and its probability"
    note = "red: from the least to the most of each map"
    figure = style.new_figure(1.4 + 1.15 * len(answers), title, note=note)
    panels = figure.subplots(1 + len(answers), COLUMNS, squeeze=False)
    for axes in panels.ravel():
        style.bare(axes)
    for i, axes in enumerate(panels[0, :count]):
        style.show(axes, images[i], "auto")
        axes.set_title(style.short(first.class_names[first.require_labels()[i]], LETTERS), fontsize=style.SMALL, pad=2)
    for row, (name, group) in zip(panels[1:], answers.items(), strict=True):
        row[0].set_ylabel(style.short(name), fontsize=style.LABEL)
        for i, axes in enumerate(row[:count]):
            grey = images[i].mean(axis=2, keepdims=True).astype(np.uint8)  # so that red is the map's alone
            style.show(axes, grey, "auto")
            low, high = maps[name][i].min(), maps[name][i].max()
            scaled = (maps[name][i] - low) / max(high - low, 1e-9)  # else a map that is high everywhere shows no place
            axes.imshow(scaled, cmap="Reds", alpha=0.65 * scaled, vmin=0, vmax=1)
            _write_answer(axes, group, i)
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


def _write_answer(axes: Axes, predictions: Predictions, i: int) -> None:
    """Below a picture the i-th answer and its probability, red where the answer is wrong."""
    answer = style.short(predictions.class_names[predictions.predicted[i]], LETTERS)
    colour = "black" if predictions.correct[i] else style.VERMILION
    text = f"{answer}\n{100 * predictions.confidence[i]:.0f}%"
    axes.set_xlabel(text, fontsize=style.SMALL, labelpad=2, color=colour)


def _most_confident(predictions: Predictions, which: np.ndarray, count: int) -> np.ndarray:
    """Rows of `which` (bool (n,)) by falling confidence, equal ones in their order."""
    rows = np.flatnonzero(which)
    return rows[np.argsort(-predictions.confidence[rows], kind="stable")][:count]
