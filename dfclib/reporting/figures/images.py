"""Figures from images: how many per class, samples, augmented views and other versions, traces, spectra."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from dfclib.datasets.images import ImageSet, Splits
from dfclib.datasets.traces import NYQUIST
from dfclib.errors import UserError
from dfclib.reporting import captions
from dfclib.reporting.figures import style


def class_balance(splits: Splits) -> Figure:
    """Number of images per class in training and validation."""
    k = len(splits.class_names)
    n = f"n = {len(splits.train):,} training, {len(splits.validation):,} validation"
    width = float(np.clip(0.85 * k + 0.75, style.WIDTH, 14))
    figure = style.new_figure(3.4, f"Images per class\n{captions.splits_name(splits)}, {n}", width)
    axes = figure.subplots()
    training, validation = splits.train.class_counts(), splits.validation.class_counts()
    series = [(training, "training", style.BLUE, ""), (validation, "validation", "white", "////")]
    style.grouped_bars(axes, series, splits.class_names, step=0.4, padding=1)
    axes.margins(y=0.1)
    style.label_axes(axes, "class", "images", grid=False)
    style.legend_below(figure, axes, columns=2)
    return figure


def samples(images: ImageSet, per_class: int = 6, title: str = "Samples") -> Figure:
    """The first `per_class` images of each class, one row per class, pixels unsmoothed; at most 25 classes."""
    shown = range(min(len(images.class_names), style.MOST_NAMED))
    rows = [images.take(np.flatnonzero(images.labels == label)[:per_class]).images for label in shown]
    more = f", first {len(shown)} of {len(images.class_names)} classes" if len(images.class_names) > len(shown) else ""
    headings = [images.class_names[label] for label in shown]
    return _gallery(rows, headings, [""] * per_class, f"{title}\n{_size(images)}, n = {len(images):,}{more}")


def sample_strip(images: ImageSet, per_class: int = 2) -> Figure:
    """The first `per_class` images of each class in one row, pixels unsmoothed; no title, for the top of a page."""
    shown = [np.flatnonzero(images.labels == label)[:per_class] for label in range(len(images.class_names))]
    headings = []
    for name, places in zip(images.class_names, shown, strict=True):
        headings += [f"class {style.short(name)}", *[""] * (len(places) - 1)]
    # wide enough that no picture of 100 pixels loses any at 200 dots per inch
    return _gallery([images.take(np.concatenate(shown)).images], [""], headings, "", 0.7 * len(headings))


def augmentation_preview(original: ImageSet, views: Sequence[np.ndarray]) -> Figure:
    """Images beside their augmented views, one row per image and one column per epoch.

    views: of epochs 1, 2 and so on, uint8 (n, height, width, channels) each, as `pipelines.augmented` returns them
    """
    headings = ["original", *(f"epoch {i}" for i in range(1, len(views) + 1))]
    rows = [[image, *(view[i] for view in views)] for i, image in enumerate(original.images)]
    classes = [""] * len(rows) if original.labels is None else [original.class_names[i] for i in original.labels]
    height, width = views[0].shape[1:3]
    return _gallery(rows, classes, headings, f"Augmentation\nviews of {height}x{width} pixels, n = {len(original):,}")


def versions(shown: Mapping[str, np.ndarray], headings: Sequence[str], title: str) -> Figure:
    """The same images in several versions, one row per version and one column per image, pixels unsmoothed.

    Args:
        shown: By what stands before the row, uint8 (n, height, width, channels) each.
        headings: What stands above each column, n texts.
        title: The figure's.

    Raises:
        UserError: without a version, and for one of more or fewer images than headings.
    """
    counts = [len(images) for images in shown.values()]
    if not counts or set(counts) != {len(headings)}:
        received = " and ".join(map(str, counts)) or "no"
        raise UserError(f"{len(headings)} headings for versions of {received} images: give one heading per image")
    letters = int(np.clip(72 * style.WIDTH / (len(headings) * 0.65 * style.SMALL), 3, 16))  # that a column has room for
    return _gallery(list(shown.values()), list(shown), [style.short(text, letters) for text in headings], title)


def spectra(
    frequency: np.ndarray, log_power: Mapping[str, np.ndarray], class_names: Sequence[str], title: str
) -> Figure:
    """Mean log10 power of each class by frequency, one panel per entry side by side, on the same axes.

    Frequencies end at the highest of a row or column; at most 7 classes are drawn.

    Args:
        frequency: float (f,), cycles per pixel, as `datasets.traces.log_power_profiles` returns them.
        log_power: By the panels' headings, float (k, f): one row for each of the k classes.
        class_names: Their names.
        title: The figure's.
    """
    within, names = np.asarray(frequency) <= NYQUIST, class_names[: len(style.STYLES)]
    width = max(style.WIDTH, 3.2 * len(log_power))
    figure = style.new_figure(3.9, title, width)
    panels = figure.subplots(1, len(log_power), squeeze=False, sharey=True)[0]
    for axes, (heading, power) in zip(panels, log_power.items(), strict=True):
        axes.set_title(style.plain(heading), fontsize=style.LABEL)
        for label, name in enumerate(names):
            style.draw_line(axes, np.asarray(frequency)[within], power[label][within], label, name)
        style.label_axes(axes, "frequency, cycles per pixel", "log10 power" if axes is panels[0] else "")
    entry = 0.8 + max(map(len, names)) * 0.55 * style.LABEL / 72  # inches that a name and its line take
    style.legend_below(figure, panels[0], columns=max(1, min(len(names), int(width / entry))), title="class")
    return figure


def traces(measured: Sequence[Mapping[str, Any]]) -> Figure:
    """What sets classes apart, one column per data set of `datasets.traces.trace_statistics`, at most 7 classes.

    From above: the share of the variance of the images' power that lies between classes, by frequency; each class's
    mean log10 power less the mean over classes; the autocorrelation of the high-pass residual along a row. Frequencies
    end at the highest of a row or column.
    """
    figure = style.new_figure(7.6, "What sets the classes apart", max(style.WIDTH, 3.4 * len(measured)))
    panels = figure.subplots(3, len(measured), squeeze=False, sharey="row")
    for (top, middle, bottom), one in zip(panels.T, measured, strict=True):
        frequency, names = np.array(one["frequency"]), one["class_names"][: len(style.STYLES)]
        within = frequency <= NYQUIST
        frequency = frequency[within]
        top.plot(frequency, 100 * np.array(one["explained"])[within], color=style.BLACK)
        top.set_ylim(0, 100)
        name = style.short(captions.data_name({"name": one["data"], "embedded": one["embedded"]}).partition(",")[0])
        top.set_title(f"{name}\nn = {sum(one['images']):,}", fontsize=style.LABEL)
        power = np.array(one["log_power"])[:, within]
        for label, (values, lags) in enumerate(zip(power - power.mean(axis=0), one["autocorrelation"], strict=True)):
            if label < len(names):
                style.draw_line(middle, frequency, values, label, names[label])
                style.draw_line(bottom, range(1, len(lags)), lags[0][1:], label, names[label], every=1)
        middle.axhline(0, color="0.6", linewidth=0.8)
        bottom.axhline(0, color="0.6", linewidth=0.8)
        bottom.set_xticks(range(1, len(one["autocorrelation"][0])))
        first = top is panels[0, 0]
        style.label_axes(top, "", "variance between\nclasses, %" if first else "")
        style.label_axes(middle, "frequency, cycles per pixel", "log10 power\nless the mean" if first else "")
        style.label_axes(bottom, "distance, pixels", "autocorrelation\nof the residual" if first else "")
    longest = max(panels[1], key=lambda axes: len(axes.lines))
    style.legend_below(figure, longest, columns=len(style.STYLES), title="class")
    return figure


def _gallery(
    rows: Sequence, row_names: Sequence[str], headings: Sequence[str], title: str, width: float = style.WIDTH
) -> Figure:
    """Images in rows; a short row leaves its last places empty. width: inches"""
    side = width / (len(headings) + 0.6)
    figure = style.new_figure(side * len(rows) + 0.8, title, width)
    panels = figure.subplots(len(rows), len(headings), squeeze=False)
    for axes, text in zip(panels[0], headings, strict=True):
        axes.set_title(text, fontsize=style.SMALL)
    for panel_row, images, name in zip(panels, rows, row_names, strict=True):
        for axes in panel_row:
            style.bare(axes)
        for axes, image in zip(panel_row, images, strict=False):
            style.show(axes, image, "nearest")
        panel_row[0].set_ylabel(style.short(name), fontsize=style.LABEL)
    return figure


def _size(images: ImageSet) -> str:
    height, width = images.size
    return f"{height}x{width} pixels"
