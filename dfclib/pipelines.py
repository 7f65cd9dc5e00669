"""ImageSet and Recipe to tf.data.Dataset: one function for training, another for evaluation.

What an epoch shows is planned in numpy from (seed, epoch, image id) alone, so that an interrupted training sees after
its resumption exactly what it would have seen. The pixels stay uint8 until their batch is made, and each image is
resampled once: framing and every random movement are composed into one transform.
"""

import hashlib
import math
import weakref
from typing import TYPE_CHECKING

import numpy as np

from dfclib.datasets.images import ImageSet
from dfclib.errors import UserError
from dfclib.recipes.recipe import Augmentation, Recipe

if TYPE_CHECKING:
    import tensorflow as tf

# One stream of random numbers a parameter: adding one at the end leaves the others as they were.
CORNERS = tuple(f"corner_{corner}_{axis}" for corner in ("nw", "ne", "sw", "se") for axis in "xy")
DRAWS = ("rotation", "shift_x", "shift_y", "zoom_x", "zoom_y", "flip", "crop_x", "crop_y", "perspective", *CORNERS)


def training_dataset(images: ImageSet, recipe: Recipe, epoch: int) -> "tf.data.Dataset":
    """Batches of one shuffled, augmented epoch: float32 (b, height, width, channels) in 0..255, int32 labels (b,).

    Every image comes as often as the recipe repeats its class; indices are repeated, pixels are not copied.
    Raises UserError where the images do not suit the recipe.
    """
    check_size(images, recipe)
    indices, repeats = shown_in_an_epoch(images, recipe)
    # one whole epoch is shuffled before the next begins: every image is seen as often as the recipe says
    order = np.random.default_rng([recipe.seed, epoch]).permutation(len(indices))
    indices, repeats = indices[order], repeats[order]
    transforms = training_transforms(images.ids[indices], repeats, images.size, recipe, epoch)
    return _batches(images, indices, transforms, recipe, labels=images.labels[indices])


def evaluation_dataset(images: ImageSet, recipe: Recipe) -> "tf.data.Dataset":
    """Batches of every image once, in order, framed but never augmented: float32 pixels alone, no labels."""
    check_size(images, recipe)
    transforms = np.tile(_framing(images.size, recipe)[None], (len(images), 1, 1))
    return _batches(images, np.arange(len(images)), transforms, recipe)


def augmented(images: ImageSet, recipe: Recipe, epoch: int = 0) -> np.ndarray:
    """`images` as the training of `recipe` would see them in `epoch`: uint8 (n, height, width, channels)."""
    check_size(images, recipe)
    transforms = training_transforms(images.ids, np.zeros(len(images), int), images.size, recipe, epoch)
    batches = _batches(images, np.arange(len(images)), transforms, recipe)
    return np.concatenate([batch.numpy() for batch in batches]).round().clip(0, 255).astype(np.uint8)


def check_size(images: ImageSet, recipe: Recipe) -> None:
    """Raise UserError where a crop would be larger than the images."""
    if recipe.framing == "crop" and (images.size[0] < recipe.image_size[0] or images.size[1] < recipe.image_size[1]):
        raise UserError(
            f"recipe {recipe.name} at scale {recipe.scale} cuts {recipe.image_size[0]}x{recipe.image_size[1]} pixels "
            f"out of each image, but the images have {images.size[0]}x{images.size[1]}. "
            "Take the full scale, or a recipe.json with a smaller image_size or framing 'resize'."
        )


def shown_in_an_epoch(images: ImageSet, recipe: Recipe) -> tuple[np.ndarray, np.ndarray]:
    """(index, repeat) of everything that one epoch shows, unshuffled: int64 (m,) each."""
    times = np.array([recipe.class_repeats.get(name, recipe.repeats) for name in images.class_names])
    times = times[images.labels]
    indices = np.repeat(np.arange(len(images)), times)
    starts = np.cumsum(times) - times
    return indices, np.arange(len(indices)) - np.repeat(starts, times)


