"""What trains here, how Keras compiles for it, and what a run records of it: the one place that knows devices."""

import contextlib
import gc
import importlib.metadata
import os
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np


def jit_compile() -> bool | str:
    """Whether Keras compiles with XLA here, the one place that decides.

    On a CPU under TensorFlow XLA does not pay for convolutional networks: from nothing gained to half the speed lost
    (benchmarks/jit_compile.py measures it, benchmarks/results holds the last figures). Anywhere else Keras chooses.
    """
    import keras

    return False if keras.backend.backend() == "tensorflow" and device()["kind"] == "CPU" else "auto"


def device() -> dict[str, Any]:
    """Kind (CPU, GPU) and name of what trains."""
    import keras

    if keras.backend.backend() == "jax":
        import jax

        first = jax.devices()[0]
        if first.platform != "cpu":
            return {"kind": "GPU", "name": first.device_kind}
    elif keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        gpus = tf.config.list_physical_devices("GPU")
        if gpus:
            details = tf.config.experimental.get_device_details(gpus[0])
            return {"kind": "GPU", "name": details.get("device_name", gpus[0].name)}
    name = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), name)
    return {"kind": "CPU", "name": f"{name}, {len(os.sched_getaffinity(0))} cores" if name else "CPU"}


@contextlib.contextmanager
def memory_given_back() -> Iterator[None]:
    """What Keras and TensorFlow keep of the models trained inside is given back at the end, also after an error.

    The models themselves go with their last holder: after an error that is its traceback, until it is forgotten.
    """
    import keras

    before = set(_gradient_functions())
    try:
        yield
    finally:
        functions = _gradient_functions()
        for name in set(functions) - before:
            if name.startswith("CustomGradient-"):
                del functions[name]
        keras.backend.clear_session()
        gc.collect()


def _gradient_functions() -> dict[str, Any]:
    """TensorFlow's gradient functions by name, the very table.

    Keras sums gradients over replicas, even over one, by a function with a gradient of its own. For each graph made
    of it TensorFlow (2.19 to 2.21: issue 97697 there) enters one into this table for good, and with it the graph:
    several MB a training. Nobody asks for it once the training's graph is there. Only a private name leads to the
    table; where it is gone, it is empty here, which costs memory alone.
    """
    import keras

    if keras.backend.backend() != "tensorflow":
        return {}
    with contextlib.suppress(ImportError, AttributeError):
        from tensorflow.python.framework import ops

        if isinstance(ops.gradient_registry._registry, dict):
            return ops.gradient_registry._registry
    return {}


def environment(precision: str | None = None) -> dict[str, Any]:
    """What a run ran on: device, precision, backend and versions."""
    import keras

    return {
        "device": device()["kind"],
        "device_name": device()["name"],
        "precision": precision,
        "backend": keras.backend.backend(),
        "python": platform.python_version(),
        "keras": keras.__version__,
        "tensorflow": _tensorflow_version(),
        "numpy": np.__version__,
    }


def _tensorflow_version() -> str | None:
    for name in ("tensorflow", "tensorflow-cpu"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            return importlib.metadata.version(name)
    return None
