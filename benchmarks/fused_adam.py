"""A training step with Keras's Adam and with TensorFlow's kernel for it (`optimisation.FusedAdam`), in turns.

    python benchmarks/fused_adam.py          # a few minutes on two idle cores

Batches of 32 random images at compact scale, in the device's precision; the fastest of several rounds counts, because
whatever else the machine does can only slow a step down.
"""

import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

from dfclib.datasets.images import ImageSet
from dfclib.files import write_json
from dfclib.recipes import find
from dfclib.training import model as networks
from dfclib.training import optimisation
from dfclib.training.devices import environment, resolve_precision

ROUNDS, STEPS = 5, 6
RECIPES = ("attempt1", "attempt4", "attempt5", "attempt6", "s1-v2")


def main() -> None:
    precision, results = resolve_precision("auto"), {}
    for name in RECIPES:
        fastest = {"keras": np.inf, "fused": np.inf}
        for _ in range(ROUNDS):
            for kind in fastest:
                fastest[kind] = min(fastest[kind], seconds_per_step(name, kind, precision))
        ratio = fastest["keras"] / fastest["fused"]
        results[name] = {f"{kind}_ms": round(1000 * value, 1) for kind, value in fastest.items()}
        results[name]["times_as_fast"] = round(ratio, 2)
        print(name, results[name], flush=True)
    write_json("benchmarks/results/fused_adam.json", {"environment": environment(precision), "steps": results})


def seconds_per_step(name: str, kind: str, precision: str) -> float:
    keras.backend.clear_session()
    recipe = find(name).compact()
    pixels = np.random.default_rng(0).integers(0, 256, (32, 100, 100, 3), dtype=np.uint8)
    labels = np.arange(32) % 5
    images = ImageSet(pixels, labels, labels.astype(str), tuple("01234"))
    model = networks.compiled_model(recipe, precision, 5, images)
    if kind == "keras":  # the same options in Keras's own class
        model.optimizer.__class__ = type("Adam", (type(model.optimizer),), {"update_step": keras_update_step})
    batch = tf.data.Dataset.from_tensors((tf.constant(pixels, tf.float32), tf.constant(labels))).repeat()
    options = {"epochs": 1, "verbose": 0, "shuffle": False}
    model.fit(batch, steps_per_epoch=2, **options)
    begin = time.perf_counter()
    model.fit(batch, steps_per_epoch=STEPS, **options)
    return (time.perf_counter() - begin) / STEPS


def keras_update_step(self, gradient, variable, learning_rate):
    if isinstance(self, optimisation.AdamWithL2):
        gradient = gradient + self.l2 * keras.ops.convert_to_tensor(variable)
    keras.optimizers.Adam.update_step(self, gradient, variable, learning_rate)


if __name__ == "__main__":
    main()
