"""ImageSet and Recipe to tf.data.Dataset: one function for training, another for evaluation.

Images are framed once, to uint8 pixels of the size that the network sees; evaluation stops there. What an epoch shows
is planned in numpy from (seed, epoch, image id) alone, so that an interrupted training sees after its resumption what
it would have seen; every random movement of an image is composed into one transform, which resamples it once. Moves by
whole pixels resample nothing: they are cut out of the framed images, which is many times as fast.
"""

import hashlib
import math
import weakref
from typing import TYPE_CHECKING

import numpy as np

from dfclib import mixing
from dfclib.datasets.images import ImageSet
from dfclib.errors import UserError
from dfclib.recipes.recipe import Augmentation, Recipe

if TYPE_CHECKING:
    import tensorflow as tf

# One stream of random numbers per parameter: adding one at the end leaves the others as they were.
CORNERS = tuple(f"corner_{corner}_{axis}" for corner in ("nw", "ne", "sw", "se") for axis in "xy")
DRAWS = ("rotation", "shift_x", "shift_y", "zoom_x", "zoom_y", "flip", "crop_x", "crop_y", "perspective", *CORNERS)
DRAWS += ("erasing", "erased_height", "erased_width", "erased_y", "erased_x")


def training_dataset(
    images: ImageSet, recipe: Recipe, first_epoch: int, last_epoch: int | None = None
) -> "tf.data.Dataset":
    """Batches of shuffled, augmented epochs, one after the other: float32 pixels in 0..255 and int32 labels (b,), or,
    where the recipe mixes them, float32 shares of the classes (b, k).

    Every image comes as often per epoch as the recipe repeats its class; a batch never holds images of two epochs.
    first_epoch, last_epoch: counting from 1, both included; None: first_epoch alone
    Raises UserError as check_size does.
    """
    import tensorflow as tf

    check_size(images.size, recipe)
    size, shown = tuple(_pixels(images, recipe, training=True).shape[1:3]), epoch_indices(images, recipe)
    ids, labels = images.ids, images.labels.astype(np.int32)

    # TensorFlow keeps the function as long as its global graph: it must not hold the pixels
    def plan(epoch: np.ndarray) -> list[np.ndarray]:
        # one whole epoch is shuffled before the next begins: every image is seen as often as the recipe says
        order = np.random.default_rng([recipe.seed, int(epoch)]).permutation(len(shown[0]))
        return list(_training_rows(ids, labels, *(part[order] for part in shown), size, recipe, int(epoch)).values())

    example = _training_rows(ids, labels, *(part[:1] for part in shown), size, recipe, first_epoch)

    def rows(epoch: "tf.Tensor") -> dict[str, "tf.Tensor"]:
        # stateless: anything else would switch off prefetching and parallel maps under deterministic operations
        arrays = tf.numpy_function(plan, [epoch], [array.dtype for array in example.values()], stateful=False)
        for array, one in zip(arrays, example.values(), strict=True):
            array.set_shape((None, *one.shape[1:]))
        return dict(zip(example, arrays, strict=True))

    # the next epoch is planned while this one is trained
    plans = tf.data.Dataset.range(first_epoch, (last_epoch or first_epoch) + 1).map(rows).prefetch(1)
    return _read(images, plans.flat_map(lambda rows: _batches(rows, recipe)), recipe, training=True)


def evaluation_dataset(
    images: ImageSet, recipe: Recipe, labelled: bool = False, mirrored: bool = False
) -> "tf.data.Dataset":
    """Batches of every image once, in order, framed but never augmented: float32 pixels and, if `labelled`, labels as
    in training. mirrored: left and right change places."""
    check_size(images.size, recipe)
    rows = {"index": np.arange(len(images))}
    if labelled:
        rows["label"] = images.labels.astype(np.int32)
    batches = _read(images, _batches(rows, recipe), recipe, training=False)
    return batches.map(lambda pixels: pixels[:, :, ::-1]) if mirrored else batches


def augmented(images: ImageSet, recipe: Recipe, epoch: int = 0) -> np.ndarray:
    """`images` as the training of `recipe` would see them in `epoch`, but for mixing with others: uint8 (n, height,
    width, channels)."""
    check_size(images.size, recipe)
    indices, repeats = np.arange(len(images)), np.zeros(len(images), int)
    size = tuple(_pixels(images, recipe, training=True).shape[1:3])
    rows = _moved_rows(images.ids, indices, repeats, size, recipe, epoch)
    batches = _read(images, _batches(rows, recipe), recipe, training=True)
    return np.concatenate([batch.numpy() for batch in batches]).round().clip(0, 255).astype(np.uint8)


