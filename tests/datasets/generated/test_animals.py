"""The embedded data set: reproducible, balanced, and as its docstring describes it."""

import numpy as np
import pytest
from scipy import ndimage

from dfclib.datasets.generated.animals import CLASS_NAMES, make_splits
from dfclib.errors import UserError


@pytest.fixture(scope="module")
def splits():
    return make_splits(train=100, validation=20, test=10)


def by_class(splits, statistic):
    """The mean of `statistic`, a number an image, over the training images of each class."""
    values = np.array([statistic(image.astype(np.float64)) for image in splits.train.images])
    return np.array([values[splits.train.labels == label].mean() for label in range(len(CLASS_NAMES))])


def test_shapes_ids_and_balance(splits):
    for part, name, count in [
        (splits.train, "train", 100),
        (splits.validation, "validation", 20),
        (splits.test, "test", 10),
    ]:
        assert part.images.shape == (count, 100, 100, 3)
        assert part.images.dtype == np.uint8
        assert part.class_counts().tolist() == [count // 5] * 5
        assert part.ids[0] == f"embedded-{name}-00001"
        assert len(set(part.ids)) == count
    assert splits.embedded
    assert splits.name == "embedded"


def test_the_same_seed_gives_the_same_pictures_and_another_seed_others(splits):
    assert make_splits(train=100, validation=20, test=10).fingerprint == splits.fingerprint
    assert make_splits(train=100, validation=20, test=10, seed=1).fingerprint != splits.fingerprint


def test_a_picture_does_not_depend_on_how_many_are_made(splits):
    few = make_splits(train=30, validation=10, test=0)
    assert few.test is None
    np.testing.assert_array_equal(few.train.images, splits.train.images[:30])
    np.testing.assert_array_equal(few.train.labels, splits.train.labels[:30])
    np.testing.assert_array_equal(few.validation.images, splits.validation.images[:10])


def test_every_beginning_is_balanced(splits):
    for count in range(1, 100):
        counts = np.bincount(splits.train.labels[:count], minlength=5)
        assert counts.max() - counts.min() <= 1


def test_no_picture_is_in_two_splits(splits):
    pictures = [image.tobytes() for part in (splits.train, splits.validation, splits.test) for image in part.images]
    assert len(set(pictures)) == len(pictures)


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


@pytest.mark.parametrize(
    ("arguments", "received"),
    [
        ({"train": 9}, "train must be a whole number from 10 to 99999; received 9"),
        ({"validation": 1.5}, "validation must be a whole number from 10 to 99999; received 1.5"),
        ({"test": -1}, "test must be a whole number from 0 to 99999; received -1"),
        ({"seed": -1}, "seed must be a whole number of 0 or more; received -1"),
        ({"size": 100}, "size must be two whole numbers, height and width in pixels; received 100"),
        ({"size": (100, 15)}, "width must be a whole number from 16 to 1024; received 15"),
    ],
)
def test_bad_arguments_are_named(arguments, received):
    with pytest.raises(UserError, match=received):
        make_splits(**arguments)


def test_other_sizes():
    tall = make_splits(train=10, validation=10, test=0, size=(40, 24))
    assert tall.train.images.shape == (10, 40, 24, 3)
