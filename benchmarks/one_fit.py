"""What does one `fit` per training save, against one per epoch? Seconds per epoch of both, in turns, in one run.

    python benchmarks/one_fit.py          # about four minutes on two idle cores

Epochs of four sizes, validation included, from ten batches of small images to twenty of the competition's own size.
The difference is the fixed cost of a `fit` and of a data set of its own; what counts is the ratio.
"""

import os
import statistics
import time
from dataclasses import replace

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras

from dfclib import pipelines
from dfclib.datasets.generated import animals, garments
from dfclib.datasets.images import ImageSet
from dfclib.files import write_json
from dfclib.recipes import Recipe, find
from dfclib.recipes.recipe import COMPETITION
from dfclib.training.devices import environment, release_memory
from dfclib.training.model import compiled_model, predict

ROUNDS, EPOCHS = 3, 4
CASES = (  # recipe, scale, training images
    ("attempt1", "quick", 320),
    ("s4-author", "quick", 2_000),
    ("s4-ours", "full", 1_000),
    ("attempt1", "compact", 640),
)


def main() -> None:
    results = {}
    for name, scale, images in CASES:
        recipe = find(name).at_scale(scale)
        make_splits = animals.make_splits if recipe.dataset == COMPETITION else garments.make_splits
        splits = make_splits(train=images, validation=max(50, images // 10))
        recipe = replace(recipe, class_repeats={}, epochs=EPOCHS)
        seconds: dict[str, list[float]] = {way: [] for way in WAYS}
        for _ in range(ROUNDS):
            for way, function in WAYS.items():
                with release_memory():
                    seconds[way].append(function(recipe, splits.train, splits.validation))
        medians = [statistics.median(values) for values in seconds.values()]
        ratio = medians[0] / medians[1]
        result = dict(zip(WAYS, (round(median, 3) for median in medians), strict=True)) | {"ratio": round(ratio, 2)}
        results[f"{name}-{scale}, {images} images"] = result
        print(
            f"{name} {scale}, {images:,} images: {medians[0]:.3f} s per epoch with a fit each, {medians[1]:.3f} with "
            f"one for all: {ratio:.2f} times (medians of {ROUNDS})",
            flush=True,
        )
    write_json("benchmarks/results/one_fit.json", {"environment": environment(), "seconds_per_epoch": results})


def fit_once(recipe: Recipe, images: ImageSet, validation: ImageSet) -> float:
    """Seconds per epoch after the first, as dfclib trains."""
    model = compiled_model(recipe, "float32", len(images.class_names), images)
    ends: list[float] = []
    model.fit(
        pipelines.training_dataset(images, recipe, 1, EPOCHS),
        steps_per_epoch=pipelines.batches_per_epoch(images, recipe),
        validation_data=pipelines.evaluation_dataset(validation, recipe, labelled=True),
        epochs=EPOCHS,
        callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: ends.append(time.perf_counter()))],
        verbose=0,
    )
    return (ends[-1] - ends[0]) / (EPOCHS - 1)


def fit_per_epoch(recipe: Recipe, images: ImageSet, validation: ImageSet) -> float:
    """Seconds per epoch after the first, as it was until each training became one `fit`."""
    model = compiled_model(recipe, "float32", len(images.class_names), images)
    ends = []
    for epoch in range(1, EPOCHS + 1):
        data, steps = pipelines.training_dataset(images, recipe, epoch), pipelines.batches_per_epoch(images, recipe)
        model.fit(data, steps_per_epoch=steps, initial_epoch=epoch - 1, epochs=epoch, verbose=0)
        predict(model, validation, recipe)
        ends.append(time.perf_counter())
    return (ends[-1] - ends[0]) / (EPOCHS - 1)


WAYS = {"one fit per epoch": fit_per_epoch, "one fit per training": fit_once}

if __name__ == "__main__":
    main()
