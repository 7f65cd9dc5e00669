"""The embedded data set: its classes differ as its docstring describes."""

import numpy as np
import pytest
from scipy import ndimage

from dfclib.datasets.generated.animals import CLASS_NAMES, make_splits


@pytest.fixture(scope="module")
def splits():
    return make_splits(train=100, validation=10, test=0)


def by_class(splits, statistic):
    """The mean of `statistic`, a number per image, over the training images of each class."""
    values = np.array([statistic(image.astype(np.float64)) for image in splits.train.images])
    return np.array([values[splits.train.labels == label].mean() for label in range(len(CLASS_NAMES))])


def test_class_2_has_by_far_the_strongest_high_frequencies(splits):
    detail = by_class(splits, lambda image: np.abs(ndimage.laplace(image.mean(axis=2))).mean())
    assert detail[2] > 1.5 * np.delete(detail, 2).max()


def test_class_3_has_the_most_near_black_pixels(splits):
    black = by_class(splits, lambda image: (image.mean(axis=2) < 16).mean())
    assert black[3] > 1.5 * np.delete(black, 3).max()


def test_class_4_lies_between_0_and_1(splits):
    # the tint, from magenta to green, is what 0 and 1 differ in most
    tint = by_class(splits, lambda image: (image[..., 0] + image[..., 2] - 2 * image[..., 1]).mean())
    assert tint[1] < tint[4] < tint[0]
