"""Fashion-MNIST: the four files read and verified, the order of the places, and each way a file can be wrong."""

import gzip
import hashlib
import struct
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from dfclib.datasets import fashion_mnist
from dfclib.datasets.fashion_mnist import CLASS_NAMES, load
from dfclib.datasets.images import channel_statistics
from dfclib.datasets.sources import load_fashion
from dfclib.errors import UserError

TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS = (file.name for file in fashion_mnist.FILES)
REAL = Path("/usr/share/datasets/fashion-mnist")


def idx(values: np.ndarray) -> bytes:
    return struct.pack(f">I{values.ndim}I", 0x0800 + values.ndim, *values.shape) + values.tobytes()


@pytest.fixture
def contents(monkeypatch, tmp_path) -> dict[str, bytes]:
    """Four tiny files' unpacked contents, 200 training and 20 test images, which `load` now takes for the true ones.

    It looks for Debian's files and Keras's cache where there are none.
    """
    rng = np.random.default_rng(0)
    values = {}
    for part, count in (("train", 200), ("t10k", 20)):
        values[f"{part}-images-idx3-ubyte"] = rng.integers(0, 256, (count, 28, 28), np.uint8)
        values[f"{part}-labels-idx1-ubyte"] = (np.arange(count) % 10).astype(np.uint8)
    contents = {name: idx(array) for name, array in values.items()}
    tiny = [
        replace(file, shape=values[file.name].shape, sha256=hashlib.sha256(contents[file.name]).hexdigest())
        for file in fashion_mnist.FILES
    ]
    monkeypatch.setattr(fashion_mnist, "FILES", tuple(tiny))
    monkeypatch.setattr(fashion_mnist, "DEBIAN", tmp_path / "debian")
    monkeypatch.setattr(fashion_mnist, "KERAS_CACHE", tmp_path / "keras" / "fashion-mnist")
    return contents


def write(contents: dict[str, bytes], folder: Path, packed: bool = True) -> Path:
    folder.mkdir(parents=True)
    for name, content in contents.items():
        (folder / (f"{name}.gz" if packed else name)).write_bytes(gzip.compress(content) if packed else content)
    return folder


@pytest.fixture
def folder(contents, tmp_path) -> Path:
    return write(contents, tmp_path / "data")


def complaint(folder: Path | None, **arguments) -> str:
    with pytest.raises(UserError) as caught:
        load(folder, **arguments)
    return str(caught.value)


def test_splits_of_tiny_files(folder, contents):
    splits = load(folder)
    assert splits.name == "fashion-mnist" and not splits.embedded and splits.class_names == CLASS_NAMES
    assert [len(part) for part in (splits.train, splits.validation, splits.test)] == [180, 20, 20]
    assert splits.validation.class_counts().tolist() == [2] * 10
    images = np.frombuffer(contents[TRAIN_IMAGES], np.uint8, offset=16).reshape(200, 28, 28, 1)
    for part in (splits.train, splits.validation):
        rows = np.array([int(id_.removeprefix("train-")) - 1 for id_ in part.ids])
        assert np.array_equal(part.images, images[rows]) and np.array_equal(part.labels, rows % 10)
    assert splits.test.ids[[0, 19]].tolist() == ["test-00001", "test-00020"]
    assert splits.test.images.tobytes() == contents[TEST_IMAGES][16:]


def test_unpacked_files_and_files_that_only_kept_the_name_give_the_same(folder, contents, tmp_path):
    expected = load(folder).fingerprint
    assert load(write(contents, tmp_path / "unpacked", packed=False)).fingerprint == expected
    (folder / f"{TRAIN_IMAGES}.gz").write_bytes(contents[TRAIN_IMAGES])  # as some browsers leave it
    assert load(str(folder)).fingerprint == expected


def cut(path: Path, count: int) -> None:
    path.write_bytes(path.read_bytes()[:-count])


def swap(folder: Path, one: str, other: str) -> None:
    a, b, c = folder / f"{one}.gz", folder / f"{other}.gz", folder / "aside"
    a.rename(c), b.rename(a), c.rename(b)


def put(folder: Path, name: str, content: bytes) -> None:
    (folder / f"{name}.gz").write_bytes(gzip.compress(content))


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-6] ^= 1  # in gzip's own checksum
    path.write_bytes(bytes(content))


