"""Made-up data that several tests share: tiny images and recipes that train in seconds, predictions and runs."""

import io
import math
import struct
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dfclib.datasets import kaggle
from dfclib.datasets.folder.loading import load_folder
from dfclib.datasets.images import ImageSet, Splits
from dfclib.errors import UserError
from dfclib.files import write_json
from dfclib.predictions import Predictions
from dfclib.recipes import EnsembleRecipe, Recipe, find
from dfclib.runs import HISTORY_COLUMNS, Run, load_run, run_name, write_predictions_file

COLOURS = np.array([[180, 0, 0], [0, 180, 0], [0, 0, 180], [180, 180, 0], [0, 180, 180]])


def tiny_images(per_class: int, seed: int, prefix: str, size: tuple[int, int] = (16, 16)) -> ImageSet:
    """Five classes of one colour each, with noise: uint8 (5 * per_class, *size, 3)."""
    labels = np.tile(np.arange(5), per_class)
    noise = np.random.default_rng(seed).integers(0, 70, (len(labels), *size, 3))
    images = (COLOURS[labels][:, None, None, :] + noise).astype(np.uint8)
    ids = np.array([f"{prefix}-{i:04d}" for i in range(len(labels))])
    return ImageSet(images, labels, ids, ("0", "1", "2", "3", "4"))


def tiny_recipe(**changes):
    """Attempt 2 made tiny: 16x16 pixels, few filters, three epochs, no stopping, the last epoch kept, float32."""
    arguments = find("attempt2").arguments | {"filters": [4, 6, 8], "head": [[16, 0.2]]}
    base = replace(find("attempt2"), name="tiny", image_size=(16, 16), epochs=3, batch_size=16, stopping=None)
    base = replace(base, keep="last", precision="float32", arguments=arguments, claims={}, attempt="")
    return replace(base, **changes)


def misleading(splits: Splits) -> Splits:
    """The same data, but validation is labelled wrongly: the better the training, the worse its val_loss."""
    wrong = replace(splits.validation, labels=(splits.validation.labels + 1) % 5)
    return replace(splits, name="misleading", validation=wrong)


# Folders of images

SIDE = 8


def folder_splits(names: tuple[str, ...] = ("0", "1"), channels: int = 3) -> Splits:
    """train t0..t5, validation va0..va3, test tes0..tes2, of 8x8 pixels; labels in turn."""

    def part(prefix: str, count: int, labelled: bool = True) -> ImageSet:
        images = np.random.default_rng(len(prefix)).integers(0, 256, (count, SIDE, SIDE, channels), np.uint8)
        labels = np.arange(count) % len(names) if labelled else None
        return ImageSet(images, labels, np.array([f"{prefix}{i}" for i in range(count)]), names)

    return Splits("data", part("t", 6), part("va", 4), part("tes", 3, labelled=False))


def load(folder: Path, **arguments) -> Splits:
    return load_folder(folder, **arguments)


def complaint(folder: Path, **arguments) -> str:
    """The message that refuses the folder."""
    with pytest.raises(UserError) as caught:
        load(folder, **arguments)
    return str(caught.value)


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def save_image(path: Path, size: tuple[int, int] = (SIDE, SIDE), mode: str = "RGB") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, (size[1], size[0])).save(path)


