"""Figures of predictions: confusion, per-class bars, confidence, reliability, disagreement, errors fixed and made.

Predictions do not know what they are of: `note`, at a figure's foot, says it in the words of `captions.caption`.
"""

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from dfclib.ensembles import align
from dfclib.errors import UserError
from dfclib.evaluation import calibration, comparison, metrics
from dfclib.predictions import Predictions
from dfclib.reporting.figures import style
from dfclib.wording import MISSING

FEW = 20  # images: a bin of fewer says little, its interval covers some forty points
FADED = f"faded: bins of fewer than {FEW} images"


def confusion(predictions: Predictions, title: str = "Confusion matrix") -> Figure:
    """Counts and shares of each true class (row) by predicted class."""
    counts = metrics.confusion_matrix(predictions)
    shares = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = float(np.clip(0.32 * len(counts) + 3.45, style.WIDTH, 9))
    figure = _figure_of(predictions, title, side - 0.3, side)
    texts = [[f"{n:,}\n{shares[i, j]:.0f}%" for j, n in enumerate(row)] for i, row in enumerate(counts)]
    axes = style.heat_map(figure, shares, texts, predictions.class_names, "share of the true class, %", highest=100)
    style.label_axes(axes, "predicted class", "true class", grid=False)
    return figure


def per_class_bars(predictions: Predictions, title: str = "Precision, recall and F1 per class") -> Figure:
    """Three bars per class: precision, recall and F1 in percent."""
    table = metrics.per_class(predictions)
    k = len(table)
    upright = k > 5  # side by side, the numbers of ten classes would need nine inches
    width, height = float(np.clip(0.3 * k + 3.5, style.WIDTH, 14)), 4.3 if upright else 3.8
    figure = _figure_of(predictions, title, height, width)
    axes = figure.subplots()
    series = [
        (100 * table["precision"], "precision", "white", "////"),
        (100 * table["recall"], "recall", style.BLUE, ""),
        (100 * table["f1"], "F1", style.ORANGE, ".."),
    ]
    numbers = {"padding": 2, "rotation": 90} if upright else {"padding": 1}
    style.grouped_bars(axes, series, table["class"], step=0.3, **numbers)
    axes.set_xlim(-0.55, k - 0.45)  # no margin: three times "100" must stand side by side
    axes.set_ylim(0, 125 if upright else 109)
    axes.set_yticks(range(0, 101, 20))
    style.label_axes(axes, "class", "%", grid=False)
    style.legend_below(figure, axes, columns=3)
    return figure


def voters(
    members: Mapping[str, Predictions], title: str = "Accuracy against the number of voters", note: str = ""
) -> Figure:
    """Accuracy of hard votes over all subsets of `members` of each size: mean, and range from lowest to highest.

    Ties count as `comparison.accuracy_by_voters` says.
    """
    table = comparison.accuracy_by_voters(list(members.values()), list(members))
    n = len(next(iter(members.values())))
    figure = style.new_figure(3.8, f"{title}\nevery choice among {len(members)} voters, n = {n:,}", note=note)
    axes = figure.subplots()
    low, high = 100 * table["low"], 100 * table["high"]
    axes.fill_between(table["voters"], low, high, color=style.SKY, alpha=0.35, label="lowest to highest choice")
    style.draw_line(axes, table["voters"], 100 * table["mean"], 0, "mean over all choices", every=1)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    style.label_axes(axes, "voters", "accuracy, %")
    style.legend_below(figure, axes, columns=1)
    return figure


def confidence(
    predictions: Predictions, title: str = "Confidence of right and of wrong answers", note: str = ""
) -> Figure:
    """The distribution of confidence among right and among wrong predictions, each adding up to 100%."""
    figure = style.new_figure(3.8, f"{title}\n{_result(predictions)}", note=note)
    chosen, right = 100 * predictions.confidence, predictions.correct
    axes = figure.subplots()
    edges = np.linspace(0, 100, 21)  # five points each
    filled = {"facecolor": style.SKY, "edgecolor": style.BLUE}
    hatched = {"facecolor": "none", "edgecolor": style.VERMILION, "hatch": "////"}
    for text, rows, look in (("right", right, filled), ("wrong", ~right, hatched)):
        n = int(rows.sum())
        counts, _ = np.histogram(chosen[rows], edges)
        label = f"{text}, n = {n:,}" + (f", median {np.median(chosen[rows]):.0f}%" if n else "")
        axes.stairs(100 * counts / max(n, 1), edges, fill=True, linewidth=1.5, label=label, **look)
    axes.set_xlim(edges[np.searchsorted(edges, chosen.min(), "right") - 1] - 0.5, 100.5)
    style.label_axes(axes, "probability of the answer, %", "share of the answers, %")
    style.legend_below(figure, axes, columns=1)
    return figure


