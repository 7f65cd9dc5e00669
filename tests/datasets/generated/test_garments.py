"""Generated garments: reproducible, balanced, alike where the docstring says so, and never taken for Fashion-MNIST."""

import numpy as np
import pytest

from dfclib.datasets.fashion_mnist import CLASS_NAMES
from dfclib.datasets.generated import garments
from dfclib.datasets.generated.garments import make_splits
from dfclib.errors import UserError


@pytest.fixture(scope="module")
def splits():
    return make_splits()


def nearest(splits, *names: str) -> float:
    """Share of the test images of these classes whose nearest training image, of these classes, is of their own."""
    chosen = [CLASS_NAMES.index(name) for name in names]
    train, test = (part.take(np.isin(part.labels, chosen)) for part in (splits.train, splits.test))
    a, b = (part.images.reshape(len(part), -1).astype(np.float64) for part in (test, train))
    distance = (a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T
    return float((train.labels[distance.argmin(1)] == test.labels).mean())


def test_shapes_ids_and_balance(splits):
    parts = {"train": (splits.train, 2_000), "validation": (splits.validation, 300), "test": (splits.test, 300)}
    for name, (part, count) in parts.items():
        assert part.images.shape == (count, 28, 28, 1) and part.images.dtype == np.uint8
        assert part.class_counts().tolist() == [count // 10] * 10
        assert part.ids[0] == f"garments-{name}-00001" and len(set(part.ids)) == count
    assert splits.name == "garments" and splits.embedded
    assert splits.class_names == CLASS_NAMES


def test_every_picture_shows_something_on_black(splits):
    for part in (splits.train, splits.validation, splits.test):
        lit = (part.images > 40).mean(axis=(1, 2, 3))
        assert lit.min() > 0.03 and lit.max() < 0.8
        assert np.median(part.images[:, 0, 0]) == 0


def test_the_same_seed_gives_the_same_pictures_and_another_seed_others(splits):
    assert make_splits().fingerprint == splits.fingerprint
    other = make_splits(seed=1).train
    assert not {image.tobytes() for image in other.images} & {image.tobytes() for image in splits.train.images}
    assert not np.array_equal(other.labels, splits.train.labels)


def test_a_picture_does_not_depend_on_how_many_are_made(splits):
    few = make_splits(train=33, validation=20, test=0)
    assert few.test is None
    np.testing.assert_array_equal(few.train.images, splits.train.images[:33])
    np.testing.assert_array_equal(few.train.labels, splits.train.labels[:33])
    np.testing.assert_array_equal(few.validation.images, splits.validation.images[:20])


def test_no_picture_is_there_twice(splits):
    pictures = [image.tobytes() for part in (splits.train, splits.validation, splits.test) for image in part.images]
    assert len(set(pictures)) == len(pictures)


def test_some_classes_are_told_apart_at_a_glance_and_shirts_are_not(splits):
    assert nearest(splits, "Trouser", "Bag", "Ankle boot") > 0.9
    assert nearest(splits, "T-shirt/top", "Pullover", "Coat", "Shirt") < 0.75
    shirts = nearest(splits, "T-shirt/top", "Pullover", "Coat", "Shirt")
    assert nearest(splits, "T-shirt/top", "Pullover", "Coat") > shirts + 0.05


def test_half_of_the_shirts_are_drawn_as_another_class_and_nothing_else_is(monkeypatch):
    drawn = []
    record = [lambda rng, label=label: drawn.append(label) or np.ones((28, 28)) for label in range(10)]
    monkeypatch.setattr(garments, "DRAWERS", record)
    labels = make_splits(train=4000, validation=20, test=0).train.labels
    drawn = np.array(drawn[:4000])
    shirts = labels == CLASS_NAMES.index("Shirt")
    assert np.array_equal(drawn[~shirts], labels[~shirts])
    shares = dict(zip(CLASS_NAMES, np.bincount(drawn[shirts], minlength=10) / shirts.sum(), strict=True))
    assert 0.4 < shares["Shirt"] < 0.6  # 400 are drawn: four standard errors
    assert all(0.08 < shares[name] < 0.28 for name in ("T-shirt/top", "Pullover", "Coat"))


@pytest.mark.parametrize(
    ("arguments", "received"),
    [
        ({"train": 19}, "train must be a whole number from 20 to 99999; received 19"),
        ({"validation": 20.5}, "validation must be a whole number from 20 to 99999; received 20.5"),
        ({"test": -1}, "test must be a whole number from 0 to 99999; received -1"),
        ({"seed": True}, "seed must be a whole number of 0 or more; received True"),
    ],
)
def test_bad_arguments_are_named(arguments, received):
    with pytest.raises(UserError, match=received):
        make_splits(**arguments)
