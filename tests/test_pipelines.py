"""What the network is shown: geometry against slow references, and draws that depend on nothing but their key."""

import gc
import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import scipy.ndimage
import tensorflow as tf
from fakes import tiny_images, tiny_recipe
from PIL import Image

from dfclib import pipelines
from dfclib.datasets.images import ImageSet
from dfclib.errors import UserError
from dfclib.recipes import find
from dfclib.recipes.recipe import Augmentation

EVERYTHING = Augmentation(rotation=25, shift=0.2, zoom=0.3, horizontal_flip=True)
PARTS = {
    "rotation": Augmentation(rotation=40),
    "shift": Augmentation(shift=0.3),
    "zoom": Augmentation(zoom=0.4),
    "flip": Augmentation(horizontal_flip=True),
    "everything": EVERYTHING,
}


def noise(count=12, size=(17, 22), channels=3, seed=0) -> ImageSet:
    """Images in which every misplaced pixel shows."""
    pixels = np.random.default_rng(seed).integers(0, 256, (count, *size, channels)).astype(np.uint8)
    ids = np.array([f"n{i}" for i in range(count)])
    return ImageSet(pixels, np.arange(count) % 5, ids, ("0", "1", "2", "3", "4"))


def recipe_for(images, **changes):
    return replace(tiny_recipe(), **{"image_size": images.size, **changes})


def shown(images, recipe, epoch=1):
    """Everything that an epoch shows, in its order: float32 pixels and labels."""
    batches = list(pipelines.training_dataset(images, recipe, epoch).as_numpy_iterator())
    return np.concatenate([b[0] for b in batches]), np.concatenate([b[1] for b in batches])


def evaluated(images, recipe):
    return np.concatenate(list(pipelines.evaluation_dataset(images, recipe).as_numpy_iterator()))


def unshuffled(images, recipe, epoch=1):
    """What a training of `recipe` sees of each image in `epoch`, in the order of `images`: float32."""
    pixels, _ = shown(images, recipe, epoch)
    order = np.random.default_rng([recipe.seed, epoch]).permutation(len(pixels))
    return pixels[np.argsort(order)]


def slowly(images, augmentation, seed, epoch):
    """The same movement as one scipy.ndimage.affine_transform a channel, in (row, column), from the same draws."""
    draw = pipelines.uniforms(images.ids, np.zeros(len(images), int), seed, epoch)
    height, width = images.size
    centre = np.array([(height - 1) / 2, (width - 1) / 2])
    result = np.empty(images.images.shape)
    for i, image in enumerate(images.images.astype(float)):
        d = {name: 2 * values[i] - 1 for name, values in draw.items()}
        angle = np.deg2rad(augmentation.rotation * d["rotation"])
        rotation = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        zoom = np.diag([1 + augmentation.zoom * d["zoom_y"], 1 + augmentation.zoom * d["zoom_x"]])
        shift = augmentation.shift * np.array([height * d["shift_y"], width * d["shift_x"]])
        matrix = rotation @ zoom
        offset = centre + rotation @ shift - matrix @ centre
        for channel in range(images.channels):
            moved = scipy.ndimage.affine_transform(image[..., channel], matrix, offset, order=1, mode="nearest")
            flip = augmentation.horizontal_flip and draw["flip"][i] < 0.5
            result[i, ..., channel] = moved[:, ::-1] if flip else moved
    return result


@pytest.mark.parametrize("part", PARTS)
def test_augmentation_equals_a_slow_reference(part):
    images = noise()
    recipe = recipe_for(images, augmentation=PARTS[part], seed=3)
    expected = slowly(images, PARTS[part], seed=3, epoch=7)
    result = unshuffled(images, recipe, epoch=7)
    np.testing.assert_allclose(result, expected, atol=0.05)
    assert np.abs(result - images.images).max() > 10  # and something did move


def test_a_flip_alone_takes_pixels_as_they_are_and_mirrors_one_image_in_two():
    images = noise(count=400, size=(5, 6))
    result = unshuffled(images, recipe_for(images, augmentation=PARTS["flip"]))
    same = (result == images.images).all(axis=(1, 2, 3))
    mirrored = (result == images.images[:, :, ::-1]).all(axis=(1, 2, 3))
    assert np.array_equal(same, ~mirrored)
    assert 150 < mirrored.sum() < 250


@pytest.mark.parametrize("target", [(17, 22), (11, 22), (11, 13)])
@pytest.mark.parametrize("every_mirror", [False, True])
def test_moves_by_whole_pixels_are_those_of_the_general_transform(target, every_mirror):
    images = noise(count=60)
    augmentation = Augmentation(horizontal_flip=not every_mirror, every_mirror=every_mirror)
    recipe = recipe_for(images, image_size=target, framing="crop", augmentation=augmentation, repeats=2, seed=3)
    indices, repeats = pipelines.epoch_indices(images, recipe)
    matrices = pipelines.training_transforms(images.ids[indices], repeats, images.size, recipe, 5)
    y, x = np.mgrid[: target[0], : target[1]]
    places = np.einsum("nij,jyx->niyx", matrices, np.stack([x, y, np.ones_like(x)])).round().astype(int)
    expected = images.images[indices[:, None, None], places[:, 1], places[:, 0]]
    assert np.array_equal(unshuffled(images, recipe, 5), expected)
    assert len({tuple(one) for one in places[:, :, 0, 0].tolist()}) > 1


