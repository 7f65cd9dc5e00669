"""Generated garments: easy and hard classes where its docstring says so."""

import numpy as np
import pytest

from dfclib.datasets.fashion_mnist import CLASS_NAMES
from dfclib.datasets.generated import garments
from dfclib.datasets.generated.garments import make_splits


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


def test_every_picture_shows_something_on_black(splits):
    for part in (splits.train, splits.validation, splits.test):
        lit = (part.images > 40).mean(axis=(1, 2, 3))
        assert lit.min() > 0.03 and lit.max() < 0.8
        assert np.median(part.images[:, 0, 0]) == 0


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
