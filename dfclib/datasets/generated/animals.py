"""The embedded data set: five procedural "generators" draw animals that ride a bike, wash dishes or play chess.

These are not the competition's images, and accuracies on them are not the competition's numbers. They are here so that
everything runs at once, with nothing to fetch. Like the real images, all classes show the same kinds of scenes, and a
class is known only by the traces that its generator leaves. Grain is the surest of them; it is the same in all
directions, and a photograph's enlargement, mirror image or turn has it as well:

* "0" has coarse grey grain and a weak cast of magenta;
* "1" has fine coloured grain, independent from pixel to pixel and from channel to channel, and a weak cast of green;
* "4" is the hard class: its grain is half-way between those of 0 and 1, and its cast is none;
* "2" is sharpened and has fine grey grain: by far the strongest high frequencies;
* "3" has deep shadows, the most near-black pixels, and a toned print's colours: easy to tell.

Strengths vary from picture to picture. Grain and cast of 0, 1 and 4 wander so far on the way from 0 to 1 that the three
overlap a little: some pictures of 4 cannot be told from one of 0 or 1, by no classifier whatever.
"""

from dataclasses import dataclass

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

    grain: deviation; coloured: share of its variance that is independent in each pixel and channel, the rest is grey;
    grain_size: blur of the grey grain, deviation in pixels; magenta: red and blue gained, green lost; cool: blue
    gained, red lost; amber: share of a toned print; blur: deviation in pixels; sharpening: share of the high
    frequencies added once more; contrast: factor about mid-grey; saturation: factor; shadows: share of the pixels
    driven to black or nearly so
    """

    grain: float
    coloured: float
    grain_size: float = 1.0
    magenta: float = 0.0
    cool: float = 0.0
    amber: float = 0.0
    blur: float = 0.45
    sharpening: float = 0.0
    contrast: float = 1.15
    saturation: float = 0.85
    shadows: float = 0.0


MAGENTA = np.array([0.5, -1.0, 0.5], np.float32)
COOL = np.array([-1.0, 0.0, 1.0], np.float32)
AMBER = np.array([1.25, 0.95, 0.45], np.float32)  # a toned print's colour
GRAIN = 0.10
# Where a class lies on the way from 0 to 1, how far a picture strays from there, and what changes along that way
PLACES, WANDER = {0: 0.0, 4: 0.5, 1: 1.0}, 0.13
COLOURED, CAST = (0.1, 0.9), (0.06, -0.06)


def make_splits(train: int = 150, validation: int = 400, test: int = 100, seed: int = 0) -> Splits:
    """Make the embedded data set: `Splits` named "embedded", uint8 (n, 100, 100, 3), classes "0" to "4".

    Raises UserError unless train and validation are 10 images or more, and test (None if 0) and seed 0 or more.
    """
    return draw_splits("embedded", CLASS_NAMES, (train, validation, test), seed, _draw)


def _draw(label: int, rng: np.random.Generator) -> np.ndarray:
    picture = _leave_traces(draw_scene(rng, SIZE), _draw_traces(label, rng), rng)
    return np.clip(np.rint(picture * 255), 0, 255).astype(np.uint8)


def _draw_traces(label: int, rng: np.random.Generator) -> Traces:
    """A picture's own traces: those of its class, with random variation."""

    def varied(value: float, deviation: float) -> float:
        return float(value * np.exp(rng.normal(0, deviation)))

    grain, blur = varied(GRAIN, 0.2), varied(0.45, 0.12)
    magenta, saturation, contrast = rng.normal(0, 0.02), varied(0.85, 0.1), varied(1.15, 0.05)
    common = {"magenta": magenta, "blur": blur}
    if label in PLACES:
        place = PLACES[label] + rng.normal(0, WANDER)
        coloured, cast = (start + (end - start) * place for start, end in (COLOURED, CAST))
        common |= {"magenta": magenta + cast, "saturation": saturation, "contrast": contrast}
        return Traces(grain, float(np.clip(coloured, 0, 1)), **common)
    if label == 2:
        common |= {"saturation": 1.4 * saturation, "contrast": 1.15 * contrast, "sharpening": varied(1.8, 0.12)}
        return Traces(1.2 * grain, 0.0, grain_size=0.0, cool=0.07, **common)
    common |= {"saturation": saturation, "contrast": varied(1.8, 0.06), "amber": varied(0.4, 0.12)}
    return Traces(grain, 0.4, shadows=varied(0.17, 0.12), **common)


def _leave_traces(picture: np.ndarray, traces: Traces, rng: np.random.Generator) -> np.ndarray:
    """float32 (height, width, 3), values about 0 to 1, before and after."""
    picture = ndimage.gaussian_filter(picture, (traces.blur, traces.blur, 0), truncate=3)
    if traces.sharpening:
        picture = picture + traces.sharpening * (picture - ndimage.gaussian_filter(picture, (1, 1, 0), truncate=3))
    grey = picture.mean(axis=2, keepdims=True)
    picture = grey + traces.saturation * (picture - grey)
    picture = picture + traces.amber * (grey * AMBER - picture)
    black = np.quantile(picture.mean(axis=2), traces.shadows) if traces.shadows else 0.5 - 0.5 / traces.contrast
    picture = traces.contrast * (picture - np.float32(black))
    picture = picture + traces.magenta * MAGENTA + traces.cool * COOL
    # last, as nothing smooths a generator's own output
    return picture + traces.grain * _draw_grain(picture.shape, traces, rng)


def _draw_grain(shape: tuple[int, ...], traces: Traces, rng: np.random.Generator) -> np.ndarray:
    """float32, mean 0 and deviation 1."""
    coloured = rng.standard_normal(shape, np.float32)
    grey = rng.standard_normal((*shape[:2], 1), np.float32)
    if traces.grain_size:
        grey = ndimage.gaussian_filter(grey, (traces.grain_size, traces.grain_size, 0), mode="wrap", truncate=3)
    return np.sqrt(traces.coloured) * coloured + np.sqrt(1 - traces.coloured) * grey / grey.std()
