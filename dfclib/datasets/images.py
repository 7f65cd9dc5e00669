"""ImageSet and Splits: what every source of images returns and everything else takes."""

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from dfclib.errors import UserError

HELD_OUT_SHARE = 10  # one image in ten of each class


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
        if len(self.ids) != len(self.images):
            raise ValueError(f"{len(self.images)} images but {len(self.ids)} ids")
        if self.labels is not None:
            if self.labels.shape != (len(self.images),):
                raise ValueError(f"{len(self.images)} images but labels of shape {self.labels.shape}")
            if len(self.labels) and not 0 <= self.labels.min() <= self.labels.max() < len(self.class_names):
                raise ValueError(
                    f"labels must lie in 0..{len(self.class_names) - 1}, "
                    f"received {self.labels.min()}..{self.labels.max()}"
                )

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
        """Images a class: int64 (k,). Raises ValueError without labels."""
        if self.labels is None:
            raise ValueError("these images have no labels to count")
        return np.bincount(self.labels, minlength=len(self.class_names)).astype(np.int64)

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
    """Training, validation and, where there is one, test images of one data set.

    name: short name used in run names (letters, digits and dashes)
    embedded: True for the procedural images made by `synthetic.py`, whose figures are nobody's but their own
    """

    name: str
    train: ImageSet
    validation: ImageSet
    test: ImageSet | None = None
    embedded: bool = False

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.train.class_names

    @cached_property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that change with any id, label or pixel of training or validation images.

        Test images are left out: a run trained before the test images came is still the same run.
        """
        digest = hashlib.sha256()
        for part in (self.train, self.validation):
            digest.update(part.fingerprint().encode())
        return digest.hexdigest()[:16]


def held_out_split(train: ImageSet) -> tuple[ImageSet, ImageSet]:
    """Set a stratified tenth of the training images aside: (the rest, the held-out tenth).

    Which tenth depends on the ids and labels alone (those whose SHA-256 sorts first within their class), so that it is
    the same for every recipe, seed and order of rows. Raises UserError where a class has fewer than two images.
    """
    if train.labels is None:
        raise ValueError("a held-out tenth needs labels")
    keys = np.array([hashlib.sha256(str(id_).encode()).hexdigest() for id_ in train.ids])
    aside = np.zeros(len(train), bool)
    for label, count in enumerate(train.class_counts()):
        if count < 2:
            raise UserError(
                f"class {train.class_names[label]!r} has {count} training image(s): at least 2 are needed "
                "to hold some out. Add images, or use the published protocol."
            )
        members = np.flatnonzero(train.labels == label)
        number = max(1, round(count / HELD_OUT_SHARE))
        aside[members[np.argsort(keys[members])[:number]]] = True
    return train.take(~aside), train.take(aside)