def png_claiming(width: int, height: int) -> bytes:
    """A PNG of a few bytes whose header claims that size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


def same_splits(one: Splits, other: Splits) -> bool:
    """Whether pixels, ids, labels and class names of all parts are the same."""
    tests = [None if splits.test is None else splits.test.fingerprint for splits in (one, other)]
    return one.fingerprint == other.fingerprint and tests[0] == tests[1]


def truncate(folder: Path, name: str) -> None:
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) - 60])


def replace_image(folder: Path, name: str, content: bytes) -> None:
    assert (folder / name).exists()
    (folder / name).write_bytes(content)


# Kaggle

KAGGLE_FILES = {
    "train.csv": b"image_id,label\na,0\nb,1\n",
    "validation.csv": b"image_id,label\nc,0\n",
    "test.csv": b"image_id\nd\n",
    "train/a.png": b"A" * 900,
    "train/b.png": np.random.default_rng(0).bytes(900),
    "validation/c.png": b"C",
    "test/d.png": b"D",
}


def zipped(content: dict[str, bytes] = KAGGLE_FILES) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def files_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def assert_downloaded(folder: Path, content: dict[str, bytes] = KAGGLE_FILES) -> None:
    found = files_in(folder)
    assert found.pop(kaggle.RECORD)
    assert found == content


# Predictions and runs

CLASSES, ABC = ("0", "1", "2", "3", "4"), ("a", "b", "c")
FASHION = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)


def noise_images(classes: Sequence[str] = CLASSES, per_class=6, size=(20, 24), channels=3) -> ImageSet:
    """Random pixels, the classes in turn; ids as in the predictions below."""
    n = per_class * len(classes)
    pixels = np.random.default_rng(0).integers(0, 256, (n, *size, channels)).astype(np.uint8)
    return ImageSet(pixels, np.arange(n) % len(classes), _ids(n), tuple(classes))


def noise_splits(embedded=False) -> Splits:
    return Splits("unibuc", noise_images(), noise_images(per_class=2), embedded=embedded)


# ---- predictions ----


def _ids(n: int) -> np.ndarray:
    return np.array([f"i{i}" for i in range(n)])


def labels_only(predicted, ids=None, class_names=ABC, labels=None) -> Predictions:
    ids = _ids(len(predicted)) if ids is None else np.array(ids)
    return Predictions(ids, np.array(predicted, np.int64), tuple(class_names), None, labels)


def with_probabilities(rows, ids=None, class_names=ABC, labels=None) -> Predictions:
    rows = np.array(rows, np.float32)
    return replace(labels_only(rows.argmax(axis=1), ids, class_names, labels), probabilities=rows)


def with_confidence(predicted, confidence=0.6, class_names=CLASSES, labels=None) -> Predictions:
    """The predicted classes with `confidence`, the rest shared by the other classes."""
    k = len(class_names)
    rows = np.full((len(predicted), k), (1 - confidence) / (k - 1), np.float32)
    rows[np.arange(len(predicted)), predicted] = confidence
    return replace(labels_only(predicted, None, class_names, labels), probabilities=rows)


def predictions_with(accuracy: float, n: int = 1250, seed: int = 0) -> Predictions:
    """Predictions of which round(accuracy * n) are right; the wrong ones name the next class."""
    labels = np.arange(n) % len(CLASSES)
    wrong = np.random.default_rng(seed).permutation(n)[: n - round(accuracy * n)]
    predicted = labels.copy()
    predicted[wrong] = (predicted[wrong] + 1) % len(CLASSES)
    return with_confidence(predicted, labels=labels)


def guesses(seed: int, n: int = 1000, class_names=FASHION, strength: float = 3.0) -> Predictions:
    """Predictions with confidences of all sizes, right more often the larger `strength` is."""
    labels = np.arange(n) % len(class_names)
    logits = np.random.default_rng(seed).normal(0, 1.5, (n, len(class_names)))
    logits[np.arange(n), labels] += strength
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return with_probabilities(shares, class_names=class_names, labels=labels)


def hand_made() -> Predictions:
    """Six images of classes a, b, c: a is right twice of three, b once of two, c never predicted."""
    labels, predicted = np.array([0, 0, 0, 1, 1, 2]), np.array([0, 0, 1, 1, 0, 0])
    return replace(with_confidence(predicted, 0.5, ABC, labels), ids=np.array(list("uvwxyz")))


def two_classes(confidences, right) -> Predictions:
    """Every prediction is the first class, with these probabilities; it is true where `right`."""
    first = np.array(confidences, np.float32)
    rows = np.stack([first, 1 - first], axis=1)
    return replace(
        with_probabilities(rows, class_names=("a", "b"), labels=np.where(right, 0, 1)),
        predicted=np.zeros(len(first), np.int64),
    )


def shuffled(predictions: Predictions) -> Predictions:
    return predictions.take(np.random.default_rng(1).permutation(len(predictions)))


def counted(both: int, lost: int, won: int, neither: int) -> tuple[Predictions, Predictions]:
    """Two predictions with so many images that both, only the first, only the second and none get right."""
    counts = [both, lost, won, neither]
    labels = np.zeros(sum(counts), np.int64)
    first, second = (np.repeat(wrong, counts) for wrong in ([0, 0, 1, 1], [0, 1, 0, 1]))
    return labels_only(first, labels=labels), shuffled(labels_only(second, labels=labels))


def by_id(p: Predictions) -> dict:
    return {id_: p.class_names[label] for id_, label in zip(p.ids, p.predicted, strict=True)}


BY_HAND = two_classes([0.5, 0.625, 0.75, 0.875, 0.875, 1.0], [True, False, True, True, False, True])
LABELS = np.array([0, 0, 0, 1, 1, 2])
# fixed: images 1 and 5; made: images 3 and 4; wrong in both: image 2
BEFORE, AFTER = (labels_only(p, labels=LABELS) for p in ([0, 1, 1, 1, 1, 0], [0, 0, 1, 0, 2, 2]))


# ---- runs ----

EMBEDDED = {"name": "embedded", "embedded": True}


def make_run(
    folder: Path | str,
    recipe: Recipe | EnsembleRecipe | str,
    validation: float | Predictions | None = 0.8,
    *,
    held_out: float | Predictions | None = None,
    test: float | Predictions | None = None,
    n: int = 1250,
    val_accuracies: Sequence[float] | None = None,
    data: dict[str, Any] | None = None,
    environment: dict[str, Any] | None = None,
    metrics: dict[str, Any] | None = None,
) -> Run:
    """A finished run without weights, its folder as training leaves it.

    Args:
        folder: The run's folder is made in it.
        recipe: With its scale, seed and protocol; a name: that recipe at compact scale, as published.
        validation, held_out, test: Predictions for each split, or the accuracy of made-up ones of `n` images. Of a
            run that held images out, held_out is as validation unless it is given.
        val_accuracies: Validation accuracy of each epoch; None: seven epochs that rise and swing. A vote has none.
        data, environment, metrics: Fields of the run's files that are to be added or to differ.
    """
    recipe = find(recipe).compact() if isinstance(recipe, str) else recipe
    if held_out is None and recipe.protocol == "held_out":
        held_out = validation
    splits = {
        split: given if isinstance(given, Predictions) else predictions_with(given, n, recipe.seed)
        for split, given in {"validation": validation, "held_out": held_out, "test": test}.items()
        if given is not None
    }
    contents = _recipe_file(recipe, next(iter(splits.values())), data or {}, environment or {})
    path = Path(folder) / contents["name"]
    write_json(path / "recipe.json", contents)
    write_predictions_file(path, splits)
    figures = {split: {"n": len(p), "accuracy": p.accuracy} for split, p in splits.items() if p.labels is not None}
    if not contents["members"]:
        history = _history(recipe, figures.get("validation", {}).get("accuracy", 0.8), val_accuracies)
        pd.DataFrame(history).to_csv(path / "history.csv", index=False)
        figures |= {"epochs": len(history), "kept_epoch": max(1, len(history) - 2)}
        figures["train_accuracy"] = history[-1]["accuracy"]
    write_json(path / "metrics.json", {"seconds": 90.0} | figures | (metrics or {}))
    return load_run(path)


def _recipe_file(
    recipe: Recipe | EnsembleRecipe, predictions: Predictions, data: dict[str, Any], environment: dict[str, Any]
) -> dict[str, Any]:
    n, name = len(predictions), data.get("name", "unibuc")
    described = {"name": name, "fingerprint": f"of {name}", "embedded": False, "image_size": [100, 100], "channels": 3}
    described |= {"class_names": list(predictions.class_names), "counts": {"train": 10 * n, "validation": n}}
    voters = recipe.members if isinstance(recipe, EnsembleRecipe) else ()
    return {
        "name": run_name(recipe, name),
        "recipe": recipe.to_dict(),
        "recipe_fingerprint": recipe.fingerprint,
        "data": described | data,
        "environment": {"device": "CPU", "precision": "float32", "backend": "tensorflow"} | environment,
        "members": [run_name(voter, name) for voter in voters],
    }


def _history(recipe: Recipe, accuracy: float, val_accuracies: Sequence[float] | None) -> list[dict[str, float]]:
    epochs = 7 if val_accuracies is None else len(val_accuracies)
    swing = np.random.default_rng([recipe.seed, *recipe.name.encode()]).normal(0, 0.02, epochs)
    rows = []
    for i in range(epochs):
        rise = 1 - math.exp(-(i + 1) / 2)
        val_accuracy = 0.2 + (accuracy - 0.2) * rise + swing[i] if val_accuracies is None else val_accuracies[i]
        losses = 1.6 - 1.5 * rise, 1.6 - rise + 0.05 * i
        values = (i + 1, losses[0], 0.2 + 0.77 * rise, losses[1], val_accuracy, 1e-3 * 0.8**i, 12.5)
        rows.append(dict(zip(HISTORY_COLUMNS, values, strict=True)))
    return rows
