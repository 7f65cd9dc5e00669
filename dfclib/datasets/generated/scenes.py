"""Scenes for the embedded data set: an animal that rides a bike, washes dishes or plays chess.

The five "generators" of animals.py share these scenes: nothing here depends on the class.
"""

import math
from collections.abc import Callable

import numpy as np

Colour = np.ndarray  # float32 (3,), red, green, blue, 0 to 1

FURS = np.array(
    [[0.55, 0.38, 0.22], [0.75, 0.60, 0.42], [0.45, 0.45, 0.48], [0.28, 0.24, 0.22], [0.86, 0.82, 0.76],
     [0.72, 0.42, 0.18], [0.40, 0.52, 0.30], [0.36, 0.42, 0.56], [0.64, 0.50, 0.48]], np.float32
)  # fmt: skip
PAINTS = np.array(
    [[0.75, 0.18, 0.15], [0.15, 0.30, 0.65], [0.16, 0.50, 0.30], [0.85, 0.65, 0.15], [0.80, 0.80, 0.82],
     [0.22, 0.22, 0.24], [0.50, 0.22, 0.50]], np.float32
)  # fmt: skip
SKIES = np.array(
    [[0.45, 0.65, 0.88], [0.66, 0.76, 0.84], [0.84, 0.70, 0.56], [0.58, 0.62, 0.68], [0.72, 0.78, 0.66]], np.float32
)  # fmt: skip
GROUNDS = np.array(
    [[0.42, 0.42, 0.42], [0.34, 0.48, 0.24], [0.64, 0.56, 0.40], [0.50, 0.44, 0.38], [0.56, 0.56, 0.58]], np.float32
)  # fmt: skip
WALLS = np.array(
    [[0.76, 0.70, 0.60], [0.54, 0.62, 0.64], [0.40, 0.34, 0.30], [0.66, 0.58, 0.58], [0.48, 0.54, 0.44]], np.float32
)  # fmt: skip
WOODS = np.array([[0.50, 0.32, 0.18], [0.64, 0.46, 0.28], [0.34, 0.22, 0.15], [0.58, 0.56, 0.54]], np.float32)
INK = np.array([0.08, 0.07, 0.07], np.float32)
WHITE = np.array([0.95, 0.95, 0.93], np.float32)


