"""Does one training after another in the same process keep memory? Resident memory after 1 to 10 small trainings.

    python benchmarks/memory.py          # a minute or two on two idle cores

The pair's two networks (S1) are trained in turns, each with another seed, on the embedded images: its author's process
ran out of memory when the second network came. What counts is the climb from training to training after the second,
by when each network has been there once; the first brings TensorFlow itself.
"""

import os
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from dfclib.datasets.generated.animals import make_splits
from dfclib.files import write_json
from dfclib.recipes import find
from dfclib.training import train
from dfclib.training.devices import environment

TRAININGS = 10
SHOWN = (1, 5, 10)


def main() -> None:
    splits, sizes = make_splits(), []
    pair = [find(name).quick().with_options(epochs=2) for name in ("s1-v1", "s1-v2")]
    with tempfile.TemporaryDirectory() as folder:
        for number in range(TRAININGS):
            train(pair[number % 2].with_options(seed=number), splits, folder, progress=False)
            sizes.append(resident_megabytes())
            print(f"after {number + 1:2} trainings: {sizes[-1]:.0f} MB", flush=True)
    # the slope of the line from the second training to the last
    climb = (sizes[-1] - sizes[1]) / (TRAININGS - 2)
    print(f"{climb:+.1f} MB per training after the second")
    write_json(
        "benchmarks/results/memory.json",
        {
            "environment": environment(),
            "resident_megabytes": {str(n): round(sizes[n - 1], 1) for n in SHOWN},
            "all": [round(size, 1) for size in sizes],
            "megabytes_per_training_after_the_second": round(climb, 2),
        },
    )


def resident_megabytes() -> float:
    """What the process holds of the machine's memory now (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024


if __name__ == "__main__":
    main()
