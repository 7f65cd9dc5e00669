"""What several benchmarks share: figures of a list, the file of results, and parts that are measured in turns.

A part runs in a process of its own: TensorFlow and PyTorch never share one, whose threads would get in each other's
way.
"""

import argparse
import contextlib
import importlib.metadata
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from dfclib.files import write_json

TORCH = "2.13.0"
WARM_UP = 5  # steps: batches that were loaded while other parts were measured are among them
_MARK = "measured: "


def parser(description: str, name: str) -> argparse.ArgumentParser:
    """A benchmark's parser, which has --out (benchmarks/results/NAME.json) and the --part that a child is told."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--out", default=f"benchmarks/results/{name}.json", help="JSON file (default: %(default)s)")
    made.add_argument("--part", help=argparse.SUPPRESS)
    return made


def summary(values: Sequence[float], digits: int = 1) -> dict[str, float | int]:
    """n, median, min and max of `values`, in their own unit, rounded to so many digits."""
    numbers = {"median": statistics.median(values), "min": min(values), "max": max(values)}
    return {"n": len(values)} | {name: round(value, digits) for name, value in numbers.items()}


def show(name: str, row: dict[str, float | int], unit: str) -> None:
    """Print a line with a `summary` of values in `unit`."""
    numbers = f"median {row['median']:,} {unit}, {row['min']:,} to {row['max']:,}, n = {row['n']}"
    print(f"{name:38} {numbers}", flush=True)


def finish(out: str, precision: str | None, values: dict[str, Any]) -> None:
    """Write `values` and the environment, PyTorch's version with it, as JSON into `out`; print versions and file."""
    from dfclib.training.devices import environment
    from dfclib.training.quiet import import_keras

    import_keras()
    found = environment(precision)
    if has_torch():
        found["torch"] = importlib.metadata.version("torch")
    write_json(out, {"environment": found} | values)
    print(", ".join(f"{name} {value}" for name, value in found.items() if value is not None))
    print(out)


def has_torch() -> bool:
    return importlib.util.find_spec("torch") is not None


def require_torch() -> None:
    """End with status 1 where PyTorch, which dfclib itself does not need, is not installed."""
    if not has_torch():
        sys.exit(
            f"this benchmark compares with PyTorch, which is not installed: pip install torch=={TORCH} "
            "(an environment of its own, with requirements/lock.txt, keeps yours as it is)"
        )


def images_per_second(step: Callable[[], int], seconds: float) -> float:
    """Speed of `step`, which returns how many images it took, over at least `seconds`, warm-up left out."""
    for _ in range(WARM_UP):
        step()
    images, begin = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - begin) < seconds or not images:
        images += step()
    return images / elapsed


def measure_in_turns(parts: Sequence[str], rounds: int) -> tuple[dict[str, dict[str, Any]], dict[str, list[float]]]:
    """Start this same command once for each part, and let the parts measure one after the other, round by round.

    So a machine that slows down half-way slows all. Returns for each part the facts that it told and its measurements.
    """
    shared = os.environ | {"TF_FORCE_GPU_ALLOW_GROWTH": "true"}  # else the first one takes a GPU's whole memory
    with contextlib.ExitStack() as running:
        children, facts = {}, {}
        for part in parts:  # one by one: none prepares itself while another one does
            command = [sys.executable, *sys.argv, "--part", part]
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
            child = subprocess.Popen(command, env=shared, **pipes)
            children[part] = running.enter_context(child)
            facts[part] = _read(child, part)
        measured: dict[str, list[float]] = {part: [] for part in parts}
        for number in range(1, rounds + 1):
            for part, child in children.items():
                child.stdin.write("\n")
                child.stdin.flush()
                measured[part].append(_read(child, part))
                print(f"round {number} of {rounds}, {part}: {measured[part][-1]:,.1f}", file=sys.stderr, flush=True)
        return facts, measured


def answer(facts: dict[str, Any], measure: Callable[[], float]) -> None:
    """In a part's process: tell `facts` as JSON, then measure once for every line that comes, until there are none."""
    print(_MARK + json.dumps(facts), flush=True)
    for _ in sys.stdin:
        print(_MARK + json.dumps(measure()), flush=True)


def _read(child: subprocess.Popen, part: str) -> Any:
    for line in child.stdout:
        if line.startswith(_MARK):
            return json.loads(line.removeprefix(_MARK))
        print(line, end="", flush=True)
    sys.exit(f"{part} ended before it was measured; what it said stands above")
