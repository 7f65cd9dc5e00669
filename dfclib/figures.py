"""Figures from runs, predictions and images: each function returns a matplotlib Figure, without pyplot.

Colours are Okabe and Ito's, which the colour-blind tell apart; markers, lines and hatches differ too, for
print in grey. Figures are five inches wide with type of nine points or more, legible at a column's width.
"""

import io
import math
import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from dfclib import evaluation
from dfclib.datasets.images import ImageSet, Splits
from dfclib.errors import UserError
from dfclib.evaluation import data_name
from dfclib.files import write_atomically
from dfclib.runs import Predictions, Run

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
SPECTRUM_IMAGES = 300  # a class: the mean no longer changes to the eye


class DisplayedFigure(Figure):
    """A figure that a notebook shows as a cell's value, without pyplot and its global state."""

    def _repr_png_(self) -> bytes:
        file = io.BytesIO()
        self.savefig(file, format="png", bbox_inches="tight")
        return file.getvalue()


def caption(run: Run) -> str:
    """The company that a run's figures keep: scale, data, and how its checkpoint was chosen."""
    chosen = f"checkpoint chosen on {_watched([run])}"
    if not run.members and run.recipe.stopping is None:
        chosen = "last epoch kept"
    return f"{run.scale} scale, {data_name(run.data)}, {chosen}"


def heading(run: Run) -> str:
    """A title for a figure of this run: its recipe's title, seed and caption."""
    return f"{run.recipe.title}, seed {run.seed}\n{caption(run)}"


def curves(run: Run) -> Figure:
    """Accuracy and loss over the epochs, in training and on the images watched; the chosen epoch is marked.

    Raises UserError for a vote, which has no epochs.
    """
    history = _history(run)
    train, validation = run.data["counts"]["train"], run.data["counts"]["validation"]
    n = f"n = {train:,} training, {validation:,} validation images"
    figure = _figure(WIDTH, 5.2, f"{heading(run)}\n{n}")
    panels = figure.subplots(2, 1, sharex=True)
    for axes, column, label in zip(panels, ("accuracy", "loss"), ("accuracy, %", "loss, nats"), strict=True):
        factor = 100 if column == "accuracy" else 1
        _line(
            axes,
            history["epoch"],
            factor * history[column],
            1,
            "training",
        )
        _line(axes, history["epoch"], factor * history[f"val_{column}"], 0, _watched([run]))
        chosen = run.metrics["chosen_epoch"]
        axes.axvline(chosen, color="0.35", linewidth=1.2, linestyle=(0, (1, 2)), label=f"epoch {chosen}, kept")
        _labels(axes, "epoch" if column == "loss" else "", label)
    panels[1].xaxis.set_major_locator(MaxNLocator(integer=True))
    _legend(figure, panels[0], columns=3)
    return figure


def validation_curves(runs: Sequence[Run]) -> Figure:
    """Accuracy on the images watched over the epochs, a line a run, to compare how wildly they swing.

    The legend gives `callbacks.stability`: the typical jump against the trend, in points. Votes are left out.
    Raises UserError where no run has epochs.
    """
    from dfclib.callbacks import stability

    runs = _with_epochs(runs)
    figure = _figure(WIDTH, 4.4, f"Accuracy on {_watched(runs)}\n{_common_caption(runs)}")
    axes = figure.subplots()
    for i, run in enumerate(runs):
        swing = stability(run.history)
        swing = "too short to tell" if math.isnan(swing) else f"swings by {swing:.1f} points"
        _line(axes, run.history["epoch"], 100 * run.history["val_accuracy"], i, f"{_name(run, runs)}: {swing}")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _labels(axes, "epoch", "accuracy, %")
    _legend(figure, axes, columns=1)
    return figure


def learning_rates(runs: Sequence[Run]) -> Figure:
    """The learning rate at the end of each epoch, on a logarithmic axis, a line a run. Votes are left out.

    Raises UserError where no run has epochs.
    """
    runs = _with_epochs(runs)
    figure = _figure(WIDTH, 3.6, f"Learning rate\n{_common_caption(runs)}")
    axes = figure.subplots()
    for i, run in enumerate(runs):
        _line(axes, run.history["epoch"], run.history["learning_rate"], i, _name(run, runs))
    axes.set_yscale("log")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _labels(axes, "epoch", "learning rate")
    _legend(figure, axes, columns=2)
    return figure


