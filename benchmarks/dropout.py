"""A training step with Keras's Dropout and with `layers.FastDropout`, in turns.

    python benchmarks/dropout.py          # three minutes on two idle cores

Batches of 32 random images at compact scale, in the device's precision; the fastest of several rounds counts, because
whatever else the machine does can only slow a step down.
"""

import os
from unittest import mock

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from fused_adam import seconds_per_step

from dfclib.files import write_json
from dfclib.models import layers, six_attempts
from dfclib.training.devices import environment, resolve_precision

ROUNDS = 4
RECIPES = ("attempt2", "attempt4", "attempt5", "attempt6")
KINDS = {"keras": keras.layers.Dropout, "fast": layers.FastDropout}


def main() -> None:
    precision, results = resolve_precision("auto"), {}
    for name in RECIPES:
        fastest = dict.fromkeys(KINDS, np.inf)
        for _ in range(ROUNDS):
            for kind, layer in KINDS.items():
                with mock.patch.object(six_attempts, "FastDropout", layer):
                    fastest[kind] = min(fastest[kind], seconds_per_step(name, "fused", precision))
        results[name] = {f"{kind}_ms": round(1000 * value, 1) for kind, value in fastest.items()}
        results[name]["times_as_fast"] = round(fastest["keras"] / fastest["fast"], 2)
        print(name, results[name], flush=True)
    write_json("benchmarks/results/dropout.json", {"environment": environment(precision), "steps": results})


if __name__ == "__main__":
    main()
