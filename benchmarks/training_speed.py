"""How many images a second each recipe trains on at each scale: what the expected times are made of.

    python benchmarks/training_speed.py                 # all recipes: about ten minutes on two idle cores
    python benchmarks/training_speed.py attempt4        # those whose name begins so

Trains on random pixels of 100x100 (S4: grey, 28x28) through the whole input pipeline, after a warm-up, for some seconds
each, counts parameters, and writes dfclib/recipes/measured_speed.json, from which `python -m dfclib recipes`, `train`
and `make story` tell expected times. Absolute speeds are this machine's: on another, run it again.
"""

import argparse
import dataclasses
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from dfclib import pipelines
from dfclib.datasets.images import ImageSet
from dfclib.files import write_json
from dfclib.recipes import Recipe, all_recipes
from dfclib.recipes.recipe import SPEED_FILE, measured
from dfclib.training import build_model, optimisation, trainable_parameters
from dfclib.training.devices import environment, jit_compile, release_memory

WARM_UP = 3  # batches


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="beginnings of recipe names; default: all")
    parser.add_argument("--seconds", type=float, default=6.0, help="at least so long for each (default: 6)")
    arguments = parser.parse_args()

    speeds, parameters = measured("images_per_second"), measured("parameters")
    for recipe in trainings():
        if arguments.names and not recipe.name.startswith(tuple(arguments.names)):
            continue
        for scale in ("quick", "compact", "full"):
            with release_memory():
                speed, count = measure(recipe.at_scale(scale), arguments.seconds)
            speeds[f"{recipe.name}-{scale}"] = round(speed, 1)
            parameters[f"{recipe.name}-{scale}"] = count
            print(f"{recipe.name:12} {scale:8} {speed:7.0f} images/s", flush=True)
            values = {"images_per_second": dict(sorted(speeds.items())), "parameters": dict(sorted(parameters.items()))}
            write_json(SPEED_FILE, {"environment": environment()} | values)


def trainings() -> list[Recipe]:
    """Every single training of every recipe, each once."""
    found = {}
    for recipe in all_recipes():
        for member in recipe.members:
            found.setdefault(member.name, member)
    return list(found.values())


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
    model = build_model(recipe, channels, classes, images)
    model.compile(optimisation.optimizer(recipe, 1_000), optimisation.loss(recipe), jit_compile=jit_compile())
    model.fit(pipelines.training_dataset(images, recipe, 0).take(WARM_UP), verbose=0, shuffle=False)
    done, started = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - started) < seconds:
        part = pipelines.training_dataset(images, recipe, done + 1).take(5)
        model.fit(part, verbose=0, shuffle=False)
        done += 5 * recipe.batch_size
    return done / elapsed, trainable_parameters(model)


if __name__ == "__main__":
    main()
