"""How long S1's own way of training takes, and how long ours, `sprint`, on the same machine in one run.

    python benchmarks/time_to_accuracy.py --data deepfake_data            # seven minutes on two idle cores
    python benchmarks/time_to_accuracy.py --data deepfake_data --whole    # and then trains sprint to its end
    python benchmarks/time_to_accuracy.py --recorded                      # measures nothing: see below

S1's loop is PyTorch as its author has it (s1_in_torch.py). Each of its two networks is measured for a minute without
worker processes, the DataLoader's default, and for a minute with two of them; the faster counts, and the validation
after each epoch is left out. Seconds per epoch are multiplied by the epochs of the recorded S1 runs that follow its
whole schedule; while there are none, no ratio is told. --recorded takes the speeds of an earlier result, for when these
runs were recorded after it. Sprint's seconds per step are multiplied by its steps; --whole
trains it as `train` does, into a temporary folder, and looks at no validation image.

It needs PyTorch, which dfclib itself does not: pip install torch==2.13.0
"""

import argparse
import os
import statistics
import tempfile
import time
from dataclasses import replace
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import s1_in_torch
from common import answer, finish, images_per_second, measure_in_turns, parser, require_torch, show, summary

from dfclib.files import read_json, write_json
from dfclib.recipes import find
from dfclib.reporting.rows import recorded_seeds
from dfclib.runs import find_recorded, find_runs
from dfclib.training.quiet import import_keras

PAIR, LOADERS = ("s1-v1", "s1-v2"), ("no workers", "2 workers")


def main() -> None:
    made = parser(__doc__, "time_to_accuracy")
    measured = made.add_mutually_exclusive_group(required=True)
    measured.add_argument("--data", help="the competition's folder")
    measured.add_argument("--recorded", action="store_true", help="multiply the speeds in --out by the recorded epochs")
    made.add_argument("--seconds", type=float, default=60.0, help="for each network and loader (default: 60)")
    made.add_argument("--rounds", type=int, default=4, help="turns that share these seconds (default: 4)")
    made.add_argument("--whole", action="store_true", help="train sprint to its end as well")
    arguments = made.parse_args()
    if arguments.recorded:
        write_json(arguments.out, with_epochs(read_json(arguments.out)))
        return
    require_torch()
    seconds = arguments.seconds / arguments.rounds
    if arguments.part == "sprint":
        measure_sprint(arguments.data, seconds)
    elif arguments.part == "sprint, whole":
        answer({}, lambda: seconds_whole(arguments.data))
    elif arguments.part:
        name, loader = arguments.part.split(", ")
        facts, step = s1_in_torch.training(name, arguments.data, workers=2 * LOADERS.index(loader))
        answer(facts, lambda: images_per_second(step, seconds))
    else:
        compare(arguments)


def compare(arguments: argparse.Namespace) -> None:
    loops = {name: [f"{name}, {loader}" for loader in LOADERS] for name in PAIR}
    facts, speeds = measure_in_turns([*sum(loops.values(), []), "sprint"], arguments.rounds)
    rows = {part: summary(values) for part, values in speeds.items()}
    for part, row in rows.items():
        show(part, row, "images/s")
    sprint, images = facts["sprint"], facts["sprint"]["images"]
    per_epoch = {name: images / max(statistics.median(speeds[loop]) for loop in loops[name]) for name in PAIR}
    for name, seconds in per_epoch.items():
        print(f"{name}: {seconds:.0f} s per epoch of {images:,} images")
    step = sprint["batch_size"] / statistics.median(speeds["sprint"])
    ours = {"by its steps": step * sprint["steps"]}
    print(f"sprint: {sprint['steps']:,} steps of {1000 * step:.0f} ms")
    if arguments.whole:
        ours["trained to its end"] = measure_in_turns(["sprint, whole"], 1)[1]["sprint, whole"][0]
    for how, seconds in ours.items():
        epochs = seconds / sum(per_epoch.values())
        print(f"sprint, {how}: {seconds / 60:.1f} min, as long as {epochs:.1f} epochs of the pair")
    values = {
        "images": images,
        "images_per_second": rows,
        "s1": {"parameters": {name: facts[loops[name][0]]["parameters"] for name in PAIR}}
        | {"seconds_per_epoch": {name: round(seconds, 1) for name, seconds in per_epoch.items()}},
        "sprint": {"steps": sprint["steps"], "milliseconds_per_step": round(1000 * step, 1)}
        | {"seconds": {how: round(seconds, 1) for how, seconds in ours.items()}}
        | {"recorded_validation_accuracy": sprint_accuracy()},
    }
    finish(arguments.out, sprint["precision"], with_epochs(values))


