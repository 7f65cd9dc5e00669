"""Reading and writing folders: layouts, image kinds, the cache, and thirty-odd ways to break a folder."""

import csv
import io
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from dfclib.datasets.folder import cache, decoding, loading
from dfclib.datasets.folder.loading import load_folder, write_folder
from dfclib.datasets.folder.problems import Problems
from dfclib.datasets.folder.tables import Label, interpret_labels
from dfclib.datasets.images import ImageSet, Splits
from dfclib.errors import UserError

SIDE = 8


def random_images(count: int, seed: int = 0, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, SIDE, SIDE, channels), np.uint8)


def make_splits(names: tuple[str, ...] = ("0", "1"), channels: int = 3) -> Splits:
    def part(prefix: str, count: int, labelled: bool = True) -> ImageSet:
        images = random_images(count, len(prefix), channels)
        labels = np.arange(count) % len(names) if labelled else None
        return ImageSet(images, labels, np.array([f"{prefix}{i}" for i in range(count)]), names)

    return Splits("data", part("t", 6), part("va", 4), part("tes", 3, labelled=False))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A sound folder: train t0..t5, validation va0..va3, test tes0..tes2; labels 0 and 1 in turn."""
    write_folder(make_splits(), tmp_path / "data")
    return tmp_path / "data"


def load(folder: Path, **arguments) -> Splits:
    return load_folder(folder, progress=False, **arguments)


def complaint(folder: Path, **arguments) -> str:
    with pytest.raises(UserError) as caught:
        load(folder, **arguments)
    return str(caught.value)


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def save(path: Path, size: tuple[int, int] = (SIDE, SIDE), mode: str = "RGB") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, (size[1], size[0])).save(path)


def png_claiming(width: int, height: int) -> bytes:
    """A PNG of a few bytes whose header claims that size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


def same(one: Splits, other: Splits) -> bool:
    pairs = ((one.train, other.train), (one.validation, other.validation), (one.test, other.test))
    return all(
        a is b is None
        or (
            np.array_equal(a.images, b.images)
            and list(a.ids) == list(b.ids)
            and a.class_names == b.class_names
            and np.array_equal(a.labels, b.labels)
        )
        for a, b in pairs
    )


# Thirty-odd ways to break a folder: how, and what the message must hold (place, what is wrong, what to do)


def replace_image(folder: Path, name: str, content: bytes) -> None:
    assert (folder / name).exists()
    (folder / name).write_bytes(content)


def truncate(folder: Path, name: str) -> None:
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) - 60])


def encoded(kind: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (SIDE, SIDE)).save(file, kind)
    return file.getvalue()


def link_outside(folder: Path) -> None:
    target = folder.parent / "elsewhere.png"
    save(target)
    (folder / "train/t1.png").unlink()
    (folder / "train/t1.png").symlink_to(target)


def link_split_outside(folder: Path) -> None:
    (folder / "test").rename(folder.parent / "elsewhere")
    (folder / "test").symlink_to(folder.parent / "elsewhere")


def relabel_all(folder: Path, one: str, other: str) -> None:
    for name in ("train.csv", "validation.csv"):
        lines = (folder / name).read_text().splitlines()
        ids = [line.split(",")[0] for line in lines[1:]]
        rows = [f"{id_},{(one, other)[i % 2]}" for i, id_ in enumerate(ids)]
        (folder / name).write_text("\n".join([lines[0], *rows]) + "\n")


def remove_tree(path: Path) -> None:
    for entry in path.iterdir():
        entry.unlink()
    path.rmdir()


