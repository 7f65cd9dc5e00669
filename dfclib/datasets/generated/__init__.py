"""Images drawn on the spot, so that everything runs with nothing to fetch.

Every picture depends on (seed, split, index) alone, never on how many are made. The random draws are the
same on every machine; the last bit of a sine may not be, so single pixels may differ by one level between processors.
"""

from collections.abc import Callable

import numpy as np

from dfclib.datasets.images import ImageSet, Splits
from dfclib.errors import UserError

SPLITS = ("train", "validation", "test")  # a split's place here is a part of its random seed
MOST_IMAGES = 99_999  # ids have five digits


def draw_splits(
    name: str,
    class_names: tuple[str, ...],
    counts: tuple[int, int, int],
    seed: int,
    draw: Callable[[int, np.random.Generator], np.ndarray],
) -> Splits:
    """Draw a data set whose classes differ by one image at most, in any run of rows from the first.

    Args:
        counts: Numbers of training, validation and test images; two per class of the first two at least, test may be 0.
        draw: Given a class and a generator of random numbers, draws an image: uint8 (height, width, channels).

    Raises:
        UserError: where a count or the seed lies outside its limits.
    """
    fewest = 2 * len(class_names)
    for split, count, least in zip(SPLITS, counts, (fewest, fewest, 0), strict=True):
        if not least <= count <= MOST_IMAGES:
            raise UserError(f"{split} must be a whole number from {least} to {MOST_IMAGES}; received {count!r}.")
    if seed < 0:
        raise UserError(f"seed must be a whole number of 0 or more; received {seed!r}.")

    def draw_split(code: int) -> ImageSet:
        labels = _balanced_labels(counts[code], len(class_names), [seed, code, 0])
        images = [draw(int(label), np.random.default_rng([seed, code, 1, i])) for i, label in enumerate(labels)]
        ids = np.array([f"{name}-{SPLITS[code]}-{i + 1:05d}" for i in range(len(labels))])
        return ImageSet(np.stack(images), labels, ids, class_names)

    return Splits(name, draw_split(0), draw_split(1), draw_split(2) if counts[2] else None, embedded=True)


def _balanced_labels(count: int, classes: int, seed: list[int]) -> np.ndarray:
    """int64 (count,): blocks of all classes, each in an order drawn for it, so that any beginning is balanced."""
    blocks = [np.random.default_rng([*seed, block]).permutation(classes) for block in range(-(-count // classes))]
    return np.concatenate(blocks)[:count].astype(np.int64)
