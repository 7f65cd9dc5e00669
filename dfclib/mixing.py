"""What augmentation does to whole pixels of a batch, in numpy: cut out, erase, and mix images with each other.

Cutting takes a fraction of the time of a general warp (benchmarks/results/augmentation.json). All that is random is
drawn before, as a function of (seed, epoch, image or place).
"""

import numpy as np

from dfclib.recipes.recipe import Recipe

MIXING_STREAM = 1  # beside the shuffling's, which is drawn from (seed, epoch) alone
MIXUP_ALPHA = 0.2  # of the beta distribution of the share, as its authors have it for ImageNet
ERASED_SIDES = (0.1, 0.5)  # of a rectangle, as shares of the image's
GREY = 127


def cut(
    pixels: np.ndarray, index: np.ndarray, corner: np.ndarray, mirrored: np.ndarray, size: tuple[int, int]
) -> np.ndarray:
    """Cut a rectangle of `size` out of one image per row: uint8 (b, height, width, channels).

    pixels: uint8 (n, at least height, at least width, channels); index: int (b,), which image; corner: int (b, 2), its
    top and left; mirrored: bool (b,), whether left and right of what was cut change places
    """
    height, width = size
    channels = pixels.shape[3]
    # a pixel as one value: numpy copies it at once, mirrored or not
    whole = pixels.view(f"V{channels}")[..., 0]
    batch = np.empty((len(index), height, width), whole.dtype)
    for i, (image, (top, left), mirror) in enumerate(
        zip(index.tolist(), corner.tolist(), mirrored.tolist(), strict=True)
    ):
        part = whole[image, top : top + height, left : left + width]
        batch[i] = part[:, ::-1] if mirror else part
    return batch.view(np.uint8).reshape(len(index), height, width, channels)


def erased_boxes(draw: dict[str, np.ndarray], share: float, size: tuple[int, int]) -> np.ndarray:
    """Rectangles to erase, int64 (m, 4): top, left, bottom, right; empty but for a `share` of the images.

    draw: uniform numbers (m,) named erasing, erased_height, erased_width, erased_y and erased_x
    """
    low, high = ERASED_SIDES
    boxes = np.empty((len(draw["erasing"]), 4), np.int64)
    for axis, (side, extent, place) in enumerate(zip(size, ("height", "width"), "yx", strict=True)):
        length = np.round((low + (high - low) * draw[f"erased_{extent}"]) * side).astype(np.int64)
        length[draw["erasing"] >= share] = 0
        boxes[:, axis] = np.floor(draw[f"erased_{place}"] * (side - length + 1))
        boxes[:, axis + 2] = boxes[:, axis] + length
    return boxes


def erase(batch: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """`batch` (b, height, width, channels) with the rectangles `boxes` (b, 4) in grey; another array."""
    batch = batch.copy()
    for image, (top, left, bottom, right) in zip(batch, boxes.tolist(), strict=True):
        image[top:bottom, left:right] = GREY
    return batch


def plan(count: int, recipe: Recipe, epoch: int) -> dict[str, np.ndarray]:
    """How an epoch of `count` images is mixed, one row per image, alike within a batch.

    box: int64 (count, 4), top, left, bottom and right of what the next image in the batch gives (CutMix)
    blend: float32 (count,), its share in every pixel (mixup); share: float32 (count,), its share in the label
    """
    augmentation, (height, width) = recipe.augmentation, recipe.image_size
    batches = -(-count // recipe.batch_size)
    random = np.random.default_rng([recipe.seed, epoch, MIXING_STREAM])
    kind, part, y, x = random.random((4, batches))
    blend = random.beta(MIXUP_ALPHA, MIXUP_ALPHA, batches)
    over = epoch > augmentation.mixing_until * recipe.epochs
    cuts = (kind < augmentation.cutmix) & (not over)
    blends = (kind >= augmentation.cutmix) & (kind < augmentation.cutmix + augmentation.mixup) & (not over)
    box = np.zeros((batches, 4), np.int64)
    for axis, (side, centre) in enumerate(((height, y), (width, x))):  # a part of the area, cut off at the border
        half = np.sqrt(part) * side / 2
        box[:, axis] = np.clip(np.round(centre * side - half), 0, side)
        box[:, axis + 2] = np.clip(np.round(centre * side + half), 0, side)
    box[~cuts] = 0
    blend = np.where(blends, blend, 0.0)
    share = (box[:, 2] - box[:, 0]) * (box[:, 3] - box[:, 1]) / (height * width) + blend
    rows = {"box": box, "blend": blend.astype(np.float32), "share": share.astype(np.float32)}
    return {name: np.repeat(values, recipe.batch_size, axis=0)[:count] for name, values in rows.items()}


def mix(batch: np.ndarray, boxes: np.ndarray, blend: np.ndarray) -> np.ndarray:
    """float32 `batch` (b, height, width, channels) with each image mixed with the next one, the last with the first.

    boxes: int (b, 4) and blend: float (b,), alike for the whole batch, as `plan` draws them
    """
    mixed, share, (top, left, bottom, right) = batch.astype(np.float32), blend[0], boxes[0]
    if share:
        mixed = (1 - share) * mixed + share * np.roll(mixed, -1, axis=0)
    if bottom > top and right > left:
        mixed[:, top:bottom, left:right] = np.roll(batch, -1, axis=0)[:, top:bottom, left:right]
    return mixed