def confusion(predictions: Predictions, title: str = "Confusion matrix") -> Figure:
    """Counts and shares of each true class (row) by predicted class. Raises UserError without labels."""
    counts = evaluation.confusion_matrix(predictions)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    names, k = predictions.class_names, len(counts)
    side = float(np.clip(0.75 * k + 1.3, WIDTH, 9))
    figure = _figure(side, side + 0.2, f"{title}\n{_result(predictions)}")
    figure.set_layout_engine("compressed")  # a square panel leaves gaps otherwise
    axes = figure.subplots()
    image = axes.imshow(100 * shares, cmap="Blues", vmin=0, vmax=100)
    if k <= MOST_NUMBERED:
        for row, column in np.ndindex(counts.shape):
            colour = "white" if shares[row, column] > 0.55 else "black"
            text = f"{counts[row, column]:,}\n{100 * shares[row, column]:.0f}%"
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=SMALL)
    _name_classes(axes, names, "xy")
    bar = figure.colorbar(image, ax=axes, shrink=0.8)
    bar.set_label("share of the true class, %", fontsize=LABEL)
    bar.ax.tick_params(labelsize=LABEL)
    _labels(axes, "predicted class", "true class", grid=False)
    return figure


def per_class_bars(predictions: Predictions, title: str = "Precision, recall and F1 a class") -> Figure:
    """Three bars a class: precision, recall and F1 in percent. Raises UserError without labels."""
    table = evaluation.per_class(predictions)
    k = len(table)
    figure = _figure(float(np.clip(0.85 * k + 0.75, WIDTH, 14)), 3.8, f"{title}\n{_result(predictions)}")
    axes = figure.subplots()
    looks = (("precision", "white", "////"), ("recall", BLUE, ""), ("f1", ORANGE, ".."))
    for i, (column, colour, hatch) in enumerate(looks):
        label = "F1" if column == "f1" else column
        place = np.arange(k) + 0.3 * (i - 1)
        bars = axes.bar(place, 100 * table[column], 0.29, color=colour, edgecolor="black", hatch=hatch, label=label)
        if k <= MOST_NUMBERED:
            axes.bar_label(bars, fmt="%.0f", fontsize=SMALL, padding=1)
    axes.set_xlim(-0.55, k - 0.45)  # no margin: three times "100" must stand side by side
    axes.set_ylim(0, 109)
    axes.set_yticks(range(0, 101, 20))
    _name_classes(axes, table["class"], "x")
    _labels(axes, "class", "%", grid=False)
    _legend(figure, axes, columns=3)
    return figure


def ladder(runs: Sequence[Run]) -> Figure:
    """The author's figures and ours, side by side, a row an attempt; ours with 95% Wilson intervals.

    Two panels and not one: they are accuracies on different images and not to be subtracted. Runs that differ
    in data, scale, protocol, device or precision have a marker each. Raises UserError where none is one.
    """
    table = evaluation.ladder(runs)
    if table.empty:
        raise UserError(f"no ladder without runs of {', '.join(evaluation.LADDER)}: received {len(runs)} other runs")
    attempts = [name for name in evaluation.LADDER.values() if name in set(table["attempt"])]
    groups = list(table.groupby(["data", "n", "scale", "protocol", "device", "precision"], sort=False))
    step = 0.66 / len(groups)  # of a row's height: groups of one attempt stay nearer to each other than to the next
    height = 1.9 + len(attempts) * max(0.3, 0.18 / step) + 0.3 * len(groups)  # a number needs 0.18 inches
    figure = _figure(
        WIDTH,
        height,
        "The six attempts: accuracy in %, ours with 95% intervals",
    )
    left, right = figure.subplots(1, 2, sharey=True)
    mixed = table["protocol"].nunique() > 1
    _ladder_column(left, attempts, table.drop_duplicates("attempt"), evaluation.AUTHOR, (BLACK, "D"), 0, "author")
    for i, (key, part) in enumerate(groups):
        data, n, scale, protocol, device, precision = key
        shift = step * (i - (len(groups) - 1) / 2)
        label = f"{scale} scale, {data}, n = {n:,}, {device}, {precision}"
        if mixed:  # the heading cannot say it for all
            label += evaluation.OURS[protocol].removeprefix("ours, validation")
        label = textwrap.fill(label, 52)
        _ladder_column(right, attempts, part, evaluation.OURS[protocol], STYLES[i % len(STYLES)], shift, label)
    ours = "ours, validation" if mixed else evaluation.OURS[table["protocol"].iloc[0]]
    for axes, text in ((left, evaluation.AUTHOR), (right, ours)):
        axes.set_title(textwrap.fill(text, 26), fontsize=LABEL)
        axes.set_ylim(len(attempts) - 0.5, -0.5)
        _labels(axes, "accuracy, %", "attempt" if axes is left else "")
    left.set_yticks(range(len(attempts)), attempts)
    lowest = 100 * table[["low", evaluation.AUTHOR]].min().min()
    for axes in (left, right):  # one scale for both, so that neither column looks better than it is
        axes.set_xlim(10 * math.floor(lowest / 10 - 0.1), 100)
    _legend(figure, right, columns=1)
    return figure