def uniforms(ids: np.ndarray, repeats: np.ndarray, seed: int, epoch: int) -> dict[str, np.ndarray]:
    """Random numbers float64 (m,) in [0, 1) for each of DRAWS, a function of (seed, epoch, id, repeat) alone.

    Counter-based: the bits of (id, seed, epoch, repeat, draw) are mixed by the finaliser of SplitMix64
    (Steele, Lea and Flood 2014, doi:10.1145/2660193.2660195), so that neither order nor company of images matters.
    """
    names, inverse = np.unique(ids, return_inverse=True)
    keys = np.array(
        [int.from_bytes(hashlib.blake2b(str(name).encode(), digest_size=8).digest(), "little") for name in names],
        np.uint64,
    )
    state = _mix(keys[inverse] ^ _mix(np.uint64(seed)))
    state = _mix(state + np.uint64(epoch))
    state = _mix(state + repeats.astype(np.uint64))
    return {name: (_mix(state + np.uint64(k)) >> np.uint64(11)) * 2.0**-53 for k, name in enumerate(DRAWS)}


def training_transforms(
    ids: np.ndarray, repeats: np.ndarray, size: tuple[int, int], recipe: Recipe, epoch: int
) -> np.ndarray:
    """Matrices float64 (m, 3, 3) that take (x, y, 1) of a training pixel to the place in the image where it is read.

    ids: str (m,); repeats: int (m,), which showing of the image this is; size: height and width of the images.
    """
    framing = _framing(size, recipe)
    augmentation = recipe.augmentation
    if augmentation is None:
        return np.tile(framing[None], (len(ids), 1, 1))
    draw = uniforms(ids, repeats, recipe.seed, epoch)
    signed = {name: 2 * value - 1 for name, value in draw.items()}
    height, width = size

    matrices = _affine(len(ids))
    if recipe.framing == "crop":  # anywhere, but by whole pixels: a crop alone must not resample
        room_y, room_x = height - recipe.image_size[0], width - recipe.image_size[1]
        matrices[:, 0, 2] = np.floor(draw["crop_x"] * (room_x + 1)) - room_x // 2
        matrices[:, 1, 2] = np.floor(draw["crop_y"] * (room_y + 1)) - room_y // 2
    matrices = matrices @ framing

    # From here on in the image's own pixels. Output is seen in perspective, then, about the image's centre and in the
    # order of Keras's ImageDataGenerator, mirrored, zoomed, shifted and rotated on its way to the place where it is
    # read; so torchvision's order, rotation first and perspective last, is kept as well.
    if augmentation.perspective:
        matrices = _perspectives(draw, size, augmentation) @ matrices
    centre = np.array([[1, 0, (width - 1) / 2], [0, 1, (height - 1) / 2], [0, 0, 1]])
    zoom = _affine(len(ids))
    drawn = (draw["flip"] < 0.5) & augmentation.horizontal_flip
    mirrored = repeats % 2 == 1 if augmentation.every_mirror else drawn
    zoom[:, 0, 0] = (1 + augmentation.zoom * signed["zoom_x"]) * np.where(mirrored, -1, 1)
    zoom[:, 1, 1] = 1 + augmentation.zoom * signed["zoom_y"]
    shift = _affine(len(ids))
    shift[:, 0, 2] = augmentation.shift * width * signed["shift_x"]
    shift[:, 1, 2] = augmentation.shift * height * signed["shift_y"]
    angle = np.radians(augmentation.rotation) * signed["rotation"]
    rotation = _affine(len(ids))
    rotation[:, 0, 0] = rotation[:, 1, 1] = np.cos(angle)
    rotation[:, 0, 1], rotation[:, 1, 0] = -np.sin(angle), np.sin(angle)
    return centre @ rotation @ shift @ zoom @ np.linalg.inv(centre) @ matrices


