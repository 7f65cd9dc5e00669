"""How many images a second each recipe trains on at each scale: what the expected times are made of.

    python benchmarks/training_speed.py                 # all recipes: about ten minutes on two idle cores
    python benchmarks/training_speed.py attempt4        # those whose name begins so
    python benchmarks/training_speed.py --scales quick  # at that scale alone

Trains on random pixels of 100x100 (S4: grey, 28x28) through the whole input pipeline, after a warm-up, for some seconds
each, counts parameters, and writes dfclib/recipes/measured_speed.json, from which `python -m dfclib recipes`, `train`
and `make story` tell expected times. Absolute speeds are this machine's: on another, run it again.
"""

import argparse
import dataclasses
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

from dfclib import pipelines
from dfclib.datasets.images import ImageSet
from dfclib.files import write_json
from dfclib.recipes import EnsembleRecipe, Recipe, by_name
from dfclib.recipes.recipe import SPEED_FILE, measured
from dfclib.training import trainable_parameters
from dfclib.training.devices import environment, release_memory, resolve_precision
from dfclib.training.model import compiled_model

WARM_UP = 3  # batches
SCALES = ("quick", "compact", "full")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="beginnings of recipe names; default: all")
    parser.add_argument("--seconds", type=float, default=6.0, help="at least so long for each (default: 6)")
    parser.add_argument("--scales", nargs="+", choices=SCALES, default=SCALES, help="default: all three")
    arguments = parser.parse_args()

    speeds, parameters = measured("images_per_second"), measured("parameters")
    for recipe in by_name().values():
        if isinstance(recipe, EnsembleRecipe):
            continue
        if arguments.names and not recipe.name.startswith(tuple(arguments.names)):
            continue
        for scale in arguments.scales:
            with release_memory():
                speed, count = measure(recipe.at_scale(scale), arguments.seconds)
            speeds[f"{recipe.name}-{scale}"] = round(speed, 1)
            parameters[f"{recipe.name}-{scale}"] = count
            print(f"{recipe.name:12} {scale:8} {speed:7.0f} images/s", flush=True)
            values = {"images_per_second": dict(sorted(speeds.items())), "parameters": dict(sorted(parameters.items()))}
            write_json(SPEED_FILE, {"environment": environment()} | values)


def measure(recipe: Recipe, seconds: float) -> tuple[float, int]:
    """(training images per second of `recipe`, its input pipeline included; trainable parameters)."""
    generator = np.random.default_rng(0)
    number, classes, channels = 40 * recipe.batch_size, recipe.dataset.classes, recipe.dataset.channels
    images = ImageSet(
        images=generator.integers(0, 256, (number, *recipe.dataset.size, channels), dtype=np.uint8),
        labels=np.arange(number) % classes,
        ids=np.arange(number).astype(str),
        class_names=tuple(str(label) for label in range(classes)),
    )
    recipe = dataclasses.replace(recipe, class_repeats={})  # their names are of other classes
    model = compiled_model(recipe, resolve_precision(recipe.precision), classes, images)
    return speed(model, images, recipe, seconds), trainable_parameters(model)


def speed(model: keras.Model, images: ImageSet, recipe: Recipe, seconds: float) -> float:
    """Images per second over at least `seconds` in which `model` trains on `images` as `recipe` says, its input
    pipeline included."""
    timer = Timer(seconds)
    epochs = 1_000_000
    model.fit(
        pipelines.training_dataset(images, recipe, 1, epochs),
        steps_per_epoch=pipelines.batches_per_epoch(images, recipe),
        epochs=epochs,
        shuffle=False,  # the pipeline has shuffled
        callbacks=[timer],
        verbose=0,
    )
    return timer.batches * recipe.batch_size / timer.elapsed


class Timer(keras.callbacks.Callback):
    """Counts batches after the warm-up, and stops the training when the seconds are over."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds, self.batches, self.elapsed = seconds, -WARM_UP, 0.0

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        self.batches += 1
        if self.batches == 0:
            self.started = time.perf_counter()
        elif self.batches > 0:
            self.elapsed = time.perf_counter() - self.started
            self.model.stop_training = self.elapsed >= self.seconds


if __name__ == "__main__":
    main()