WAYS = {
    "no train.csv": (
        lambda f: (f / "train.csv").unlink(),
        ["train.csv is missing", "train/<class>/", "image_id,label"],
    ),
    "no train folder": (
        lambda f: remove_tree(f / "train"),
        ["train/: the folder is missing", "6 images", "Put them in"],
    ),
    "no test folder": (lambda f: remove_tree(f / "test"), ["test/: the folder is missing", "Put them in"]),
    "empty csv": (
        lambda f: (f / "train.csv").write_text(""),
        ["train.csv: the file is empty", "image_id,label"],
    ),
    "header only": (
        lambda f: (f / "validation.csv").write_text("image_id,label\n"),
        ["validation.csv: no row follows", "remove validation.csv"],
    ),
    "wrong column": (
        lambda f: edit(f / "train.csv", "label", "class"),
        ["train.csv line 1: the columns are 'image_id,class'", "must read image_id,label"],
    ),
    "a column twice": (
        lambda f: edit(f / "validation.csv", "label", "label,label,source"),
        ["validation.csv line 1: the columns are 'image_id,label,label,source'", "must read image_id,label"],
    ),
    "all rows too long": (
        lambda f: (f / "test.csv").write_text("image_id\ntes0,1\n"),
        ["test.csv line 2: 2 values in 'tes0,1'", "Write 1 values"],
    ),
    "two folders of validation": (
        lambda f: save(f / "val/va0.png"),
        ["validation/ and val/: each may be meant as the validation split", "validation/ is the name to keep"],
    ),
    "two tables of training": (
        lambda f: (f / "Training.csv").write_text((f / "train.csv").read_text()),
        ["train.csv and Training.csv: each may be meant as the train split", "train.csv is the name to keep"],
    ),
    "semicolons": (
        lambda f: edit(f / "train.csv", "image_id,label", "image_id;label"),
        ["train.csv line 1", "separated by ';'", "must read image_id,label"],
    ),
    "short row": (
        lambda f: edit(f / "train.csv", "t2,0", "t2"),
        ["train.csv line 4: 1 values in 't2'", "Write 2 values"],
    ),
    "long row": (
        lambda f: edit(f / "train.csv", "t2,0", "t2,0,1"),
        ["train.csv line 4: 3 values", "Write 2 values"],
    ),
    "open quote": (
        lambda f: edit(f / "train.csv", "t2,0", '"t2,0'),
        ["train.csv line 4: a quote opens here", "Close it"],
    ),
    "not UTF-8": (
        lambda f: (f / "train.csv").write_bytes("image_id,label\n".encode("utf-16")),
        ["train.csv: is not UTF-8", "Save it as CSV, UTF-8"],
    ),
    "csv is a folder": (
        lambda f: ((f / "test.csv").unlink(), (f / "test.csv").mkdir()),
        ["test.csv: cannot be read", "Put a readable CSV file there"],
    ),
    "duplicate id": (
        lambda f: edit(f / "train.csv", "t4,0", "t1,0"),
        ["train.csv line 6: image_id 't1' is already in train.csv line 3", "Remove one"],
    ),
    "id in two splits": (
        lambda f: (edit(f / "validation.csv", "va1", "t1"), save(f / "validation/t1.png")),
        ["validation.csv line 3: image_id 't1' is already in train.csv line 3", "Remove it from one"],
    ),
    "case clash": (
        lambda f: (edit(f / "train.csv", "t4", "T1"), save(f / "train/T1.png")),
        ["train.csv line 6: image_id 'T1' and 't1' in train.csv line 3 differ only in case", "Rename one"],
    ),
    "id climbs out": (
        lambda f: edit(f / "train.csv", "t1", "../validation/va1"),
        ["train.csv line 3: image_id '../validation/va1' climbs out", "without folder and extension"],
    ),
    "absolute id": (
        lambda f: edit(f / "train.csv", "t1", "/etc/passwd"),
        ["train.csv line 3: image_id '/etc/passwd' is an absolute path", "without folder"],
    ),
    "drive id": (
        lambda f: edit(f / "test.csv", "tes1", "C:tes1"),
        ["test.csv line 3: image_id 'C:tes1' is an absolute path", "without folder"],
    ),
    "separator in id": (
        lambda f: edit(f / "train.csv", "t1", "sub\\t1"),
        ["train.csv line 3", "path separator", "without folder"],
    ),
    "NUL in id": (
        lambda f: edit(f / "train.csv", "t1", "t\0001"),
        ["train.csv line 3: image_id 't\\x001' contains a control character", "name of a file"],
    ),
    "empty id": (
        lambda f: edit(f / "train.csv", "t1,", ","),
        ["train.csv line 3: the image_id is empty", "Write one"],
    ),
    "id with extension": (
        lambda f: edit(f / "train.csv", "t1", "t1.png"),
        ["train.csv line 3: there is no image train/'t1.png'", "without its extension: t1"],
    ),
    "id in other case": (
        lambda f: edit(f / "train.csv", "t1", "T1"),
        ["train.csv line 3: there is no image", "the file is train/t1.png"],
    ),
    "missing image": (
        lambda f: (f / "train/t3.png").unlink(),
        ["train.csv line 5: there is no image train/'t3'", "Put t3.png", "remove the line"],
    ),
    "test image missing": (
        lambda f: (f / "test/tes2.png").unlink(),
        ["test.csv line 4: there is no image test/'tes2'", "Put tes2.png"],
    ),
    "another kind of image": (
        lambda f: (f / "train/t3.png").rename(f / "train/t3.bmp"),
        ["train.csv line 5", "Turn train/t3.bmp into a PNG, JPEG or WebP"],
    ),
    "two files": (
        lambda f: save(f / "train/t3.jpg"),
        ["train.csv line 5", "2 files: train/t3.jpg, train/t3.png", "Keep one"],
    ),
    "zero bytes": (
        lambda f: replace_image(f, "train/t3.png", b""),
        ["train/t3.png (train.csv line 5): the file is empty", "download it again"],
    ),
    "image is a folder": (
        lambda f: ((f / "train/t3.png").unlink(), (f / "train/t3.png").mkdir()),
        ["train/t3.png (train.csv line 5): is a folder", "Put the image itself there"],
    ),
    "not an image": (
        lambda f: replace_image(f, "test/tes0.png", b"<html>404</html>"),
        ["test/tes0.png (test.csv line 2): is not a PNG, JPEG or WebP image", "download it again"],
    ),
    "a GIF in disguise": (
        lambda f: replace_image(f, "train/t3.png", encoded("GIF")),
        ["train/t3.png (train.csv line 5): is not a PNG", "convert it"],
    ),
    "truncated": (
        lambda f: truncate(f, "train/t3.png"),
        ["train/t3.png (train.csv line 5): cannot be decoded", "truncated", "download it again"],
    ),
    "gigantic": (
        lambda f: replace_image(f, "train/t3.png", png_claiming(13_000, 13_000)),
        ["train/t3.png (train.csv line 5): is too large (169 million pixels)", "limit is 134", "Reduce the image"],
    ),
    "decompression bomb": (
        lambda f: replace_image(f, "train/t3.png", png_claiming(60_000, 60_000)),
        ["train/t3.png (train.csv line 5): is too large (3,600 million pixels)", "limit is 134", "Reduce the image"],
    ),
    "link out of the folder": (
        link_outside,
        ["train/t1.png (train.csv line 3): is a symbolic link that leaves", "Copy what it points to"],
    ),
    "split linked away": (
        link_split_outside,
        ["test: is a symbolic link that leaves", "Copy what it points to"],
    ),
    "broken link": (
        lambda f: ((f / "train/t1.png").unlink(), (f / "train/t1.png").symlink_to("gone.png")),
        ["train/t1.png (train.csv line 3): cannot be read", "Put the image itself there"],
    ),
    "other size": (
        lambda f: save(f / "train/t3.png", (8, 16)),
        ["2 sizes (width x height): 8x8 (12), 16x8 (1)", "--image-size", "image_size=(height, width)"],
    ),
    "label gap": (
        lambda f: edit(f / "train.csv", "t3,1", "t3,3"),
        ["train.csv line 5: label '3' leaves a gap: no image has label 2", "0..2"],
    ),
    "labels from 1": (
        lambda f: relabel_all(f, "1", "2"),
        ["no image has label 0", "Number the 2 classes 0..1"],
    ),
    "fraction": (
        lambda f: edit(f / "train.csv", "t3,1", "t3,1.5"),
        ["train.csv line 5: label '1.5' is not written as an integer", "all integers 0..k-1 or all names"],
    ),
    "1.0": (lambda f: edit(f / "train.csv", "t3,1", "t3,1.0"), ["train.csv line 5: label '1.0'", "write 1"]),
    "negative": (
        lambda f: edit(f / "train.csv", "t3,1", "t3,-1"),
        ["train.csv line 5: label '-1' is negative", "all integers 0..k-1"],
    ),
    "empty label": (
        lambda f: edit(f / "train.csv", "t3,1", "t3,"),
        ["train.csv line 5: the label is empty", "Write one"],
    ),
    "a name among integers": (
        lambda f: edit(f / "train.csv", "t3,1", "t3,cat"),
        ["train.csv line 5: label 'cat' is a name where most labels are integers", "make them alike"],
    ),
    "an integer among names": (
        lambda f: (relabel_all(f, "cat", "dog"), edit(f / "train.csv", "t3,dog", "t3,1")),
        ["train.csv line 5: label '1' is an integer where most labels are names"],
    ),
    "two spellings": (
        lambda f: edit(f / "train.csv", "t3,1", "t3,01"),
        ["train.csv line 3: the number '1' is also written '01', in train.csv line 5", "one way"],
    ),
    "class without training images": (
        lambda f: edit(f / "validation.csv", "va2,0", "va2,2"),
        ["validation.csv line 4: label '2' has no training images", "Add training images"],
    ),
    "one class": (lambda f: relabel_all(f, "0", "0"), ["train.csv: there is 1 class", "At least 2"]),
    "one image, no validation": (
        lambda f: ((f / "validation.csv").unlink(), edit(f / "train.csv", "t1,1", "t1,2")),
        ["class '2': has 1 training image", "Add images, or a validation split"],
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_broken_folder_is_refused_with_place_and_remedy(folder: Path, way: str) -> None:
    breaking, expected = WAYS[way]
    load(folder)  # it was sound before, and its cache must not hide what comes
    breaking(folder)
    message = complaint(folder)
    for words in expected:
        assert words in message
    # one fault is one line, not a cascade
    assert len(message.splitlines()) <= 3, message


def test_all_problems_are_reported_together(folder: Path) -> None:
    for way in ("truncated", "gigantic", "zero bytes", "negative", "test image missing", "empty id"):
        change = {"truncated": "train/t0.png", "gigantic": "train/t2.png", "zero bytes": "train/t4.png"}.get(way)
        if way == "truncated":
            truncate(folder, change)
        elif way == "gigantic":
            replace_image(folder, change, png_claiming(15_000, 15_000))
        elif way == "zero bytes":
            replace_image(folder, change, b"")
        else:
            WAYS[way][0](folder)
    truncate(folder, "validation/va1.png")
    message = complaint(folder)
    assert "7 problems" in message
    for words in (
        "train/t0.png (train.csv line 2)",
        "train/t2.png (train.csv line 4)",
        "train/t4.png",
        "train.csv line 3: the image_id is empty",
        "train.csv line 5: label '-1'",
        "test.csv line 4",
        "validation/va1.png (validation.csv line 3)",
    ):
        assert words in message


def test_broken_images_are_found_even_where_sizes_differ(folder: Path) -> None:
    save(folder / "train/t3.png", (4, 4))
    truncate(folder, "train/t0.png")
    message = complaint(folder)
    assert "2 sizes" in message and "train/t0.png (train.csv line 2): cannot be decoded" in message


def test_long_lists_are_cut_by_kind(folder: Path) -> None:
    rows = "".join(f"missing{i},0\n" for i in range(224))
    with (folder / "train.csv").open("a") as file:
        file.write(rows)
    edit(folder / "train.csv", "t3,1", "t3,-1")
    message = complaint(folder)
    assert "225 problems" in message and "... and 214 more" in message and "label '-1'" in message
    assert message.count("there is no image") == 10


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda path: None, ["does not exist", "Check the path"]),
        (lambda path: path.write_bytes(b"PK"), ["is a file", "Unpack it"]),
        (lambda path: path.mkdir(), ["it is empty", "train.csv", "train/<class>/"]),
        (lambda path: save(path / "inner" / "x.txt.png"), ["1 class", "At least 2"]),
        (lambda path: (path.mkdir(), (path / "data.zip").touch()), ["data.zip", "Unpack the .zip"]),
        (lambda path: write_folder(make_splits(), path / "inner"), ["Perhaps you mean", "inner"]),
        (lambda path: save(path / "validation/cat/a.png"), ["there is no train/", "train/<class>/"]),
        (
            lambda path: (save(path / "train/cat/a.png"), (path / "train/dog").mkdir()),
            ["train/dog/: class 'dog' has no images", "remove the folder"],
        ),
        (
            lambda path: (
                save(path / "train/a/1.png"),
                save(path / "train/b/1.png"),
                save(path / "train/b/1.jpg"),
            ),
            ["train/b/1.png: differs from train/b/1.jpg only in its extension", "Rename one"],
        ),
    ],
)
def test_an_unknown_layout_is_refused_with_the_reason(tmp_path: Path, make, expected: list[str]) -> None:
    make(tmp_path / "data")
    message = complaint(tmp_path / "data")
    for words in expected:
        assert words in message