def _perspectives(draw: dict[str, np.ndarray], size: tuple[int, int], augmentation: Augmentation) -> np.ndarray:
    """Homographies float64 (m, 3, 3) from a pixel of the distorted image to its place in the undistorted one.

    As torchvision's RandomPerspective draws them: each corner moves inwards by a whole number of pixels, 0 to
    perspective * (side // 2), and the image's corners come to lie on the four places.
    """
    height, width = size
    most = {axis: int(augmentation.perspective * (side // 2)) for axis, side in (("x", width), ("y", height))}
    inwards = {name: np.floor(draw[name] * (most[name[-1]] + 1)) for name in CORNERS}
    corners = np.array([[0, 0], [width - 1, 0], [0, height - 1], [width - 1, height - 1]], float)  # nw, ne, sw, se
    moved = np.tile(corners[None], (len(draw["flip"]), 1, 1))
    for place, corner in enumerate(("nw", "ne", "sw", "se")):
        moved[:, place, 0] += inwards[f"corner_{corner}_x"] * (1 if corner[1] == "w" else -1)
        moved[:, place, 1] += inwards[f"corner_{corner}_y"] * (1 if corner[0] == "n" else -1)
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


def _affine(count: int) -> np.ndarray:
    return np.tile(np.eye(3), (count, 1, 1))


def _framing(size: tuple[int, int], recipe: Recipe) -> np.ndarray:
    """float64 (3, 3): a pixel of the network's input to its place in the image, unaugmented."""
    matrix = np.eye(3)
    for axis, (source, target) in enumerate([(size[1], recipe.image_size[1]), (size[0], recipe.image_size[0])]):
        if recipe.framing == "crop":
            matrix[axis, 2] = (source - target) // 2  # whole pixels, so that nothing is resampled
        else:  # pixel centres lie at half coordinates
            matrix[axis, axis] = source / target
            matrix[axis, 2] = (source / target - 1) / 2
    return matrix


def _batches(
    images: ImageSet,
    indices: np.ndarray,
    transforms: np.ndarray,
    recipe: Recipe,
    labels: np.ndarray | None = None,
) -> "tf.data.Dataset":
    import tensorflow as tf

    pixels = _pixels(images)
    flat = (transforms / transforms[:, 2:, 2:]).reshape(-1, 9)[:, :8].astype(np.float32)
    untouched = images.size == recipe.image_size and bool(np.all(transforms == np.eye(3)))
    fill = (recipe.augmentation.fill if recipe.augmentation else "nearest").upper()

    def frame(batch_indices: "tf.Tensor", batch_transforms: "tf.Tensor") -> "tf.Tensor":
        batch = tf.cast(tf.gather(pixels, batch_indices), tf.float32)
        if untouched:
            return batch
        batch = tf.raw_ops.ImageProjectiveTransformV3(
            images=batch,
            transforms=batch_transforms,
            output_shape=recipe.image_size,
            fill_value=0.0,
            interpolation=recipe.interpolation.upper(),
            fill_mode=fill,
        )
        return tf.ensure_shape(batch, (None, *recipe.image_size, images.channels))

    columns = [indices, flat] if labels is None else [indices, flat, labels.astype(np.int32)]
    dataset = tf.data.Dataset.from_tensor_slices(tuple(columns)).batch(recipe.batch_size)
    if labels is None:
        dataset = dataset.map(frame, num_parallel_calls=2, deterministic=True)
    else:
        dataset = dataset.map(lambda i, t, y: (frame(i, t), y), num_parallel_calls=2, deterministic=True)
    return dataset.prefetch(4)


# One tensor a set of images, which dies with it: a tensor an epoch would stay in memory with that epoch's functions.
_tensors: "weakref.WeakKeyDictionary[ImageSet, tf.Tensor]" = weakref.WeakKeyDictionary()


def _pixels(images: ImageSet) -> "tf.Tensor":
    import tensorflow as tf

    if images not in _tensors:
        with tf.device("CPU:0"):  # tf.data runs on the CPU whatever trains
            _tensors[images] = tf.constant(images.images)
    return _tensors[images]


def batches_per_epoch(images: ImageSet, recipe: Recipe) -> int:
    """Optimizer steps that an epoch takes."""
    return math.ceil(len(shown_in_an_epoch(images, recipe)[0]) / recipe.batch_size)
