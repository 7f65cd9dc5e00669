"""What sets the classes of a set of images apart, as small aggregates per class: they can be shown without the images.

python -m dfclib data traces deepfake_data --out report/data      # README and notebook 00 show what lies there
"""

from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from dfclib.datasets.images import BLOCK, ImageSet, channel_statistics
from dfclib.errors import UserError
from dfclib.files import read_json, write_json

LAGS = 5  # pixels, 0 to 4
NEAR_BLACK = 16  # of 255: a darker pixel, averaged over its channels, counts as near-black
NYQUIST = 0.5  # cycles per pixel, the highest of a row or column; beyond, rings hold the spectrum's corners alone
FOLDER = Path("report/data")


def trace_statistics(images: ImageSet, name: str, embedded: bool) -> dict[str, Any]:
    """Aggregates of labelled images, all as JSON values; k classes, f frequencies, channels averaged but where named.

    Args:
        images: Labelled, at least 8x8 pixels, at least two images.
        name, embedded: As in `Splits`.

    Returns:
        data, embedded, class_names, size (height, width), images (k,): what was measured.
        frequency (f,): cycles per pixel. log_power (k, f): mean log10 power at each, over rings.
        explained (f,): the share of the variance of the images' log power at each frequency that lies between classes.
        residual (k,): mean absolute difference of a pixel from the mean of its 3x3 pixels, of 255.
        autocorrelation (k, 5, 5): of that residual, between pixels 0 to 4 rows and 0 to 4 columns apart.
        near_black (k,): share of pixels below 16 of 255. channel_mean, channel_deviation (k, channels): of 255.

    Raises UserError without labels, for a class without images, and for images below 8x8 pixels.
    """
    if images.labels is None or (images.class_counts() == 0).any() or min(images.size) < 8:
        raise UserError(
            f"{name}: traces are measured on labelled images of at least 8x8 pixels with some of each class; received "
            f"{len(images):,} of {'x'.join(map(str, images.size))}"
        )
    classes = range(len(images.class_names))
    profiles = []
    absolute, black = np.empty(len(images)), np.empty(len(images))
    products = np.zeros((len(classes), LAGS, LAGS))
    for start in range(0, len(images), BLOCK):
        block = slice(start, start + BLOCK)
        grey = images.images[block].mean(axis=3)
        frequency, profile = log_power_profiles(grey)
        profiles.append(profile)
        black[block] = (grey < NEAR_BLACK).mean(axis=(1, 2))
        residual = (grey - ndimage.uniform_filter(grey, (0, 3, 3)))[:, 1:-1, 1:-1]
        absolute[block] = np.abs(residual).mean(axis=(1, 2))
        lagged = _lag_products(residual)
        for label in classes:
            products[label] += lagged[images.labels[block] == label].sum(axis=0)
    by_class = [images.labels == label for label in classes]
    channels = [channel_statistics(images.images[mask]) for mask in by_class]
    profiles = np.concatenate(profiles)
    log_power = np.stack([profiles[mask].mean(axis=0) for mask in by_class])
    shares = images.class_counts() / len(images)
    between = shares @ (log_power - profiles.mean(axis=0)) ** 2
    return {
        "data": name,
        "embedded": embedded,
        "class_names": list(images.class_names),
        "size": list(images.size),
        "images": images.class_counts().tolist(),
        "frequency": _rounded(frequency),
        "log_power": _rounded(log_power),
        "explained": _rounded(between / np.maximum(profiles.var(axis=0), 1e-12)),
        "residual": _rounded([absolute[mask].mean() for mask in by_class]),
        "autocorrelation": _rounded(products / np.maximum(products[:, :1, :1], 1e-12)),
        "near_black": _rounded([black[mask].mean() for mask in by_class]),
        "channel_mean": _rounded([mean for mean, _ in channels]),
        "channel_deviation": _rounded([deviation for _, deviation in channels]),
    }


def log_power_profiles(grey: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean log10 power over rings of equal frequency.

    grey: float (n, height, width). The mean is taken off, and a Hann window keeps the borders, where an image does not
    continue on the other side, from looking like detail.

    Returns frequencies, float64 (f,) in cycles per pixel up to 0.71 in the corners, and each image's means, float64
    (n, f).
    """
    height, width = grey.shape[1:]
    window = np.hanning(height)[:, None] * np.hanning(width)
    power = np.abs(np.fft.fft2((grey - grey.mean(axis=(1, 2), keepdims=True)) * window)) ** 2
    log_power = np.log10(power + 1e-3)  # a flat image has no power at all
    ring_width = 1 / min(height, width)
    ring = np.rint(np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)) / ring_width).astype(int)
    rings = range(1, ring.max() + 1)
    return np.array(rings) * ring_width, np.stack([log_power[:, ring == i].mean(axis=1) for i in rings], axis=1)


def record_traces(statistics: dict[str, Any], folder: Path | str = FOLDER) -> Path:
    """Write `trace_statistics` to `folder`/traces-<data>.json, which is returned."""
    path = Path(folder) / f"traces-{statistics['data']}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, statistics)
    return path


def recorded_traces(folder: Path | str = FOLDER) -> list[dict[str, Any]]:
    """Everything that `record_traces` wrote to `folder`, by name; nothing where the folder does not exist."""
    return [read_json(path) for path in sorted(Path(folder).glob("traces-*.json"))]


def _lag_products(residual: np.ndarray) -> np.ndarray:
    """Mean product of residuals some rows and columns apart, for each image: (n, LAGS, LAGS)."""
    n, height, width = residual.shape
    found = np.empty((n, LAGS, LAGS))
    for row in range(LAGS):
        for column in range(LAGS):
            near, far = residual[:, : height - row, : width - column], residual[:, row:, column:]
            found[:, row, column] = np.einsum("nij,nij->n", near, far) / near[0].size
    return found


def _rounded(values: Any) -> list:
    """Four digits after the point: as much as these many images determine."""
    return np.round(np.asarray(values, np.float64), 4).tolist()