def test_a_shift_by_whole_pixels_brings_in_the_mirror_image_of_the_border():
    images, most = noise(count=400, size=(9, 11)), 2
    result = unshuffled(images, recipe_for(images, augmentation=Augmentation(shift_pixels=most)))
    wide = np.pad(images.images, ((0, 0), (most, most), (most, most), (0, 0)), mode="reflect")
    offsets = [(y, x) for y in range(2 * most + 1) for x in range(2 * most + 1)]
    found = np.array([(wide[:, y : y + 9, x : x + 11] == result).all(axis=(1, 2, 3)) for y, x in offsets])
    assert (found.sum(axis=0) == 1).all()
    assert (found.sum(axis=1) > 400 / len(offsets) / 3).all()  # each of the 25 about as often


def test_movements_stay_in_their_ranges_and_fill_them():
    ids = np.array([f"i{i}" for i in range(2000)])
    recipe = replace(tiny_recipe(), image_size=(20, 20), augmentation=Augmentation(rotation=20, shift=0.1, zoom=0.3))
    matrices = pipelines.training_transforms(ids, np.zeros(2000, int), (20, 20), recipe, 1)
    scale = np.sqrt(np.linalg.det(matrices[:, :2, :2]))
    zoom_x = np.hypot(matrices[:, 0, 0], matrices[:, 1, 0])
    zoom_y = np.hypot(matrices[:, 0, 1], matrices[:, 1, 1])
    angles = np.degrees(np.arctan2(matrices[:, 1, 0], matrices[:, 0, 0]))
    for values, low, high in [(zoom_x, 0.7, 1.3), (zoom_y, 0.7, 1.3), (angles, -20, 20)]:
        margin = (high - low) / 100
        assert low - 1e-9 <= values.min() < low + margin
        assert high - margin < values.max() <= high + 1e-9
    assert abs(np.corrcoef(zoom_x, zoom_y)[0, 1]) < 0.08  # height and width are scaled independently
    assert scale.std() > 0.1
    centres = (matrices @ np.array([9.5, 9.5, 1]))[:, :2] - 9.5
    assert 1.9 < np.linalg.norm(centres, axis=1).max() <= 2 * np.sqrt(2) + 1e-9


def test_fill_constant_is_black():
    images = replace(noise(), images=np.full((12, 17, 22, 3), 200, np.uint8))
    constant = unshuffled(images, recipe_for(images, augmentation=replace(EVERYTHING, fill="constant")))
    nearest = unshuffled(images, recipe_for(images, augmentation=EVERYTHING))
    assert constant.min() == 0
    np.testing.assert_allclose(nearest, 200, atol=1e-3)


@pytest.mark.parametrize("augmentation", [None, Augmentation()], ids=["none", "of nothing"])
def test_untouched_images_come_exactly(augmentation):
    images = noise()
    recipe = recipe_for(images, augmentation=augmentation)
    assert np.array_equal(unshuffled(images, recipe), images.images)
    assert np.array_equal(evaluated(images, recipe), images.images)


# framing


def enlarged_slowly(image, target):
    """Pixel k of n is the one at floor((k + .5) * side / n), one after another."""
    (height, width), (source_height, source_width) = target, image.shape[:2]
    result = np.empty((*target, image.shape[2]), image.dtype)
    for row in range(height):
        for column in range(width):
            y = math.floor((row + 0.5) * source_height / height)
            x = math.floor((column + 0.5) * source_width / width)
            result[row, column] = image[y, x]
    return result


def pillow_s(images, target):
    """Pillow's bilinear resizing, image by image."""
    size = target[::-1]
    if images.channels == 1:
        resized = [Image.fromarray(image[..., 0]).resize(size, Image.Resampling.BILINEAR) for image in images.images]
        return np.stack([np.asarray(image)[..., None] for image in resized])
    return np.stack(
        [np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR)) for image in images.images]
    )


@pytest.mark.parametrize(
    ("size", "target"), [((100, 100), (128, 128)), ((17, 22), (34, 44)), ((17, 22), (17, 33)), ((5, 3), (16, 18))]
)
def test_nearest_enlargement_takes_the_pixel_below_the_middle_of_each(size, target):
    images = noise(count=2, size=size)
    recipe = recipe_for(images, image_size=target, framing_interpolation="nearest")
    expected = np.stack([enlarged_slowly(image, target) for image in images.images])
    result = pipelines.framed(images.images, recipe)
    assert result.dtype == np.uint8
    assert np.array_equal(result, expected)
    assert np.array_equal(evaluated(images, recipe), expected)
    assert np.array_equal(unshuffled(images, recipe), expected)
    # every native value is there, in its order: the places of an image of its own indices
    indices = np.arange(size[0] * size[1]).reshape(1, *size, 1)
    places = pipelines.framed(indices, recipe)[0, ..., 0]
    assert set(places.ravel()) == set(range(size[0] * size[1]))
    assert (np.diff(places, axis=1) >= 0).all()
    assert (np.diff(places, axis=0) >= 0).all()


def test_twice_the_side_is_every_pixel_four_times():
    images = noise()
    result = evaluated(images, recipe_for(images, image_size=(34, 44), framing_interpolation="nearest"))
    assert np.array_equal(result, images.images.repeat(2, axis=1).repeat(2, axis=2))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("target", [(24, 30), (17, 33), (34, 44), (128, 128)])