def class_balance(splits: Splits) -> Figure:
    """Images a class in training and validation."""
    k = len(splits.class_names)
    n = f"n = {len(splits.train):,} training, {len(splits.validation):,} validation"
    figure = _figure(float(np.clip(0.85 * k + 0.75, WIDTH, 14)), 3.4, f"Images a class\n{_splits_name(splits)}, {n}")
    axes = figure.subplots()
    looks = ((splits.train, "training", BLUE, ""), (splits.validation, "validation", "white", "////"))
    for i, (images, label, colour, hatch) in enumerate(looks):
        place = np.arange(k) + 0.4 * (i - 0.5)
        bars = axes.bar(place, images.class_counts(), 0.39, color=colour, edgecolor="black", hatch=hatch, label=label)
        if k <= MOST_NUMBERED:
            axes.bar_label(bars, fmt="{:,.0f}", fontsize=SMALL, padding=1)
    axes.margins(y=0.1)
    _name_classes(axes, splits.class_names, "x")
    _labels(axes, "class", "images", grid=False)
    _legend(figure, axes, columns=2)
    return figure


def samples(images: ImageSet, per_class: int = 6, title: str = "Samples") -> Figure:
    """The first `per_class` images of each class, a row a class, pixels unsmoothed; at most 25 classes."""
    shown = range(min(len(images.class_names), MOST_NAMED))
    rows = [images.take(np.flatnonzero(images.labels == label)[:per_class]).images for label in shown]
    more = f", first {len(shown)} of {len(images.class_names)} classes" if len(images.class_names) > len(shown) else ""
    headings = [images.class_names[label] for label in shown]
    return _gallery(rows, headings, [""] * per_class, f"{title}\n{_size(images)}, n = {len(images):,}{more}")


def augmentation_preview(
    original: ImageSet, views: Sequence[np.ndarray], headings: Sequence[str] = (), title: str = "Augmentation"
) -> Figure:
    """Each image beside what augmentation makes of it.

    original: the images as they are, a row each; views: one uint8 (n, height, width, channels) a column, as
    `pipelines.augmented` gives for an epoch; headings: a heading a view ("epoch 1" and so on by default).
    """
    headings = list(headings) or [f"epoch {i}" for i in range(1, len(views) + 1)]
    rows = [[image, *(view[i] for view in views)] for i, image in enumerate(original.images)]
    classes = [""] * len(rows) if original.labels is None else [original.class_names[i] for i in original.labels]
    return _gallery(rows, classes, ["original", *headings], f"{title}\n{_size(original)}, n = {len(original):,}")


def mean_log_spectrum(images: np.ndarray) -> np.ndarray:
    """Mean over images of the log10 power a frequency: float64 (height, width), frequency 0 in the middle.

    images: uint8 (n, height, width, channels). Channels are averaged, the mean is taken off, and a Hann
    window keeps the borders, where an image does not continue on the other side, from looking like detail.
    """
    height, width = images.shape[1:3]
    window = np.hanning(height)[:, None] * np.hanning(width)
    total = np.zeros((height, width))
    for image in images:  # one by one: all at once would take gigabytes
        grey = image.astype(np.float64).mean(axis=2)
        power = np.abs(np.fft.fft2((grey - grey.mean()) * window)) ** 2
        total += np.log10(power + 1e-3)  # a flat image has no power at all
    return np.fft.fftshift(total / len(images))


