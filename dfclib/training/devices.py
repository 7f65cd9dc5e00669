"""The device that trains: how Keras compiles for it, its precision and memory, and what a run records of it."""

import contextlib
import gc
import importlib.metadata
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np


def jit_compile() -> bool | str:
    """Whether Keras compiles with XLA here: on a CPU under TensorFlow it gains nothing for convolutional networks, up
    to losing half the speed (benchmarks/jit_compile.py). Anywhere else Keras chooses."""
    import keras

    return False if keras.backend.backend() == "tensorflow" and device()["kind"] == "CPU" else "auto"


def device() -> dict[str, Any]:
    """Kind (CPU, GPU) and name of what trains. Keras is imported only where a GPU's driver is in sight."""
    return (_gpu() if _gpu_in_sight() else None) or {"kind": "CPU", "name": _cpu_name()}


def has_gpu() -> bool:
    """Whether trainings run on a GPU here."""
    return device()["kind"] == "GPU"


def _gpu_in_sight() -> bool:
    if sys.platform != "linux":
        return True
    nodes = [*Path("/dev").glob("nvidia[0-9]*"), *Path("/dev").glob("kfd")]
    return bool(nodes) or shutil.which("nvidia-smi") is not None


def _gpu() -> dict[str, Any] | None:
    """Kind and name of the GPU that Keras's backend trains on, None where it trains on the CPU."""
    import keras

    if keras.backend.backend() == "jax":
        import jax

        first = jax.devices()[0]
        return None if first.platform == "cpu" else {"kind": "GPU", "name": first.device_kind}
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        gpus = tf.config.list_physical_devices("GPU")
        if gpus:
            details = tf.config.experimental.get_device_details(gpus[0])
            return {"kind": "GPU", "name": details.get("device_name", gpus[0].name)}
    return None


def _cpu_name() -> str:
    name = _cpu_line("model name") or platform.processor() or platform.machine()
    return f"{name}, {cores()} cores" if name else "CPU"


def cores() -> int:
    """Processor cores that this process may use; the machine's where the system does not say (macOS, Windows)."""
    with contextlib.suppress(AttributeError, OSError):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def default_scale(embedded: bool) -> str:
    """The scale where nobody asked for one: quick on embedded images, on others full with a GPU, compact without."""
    return "quick" if embedded else "full" if has_gpu() else "compact"


def resolve_precision(precision: str) -> str:
    """`auto` as what suits the device, anything else as it is.

    mixed_bfloat16 where processor or GPU has instructions for it, mixed_float16 on GPUs that do not, else float32.
    """
    if precision != "auto":
        return precision
    if has_gpu():
        return "mixed_bfloat16" if _compute_capability() >= (8, 0) else "mixed_float16"
    has_bfloat16 = {"avx512_bf16", "amx_bf16"} & set(_cpu_line("flags").split())
    return "mixed_bfloat16" if has_bfloat16 else "float32"


def _cpu_line(name: str) -> str:
    """Value of `name` for the first core in /proc/cpuinfo; empty where there is no such file or line."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith(name):
                return line.split(":", 1)[1].strip()
    return ""


def _compute_capability() -> tuple[int, ...]:
    """NVIDIA's generation of the GPU; 8.0, the first that has bfloat16, where it is not told."""
    import keras

    if keras.backend.backend() == "jax":
        import jax

        told = str(getattr(jax.devices()[0], "compute_capability", "8.0"))
        return tuple(int(part) for part in told.split("."))
    import tensorflow as tf

    details = tf.config.experimental.get_device_details(tf.config.list_physical_devices("GPU")[0])
    return tuple(details.get("compute_capability", (8, 0)))


def lower_priority(by: int) -> None:
    """Let other processes go first, by 0 to 19; does nothing where the system has no such thing (Windows)."""
    if by and hasattr(os, "nice"):
        os.nice(by)


@contextlib.contextmanager
def release_memory() -> Iterator[None]:
    """Release at the end, also after an error, what Keras and TensorFlow keep of the models trained inside."""
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
    """TensorFlow's own table of gradient functions by name; empty where its private name is gone.

    Keras sums gradients over replicas, even over one, by a function with a gradient of its own. For each graph made
    of it TensorFlow (2.19 to 2.21: issue 97697 there) enters one into this table for good, and with it the graph:
    several MB per training. Nobody asks for it once the training's graph is there.
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
    """Device, precision, backend and versions, for a run to record."""
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
