"""Erasing and mixing of batches: shares as asked, and labels that say what the pixels show."""

from dataclasses import replace

import numpy as np
import pytest
from fakes import tiny_recipe

from dfclib import mixing, pipelines
from dfclib.datasets.images import ImageSet
from dfclib.recipes.recipe import Augmentation

SIZE, CLASSES = (16, 24), 5


def recipe(epochs=8, batch_size=16, **augmentation):
    return replace(
        tiny_recipe(), image_size=SIZE, epochs=epochs, batch_size=batch_size, augmentation=Augmentation(**augmentation)
    )


def flat_images(count=80) -> ImageSet:
    """Each pixel is 50 times the label: the mean of any mixture says how much of each label is in it."""
    labels = np.arange(count) % CLASSES
    pixels = np.broadcast_to((50 * labels)[:, None, None, None], (count, *SIZE, 3)).astype(np.uint8)
    return ImageSet(pixels, labels, np.array([f"f{i}" for i in range(count)]), tuple("01234"))


@pytest.mark.parametrize("kind", ["cutmix", "mixup"])
def test_labels_say_what_share_of_the_pixels_is_whose(kind):
    mixed = 0
    for epoch in (1, 2):
        batches = pipelines.training_dataset(flat_images(), recipe(**{kind: 1.0}), epoch)
        for pixels, labels in batches.as_numpy_iterator():
            np.testing.assert_allclose(labels.sum(axis=1), 1, atol=1e-6)
            np.testing.assert_allclose(pixels.mean(axis=(1, 2, 3)), labels @ (50.0 * np.arange(CLASSES)), atol=0.01)
            mixed += (labels.max(axis=1) < 1).sum()
            values = len(np.unique(pixels[0].round(2)))
            assert values == 1 if kind == "mixup" else values <= 2
    assert mixed > 40


def test_a_mixed_recipe_is_evaluated_on_whole_images_with_whole_labels():
    images = flat_images()
    batches = list(pipelines.evaluation_dataset(images, recipe(cutmix=1.0), labelled=True).as_numpy_iterator())
    assert np.array_equal(np.concatenate([b[0] for b in batches]), images.images)
    assert np.array_equal(np.concatenate([b[1] for b in batches]), np.eye(CLASSES)[images.labels])


def test_a_batch_has_cutmix_or_mixup_or_neither_in_the_shares_asked_for():
    batches, size = 4000, 4
    rows = mixing.plan(batches * size, recipe(batch_size=size, cutmix=0.4, mixup=0.3), epoch=1)
    assert all(
        (values.reshape(batches, size, -1) == values[::size].reshape(batches, 1, -1)).all() for values in rows.values()
    )
    boxes = rows["box"][::size]
    top, left, bottom, right = boxes.T
    boxed, blended = (bottom - top) * (right - left) > 0, rows["blend"][::size] > 0
    assert not (boxed & blended).any()
    # a box may be empty by chance, and a blend nearly nothing
    assert 0.37 < boxed.mean() < 0.43
    assert 0.27 < blended.mean() < 0.33
    assert (rows["share"][::size][~boxed & ~blended] == 0).all()
    assert (boxes >= 0).all() and (bottom <= SIZE[0]).all() and (right <= SIZE[1]).all()
    share = rows["share"][::size][boxed]
    assert share.min() < 0.05 and share.max() > 0.9


def test_mixing_ends_after_its_share_of_the_epochs():
    asked = recipe(epochs=8, cutmix=1.0, mixing_until=0.75)
    mixed = [mixing.plan(160, asked, epoch)["share"].max() > 0 for epoch in range(1, 9)]
    assert mixed == [True] * 6 + [False] * 2


def test_a_plan_is_a_function_of_seed_and_epoch():
    one, again, later, other = (
        mixing.plan(160, replace(recipe(cutmix=1.0), seed=seed), epoch)
        for seed, epoch in [(0, 1), (0, 1), (0, 2), (1, 1)]
    )
    assert all(np.array_equal(one[name], again[name]) for name in one)
    assert not np.array_equal(one["box"], later["box"])
    assert not np.array_equal(one["box"], other["box"])


def test_mix_takes_from_the_next_image_and_for_the_last_from_the_first():
    batch = np.random.default_rng(0).integers(0, 256, (3, 5, 6, 3)).astype(np.uint8)
    boxes, blend = np.tile([1, 2, 4, 5], (3, 1)), np.zeros(3, np.float32)
    cut = mixing.mix(batch, boxes, blend)
    expected = batch.astype(np.float32)
    for i in range(3):
        expected[i, 1:4, 2:5] = batch[(i + 1) % 3, 1:4, 2:5]
    assert cut.dtype == np.float32
    assert np.array_equal(cut, expected)
    blended = mixing.mix(batch, np.zeros((3, 4), int), np.full(3, 0.25, np.float32))
    np.testing.assert_allclose(blended, 0.75 * batch + 0.25 * np.roll(batch, -1, axis=0), atol=1e-4)


def test_erasing_makes_a_rectangle_grey_in_its_share_of_the_images():
    ids = np.array([f"e{i}" for i in range(3000)])
    draw = pipelines.uniforms(ids, np.zeros(3000, int), seed=0, epoch=1)
    boxes = mixing.erased_boxes(draw, 0.25, SIZE)
    top, left, bottom, right = boxes.T
    erased = (bottom > top) & (right > left)
    assert 0.22 < erased.mean() < 0.28
    assert (boxes >= 0).all() and (bottom <= SIZE[0]).all() and (right <= SIZE[1]).all()
    assert set((bottom - top)[erased]) == set(range(2, 9))  # a tenth to a half of 16, rounded
    batch = np.full((2, *SIZE, 3), 255, np.uint8)
    result = mixing.erase(batch, np.array([[0, 0, 0, 0], [2, 3, 5, 9]]))
    assert (result[0] == 255).all()
    assert (result[1, 2:5, 3:9] == mixing.GREY).all()
    assert (result[1] == 255).sum() == 3 * (16 * 24 - 3 * 6)
    assert (batch == 255).all()


def test_erased_images_keep_their_labels():
    batches = pipelines.training_dataset(flat_images(), recipe(erasing=1.0), 1)
    pixels, labels = (np.concatenate(part) for part in zip(*batches.as_numpy_iterator(), strict=True))
    assert labels.dtype == np.int32
    grey = (pixels == mixing.GREY).mean(axis=(1, 2, 3))
    assert (grey > 0).all()
    assert np.array_equal(pixels.max(axis=(1, 2, 3))[labels == 4], np.full(16, 200))