def framed(images: np.ndarray, recipe: Recipe) -> np.ndarray:
    """`images` as `recipe` sees them unaugmented: uint8 (n, height, width, channels) of the recipe's image size.

    A crop is the centre. `nearest` takes pixel k of n from floor((k + .5) * side / n). Raises UserError as check_size.
    """
    from PIL import Image

    size, (height, width) = images.shape[1:3], recipe.image_size
    check_size(size, recipe)
    if size == recipe.image_size:
        return images
    if recipe.framing == "crop":
        top, left = (size[0] - height) // 2, (size[1] - width) // 2
        return images[:, top : top + height, left : left + width]
    if recipe.framing_interpolation == "nearest" and size[0] <= height and size[1] <= width:
        rows, columns = (
            np.floor((np.arange(side) + 0.5) * source / side).astype(int)
            for side, source in zip(recipe.image_size, size, strict=True)
        )
        return images[:, rows[:, None], columns]
    result = np.empty((len(images), height, width, images.shape[3]), np.uint8)
    for i, image in enumerate(images):  # Pillow's bilinear filter widens as it reduces: that is the antialiasing
        grey = image.shape[2] == 1
        resized = Image.fromarray(image[..., 0] if grey else image).resize((width, height), Image.Resampling.BILINEAR)
        result[i] = np.asarray(resized).reshape(height, width, -1)
    return result


def check_size(size: tuple[int, int], recipe: Recipe) -> None:
    """Raise UserError where the recipe cannot frame images of this `size` (height, width in pixels)."""
    wanted = f"{recipe.image_size[0]}x{recipe.image_size[1]} pixels"
    if recipe.framing == "crop" and (size[0] < recipe.image_size[0] or size[1] < recipe.image_size[1]):
        raise UserError(
            f"recipe {recipe.name} at scale {recipe.scale} cuts {wanted} out of each image, but the images have "
            f"{size[0]}x{size[1]}. Take the full scale, or a recipe.json with a smaller image_size or framing 'resize'."
        )
    if recipe.framing == "resize" and recipe.framing_interpolation is None and size != recipe.image_size:
        raise UserError(
            f"recipe {recipe.name} takes {wanted} and does not say how to resize images of {size[0]}x{size[1]}: set "
            "framing_interpolation to 'nearest' or 'bilinear' in a copy of recipe.json"
        )


def share_seen(size: tuple[int, int], recipe: Recipe) -> float:
    """The share of an image of `size` (height, width in pixels) that a crop of the recipe's size shows; else 1."""
    return math.prod(recipe.image_size) / math.prod(size) if recipe.framing == "crop" else 1.0


def epoch_indices(images: ImageSet, recipe: Recipe) -> tuple[np.ndarray, np.ndarray]:
    """(index, repeat) of everything that one epoch shows, unshuffled: int64 (m,) each."""
    times = np.array([recipe.class_repeats.get(name, recipe.repeats) for name in images.class_names])[images.labels]
    indices = np.repeat(np.arange(len(images)), times)
    return indices, np.arange(len(indices)) - np.repeat(np.cumsum(times) - times, times)


def uniforms(ids: np.ndarray, repeats: np.ndarray, seed: int, epoch: int) -> dict[str, np.ndarray]:
    """Random numbers float64 (m,) in [0, 1) for each of DRAWS, a function of (seed, epoch, id, repeat) alone.

    Counter-based: the bits of (id, seed, epoch, repeat, draw) are mixed by the finaliser of SplitMix64
    (Steele, Lea and Flood 2014, doi:10.1145/2660193.2660195), so that neither order nor company of images matters.
    """
    names, inverse = np.unique(ids, return_inverse=True)
    digests = b"".join(hashlib.blake2b(str(name).encode(), digest_size=8).digest() for name in names)
    keys = np.frombuffer(digests, "<u8").astype(np.uint64)
    state = _mix(keys[inverse] ^ _mix(np.uint64(seed)))
    state = _mix(state + np.uint64(epoch))
    state = _mix(state + repeats.astype(np.uint64))
    return {name: (_mix(state + np.uint64(k)) >> np.uint64(11)) * 2.0**-53 for k, name in enumerate(DRAWS)}


