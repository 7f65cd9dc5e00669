"""A training that is killed, whenever and how often, ends like one that never was: bit for bit.

Run as a script (`python test_resume.py RUNS [die | plateau]`) this file is the training process that the test kills.
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
import pytest
from fakes import misleading, tiny_images, tiny_recipe

from dfclib.callbacks import ResumableCheckpoint
from dfclib.datasets.images import Splits
from dfclib.files import read_json
from dfclib.recipes import find
from dfclib.recipes.recipe import Augmentation, Stopping
from dfclib.recipes.schedules import ExponentialRate, PlateauRate
from dfclib.runs import Run

ROOT = Path(__file__).parents[2]
NAME = "tiny-full-misleading-published-seed5"
PATIENCE = 13
KILLS = 2


def recipe():
    """Everything with a state: dropout, augmentation, Adam, a growing schedule, best weights and a count of epochs."""
    return replace(
        tiny_recipe(seed=5),
        epochs=100,
        schedule=ExponentialRate(1e-3, factor=1.5, steps=100),
        stopping=Stopping("val_loss", PATIENCE),
        keep="best_val_loss",
        augmentation=Augmentation(rotation=10, shift=0.1, zoom=0.1, horizontal_flip=True),
        class_repeats={"4": 2},
    )


def plateau_recipe():
    """The other systems' states: batch normalisation, Adam with L2, channel dropout, a rate that falls on a plateau."""
    return replace(
        find("s1-v1"),
        name="plateau",
        arguments=find("s1-v1").arguments | {"filters": [4, 6], "units": 8},
        image_size=(16, 16),
        epochs=8,
        # no val_loss is gain enough after the first epoch's: the rate falls after every second one
        schedule=PlateauRate(2e-3, 0.5, patience=1, monitor="val_loss", threshold=0.9),
        stopping=Stopping("val_accuracy", 8),
        weight_decay=1e-2,
        seed=5,
    )


def data():
    """Validation is labelled wrongly: an early epoch is the best, and it must survive every kill."""
    return misleading(Splits("tiny", tiny_images(40, 0, "train"), tiny_images(12, 1, "validation")))


def process(runs_dir, *arguments):
    """A training process of its own: nothing that the tests did before is in it."""
    return subprocess.Popen(
        [sys.executable, __file__, str(runs_dir), *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}", "TF_CPP_MIN_LOG_LEVEL": "3"},
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
    assert expected.metrics["kept_epoch"] <= 3
    assert len(history) == expected.metrics["kept_epoch"] + PATIENCE < 100
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
    for key in ("kept_epoch", "epochs", "validation", "validation_fluctuation", "train_accuracy"):
        assert run.metrics[key] == expected.metrics[key], about
    assert not (folder / "checkpoint").exists()
    assert not list(folder.rglob(".*.tmp"))


class Killed(BaseException):
    """Nobody catches this."""


def test_a_plateau_with_batch_normalisation_and_l2_goes_on_in_another_process_as_if_nothing_had_been(
    tmp_path, monkeypatch
):
    """Stopped after four epochs, when the rate has been halved once and one of the next two bad epochs is counted."""
    from dfclib import training

    expected = training.train(plateau_recipe(), data(), tmp_path / "uninterrupted", progress=False)
    rates = expected.history["learning_rate"].to_numpy()
    np.testing.assert_allclose(rates, 2e-3 * 0.5 ** np.array([0, 0, 0, 1, 1, 2, 2, 3]), rtol=1e-6)

    original = ResumableCheckpoint.on_epoch_end

    def stop(self, epoch, logs=None):
        original(self, epoch, logs)
        if epoch == 3:
            raise Killed

    monkeypatch.setattr(ResumableCheckpoint, "on_epoch_end", stop)
    with pytest.raises(Killed):
        training.train(plateau_recipe(), data(), tmp_path / "killed", progress=False)
    folder = tmp_path / "killed" / expected.name
    state = read_json(folder / "checkpoint" / "state.json")
    assert state["callbacks"]["1-ReduceLROnPlateau"]["wait"] == 1

    rest = process(tmp_path / "killed", "plateau")
    output = rest.communicate(timeout=300)[0]
    assert rest.returncode == 0, output
    assert "going on after epoch 4" in output
    run = Run(folder)
    columns = [name for name in expected.history.columns if name != "seconds"]
    assert run.history[columns].equals(expected.history[columns])
    for before, after in zip(arrays(expected), arrays(run), strict=True):
        assert np.array_equal(before, after)
    for split in expected.splits:
        assert np.array_equal(expected.predictions(split).probabilities, run.predictions(split).probabilities)


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
    train(plateau_recipe() if sys.argv[2:] == ["plateau"] else recipe(), data(), sys.argv[1])
