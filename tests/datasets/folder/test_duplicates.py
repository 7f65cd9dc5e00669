"""Copies are found, exact and near, within and across splits; different images are not."""

import io

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from dfclib.datasets.folder.duplicates import NEAR, find_duplicates, near_pairs, perceptual_hashes
from dfclib.datasets.images import ImageSet


def scenes(count: int, seed: int = 0) -> np.ndarray:
    """Smooth random colour images uint8 (count, 64, 64, 3): unlike noise, they survive being re-encoded."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (count, 6, 6, 3), np.uint8)
    return np.stack([np.asarray(Image.fromarray(image).resize((64, 64), Image.Resampling.BICUBIC)) for image in small])


def image_set(images: np.ndarray, prefix: str, labels=None) -> ImageSet:
    ids = np.array([f"{prefix}{i}" for i in range(len(images))])
    return ImageSet(images, None if labels is None else np.array(labels, np.int64), ids, ("a", "b"))


def changed(pixels: np.ndarray, how: str) -> np.ndarray:
    image = Image.fromarray(pixels)
    if how == "jpeg":
        file = io.BytesIO()
        image.save(file, "JPEG", quality=75)
        image = Image.open(file)
    elif how == "halved":
        image = image.resize((32, 32)).resize((64, 64))
    elif how == "brighter":
        image = ImageEnhance.Brightness(image).enhance(1.1)
    else:
        image = image.convert("L").convert("RGB")
    return np.asarray(image)


@pytest.mark.parametrize("how", ["jpeg", "halved", "brighter", "grey"])
def test_changed_copies_are_near(how: str) -> None:
    train = scenes(8)
    found = find_duplicates({"train": image_set(train, "t"), "test": image_set(changed(train[3], how)[None], "x")})
    assert found.pairs in [[f"train t3 and test x0: {bits} of 64 bits differ"] for bits in range(NEAR + 1)]
    assert found.counts["train", "test"] == (0, 1) and sum(map(sum, found.counts.values())) == 1


def test_exact_copies_within_and_across_splits() -> None:
    images = scenes(6)
    train = image_set(images[[0, 1, 2, 0, 0]], "t", [0, 0, 1, 0, 1])
    validation, test = image_set(images[[3, 2]], "v", [0, 0]), image_set(images[4:], "e")
    found = find_duplicates({"train": train, "validation": validation, "test": test})
    assert found.counts["train", "train"] == (2, 0) and found.counts["train", "validation"] == (1, 0)
    assert sum(map(sum, found.counts.values())) == 3  # copies are not counted as near pairs too
    assert found.pairs == [
        "train t0 (a) and train t3 (a): identical pixels",
        "train t0 (a) and train t4 (b): identical pixels, but different labels",
        "train t2 (b) and validation v1 (a): identical pixels, but different labels",
    ]
    text = found.text()
    assert "within train" in text and "train and validation" in text


def test_flat_images_are_no_near_duplicates_of_each_other() -> None:
    flat = np.stack([np.full((16, 16, 1), value, np.uint8) for value in (0, 90, 255)])
    assert not find_duplicates({"train": image_set(flat, "f")}).pairs


def test_near_pairs_agrees_with_counting_bit_by_bit() -> None:
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 2**20, 1100, np.uint64)  # over two blocks, with many near ones
    numbers = [int(value) for value in hashes]
    expected = {
        (i, j, (numbers[i] ^ numbers[j]).bit_count())
        for i in range(len(numbers))
        for j in range(i + 1, len(numbers))
        if (numbers[i] ^ numbers[j]).bit_count() <= NEAR
    }
    found = near_pairs(hashes)
    assert len(found) == len(expected) > 1000
    assert set(map(tuple, found.tolist())) == expected


def test_hashes_of_grey_and_colour_agree() -> None:
    grey = np.asarray(Image.fromarray(scenes(1)[0]).convert("L"))[None, ..., None]
    assert perceptual_hashes(grey)[0] == perceptual_hashes(np.repeat(grey, 3, axis=3))[0]


def test_long_lists_are_cut() -> None:
    images = np.repeat(scenes(1), 14, axis=0)
    found = find_duplicates({"train": image_set(images, "t")})
    assert "and 3 more" in found.text() and "and 13 more" in found.text(limit=0)


def test_nothing_to_compare() -> None:
    assert find_duplicates({}).pairs == []
    assert find_duplicates({"train": image_set(scenes(1)[:0], "t")}).counts == {("train", "train"): (0, 0)}