def training_transforms(
    ids: np.ndarray, repeats: np.ndarray, size: tuple[int, int], recipe: Recipe, epoch: int
) -> np.ndarray:
    """Matrices float64 (m, 3, 3) that take (x, y, 1) of a training pixel to the place in the image where it is read.

    ids: str (m,); repeats: int (m,), which showing of the image this is; size: height and width as framed for training
    """
    augmentation = recipe.augmentation
    draw = uniforms(ids, repeats, recipe.seed, epoch)
    signed = {name: 2 * value - 1 for name, value in draw.items()}
    height, width = size

    matrices = _affine()
    if recipe.framing == "crop":  # anywhere, but by whole pixels: a crop alone must not resample
        room_y, room_x = height - recipe.image_size[0], width - recipe.image_size[1]
        matrices = _affine(x=np.floor(draw["crop_x"] * (room_x + 1)), y=np.floor(draw["crop_y"] * (room_y + 1)))

    # From here on in the image's own pixels. Output is seen in perspective, then, about the image's centre and in the
    # order of Keras's ImageDataGenerator, mirrored, zoomed, shifted and rotated on its way to the place where it is
    # read; so torchvision's order, rotation first and perspective last, is kept as well. Composing keeps what a
    # rotation moved out of the image and a distortion moves in again, where torchvision, image by image, has cut it.
    if augmentation.perspective:
        matrices = _perspectives(draw, size, augmentation) @ matrices
    centre = _affine(x=(width - 1) / 2, y=(height - 1) / 2)
    drawn = (draw["flip"] < 0.5) & augmentation.horizontal_flip
    mirrored = np.where(repeats % 2 == 1 if augmentation.every_mirror else drawn, -1, 1)
    zoom_x, zoom_y = (1 + augmentation.zoom * signed[name] for name in ("zoom_x", "zoom_y"))
    zoom = _affine(xx=zoom_x * mirrored, yy=zoom_y)
    shift = _affine(x=augmentation.shift * width * signed["shift_x"], y=augmentation.shift * height * signed["shift_y"])
    angle = np.radians(augmentation.rotation) * signed["rotation"]
    rotation = _affine(xx=np.cos(angle), xy=-np.sin(angle), yx=np.sin(angle), yy=np.cos(angle))
    return centre @ rotation @ shift @ zoom @ np.linalg.inv(centre) @ matrices


def _perspectives(draw: dict[str, np.ndarray], size: tuple[int, int], augmentation: Augmentation) -> np.ndarray:
    """Homographies float64 (m, 3, 3) from a pixel of the distorted image to its place in the undistorted one.

    As torchvision's RandomPerspective draws them: each corner moves inwards by a whole number of pixels, 0 to
    perspective * (side // 2), and the image's corners come to lie on the four places.
    """
    height, width = size
    most = np.floor(augmentation.perspective * (np.array([width, height]) // 2))
    inwards = np.floor(np.stack([draw[name] for name in CORNERS], axis=1).reshape(-1, 4, 2) * (most + 1))
    corners = np.array([[0, 0], [width - 1, 0], [0, height - 1], [width - 1, height - 1]], float)  # nw, ne, sw, se
    moved = corners + inwards * [[1, 1], [-1, 1], [1, -1], [-1, -1]]
    # x = (a u + b v + c) / (g u + h v + 1), y = (d u + e v + f) / (...), each moved (u, v) to its corner (x, y)
    u, v = moved[..., 0], moved[..., 1]
    x, y = (np.broadcast_to(corners[:, axis], u.shape) for axis in (0, 1))
    zero, one = np.zeros_like(u), np.ones_like(u)
    rows = [np.stack([u, v, one, zero, zero, zero, -u * x, -v * x], axis=-1)]
    rows += [np.stack([zero, zero, zero, u, v, one, -u * y, -v * y], axis=-1)]
    solution = np.linalg.solve(np.concatenate(rows, axis=1), np.concatenate([x, y], axis=1)[..., None])[..., 0]
    homographies = np.concatenate([solution, one[:, :1]], axis=1).reshape(-1, 3, 3)
    untouched = draw["perspective"] >= augmentation.perspective_probability
    homographies[untouched] = np.eye(3)
    return homographies


def _mix(x: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):  # arithmetic modulo 2**64 is what is wanted
        x = x + np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))


