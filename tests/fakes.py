"""What several tests share: tiny images and recipes that train in seconds, made-up predictions and runs."""

import io
import math
import struct
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dfclib import recipes
from dfclib.datasets import kaggle
from dfclib.datasets.folder.loading import load_folder
from dfclib.datasets.images import ImageSet, Splits
from dfclib.errors import UserError
from dfclib.files import write_json
from dfclib.predictions import Predictions
from dfclib.recipes import EnsembleRecipe, find
from dfclib.runs import Run, load_run, run_name, write_history, write_predictions_file

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
    """The folder, without a progress bar."""
    return load_folder(folder, progress=False, **arguments)


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
    tests = [None if splits.test is None else splits.test.fingerprint() for splits in (one, other)]
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

CLASSES = ("0", "1", "2", "3", "4")


def predictions_with(accuracy: float, n: int = 1250, seed: int = 0) -> Predictions:
    """Predictions of which round(accuracy * n) are right; the wrong ones name the next class."""
    labels = np.arange(n) % len(CLASSES)
    wrong = np.random.default_rng(seed).permutation(n)[: n - round(accuracy * n)]
    predicted = labels.copy()
    predicted[wrong] = (predicted[wrong] + 1) % len(CLASSES)
    probabilities = np.full((n, len(CLASSES)), 0.1, np.float32)
    probabilities[np.arange(n), predicted] = 0.6
    return Predictions(np.array([f"i{i}" for i in range(n)]), predicted, CLASSES, probabilities, labels)


def make_run(
    folder: Path,
    name: str,
    accuracy: float = 0.8,
    scale: str = "compact",
    seed: int = 0,
    protocol: str = "published",
    embedded: bool = False,
    n: int = 1250,
    epochs: int = 7,
) -> Run:
    """A finished run folder as training leaves it, with made-up figures."""
    recipe = recipes.find(name).at_scale(scale).with_options(protocol=protocol)
    recipe = replace(recipe, seed=seed)
    data = "embedded" if embedded else "unibuc"
    path = folder / run_name(recipe, data)
    members = [run_name(m, data) for m in recipe.members] if isinstance(recipe, EnsembleRecipe) else []
    contents = {
        "name": path.name,
        "recipe": recipe.to_dict(),
        "recipe_fingerprint": recipe.fingerprint,
        "data": {
            "name": data,
            "fingerprint": f"of {data}",
            "embedded": embedded,
            "class_names": list(CLASSES),
            "image_size": [100, 100],
            "channels": 3,
            "counts": {"train": 10 * n, "validation": n},
        },
        "environment": {"device": "CPU", "precision": "float32", "backend": "tensorflow"},
    }
    write_json(path / "recipe.json", contents | ({"members": members} if members else {}))
    predictions = predictions_with(accuracy, n, seed)
    split = {"validation": predictions}
    write_predictions_file(path, split if protocol == "published" else split | {"held_out": predictions})
    if not members:
        wave = np.random.default_rng([seed, len(name), ord(name[-1])]).normal(0, 0.02, epochs)
        rows = []
        for i in range(epochs):
            rise = 1 - math.exp(-(i + 1) / 2)
            rows.append(
                {
                    "epoch": i + 1,
                    "loss": 1.6 - 1.5 * rise,
                    "accuracy": 0.2 + 0.77 * rise,
                    "val_loss": 1.6 - rise + 0.05 * i,
                    "val_accuracy": 0.2 + (accuracy - 0.2) * rise + wave[i],
                    "learning_rate": 1e-3 * 0.8**i,
                    "seconds": 12.5,
                }
            )
        write_history(path, rows)
    metrics = {"validation": {"n": n, "accuracy": predictions.accuracy}, "seconds": 12.5 * epochs}
    if protocol == "held_out":
        metrics["held_out"] = metrics["validation"]
    write_json(path / "metrics.json", metrics | ({} if members else {"kept_epoch": epochs - 2}))
    return load_run(path)


def hand_made() -> Predictions:
    """Six images of classes a, b, c: a is right twice of three, b once of two, c never predicted."""
    labels, predicted = np.array([0, 0, 0, 1, 1, 2]), np.array([0, 0, 1, 1, 0, 0])
    probabilities = np.full((6, 3), 0.25, np.float32)
    probabilities[np.arange(6), predicted] = 0.5
    return Predictions(np.array(list("uvwxyz")), predicted, ("a", "b", "c"), probabilities, labels)


ABC = ("a", "b", "c")


def labels_only(predicted, ids=None, class_names=ABC, labels=None) -> Predictions:
    ids = np.array(ids if ids is not None else [f"i{i}" for i in range(len(predicted))])
    return Predictions(ids, np.array(predicted, np.int64), class_names, None, labels)


def with_probabilities(rows, ids=None, class_names=ABC, labels=None) -> Predictions:
    rows = np.array(rows, np.float32)
    return replace(labels_only(rows.argmax(axis=1), ids, class_names, labels), probabilities=rows)


def by_id(p: Predictions) -> dict:
    return {id_: p.class_names[label] for id_, label in zip(p.ids, p.predicted, strict=True)}


def two_classes(confidences, right) -> Predictions:
    """Every answer is the first class, with these probabilities; it is true where `right`."""
    first = np.array(confidences, np.float32)
    ids = np.array([f"i{i}" for i in range(len(first))])
    labels = np.where(right, 0, 1)
    return Predictions(ids, np.zeros(len(first), np.int64), ("a", "b"), np.stack([first, 1 - first], axis=1), labels)


BY_HAND = two_classes([0.5, 0.625, 0.75, 0.875, 0.875, 1.0], [True, False, True, True, False, True])


LABELS = np.array([0, 0, 0, 1, 1, 2])


BEFORE, AFTER = [0, 1, 1, 1, 1, 0], [0, 0, 1, 0, 2, 2]  # fixed: rows 1 and 5; made: rows 3 and 4; wrong twice: row 2


def says(predicted, labels=LABELS) -> Predictions:
    ids = np.array([f"i{i}" for i in range(len(predicted))])
    return Predictions(ids, np.array(predicted, np.int64), ("a", "b", "c"), None, labels)


def shuffled(predictions: Predictions) -> Predictions:
    return predictions.take(np.random.default_rng(1).permutation(len(predictions)))


def counted(both: int, lost: int, won: int, neither: int) -> tuple[Predictions, Predictions]:
    """Two predictions with so many images that both, only the first, only the second and none get right."""
    n = both + lost + won + neither
    labels = np.zeros(n, np.int64)
    first = np.repeat([0, 0, 1, 1], [both, lost, won, neither])
    second = np.repeat([0, 1, 0, 1], [both, lost, won, neither])
    return says(first, labels), shuffled(says(second, labels))


FASHION = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)


def guesses(seed: int, n: int = 1000, class_names=FASHION, strength: float = 3.0) -> Predictions:
    """Answers with confidences of all sizes, right more often the larger `strength` is."""
    labels = np.arange(n) % len(class_names)
    logits = np.random.default_rng(seed).normal(0, 1.5, (n, len(class_names)))
    logits[np.arange(n), labels] += strength
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    ids = np.array([f"i{i}" for i in range(n)])
    return Predictions(ids, shares.argmax(axis=1), tuple(class_names), shares.astype(np.float32), labels)