def test_bilinear_enlargement_is_pillow_s(channels, target):
    images = noise(channels=channels)
    recipe = recipe_for(images, image_size=target, framing_interpolation="bilinear")
    expected = pillow_s(images, target)
    assert np.array_equal(evaluated(images, recipe), expected)
    assert np.array_equal(unshuffled(images, recipe), expected)
    # which weighs the four pixels around a place, as everybody's does, in whole numbers
    tensorflow_s = tf.image.resize(images.images, target, method="bilinear", antialias=False).numpy()
    np.testing.assert_allclose(expected, tensorflow_s, atol=1.01)


def test_the_nearest_pixel_keeps_the_finest_detail_that_bilinear_enlargement_blurs():
    images = noise(count=3, size=(100, 100))

    def detail(interpolation):
        recipe = recipe_for(images, image_size=(128, 128), framing_interpolation=interpolation)
        pixels = evaluated(images, recipe)
        neighbours = pixels[:, :-2, 1:-1] + pixels[:, 2:, 1:-1] + pixels[:, 1:-1, :-2] + pixels[:, 1:-1, 2:]
        return np.abs(4 * pixels[:, 1:-1, 1:-1] - neighbours).mean()

    assert detail("nearest") > 1.5 * detail("bilinear")


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
@pytest.mark.parametrize("target", [(100, 100), (100, 320), (320, 100)])
def test_reduction_is_antialiased_whatever_enlarges(interpolation, target):
    """Stripes of one pixel become grey; a pixel in three would leave them black and white."""
    stripes = np.zeros((2, 300, 300, 3), np.uint8)
    stripes[0, ::2] = 255
    stripes[1, :, ::2] = 255
    images = replace(noise(count=2, size=(4, 4)), images=stripes)
    recipe = recipe_for(images, image_size=target, framing_interpolation=interpolation)
    result = evaluated(images, recipe)
    assert result.shape == (2, *target, 3)
    if target[0] < 300:
        assert np.abs(result[0] - 127.5).max() < 20
    if target[1] < 300:
        assert np.abs(result[1] - 127.5).max() < 20


@pytest.mark.parametrize("name", ["s2-cnn", "s1-v1", "s3-rotation", "attempt6"])
def test_evaluation_of_a_white_image_is_white_up_to_its_corners(name):
    """The augmentation's black fill and its interpolation are not evaluation's."""
    images = replace(noise(count=2, size=(4, 4)), images=np.full((2, 100, 100, 3), 255, np.uint8))
    for scale in ("full", "compact"):
        recipe = find(name).at_scale(scale)
        result = evaluated(images, recipe)
        assert result.shape[1:3] == recipe.image_size
        assert (result == 255).all()


def test_training_s_fill_begins_where_the_framed_image_ends():
    images = replace(noise(count=40, size=(4, 4)), images=np.full((40, 100, 100, 3), 255, np.uint8))
    recipe = replace(find("s2-cnn"), augmentation=Augmentation(horizontal_flip=True, fill="constant"))
    assert (unshuffled(images, recipe) == 255).all()
    rotated = unshuffled(images, find("s2-cnn"))
    assert rotated[:, 0, 0].min() == 0  # and a rotation's corners are black
    assert set(np.unique(rotated)) == {0, 255}  # read by the nearest pixel: no grey between


def test_augmentation_moves_the_framed_image_as_it_would_a_native_one():
    images = noise()
    recipe = recipe_for(images, image_size=(34, 44), framing_interpolation="nearest", augmentation=EVERYTHING, seed=3)
    large = replace(images, images=images.images.repeat(2, axis=1).repeat(2, axis=2))
    np.testing.assert_allclose(unshuffled(images, recipe, 7), slowly(large, EVERYTHING, 3, 7), atol=0.05)


def test_framing_is_done_once_for_all_epochs_and_evaluations(monkeypatch):
    calls, original = [], pipelines.framed
    monkeypatch.setattr(pipelines, "framed", lambda *args: (calls.append(args), original(*args))[1])
    images, other = noise(), noise(seed=1)
    recipe = recipe_for(images, image_size=(34, 44), framing_interpolation="nearest", augmentation=EVERYTHING)
    for epoch in (1, 2):
        shown(images, recipe, epoch)
        evaluated(images, recipe)
    pipelines.augmented(images, recipe)
    assert len(calls) == 1
    assert pipelines._pixels(images, recipe, training=True) is pipelines._pixels(images, replace(recipe, seed=1))
    assert len(calls) == 1  # another training of the same images frames them no other way
    first = evaluated(images, recipe)
    bilinear = evaluated(images, replace(recipe, framing_interpolation="bilinear"))
    assert len(calls) == 2
    assert not np.array_equal(first, bilinear)
    smaller = evaluated(images, replace(recipe, image_size=(20, 30)))
    assert smaller.shape == (12, 20, 30, 3)
    assert len(calls) == 3
    assert not np.array_equal(evaluated(other, recipe), first)
    assert len(calls) == 4
    assert np.array_equal(evaluated(images, recipe), first)
    assert len(calls) == 4


