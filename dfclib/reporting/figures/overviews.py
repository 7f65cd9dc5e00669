"""Accuracies of many runs, one row per recipe: the ladder of the six attempts, the systems, the experiment.

Each raises UserError without a run of its own; other runs are left out.
"""

import math
import textwrap
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from dfclib.errors import UserError
from dfclib.evaluation.metrics import summary
from dfclib.reporting import captions, rows
from dfclib.reporting.captions import AUTHOR, OURS
from dfclib.reporting.figures import style
from dfclib.runs import Run
from dfclib.wording import MISSING

LABELS = {"published": "ours, all training images", "held_out": "ours, a tenth of the training images held out"}


def ladder(runs: Sequence[Run]) -> Figure:
    """The author's accuracies and ours side by side, one row per attempt; ours with 95% Wilson intervals.

    Two panels and not one: they are accuracies on different images and not to be subtracted. Runs that differ in data,
    scale, protocol, device or precision have a marker each.
    """
    table = rows.ladder(runs)
    if table.empty:
        raise UserError(f"no ladder without runs of {', '.join(rows.LADDER)}: received {len(runs)} other runs")
    attempts = [name for name in rows.LADDER.values() if name in set(table["attempt"])]
    groups = list(table.groupby(["data", "n", "scale", "protocol", "device", "precision"], sort=False))
    step = 0.66 / len(groups)  # of a row's height: groups of one attempt stay nearer to each other than to the next
    height = 1.9 + len(attempts) * max(0.3, 0.18 / step) + 0.3 * len(groups)  # a number needs 0.18 inches
    figure = style.new_figure(height, "The six attempts: accuracy in %, ours with 95% intervals")
    left, right = figure.subplots(1, 2, sharey=True)
    _ladder_column(left, attempts, table.drop_duplicates("attempt"), AUTHOR, (style.BLACK, "D"), 0, "author")
    for i, ((data, n, scale, protocol, device, precision), part) in enumerate(groups):
        label = f"{captions.scale(scale)}, {data}, n\u00a0=\u00a0{n:,}, {device}, {precision}"
        if protocol == "held_out":
            label += ", a tenth held out"
        shift = step * (i - (len(groups) - 1) / 2)
        look = style.look(i)[:2]
        _ladder_column(right, attempts, part, OURS, look, shift, textwrap.fill(label, 52))
    lowest = 100 * table[["low", AUTHOR]].min().min()
    for axes, text in ((left, AUTHOR), (right, OURS)):
        axes.set_title(textwrap.fill(text, 26), fontsize=style.LABEL)
        axes.set_ylim(len(attempts) - 0.5, -0.5)
        # one scale for both, so that neither column looks better than it is
        axes.set_xlim(10 * math.floor(lowest / 10 - 0.1), 100)
        style.label_axes(axes, "accuracy, %", "attempt" if axes is left else "")
    left.set_yticks(range(len(attempts)), attempts)
    style.legend_below(figure, right, columns=1)
    return figure


def systems(runs: Sequence[Run]) -> Figure:
    """The author's accuracy and ours with its 95% Wilson interval, one row per recipe other than the six attempts.

    Of the author's figures only those on the images that we measured on are drawn: validation, for S4 test.
    """
    known = rows.system_runs(runs)
    if not known:
        raise UserError(f"none of the {len(runs)} runs is of a system other than the six attempts: train one first")
    names = list(dict.fromkeys(run.recipe.name for run in known))
    scales = sorted({run.scale for run in known})
    title = f"Accuracy in %, ours with 95% intervals\n{' and '.join(scales)} scale"
    if not all(run.is_current for run in known):
        title += "; hollow: of an earlier recipe"
    figure = style.new_figure(1.9 + 0.42 * len(names), title)
    axes = figure.subplots()
    labels = []
    for place, name in enumerate(names):
        mine = [run for run in known if run.recipe.name == name]
        split = mine[0].recipe.reported_split
        labels.append(f"{name}\n{split}, n = {mine[0].metrics[split]['n']:,}")
        claim = mine[0].recipe.claims.get(split)
        if claim is not None:
            axes.plot(100 * claim, place, "D", color=style.BLACK, markersize=6, label="author")
        for run in mine:
            order = list(LABELS).index(run.protocol)
            result = summary(run.predictions(split))
            value, low, high = (100 * result[key] for key in ("accuracy", "low", "high"))
            y = place + (-0.16 if order == 0 else 0.16) * (len(mine) > 1)
            colour, marker, _ = style.look(order)
            look = {"color": colour, "marker": marker, "linestyle": "none", "capsize": 3, "markersize": 6}
            look["fillstyle"] = "full" if run.is_current else "none"
            axes.errorbar(value, y, xerr=[[value - low], [high - value]], label=LABELS[run.protocol], **look)
            style.write_beside(axes, y, f"{value:.1f}")
    _label_rows(axes, labels, "accuracy, %")
    style.legend_below(figure, axes, columns=1)
    return figure


