"""Generated garments: grey pictures of 28x28 pixels with Fashion-MNIST's ten classes, drawn from simple shapes.

These are not Fashion-MNIST, and accuracies on them are not its numbers. They are here so that everything runs at once,
with nothing to fetch. As in the real data set, trousers, bags and shoes are easy and what is worn above the waist is
not: T-shirt, pullover and coat differ in sleeves, length and front alone, each of which varies; and of the shirts, half
look exactly like one of these three. So no classifier, however good, tells all ten apart: the best is about 95%.
"""

import numpy as np
from scipy import ndimage

from dfclib.datasets.fashion_mnist import CLASS_NAMES
from dfclib.datasets.generated import draw_splits
from dfclib.datasets.images import Splits

SIDE = 28
# A point of the picture: from (-1, -1), top left, to (1, 1); x goes right, y goes down
Y, X = np.mgrid[:SIDE, :SIDE].astype(np.float32) * 2 / (SIDE - 1) - 1
EDGE = 0.5 * SIDE  # an edge is one pixel wide
T_SHIRT, PULLOVER, COAT, SHIRT = (CLASS_NAMES.index(name) for name in ("T-shirt/top", "Pullover", "Coat", "Shirt"))
SHIRTS_LIKE, SHIRT_SHARES = (SHIRT, T_SHIRT, PULLOVER, COAT), (0.5, 0.2, 0.15, 0.15)


def make_splits(train: int = 2_000, validation: int = 300, test: int = 300, seed: int = 0) -> Splits:
    """Make the generated garments: `Splits` named "garments", uint8 (n, 28, 28, 1), Fashion-MNIST's class names.

    Raises UserError unless train and validation are 20 images or more, and test (None if 0) and seed 0 or more.
    """
    return draw_splits("garments", CLASS_NAMES, (train, validation, test), seed, _draw)


def _draw(label: int, rng: np.random.Generator) -> np.ndarray:
    """One garment on black: uint8 (28, 28, 1)."""
    if label == SHIRT:
        label = int(rng.choice(SHIRTS_LIKE, p=SHIRT_SHARES))
    picture = rng.uniform(0.45, 0.95) * DRAWERS[label](rng)
    fabric = ndimage.gaussian_filter(rng.standard_normal((SIDE, SIDE)), 0.7)
    stripes = np.sin((X if rng.random() < 0.5 else Y) * rng.uniform(6, 40) + rng.uniform(0, 6.3))
    picture *= 1 + 0.25 * fabric + rng.choice((0, 0.15)) * stripes + rng.uniform(-0.2, 0.2) * X
    scale, shift = np.diag(rng.uniform(0.95, 1.1, 2)), rng.uniform(-2, 2, 2)
    picture = ndimage.affine_transform(picture, scale, shift, order=1)
    return np.clip(np.rint(picture * 255), 0, 255).astype(np.uint8)[..., None]


# Shapes: float32 (28, 28), 0 outside to 1 inside. What a class keeps to stands here; all else is drawn at random.


def _inside(distance: np.ndarray) -> np.ndarray:
    """`distance`: how far inside an edge, in the units of X and Y."""
    return np.clip(0.5 + distance * EDGE, 0, 1)


def _body(heights: list[float], widths: list[float]) -> np.ndarray:
    """A silhouette like its mirror image: half its width at some heights, and straight edges between them."""
    width = np.interp(Y, heights, widths)
    return np.minimum(_inside(width - np.abs(X)), _inside(Y - heights[0]) * _inside(heights[-1] - Y))


def _line(start: tuple[float, float], end: tuple[float, float], thickness: float) -> np.ndarray:
    (x0, y0), (x1, y1) = start, end
    along = ((X - x0) * (x1 - x0) + (Y - y0) * (y1 - y0)) / max((x1 - x0) ** 2 + (y1 - y0) ** 2, 1e-6)
    along = np.clip(along, 0, 1)
    return _inside(thickness / 2 - np.hypot(X - x0 - along * (x1 - x0), Y - y0 - along * (y1 - y0)))


def _top(rng: np.random.Generator, sleeve: float, length: float, waist: float = 0.0) -> np.ndarray:
    """sleeve: how far it reaches, from 0 (none) to 1 (the hem); length: height of the hem; waist: how far drawn in."""
    shoulder, chest = rng.uniform(0.34, 0.44), rng.uniform(0.40, 0.50)
    hem = chest + rng.uniform(-0.04, 0.08)
    body = _body([-0.88, -0.78, -0.4, 0.1, length], [0.22, shoulder, chest, chest - waist, hem])
    thickness, spread = rng.uniform(0.22, 0.32), rng.uniform(0.30, 0.45)
    for side in (-1, 1):
        end = (side * (shoulder + spread * min(1, sleeve + 0.35)), -0.64 + sleeve * (length + 0.5))
        if sleeve:
            body = np.maximum(body, _line((side * (shoulder - 0.08), -0.64), end, thickness))
    neck = _inside(rng.uniform(0.12, 0.2) - np.hypot(X, Y + 0.92))
    return body * (1 - neck)


def _t_shirt(rng: np.random.Generator) -> np.ndarray:
    return _top(rng, rng.uniform(0.12, 0.40), rng.uniform(0.70, 0.95))


