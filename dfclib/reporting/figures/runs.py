"""Figures from runs: curves over the epochs, learning rates, and the ladder of the six attempts."""

import math
import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from dfclib.errors import UserError
from dfclib.evaluation import metrics
from dfclib.evaluation.metrics import WATCHED, data_name, kept
from dfclib.reporting.figures.style import BLACK, LABEL, STYLES, WIDTH, draw_line, label_axes, legend_below, new_figure
from dfclib.runs import Run

SPLITS = {"published": "validation", "held_out": "held_out"}  # what `val_` columns are about


def caption(run: Run) -> str:
    """The company that a run's figures keep: scale, data, and which epoch is kept."""
    return f"{_scale(run)}, {data_name(run.data)}, kept: {kept(run.recipe)}"


def heading(run: Run) -> str:
    """A title for a figure of this run: its recipe's title, seed and caption."""
    return f"{run.recipe.title}, seed {run.seed}\n{caption(run)}"


def curves(run: Run) -> Figure:
    """Accuracy and loss over the epochs, in training and on the images watched; the chosen epoch is marked.

    Raises UserError for a vote, which has no epochs.
    """
    history = _history(run)
    split = SPLITS[run.protocol]
    watched = run.metrics[split]["n"]
    train = run.data["counts"]["train"] - (watched if split == "held_out" else 0)
    n = f"n = {train:,} training, {watched:,} {_watched([run])}{' images' if split == 'validation' else ''}"
    figure = new_figure(WIDTH, 5.2, f"{heading(run)}\n{n}")
    panels = figure.subplots(2, 1, sharex=True)
    # what is minimised is then another loss than the one that is measured on validation
    smoothed = " (loss of smoothed labels)" if run.recipe.label_smoothing else ""
    training = f"training{smoothed}"
    for axes, column, label in zip(panels, ("accuracy", "loss"), ("accuracy, %", "loss, nats"), strict=True):
        factor = 100 if column == "accuracy" else 1
        draw_line(
            axes,
            history["epoch"],
            factor * history[column],
            1,
            training,
        )
        draw_line(axes, history["epoch"], factor * history[f"val_{column}"], 0, _watched([run]))
        epoch = run.metrics["kept_epoch"]
        axes.axvline(epoch, color="0.35", linewidth=1.2, linestyle=(0, (1, 2)), label=f"epoch {epoch}, kept")
        label_axes(axes, "epoch" if column == "loss" else "", label)
    panels[1].xaxis.set_major_locator(MaxNLocator(integer=True))
    legend_below(figure, panels[0], columns=1 if smoothed else 3)
    return figure


def validation_curves(runs: Sequence[Run]) -> Figure:
    """Accuracy on the images watched over the epochs, a line a run, to compare how wildly they swing.

    The legend gives `metrics.validation_fluctuation`: the typical jump against the trend, in points. Votes are left
    out.
    Raises UserError where no run has epochs.
    """
    from dfclib.evaluation.metrics import validation_fluctuation

    runs = _with_epochs(runs)
    figure = new_figure(WIDTH, 4.4, f"Accuracy on {_watched(runs)}\n{_common_caption(runs)}")
    axes = figure.subplots()
    for i, run in enumerate(runs):
        points = validation_fluctuation(run.history)
        text = "too short to tell" if math.isnan(points) else f"fluctuates by {points:.1f} points"
        draw_line(axes, run.history["epoch"], 100 * run.history["val_accuracy"], i, f"{_name(run, runs)}: {text}")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    label_axes(axes, "epoch", "accuracy, %")
    legend_below(figure, axes, columns=1)
    return figure


def learning_rates(runs: Sequence[Run]) -> Figure:
    """The learning rate at the end of each epoch, on a logarithmic axis, a line a run. Votes are left out.

    Raises UserError where no run has epochs.
    """
    runs = _with_epochs(runs)
    figure = new_figure(WIDTH, 3.6, f"Learning rate\n{_common_caption(runs)}")
    axes = figure.subplots()
    for i, run in enumerate(runs):
        draw_line(axes, run.history["epoch"], run.history["learning_rate"], i, _name(run, runs))
    axes.set_yscale("log")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    label_axes(axes, "epoch", "learning rate")
    legend_below(figure, axes, columns=2)
    return figure


