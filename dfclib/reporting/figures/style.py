"""Colours, sizes, labels and legends of all figures.

Colours are Okabe and Ito's, which the colour-blind tell apart; markers, lines and hatches differ too, for print in
grey. Figures are five inches wide with type of nine points or more, legible at a column's width.
"""

import io
import itertools
import math
import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

BLACK, BLUE, VERMILION, GREEN, ORANGE = "#000000", "#0072B2", "#D55E00", "#009E73", "#E69F00"
PURPLE, SKY = "#CC79A7", "#56B4E9"
STYLES = (  # colour, marker, line
    (BLUE, "o", "-"),
    (VERMILION, "s", "--"),
    (GREEN, "^", "-."),
    (BLACK, "D", ":"),
    (PURPLE, "v", (0, (5, 1))),
    (ORANGE, "P", (0, (3, 1, 1, 1))),
    (SKY, "X", (0, (1, 1))),
)
WIDTH = 5.0  # inches
TITLE, LABEL, SMALL = 11, 10, 9  # points
MOST_NUMBERED = 12  # classes; with more, numbers in cells and on bars would overlap
MOST_NAMED = 25  # classes; with more, only some are named on an axis


class DisplayedFigure(Figure):
    """A figure that a notebook shows as a cell's value, without pyplot and its global state."""

    def _repr_png_(self) -> bytes:
        file = io.BytesIO()
        self.savefig(file, format="png", bbox_inches="tight")
        return file.getvalue()


def new_figure(height: float, title: str, width: float = WIDTH, note: str = "") -> Figure:
    """An empty figure with a title of at most two lines, and a small note at its foot; both are wrapped.

    Of a title that takes more than two lines the first one stays, and what follows it begins the note.

    Args:
        height, width: Inches; the note's lines are added to the height.
        title: One or more lines.
        note: What a reader may look up, not what the figure shows.
    """
    first, *rest = (_wrapped(line, width, TITLE) for line in title.splitlines() or [""])
    if len(first) + sum(map(len, rest)) > 2:
        note = ", ".join([*title.splitlines()[1:], *filter(None, [note])])
        rest = []
    notes = _wrapped(note, width, SMALL)
    foot = (1.4 * SMALL * len(notes) + 3 * bool(notes)) / 72
    size = (width, height + foot)
    figure = DisplayedFigure(figsize=size, dpi=110, layout="constrained", facecolor="white")
    figure.suptitle(plain("\n".join(itertools.chain(first[:2], *rest))), fontsize=TITLE)
    figure.get_layout_engine().set(rect=(0, foot / size[1], 1, height / size[1]))
    if notes:
        look = {"fontsize": SMALL, "color": "0.35", "va": "bottom", "linespacing": 1.2}
        figure.text(0.02, 3 / 72 / size[1], plain("\n".join(notes)), **look)
    return figure


def _wrapped(text: str, width: float, fontsize: int) -> list[str]:
    """Lines of `text` that fit on `width` inches; "n = 1,250" stays together, as nothing breaks at no-break spaces."""
    return textwrap.wrap(text.replace(" = ", "\u00a0=\u00a0"), int(width * 72 / (0.55 * fontsize)))


def label_axes(axes: Axes, x: str, y: str, grid: bool = True) -> None:
    axes.set_xlabel(x, fontsize=LABEL)
    axes.set_ylabel(y, fontsize=LABEL)
    axes.tick_params(labelsize=LABEL)
    axes.spines[["top", "right"]].set_visible(False)
    if grid:
        axes.grid(color="0.88", linewidth=0.6)
        axes.set_axisbelow(True)


def legend_below(figure: Figure, axes: Axes, columns: int, title: str | None = None) -> None:
    """The legend of `axes` below the panels, where it covers no data; a label that many points have stands once."""
    entries: dict = {}
    for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
        entries.setdefault(label, handle)
    options = {"loc": "outside lower center", "fontsize": LABEL, "title_fontsize": LABEL, "frameon": False}
    foot = figure.get_layout_engine().get()["rect"][1] * figure.get_figheight()  # inches that the note takes
    options["borderaxespad"] = 0.5 + 72 * foot / LABEL  # not bbox_to_anchor, for which no room would be made
    figure.legend(entries.values(), entries, ncols=columns, title=title, handlelength=3, **options)