def _pullover(rng: np.random.Generator) -> np.ndarray:
    ribs = 1 - 0.25 * _inside(Y - rng.uniform(0.62, 0.8))  # the hem's
    return _top(rng, rng.uniform(0.75, 1.0), rng.uniform(0.72, 0.92)) * ribs


def _coat(rng: np.random.Generator) -> np.ndarray:
    front = _line((0, -0.75), (rng.uniform(-0.05, 0.05), 1.0), rng.uniform(0.08, 0.14))
    return _top(rng, rng.uniform(0.72, 0.95), rng.uniform(0.84, 0.98), 0.05) * (1 - rng.uniform(0.4, 0.9) * front)


def _shirt(rng: np.random.Generator) -> np.ndarray:
    """Sleeves of any length, a faint front and a collar."""
    sleeve = rng.uniform(0.2, 0.45) if rng.random() < 0.35 else rng.uniform(0.7, 1.0)
    front = _line((0, -0.7), (0, 0.9), 0.09) * (0.5 + 0.5 * np.cos(Y * 22))
    collar = _line((-0.2, -0.86), (0, -0.62), 0.1) + _line((0.2, -0.86), (0, -0.62), 0.1)
    shape = _top(rng, sleeve, rng.uniform(0.74, 0.95))
    return shape * (1 - rng.uniform(0.25, 0.6) * front) * (1 - rng.uniform(0.2, 0.5) * np.clip(collar, 0, 1))


def _dress(rng: np.random.Generator) -> np.ndarray:
    waist, hem = rng.uniform(0.16, 0.28), rng.uniform(0.30, 0.55)
    body = _body([-0.95, -0.5, -0.1, 0.98], [0.2, rng.uniform(0.24, 0.34), waist, hem])
    if rng.random() < 0.5:
        for side in (-1, 1):
            end = (side * rng.uniform(0.4, 0.5), rng.uniform(-0.6, 0.0))
            body = np.maximum(body, _line((side * 0.18, -0.8), end, 0.18))
    return body * (1 - _inside(rng.uniform(0.08, 0.2) - np.hypot(X, Y + 0.95)))


def _trouser(rng: np.random.Generator) -> np.ndarray:
    hip, hem = rng.uniform(0.26, 0.38), rng.uniform(0.30, 0.46)
    gap = _body([rng.uniform(-0.6, -0.3), 0.99], [0.0, hem - rng.uniform(0.18, 0.28)])
    return _body([-0.97, -0.6, 0.97], [hip - 0.04, hip, hem]) * (1 - gap)


def _bag(rng: np.random.Generator) -> np.ndarray:
    top, wide = rng.uniform(-0.45, 0.0), rng.uniform(0.6, 0.9)
    body = _body([top, rng.uniform(0.6, 0.9)], [wide * rng.uniform(0.75, 1.0), wide])
    radius = rng.uniform(0.3, 0.55)
    handle = _inside(0.06 - np.abs(np.hypot(X / radius, (Y - top) / rng.uniform(0.3, 0.5)) - 1) * radius)
    return np.maximum(body, handle * (top > Y))


def _shoe(rng: np.random.Generator, heel: float, ankle: float, toe: float) -> np.ndarray:
    """Seen from the side, toe to the left. heel, ankle, toe: how high it stands above the sole at these places."""
    sole = rng.uniform(0.30, 0.55)
    height = np.interp(X, [-0.92, -0.75, -0.1, 0.15, 0.75, 0.85], [0.1, toe, toe + 0.12, ankle, heel, heel])
    upper = np.minimum(_inside(Y - (sole - height)), _inside(sole - Y)) * _inside(0.88 - np.abs(X))
    return np.maximum(upper, 0.7 * _body([sole, sole + rng.uniform(0.08, 0.16)], [0.9, 0.9]))


def _sneaker(rng: np.random.Generator) -> np.ndarray:
    laces = _line((-0.25, 0.1), (0.15, -0.1), 0.12)
    return _shoe(rng, rng.uniform(0.4, 0.6), rng.uniform(0.4, 0.55), rng.uniform(0.2, 0.3)) * (1 - 0.3 * laces)


def _ankle_boot(rng: np.random.Generator) -> np.ndarray:
    shaft = rng.uniform(0.75, 1.25)
    return _shoe(rng, shaft, shaft, rng.uniform(0.25, 0.4))


def _sandal(rng: np.random.Generator) -> np.ndarray:
    """A sole, perhaps with a heel, and straps: the shoe's outline with holes in it."""
    shoe = _shoe(rng, rng.uniform(0.4, 0.9), rng.uniform(0.35, 0.6), rng.uniform(0.2, 0.3))
    straps = np.sin(X * rng.uniform(7, 14) + rng.uniform(-3, 3) * Y + rng.uniform(0, 6.3)) > rng.uniform(-0.2, 0.3)
    sole = _line((-0.9, 0.55), (0.85, rng.uniform(0.25, 0.5)), 0.12)
    return np.maximum(shoe * straps, sole)


DRAWERS = (_t_shirt, _trouser, _pullover, _dress, _coat, _sandal, _shirt, _sneaker, _bag, _ankle_boot)
