"""ImageSet, Splits, the held-out tenth, and the statistics of pixels."""

from dataclasses import replace

import numpy as np
import pytest
from fakes import tiny_images

from dfclib.datasets.images import ImageSet, Splits, channel_statistics, held_out_split
from dfclib.errors import UserError


@pytest.fixture
def images() -> ImageSet:
    return tiny_images(4, 0, "x", size=(6, 8))


def test_size_is_height_then_width(images):
    assert (images.size, images.channels, len(images)) == ((6, 8), 3, 20)
    assert images.class_counts().tolist() == [4] * 5
    assert images.take(images.labels != 4).class_counts().tolist() == [4, 4, 4, 4, 0]


@pytest.mark.parametrize("indices", [np.array([7, 2, 7]), np.arange(20) % 3 == 0], ids=["places", "mask"])
def test_take_keeps_images_labels_and_ids_together(images, indices):
    taken = images.take(indices)
    assert taken.ids.tolist() == images.ids[indices].tolist()
    assert taken.labels.tolist() == images.labels[indices].tolist()
    assert np.array_equal(taken.images, images.images[indices])
    assert replace(images, labels=None).take(indices).labels is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": np.zeros((20, 6, 8, 3), np.float32)}, "uint8"),
        ({"images": np.zeros((20, 6, 8), np.uint8)}, "uint8"),
        ({"images": np.zeros((20, 6, 8, 4), np.uint8)}, "uint8"),
        ({"ids": np.array(["a"])}, "20 images but 1 ids"),
        ({"labels": np.zeros(3, np.int64)}, "20 images but labels"),
        ({"labels": np.full(20, 5)}, "0..4, received 5..5"),
        ({"labels": np.full(20, -1)}, "0..4, received -1..-1"),
    ],
)
def test_refuses_what_does_not_fit_together(images, changes, message):
    with pytest.raises(ValueError, match=message):
        replace(images, **changes)


def changed_pixel(images):
    pixels = images.images.copy()
    pixels[3, 2, 1, 0] ^= 1
    return replace(images, images=pixels)


@pytest.mark.parametrize(
    "change",
    [
        changed_pixel,
        lambda s: replace(s, labels=np.roll(s.labels, 1)),
        lambda s: replace(s, labels=None),
        lambda s: replace(s, ids=np.char.add(s.ids, "b")),
        lambda s: replace(s, class_names=("0", "1", "2", "3", "5")),
        lambda s: replace(s, images=s.images.reshape(20, 8, 6, 3)),
        lambda s: s.take(np.arange(19)),
        lambda s: s.take(np.arange(20)[::-1]),
    ],
    ids=["pixel", "labels", "no labels", "ids", "names", "shape", "fewer", "order"],
)
def test_any_change_of_the_data_changes_the_fingerprint(images, change):
    validation = tiny_images(1, 1, "v", size=(6, 8))
    before, after = Splits("s", images, validation), Splits("s", change(images), validation)
    assert before.fingerprint != after.fingerprint
    assert Splits("s", validation, images).fingerprint != Splits("s", validation, change(images)).fingerprint


def test_equal_data_have_equal_fingerprints_and_test_images_do_not_matter(images):
    validation = tiny_images(1, 1, "v", size=(6, 8))
    fingerprint = Splits("a", images, validation).fingerprint
    copy = replace(images, images=np.asfortranarray(images.images), labels=images.labels.astype(np.int32))
    assert Splits("b", copy, validation, test=images).fingerprint == fingerprint
    assert len(fingerprint) == 16 and int(fingerprint, 16)


def test_held_out_is_a_tenth_of_each_class_whatever_the_order_of_rows_and_the_pixels():
    train = tiny_images(30, 0, "x", size=(2, 2))
    rest, held_out = held_out_split(train)
    assert held_out.class_counts().tolist() == [3] * 5
    assert rest.class_counts().tolist() == [27] * 5
    assert sorted([*rest.ids, *held_out.ids]) == sorted(train.ids)
    expected = set(held_out.ids)
    order = np.random.default_rng(0).permutation(len(train))
    assert set(held_out_split(train.take(order))[1].ids) == expected
    assert set(held_out_split(replace(train, images=255 - train.images))[1].ids) == expected
    other = replace(train, ids=np.char.add("another-", train.ids))
    assert {i.removeprefix("another-") for i in held_out_split(other)[1].ids} != expected


def test_held_out_takes_one_at_least_and_needs_two():
    train = tiny_images(2, 0, "x", size=(2, 2))
    assert held_out_split(train)[1].class_counts().tolist() == [1] * 5
    with pytest.raises(UserError, match="class '4' has 1 training image"):
        held_out_split(train.take(np.arange(9)))
    with pytest.raises(ValueError, match="labels"):
        held_out_split(replace(train, labels=None))


@pytest.mark.parametrize("channels", [1, 3])
def test_channel_statistics_are_numpy_s(channels):
    images = np.random.default_rng(0).integers(0, 256, (300, 9, 7, channels)).astype(np.uint8)  # over two blocks
    images[::2] //= 3  # images differ,
    images[..., 0] //= 2  # and channels
    means, deviations = channel_statistics(images)
    assert means == pytest.approx(images.mean(axis=(0, 1, 2)), rel=1e-12)
    assert deviations == pytest.approx(images.std(axis=(0, 1, 2)), rel=1e-12)
    one_by_one = images.reshape(300, 63, channels).astype(float)
    means, smaller = channel_statistics(images, by_image=True)
    assert means == pytest.approx(one_by_one.mean(axis=1).mean(axis=0))
    assert smaller == pytest.approx(one_by_one.std(axis=1, ddof=1).mean(axis=0))
    assert all(one < other for one, other in zip(smaller, deviations, strict=True))


def test_channel_statistics_by_hand():
    images = np.array([[[0, 0], [0, 4]], [[10, 10], [10, 10]]], np.uint8)[..., None]
    # means 1 and 10; deviations, by n - 1, sqrt((3 * 1 + 9) / 3) = 2 and 0
    assert channel_statistics(images, by_image=True) == ((5.5,), (1.0,))
    # all pixels: three 5.5, one 1.5 and four 4.5 away from the mean
    deviation = np.sqrt((3 * 5.5**2 + 1.5**2 + 4 * 4.5**2) / 8)
    assert channel_statistics(images) == (pytest.approx((5.5,)), pytest.approx((deviation,)))