def test_class_folders_that_are_neither_integers_nor_names(tmp_path: Path) -> None:
    for name in ("cat", "big dog", "7"):
        for i in range(12):
            save(tmp_path / "data" / name / f"{i}.png")
    message = complaint(tmp_path / "data")
    assert "7/: label '7' is an integer where most labels are names" in message
    assert "1 problem" in message  # a folder is one problem, not one an image


# What sound folders give


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("names", [("0", "1"), ("a cat", 'dog, "big"', "été")])
def test_what_is_written_is_read_again(tmp_path: Path, names: tuple[str, ...], channels: int) -> None:
    splits = make_splits(names, channels)
    write_folder(splits, tmp_path / "My Données_2")
    read = load(tmp_path / "My Données_2")
    assert same(read, splits)
    assert read.name == "my-donn-es-2" and not read.embedded
    sample = list(csv.reader((tmp_path / "My Données_2/sample_submission.csv").open(encoding="utf-8")))
    assert sample == [["image_id", "label"]] + [[f"tes{i}", names[0]] for i in range(3)]
    assert not list((tmp_path / "My Données_2").glob(".unfinished*"))


def test_write_folder_spares_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="not empty .it holds notes.txt"):
        write_folder(make_splits(), tmp_path)
    with pytest.raises(UserError, match="is a file"):
        write_folder(make_splits(), tmp_path / "notes.txt")
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_write_folder_refuses_ids_that_are_no_file_names(tmp_path: Path) -> None:
    splits = make_splits()
    splits.train.ids[0] = ".."
    with pytest.raises(UserError, match="no file name"):
        write_folder(splits, tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_csv_as_people_save_it(folder: Path) -> None:
    text = (folder / "train.csv").read_text().replace("t2,0", ' "t2" ,  0 ').replace("t3,1", "\n   \nt3,1")
    (folder / "train.csv").write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    lines = (folder / "validation.csv").read_text().splitlines()
    (folder / "validation.csv").write_text("\r".join(",".join(line.split(",")[::-1]) for line in lines))
    assert same(load(folder), make_splits())
    (folder / "train/t5.png").unlink()
    assert "train.csv line 9" in complaint(folder)  # blank lines count, as in an editor


def test_integers_sort_as_numbers_and_keep_their_spelling(tmp_path: Path) -> None:
    names = tuple(f"{i:02d}" for i in range(12))
    for name in names:
        for i in range(2):
            save(tmp_path / "data/train" / name / f"{i}.png")
    (tmp_path / "data/train" / "02").rename(tmp_path / "data/train" / "2")
    splits = load(tmp_path / "data")
    assert splits.class_names == tuple("2" if name == "02" else name for name in names)


def test_without_validation_a_stratified_tenth_is_set_aside(folder: Path, caplog) -> None:
    for name in ("validation.csv", "test.csv"):
        (folder / name).unlink()
    with (folder / "train.csv").open("a") as file:
        for i in range(6, 46):
            save(folder / f"train/t{i}.png")
            file.write(f"t{i},{int(i > 24)}\n")
    first = load(folder)
    assert first.test is None and len(first.train) == 42
    assert not set(first.train.ids) & set(first.validation.ids)
    assert first.validation.class_counts().tolist() == [2, 2]
    assert "there is no validation split" in caplog.text and "validation/ holds images" in caplog.text
    lines = (folder / "train.csv").read_text().splitlines()
    (folder / "train.csv").write_text("\n".join([lines[0], *reversed(lines[1:])]))
    assert set(load(folder).validation.ids) == set(first.validation.ids)  # whatever the order of rows


@pytest.mark.parametrize("below_train", [True, False])
def test_class_folders(tmp_path: Path, below_train: bool) -> None:
    root = tmp_path / "data"
    base = root / "train" if below_train else root
    for name in ("dog", "cat"):
        for i in range(10):
            save(base / name / f"{i}.png")
            (base / name / ".hidden.png").touch()
    if below_train:
        save(root / "validation/cat/x.webp")
        save(root / "test/1.png")
    splits = load(root)
    assert splits.class_names == ("cat", "dog")
    if below_train:
        assert len(splits.train) == 20 and list(splits.validation.ids) == ["validation/cat/x"]
        assert list(splits.test.ids) == ["test/1"] and splits.test.labels is None
        assert splits.train.ids[0] == "train/cat/0" and splits.train.labels.tolist() == [0] * 10 + [1] * 10
    else:
        assert len(splits.train) == 18 and splits.validation.class_counts().tolist() == [1, 1]
        classes = [splits.class_names[label] for label in splits.train.labels]
        assert [id_.split("/")[0] for id_ in splits.train.ids] == classes


@pytest.mark.parametrize(
    ("train", "validation", "test"),
    [("training", "val", "testing"), ("Train", "valid", "TEST"), ("train", "dev", "test")],
)
@pytest.mark.parametrize("which", ["both", "folders", "tables"])
def test_usual_names_of_splits(folder: Path, caplog, train: str, validation: str, test: str, which: str) -> None:
    first = load(folder)
    for split, name in {"train": train, "validation": validation, "test": test}.items():
        if which != "tables":
            (folder / split).rename(folder / name)
        if which != "folders":
            (folder / f"{split}.csv").rename(folder / f"{name}.csv")
    assert same(load(folder), first)
    read = f"{validation}{'.csv' if which == 'tables' else '/'} is read as the validation split"
    assert read in caplog.text and "no validation split" not in caplog.text
    next((folder / (validation if which != "tables" else "validation")).iterdir()).unlink()
    assert f"{validation if which != 'folders' else 'validation'}.csv line" in complaint(folder)


@pytest.mark.parametrize("name", ["val", "valid", "dev", "Validation"])
def test_usual_names_of_class_folders(tmp_path: Path, name: str) -> None:
    for split in ("training", name, "testing"):
        for label in ("cat", "dog"):
            save(tmp_path / "data" / split / label / "1.png")
    splits = load(tmp_path / "data")
    assert splits.validation.ids.tolist() == [f"{name}/cat/1", f"{name}/dog/1"]
    assert splits.test.ids.tolist() == ["testing/cat/1", "testing/dog/1"]
    assert len(splits.train) == 2
    save(tmp_path / "data/validation/cat/1.png" if name != "Validation" else tmp_path / "data/val/cat/1.png")
    assert "each may be meant as the validation split" in complaint(tmp_path / "data")


def test_a_split_beside_class_folders_is_refused(tmp_path: Path) -> None:
    """val/ is no class without images, and its images are not left aside."""
    for name in ("cat/1.png", "dog/1.png", "val/cat/2.png", "val/dog/2.png"):
        save(tmp_path / "data" / name)
    message = complaint(tmp_path / "data")
    assert "there is no train/" in message and "sort the images into train/<class>/" in message


def test_what_is_left_aside_is_noticed(tmp_path: Path, caplog) -> None:
    root = tmp_path / "data"
    for i in range(4):
        save(root / f"train/cat/{i}.png")
        save(root / f"train/dog/{i}.png")
    save(root / "train/cat/more/9.png"), save(root / "train/dog/more/9.png"), save(root / "train/loose.png")
    (root / "train/cat/notes.txt").touch(), (root / "train/dog/still.gif").touch(), (root / "train/.DS_Store").touch()
    (root / "train/cat/__MACOSX").mkdir(), (root / "train/cat/._0.png").touch()
    save(root / "extra/cat/1.png"), save(root / "test/1.png"), save(root / "test/more/more/1.png")
    (root / "test/1.tiff").touch(), (root / "validation.csv").write_text("image_id,label\n")
    splits = load(root)
    assert len(splits.train) + len(splits.validation) == 8 and len(splits.test) == 1
    notices = [record.getMessage().removeprefix(f"{root}: ") for record in caplog.records]
    assert notices[:-1] == [
        "extra/ is no folder of a split: it is not used",
        "train/ holds 1 image(s) outside its class folders, loose.png for one: they are not used",
        "train/ holds 2 folder(s) where images are expected, train/cat/more/ for one: what is in them is not used",
        "train/ holds 2 file(s) that are not PNG, JPEG or WebP images, train/cat/notes.txt for one: they are not used",
        "validation.csv is not used: the folders say what is in them",
        "test/ holds 1 folder(s) where images are expected, test/more/ for one: what is in them is not used",
        "test/ holds 1 file(s) that are not PNG, JPEG or WebP images, test/1.tiff for one: they are not used",
    ]
    for path in (root / "train/dog").glob("*.png"):
        path.unlink()
    assert "train/dog/: class 'dog' has no images, but folders. Put" in complaint(root)


def test_folders_and_other_files_beside_named_images_are_noticed(folder: Path, caplog) -> None:
    save(folder / "train/cat/1.png"), (folder / "train/a.gif").touch(), (folder / "validation.csv").unlink()
    load(folder)
    assert "train/ holds 1 folder(s) where images are expected, train/cat/ for one" in caplog.text
    assert "train/ holds 1 file(s) that are not PNG, JPEG or WebP images, train/a.gif for one" in caplog.text
    assert "validation/ holds images, but there is no validation.csv: it is not used" in caplog.text


def test_more_columns_are_only_noticed(folder: Path, caplog) -> None:
    first = load(folder)
    for name, added in (("train", "source,"), ("validation", "source,"), ("test", "label,")):
        lines = (folder / f"{name}.csv").read_text().splitlines()
        rows = [f"{added}{lines[0]},", *(f"x,{line},y" for line in lines[1:])]
        (folder / f"{name}.csv").write_text("\n".join(rows))
    assert same(load(folder), first)
    assert "train.csv has 2 more column(s), 'source' for one: not used" in caplog.text
    assert "test.csv has 2 more column(s), 'label' for one: not used" in caplog.text


def test_one_split_alone(folder: Path) -> None:
    (folder / "train/t0.png").unlink()
    listing = loading.read_listing(folder, ("test",))
    assert [file.id for file in listing.parts["test"].files] == ["tes0", "tes1", "tes2"]
    assert list(listing.parts) == ["test"] and not listing.problems and not listing.notices


def test_a_folder_or_a_table_that_may_not_be_read(folder: Path, monkeypatch) -> None:
    def refuse(path, *_):
        raise PermissionError(13, "Permission denied", str(path))

    listed = Path.iterdir
    with monkeypatch.context() as patch:
        patch.setattr(Path, "iterdir", lambda path: refuse(path) if path.name == "train" else listed(path))
        assert f"{folder / 'train'}: cannot be read (permission denied). Give yourself the right" in complaint(folder)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", refuse)
        assert "train.csv: cannot be read (permission denied). Give yourself the right" in complaint(folder)


def test_an_unused_image_is_only_noticed(folder: Path, caplog) -> None:
    save(folder / "train/stray.png")
    load(folder)
    assert "train/ holds 1 image(s) that train.csv does not name, 'stray'" in caplog.text


# Kinds of images


def one_image(folder: Path, image: Image.Image, channels: int, extension: str = "png", **options) -> np.ndarray:
    path = folder / f"image.{extension}"
    image.save(path, **options)
    return decoding.decode_image(path, channels)


def test_sixteen_bit_grey_is_scaled(tmp_path: Path) -> None:
    values = np.array([[0, 128, 129, 257, 32768, 65535]], np.uint16)
    pixels = one_image(tmp_path, Image.fromarray(values), 1)
    assert pixels[..., 0].tolist() == [[0, 0, 1, 1, 128, 255]]
    assert decoding.read_header(tmp_path / "image.png").grey


def test_palette_gives_its_colours(tmp_path: Path) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((1, 0), 1)
    assert one_image(tmp_path, image, 3, transparency=b"\0\xff").tolist() == [[[10, 20, 30], [200, 100, 50]]]
    header = decoding.read_header(tmp_path / "image.png")
    assert not header.grey and header.alpha


def test_alpha_is_dropped_not_blended(folder: Path, caplog) -> None:
    Image.new("RGBA", (SIDE, SIDE), (10, 20, 30, 0)).save(folder / "train/t0.png")
    for _ in range(2):  # the second time from the cache, with the same notice
        caplog.clear()
        assert (load(folder).train.images[0] == (10, 20, 30)).all()
        assert "1 image(s) have transparency: it is dropped" in caplog.text


@pytest.mark.parametrize(("mode", "colour", "expected"), [("L", 7, 7), ("LA", (7, 0), 7), ("1", 1, 255)])
def test_grey_kinds(tmp_path: Path, mode: str, colour, expected: int) -> None:
    image = Image.new(mode, (2, 3), colour)
    for channels in (1, 3):
        pixels = one_image(tmp_path, image, channels)
        assert pixels.shape == (3, 2, channels) and (pixels == expected).all()
    assert decoding.read_header(tmp_path / "image.png").grey


def test_cmyk_jpeg_becomes_rgb(tmp_path: Path) -> None:
    pixels = one_image(tmp_path, Image.new("CMYK", (8, 8), (0, 0, 0, 0)), 3, "jpeg")
    assert (pixels > 250).all()


TURNS = [  # what puts an image upright that EXIF says lies so: rows of (0, 1), (2, 3)
    (1, [[0, 1], [2, 3]]),
    (2, [[1, 0], [3, 2]]),
    (3, [[3, 2], [1, 0]]),
    (4, [[2, 3], [0, 1]]),
    (5, [[0, 2], [1, 3]]),
    (6, [[2, 0], [3, 1]]),
    (7, [[3, 1], [2, 0]]),
    (8, [[1, 3], [0, 2]]),
    (9, [[0, 1], [2, 3]]),  # no such orientation
]


def exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[ExifTags.Base.Orientation] = orientation
    return tags


@pytest.mark.parametrize(("orientation", "expected"), TURNS)
@pytest.mark.parametrize("extension", ["png", "webp", "jpg"])
def test_exif_turns_the_image(tmp_path: Path, orientation: int, expected: list, extension: str) -> None:
    corners = np.array([[0, 80], [160, 240]], np.uint8).repeat(8, 0).repeat(16, 1)  # as tall as 16, as wide as 32
    options = {"lossless": True} if extension == "webp" else {}
    pixels = one_image(tmp_path, Image.fromarray(corners), 1, extension, exif=exif(orientation), **options)
    header = decoding.read_header(tmp_path / f"image.{extension}")
    assert pixels.shape[:2] == (header.height, header.width) == ((32, 16) if 5 <= orientation <= 8 else (16, 32))
    quarters = pixels[4 :: pixels.shape[0] // 2, 4 :: pixels.shape[1] // 2, 0]
    assert np.round(quarters / 80).astype(int).tolist() == expected


def test_damaged_exif_leaves_the_image_as_it_is(tmp_path: Path) -> None:
    pixels = one_image(tmp_path, Image.new("RGB", (4, 2), (9, 8, 7)), 3, "png", exif=b"Exif\0\0MM\0*\xff\xff")
    assert pixels.shape == (2, 4, 3) and (pixels == (9, 8, 7)).all()


def test_a_turned_image_has_the_size_it_is_looked_at(folder: Path) -> None:
    for name in ("train/t0.png", "train/t1.png"):
        lying = Image.new("RGB", (SIDE, 2 * SIDE))
        lying.save(folder / name, exif=exif(6) if name.endswith("t1.png") else None)
    assert "8x8 (11), 8x16 (1), 16x8 (1)" in complaint(folder)


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_large_photograph_is_reduced_as_it_is_decoded(tmp_path: Path, monkeypatch, orientation: int) -> None:
    """The wider half is bright. JPEG's own reduction gives what resizing the whole image gives, nearly."""
    wide = np.zeros((1200, 1600), np.uint8)
    wide[:, 800:] = 200
    Image.fromarray(wide).save(tmp_path / "photo.jpg", exif=exif(orientation))
    whole = decoding.decode_image(tmp_path / "photo.jpg", 3, (30, 40)).astype(int)
    loaded = []
    load = Image.Image.load
    monkeypatch.setattr(Image.Image, "load", lambda image: loaded.append(image.size) or load(image))
    monkeypatch.setattr(decoding, "LARGEST_SIDE", 1000)
    reduced = decoding.decode_image(tmp_path / "photo.jpg", 3, (30, 40))
    assert loaded[0] == (200, 150)  # an eighth, which is still more than twice 30x40
    assert np.abs(reduced - whole).max() < 20 and np.abs(reduced - whole).mean() < 1
    top, bottom = (0, 200) if orientation == 6 else (100, 100)
    assert abs(reduced[:15].mean() - top) < 5 and abs(reduced[15:].mean() - bottom) < 5
    assert decoding.decode_image(tmp_path / "photo.jpg", 3).shape == (
        (1600, 1200, 3) if orientation == 6 else (1200, 1600, 3)
    )


def test_what_used_to_be_too_large_is_resized(folder: Path) -> None:
    Image.new("RGB", (5000, 4100), (90, 80, 70)).save(folder / "train/t0.png")
    Image.new("RGB", (5000, 4100), (90, 80, 70)).save(folder / "train/t1.png", "JPEG")
    assert "8x8 (11), 5000x4100 (2)" in complaint(folder)
    images = load(folder, image_size=(6, 5)).train.images[:2].astype(int)
    assert np.abs(images - (90, 80, 70)).max() <= 1


def test_unreadable_files_are_said_to_be_so(folder: Path, monkeypatch) -> None:
    opened = Image.open

    def refuse(path, **options):
        if Path(path).name == "t3.png":
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, **options)

    monkeypatch.setattr(Image, "open", refuse)
    message = complaint(folder)
    assert "train/t3.png (train.csv line 5): cannot be read (permission denied). Give yourself the right" in message
    assert "not a PNG" not in message


def test_one_coloured_image_makes_all_rgb_but_a_test_image_does_not(tmp_path: Path, caplog) -> None:
    write_folder(make_splits(channels=1), tmp_path / "data")
    assert load(tmp_path / "data").train.channels == 1
    Image.new("RGB", (SIDE, SIDE), (255, 0, 0)).save(tmp_path / "data/test/tes0.png")
    splits = load(tmp_path / "data")
    assert splits.train.channels == splits.test.channels == 1 and "read as grey" in caplog.text
    Image.new("RGB", (SIDE, SIDE), (255, 0, 0)).save(tmp_path / "data/train/t0.png")
    splits = load(tmp_path / "data")
    assert splits.train.channels == splits.validation.channels == 3
    assert (splits.train.images[0] == (255, 0, 0)).all()
    assert (splits.train.images[1] == make_splits(channels=1).train.images[1]).all()


def test_mixed_sizes_are_resized_on_demand(folder: Path) -> None:
    Image.new("RGB", (40, 20), (9, 8, 7)).save(folder / "train/t0.png")
    splits = load(folder, image_size=(6, 5))
    assert splits.train.size == splits.validation.size == (6, 5)
    assert (splits.train.images[0] == (9, 8, 7)).all()
    with pytest.raises(UserError, match=r"\(height, width\)"):
        load(folder, image_size=(0, 5))


def test_memory_is_estimated_before_decoding(folder: Path, monkeypatch) -> None:
    monkeypatch.setattr(decoding, "decode_image", None)
    message = complaint(folder, image_size=(4000, 4000), max_gigabytes=0.25)
    assert "0.624 GB" in message and "0.25 GB are allowed" in message and "smaller image size" in message
    monkeypatch.setattr(decoding, "available_bytes", lambda: 1000)
    assert "are available" in complaint(folder)


def test_available_memory_is_plausible() -> None:
    available = decoding.available_bytes()
    assert available is None or 1e6 < available < 1e15


# The cache


def forbid_decoding(monkeypatch) -> None:
    def refuse(*_):
        raise AssertionError("decoded again")

    monkeypatch.setattr(decoding, "decode_image", refuse)
    monkeypatch.setattr(decoding, "read_header", refuse)


@pytest.mark.parametrize("cache_dir", [None, "kept"])
def test_the_second_time_nothing_is_decoded(folder: Path, tmp_path: Path, monkeypatch, cache_dir) -> None:
    cache_dir = cache_dir and tmp_path / cache_dir
    first = load(folder, cache_dir=cache_dir)
    forbid_decoding(monkeypatch)
    assert same(load(folder, cache_dir=cache_dir), first)
    assert bool(cache_dir) != (folder / ".dfclib-cache").exists()
    edit(folder / "train.csv", "t3,1", "t3,-1")  # rows are read anew each time
    assert "label '-1'" in complaint(folder, cache_dir=cache_dir)


def test_a_changed_label_needs_no_decoding(folder: Path, monkeypatch) -> None:
    load(folder)
    forbid_decoding(monkeypatch)
    edit(folder / "train.csv", "t3,1", "t3,0")
    assert load(folder).train.labels.tolist() == [0, 1, 0, 0, 0, 1]


def test_a_changed_image_makes_the_cache_anew(folder: Path) -> None:
    load(folder)
    load(folder, image_size=(4, 4))
    old = set((folder / ".dfclib-cache").iterdir())
    Image.new("RGB", (SIDE, SIDE), (1, 2, 3)).save(folder / "validation/va0.png")
    assert (load(folder).validation.images[0] == (1, 2, 3)).all()
    new = set((folder / ".dfclib-cache").iterdir())
    assert len(new) == len(old) == 8
    assert {path.name for path in new & old} == {path.name for path in old if path.name.startswith("4x4")}


@pytest.mark.parametrize("damage", ["truncate", "flip a byte", "remove", "no json", "broken json", "wrong json"])
def test_a_damaged_cache_is_made_anew(folder: Path, damage: str) -> None:
    first = load(folder)
    array = next((folder / ".dfclib-cache").glob("*-train.npy"))
    note = next((folder / ".dfclib-cache").glob("*.json"))
    whole = array.read_bytes()
    match damage:
        case "truncate":
            array.write_bytes(whole[:-10])
        case "flip a byte":
            array.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        case "remove":
            array.unlink()
        case "no json":
            note.unlink()
        case "broken json":
            note.write_text("{")
        case "wrong json":
            note.write_text("[1]")
    assert same(load(folder), first)
    assert array.read_bytes() == whole


def test_images_with_faults_are_not_cached(folder: Path) -> None:
    truncate(folder, "train/t0.png")
    complaint(folder)
    assert not list((folder / ".dfclib-cache").iterdir())


def test_a_cache_that_cannot_be_written_is_no_error(folder: Path, monkeypatch, caplog) -> None:
    def full(*_):
        raise UserError("disk full")

    monkeypatch.setattr(cache, "write_atomically", full)
    assert same(load(folder), make_splits())
    assert "could not be kept" in caplog.text and "disk full" in caplog.text


def test_a_read_only_folder_is_cached_elsewhere(folder: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(cache.os, "access", lambda path, mode: ".dfclib-cache" not in str(path))
    monkeypatch.setattr(cache.Path, "home", lambda: tmp_path / "home")
    load(folder)
    assert len(list((tmp_path / "home/.cache/dfclib").glob("data-*/*.npy"))) == 3
    assert not list((folder / ".dfclib-cache").glob("*.npy"))


def test_pixels_need_no_cache(folder: Path) -> None:
    files = {split: part.files for split, part in loading.read_listing(folder).parts.items()}
    pixels = decoding.read_pixels(files, Problems(), progress=False)
    assert np.array_equal(pixels.images["train"], make_splits().train.images)


def test_a_relative_path_and_the_current_folder(folder: Path, monkeypatch) -> None:
    monkeypatch.chdir(folder.parent)
    assert load(Path("data")).name == "data"
    monkeypatch.chdir(folder)
    assert load(Path(".")).name == "data"
    os.unlink("train/t0.png")
    assert "train.csv line 2" in complaint(Path("."))


def test_importing_it_brings_no_heavy_package() -> None:
    heavy = ("tensorflow", "keras", "pandas", "scipy", "imagehash", "matplotlib")
    code = f"import sys, dfclib.datasets.folder.check; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


@pytest.mark.parametrize(("count", "complaints"), [(2, 0), (1000, 0), (1001, 1)])
def test_the_number_of_classes_is_bounded(count: int, complaints: int) -> None:
    labels = [Label(str(i), f"train.csv line {i + 2}", "train") for i in range(count)]
    problems = Problems()
    numbers, names = interpret_labels(labels, problems, [])
    assert names == tuple(map(str, range(count))) and numbers["1"] == 1
    assert len(problems) == complaints
    if complaints:
        assert "train.csv: there are 1,001 different labels" in problems.lines()[0]
        assert "At most 1,000" in problems.lines()[0]
