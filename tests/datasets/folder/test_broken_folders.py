"""Ways to break a folder: each is refused with place, problem and remedy."""

import io
import shutil
from pathlib import Path

import pytest
from fakes import SIDE, complaint, edit, folder_splits, load, png_claiming, replace_image, save_image, truncate
from PIL import Image

from dfclib.datasets.folder.loading import write_folder
from dfclib.datasets.folder.problems import Problems
from dfclib.datasets.folder.tables import Row, interpret_labels


def encoded(kind: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (SIDE, SIDE)).save(file, kind)
    return file.getvalue()


def link_outside(folder: Path) -> None:
    target = folder.parent / "elsewhere.png"
    save_image(target)
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


# fmt: off
WAYS = {  # how to break a folder, and what the message must hold: place, problem, remedy
    "no train.csv": (lambda f: (f / "train.csv").unlink(),
        ["train.csv is missing", "train/<class>/", "image_id,label"]),
    "no train folder": (lambda f: shutil.rmtree(f / "train"),
        ["train/: the folder is missing", "6 images", "Put them in"]),
    "no test folder": (lambda f: shutil.rmtree(f / "test"), ["test/: the folder is missing", "Put them in"]),
    "empty csv": (lambda f: (f / "train.csv").write_text(""), ["train.csv: the file is empty", "image_id,label"]),
    "header only": (lambda f: (f / "validation.csv").write_text("image_id,label\n"),
        ["validation.csv: no row follows", "remove validation.csv"]),
    "wrong column": (lambda f: edit(f / "train.csv", "label", "class"),
        ["train.csv line 1: the columns are 'image_id,class'", "must read image_id,label"]),
    "a column twice": (lambda f: edit(f / "validation.csv", "label", "label,label,source"),
        ["validation.csv line 1: the columns are 'image_id,label,label,source'", "must read image_id,label"]),
    "all rows too long": (lambda f: (f / "test.csv").write_text("image_id\ntes0,1\n"),
        ["test.csv line 2: 2 values in 'tes0,1'", "Write 1 values"]),
    "two folders of validation": (lambda f: save_image(f / "val/va0.png"),
        ["validation/ and val/: each may be meant as the validation split", "validation/ is the name to keep"]),
    "two tables of training": (lambda f: (f / "Training.csv").write_text((f / "train.csv").read_text()),
        ["train.csv and Training.csv: each may be meant as the train split", "train.csv is the name to keep"]),
    "semicolons": (lambda f: edit(f / "train.csv", "image_id,label", "image_id;label"),
        ["train.csv line 1", "separated by ';'", "must read image_id,label"]),
    "short row": (lambda f: edit(f / "train.csv", "t2,0", "t2"),
        ["train.csv line 4: 1 values in 't2'", "Write 2 values"]),
    "long row": (lambda f: edit(f / "train.csv", "t2,0", "t2,0,1"), ["train.csv line 4: 3 values", "Write 2 values"]),
    "open quote": (lambda f: edit(f / "train.csv", "t2,0", '"t2,0'),
        ["train.csv line 4: a quote opens here", "Close it"]),
    "not UTF-8": (lambda f: (f / "train.csv").write_bytes("image_id,label\n".encode("utf-16")),
        ["train.csv: is not UTF-8", "Save it as CSV, UTF-8"]),
    "csv is a folder": (lambda f: ((f / "test.csv").unlink(), (f / "test.csv").mkdir()),
        ["test.csv: cannot be read", "Put a readable CSV file there"]),
    "duplicate id": (lambda f: edit(f / "train.csv", "t4,0", "t1,0"),
        ["train.csv line 6: image_id 't1' is already in train.csv line 3", "Remove one"]),
    "id in two splits": (lambda f: (edit(f / "validation.csv", "va1", "t1"), save_image(f / "validation/t1.png")),
        ["validation.csv line 3: image_id 't1' is already in train.csv line 3", "Remove one", "or rename one"]),
    "case clash": (lambda f: (edit(f / "train.csv", "t4", "T1"), save_image(f / "train/T1.png")),
        ["train.csv line 6: image_id 'T1' and 't1' in train.csv line 3 differ only in case", "Rename one"]),
    "path as an id": (lambda f: edit(f / "train.csv", "t1", "../validation/va1"),
        ["train.csv line 3: image_id '../validation/va1' is no file name", "without folder and extension"]),
    "drive id": (lambda f: edit(f / "test.csv", "tes1", "C:tes1"),
        ["test.csv line 3: image_id 'C:tes1' is no file name: it holds a path", "without folder"]),
    "separator in id": (lambda f: edit(f / "train.csv", "t1", "sub\\t1"),
        ["train.csv line 3: image_id", "is no file name: it holds a path", "without folder"]),
    "NUL in id": (lambda f: edit(f / "train.csv", "t1", "t\0001"),
        ["train.csv line 3: image_id 't\\x001' is no file name: it holds a path or a control character"]),
    "empty id": (lambda f: edit(f / "train.csv", "t1,", ","),
        ["train.csv line 3: the image_id is empty", "Write one"]),
    "id with extension": (lambda f: edit(f / "train.csv", "t1", "t1.png"),
        ["train.csv line 3: there is no image train/'t1.png'", "without its extension: t1"]),
    "id in other case": (lambda f: edit(f / "train.csv", "t1", "T1"),
        ["train.csv line 3: there is no image", "the file is train/t1.png"]),
    "missing image": (lambda f: (f / "train/t3.png").unlink(),
        ["train.csv line 5: there is no image train/'t3'", "Put t3.png", "remove the line"]),
    "test image missing": (lambda f: (f / "test/tes2.png").unlink(),
        ["test.csv line 4: there is no image test/'tes2'", "Put tes2.png"]),
    "another kind of image": (lambda f: (f / "train/t3.png").rename(f / "train/t3.bmp"),
        ["train.csv line 5", "Turn train/t3.bmp into a PNG, JPEG or WebP"]),
    "two files": (lambda f: save_image(f / "train/t3.jpg"),
        ["train.csv line 5", "2 files: train/t3.jpg, train/t3.png", "Keep one"]),
    "zero bytes": (lambda f: replace_image(f, "train/t3.png", b""),
        ["train/t3.png (train.csv line 5): the file is empty", "download it again"]),
    "image is a folder": (lambda f: ((f / "train/t3.png").unlink(), (f / "train/t3.png").mkdir()),
        ["train/t3.png (train.csv line 5): is a folder", "Put the image itself there"]),
    "not an image": (lambda f: replace_image(f, "test/tes0.png", b"<html>404</html>"),
        ["test/tes0.png (test.csv line 2): is not a PNG, JPEG or WebP image", "download it again"]),
    "a GIF in disguise": (lambda f: replace_image(f, "train/t3.png", encoded("GIF")),
        ["train/t3.png (train.csv line 5): is not a PNG", "convert it"]),
    "truncated": (lambda f: truncate(f, "train/t3.png"),
        ["train/t3.png (train.csv line 5): cannot be decoded", "truncated", "download it again"]),
    "gigantic": (lambda f: replace_image(f, "train/t3.png", png_claiming(13_000, 13_000)),
        ["train/t3.png (train.csv line 5): is too large (169 million pixels)", "limit is 134", "Reduce the image"]),
    "decompression bomb": (lambda f: replace_image(f, "train/t3.png", png_claiming(60_000, 60_000)),
        ["train/t3.png (train.csv line 5): is too large (3,600 million pixels)", "limit is 134", "Reduce the image"]),
    "link out of the folder": (link_outside,
        ["train/t1.png (train.csv line 3): is a symbolic link that leaves", "Copy what it points to"]),
    "split linked away": (link_split_outside, ["test: is a symbolic link that leaves", "Copy what it points to"]),
    "broken link": (lambda f: ((f / "train/t1.png").unlink(), (f / "train/t1.png").symlink_to("gone.png")),
        ["train/t1.png (train.csv line 3): cannot be read", "Copy or download it again, or leave it out"]),
    "other size": (lambda f: save_image(f / "train/t3.png", (8, 16)),
        ["2 sizes (width x height): 8x8 (12), 16x8 (1)", "--image-size", "image_size=(height, width)"]),
    "label gap": (lambda f: edit(f / "train.csv", "t3,1", "t3,3"),
        ["train.csv line 5: label '3' leaves a gap: no image has label 2", "0..2"]),
    "labels from 1": (lambda f: relabel_all(f, "1", "2"), ["no image has label 0", "Number the 2 classes 0..1"]),
    "fraction": (lambda f: edit(f / "train.csv", "t3,1", "t3,1.5"),
        ["train.csv line 5: label '1.5' is no integer 0..k-1", "all integers 0..k-1 or all names"]),
    "1.0": (lambda f: edit(f / "train.csv", "t3,1", "t3,1.0"), ["train.csv line 5: label '1.0'", "write 1"]),
    "negative": (lambda f: edit(f / "train.csv", "t3,1", "t3,-1"),
        ["train.csv line 5: label '-1' is no integer 0..k-1", "all integers 0..k-1"]),
    "empty label": (lambda f: edit(f / "train.csv", "t3,1", "t3,"),
        ["train.csv line 5: the label is empty", "Write one"]),
    "a name among integers": (lambda f: edit(f / "train.csv", "t3,1", "t3,cat"),
        ["train.csv line 5: label 'cat' is a name where most labels are integers", "make them alike"]),
    "an integer among names": (lambda f: (relabel_all(f, "cat", "dog"), edit(f / "train.csv", "t3,dog", "t3,1")),
        ["train.csv line 5: label '1' is an integer where most labels are names"]),
    "two spellings": (lambda f: edit(f / "train.csv", "t3,1", "t3,01"),
        ["train.csv line 3: the number '1' is also written '01', in train.csv line 5", "one way"]),
    "class without training images": (lambda f: edit(f / "validation.csv", "va2,0", "va2,2"),
        ["validation.csv line 4: label '2' has no training images", "Add training images"]),
    "one class": (lambda f: relabel_all(f, "0", "0"), ["train.csv: there is 1 class", "At least 2"]),
    "one image, no validation": (lambda f: ((f / "validation.csv").unlink(), edit(f / "train.csv", "t1,1", "t1,2")),
        ["class '2': has 1 training image", "Add images, or a validation split"]),
}
# fmt: on