@pytest.mark.parametrize("read", [evaluated, shown])
@pytest.mark.parametrize("augmentation", [None, Augmentation(horizontal_flip=True, shift_pixels=2), EVERYTHING])
def test_framed_pixels_die_with_their_images(read, augmentation):
    images = noise()
    gc.collect()
    before = len(pipelines._tensors)
    read(images, recipe_for(images, image_size=(34, 44), augmentation=augmentation))
    assert len(pipelines._tensors) == before + 1
    del images
    gc.collect()
    assert len(pipelines._tensors) == before


def test_a_recipe_that_does_not_say_how_to_resize_is_refused_where_it_would_have_to():
    images = noise(count=2, size=(100, 100))
    earlier = replace(find("attempt4"), framing_interpolation=None)
    for call in (
        lambda: pipelines.training_dataset(images, earlier, 1),
        lambda: pipelines.evaluation_dataset(images, earlier),
        lambda: pipelines.augmented(images, earlier),
        lambda: pipelines.framed(images.images, earlier),
        lambda: pipelines.check_size(images.size, earlier),
    ):
        with pytest.raises(UserError) as raised:
            call()
        for words in ("attempt4", "128x128", "does not say how to resize images of 100x100", "framing_interpolation"):
            assert words in str(raised.value)
    native = replace(earlier, image_size=(100, 100), augmentation=None)
    pipelines.check_size(images.size, native)
    assert np.array_equal(evaluated(images, native), images.images)
    cropped = replace(native, image_size=(90, 80), framing="crop")
    assert np.array_equal(evaluated(images, cropped), images.images[:, 5:95, 10:90])


def test_the_share_of_an_image_that_a_crop_shows():
    compact = find("attempt1").compact()
    assert pipelines.share_seen((100, 100), compact) == 1.0
    assert pipelines.share_seen((300, 200), compact) == pytest.approx(1 / 6)
    assert pipelines.share_seen((100, 100), find("attempt1").quick()) == pytest.approx(0.24**2)
    assert pipelines.share_seen((300, 200), find("attempt1")) == 1.0  # all of it, made smaller


@pytest.mark.parametrize("target", [(8, 9), (17, 5), (16, 22), (17, 22)])
def test_the_centre_crop_takes_native_pixels_exactly(target):
    images = noise()
    top, left = (17 - target[0]) // 2, (22 - target[1]) // 2
    expected = images.images[:, top : top + target[0], left : left + target[1]]
    recipe = recipe_for(images, framing="crop", image_size=target)
    assert np.array_equal(evaluated(images, recipe), expected)
    assert np.array_equal(unshuffled(images, recipe), expected)
    # evaluation is never augmented
    assert np.array_equal(evaluated(images, replace(recipe, augmentation=EVERYTHING)), expected)


def test_the_training_crop_takes_native_pixels_from_every_place():
    images = noise(count=300, size=(7, 8))
    recipe = recipe_for(images, framing="crop", image_size=(5, 5), augmentation=Augmentation())
    places = Counter()
    windows = np.lib.stride_tricks.sliding_window_view(images.images, (5, 5), axis=(1, 2))
    for image, candidates in zip(unshuffled(images, recipe), np.moveaxis(windows, 3, 5), strict=True):
        found = np.argwhere((candidates == image).all(axis=(2, 3, 4)))
        assert len(found) == 1
        places[tuple(found[0])] += 1
    assert set(places) == {(y, x) for y in range(3) for x in range(4)}
    assert min(places.values()) > 8  # about 25 each


def test_a_crop_larger_than_the_images_is_refused():
    images = noise()
    recipe = recipe_for(images, framing="crop", image_size=(18, 10))
    for call in (
        lambda: pipelines.training_dataset(images, recipe, 1),
        lambda: pipelines.evaluation_dataset(images, recipe),
        lambda: pipelines.augmented(images, recipe),
    ):
        with pytest.raises(UserError, match="18x10 pixels out of each image, but the images have 17x22"):
            call()


def test_eager_equals_inside_tf_data():
    images = noise()
    recipe = recipe_for(images, augmentation=EVERYTHING, image_size=(13, 14), framing="crop")
    matrices = pipelines.training_transforms(images.ids, np.zeros(12, int), images.size, recipe, 4)
    eager = tf.raw_ops.ImageProjectiveTransformV3(
        images=tf.cast(images.images, tf.float32),
        transforms=matrices.reshape(-1, 9)[:, :8].astype(np.float32),
        output_shape=(13, 14),
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="NEAREST",
    ).numpy()
    np.testing.assert_allclose(unshuffled(images, recipe, 4), eager, atol=1e-3)


def test_the_preview_shows_what_training_sees():
    images = noise()
    recipe = recipe_for(images, augmentation=EVERYTHING)
    preview = pipelines.augmented(images, recipe, epoch=5)
    assert preview.dtype == np.uint8
    assert np.array_equal(preview, unshuffled(images, recipe, 5).round().astype(np.uint8))


def test_dtypes_shapes_and_range():
    images = noise(count=10)
    dataset = pipelines.training_dataset(images, recipe_for(images, augmentation=EVERYTHING, batch_size=4), 1)
    pixels, labels = dataset.element_spec
    assert (pixels.dtype, labels.dtype) == (tf.float32, tf.int32)
    assert pixels.shape[1:] == (17, 22, 3)
    assert [len(x) for x, _ in dataset] == [4, 4, 2]
    for x, _ in dataset:
        assert 0 <= x.numpy().min() <= x.numpy().max() <= 255
        assert x.numpy().max() > 100
    assert pipelines.evaluation_dataset(images, recipe_for(images)).element_spec.dtype == tf.float32