class Canvas:
    """A picture in the making, float32 (height, width, 3); a point's unit is the shorter side, y goes down.

    The square from (0, 0) to (1, 1) lies in the middle of the picture, whatever its proportions.
    """

    def __init__(self, size: tuple[int, int], zoom: float = 1, middle: tuple[float, float] = (0.5, 0.5)):
        """`zoom` enlarges; `middle` is the point seen in the middle of the picture."""
        height, width = size
        self.unit = min(size) * zoom
        self.x = ((np.arange(width, dtype=np.float32) + 0.5 - width / 2) / self.unit + middle[0])[None, :]
        self.y = ((np.arange(height, dtype=np.float32) + 0.5 - height / 2) / self.unit + middle[1])[:, None]
        self.pixels = np.zeros((height, width, 3), np.float32)

    def cover(self, distance: np.ndarray, colour: np.ndarray) -> None:
        """Paint where `distance`, in units from a shape's edge and broadcastable to (height, width), is negative."""
        self._blend(self.pixels, distance, colour)

    def disc(
        self, x: float, y: float, rx: float, ry: float, colour: Colour, angle: float = 0, light: float = 0
    ) -> None:
        """An ellipse turned by `angle` radians, lit from above by `light`."""
        radius = max(rx, ry)
        px, py, pixels = self._around(x - radius, y - radius, x + radius, y + radius)
        dx, dy = px - x, py - y
        across = (dx * math.cos(angle) + dy * math.sin(angle)) / rx
        along = (dy * math.cos(angle) - dx * math.sin(angle)) / ry
        distance = (np.sqrt(across**2 + along**2) - 1) * min(rx, ry)
        shade = 1 - light * np.clip((dy - 0.3 * dx) / radius, -1, 1)
        self._blend(pixels, distance, colour * shade[..., None] if light else colour)

    def ring(self, x: float, y: float, radius: float, thickness: float, colour: Colour) -> None:
        reach = radius + thickness
        px, py, pixels = self._around(x - reach, y - reach, x + reach, y + reach)
        distance = np.abs(np.sqrt((px - x) ** 2 + (py - y) ** 2) - radius) - thickness / 2
        self._blend(pixels, distance, colour)

    def line(self, start: tuple[float, float], end: tuple[float, float], thickness: float, colour: Colour) -> None:
        """A line with round ends."""
        (x0, y0), (x1, y1) = start, end
        px, py, pixels = self._around(
            min(x0, x1) - thickness, min(y0, y1) - thickness, max(x0, x1) + thickness, max(y0, y1) + thickness
        )
        length = max((x1 - x0) ** 2 + (y1 - y0) ** 2, 1e-9)
        share = np.clip(((px - x0) * (x1 - x0) + (py - y0) * (y1 - y0)) / length, 0, 1)
        dx, dy = px - x0 - share * (x1 - x0), py - y0 - share * (y1 - y0)
        self._blend(pixels, np.sqrt(dx**2 + dy**2) - thickness / 2, colour)

    def box(self, left: float, top: float, right: float, bottom: float, colour: Colour) -> None:
        px, py, pixels = self._around(left, top, right, bottom)
        self._blend(pixels, np.maximum(np.maximum(left - px, px - right), np.maximum(top - py, py - bottom)), colour)

    def _around(self, left: float, top: float, right: float, bottom: float) -> tuple[np.ndarray, ...]:
        """x, y and pixels of the part that holds this box and a pixel around it: most shapes are small."""
        x0, x1 = np.searchsorted(self.x[0], (left - 1 / self.unit, right + 1 / self.unit))
        y0, y1 = np.searchsorted(self.y[:, 0], (top - 1 / self.unit, bottom + 1 / self.unit))
        return self.x[:, x0:x1], self.y[y0:y1], self.pixels[y0:y1, x0:x1]

    def _blend(self, pixels: np.ndarray, distance: np.ndarray, colour: np.ndarray) -> None:
        alpha = np.clip(0.5 - distance * self.unit, 0, 1)[..., None]
        pixels += alpha * (colour - pixels)


