"""Both generated data sets: reproducible, balanced, no picture twice, and bad arguments are named."""

import numpy as np
import pytest

from dfclib.datasets.fashion_mnist import CLASS_NAMES
from dfclib.datasets.generated import animals, garments
from dfclib.errors import UserError

DATA_SETS = {
    "embedded": (animals.make_splits, ("0", "1", "2", "3", "4"), (100, 100, 3)),
    "garments": (garments.make_splits, CLASS_NAMES, (28, 28, 1)),
}
COUNTS = {"train": 100, "validation": 20, "test": 10}


@pytest.fixture(scope="module", params=DATA_SETS)
def made(request):
    """(Splits, the function that made them)."""
    make_splits = DATA_SETS[request.param][0]
    return make_splits(**COUNTS), make_splits


def test_shapes_ids_and_balance(made):
    splits, make_splits = made
    expected_function, class_names, shape = DATA_SETS[splits.name]
    assert make_splits is expected_function and splits.embedded and splits.class_names == class_names
    for name, count in COUNTS.items():
        part = getattr(splits, name)
        assert part.images.shape == (count, *shape) and part.images.dtype == np.uint8
        assert part.class_counts().tolist() == [count // len(class_names)] * len(class_names)
        assert part.ids[0] == f"{splits.name}-{name}-00001" and len(set(part.ids)) == count
    for count in range(1, 100):  # every beginning is balanced
        counts = np.bincount(splits.train.labels[:count], minlength=len(class_names))
        assert counts.max() - counts.min() <= 1


def test_no_picture_is_there_twice_and_another_seed_draws_others(made):
    splits, make_splits = made
    assert make_splits(**COUNTS).fingerprint == splits.fingerprint
    other = make_splits(**COUNTS, seed=1)
    parts = [part for one in (splits, other) for part in (one.train, one.validation, one.test)]
    pictures = [image.tobytes() for part in parts for image in part.images]
    assert len(set(pictures)) == len(pictures)
    assert not np.array_equal(other.train.labels, splits.train.labels)


def test_a_picture_does_not_depend_on_how_many_are_made(made):
    splits, make_splits = made
    few = make_splits(train=33, validation=20, test=0)
    assert few.test is None
    np.testing.assert_array_equal(few.train.images, splits.train.images[:33])
    np.testing.assert_array_equal(few.train.labels, splits.train.labels[:33])
    np.testing.assert_array_equal(few.validation.images, splits.validation.images)


@pytest.mark.parametrize(
    ("make_splits", "arguments", "received"),
    [
        (animals.make_splits, {"train": 9}, "train must be a whole number from 10 to 99999; received 9"),
        (garments.make_splits, {"train": 19}, "train must be a whole number from 20 to 99999; received 19"),
        (garments.make_splits, {"validation": 10**5}, "validation must be .* from 20 to 99999; received 100000"),
        (animals.make_splits, {"test": -1}, "test must be a whole number from 0 to 99999; received -1"),
        (animals.make_splits, {"seed": -1}, "seed must be a whole number of 0 or more; received -1"),
    ],
)
def test_bad_arguments_are_named(make_splits, arguments, received):
    with pytest.raises(UserError, match=received):
        make_splits(**arguments)