def test_grey_images():
    images = noise(channels=1)
    recipe = recipe_for(images, augmentation=EVERYTHING)
    np.testing.assert_allclose(unshuffled(images, recipe), slowly(images, EVERYTHING, 0, 1), atol=0.05)


# perspective


def moved_corners(ids, repeats, size, distortion, seed, epoch):
    """Where each image's corners come to lie, (x, y) of nw, ne, sw, se: int (m, 4, 2), worked out one by one."""
    draw = pipelines.uniforms(ids, repeats, seed, epoch)
    height, width = size
    most_x, most_y = int(distortion * (width // 2)), int(distortion * (height // 2))
    corners = []
    for i in range(len(ids)):
        inwards = {
            corner: (
                int(draw[f"corner_{corner}_x"][i] * (most_x + 1)),
                int(draw[f"corner_{corner}_y"][i] * (most_y + 1)),
            )
            for corner in ("nw", "ne", "sw", "se")
        }
        (nwx, nwy), (nex, ney), (swx, swy), (sex, sey) = inwards.values()
        right, bottom = width - 1, height - 1
        corners.append([(nwx, nwy), (right - nex, ney), (swx, bottom - swy), (right - sex, bottom - sey)])
    return np.array(corners)


def at(matrices, points):
    """(x, y) float (m, k, 2) that homographies (m, 3, 3) take points (m, k, 2) to."""
    homogeneous = np.concatenate([points, np.ones((*points.shape[:2], 1))], axis=2) @ np.swapaxes(matrices, 1, 2)
    return homogeneous[..., :2] / homogeneous[..., 2:]


ALWAYS = Augmentation(perspective=0.4, perspective_probability=1.0)


def test_perspective_takes_each_moved_corner_to_the_image_s_corner():
    ids, size = np.array([f"i{i}" for i in range(500)]), (35, 44)
    repeats = np.arange(500) % 2
    recipe = replace(tiny_recipe(seed=3), image_size=size, augmentation=ALWAYS)
    matrices = pipelines.training_transforms(ids, repeats, size, recipe, 4)
    moved = moved_corners(ids, repeats, size, 0.4, seed=3, epoch=4)
    corners = np.array([[0, 0], [43, 0], [0, 34], [43, 34]], float)
    np.testing.assert_allclose(at(matrices, moved), np.tile(corners, (500, 1, 1)), atol=1e-8)
    inwards = np.abs(moved - corners)
    assert set(inwards[..., 0].ravel()) == set(range(9))  # .4 of half of 44, by whole pixels: 0 to 8
    assert set(inwards[..., 1].ravel()) == set(range(7))  # .4 of 17, which is half of 35: 0 to 6
    counts = np.bincount(inwards[..., 0].astype(int).ravel())
    assert counts.min() > 150  # 2000 draws of nine places, evenly: about 222 each


def test_perspective_happens_to_the_share_of_images_that_it_names():
    recipe = replace(tiny_recipe(), image_size=(40, 40), augmentation=replace(ALWAYS, perspective_probability=0.3))
    matrices = pipelines.training_transforms(IDS, NONE, (40, 40), recipe, 1)
    touched = (matrices != np.eye(3)).any(axis=(1, 2))
    assert 0.27 < touched.mean() < 0.33  # 3000 images: more than three standard errors
    always = pipelines.training_transforms(IDS, NONE, (40, 40), replace(recipe, augmentation=ALWAYS), 1)
    assert np.array_equal(matrices[touched], always[touched])  # how far does not depend on how often
    never = replace(recipe, augmentation=replace(ALWAYS, perspective_probability=0.0))
    assert (pipelines.training_transforms(IDS, NONE, (40, 40), never, 1) == np.eye(3)).all()


def test_perspective_depends_on_neither_order_nor_company():
    recipe = replace(tiny_recipe(), image_size=(40, 40), augmentation=replace(ALWAYS, perspective_probability=0.5))
    whole = pipelines.training_transforms(IDS, NONE, (40, 40), recipe, 2)
    order = np.random.default_rng(0).permutation(len(IDS))[:300]
    part = pipelines.training_transforms(IDS[order], NONE[order], (40, 40), recipe, 2)
    assert np.array_equal(part, whole[order])
    for changes in ({"seed": 1}, {"repeats": 1}, {"epoch": 3}):
        other = pipelines.training_transforms(
            IDS,
            NONE + changes.get("repeats", 0),
            (40, 40),
            replace(recipe, seed=changes.get("seed", 0)),
            changes.get("epoch", 2),
        )
        assert (other != whole).any(axis=(1, 2)).mean() > 0.6


@pytest.mark.parametrize(("framing", "target"), [("crop", (25, 30)), ("resize", (31, 44))])
def test_perspective_joins_the_other_movements_in_one_transform(framing, target):
    """A place in the network's input, cropped, seen in perspective, then mirrored and rotated: torchvision's order."""
    ids, size = np.array([f"i{i}" for i in range(40)]), (31, 44)
    recipe = replace(tiny_recipe(), image_size=target, framing=framing)

    native = replace(recipe, image_size=size, framing="resize")  # no crop: a movement alone

    def matrices(recipe=recipe, **parts):
        changed = replace(recipe, augmentation=Augmentation(**parts))
        return pipelines.training_transforms(ids, np.zeros(40, int), size, changed, 1)

    perspective = {"perspective": 0.4, "perspective_probability": 0.7}
    rest = {"rotation": 15, "horizontal_flip": True}
    expected = matrices(native, **rest) @ matrices(native, **perspective) @ matrices()
    result = matrices(**rest, **perspective)
    np.testing.assert_allclose(result / result[:, 2:, 2:], expected / expected[:, 2:, 2:], atol=1e-9)
    other_order = matrices(native, **perspective) @ matrices(native, **rest) @ matrices()
    assert np.abs(result / result[:, 2:, 2:] - other_order / other_order[:, 2:, 2:]).max() > 1


def test_perspective_s_pixels_come_by_one_resampling():
    """Each pixel read once, by its homography, from the image itself: bilinear weights worked out by hand."""
    images = noise(count=6, size=(21, 26))
    augmentation = replace(ALWAYS, rotation=15, horizontal_flip=True, fill="constant")
    recipe = recipe_for(images, augmentation=augmentation, seed=2)
    matrices = pipelines.training_transforms(images.ids, np.zeros(6, int), images.size, recipe, 1)
    rows, columns = np.mgrid[:21, :26]
    places = at(matrices, np.tile(np.stack([columns.ravel(), rows.ravel()], axis=1), (6, 1, 1)))
    expected = np.empty(images.images.shape)
    for i, image in enumerate(images.images.astype(float)):
        x, y = places[i].T
        for channel in range(3):
            expected[i, ..., channel] = scipy.ndimage.map_coordinates(
                np.pad(image[..., channel], 30), [y + 30, x + 30], order=1
            ).reshape(21, 26)
    result = unshuffled(images, recipe)
    np.testing.assert_allclose(result, expected, atol=0.1)
    assert (result == 0).mean() > 0.02  # black from outside


def test_one_resampling_an_epoch_with_perspective_and_all(monkeypatch):
    calls, original = [], tf.raw_ops.ImageProjectiveTransformV3
    monkeypatch.setattr(
        tf.raw_ops, "ImageProjectiveTransformV3", lambda **options: (calls.append(1), original(**options))[1]
    )
    images = noise()
    everything = replace(EVERYTHING, perspective=0.4, perspective_probability=1.0)
    recipe = recipe_for(images, image_size=(34, 44), augmentation=everything)
    assert len(unshuffled(images, recipe)) == 12
    assert len(calls) == 1  # traced once: one call for whatever is asked for


def test_s1_s_distorted_images_are_read_bilinearly_and_the_others_by_the_nearest_pixel():
    pixels = noise(count=200, size=(20, 24))
    images = replace(pixels, images=pixels.images // 50 * 50)  # 0, 50, ... 250: what lies between was interpolated
    recipe = replace(find("s1-v1"), image_size=images.size)
    result = unshuffled(images, recipe, epoch=3)
    distorted = pipelines.uniforms(images.ids, np.zeros(200, int), recipe.seed, 3)["perspective"] < 0.3
    assert 30 < distorted.sum() < 90
    values = set(np.unique(images.images).tolist())
    assert values == {0, 50, 100, 150, 200, 250}
    for image, moved, is_distorted in zip(images.images, result, distorted, strict=True):
        between = ~np.isin(moved, [0, 50, 100, 150, 200, 250])
        if is_distorted:
            assert between.mean() > 0.2
        else:
            assert not between.any()
            assert set(np.unique(moved).tolist()) <= set(np.unique(image).tolist()) | {0}
    one_way = {
        way: unshuffled(
            images,
            replace(
                recipe, augmentation=replace(recipe.augmentation, interpolation=way, perspective_interpolation=None)
            ),
            epoch=3,
        )
        for way in ("nearest", "bilinear")
    }
    assert np.array_equal(result[~distorted], one_way["nearest"][~distorted])
    assert np.array_equal(result[distorted], one_way["bilinear"][distorted])


def test_the_preview_reads_distorted_images_as_training_does():
    images = noise(count=40)
    recipe = replace(find("s1-v1"), image_size=images.size)
    preview = pipelines.augmented(images, recipe, epoch=5)
    assert np.array_equal(preview, unshuffled(images, recipe, 5).round().astype(np.uint8))


# random numbers


IDS = np.array([f"image-{i}" for i in range(3000)])
NONE = np.zeros(len(IDS), int)


def test_draws_do_not_depend_on_order_or_company():
    whole = pipelines.uniforms(IDS, NONE, seed=1, epoch=2)
    order = np.random.default_rng(0).permutation(len(IDS))[:500]
    part = pipelines.uniforms(IDS[order], NONE[order], seed=1, epoch=2)
    for name in pipelines.DRAWS:
        assert np.array_equal(part[name], whole[name][order])


def test_draws_differ_by_seed_epoch_id_repeat_and_parameter():
    settings = [(0, 0, 0), (0, 1, 0), (1, 0, 0), (0, 0, 1), (1, 1, 0), (0, 2, 0), (2, 0, 0), (0, 1, 1)]
    columns = []
    for seed, epoch, repeat in settings:
        columns += pipelines.uniforms(IDS, NONE + repeat, seed, epoch).values()
    columns = np.array(columns)
    assert len(np.unique(columns)) == columns.size
    correlations = np.corrcoef(columns) - np.eye(len(columns))
    assert np.abs(correlations).max() < 0.09  # five standard errors of 3000 pairs


def test_draws_are_even():
    for values in pipelines.uniforms(IDS, NONE, 0, 1).values():
        assert 0 <= values.min() < values.max() < 1
        counts = np.histogram(values, bins=10, range=(0, 1))[0]
        assert np.sum((counts - 300) ** 2 / 300) < 33  # chi-squared, 9 degrees of freedom: one in 7,000


def test_the_draws_of_recorded_runs_stay_as_they_were():
    # what a checkpoint written yesterday goes on with: these numbers may not change
    draw = pipelines.uniforms(np.array(["a", "b"]), np.array([0, 1]), seed=3, epoch=5)
    again = pipelines.uniforms(np.array(["b"]), np.array([1]), seed=3, epoch=5)
    assert draw["rotation"][1] == again["rotation"][0]
    assert draw["rotation"][0] == pytest.approx(0.4981716901061318, abs=1e-15)


# From commit 93e927a, when there were eight draws and no perspective: rows 1 and 2 of attempt 4's matrices in epoch 7
RECORDED_IDS, RECORDED_REPEATS = np.array(["train-0001", "a", "b"]), np.array([0, 1, 2])
RECORDED = {
    "full": [
        [[-7.44855787e-01, 1.40629472e-01, 9.01311009e01], [1.33759475e-01, 7.83112198e-01, -4.57604559e00]],
        [[-7.62938788e-01, -8.46719290e-02, 1.13311595e02], [-8.26783545e-02, 7.81335082e-01, 1.47262441e00]],
        [[-7.57799455e-01, -1.21758666e-01, 1.14316578e02], [-1.18541440e-01, 7.78366204e-01, 1.09149564e01]],
    ],
    "compact": [  # attempt 6's, which were crops of 48x48
        [[-0.77665205, 0.32407951, 61.66431816], [0.23696557, 1.06216705, 35.99897598]],
        [[-0.87925039, -0.18534624, 106.96052618], [-0.15991657, 1.01906737, 2.4597081]],
        [[-0.86105551, -0.26867275, 72.86254115], [-0.22778589, 1.01561229, 53.61061109]],
    ],
}


def test_the_transforms_of_recorded_crops_stay_as_they_were():
    recipe = replace(find("attempt6").compact(), image_size=(48, 48))
    matrices = pipelines.training_transforms(RECORDED_IDS, RECORDED_REPEATS, (100, 100), recipe, 7)
    np.testing.assert_allclose(matrices[:, :2], RECORDED["compact"], rtol=1e-7, atol=1e-8)
    assert np.array_equal(matrices[:, 2], np.tile([0.0, 0, 1], (3, 1)))


def test_framing_first_leaves_recorded_movements_as_they_were():
    """These were made when framing was part of the transform: from 128x128 pixels into the native 100x100."""
    matrices = pipelines.training_transforms(RECORDED_IDS, RECORDED_REPEATS, (128, 128), find("attempt4"), 7)
    into_native = np.array([[100 / 128, 0, 0.5 * 100 / 128 - 0.5], [0, 100 / 128, 0.5 * 100 / 128 - 0.5], [0, 0, 1]])
    np.testing.assert_allclose((into_native @ matrices)[:, :2], RECORDED["full"], rtol=1e-6, atol=1e-6)
    assert np.array_equal(matrices[:, 2], np.tile([0.0, 0, 1], (3, 1)))


def pixel_sets(images, recipe, epoch=1):
    """What an epoch shows, whatever its order."""
    return Counter(image.tobytes() for image in shown(images, recipe, epoch)[0])


def test_the_batch_size_changes_nothing_of_what_is_seen():
    images = noise()
    recipe = recipe_for(images, augmentation=EVERYTHING, repeats=2)
    assert pixel_sets(images, recipe) == pixel_sets(images, replace(recipe, batch_size=5))


def test_an_image_is_seen_alike_among_others_and_alone():
    images = noise()
    recipe = recipe_for(images, augmentation=EVERYTHING)
    order = np.array([7, 2, 9])
    assert np.array_equal(unshuffled(images.take(order), recipe), unshuffled(images, recipe)[order])


def test_another_epoch_or_seed_shows_other_views_and_the_same_one_the_same():
    images = noise()
    recipe = recipe_for(images, augmentation=EVERYTHING, repeats=2)
    first = pixel_sets(images, recipe)
    assert len(first) == 24  # each repeat is a view of its own
    assert pixel_sets(images, recipe) == first
    assert not first & pixel_sets(images, recipe, epoch=2)
    assert not first & pixel_sets(images, replace(recipe, seed=1))


# every image and its mirror


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
def test_every_mirror_shows_each_image_once_as_it_is_and_once_mirrored(interpolation):
    images = noise(count=30, size=(7, 8))
    augmentation = Augmentation(every_mirror=True, fill="constant", interpolation=interpolation)
    recipe = recipe_for(images, repeats=2, augmentation=augmentation)
    for epoch in (1, 2):
        result = unshuffled(images, recipe, epoch)
        assert np.array_equal(result[0::2], images.images)
        assert np.array_equal(result[1::2], images.images[:, :, ::-1])
    both = replace(recipe, augmentation=replace(augmentation, horizontal_flip=True))
    assert np.array_equal(unshuffled(images, both), result)  # in place of a draw


def test_every_mirror_goes_by_showings_and_leaves_other_movements_drawn():
    images = noise(count=10, size=(20, 20))
    recipe = recipe_for(images, repeats=3, augmentation=Augmentation(every_mirror=True, rotation=5))
    indices, repeats = pipelines.epoch_indices(images, recipe)
    matrices = pipelines.training_transforms(images.ids[indices], repeats, images.size, recipe, 1)
    assert np.array_equal(np.linalg.det(matrices) < 0, repeats == 1)
    angles = np.degrees(np.arcsin(matrices[:, 1, 0]))
    assert len(np.unique(np.abs(angles))) == 30  # each showing has an angle of its own
    assert np.abs(angles).max() <= 5


# what an epoch shows


def numbered(count=40) -> ImageSet:
    """Images that say which one they are: every pixel of image i is i."""
    pixels = np.tile(np.arange(count, dtype=np.uint8)[:, None, None, None], (1, 4, 4, 1))
    ids = np.array([f"n{i}" for i in range(count)])
    return ImageSet(pixels, np.arange(count) % 5, ids, ("0", "1", "2", "3", "4"))


@pytest.mark.parametrize(
    ("repeats", "class_repeats", "times"),
    [(1, {}, [1] * 5), (2, {}, [2] * 5), (2, {"4": 3}, [2, 2, 2, 2, 3]), (1, {"0": 4, "2": 2}, [4, 1, 2, 1, 1])],
)
def test_an_epoch_shows_every_image_exactly_as_often_as_its_class_says(repeats, class_repeats, times):
    images = numbered()
    recipe = recipe_for(images, repeats=repeats, class_repeats=class_repeats, batch_size=7)
    pixels, labels = shown(images, recipe)
    numbers = pixels[:, 0, 0, 0].astype(int)
    assert Counter(numbers) == {i: times[i % 5] for i in range(40)}
    assert np.array_equal(labels, numbers % 5)  # labels follow their images through the shuffle
    assert pipelines.batches_per_epoch(images, recipe) == -(-len(numbers) // 7)


def test_classes_are_repeated_by_their_name_and_not_by_their_number():
    images = replace(numbered(), class_names=("4", "a", "b", "c", "d"))
    indices, repeats = pipelines.epoch_indices(images, recipe_for(images, repeats=2, class_repeats={"4": 3}))
    assert Counter(images.labels[indices]) == {0: 24, 1: 16, 2: 16, 3: 16, 4: 16}
    assert Counter(zip(indices.tolist(), repeats.tolist(), strict=True)) == {
        (i, r): 1 for i in range(40) for r in range(3 if i % 5 == 0 else 2)
    }


def test_every_epoch_is_shuffled_as_a_whole_and_anew():
    images = numbered()
    recipe = recipe_for(images, repeats=2)
    orders = [tuple(shown(images, recipe, epoch)[0][:, 0, 0, 0]) for epoch in (1, 2, 1)]
    assert orders[0] == orders[2] != orders[1]
    assert Counter(orders[0]) == Counter(orders[1])
    # repeats of an image lie apart: one shuffle over the epoch, and none of the classes in blocks
    assert np.median(np.diff([np.flatnonzero(np.array(orders[0]) == i) for i in range(40)])) > 10
    assert orders[0] != tuple(shown(images, replace(recipe, seed=1))[0][:, 0, 0, 0])


def test_pixels_are_not_copied_per_repeat():
    images = tiny_images(20, 0, "x")
    before = images.images.copy()
    recipe = recipe_for(images, repeats=5, augmentation=EVERYTHING)
    pixels, _ = shown(images, recipe)
    assert len(pixels) == 500
    (tensor,) = pipelines._tensors[images].values()
    assert tensor.shape == images.images.shape
    assert np.array_equal(images.images, before)


def test_several_epochs_are_the_single_ones_one_after_the_other():
    images = tiny_images(5, 0, "x")  # 25 images, 10 a batch: the last batch of an epoch is short
    recipe = recipe_for(images, augmentation=EVERYTHING, batch_size=10)
    several = list(pipelines.training_dataset(images, recipe, 2, 4).as_numpy_iterator())
    single = [b for epoch in (2, 3, 4) for b in pipelines.training_dataset(images, recipe, epoch).as_numpy_iterator()]
    assert [len(labels) for _, labels in several] == [10, 10, 5] * 3
    for (pixels, labels), (expected, expected_labels) in zip(several, single, strict=True):
        assert pixels.tobytes() == expected.tobytes() and labels.tolist() == expected_labels.tolist()


def test_evaluation_comes_with_labels_where_they_are_asked_for():
    images = tiny_images(5, 0, "x")
    batches = list(pipelines.evaluation_dataset(images, recipe_for(images), labelled=True).as_numpy_iterator())
    assert np.concatenate([labels for _, labels in batches]).tolist() == images.labels.tolist()
    assert np.array_equal(np.concatenate([pixels for pixels, _ in batches]), evaluated(images, recipe_for(images)))
