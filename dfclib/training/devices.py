"""The device that trains: how Keras compiles for it, its precision and memory, and what a run records of it."""

import contextlib
import gc
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np


def jit_compile() -> bool | str:
    """The `jit_compile` of `model.compile`: False for TensorFlow on a CPU, where XLA makes no convolutional network
    faster and some half as fast (benchmarks/jit_compile.py); elsewhere "auto", Keras's choice."""
    import keras

    return False if keras.backend.backend() == "tensorflow" and device()["kind"] == "CPU" else "auto"


def device() -> dict[str, Any]:
    """Kind (CPU, GPU) and name of what trains, and whether it has instructions for bfloat16.

    Keras is imported only where a GPU's driver is in sight.
    """
    has_bfloat16 = bool({"avx512_bf16", "amx_bf16"} & set(_cpu_line("flags").split()))
    return (_gpu() if _gpu_in_sight() else None) or {"kind": "CPU", "name": _cpu_name(), "bfloat16": has_bfloat16}


def has_gpu() -> bool:
    """Whether trainings run on a GPU here."""
    return device()["kind"] == "GPU"


def _gpu_in_sight() -> bool:
    if sys.platform != "linux":
        return True
    nodes = [*Path("/dev").glob("nvidia[0-9]*"), *Path("/dev").glob("kfd")]
    return bool(nodes) or shutil.which("nvidia-smi") is not None


def _gpu() -> dict[str, Any] | None:
    """`device` for the GPU that Keras's backend trains on, None where it trains on the CPU."""
    import keras

    if keras.backend.backend() == "jax":
        import jax

        gpu = jax.devices()[0]
        if gpu.platform == "cpu":
            return None
        capability = [int(part) for part in str(getattr(gpu, "compute_capability", "8.0")).split(".")]
        return {"kind": "GPU", "name": gpu.device_kind, "bfloat16": capability >= [8, 0]}
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        gpus = tf.config.list_physical_devices("GPU")
        if gpus:
            details = tf.config.experimental.get_device_details(gpus[0])
            # NVIDIA's generation 8.0 is the first that has it, and what a GPU is taken for that does not tell
            has_bfloat16 = details.get("compute_capability", (8, 0)) >= (8, 0)
            return {"kind": "GPU", "name": details.get("device_name", gpus[0].name), "bfloat16": has_bfloat16}
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
    found = device()
    if found["bfloat16"]:
        return "mixed_bfloat16"
    return "mixed_float16" if found["kind"] == "GPU" else "float32"


def _cpu_line(name: str) -> str:
    """Value of `name` for the first core in /proc/cpuinfo; empty where there is no such file or line."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith(name):
                return line.split(":", 1)[1].strip()
    return ""


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
        keras.backend.clear_session(free_memory=False)  # the garbage is collected once, after both
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
    import tensorflow as tf

    found = device()
    return {
        "device": found["kind"],
        "device_name": found["name"],
        "precision": precision,
        "backend": keras.backend.backend(),
        "python": platform.python_version(),
        "keras": keras.__version__,
        "tensorflow": tf.__version__,
        "numpy": np.__version__,
    }