def with_epochs(values: dict[str, Any]) -> dict[str, Any]:
    """The measured values, with the time that S1's whole schedule takes at these speeds beside sprint's."""
    epochs, per_epoch = s1_epochs(), values["s1"]["seconds_per_epoch"]
    if None in epochs.values():
        lacking = " and ".join(name for name, count in epochs.items() if count is None)
        print(f"S1's epochs are not known yet: report/runs has no run of its whole schedule for {lacking}")
        return values | {"s1": values["s1"] | {"epochs": epochs, "seconds": None}, "s1_takes_times_as_long": None}
    theirs = sum(per_epoch[name] * epochs[name] for name in PAIR)
    ratio = theirs / list(values["sprint"]["seconds"].values())[-1]
    told = " and ".join(f"{count} epochs of {name}" for name, count in epochs.items())
    print(f"S1's way, {told}: {theirs / 3600:.2f} hours, {ratio:.0f} times as long as sprint")
    s1 = values["s1"] | {"epochs": epochs, "seconds": round(theirs)}
    return values | {"s1": s1, "s1_takes_times_as_long": round(ratio, 1)}


def s1_epochs() -> dict[str, int | None]:
    """Epochs of the recorded runs of today's recipes, by network; None where there is none, or only a shortened one."""
    runs = {run.recipe.name: run for run in find_recorded(*PAIR, protocol="published")}
    whole = {name: run for name, run in runs.items() if run.is_current and not run.recipe.given_epochs}
    return {name: whole[name].metrics["epochs"] if name in whole else None for name in PAIR}


def sprint_accuracy() -> dict[str, float | int] | None:
    """n, mean, median, min and max (fractions) over the recorded runs of today's sprint; None where there is none."""
    found = [run.metrics["validation"]["accuracy"] for run in recorded_seeds(find_runs("report/runs"), "sprint")]
    if not found:
        print("sprint's accuracy is not known yet: report/runs has no run of it")
        return None
    print(f"sprint's accuracy: {statistics.mean(found):.2%} of validation, the mean of {len(found)} recorded runs")
    return summary(found, 4) | {"mean": round(statistics.mean(found), 4)}


def measure_sprint(data: str, seconds: float) -> None:
    import_keras()
    import tensorflow as tf
    from training_speed import speed

    from dfclib.datasets.sources import load
    from dfclib.pipelines import batches_per_epoch
    from dfclib.training.devices import resolve_precision
    from dfclib.training.model import compiled_model

    tf.config.experimental.enable_op_determinism()  # as in all our training
    recipe, images = find("sprint"), load(data).train
    precision = resolve_precision(recipe.precision)
    model = compiled_model(recipe, precision, len(images.class_names), images)
    facts = {"images": len(images), "batch_size": recipe.batch_size, "precision": precision}
    facts["steps"] = recipe.epochs * batches_per_epoch(images, recipe)
    answer(facts, lambda: speed(model, images, recipe, seconds))


def seconds_whole(data: str) -> float:
    """Seconds in which sprint is trained, saved and asked for its predictions; the images are loaded before."""
    from dfclib.datasets.sources import load
    from dfclib.training import train

    splits = load(data)
    # as many images to predict, but training images: each look at validation is to be noted, and this is none
    shown = splits.train.take(np.arange(min(len(splits.train), len(splits.validation))))
    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter()
        train(find("sprint"), replace(splits, validation=shown), folder, progress=False)
        return time.perf_counter() - begin


if __name__ == "__main__":
    main()
