"""Figures about confidence and about several systems: reliability, disagreement, errors that a vote mends."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from dfclib.ensembles import align
from dfclib.evaluation import metrics
from dfclib.predictions import Predictions
from dfclib.reporting.figures.predictions import confidences, result_of
from dfclib.reporting.figures.style import (
    BLUE,
    LABEL,
    MOST_NUMBERED,
    SKY,
    SMALL,
    STYLES,
    VERMILION,
    WIDTH,
    draw_line,
    label_axes,
    legend_below,
    name_classes,
    new_figure,
)

CONFIDENCE_BINS = 20  # five points each


def reliability(predictions: Mapping[str, Predictions], title: str = "Reliability diagram", bins: int = 15) -> Figure:
    """Accuracy against confidence in bins of equal width, a line a system, and how many images have which confidence.

    predictions: by the name that the legend shows, all of the same images. Upright lines are 95% Wilson intervals
    of a bin's accuracy; the legend gives the expected calibration error (`calibration`).
    Raises UserError without labels or probabilities, and where the images differ.
    """
    from dfclib.evaluation import calibration

    predictions = _aligned(predictions)
    figure = new_figure(WIDTH, 5.4, f"{title}\n{_images(predictions)}, {bins} bins, 95% intervals")
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(2.4, 1))
    first = 100.0  # the lowest confidence of all
    for i, (name, one) in enumerate(predictions.items()):
        table = calibration.reliability(one, bins)
        error = 100 * calibration.expected_calibration_error(one, bins)
        filled = table[table["n"] > 0]
        x, y = 100 * filled["confidence"].to_numpy(), 100 * filled["accuracy"].to_numpy()
        right = np.rint(filled["accuracy"] * filled["n"]).astype(int)
        ends = [metrics.wilson_interval(*counts) for counts in zip(right, filled["n"], strict=True)]
        top.vlines(x, *(100 * np.array(ends).T), color=STYLES[i % len(STYLES)][0], linewidth=0.9, alpha=0.6)
        draw_line(top, x, y, i, f"{name}: expected calibration error {error:.1f}%", every=1)
        colour, _, line = STYLES[i % len(STYLES)]
        edges = 100 * np.array([*table["low"], table["high"].iloc[-1]])
        bottom.stairs(100 * table["n"] / len(one), edges, color=colour, linestyle=line, linewidth=1.5)
        first = min(first, 100 * filled["low"].iloc[0])
    top.plot((0, 100), (0, 100), color="0.45", linewidth=1, label="as often right as confident")
    top.set_xlim(first, 100.5)
    top.set_ylim(0, 103)
    label_axes(top, "", "accuracy, %")
    label_axes(bottom, "confidence (highest probability), %", "images, %")
    legend_below(figure, top, columns=1)
    return figure


def confidence(predictions: Predictions, title: str = "Confidence of right and of wrong answers") -> Figure:
    """How the probability of the answer is distributed among right and among wrong answers, each adding up to 100%.

    Raises UserError without labels or probabilities.
    """
    figure = new_figure(WIDTH, 3.8, f"{title}\n{result_of(predictions)}")
    chosen = 100 * confidences(predictions)
    axes = figure.subplots()
    right = predictions.predicted == predictions.labels
    edges = np.linspace(0, 100, CONFIDENCE_BINS + 1)
    looks = {"facecolor": SKY, "edgecolor": BLUE}, {"facecolor": "none", "edgecolor": VERMILION, "hatch": "////"}
    for text, rows, look in (("right", right, looks[0]), ("wrong", ~right, looks[1])):
        n = int(rows.sum())
        counts, _ = np.histogram(chosen[rows], edges)
        label = f"{text}, n = {n:,}" + (f", median {np.median(chosen[rows]):.0f}%" if n else "")
        axes.stairs(100 * counts / max(n, 1), edges, fill=True, linewidth=1.5, label=label, **look)
    axes.set_xlim(edges[np.searchsorted(edges, chosen.min(), "right") - 1] - 0.5, 100.5)
    label_axes(axes, "probability of the answer, %", "share of the answers, %")
    legend_below(figure, axes, columns=1)
    return figure


def disagreement(members: Mapping[str, Predictions], title: str = "Different answers") -> Figure:
    """Shares of the images that two members answer differently, in percent, as a heat map.

    members: by name, all of the same images; labels are not needed. Raises UserError where the images differ.
    """
    from dfclib.evaluation import comparison

    names, k = list(members), len(members)
    shares = 100 * comparison.disagreement(list(members.values()), names)
    side = float(np.clip(0.42 * k + 2.9, WIDTH, 9))
    figure = new_figure(side, side - 0.5, f"{title}\n{_images(members)}")
    figure.set_layout_engine("compressed")  # a square panel leaves gaps otherwise
    axes = figure.subplots()
    highest = shares.max() or 1.0
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=highest)
    if k <= MOST_NUMBERED:
        for row, column in np.ndindex(shares.shape):
            colour = "white" if shares[row, column] > 0.6 * highest else "black"
            text = f"{shares[row, column]:.1f}%" if row != column else "–"
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=SMALL)
    name_classes(axes, names, "xy")
    bar = figure.colorbar(image, ax=axes, shrink=0.8)
    bar.set_label("images answered differently, %", fontsize=LABEL)
    bar.ax.tick_params(labelsize=LABEL)
    label_axes(axes, "", "", grid=False)
    return figure


def fixed_and_made(
    before: Predictions,
    after: Predictions,
    names: tuple[str, str] = ("single", "ensemble"),
    title: str = "Errors fixed and made",
) -> Figure:
    """Errors a class that `after` mends (upwards) and those that it makes anew (downwards), and what is left of both.

    names: what the title and the legend call the two. Raises UserError without labels, and where the images differ.
    """
    from dfclib.evaluation import comparison

    table = comparison.fixed_and_made(before, after, names)
    whole, table = table.iloc[-1], table.iloc[:-1]
    k = len(table)
    totals = f"{whole['errors_before']:,} errors of {names[0]}, {whole['errors_after']:,} of {names[1]}"
    width = float(np.clip(0.6 * k + 1.2, WIDTH, 14))
    figure = new_figure(width, 4.8, f"{title}\n{totals}, n = {whole['n']:,}")
    figure.get_layout_engine().set(h_pad=0.07)
    axes = figure.subplots()
    place = np.arange(k)
    for column, sign, colour, hatch in (("fixed", 1, BLUE, ""), ("made", -1, "white", "////")):
        heights, label = sign * table[column].to_numpy(), f"{column} by {names[1]}, {whole[column]:,}"
        axes.bar(place, heights, 0.7, color=colour, edgecolor="black", hatch=hatch, label=label)
        for x, count in enumerate(table[column] if k <= MOST_NUMBERED else ()):
            # not bar_label, which writes a 0 upwards even where bars point down
            side = {"xytext": (0, 2 * sign), "va": "bottom" if sign > 0 else "top"}
            axes.annotate(
                f"{count:,}", (x, sign * count), textcoords="offset points", ha="center", fontsize=SMALL, **side
            )
    axes.axhline(0, color="black", linewidth=0.8)
    highest, lowest = table["fixed"].max(), -table["made"].max()
    room = 0.12 * max(highest - lowest, 4)  # for the numbers
    axes.set_ylim(lowest - room, highest + room)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_formatter(lambda value, _: f"{abs(value):,.0f}")  # downwards too, it is a count
    name_classes(axes, list(table["class"]), "x")
    label_axes(axes, "class", "errors", grid=False)
    if k <= MOST_NUMBERED:
        net = axes.secondary_xaxis("top")
        change = table["errors_after"] - table["errors_before"]
        net.set_xticks(place, [f"{count:+d}".replace("-", "−") if count else "0" for count in change])
        net.tick_params(length=0, labelsize=LABEL)
        net.spines["top"].set_visible(False)
        net.set_xlabel("errors more (+) or fewer (−)", fontsize=LABEL)
    legend_below(figure, axes, columns=2)
    return figure


def _aligned(predictions: Mapping[str, Predictions]) -> dict[str, Predictions]:
    names = list(predictions)
    return dict(zip(names, align(list(predictions.values()), names), strict=True))


def _images(predictions: Mapping[str, Predictions]) -> str:
    return f"n = {len(next(iter(predictions.values()))):,}"