def radial_profile(spectrum: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean of a spectrum over rings around its middle: frequencies in cycles a pixel up to 0.5, values."""
    frequencies = [np.fft.fftshift(np.fft.fftfreq(side)) for side in spectrum.shape]
    radius = np.hypot(frequencies[0][:, None], frequencies[1])
    count = min(spectrum.shape) // 2
    ring = np.rint(radius * 2 * count).astype(int)
    inside = (ring >= 1) & (ring <= count)
    sums = np.bincount(ring[inside], spectrum[inside], minlength=count + 1)
    sizes = np.bincount(ring[inside], minlength=count + 1)
    return np.arange(1, count + 1) / (2 * count), (sums[1:] / sizes[1:])


def spectra(images: ImageSet, title: str = "Mean log power spectrum a class") -> Figure:
    """Each class's mean log10 power spectrum less the mean of all classes, as a map and over frequency.

    What all classes share is far larger than what tells them apart, so only the difference is drawn. At most
    the first 300 images a class and the first 7 classes.
    """
    shown = range(min(len(images.class_names), len(STYLES)))
    groups = [np.flatnonzero(images.labels == label)[:SPECTRUM_IMAGES] for label in shown]
    spectrum = np.stack([mean_log_spectrum(images.images[group]) for group in groups])
    spectrum -= spectrum.mean(axis=0)
    n = sum(map(len, groups))
    figure = _figure(WIDTH, 4.9, f"{title}\nless the mean over classes; {_size(images)}, n = {n:,}")
    grid = figure.add_gridspec(2, len(groups), height_ratios=(1, 2.2))
    limit = float(np.quantile(np.abs(spectrum), 0.995)) or 1.0
    maps = [figure.add_subplot(grid[0, label]) for label in shown]
    for label, axes in zip(shown, maps, strict=True):
        image = axes.imshow(spectrum[label], cmap="cividis", vmin=-limit, vmax=limit, extent=(-0.5, 0.5, 0.5, -0.5))
        axes.set_title(_short(images.class_names[label]), fontsize=LABEL)
        axes.set_xticks([])
        axes.set_yticks([])
    bar = figure.colorbar(image, ax=maps, shrink=0.9)
    bar.ax.tick_params(labelsize=SMALL)
    bottom = figure.add_subplot(grid[1, :])
    for label in shown:
        _line(bottom, *radial_profile(spectrum[label]), label, images.class_names[label], every=4)
    bottom.axhline(0, color="0.6", linewidth=0.8)
    _labels(bottom, "frequency, cycles a pixel", "log10 power less the mean")
    _legend(figure, bottom, columns=len(groups), title="class")
    return figure


def save(figure: Figure, path: Path | str) -> Path:
    """Write a figure as .png (200 dots an inch), .pdf or .svg, atomically; no date inside."""
    path = Path(path)
    metadata = {".png": {}, ".pdf": {"CreationDate": None}, ".svg": {"Date": None}}
    kind = path.suffix.lower()
    if kind not in metadata:
        raise UserError(f"cannot write a figure as {path.name}: choose a name that ends in .png, .pdf or .svg")
    options = {"format": kind[1:], "dpi": 200, "bbox_inches": "tight", "metadata": metadata[kind]}
    return write_atomically(path, lambda file: figure.savefig(file, **options))


def make_all(runs: Sequence[Run], out: Path | str) -> list[Path]:
    """Curves, confusion matrix and per-class bars of every run, and the ladder where a run is an attempt.

    Returns the PNG files written into the folder `out`.
    """
    paths, out = [], Path(out)
    for run in runs:
        validation = run.predictions("validation")
        if not run.members:
            paths.append(save(curves(run), out / f"{run.name}-curves.png"))
        paths.append(save(confusion(validation, heading(run)), out / f"{run.name}-confusion.png"))
        paths.append(save(per_class_bars(validation, heading(run)), out / f"{run.name}-per-class.png"))
    if any(run.recipe.name in evaluation.LADDER for run in runs):
        paths.append(save(ladder(runs), out / "ladder.png"))
    return paths


def _figure(width: float, height: float, title: str) -> Figure:
    figure = DisplayedFigure(figsize=(width, height), dpi=110, layout="constrained", facecolor="white")
    letters = int(width * 72 / (0.52 * TITLE))
    # "n = 1,250" stays on one line: textwrap does not break at no-break spaces
    lines = [textwrap.fill(line.replace(" = ", "\u00a0=\u00a0"), letters) for line in title.splitlines()]
    figure.suptitle("\n".join(lines), fontsize=TITLE)
    return figure


def _with_epochs(runs: Sequence[Run]) -> list[Run]:
    trained = [run for run in runs if not run.members]
    if not trained:
        raise UserError(f"none of the {len(runs)} runs has epochs to draw: give runs of single models")
    return trained


def _watched(runs: Sequence[Run]) -> str:
    """The images that `val_` columns are about."""
    names = {"published": "validation", "held_out": "held-out images"}
    return " or ".join(sorted({names[run.protocol] for run in runs}))


def _labels(axes: Axes, x: str, y: str, grid: bool = True) -> None:
    axes.set_xlabel(x, fontsize=LABEL)
    axes.set_ylabel(y, fontsize=LABEL)
    axes.tick_params(labelsize=LABEL)
    axes.spines[["top", "right"]].set_visible(False)
    if grid:
        axes.grid(color="0.88", linewidth=0.6)
        axes.set_axisbelow(True)


def _legend(figure: Figure, axes: Axes, columns: int, title: str | None = None) -> None:
    """Below the panels, where it covers no data."""
    options = {"loc": "outside lower center", "fontsize": LABEL, "title_fontsize": LABEL, "frameon": False}
    figure.legend(*axes.get_legend_handles_labels(), ncols=columns, title=title, handlelength=3, **options)


def _line(axes: Axes, x: Sequence, y: Sequence, style: int, label: str, every: int | None = None) -> None:
    colour, marker, line = STYLES[style % len(STYLES)]
    every = every or max(1, len(x) // 15)  # markers that touch hide the line
    look = {"color": colour, "marker": marker, "linestyle": line, "linewidth": 1.5, "markersize": 5}
    axes.plot(x, y, markevery=(style % every, every), label=label, **look)


def _ladder_column(axes: Axes, attempts: list, table, column: str, look: tuple, shift: float, label: str) -> None:
    for name in table["attempt"][table[column].isna()]:  # an attempt for which nobody states a figure
        axes.text(1.03, attempts.index(name), "–", transform=axes.get_yaxis_transform(), va="center")
    table = table.dropna(subset=[column])
    values = 100 * table[column].to_numpy()
    y = np.array([attempts.index(name) for name in table["attempt"]]) + shift
    bars = None
    if column != evaluation.AUTHOR:
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


def _gallery(rows: Sequence, row_names: Sequence[str], headings: Sequence[str], title: str) -> Figure:
    """Images in rows; a short row leaves its last places empty."""
    side = WIDTH / (len(headings) + 0.6)
    figure = _figure(WIDTH, side * len(rows) + 0.8, title)
    panels = figure.subplots(len(rows), len(headings), squeeze=False)
    for axes, text in zip(panels[0], headings, strict=True):
        axes.set_title(text, fontsize=SMALL)
    for panel_row, images, name in zip(panels, rows, row_names, strict=True):
        for axes in panel_row:
            axes.set_xticks([])
            axes.set_yticks([])
            axes.spines[:].set_visible(False)
        for axes, image in zip(panel_row, images, strict=False):
            look = {"cmap": "gray", "vmin": 0, "vmax": 255} if image.shape[2] == 1 else {}
            axes.imshow(image, interpolation="nearest", **look)
        panel_row[0].set_ylabel(_short(name), fontsize=LABEL)
    return figure


def _name_classes(axes: Axes, names: Sequence[str], which: str) -> None:
    """Class names on the axes in `which`, every so manyth where there are many."""
    places = range(0, len(names), math.ceil(len(names) / MOST_NAMED))
    labels = [_short(names[i]) for i in places]
    if "x" in which:
        long = max(map(len, labels)) > 6
        axes.set_xticks(places, labels, rotation=45 if long else 0, ha="right" if long else "center")
    if "y" in which:
        axes.set_yticks(places, labels)


def _history(run: Run):
    if not len(run.history):
        raise UserError(f"run {run.name} is a vote over {len(run.members)} runs: it has no epochs to draw")
    return run.history


def _result(predictions: Predictions) -> str:
    result = evaluation.summary(predictions)
    share, low, high = (f"{100 * result[key]:.1f}" for key in ("accuracy", "low", "high"))
    return f"n = {result['n']:,}, accuracy {share}% (95% interval {low} to {high})"


def _common_caption(runs: Sequence[Run]) -> str:
    """What all runs share of their captions; where they differ in more than what was kept, `_name` tells them apart."""
    if len({_setting(run) for run in runs}) > 1:
        return "of different data, scales or protocols: see the names"
    captions = {caption(run) for run in runs}
    shared = captions.pop() if len(captions) == 1 else f"{runs[0].scale} scale, {data_name(runs[0].data)}"
    return f"{shared}, n = {_setting(runs[0])[-1]:,}"


def _setting(run: Run) -> tuple:
    """What must be the same for two curves to be compared; last, the number of images watched."""
    watched = {"published": "validation", "held_out": "held_out"}[run.protocol]
    return run.scale, data_name(run.data), run.protocol, run.metrics[watched]["n"]


def _name(run: Run, runs: Sequence[Run]) -> str:
    names = [other.recipe.name for other in runs]
    same = len({_setting(other) for other in runs}) == 1
    if not same:
        return run.name
    return run.recipe.name if names.count(run.recipe.name) == 1 else f"{run.recipe.name}, seed {run.seed}"


def _splits_name(splits: Splits) -> str:
    return data_name({"embedded": splits.embedded, "name": splits.name})


def _size(images: ImageSet) -> str:
    height, width = images.size
    return f"{height}x{width} pixels"


def _short(name: str) -> str:
    return name if len(name) <= 16 else name[:15] + "…"