def _affine(xx=1.0, xy=0.0, x=0.0, yx=0.0, yy=1.0, y=0.0) -> np.ndarray:
    """Matrices float64 (m, 3, 3) that take (a, b, 1) to (xx a + xy b + x, yx a + yy b + y, 1)."""
    entries = np.broadcast_arrays(xx, xy, x, yx, yy, y, 0.0, 0.0, 1.0)
    return np.stack(entries, axis=-1).reshape(-1, 3, 3)


def _training_rows(
    ids: np.ndarray,
    labels: np.ndarray,
    indices: np.ndarray,
    repeats: np.ndarray,
    size: tuple[int, int],
    recipe: Recipe,
    epoch: int,
) -> dict[str, np.ndarray]:
    """Columns of `_moved_rows` and of how batches are mixed, and label: int32 (m,)."""
    rows = _moved_rows(ids, indices, repeats, size, recipe, epoch) | {"label": labels[indices]}
    return rows | mixing.plan(len(indices), recipe, epoch) if recipe.mixes_labels else rows


def _moved_rows(
    ids: np.ndarray, indices: np.ndarray, repeats: np.ndarray, size: tuple[int, int], recipe: Recipe, epoch: int
) -> dict[str, np.ndarray]:
    """Columns that the pipeline reads: the images at `indices` of `ids`, shown the `repeats`-th time in `epoch`.

    index: int64 (m,). With augmentation by whole pixels corner: int64 (m, 2), top and left of what is seen, and
    mirrored: bool (m,); with any other transform: float32 (m, 8), as ImageProjectiveTransformV3 takes it, and, where
    the perspective has its own interpolation, distorted: bool (m,), those read by it. erased: int64 (m, 4), top, left,
    bottom and right of a rectangle that becomes grey
    """
    augmentation = recipe.augmentation
    if augmentation is None:
        return {"index": indices}
    rows = {"index": indices}
    if not augmentation.resamples:
        rows |= _whole_pixel_moves(ids[indices], repeats, size, recipe, epoch)
    else:
        transforms = training_transforms(ids[indices], repeats, size, recipe, epoch)
        rows["transform"] = (transforms / transforms[:, 2:, 2:]).reshape(-1, 9)[:, :8].astype(np.float32)
        if augmentation.perspective_interpolation not in (None, augmentation.interpolation):
            draw = uniforms(ids[indices], repeats, recipe.seed, epoch)["perspective"]
            rows["distorted"] = draw < augmentation.perspective_probability
    if augmentation.erasing:
        draw = uniforms(ids[indices], repeats, recipe.seed, epoch)
        rows["erased"] = mixing.erased_boxes(draw, augmentation.erasing, recipe.image_size)
    return rows


def _whole_pixel_moves(
    ids: np.ndarray, repeats: np.ndarray, size: tuple[int, int], recipe: Recipe, epoch: int
) -> dict[str, np.ndarray]:
    """What `training_transforms` says where it moves by whole pixels alone; shift_pixels is in `size` as a border."""
    augmentation, draw = recipe.augmentation, uniforms(ids, repeats, recipe.seed, epoch)
    room = np.array(size) - recipe.image_size
    corner = np.floor(np.stack([draw["crop_y"], draw["crop_x"]], axis=1) * (room + 1)).astype(np.int64)
    mirrored = repeats % 2 == 1 if augmentation.every_mirror else (draw["flip"] < 0.5) & augmentation.horizontal_flip
    corner[mirrored, 1] = room[1] - corner[mirrored, 1]  # the whole image is mirrored, and then seen from there
    return {"corner": corner, "mirrored": mirrored}


def _batches(rows: dict[str, np.ndarray], recipe: Recipe) -> "tf.data.Dataset":
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices(rows).batch(recipe.batch_size)