def ladder(runs: Sequence[Run]) -> Figure:
    """The author's figures and ours, side by side, a row an attempt; ours with 95% Wilson intervals.

    Two panels and not one: they are accuracies on different images and not to be subtracted. Runs that differ
    in data, scale, protocol, device or precision have a marker each. Raises UserError where none is one.
    """
    # a vote over trainings of several devices has none of its own, and pandas leaves out groups without a name
    table = metrics.ladder(runs).fillna({"device": "several devices", "precision": "several precisions"})
    if table.empty:
        raise UserError(f"no ladder without runs of {', '.join(metrics.LADDER)}: received {len(runs)} other runs")
    attempts = [name for name in metrics.LADDER.values() if name in set(table["attempt"])]
    groups = list(table.groupby(["data", "n", "scale", "protocol", "device", "precision"], sort=False))
    step = 0.66 / len(groups)  # of a row's height: groups of one attempt stay nearer to each other than to the next
    height = 1.9 + len(attempts) * max(0.3, 0.18 / step) + 0.3 * len(groups)  # a number needs 0.18 inches
    figure = new_figure(
        WIDTH,
        height,
        "The six attempts: accuracy in %, ours with 95% intervals",
    )
    left, right = figure.subplots(1, 2, sharey=True)
    mixed = table["protocol"].nunique() > 1
    _ladder_column(left, attempts, table.drop_duplicates("attempt"), metrics.AUTHOR, (BLACK, "D"), 0, "author")
    for i, (key, part) in enumerate(groups):
        data, n, scale, protocol, device, precision = key
        shift = step * (i - (len(groups) - 1) / 2)
        scale, _, more = scale.partition(", ")
        label = f"{scale} scale{f', {more}' if more else ''}, {data}, n\u00a0=\u00a0{n:,}, {device}, {precision}"
        if mixed:  # the heading cannot say it for all
            label += metrics.OURS[protocol].removeprefix("ours, validation")
        label = textwrap.fill(label, 52)
        _ladder_column(right, attempts, part, metrics.OURS[protocol], STYLES[i % len(STYLES)], shift, label)
    ours = "ours, validation" if mixed else metrics.OURS[table["protocol"].iloc[0]]
    for axes, text in ((left, metrics.AUTHOR), (right, ours)):
        axes.set_title(textwrap.fill(text, 26), fontsize=LABEL)
        axes.set_ylim(len(attempts) - 0.5, -0.5)
        label_axes(axes, "accuracy, %", "attempt" if axes is left else "")
    left.set_yticks(range(len(attempts)), attempts)
    lowest = 100 * table[["low", metrics.AUTHOR]].min().min()
    for axes in (left, right):  # one scale for both, so that neither column looks better than it is
        axes.set_xlim(10 * math.floor(lowest / 10 - 0.1), 100)
    legend_below(figure, right, columns=1)
    return figure


def _with_epochs(runs: Sequence[Run]) -> list[Run]:
    trained = [run for run in runs if not run.members]
    if not trained:
        raise UserError(f"none of the {len(runs)} runs has epochs to draw: give runs of single models")
    return trained


def _watched(runs: Sequence[Run]) -> str:
    """The images that `val_` columns are about."""
    return " or ".join(sorted({WATCHED[run.protocol] for run in runs}))


def _scale(run: Run) -> str:
    """`compact scale`, and in brackets what must be said beside it."""
    scale, _, more = run.scale_text.partition(", ")
    return f"{scale} scale{f' ({more})' if more else ''}"


def _history(run: Run):
    if not len(run.history):
        raise UserError(f"run {run.name} is a vote over {len(run.members)} runs: it has no epochs to draw")
    return run.history


def _common_caption(runs: Sequence[Run]) -> str:
    """What all runs share of their captions; where they differ in more than what was kept, `_name` tells them apart."""
    if len({_setting(run) for run in runs}) > 1:
        return "of different data, scales or protocols: see the names"
    captions = {caption(run) for run in runs}
    shared = captions.pop() if len(captions) == 1 else f"{_scale(runs[0])}, {data_name(runs[0].data)}"
    return f"{shared}, n = {_setting(runs[0])[-1]:,}"


def _setting(run: Run) -> tuple:
    """What must be the same for two curves to be compared; last, the number of images watched."""
    return run.scale_text, data_name(run.data), run.protocol, run.metrics[SPLITS[run.protocol]]["n"]


def _name(run: Run, runs: Sequence[Run]) -> str:
    names = [other.recipe.name for other in runs]
    same = len({_setting(other) for other in runs}) == 1
    if not same:
        return run.name
    return run.recipe.name if names.count(run.recipe.name) == 1 else f"{run.recipe.name}, seed {run.seed}"


def _ladder_column(axes: Axes, attempts: list, table, column: str, look: tuple, shift: float, label: str) -> None:
    for name in table["attempt"][table[column].isna()]:  # an attempt for which nobody states a figure
        axes.text(1.03, attempts.index(name), "–", transform=axes.get_yaxis_transform(), va="center")
    table = table.dropna(subset=[column])
    values = 100 * table[column].to_numpy()
    y = np.array([attempts.index(name) for name in table["attempt"]]) + shift
    bars = None
    if column != metrics.AUTHOR:
        bars = np.abs(100 * table[["low", "high"]].to_numpy().T - values)
    axes.errorbar(
        values,
        y,
        xerr=bars,
        color=look[0],
        marker=look[1],
        linestyle="none",
        capsize=3,
        markersize=6,
        label=label,
    )
    for value, place in zip(values, y, strict=True):  # a column of numbers beside the panel, off the data
        axes.text(1.03, place, f"{value:.1f}", transform=axes.get_yaxis_transform(), va="center", fontsize=LABEL)
