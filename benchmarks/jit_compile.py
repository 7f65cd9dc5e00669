"""Does XLA pay on this machine? Training speed with Keras's automatic choice and without XLA, in one run.

    python benchmarks/jit_compile.py          # about two minutes on two idle cores

The choice itself stands in dfclib.training.devices.jit_compile. Both variants are timed in turns, so that a machine
that slows down half-way slows both; what counts is the ratio.
"""

import os
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

from dfclib.files import write_json
from dfclib.recipes import find
from dfclib.training import build_model
from dfclib.training.devices import environment, jit_compile

ROUNDS, BATCHES = 5, 12
RECIPES = ("attempt1", "attempt2")


def main() -> None:
    results = {}
    for name in RECIPES:
        recipe = find(name)
        generator = np.random.default_rng(0)
        pixels = generator.integers(0, 256, (BATCHES * recipe.batch_size, *recipe.image_size, 3)).astype(np.float32)
        labels = np.arange(len(pixels)) % 5
        speeds: dict[str, list[float]] = {"auto": [], "False": []}
        models = {}
        for choice in ("auto", False):
            model = build_model(recipe, channels=3, classes=5)
            model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), jit_compile=choice)
            model.fit(pixels[: 2 * recipe.batch_size], labels[: 2 * recipe.batch_size], batch_size=32, verbose=0)
            models[str(choice)] = model
        for _ in range(ROUNDS):
            for choice, model in models.items():
                started = time.perf_counter()
                model.fit(pixels, labels, batch_size=recipe.batch_size, verbose=0)
                speeds[choice].append(len(pixels) / (time.perf_counter() - started))
        medians = {choice: statistics.median(values) for choice, values in speeds.items()}
        ratio = medians["False"] / medians["auto"]
        results[name] = {**{f"jit_compile={k}": round(v, 1) for k, v in medians.items()}, "ratio": round(ratio, 2)}
        print(
            f"{name}: {medians['auto']:.0f} images/s with jit_compile='auto', {medians['False']:.0f} with False: "
            f"{ratio:.2f} times (medians of {ROUNDS})"
        )
    print(f"dfclib.training.devices.jit_compile() chooses {jit_compile()!r} here")
    write_json("benchmarks/results/jit_compile.json", {"environment": environment(), "images_per_second": results})


if __name__ == "__main__":
    main()