TRUE_SIZE = 16 + 200 * 28 * 28
# fmt: off
WAYS = {  # how to break the files, and what the message must hold
    "truncated, packed": (lambda f, c: cut(f / f"{TRAIN_IMAGES}.gz", 1000),
        [f"{TRAIN_IMAGES}.gz: truncated or damaged",
         f"expected {TRUE_SIZE:,} bytes unpacked, received a packed file"]),
    "truncated before packing": (lambda f, c: put(f, TRAIN_IMAGES, c[TRAIN_IMAGES][:-5]),
        [f"{TRAIN_IMAGES}.gz: wrong size, expected {TRUE_SIZE:,} bytes unpacked, received {TRUE_SIZE - 5:,}."]),
    "truncated in its header": (lambda f, c: put(f, TEST_LABELS, c[TEST_LABELS][:6]),
        [f"{TEST_LABELS}.gz: wrong size, expected 28 bytes unpacked, received 6."]),
    "empty": (lambda f, c: (f / f"{TEST_LABELS}.gz").write_bytes(b""),
        [f"{TEST_LABELS}.gz: wrong magic number, expected 0x00000801, received an empty file."]),
    "damaged": (lambda f, c: damage(f / f"{TEST_IMAGES}.gz"), [f"{TEST_IMAGES}.gz: truncated or damaged"]),
    "too long": (lambda f, c: put(f, TRAIN_LABELS, c[TRAIN_LABELS] + b"\0\0"),
        [f"{TRAIN_LABELS}.gz: wrong size, expected 208 bytes unpacked, received more."]),
    "a web page": (lambda f, c: (f / f"{TRAIN_IMAGES}.gz").write_bytes(b"<html>404 Not Found</html>"),
        [f"{TRAIN_IMAGES}.gz: wrong magic number, expected 0x00000803, received 0x3c68746d."]),
    "images and labels swapped": (lambda f, c: swap(f, TEST_IMAGES, TEST_LABELS),
        [f"{TEST_IMAGES}.gz: it begins as {TEST_LABELS} does: are the two swapped?",
         f"{TEST_LABELS}.gz: it begins as {TEST_IMAGES} does: are the two swapped?"]),
    "training and test swapped": (lambda f, c: swap(f, TRAIN_LABELS, TEST_LABELS),
        [f"{TRAIN_LABELS}.gz: it begins as {TEST_LABELS} does: are the two swapped?",
         f"{TEST_LABELS}.gz: it begins as {TRAIN_LABELS} does: are the two swapped?"]),
    "a well-formed subset": (lambda f, c: put(f, TRAIN_IMAGES, idx(np.zeros((50, 28, 28), np.uint8))),
        [f"{TRAIN_IMAGES}.gz: wrong size, expected {TRUE_SIZE:,} bytes unpacked, received {16 + 50 * 28 * 28:,}."]),
    "another data set of the same size": (lambda f, c: put(f, TRAIN_LABELS, idx(np.zeros(200, np.uint8))),
        [f"{TRAIN_LABELS}.gz: wrong checksum, expected SHA-256", "MNIST's digits have the same names and sizes"]),
    "missing": (lambda f, c: (f / f"{TRAIN_LABELS}.gz").unlink(),
        [f"{TRAIN_LABELS}.gz: missing, and so is {TRAIN_LABELS}."]),
    "a folder": (lambda f, c: ((f / f"{TRAIN_LABELS}.gz").unlink(), (f / f"{TRAIN_LABELS}.gz").mkdir()),
        [f"{TRAIN_LABELS}.gz: cannot be read (Is a directory)"]),
}
# fmt: on


@pytest.mark.parametrize("way", WAYS)
def test_a_wrong_file_is_named(folder, contents, way):
    load(folder)
    break_it, words = WAYS[way]
    break_it(folder, contents)
    message = complaint(folder)
    for word in [str(folder), *words, fashion_mnist.ADDRESS]:
        assert word in message
    named = [name for name in contents if f"  {name}" in message]
    assert named == [name for name in contents if any(word.startswith(name) for word in words)]


def test_all_problems_are_told_at_once(folder, contents):
    (folder / f"{TRAIN_IMAGES}.gz").unlink()
    cut(folder / f"{TRAIN_LABELS}.gz", 20)
    put(folder, TEST_IMAGES, b"\0" * 100)
    put(folder, TEST_LABELS, contents[TEST_LABELS][:-1] + b"\0")
    message = complaint(folder)
    for name, what in zip(contents, ("missing", "truncated or damaged", "wrong magic", "wrong checksum"), strict=True):
        assert f"\n  {name}.gz: {what}" in message


