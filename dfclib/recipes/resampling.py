"""Ours: what resampling is worth, on a small network of attempt 4's kind.

    python -m dfclib reproduce --only resampling --data deepfake_data

Attempt 4's augmentation, eight epochs of every image once, three ways to rotate, shift and zoom an image, three seeds
each, judged on the held-out tenth of the training images after the last epoch: nothing is chosen. What differs is the
detail that is left of a training image; the images that are judged are never warped.

<!-- generated: recorded-resampling -->
resampling-bilinear, seed 0, compact, held out: held_out 74.4% [71.9%, 76.7%], n = 1,250,
    8 epochs, 9 min, CPU, mixed_bfloat16
resampling-bilinear, seed 1, compact, held out: held_out 76.6% [74.1%, 78.8%], n = 1,250,
    8 epochs, 11 min, CPU, mixed_bfloat16
resampling-bilinear, seed 2, compact, held out: held_out 73.0% [70.4%, 75.3%], n = 1,250,
    8 epochs, 12 min, CPU, mixed_bfloat16
resampling-enlarged, seed 0, compact, held out: held_out 78.1% [75.7%, 80.3%], n = 1,250,
    8 epochs, 17 min, CPU, mixed_bfloat16
resampling-enlarged, seed 1, compact, held out: held_out 74.0% [71.5%, 76.4%], n = 1,250,
    8 epochs, 25 min, CPU, mixed_bfloat16
resampling-enlarged, seed 2, compact, held out: held_out 67.3% [64.6%, 69.8%], n = 1,250,
    8 epochs, 16 min, CPU, mixed_bfloat16
resampling-nearest, seed 0, compact, held out: held_out 79.8% [77.5%, 82.0%], n = 1,250,
    8 epochs, 27 min, CPU, mixed_bfloat16
resampling-nearest, seed 1, compact, held out: held_out 77.9% [75.5%, 80.1%], n = 1,250,
    8 epochs, 13 min, CPU, mixed_bfloat16
resampling-nearest, seed 2, compact, held out: held_out 81.7% [79.4%, 83.7%], n = 1,250,
    8 epochs, 11 min, CPU, mixed_bfloat16
<!-- end generated -->
"""

from dataclasses import replace

from dfclib.recipes.recipe import Scale
from dfclib.recipes.schedules import ConstantRate
from dfclib.recipes.six_attempts import attempt4

bilinear = replace(
    attempt4,
    name="resampling-bilinear",
    title="100x100, warped bilinearly",
    system="resampling",
    attempt="",
    arguments=attempt4.arguments | {"filters": [16, 32, 64], "branch_filters": 8},
    image_size=(100, 100),
    schedule=ConstantRate(1e-3),
    epochs=8,
    source_epochs=None,
    stopping=None,
    keep="last",
    repeats=1,
    class_repeats={},
    protocol="held_out",
    reported_split="held_out",
    quick_scale=Scale(epochs=2, image_size=(48, 48), precision="float32"),
    compact_scale=Scale(),
    claims={},
    source="",
)
enlarged = replace(
    bilinear, name="resampling-enlarged", title="128x128 by the nearest pixel, warped bilinearly", image_size=(128, 128)
)
nearest = replace(
    bilinear,
    name="resampling-nearest",
    title="100x100, warped by the nearest pixel",
    augmentation=replace(attempt4.augmentation, interpolation="nearest"),
)

RECIPES = (bilinear, enlarged, nearest)
