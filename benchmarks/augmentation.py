"""What augmentation costs: milliseconds per batch of 128 images of 100x100, each way of moving and mixing them.

    python benchmarks/augmentation.py          # half a minute on two idle cores

The whole input pipeline is timed, with nothing that trains beside it, in turns over several rounds; and a training step
of `sprint`, which a batch must not hold up.
"""

import os
import time
from dataclasses import replace

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from common import summary

from dfclib import pipelines
from dfclib.datasets.images import ImageSet
from dfclib.files import write_json
from dfclib.recipes import Recipe, find
from dfclib.recipes.recipe import Augmentation
from dfclib.training.devices import environment, resolve_precision
from dfclib.training.model import compiled_model

ROUNDS, BATCHES, EPOCHS = 5, 16, 4
WAYS = {
    "nothing": None,
    "shift and mirror, whole pixels": Augmentation(horizontal_flip=True, shift_pixels=6),
    "with CutMix": Augmentation(horizontal_flip=True, shift_pixels=6, cutmix=1.0),
    "with mixup": Augmentation(horizontal_flip=True, shift_pixels=6, mixup=1.0),
    "with erasing": Augmentation(horizontal_flip=True, shift_pixels=6, erasing=1.0),
    "rotation by the nearest pixel": Augmentation(horizontal_flip=True, rotation=5, interpolation="nearest"),
    "rotation between pixels": Augmentation(horizontal_flip=True, rotation=5),
}


def main() -> None:
    recipe = replace(find("sprint"), protocol="published")
    pixels = np.random.default_rng(0).integers(0, 256, (BATCHES * recipe.batch_size, *recipe.image_size, 3), np.uint8)
    labels = np.arange(len(pixels)) % 5
    images = ImageSet(pixels, labels, np.arange(len(pixels)).astype(str), tuple("01234"))
    milliseconds: dict[str, list[float]] = {name: [] for name in WAYS}
    for number in range(ROUNDS + 1):
        for name, augmentation in WAYS.items():
            found = per_batch(images, replace(recipe, augmentation=augmentation), number + 1)
            if number:  # the first round warms up
                milliseconds[name].append(found)
    results = {name: summary(values) for name, values in milliseconds.items()}
    results["a training step of sprint"] = summary(steps(images, recipe))
    for name, row in results.items():
        print(f"{name:32} median {row['median']:6.1f} ms, {row['min']} to {row['max']}, n = {row['n']}", flush=True)
    values = {
        "environment": environment(resolve_precision("auto")),
        "batch": recipe.batch_size,
        "milliseconds": results,
    }
    write_json("benchmarks/results/augmentation.json", values)


def per_batch(images: ImageSet, recipe: Recipe, epoch: int) -> float:
    """Milliseconds per batch, of all but the first epoch: it waits until everything has begun."""
    batches = iter(pipelines.training_dataset(images, recipe, epoch, epoch + EPOCHS))
    for _ in range(BATCHES):
        next(batches)
    started = time.perf_counter()
    count = sum(1 for _ in batches)
    return 1000 * (time.perf_counter() - started) / count


def steps(images: ImageSet, recipe: Recipe) -> list[float]:
    """Milliseconds of single training steps, the pipeline left out."""
    model = compiled_model(recipe, resolve_precision("auto"), 5, images)
    pixels, labels = next(iter(pipelines.training_dataset(images, recipe, 1)))
    found = []
    for number in range(ROUNDS + 2):
        started = time.perf_counter()
        model.train_on_batch(pixels, labels)
        if number > 1:
            found.append(1000 * (time.perf_counter() - started))
    return found


if __name__ == "__main__":
    main()