def _read(images: ImageSet, batches: "tf.data.Dataset", recipe: Recipe, training: bool) -> "tf.data.Dataset":
    """Pixels at each batch's indices, moved, erased and mixed as its rows say, with labels where it has labels."""
    import tensorflow as tf

    pixels, shape = _pixels(images, recipe, training), (None, *recipe.image_size, images.channels)
    # TensorFlow keeps the functions that it calls as long as its global graph: they must not hold the pixels
    kept, way = weakref.ref(images), _way(images, recipe, training)

    def warp(batch: "tf.Tensor", transform: "tf.Tensor", interpolation: str) -> "tf.Tensor":
        how = {"interpolation": interpolation.upper(), "fill_mode": recipe.augmentation.fill.upper(), "fill_value": 0.0}
        return tf.raw_ops.ImageProjectiveTransformV3(
            images=batch, transforms=transform, output_shape=recipe.image_size, **how
        )

    def cut(index: np.ndarray, corner: np.ndarray, mirrored: np.ndarray) -> np.ndarray:
        pixels = np.asarray(_tensors[kept()][way])  # shares the memory, which .numpy() would copy
        return mixing.cut(pixels, index, corner, mirrored, recipe.image_size)

    def gather(rows: dict[str, "tf.Tensor"]) -> "tf.Tensor":
        if "corner" in rows:
            columns = [rows[name] for name in ("index", "corner", "mirrored")]
            return tf.numpy_function(cut, columns, tf.uint8, stateful=False)
        batch = tf.gather(pixels, rows["index"])
        if "transform" not in rows:
            return batch
        batch = tf.cast(batch, tf.float32)
        plain = warp(batch, rows["transform"], recipe.augmentation.interpolation)
        if "distorted" not in rows:
            return plain
        other = warp(batch, rows["transform"], recipe.augmentation.perspective_interpolation)
        return tf.where(rows["distorted"][:, None, None, None], other, plain)

    def read(rows: dict[str, "tf.Tensor"]) -> "tf.Tensor | tuple[tf.Tensor, tf.Tensor]":
        batch = gather(rows)
        if "erased" in rows:
            batch = tf.numpy_function(mixing.erase, [batch, rows["erased"]], batch.dtype, stateful=False)
        if "blend" in rows:
            columns = [batch, rows["box"], rows["blend"]]
            batch = tf.numpy_function(mixing.mix, columns, tf.float32, stateful=False)
        batch = tf.ensure_shape(tf.cast(batch, tf.float32), shape)
        if "label" not in rows:
            return batch
        labels = rows["label"]
        if recipe.mixes_labels:
            labels = tf.one_hot(labels, len(images.class_names))
        if "share" in rows:
            share = rows["share"][:, None]
            labels = (1 - share) * labels + share * tf.roll(labels, -1, axis=0)
        return batch, labels

    return batches.map(read, num_parallel_calls=2, deterministic=True).prefetch(4)


# One tensor per set of images and way of framing, which dies with the images: framing is done once per training.
_tensors: "weakref.WeakKeyDictionary[ImageSet, dict[tuple, tf.Tensor]]" = weakref.WeakKeyDictionary()


def _pixels(images: ImageSet, recipe: Recipe, training: bool = False) -> "tf.Tensor":
    """uint8 (n, height, width, channels): framed, but for a training that crops at random, which sees all pixels.

    Where training shifts by whole pixels, the border that may come in is there, too.
    """
    import tensorflow as tf

    tensors, way = _tensors.setdefault(images, {}), _way(images, recipe, training)
    if way not in tensors:
        framing, border = way
        pixels = images.images if framing is None else framed(images.images, recipe)
        if border:
            pixels = np.pad(pixels, ((0, 0), (border, border), (border, border), (0, 0)), mode="reflect")
        with tf.device("CPU:0"):  # tf.data runs on the CPU whatever trains
            tensors[way] = tf.constant(pixels)
    return tensors[way]


def _way(images: ImageSet, recipe: Recipe, training: bool) -> tuple[tuple | None, int]:
    """How `_pixels` frames (None: not at all) and how wide its border is."""
    moved = training and recipe.augmentation is not None
    native = (moved and recipe.framing == "crop") or images.size == recipe.image_size
    framing = None if native else (recipe.image_size, recipe.framing, recipe.framing_interpolation)
    return framing, recipe.augmentation.shift_pixels if moved else 0


def batches_per_epoch(images: ImageSet, recipe: Recipe) -> int:
    """Optimizer steps that an epoch takes."""
    return math.ceil(len(epoch_indices(images, recipe)[0]) / recipe.batch_size)
