"""A training that is killed, whenever and how often, ends like one that never was: bit for bit.

Run as a script (`python test_resume.py RUNS [die]`) this file is the training process that the test kills.
"""

import os
import random
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from conftest import misleading, tiny_images, tiny_recipe

from dfclib.datasets.images import Splits
from dfclib.recipes.recipe import Augmentation, ExponentialRate, Stopping
from dfclib.runs import Run

ROOT = Path(__file__).parents[1]
NAME = "tiny-full-misleading-published-seed5"
PATIENCE = 13
KILLS = 5


def recipe():
    """Everything with a state: dropout, augmentation, Adam, a growing schedule, best weights and a count of epochs."""
    return replace(
        tiny_recipe(seed=5),
        epochs=100,
        schedule=ExponentialRate(1e-3, factor=1.5, steps=100),
        stopping=Stopping("val_loss", PATIENCE),
        augmentation=Augmentation(rotation=10, shift=0.1, zoom=0.1, horizontal_flip=True),
        class_repeats={"4": 2},
    )


def data():
    """Validation is labelled wrongly: an early epoch is the best, and it must survive every kill."""
    return misleading(Splits("tiny", tiny_images(40, 0, "train"), tiny_images(12, 1, "validation")))


def process(runs_dir, *arguments):
    """A training process of its own: nothing that the tests did before is in it."""
    return subprocess.Popen(
        [sys.executable, __file__, str(runs_dir), *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def until_an_epoch(training) -> list[str]:
    """Wait for the first epoch that this process finishes; what it has printed so far."""
    lines = []
    for line in training.stdout:
        lines.append(line)
        if line.startswith("  epoch "):
            break
    return lines


def finish(runs_dir) -> tuple[Run, str]:
    training = process(runs_dir)
    output = training.communicate(timeout=300)[0]
    assert training.returncode == 0, output
    return Run(runs_dir / NAME), output


def check_nothing_was_lost(output: str, done: int) -> int:
    """The epochs done after a process that printed `output`, when those before it had printed `done` of them."""
    going_on = re.search(r"going on after epoch (\d+)", output)
    start = int(going_on.group(1)) if going_on else 0
    assert start in (done, done + 1), output  # the one more: saved, and killed before it could be printed
    return start + output.count("\n  epoch ")


def arrays(run):
    import keras

    return keras.saving.load_model(run.model_path, compile=False).get_weights()


def test_killed_again_and_again_it_ends_with_the_same_weights(tmp_path):
    expected, _ = finish(tmp_path / "uninterrupted")
    history = expected.history
    # the early epoch is the best and the training stops by itself: there is a state to lose
    assert expected.metrics["chosen_epoch"] <= 3
    assert len(history) == expected.metrics["chosen_epoch"] + PATIENCE < 100
    epoch_seconds = history["seconds"].iloc[1:].median() + 0.05

    seed = random.randrange(10**6)
    delays = [random.Random(seed + number).uniform(0, 1.2 * epoch_seconds) for number in range(KILLS)]
    about = f"seed {seed}, delays {[round(delay, 3) for delay in delays]} s after the first epoch of each process"
    folder = tmp_path / "killed" / NAME
    done = 0
    for number, delay in enumerate(delays):
        training = process(tmp_path / "killed")
        output = until_an_epoch(training)
        time.sleep(delay)
        training.send_signal(signal.SIGKILL)
        output = "".join(output) + training.communicate()[0]
        assert training.returncode == -signal.SIGKILL, f"kill {number} came too late: {about}\n{output}"
        assert (folder / "checkpoint" / "state.json").exists(), about
        assert not (folder / "metrics.json").exists(), about
        done = check_nothing_was_lost(output, done)

    # once more, by its own hand in the middle of writing a checkpoint's arrays
    training = process(tmp_path / "killed", "die")
    output = training.communicate(timeout=300)[0]
    assert training.returncode == -signal.SIGKILL, output
    assert list((folder / "checkpoint").glob(".*.tmp")), "died, but not while writing"
    done = check_nothing_was_lost(output, done)

    run, output = finish(tmp_path / "killed")
    assert check_nothing_was_lost(output, done) == len(history), about
    columns = [name for name in history.columns if name != "seconds"]
    assert run.history[columns].equals(history[columns]), about
    for before, after in zip(arrays(expected), arrays(run), strict=True):
        assert np.array_equal(before, after), about
    for split in expected.splits:
        one, other = expected.predictions(split), run.predictions(split)
        assert np.array_equal(one.probabilities, other.probabilities), about
    for key in ("chosen_epoch", "epochs", "validation", "stability", "train_accuracy"):
        assert run.metrics[key] == expected.metrics[key], about
    assert not (folder / "checkpoint").exists()
    assert not list(folder.rglob(".*.tmp"))


def die_while_writing() -> None:
    """Let this process kill itself half-way through the arrays of its first checkpoint."""
    original = np.savez

    def half(file, **columns):
        original(file, **dict(list(columns.items())[: len(columns) // 2]))
        file.flush()
        os.kill(os.getpid(), signal.SIGKILL)

    np.savez = half


if __name__ == "__main__":
    from dfclib.training import train

    if sys.argv[2:] == ["die"]:
        die_while_writing()
    train(recipe(), data(), sys.argv[1])