def look(i: int) -> tuple:
    """Colour, marker and line of the i-th series; there are seven, then they repeat."""
    return STYLES[i % len(STYLES)]


def draw_line(axes: Axes, x: Sequence, y: Sequence, i: int, label: str, every: int | None = None) -> None:
    """The i-th series, with a marker at each `every`-th point; None: about fifteen in all."""
    colour, marker, line = look(i)
    every = every or max(1, len(x) // 15)  # markers that touch hide the line
    options = {"color": colour, "marker": marker, "linestyle": line, "linewidth": 1.5, "markersize": 5}
    axes.plot(x, y, markevery=(i % every, every), label=plain(label), **options)


def grouped_bars(
    axes: Axes, series: Sequence[tuple[Sequence[float], str, str, str]], names: Sequence[str], step: float, **numbers
) -> None:
    """Bars (values, label, colour, hatch) side by side, `step` apart, with numbers (options of bar_label) if few."""
    for i, (values, label, colour, hatch) in enumerate(series):
        place = np.arange(len(names)) + step * (i - (len(series) - 1) / 2)
        bars = axes.bar(place, values, step - 0.01, color=colour, edgecolor="black", hatch=hatch, label=label)
        if len(names) <= MOST_NUMBERED:
            axes.bar_label(bars, fmt="{:,.0f}", fontsize=SMALL, **numbers)
    name_classes(axes, names, "x")


def heat_map(
    figure: Figure, values: np.ndarray, texts: Sequence[Sequence[str]], names: Sequence[str], label: str, highest: float
) -> Axes:
    """A square panel of percentages (k, k) with a text in each cell where they are few, and a labelled colour bar."""
    rect = figure.get_layout_engine().get()["rect"]
    figure.set_layout_engine("compressed", rect=rect)  # a square panel leaves gaps otherwise
    axes = figure.subplots()
    image = axes.imshow(values, cmap="Blues", vmin=0, vmax=highest)
    if len(values) <= MOST_NUMBERED:
        for row, column in np.ndindex(values.shape):
            colour = "white" if values[row, column] > 0.55 * highest else "black"
            axes.text(column, row, texts[row][column], ha="center", va="center", color=colour, fontsize=SMALL)
    name_classes(axes, names, "xy")
    bar = figure.colorbar(image, ax=axes, shrink=0.8)
    bar.set_label(label, fontsize=LABEL)
    bar.ax.tick_params(labelsize=LABEL)
    return axes


def write_beside(axes: Axes, y: float, text: str, fontsize: int = SMALL, gap: float = 0.02) -> None:
    """A number to the right of the panel, off the data. gap: between them, as a share of the panel's width."""
    axes.text(1 + gap, y, text, transform=axes.get_yaxis_transform(), va="center", fontsize=fontsize)


def name_classes(axes: Axes, names: Sequence[str], which: str) -> None:
    """Class names on the axes in `which` ("x", "y" or "xy"); of many classes only some at regular steps."""
    places = range(0, len(names), math.ceil(len(names) / MOST_NAMED))
    labels = [short(names[i]) for i in places]
    if "x" in which:
        long = max(map(len, labels)) > 6
        axes.set_xticks(places, labels, rotation=45 if long else 0, ha="right" if long else "center")
    if "y" in which:
        axes.set_yticks(places, labels)


def short(name: str, letters: int = 16) -> str:
    return plain(name if len(name) <= letters else name[: letters - 1] + "…")


def plain(text: str) -> str:
    """The text with its dollars escaped: what stands between two of them matplotlib would read as a formula."""
    return text.replace("$", r"\$")


def bare(axes: Axes) -> None:
    """Take off ticks and frame, for a picture."""
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def show(axes: Axes, image: np.ndarray, interpolation: str) -> None:
    """Draw one picture: uint8 (height, width, 1 or 3)."""
    look = {"cmap": "gray", "vmin": 0, "vmax": 255} if image.shape[2] == 1 else {}
    axes.imshow(image, interpolation=interpolation, **look)