def resampling(runs: Sequence[Run]) -> Figure:
    """Accuracy on the held-out images and in training, one row per way of resampling, one point per seed."""
    groups = list(rows.experiment_runs(runs).values())
    if not groups:
        raise UserError(f"none of the {len(runs)} runs is of the experiment on resampling: train it first")
    split = groups[0][0].recipe.reported_split
    n = sorted({run.metrics[split]["n"] for found in groups for run in found})
    epochs = sorted({run.recipe.epochs for found in groups for run in found})
    title = f"What resampling the training images costs\naccuracy after {' or '.join(map(str, epochs))} epochs, "
    title += f"one point per seed\nn = {' or '.join(f'{number:,}' for number in n)} held-out images"
    figure = style.new_figure(2.2 + 0.55 * len(groups), title)
    axes = figure.subplots()
    for place, found in enumerate(groups):
        held_out = [100 * run.metrics[split]["accuracy"] for run in found]
        training = [100 * run.metrics["train_accuracy"] for run in found]
        y = np.full(len(found), place)
        axes.plot(held_out, y, "o", color=style.BLUE, markersize=7, label="held-out images")
        look = {"color": style.ORANGE, "markersize": 6, "fillstyle": "none"}
        axes.plot(training, y, "s", label="training images, warped, with dropout", **look)
        style.write_beside(axes, place, f"{np.mean(held_out):.1f}")
    labels = [found[0].recipe.title.replace(", ", ",\n").replace(" by the", "\nby the") for found in groups]
    low, high = axes.dataLim.intervalx
    axes.set_xlim(5 * math.floor(low / 5 - 0.2), 5 * math.ceil(high / 5 + 0.2))  # one run alone has no width
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _label_rows(axes, labels, "accuracy, % (right: mean over seeds, held-out images)")
    style.legend_below(figure, axes, columns=1)
    return figure


def _label_rows(axes: Axes, labels: Sequence[str], x: str) -> None:
    """The rows' names, the first one on top, and what is along the other axis."""
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    style.label_axes(axes, x, "")
    axes.tick_params(axis="y", labelsize=style.SMALL)


def _ladder_column(
    axes: Axes, attempts: Sequence[str], table: pd.DataFrame, column: str, look: tuple, shift: float, label: str
) -> None:
    """Points (colour, marker) in the attempts' rows, with intervals for ours, and numbers beside the panel."""
    y = np.array([attempts.index(name) for name in table["attempt"]]) + shift
    values = 100 * table[column].to_numpy()
    known = ~np.isnan(values)  # an attempt may have no figure of its author
    bars = None if column == AUTHOR else np.abs(100 * table[["low", "high"]].to_numpy().T - values)[:, known]
    options = {"color": look[0], "marker": look[1], "linestyle": "none", "capsize": 3, "markersize": 6}
    axes.errorbar(values[known], y[known], xerr=bars, label=label, **options)
    for value, place in zip(values, y, strict=True):
        style.write_beside(axes, place, MISSING if math.isnan(value) else f"{value:.1f}", style.LABEL, gap=0.03)
