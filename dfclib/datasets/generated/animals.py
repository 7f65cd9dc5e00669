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

Every picture depends on (seed, split, index, size) alone, never on how many are made. The random draws are the same on
every machine; the last bit of a sine may not be, so single pixels may differ by one level between processors.
"""

from dataclasses import dataclass
from numbers import Integral

import numpy as np
from scipy import ndimage

from dfclib.datasets.generated.scenes import draw_scene
from dfclib.datasets.images import ImageSet, Splits
from dfclib.errors import UserError

CLASS_NAMES = ("0", "1", "2", "3", "4")
SPLIT_CODES = {"train": 0, "validation": 1, "test": 2}
SMALLEST_SIDE = 16  # below, an animal is a few pixels
LARGEST_SIDE = 1024
MOST_IMAGES = 99_999  # ids have five digits


@dataclass(frozen=True)
class Traces:
    """What a generator leaves in its pictures, on a scale where brightness goes from 0 to 1.

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


def make_splits(
    train: int = 300, validation: int = 250, test: int = 100, seed: int = 0, size: tuple[int, int] = (100, 100)
) -> Splits:
    """Make the embedded data set: `Splits` named "embedded", uint8 (n, height, width, 3), classes "0" to "4".

    train, validation, test: images a split; train and validation at least 10, test may be 0 (then it is None)
    seed: any integer from 0; size: height and width in pixels, each 16 to 1024
    In any run of rows from the first, classes differ by one image at most. Raises UserError for other arguments.
    """
    check_number("train", train, 10, MOST_IMAGES)
    check_number("validation", validation, 10, MOST_IMAGES)
    check_number("test", test, 0, MOST_IMAGES)
    check_number("seed", seed, 0, None)
    if not isinstance(size, tuple | list) or len(size) != 2:
        raise UserError(f"size must be two whole numbers, height and width in pixels; received {size!r}.")
    for name, side in zip(("height", "width"), size, strict=True):
        check_number(name, side, SMALLEST_SIDE, LARGEST_SIDE)
    return Splits(
        name="embedded",
        train=_make_set("train", train, seed, tuple(size)),
        validation=_make_set("validation", validation, seed, tuple(size)),
        test=_make_set("test", test, seed, tuple(size)) if test else None,
        embedded=True,
    )


def check_number(name: str, value: object, least: int, most: int | None) -> None:
    """Raise UserError unless `value` is a whole number from `least` to `most` (None: no limit)."""
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    if not whole or value < least or (most is not None and value > most):
        limits = f"from {least} to {most}" if most is not None else f"of {least} or more"
        raise UserError(f"{name} must be a whole number {limits}; received {value!r}.")


def _make_set(split: str, count: int, seed: int, size: tuple[int, int]) -> ImageSet:
    labels = _labels(split, count, seed)
    images = np.empty((count, *size, 3), np.uint8)
    for index, label in enumerate(labels):
        rng = np.random.default_rng([seed, SPLIT_CODES[split], 1, index])
        scene = draw_scene(rng, size)
        images[index] = _to_bytes(_leave_traces(scene, _draw_traces(int(label), rng), rng))
    ids = np.array([f"embedded-{split}-{index + 1:05d}" for index in range(count)])
    return ImageSet(images=images, labels=labels, ids=ids, class_names=CLASS_NAMES)


def _labels(split: str, count: int, seed: int) -> np.ndarray:
    """int64 (count,): each five rows hold the five classes in an order drawn for them: any beginning is balanced."""
    classes = len(CLASS_NAMES)
    blocks = [
        np.random.default_rng([seed, SPLIT_CODES[split], 0, block]).permutation(classes)
        for block in range(-(-count // classes))
    ]
    return np.concatenate(blocks)[:count].astype(np.int64) if blocks else np.empty(0, np.int64)


def _draw_traces(label: int, rng: np.random.Generator) -> Traces:
    """A picture's own traces: its class's, with a variation of its own."""
    jitter = np.exp(rng.normal(0, 0.12, 3))
    if label in (0, 1, 4):
        place = rng.choice(BLENDS, p=BLEND_SHARES) if label == 4 else label
        places = place + rng.normal(0, WANDER) + rng.normal(0, WANDER, 5)

        def between(field: str, place: float) -> float:
            return float(getattr(ROSY, field) + (getattr(GREENISH, field) - getattr(ROSY, field)) * place)

        return Traces(
            checkerboard=max(0.0, between("checkerboard", places[0])),
            noise=max(0.0, between("noise", places[1])),
            tint=between("tint", places[2]),
            blur=ROSY.blur * jitter[0],
            contrast=between("contrast", places[3]),
            saturation=max(0.0, between("saturation", places[4])),
        )
    base = SHARP if label == 2 else DARK
    return Traces(
        noise=base.noise * jitter[0],
        tint=rng.normal(0, 0.02),
        blur=base.blur,
        sharpening=base.sharpening * jitter[1],
        contrast=base.contrast * jitter[2] ** 0.5,
        saturation=base.saturation,
        shadows=base.shadows,
        amber=base.amber,
    )


def _leave_traces(scene: np.ndarray, traces: Traces, rng: np.random.Generator) -> np.ndarray:
    """float32 (height, width, 3), values about 0 to 1, before and after."""
    picture = scene
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
    height, width = picture.shape[:2]
    if traces.checkerboard:
        signs = 1 - 2 * ((np.arange(height)[:, None] + np.arange(width)) % 2)
        picture = picture + traces.checkerboard * signs[:, :, None]
    # last, as nothing smooths a generator's own output
    return picture + traces.noise * rng.standard_normal(picture.shape, np.float32)


def _to_bytes(picture: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(picture * 255), 0, 255).astype(np.uint8)
