"""ImageSet and Splits, which every source of images returns, and the statistics of their pixels."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from dfclib.errors import UserError

BLOCK = 256  # images at a time: statistics of all at once would take eight bytes per pixel


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images of one size with their ids and, where known, their labels.

    images: uint8 (n, height, width, channels), channels 1 or 3, values 0..255
    labels: int64 (n,) in 0..k-1, or None where unknown
    ids: str (n,), unique
    class_names: the k original labels, in the order of the integers
    """

    images: np.ndarray
    labels: np.ndarray | None
    ids: np.ndarray
    class_names: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.images.dtype != np.uint8 or self.images.ndim != 4 or self.images.shape[3] not in (1, 3):
            raise ValueError(
                f"images must be uint8 (n, height, width, 1 or 3), received {self.images.dtype} {self.images.shape}"
            )
        number, labels = len(self), self.labels
        if len(self.ids) != number:
            raise ValueError(f"{number} images but {len(self.ids)} ids")
        if labels is not None and labels.shape != (number,):
            raise ValueError(f"{number} images but labels of shape {labels.shape}")
        if labels is not None and number and not 0 <= labels.min() <= labels.max() < len(self.class_names):
            limits = f"0..{len(self.class_names) - 1}"
            raise ValueError(f"labels must lie in {limits}, received {labels.min()}..{labels.max()}")

    def __len__(self) -> int:
        return len(self.images)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.images.shape[1], self.images.shape[2]

    @property
    def channels(self) -> int:
        return self.images.shape[3]

    def take(self, indices: np.ndarray) -> "ImageSet":
        """The images at `indices` (int (m,) or bool (n,)), in that order."""
        labels = None if self.labels is None else self.labels[indices]
        return replace(self, images=self.images[indices], labels=labels, ids=self.ids[indices])

    def class_counts(self) -> np.ndarray:
        """Number of images per class: int64 (k,). Raises ValueError without labels."""
        if self.labels is None:
            raise ValueError("these images have no labels to count")
        return np.bincount(self.labels, minlength=len(self.class_names))

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over ids, labels, class names and pixels, as hexadecimal digits."""
        digest = hashlib.sha256()
        digest.update("\0".join(self.class_names).encode())
        digest.update("\0".join(map(str, self.ids)).encode())
        digest.update(b"none" if self.labels is None else np.ascontiguousarray(self.labels, "<i8").tobytes())
        digest.update(str(self.images.shape).encode())
        digest.update(np.ascontiguousarray(self.images).data)
        return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class Splits:
    """Training, validation and, where there are any, test images of one data set.

    name: short name used in run names (letters, digits and dashes)
    embedded: True for the images drawn by `datasets/generated`: accuracies on them say nothing about real images
    """

    name: str
    train: ImageSet
    validation: ImageSet
    test: ImageSet | None = None
    embedded: bool = False

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.train.class_names

    @property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that change with any id, label or pixel, those of test images aside.

        A run trained before the test images came is still the same run.
        """
        parts = self.train.fingerprint + self.validation.fingerprint
        return hashlib.sha256(parts.encode()).hexdigest()[:16]


def held_out_split(train: ImageSet) -> tuple[ImageSet, ImageSet]:
    """(the other training images, a stratified tenth set aside). Raises UserError for a class of fewer than two images.

    Which tenth depends on the ids and labels alone, so that it is the same for every recipe, seed and order of rows.
    """
    for name, count in zip(train.class_names, train.class_counts(), strict=True):
        if count < 2:
            raise UserError(
                f"class {name!r} has {count} training image(s): at least 2 are needed "
                "to hold some out. Add images, or use the published protocol."
            )
    aside = stratified_tenth(train.ids, train.labels)
    return train.take(~aside), train.take(aside)


def stratified_tenth(ids: Sequence[str], labels: np.ndarray) -> np.ndarray:
    """bool (n,): of each class the tenth, and one at least, whose ids' SHA-256 sort first."""
    keys = np.array([hashlib.sha256(str(id_).encode()).hexdigest() for id_ in ids])
    chosen = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        chosen[members[np.argsort(keys[members])[: max(1, round(len(members) / 10))]]] = True
    return chosen


def channel_statistics(images: np.ndarray, by_image: bool = False) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel, exactly, on the scale 0..255.

    Args:
        images: uint8 (n, height, width, channels).
        by_image: False: over all pixels together. True: each image's own mean and (unbiased, as PyTorch's) deviation,
            averaged over the images; the deviations are smaller then, as differences between images do not count.
    """
    channels = images.shape[3]
    blocks = (images[i : i + BLOCK] for i in range(0, len(images), BLOCK))
    if by_image:
        sums = np.zeros((2, channels))
        for block in blocks:
            values = block.reshape(len(block), -1, channels).astype(np.float64)
            sums += values.mean(axis=1).sum(axis=0), values.std(axis=1, ddof=1).sum(axis=0)
        means, deviations = sums / len(images)
    else:
        levels = np.arange(256)
        counts = np.zeros((channels, 256))
        for block in blocks:
            for channel in range(channels):
                counts[channel] += np.bincount(block[..., channel].ravel(), minlength=256)
        counts /= counts.sum(axis=1, keepdims=True)
        means = counts @ levels
        deviations = np.sqrt(np.sum(counts * (levels - means[:, None]) ** 2, axis=1))
    return tuple(means.tolist()), tuple(deviations.tolist())