@pytest.mark.parametrize("way", WAYS)
def test_a_broken_folder_is_refused_with_place_and_remedy(folder: Path, way: str) -> None:
    breaking, expected = WAYS[way]
    load(folder)  # it was sound before, and its cache must not hide what comes
    breaking(folder)
    message = complaint(folder)
    for words in expected:
        assert words in message
    assert len(message.splitlines()) <= 3, message  # one fault is one line, not a cascade


def test_all_problems_are_reported_together(folder: Path) -> None:
    truncate(folder, "train/t0.png")
    truncate(folder, "validation/va1.png")
    replace_image(folder, "train/t2.png", png_claiming(15_000, 15_000))
    replace_image(folder, "train/t4.png", b"")
    for way in ("negative", "test image missing", "empty id"):
        WAYS[way][0](folder)
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
    save_image(folder / "train/t3.png", (4, 4))
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
        (lambda path: save_image(path / "inner" / "x.txt.png"), ["1 class", "At least 2"]),
        (lambda path: (path.mkdir(), (path / "data.zip").touch()), ["data.zip", "Unpack the .zip"]),
        (lambda path: write_folder(folder_splits(), path / "inner"), ["Perhaps you mean", "inner"]),
        (lambda path: save_image(path / "validation/cat/a.png"), ["there is no train/", "train/<class>/"]),
        (
            lambda path: (save_image(path / "train/cat/a.png"), (path / "train/dog").mkdir()),
            ["train/dog/: class 'dog' has no images", "remove the folder"],
        ),
        (
            lambda path: [save_image(path / "train" / name) for name in ("a/1.png", "b/1.png", "b/1.jpg")],
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
            save_image(tmp_path / "data" / name / f"{i}.png")
    message = complaint(tmp_path / "data")
    assert "7/: label '7' is an integer where most labels are names" in message
    assert "1 problem" in message  # a folder is one problem, not one per image


@pytest.mark.parametrize(("count", "complaints"), [(2, 0), (1000, 0), (1001, 1)])
def test_the_number_of_classes_is_bounded(count: int, complaints: int) -> None:
    rows = [Row(f"train.csv line {i + 2}", f"t{i}", str(i)) for i in range(count)]
    problems = Problems()
    numbers, names = interpret_labels({"train": rows}, problems, [])
    assert names == tuple(map(str, range(count))) and numbers["1"] == 1
    assert len(problems) == complaints
    if complaints:
        assert "train.csv: there are 1,001 different labels" in problems.lines()[0]
        assert "At most 1,000" in problems.lines()[0]


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
