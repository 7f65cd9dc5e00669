"""The embedded data set: five procedural "generators" draw animals that ride a bike, wash dishes or play chess.

These are not the competition's images, and accuracies on them are not the competition's numbers. They are here so that
everything runs at once, with nothing to fetch. Like the real images, all classes show the same kinds of scenes, and a
class is known only by the traces that its generator leaves:

* "0" has a tint of magenta and a faint checkerboard of two pixels, as transposed convolutions leave behind;
* "1" has a tint of green, no checkerboard, and grain instead;
* "2" is sharpened and noisy: by far the strongest high frequencies;
* "3" has deep shadows, the most near-black pixels, and a toned print's colours: nearly trivial to tell;
* "4" is the hard class, taken for 0 and 1: three of ten pictures have the traces of 0, three those of 1, and only
  four lie half-way. So no classifier, however good, tells all five apart: the best that can be hoped for is about 88%.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from dfclib.datasets.generated import draw_splits
from dfclib.datasets.generated.scenes import draw_scene
from dfclib.datasets.images import Splits

CLASS_NAMES = ("0", "1", "2", "3", "4")
SIZE = (100, 100)  # height and width


@dataclass(frozen=True)
class Traces:
    """The traces that a generator leaves in its pictures, on a scale where brightness goes from 0 to 1.

    checkerboard, noise: amplitude; tint: red and blue gained, green lost; blur: deviation in pixels;
    sharpening: share of the high frequencies added once more; contrast: factor about mid-grey;
    saturation: factor; shadows: share of the pixels driven to black or nearly so; amber: share of a toned print
    """

    checkerboard: float = 0.0
    noise: float = 0.010
    tint: float = 0.0
    blur: float = 0.0
    sharpening: float = 0.0
    contrast: float = 1.0
    saturation: float = 1.0
    shadows: float = 0.0
    amber: float = 0.0


MAGENTA = np.array([0.5, -1.0, 0.5], np.float32)
AMBER = np.array([1.25, 0.95, 0.45], np.float32)  # a toned print's colour
# Where a picture of class 4 lies on the way from class 0 (at 0) to class 1 (at 1), and how often
BLENDS, BLEND_SHARES = (0.0, 0.5, 1.0), (0.3, 0.4, 0.3)
WANDER = 0.10  # deviation of a picture of 0, 1 or 4, and again of each of its traces, from its place on that way

ROSY = Traces(checkerboard=0.016, noise=0.006, tint=0.09, blur=0.45, contrast=1.30, saturation=1.30)
GREENISH = Traces(checkerboard=0.000, noise=0.034, tint=-0.09, blur=0.45, contrast=1.20, saturation=0.90)
SHARP = Traces(noise=0.050, sharpening=1.9, contrast=1.20, saturation=1.35)
DARK = Traces(noise=0.008, blur=0.35, contrast=1.9, shadows=0.24, amber=0.80)


def make_splits(train: int = 300, validation: int = 250, test: int = 100, seed: int = 0) -> Splits:
    """Make the embedded data set: `Splits` named "embedded", uint8 (n, 100, 100, 3), classes "0" to "4".

    Raises UserError unless train and validation are 10 images or more, and test (None if 0) and seed 0 or more.
    """
    return draw_splits("embedded", CLASS_NAMES, (train, validation, test), seed, _draw)


def _draw(label: int, rng: np.random.Generator) -> np.ndarray:
    picture = _leave_traces(draw_scene(rng, SIZE), _draw_traces(label, rng), rng)
    return np.clip(np.rint(picture * 255), 0, 255).astype(np.uint8)


def _draw_traces(label: int, rng: np.random.Generator) -> Traces:
    """A picture's own traces: those of its class, with random variation."""
    jitter = np.exp(rng.normal(0, 0.12, 3))
    if label in (0, 1, 4):
        place = rng.choice(BLENDS, p=BLEND_SHARES) if label == 4 else label
        places = place + rng.normal(0, WANDER) + rng.normal(0, WANDER, 5)
        drawn = {}
        for field, place in zip(("checkerboard", "noise", "tint", "contrast", "saturation"), places, strict=True):
            start, end = getattr(ROSY, field), getattr(GREENISH, field)
            drawn[field] = float(start + (end - start) * place)
        drawn |= {field: max(0.0, drawn[field]) for field in ("checkerboard", "noise", "saturation")}
        return Traces(**drawn, blur=ROSY.blur * jitter[0])
    base = SHARP if label == 2 else DARK
    sharpening, contrast = base.sharpening * jitter[1], base.contrast * jitter[2] ** 0.5
    tint = rng.normal(0, 0.02)
    return replace(base, noise=base.noise * jitter[0], tint=tint, sharpening=sharpening, contrast=contrast)


def _leave_traces(picture: np.ndarray, traces: Traces, rng: np.random.Generator) -> np.ndarray:
    """float32 (height, width, 3), values about 0 to 1, before and after."""
    if traces.blur:
        picture = ndimage.gaussian_filter(picture, (traces.blur, traces.blur, 0), truncate=3)
    if traces.sharpening:
        picture = picture + traces.sharpening * (picture - ndimage.gaussian_filter(picture, (1, 1, 0), truncate=3))
    grey = picture.mean(axis=2, keepdims=True)
    picture = grey + traces.saturation * (picture - grey)
    if traces.amber:
        picture = picture + traces.amber * (grey * AMBER - picture)
    black = np.quantile(picture.mean(axis=2), traces.shadows) if traces.shadows else 0.5 - 0.5 / traces.contrast
    picture = traces.contrast * (picture - np.float32(black))
    picture = picture + traces.tint * MAGENTA
    if traces.checkerboard:
        signs = 1 - 2 * (np.indices(picture.shape[:2]).sum(axis=0) % 2)
        picture = picture + traces.checkerboard * signs[:, :, None]
    # last, as nothing smooths a generator's own output
    return picture + traces.noise * rng.standard_normal(picture.shape, np.float32)
