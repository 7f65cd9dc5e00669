"""Figures from images: how many per class, samples, augmented views, spectra."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from dfclib.datasets.images import ImageSet, Splits
from dfclib.reporting.captions import splits_name
from dfclib.reporting.figures import style


def class_balance(splits: Splits) -> Figure:
    """Number of images per class in training and validation."""
    k = len(splits.class_names)
    n = f"n = {len(splits.train):,} training, {len(splits.validation):,} validation"
    width = float(np.clip(0.85 * k + 0.75, style.WIDTH, 14))
    figure = style.new_figure(3.4, f"Images per class\n{splits_name(splits)}, {n}", width)
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


def augmentation_preview(original: ImageSet, views: Sequence[np.ndarray]) -> Figure:
    """Images beside their augmented views, one row per image and one column per epoch.

    views: of epochs 1, 2 and so on, uint8 (n, height, width, channels) each, as `pipelines.augmented` returns them
    """
    headings = ["original", *(f"epoch {i}" for i in range(1, len(views) + 1))]
    rows = [[image, *(view[i] for view in views)] for i, image in enumerate(original.images)]
    classes = [""] * len(rows) if original.labels is None else [original.class_names[i] for i in original.labels]
    return _gallery(rows, classes, headings, f"Augmentation\n{_size(original)}, n = {len(original):,}")


def mean_log_spectrum(images: np.ndarray) -> np.ndarray:
    """Mean over images of the log10 power at each frequency: float64 (height, width), frequency 0 in the middle.

    images: uint8 (n, height, width, channels). Channels are averaged, the mean is taken off, and a Hann window keeps
    the borders, where an image does not continue on the other side, from looking like detail.
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
    """Mean of a spectrum over rings around its middle: frequencies in cycles per pixel up to 0.5, and values."""
    frequencies = [np.fft.fftshift(np.fft.fftfreq(side)) for side in spectrum.shape]
    radius = np.hypot(frequencies[0][:, None], frequencies[1])
    count = min(spectrum.shape) // 2
    ring = np.rint(radius * 2 * count).astype(int)
    inside = (ring >= 1) & (ring <= count)
    sums = np.bincount(ring[inside], spectrum[inside], minlength=count + 1)
    sizes = np.bincount(ring[inside], minlength=count + 1)
    return np.arange(1, count + 1) / (2 * count), (sums[1:] / sizes[1:])


def spectra(images: ImageSet) -> Figure:
    """Each class's mean log10 power spectrum less the mean of all classes, as a map and over frequency.

    What all classes share is far larger than what tells them apart, so only the difference is drawn. At most the first
    300 images per class, after which the mean no longer changes to the eye, and the first 7 classes.
    """
    shown = range(min(len(images.class_names), len(style.STYLES)))
    groups = [np.flatnonzero(images.labels == label)[:300] for label in shown]
    spectrum = np.stack([mean_log_spectrum(images.images[group]) for group in groups])
    spectrum -= spectrum.mean(axis=0)
    n = sum(map(len, groups))
    title = "Mean log power spectrum per class\nless the mean over classes"
    figure = style.new_figure(4.9, f"{title}; {_size(images)}, n = {n:,}")
    grid = figure.add_gridspec(2, len(groups), height_ratios=(1, 2.2))
    limit = float(np.quantile(np.abs(spectrum), 0.995)) or 1.0
    maps = [figure.add_subplot(grid[0, label]) for label in shown]
    for label, axes in zip(shown, maps, strict=True):
        image = axes.imshow(spectrum[label], cmap="cividis", vmin=-limit, vmax=limit, extent=(-0.5, 0.5, 0.5, -0.5))
        axes.set_title(style.short(images.class_names[label]), fontsize=style.LABEL)
        axes.set(xticks=[], yticks=[])
    figure.colorbar(image, ax=maps, shrink=0.9).ax.tick_params(labelsize=style.SMALL)
    bottom = figure.add_subplot(grid[1, :])
    for label in shown:
        style.draw_line(bottom, *radial_profile(spectrum[label]), label, images.class_names[label], every=4)
    bottom.axhline(0, color="0.6", linewidth=0.8)
    style.label_axes(bottom, "frequency, cycles per pixel", "log10 power less the mean")
    style.legend_below(figure, bottom, columns=len(groups), title="class")
    return figure


def _gallery(rows: Sequence, row_names: Sequence[str], headings: Sequence[str], title: str) -> Figure:
    """Images in rows; a short row leaves its last places empty."""
    side = style.WIDTH / (len(headings) + 0.6)
    figure = style.new_figure(side * len(rows) + 0.8, title)
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
