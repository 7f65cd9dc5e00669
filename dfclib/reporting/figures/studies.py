"""A study's variants beside each other: what each gave, as the studies' results files say it."""

import textwrap
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dfclib.errors import UserError
from dfclib.reporting.figures import style
from dfclib.reporting.studies import seeds_each

LETTERS = 26  # of a variant's name in a line
LINE = 0.145  # inches


def study(values: Mapping[str, Any]) -> Figure:
    """Each variant's difference to the first one in points, with its 95% interval; beside it stands its accuracy.

    The best stands on top. A mark is hollow where its interval does not tell the difference from none.

    Args:
        values: One of `reporting.studies.read_studies`: its `results` are of one variant each.

    Raises:
        UserError: where no variant is trained.
    """
    found = sorted(values["results"], key=lambda row: -row["difference"])
    if not found:
        raise UserError("no variant of the study is trained: there are no differences to draw")
    asked, first = values["study"], values["against"]
    title = f"{asked['question']}\naccuracy less that of “{first}”, n = {values['images']:,} held-out images"
    names = [textwrap.wrap(_name(row), LETTERS) for row in found]
    lines = [len(name) + 1 for name in names]  # a row is as high as its name has lines, and one apart from the next
    note = f"95% intervals are of other images, not of other seeds; {seeds_each(asked)}"
    figure = style.new_figure(1.9 + LINE * sum(lines), title, note=note)
    axes = figure.subplots()
    axes.axvline(0, color="0.45", linewidth=1)
    places = np.cumsum(lines) - np.array(lines) / 2
    for place, row in zip(places, found, strict=True):
        _draw(axes, place, row, row["variant"] == first)
        style.write_beside(axes, place, f"{100 * row['accuracy']:.1f}")
    style.label_axes(axes, "points (right: accuracy, %)", "")
    axes.set_yticks(places, [style.plain("\n".join(name)) for name in names], fontsize=style.SMALL)
    axes.set_ylim(sum(lines), 0)
    axes.grid(axis="y", visible=False)
    low, high = axes.dataLim.intervalx
    axes.set_xlim(min(1.1 * low, -1), max(1.1 * high, 1))  # one variant alone has no width
    style.legend_below(figure, axes, columns=1)
    return figure


def _name(row: Mapping[str, Any]) -> str:
    """What a variant is called; one that was given up after some of its seeds says so."""
    return f"{row['variant']} (given up)" if row.get("state") == "pruned" else row["variant"]


def _draw(axes: Axes, y: float, row: Mapping[str, Any], first: bool) -> None:
    """One variant's mark, and its interval where it is not the one that the others are compared with."""
    if first:
        look = {"color": style.BLACK, "marker": "D", "markersize": 5, "linestyle": "none"}
        axes.plot(0, y, label="the one that the others are compared with", **look)
        return
    value, low, high = (100 * row[key] for key in ("difference", "difference_low", "difference_high"))
    none = low <= 0 <= high
    look = {"color": style.BLUE, "marker": "o", "markersize": 6, "linestyle": "none", "capsize": 3}
    look["fillstyle"] = "none" if none else "full"
    label = "the interval holds 0: perhaps no difference" if none else "the interval does not hold 0"
    axes.errorbar(value, y, xerr=[[value - low], [high - value]], label=label, **look)