def draw_scene(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """One scene: float32 (height, width, 3), values about 0 to 1, drawn from `rng` alone."""
    canvas = Canvas(size, rng.uniform(0.85, 1.45), (rng.uniform(0.38, 0.62), rng.uniform(0.42, 0.62)))
    activity: Callable = (_ride, _wash, _play)[rng.integers(3)]
    activity(canvas, rng)
    canvas.pixels *= (rng.uniform(0.85, 1.1) + 0.18 * _clouds(rng, size, 2.0))[..., None]
    canvas.pixels += 0.05 * _clouds(rng, size, 1.0)[..., None]
    return canvas.pixels[:, ::-1] if rng.random() < 0.5 else canvas.pixels


def _clouds(rng: np.random.Generator, size: tuple[int, int], fall: float) -> np.ndarray:
    """Smooth noise, float32 (height, width), mean 0 and deviation 0.3, amplitude falling as 1 / frequency ** fall."""
    frequency = np.hypot(np.fft.fftfreq(size[0])[:, None], np.fft.rfftfreq(size[1])[None, :])
    frequency[0, 0] = np.inf
    noise = np.fft.irfft2(np.fft.rfft2(rng.standard_normal(size)) / frequency**fall, s=size)
    return (0.3 * noise / noise.std()).astype(np.float32)


def _pick(rng: np.random.Generator, colours: np.ndarray) -> Colour:
    chosen = colours[rng.integers(len(colours))] * rng.uniform(0.7, 1.3) + rng.normal(0, 0.03, 3)
    return np.clip(chosen, 0.02, 1).astype(np.float32)


def _outdoors(canvas: Canvas, rng: np.random.Generator) -> None:
    """Sky, one or two rows of hills, ground, perhaps a few trees."""
    sky, ground = _pick(rng, SKIES), _pick(rng, GROUNDS)
    horizon = rng.uniform(0.42, 0.66)
    canvas.pixels[:] = sky + (0.95 - sky) * np.clip(canvas.y / horizon, 0, 1)[..., None] * 0.6
    for row in range(rng.integers(1, 3)):
        waves = 0
        for _ in range(3):
            waves += rng.uniform(0.01, 0.05) * np.sin(canvas.x * rng.uniform(3, 14) + rng.uniform(0, 6.3))
        distance = horizon - 0.12 + 0.06 * row + waves - canvas.y
        canvas.cover(distance, 0.5 * (_pick(rng, GROUNDS) + sky) * (0.9 - 0.15 * row))
    for _ in range(rng.integers(0, 4)):
        x, height, leaves = rng.uniform(-0.1, 1.1), rng.uniform(0.12, 0.3), _pick(rng, GROUNDS[1:2])
        canvas.line((x, horizon), (x, horizon - height), 0.02, _pick(rng, WOODS))
        canvas.disc(x, horizon - height, 0.10, 0.12, leaves * 0.8, light=0.3)
    canvas.cover(horizon - canvas.y, ground * (0.8 + 0.5 * (canvas.y - horizon))[..., None])


def _indoors(canvas: Canvas, rng: np.random.Generator) -> None:
    """A wall lit from one side, with a window, tiles or a shelf, or none."""
    wall = _pick(rng, WALLS)
    canvas.pixels[:] = wall * (rng.uniform(0.75, 1.0) + rng.uniform(-0.4, 0.4) * (canvas.x - 0.5))[..., None]
    kind = rng.integers(4)
    if kind == 0:
        left, top = rng.uniform(-0.1, 0.7), rng.uniform(0, 0.1)
        wide, high = rng.uniform(0.25, 0.4), rng.uniform(0.25, 0.35)
        canvas.box(left - 0.02, top - 0.02, left + wide + 0.02, top + high + 0.02, WHITE * 0.85)
        canvas.box(left, top, left + wide, top + high, _pick(rng, SKIES))
        canvas.line((left + wide / 2, top), (left + wide / 2, top + high), 0.015, WHITE * 0.85)
    elif kind == 1:
        side, joint = rng.uniform(0.10, 0.16), wall * 0.8
        for step in np.arange(-0.5, 1.5, side):
            canvas.cover(np.abs(canvas.x - step) - 0.004, joint)
            canvas.cover(np.abs(canvas.y - step) - 0.004, joint)
    elif kind == 2:
        shelf = rng.uniform(0.18, 0.32)
        for x in np.arange(rng.uniform(-0.1, 0), 1.1, rng.uniform(0.07, 0.14)):
            canvas.box(x, shelf - rng.uniform(0.06, 0.14), x + 0.05, shelf, _pick(rng, PAINTS))
        canvas.box(-1, shelf, 2, shelf + 0.025, _pick(rng, WOODS))


def _animal(
    canvas: Canvas, rng: np.random.Generator, x: float, seat: float, paws: list[tuple[float, float]],
    feet: list[tuple[float, float]] = (),
) -> None:  # fmt: skip
    """An animal that sits at (x, seat), faces right, and reaches for `paws` and `feet`."""
    fur = _pick(rng, FURS)
    dark, pale = fur * 0.7, fur + 0.5 * (WHITE - fur)
    wide, tall = rng.uniform(0.11, 0.17), rng.uniform(0.17, 0.22)
    head = rng.uniform(0.095, 0.135)
    hx, hy = x + rng.uniform(0.02, 0.10), seat - 2 * tall - 0.4 * head
    limb = rng.uniform(0.045, 0.065)
    if rng.random() < 0.7:  # a tail
        reach, lift = rng.uniform(0.12, 0.24), rng.uniform(-0.05, 0.22)
        canvas.line((x - wide * 0.7, seat - 0.06), (x - wide - reach / 2, seat - 0.05), limb * 0.7, dark)
        canvas.line((x - wide - reach / 2, seat - 0.05), (x - wide - reach, seat - 0.05 - lift), limb * 0.6, dark)
    for foot in feet:
        knee = ((x + foot[0]) / 2 + 0.07, (seat + foot[1]) / 2 - 0.04)
        canvas.line((x, seat - 0.06), knee, limb * 1.2, dark)
        canvas.line(knee, foot, limb, dark)
    canvas.line((x + 0.02, seat - tall), (hx, hy), head * 1.1, fur)
    canvas.disc(x, seat - tall, wide, tall, fur, rng.uniform(-0.1, 0.25), light=0.3)
    if rng.random() < 0.6:
        canvas.disc(x + wide * 0.35, seat - tall * 0.9, wide * 0.5, tall * 0.65, pale, 0.15)
    if rng.random() < 0.3:  # stripes
        for level in np.linspace(0.5, 1.5, 4):
            y = seat - tall * level
            canvas.line((x - wide * 0.8, y), (x - wide * 0.1, y - 0.02), 0.022, dark)
    _ears(canvas, rng, hx, hy, head, fur, dark)
    canvas.disc(hx, hy, head, head * rng.uniform(0.85, 1.0), fur, light=0.25)
    snout = rng.uniform(0.4, 0.65) * head
    sx, sy = hx + head * rng.uniform(0.35, 0.75), hy + head * 0.35
    canvas.disc(sx, sy, snout * rng.uniform(1.0, 1.4), snout * 0.75, pale)
    canvas.disc(sx + snout * 0.6, sy - snout * 0.25, 0.022, 0.017, INK)
    for ex in (hx - head * 0.05, hx + head * 0.55):
        canvas.disc(ex, hy - head * 0.2, 0.026, 0.028, WHITE)
        canvas.disc(ex + 0.006, hy - head * 0.2, 0.016, 0.018, INK)
    shoulder = (x + wide * 0.4, seat - tall * 1.35)
    for px, py in paws:
        elbow = ((shoulder[0] + px) / 2, (shoulder[1] + py) / 2 + 0.05)
        canvas.line(shoulder, elbow, limb, dark)
        canvas.line(elbow, (px, py), limb * 0.9, dark)
        canvas.disc(px, py, limb * 0.65, limb * 0.6, pale)


def _ears(canvas: Canvas, rng: np.random.Generator, x: float, y: float, head: float, fur: Colour, dark: Colour) -> None:
    kind = rng.integers(3)
    for side in (-0.65, 0.35):
        ex = x + side * head
        if kind == 0:  # round
            canvas.disc(ex, y - head * 0.8, head * 0.42, head * 0.42, dark)
            canvas.disc(ex, y - head * 0.8, head * 0.25, head * 0.25, fur)
        elif kind == 1:  # long
            canvas.disc(ex, y - head * 1.4, head * 0.22, head * 0.8, dark, 0.25 * side)
        else:  # pointed
            canvas.line((ex, y - head * 0.6), (ex + side * head * 0.3, y - head * 1.25), head * 0.3, dark)


def _ride(canvas: Canvas, rng: np.random.Generator) -> None:
    _outdoors(canvas, rng)
    paint, tyre = _pick(rng, PAINTS), INK + rng.uniform(0, 0.15)
    floor, radius = rng.uniform(0.92, 0.97), rng.uniform(0.15, 0.19)
    axle, rear = floor - radius, 0.5 - rng.uniform(0.21, 0.26)
    front = 1 - rear + rng.uniform(-0.03, 0.03)
    canvas.disc(0.5, floor, 0.42, 0.025, INK + 0.15)  # the shadow on the ground
    crank, saddle, bars = (0.49, axle + 0.01), (0.43, axle - 0.19), (front - 0.07, axle - 0.26)
    for x in (rear, front):
        canvas.ring(x, axle, radius, 0.026, tyre)
        for angle in np.arange(4) * np.pi / 4 + rng.uniform(0, 0.8):
            dx, dy = radius * math.cos(angle), radius * math.sin(angle)
            canvas.line((x - dx, axle - dy), (x + dx, axle + dy), 0.006, WHITE * 0.75)
    for start, end in ((rear, axle), crank), ((rear, axle), saddle), (crank, saddle), (crank, bars), (saddle, bars):
        canvas.line(start, end, 0.022, paint)
    canvas.line((front, axle), bars, 0.022, paint)
    canvas.line(bars, (bars[0] + 0.06, bars[1] - 0.03), 0.024, INK)
    canvas.disc(saddle[0], saddle[1], 0.07, 0.02, INK)
    pedal = (crank[0] + rng.uniform(-0.05, 0.06), crank[1] + rng.uniform(0.0, 0.07))
    _animal(canvas, rng, saddle[0] + 0.01, saddle[1], [(bars[0] + 0.04, bars[1] - 0.02)], [pedal])


def _wash(canvas: Canvas, rng: np.random.Generator) -> None:
    _indoors(canvas, rng)
    top, steel = rng.uniform(0.64, 0.74), np.full(3, rng.uniform(0.55, 0.8), np.float32)
    x = rng.uniform(0.28, 0.45)
    paws = [(x + 0.20, top - 0.02), (x + 0.30, top - 0.01)]
    tap = x + rng.uniform(0.36, 0.42)
    _animal(canvas, rng, x, top + 0.12, paws)
    canvas.cover(top - canvas.y, _pick(rng, WOODS) * (1.1 - 0.4 * (canvas.y - top))[..., None])
    canvas.disc(x + 0.24, top + 0.13, 0.33, 0.12, steel)
    canvas.disc(x + 0.24, top + 0.14, 0.29, 0.095, steel * 0.6)
    canvas.disc(x + 0.24, top + 0.16, 0.26, 0.07, _pick(rng, SKIES))
    canvas.line((tap, top + 0.02), (tap, top - 0.2), 0.03, steel * 0.9)
    canvas.line((tap, top - 0.2), (tap - 0.10, top - 0.2), 0.03, steel * 0.95)
    canvas.line((tap - 0.10, top - 0.19), (tap - 0.10, top + 0.12), 0.014, WHITE)
    for px, py in paws:
        canvas.disc(px, py + 0.03, 0.045, 0.03, WHITE)
    for step in range(rng.integers(1, 5)):
        y = 0.97 - 0.03 * step
        canvas.disc(tap + 0.02, y, 0.13, 0.032, _pick(rng, PAINTS[4:]), light=0.2)
        canvas.disc(tap + 0.02, y - 0.006, 0.09, 0.018, WHITE)
    for _ in range(rng.integers(6, 20)):
        size = rng.uniform(0.008, 0.026)
        canvas.disc(x + 0.24 + rng.normal(0, 0.12), top + 0.12 + rng.normal(0, 0.04), size, size, WHITE)


def _play(canvas: Canvas, rng: np.random.Generator) -> None:
    (_indoors if rng.random() < 0.75 else _outdoors)(canvas, rng)
    top, tilt = rng.uniform(0.60, 0.70), rng.uniform(0.2, 0.34)
    x = rng.uniform(0.30, 0.5)
    _animal(canvas, rng, x, top + 0.10, [])
    canvas.cover(top - canvas.y, _pick(rng, WOODS) * (1.1 - 0.5 * (canvas.y - top))[..., None])
    dark, pale = _pick(rng, WOODS) * 0.6, _pick(rng, WOODS) * 0.4 + 0.55
    # the board is a square seen at a slant: rows shrink towards the horizon
    depth = (canvas.y - top - 0.05) / tilt
    breadth = (canvas.x - 0.5) / (0.33 + 0.17 * depth)
    squares = (np.floor(depth * 6) + np.floor((breadth + 1) * 4)) % 2
    edge = np.maximum(np.maximum(-depth, depth - 1) * tilt, (np.abs(breadth) - 1) * 0.4)
    canvas.cover(edge - 0.02, dark * 0.6)
    canvas.cover(edge, np.where(squares[..., None] > 0, dark, pale))
    places = sorted((rng.uniform(0.05, 0.9), rng.uniform(-0.85, 0.85)) for _ in range(rng.integers(5, 12)))
    for row, column in places:
        foot_x, foot_y = 0.5 + column * (0.33 + 0.17 * row), top + 0.05 + row * tilt
        size, colour = 0.020 + 0.012 * row, (INK + 0.06, WHITE * 0.9)[rng.integers(2)]
        canvas.line((foot_x, foot_y), (foot_x, foot_y - 3.5 * size), 1.1 * size, colour)
        canvas.disc(foot_x, foot_y, 1.2 * size, 0.6 * size, colour)
        canvas.disc(foot_x, foot_y - 4 * size, 0.85 * size, 0.85 * size, colour)
