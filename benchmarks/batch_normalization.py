"""Does TensorFlow's fused kernel pay in batch normalisation? Training speed with it and with Keras's own layer.

    python benchmarks/batch_normalization.py          # about five minutes on two idle cores

The layer is dfclib.models.layers.FusedBatchNormalization. Both variants are timed in turns, so that a machine that
slows down half-way slows both; what counts is the ratio.
"""

import dataclasses
import os
import statistics
import time
from unittest import mock

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

from dfclib.files import write_json
from dfclib.models import layers
from dfclib.recipes import Recipe, find
from dfclib.training import build_model, optimisation
from dfclib.training.devices import environment, jit_compile, release_memory

ROUNDS, BATCHES = 5, 12
RECIPES = ("s1-v1", "s2-cnn", "s3-base")
PRECISIONS = ("float32", "mixed_bfloat16")
VARIANTS = {"fused": layers.FusedBatchNormalization, "keras": keras.layers.BatchNormalization}


def main() -> None:
    results = {}
    for name in RECIPES:
        results[name] = {}
        for precision in PRECISIONS:
            with release_memory():
                medians = measure(dataclasses.replace(find(name), precision=precision))
            ratio = medians["fused"] / medians["keras"]
            results[name][precision] = {k: round(v, 1) for k, v in medians.items()} | {"ratio": round(ratio, 2)}
            print(
                f"{name}, {precision}: {medians['fused']:.0f} images/s with the fused kernel, {medians['keras']:.0f} "
                f"with Keras's own layer: {ratio:.2f} times (medians of {ROUNDS})",
                flush=True,
            )
    write_json(
        "benchmarks/results/batch_normalization.json", {"environment": environment(), "images_per_second": results}
    )


def measure(recipe: Recipe) -> dict[str, float]:
    """Training images per second with each variant: medians over the rounds, the input pipeline left out."""
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (BATCHES * recipe.batch_size, *recipe.image_size, 3)).astype(np.float32)
    labels = np.arange(len(pixels)) % 5
    models = {variant: compiled(recipe, layer) for variant, layer in VARIANTS.items()}
    speeds: dict[str, list[float]] = {variant: [] for variant in models}
    for model in models.values():  # compiles
        model.fit(pixels[: 2 * recipe.batch_size], labels[: 2 * recipe.batch_size], recipe.batch_size, verbose=0)
    for _ in range(ROUNDS):
        for variant, model in models.items():
            started = time.perf_counter()
            model.fit(pixels, labels, recipe.batch_size, verbose=0)
            speeds[variant].append(len(pixels) / (time.perf_counter() - started))
    return {variant: statistics.median(values) for variant, values in speeds.items()}


def compiled(recipe: Recipe, layer: type[keras.layers.Layer]) -> keras.Model:
    """The recipe's network with `layer` for its batch normalisation, ready to train."""
    with mock.patch.object(layers, "FusedBatchNormalization", layer):
        model = build_model(recipe, channels=3, classes=5)
    kinds = {type(part) for part in model.layers if isinstance(part, keras.layers.BatchNormalization)}
    if kinds != {layer}:
        raise SystemExit(f"{recipe.name} normalises with {kinds or 'nothing'}, not with {layer}: nothing to compare")
    model.compile(optimisation.optimizer(recipe, BATCHES), optimisation.loss(recipe), jit_compile=jit_compile())
    return model


if __name__ == "__main__":
    main()