def reliability(
    predictions: Mapping[str, Predictions], title: str = "Reliability diagram", bins: int = 15, note: str = ""
) -> Figure:
    """Accuracy against confidence in bins of equal width, one line per system, and the distribution of confidence.

    Upright lines are 95% Wilson intervals of a bin's accuracy; bins of fewer than 20 images are faded, and no line goes
    through them. All `predictions` are of the same images.
    """
    names = list(predictions)
    predictions = dict(zip(names, align(list(predictions.values()), names), strict=True))
    n = f"n = {len(predictions[names[0]]):,}, {bins} bins, 95% intervals"
    figure = style.new_figure(5.4, f"{title}\n{n}", note=f"{note}; {FADED}" if note else FADED)
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(2.4, 1))
    first = 100.0  # the lowest confidence of all
    for i, (name, one) in enumerate(predictions.items()):
        colour, _, line = style.look(i)
        error = 100 * calibration.expected_calibration_error(one, bins)
        table = _draw_bins(top, one, bins, i, f"{name}: expected calibration error {error:.1f}%")
        edges = 100 * np.array([*table["low"], table["high"].iloc[-1]])
        bottom.stairs(100 * table["n"] / len(one), edges, color=colour, linestyle=line, linewidth=1.5)
        first = min(first, 100 * table["low"][table["n"] > 0].iloc[0])
    top.plot((0, 100), (0, 100), color="0.45", linewidth=1, label="as often right as confident")
    top.set_xlim(first, 100.5)
    top.set_ylim(0, 103)
    style.label_axes(top, "", "accuracy, %")
    style.label_axes(bottom, "confidence (highest probability), %", "images, %")
    style.legend_below(figure, top, columns=1)
    return figure


def reliability_panels(
    predictions: Mapping[str, Predictions], title: str = "Calibration", bins: int = 15, note: str = ""
) -> Figure:
    """`reliability` of several systems, one panel each on the same axes, so that their images may be different ones.

    Above a panel stand the system's name, of one or more lines, its images and its expected calibration error.
    """
    if not predictions:
        raise UserError("no predictions to draw the calibration of: give at least one system's")
    columns, rows = min(2, len(predictions)), math.ceil(len(predictions) / 2)
    note = f"{note}; {FADED}" if note else FADED
    lines = 2 + max(name.count("\n") + 1 for name in predictions)
    figure = style.new_figure(1.2 + (1.6 + 0.2 * lines) * rows, f"{title}\n{bins} bins, 95% intervals", note=note)
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    first = 100.0  # the lowest confidence of all
    for place, (axes, (name, one)) in enumerate(zip(panels.ravel(), predictions.items(), strict=False)):
        table = _draw_bins(axes, one, bins, 0, "accuracy of a bin")
        axes.plot((0, 100), (0, 100), color="0.45", linewidth=1, label="as often right as confident")
        error = 100 * calibration.expected_calibration_error(one, bins)
        texts = [style.short(line, 28) for line in name.splitlines()]
        texts += [f"n = {len(one):,}", f"calibration error {error:.1f}%"]
        axes.set_title("\n".join(texts), fontsize=style.LABEL)
        lowest = place + columns >= len(predictions)
        last_row = place // columns == rows - 1
        style.label_axes(axes, "confidence, %" if last_row else "", "" if place % columns else "accuracy, %")
        axes.tick_params(labelbottom=lowest)
        first = min(first, 100 * table["low"][table["n"] > 0].iloc[0])
    panels[0, 0].set_xlim(first, 100.5)
    panels[0, 0].set_ylim(0, 103)
    for axes in panels.ravel()[len(predictions) :]:
        axes.set_visible(False)
    style.legend_below(figure, panels[0, 0], columns=2)
    return figure


def disagreement(
    members: Mapping[str, Predictions],
    title: str = "Different answers",
    highest: float | None = None,
    note: str = "",
) -> Figure:
    """The share of images for which two members predict different classes, in percent, as a heat map.

    highest: the share, 0 to 1, that the darkest colour stands for, the same in all maps that are compared; None: the
    largest in this one
    """
    names, k = list(members), len(members)
    shares = 100 * comparison.disagreement(list(members.values()), names)
    top = 100 * highest if highest else shares.max() or 1.0
    side = float(np.clip(0.42 * k + 2.9, style.WIDTH, 9))
    figure = style.new_figure(side - 0.5, f"{title}\nn = {len(members[names[0]]):,}", side, note)
    texts = [[MISSING if i == j else f"{share:.1f}%" for j, share in enumerate(row)] for i, row in enumerate(shares)]
    axes = style.heat_map(figure, shares, texts, names, "images answered differently, %", highest=top)
    style.label_axes(axes, "", "", grid=False)
    return figure


