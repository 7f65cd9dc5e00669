"""Does one training after another in the same process keep memory? Resident memory after 1 to 24 small trainings.

    python benchmarks/memory.py          # two minutes on two idle cores

The pair's two networks (S1) are trained in turns, each with another seed, on the embedded images: its author's process
ran out of memory when the second network came. What counts is the climb from training to training in the second half:
the first ones bring TensorFlow, and it keeps some of what they made it build.
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

TRAININGS = 24
SHOWN = (1, 12, 24)


def main() -> None:
    splits, sizes = make_splits(), []
    pair = [find(name).quick().with_options(epochs=2) for name in ("s1-v1", "s1-v2")]
    with tempfile.TemporaryDirectory() as folder:
        for number in range(TRAININGS):
            train(pair[number % 2].with_options(seed=number), splits, folder, progress=False)
            sizes.append(resident_megabytes())
            print(f"after {number + 1:2} trainings: {sizes[-1]:.0f} MB", flush=True)
    # from the middle to the last: what TensorFlow builds up in the first trainings, it keeps
    half = TRAININGS // 2
    climb = (sizes[-1] - sizes[half - 1]) / (TRAININGS - half)
    print(f"{climb:+.1f} MB per training in the second half")
    write_json(
        "benchmarks/results/memory.json",
        {
            "environment": environment(),
            "resident_megabytes": {str(n): round(sizes[n - 1], 1) for n in SHOWN},
            "all": [round(size, 1) for size in sizes],
            "megabytes_per_training_in_the_second_half": round(climb, 2),
        },
    )


def resident_megabytes() -> float:
    """What the process holds of the machine's memory now (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024


if __name__ == "__main__":
    main()