def test_no_such_folder(contents, tmp_path):
    assert f"{tmp_path / 'nowhere'} does not exist: name the folder" in complaint(tmp_path / "nowhere")
    (tmp_path / "file").write_text("")
    assert f"{tmp_path / 'file'} is a file: name the folder" in complaint(tmp_path / "file")


def test_debian_comes_before_keras_cache_and_the_cache_before_the_network(contents, monkeypatch):
    monkeypatch.setattr(fashion_mnist, "_fetch", lambda: pytest.fail("nothing is to be fetched"))
    expected = load(write(contents, fashion_mnist.KERAS_CACHE)).fingerprint
    assert load(None).fingerprint == expected
    cut(fashion_mnist.KERAS_CACHE / f"{TRAIN_IMAGES}.gz", 9)
    assert f"Remove {fashion_mnist.KERAS_CACHE} and run the same command again" in complaint(None)
    write(contents, fashion_mnist.DEBIAN)
    assert load(None).fingerprint == expected
    cut(fashion_mnist.DEBIAN / f"{TEST_IMAGES}.gz", 9)
    message = complaint(None)
    assert f"{TEST_IMAGES}.gz: truncated" in message and "sudo apt install dataset-fashion-mnist --reinstall" in message


def test_keras_fetches_the_four_files_and_they_are_verified(contents, monkeypatch, tmp_path, capsys):
    asked = []

    def get_file(name, origin, file_hash, cache_subdir):
        print("Downloading data")
        asked.append((name, origin, file_hash))
        (tmp_path / cache_subdir).mkdir(parents=True, exist_ok=True)
        path = tmp_path / cache_subdir / name
        path.write_bytes(gzip.compress(contents[name.removesuffix(".gz")]))
        return str(path)

    monkeypatch.setitem(sys.modules, "keras", SimpleNamespace(utils=SimpleNamespace(get_file=get_file)))
    assert len(load(None).train) == 180
    address = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"
    assert [origin for _, origin, _ in asked] == [f"{address}{name}.gz" for name in contents]
    assert asked[0][2] == "8d4fb7e6c68d591d4c3dfef9ec88bf0d"
    printed = capsys.readouterr()
    assert printed.out == "" and f"fetching Fashion-MNIST (four files, 31 MB) from {address}" in printed.err
    contents[TEST_LABELS] = idx(np.ones(20, np.uint8))
    assert f"{TEST_LABELS}.gz: wrong checksum" in complaint(None)


def test_a_failed_download_names_the_address_and_the_other_ways(contents, monkeypatch):
    def get_file(name, origin, **_):
        raise Exception(f"URL fetch failure on {origin}: no network")

    monkeypatch.setitem(sys.modules, "keras", SimpleNamespace(utils=SimpleNamespace(get_file=get_file)))
    message = complaint(None)
    assert f"{fashion_mnist.ADDRESS}{TRAIN_IMAGES}.gz could not be fetched" in message and "no network" in message
    assert "sudo apt install dataset-fashion-mnist" in message and "into a folder, and name it" in message


def test_one_call_for_notebooks(folder, contents, monkeypatch, tmp_path):
    generated = load_fashion()
    assert generated.name == "garments" and generated.embedded and generated.class_names == CLASS_NAMES
    real = load_fashion(folder)
    assert real.name == "fashion-mnist" and len(real.train) == 180
    monkeypatch.chdir(tmp_path)
    write(contents, fashion_mnist.DEBIAN)
    for data in ("fashion-mnist", Path("fashion-mnist")):
        assert load_fashion(data).fingerprint == real.fingerprint
    (tmp_path / "fashion-mnist").mkdir()
    with pytest.raises(UserError, match="fashion-mnist does not hold Fashion-MNIST as published"):
        load_fashion("fashion-mnist")


@pytest.mark.skipif(not REAL.is_dir(), reason="Debian's package dataset-fashion-mnist is not installed")
def test_the_real_files():
    splits = load_fashion("fashion-mnist")
    parts = {"train": (splits.train, 5400), "validation": (splits.validation, 600), "test": (splits.test, 1000)}
    for part, each in parts.values():
        assert part.images.shape == (10 * each, 28, 28, 1) and part.images.dtype == np.uint8
        assert part.class_counts().tolist() == [each] * 10
    # the figures that everyone normalises by, of all 60,000 training images
    (mean,), (deviation,) = channel_statistics(np.concatenate([splits.train.images, splits.validation.images]))
    assert (round(mean / 255, 4), round(deviation / 255, 4)) == (0.2860, 0.3530)
    assert CLASS_NAMES[splits.test.labels[0]] == "Ankle boot"
    assert splits.validation.ids[0] == "train-00018"