def fixed_and_made(
    before: Predictions, after: Predictions, names: tuple[str, str] = ("single", "vote"), note: str = ""
) -> Figure:
    """Per class, errors that `after` fixes (upwards), errors that it makes (downwards), and the difference above."""
    table = comparison.fixed_and_made(before, after, names)
    whole, table = table.iloc[-1], table.iloc[:-1]
    k = len(table)
    totals = f"{whole['errors_before']:,} errors of {names[0]}, {whole['errors_after']:,} of {names[1]}"
    width = float(np.clip(0.6 * k + 1.2, style.WIDTH, 14))
    figure = style.new_figure(4.8, f"Errors fixed and made\n{totals}, n = {whole['n']:,}", width, note)
    figure.get_layout_engine().set(h_pad=0.07)
    axes = figure.subplots()
    place = np.arange(k)
    for column, sign, colour, hatch in (("fixed", 1, style.BLUE, ""), ("made", -1, "white", "////")):
        heights, label = sign * table[column].to_numpy(), f"{column} by {names[1]}, {whole[column]:,}"
        axes.bar(place, heights, 0.7, color=colour, edgecolor="black", hatch=hatch, label=label)
        for x, count in enumerate(table[column] if k <= style.MOST_NUMBERED else ()):
            # not bar_label, which writes a 0 upwards even where bars point down
            look = {"xytext": (0, 2 * sign), "va": "bottom" if sign > 0 else "top", "fontsize": style.SMALL}
            axes.annotate(f"{count:,}", (x, sign * count), textcoords="offset points", ha="center", **look)
    axes.axhline(0, color="black", linewidth=0.8)
    highest, lowest = table["fixed"].max(), -table["made"].max()
    room = 0.12 * max(highest - lowest, 4)  # for the numbers
    axes.set_ylim(lowest - room, highest + room)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_formatter(lambda value, _: f"{abs(value):,.0f}")  # downwards too, it is a count
    style.name_classes(axes, list(table["class"]), "x")
    style.label_axes(axes, "class", "errors", grid=False)
    if k <= style.MOST_NUMBERED:
        texts = [f"{n:+d}".replace("-", "−") if n else "0" for n in table["errors_after"] - table["errors_before"]]
        above = axes.secondary_xaxis("top")
        above.set_xticks(place, texts)
        above.tick_params(length=0, labelsize=style.LABEL)
        above.spines["top"].set_visible(False)
        above.set_xlabel("errors more (+) or fewer (−)", fontsize=style.LABEL)
    style.legend_below(figure, axes, columns=2)
    return figure


def _figure_of(predictions: Predictions, title: str, height: float, width: float = style.WIDTH) -> Figure:
    """An empty figure: the title's first line with the result below it, and the title's other lines as the note."""
    first, *rest = title.splitlines()
    return style.new_figure(height, f"{first}\n{_result(predictions)}", width, note=", ".join(rest))


def _draw_bins(axes: Axes, predictions: Predictions, bins: int, i: int, label: str) -> pd.DataFrame:
    """Draw `calibration.reliability` with intervals as the i-th series, bins of few images faded; returns the table."""
    table = calibration.reliability(predictions, bins)
    filled = table[table["n"] > 0]
    n, x, y = (filled[name].to_numpy() for name in ("n", "confidence", "accuracy"))
    ends = np.array([metrics.wilson_interval(*counts) for counts in zip(np.rint(n * y), n, strict=True)])
    colour, marker, _ = style.look(i)
    many = n >= FEW
    for which, alpha in ((many, 0.6), (~many, 0.2)):
        axes.vlines(100 * x[which], *(100 * ends[which].T), color=colour, linewidth=0.9, alpha=alpha)
    style.draw_line(axes, 100 * x[many], 100 * y[many], i, label, every=1)
    faded = {"color": colour, "marker": marker, "linestyle": "none", "markersize": 5, "alpha": 0.3}
    axes.plot(100 * x[~many], 100 * y[~many], **faded)
    return table


def _result(predictions: Predictions) -> str:
    """`n = 1,250, accuracy 80.0% (95% interval 77.7 to 82.1)`. Raises UserError without labels."""
    result = metrics.summary(predictions)
    share, low, high = (f"{100 * result[key]:.1f}" for key in ("accuracy", "low", "high"))
    return f"n = {result['n']:,}, accuracy {share}% (95% interval {low} to {high})"
