"""Fixtures of the command line's tests: a command in this process, and one in a process of its own."""

import csv
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import fakes
import numpy as np
import pytest

from dfclib.cli import main, output
from dfclib.datasets.images import ImageSet, Splits
from dfclib.predictions import Predictions
from dfclib.recipes import find

CLASSES = ("0", "1", "2")


@pytest.fixture
def empty_folder(tmp_path, monkeypatch):
    """The test runs in an empty folder: no deepfake_data, no runs, no report."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def call(capsys):
    """Runs a command, which has to end with `status`, and returns what it writes: out and err."""

    def run(*argv, status: int = 0):
        assert main.main([str(argument) for argument in argv]) == status, capsys.readouterr().err
        return capsys.readouterr()

    return run


@pytest.fixture
def fails(call):
    """Runs a command that has to end with 1, and returns its message."""

    def message_of(*argv) -> str:
        message = call(*argv, status=1).err
        assert "Traceback" not in message and "error: " in message
        return message

    return message_of


@pytest.fixture
def python():
    """Runs Python in a process of its own: its result, or the process itself where pipes are given."""

    def run(*arguments, encoding=None, **options):
        environment = os.environ | {"PYTHONPATH": str(Path(main.__file__).parents[2])}
        environment |= {"PYTHONIOENCODING": encoding} if encoding else {}
        command = [sys.executable, *map(str, arguments)]
        if "stdout" in options:
            return subprocess.Popen(command, env=environment, **options)
        options = {"text": not encoding, "timeout": 120} | options
        return subprocess.run(command, capture_output=True, env=environment, **options)

    return run


@pytest.fixture
def no_keras(monkeypatch):
    """Commands that would train or predict get here without Keras; the test replaces what they call."""
    monkeypatch.setattr(output, "import_keras", lambda arguments: None)


@pytest.fixture
def asked(monkeypatch, no_keras):
    """The images that a model was asked about; it says class 2 of all."""
    seen = []

    def fake(run, images, mirror_averaged=None):
        seen.append(images)
        probabilities = np.tile(np.float32([0.1, 0.2, 0.7]), (len(images), 1))
        return Predictions(images.ids, np.full(len(images), 2), CLASSES, probabilities)

    monkeypatch.setattr("dfclib.training.inference.predict_images", fake)
    monkeypatch.setattr("dfclib.training.inference.check_weights", lambda *_: None)
    return seen


@pytest.fixture
def small_splits():
    """Makes 9 training, 6 validation and `test` test images of 20x24 pixels, of three classes."""

    def make(name: str = "small", test: int = 4) -> Splits:
        def part(split, count):
            images = np.random.default_rng(count).integers(0, 256, (count, 20, 24, 3), dtype=np.uint8)
            ids = np.array([f"{split}-{i}" for i in range(count)])
            return ImageSet(images, np.arange(count) % len(CLASSES), ids, CLASSES)

        return Splits(name, part("train", 9), part("validation", 6), replace(part("test", test), labels=None))

    return make


def _predictions(split: str, predicted: list[int], labels: list[int] | None = None) -> Predictions:
    """Predictions that give 0.6 to the predicted class and 0.2 to each of the others."""
    rows = 0.2 + 0.4 * np.eye(len(CLASSES))[predicted]
    ids = [f"{split}-{i}" for i in range(len(rows))]
    return fakes.with_probabilities(rows, ids, CLASSES, None if labels is None else np.array(labels))


@pytest.fixture
def predictions():
    """Makes predictions of a split from predicted and perhaps true labels."""
    return _predictions


@pytest.fixture
def make_run():
    """Makes the folder of a finished run of attempt1 without weights, on images as `small_splits` makes them.

    parts: predictions by split; data: changes to the description of the data
    """

    def make(seed=0, parts=None, data=None, folder="runs") -> Path:
        validation = _predictions("validation", [0, 1, 2, 0, 1, 0], labels=[0, 1, 2, 0, 1, 2])
        parts = parts or {"validation": validation, "test": _predictions("test", [0, 1, 2, 0])}
        described = {"image_size": [20, 24], "class_names": list(CLASSES)} | (data or {})
        recipe = find("attempt1").quick().with_options(seed=seed)
        validation, test = (parts.get(split) for split in ("validation", "test"))
        return fakes.make_run(folder, recipe, validation, test=test, data=described).path

    return make


@pytest.fixture
def write_csv():
    """Writes a CSV file of labels from its lines."""
    return lambda path, *lines: Path(path).write_text("\n".join(["image_id,label", *lines]) + "\n")


@pytest.fixture
def read_csv():
    """Reads the rows of a CSV file, the header first."""
    return lambda path: list(csv.reader(Path(path).read_text().splitlines()))
