"""What several tests share: five trivially different classes of tiny images, and a recipe that learns them."""

import os
from dataclasses import replace

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before anything imports TensorFlow

import numpy as np  # noqa: E402
import pytest  # noqa: E402

from dfclib.datasets.images import ImageSet, Splits  # noqa: E402
from dfclib.recipes import find  # noqa: E402

COLOURS = np.array([[180, 0, 0], [0, 180, 0], [0, 0, 180], [180, 180, 0], [0, 180, 180]])


def tiny_images(per_class: int, seed: int, prefix: str, size: tuple[int, int] = (16, 16)) -> ImageSet:
    """Five classes of one colour each, with noise: uint8 (5 * per_class, *size, 3)."""
    labels = np.tile(np.arange(5), per_class)
    noise = np.random.default_rng(seed).integers(0, 70, (len(labels), *size, 3))
    images = (COLOURS[labels][:, None, None, :] + noise).astype(np.uint8)
    ids = np.array([f"{prefix}-{i:04d}" for i in range(len(labels))])
    return ImageSet(images, labels, ids, ("0", "1", "2", "3", "4"))


def tiny_recipe(**changes):
    """Attempt 2 made tiny: 16x16 pixels, few filters, three epochs, no stopping, the last epoch kept, float32."""
    arguments = find("attempt2").arguments | {"filters": [4, 6, 8], "head": [[16, 0.2]]}
    base = replace(find("attempt2"), name="tiny", image_size=(16, 16), epochs=3, batch_size=16, stopping=None)
    base = replace(base, keep="last", precision="float32", arguments=arguments, claims={}, attempt="")
    return replace(base, **changes)


def misleading(splits: Splits) -> Splits:
    """The same data, but validation is labelled wrongly: the better the training, the worse its val_loss."""
    wrong = replace(splits.validation, labels=(splits.validation.labels + 1) % 5)
    return replace(splits, name="misleading", validation=wrong)


@pytest.fixture(scope="session")
def splits() -> Splits:
    """60 training, 30 validation and 10 test images, 16x16."""
    test = replace(tiny_images(2, 2, "test"), labels=None)
    return Splits("tiny", tiny_images(12, 0, "train"), tiny_images(6, 1, "validation"), test)


@pytest.fixture(scope="session")
def finished(splits, tmp_path_factory):
    """A finished run of tiny_recipe(). Shared: tests that change files copy it first."""
    from dfclib.training import train

    return train(tiny_recipe(), splits, tmp_path_factory.mktemp("runs"), progress=False)
