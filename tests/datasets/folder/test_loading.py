"""Reading and writing folders: layouts, names, notices."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
from fakes import complaint, folder_splits, load, same_splits, save_image

from dfclib.datasets.folder import loading
from dfclib.datasets.folder.loading import write_folder
from dfclib.errors import UserError


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("names", [("0", "1"), ("a cat", 'dog, "big"', "été")])
def test_what_is_written_is_read_again(tmp_path: Path, names: tuple[str, ...], channels: int) -> None:
    splits = folder_splits(names, channels)
    write_folder(splits, tmp_path / "My Données_2")
    read = load(tmp_path / "My Données_2")
    assert same_splits(read, splits)
    assert read.name == "my-donn-es-2" and not read.embedded
    sample = list(csv.reader((tmp_path / "My Données_2/sample_submission.csv").open(encoding="utf-8")))
    assert sample == [["image_id", "label"]] + [[f"tes{i}", names[0]] for i in range(3)]
    assert not list((tmp_path / "My Données_2").glob(".unfinished*"))


def test_write_folder_spares_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="not empty .it holds notes.txt"):
        write_folder(folder_splits(), tmp_path)
    with pytest.raises(UserError, match="is a file"):
        write_folder(folder_splits(), tmp_path / "notes.txt")
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_csv_as_people_save_it(folder: Path) -> None:
    text = (folder / "train.csv").read_text().replace("t2,0", ' "t2" ,  0 ').replace("t3,1", "\n   \nt3,1")
    (folder / "train.csv").write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    lines = (folder / "validation.csv").read_text().splitlines()
    (folder / "validation.csv").write_text("\r".join(",".join(line.split(",")[::-1]) for line in lines))
    assert same_splits(load(folder), folder_splits())
    (folder / "train/t5.png").unlink()
    assert "train.csv line 9" in complaint(folder)  # blank lines count, as in an editor


def test_integers_sort_as_numbers_and_keep_their_spelling(tmp_path: Path) -> None:
    names = tuple(f"{i:02d}" for i in range(12))
    for name in names:
        for i in range(2):
            save_image(tmp_path / "data/train" / name / f"{i}.png")
    (tmp_path / "data/train" / "02").rename(tmp_path / "data/train" / "2")
    splits = load(tmp_path / "data")
    assert splits.class_names == tuple("2" if name == "02" else name for name in names)


def test_without_validation_a_stratified_tenth_is_set_aside(folder: Path, caplog) -> None:
    for name in ("validation.csv", "test.csv"):
        (folder / name).unlink()
    with (folder / "train.csv").open("a") as file:
        for i in range(6, 46):
            save_image(folder / f"train/t{i}.png")
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
            save_image(base / name / f"{i}.png")
            (base / name / ".hidden.png").touch()
    if below_train:
        save_image(root / "validation/cat/x.webp")
        save_image(root / "test/1.png")
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
    assert same_splits(load(folder), first)
    read = f"{validation}{'.csv' if which == 'tables' else '/'} is read as the validation split"
    assert read in caplog.text and "no validation split" not in caplog.text
    next((folder / (validation if which != "tables" else "validation")).iterdir()).unlink()
    assert f"{validation if which != 'folders' else 'validation'}.csv line" in complaint(folder)


@pytest.mark.parametrize("name", ["val", "valid", "dev", "Validation"])
def test_usual_names_of_class_folders(tmp_path: Path, name: str) -> None:
    for split in ("training", name, "testing"):
        for label in ("cat", "dog"):
            save_image(tmp_path / "data" / split / label / "1.png")
    splits = load(tmp_path / "data")
    assert splits.validation.ids.tolist() == [f"{name}/cat/1", f"{name}/dog/1"]
    assert splits.test.ids.tolist() == ["testing/cat/1", "testing/dog/1"]
    assert len(splits.train) == 2
    save_image(tmp_path / "data/validation/cat/1.png" if name != "Validation" else tmp_path / "data/val/cat/1.png")
    assert "each may be meant as the validation split" in complaint(tmp_path / "data")


def test_a_split_beside_class_folders_is_refused(tmp_path: Path) -> None:
    """val/ is no class without images, and its images are not left aside."""
    for name in ("cat/1.png", "dog/1.png", "val/cat/2.png", "val/dog/2.png"):
        save_image(tmp_path / "data" / name)
    message = complaint(tmp_path / "data")
    assert "there is no train/" in message and "sort the images into train/<class>/" in message


def test_what_is_left_aside_is_noticed(tmp_path: Path, caplog) -> None:
    root = tmp_path / "data"
    for i in range(4):
        save_image(root / f"train/cat/{i}.png")
        save_image(root / f"train/dog/{i}.png")
    for name in ("train/cat/more/9", "train/dog/more/9", "train/loose", "extra/cat/1", "test/1", "test/more/more/1"):
        save_image(root / f"{name}.png")
    (root / "train/cat/notes.txt").touch(), (root / "train/dog/still.gif").touch(), (root / "train/.DS_Store").touch()
    (root / "train/cat/__MACOSX").mkdir(), (root / "train/cat/._0.png").touch()
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
    save_image(folder / "train/cat/1.png"), (folder / "train/a.gif").touch(), (folder / "validation.csv").unlink()
    save_image(folder / "train/stray.png")
    load(folder)
    assert "train/ holds 1 image(s) that train.csv does not name, 'stray'" in caplog.text
    assert "train/ holds 1 folder(s) where images are expected, train/cat/ for one" in caplog.text
    assert "train/ holds 1 file(s) that are not PNG, JPEG or WebP images, train/a.gif for one" in caplog.text
    assert "validation/ holds images, but there is no validation.csv: it is not used" in caplog.text


def test_more_columns_are_only_noticed(folder: Path, caplog) -> None:
    first = load(folder)
    for name, added in (("train", "source,"), ("validation", "source,"), ("test", "label,")):
        lines = (folder / f"{name}.csv").read_text().splitlines()
        rows = [f"{added}{lines[0]},", *(f"x,{line},y" for line in lines[1:])]
        (folder / f"{name}.csv").write_text("\n".join(rows))
    assert same_splits(load(folder), first)
    assert "train.csv has 2 more column(s), 'source' for one: not used" in caplog.text
    assert "test.csv has 2 more column(s), 'label' for one: not used" in caplog.text


def test_one_split_alone(folder: Path) -> None:
    (folder / "train/t0.png").unlink()
    listing = loading.read_listing(folder, ("test",))
    assert [file.id for file in listing.parts["test"].files] == ["tes0", "tes1", "tes2"]
    assert list(listing.parts) == ["test"] and not listing.problems and not listing.notices


def test_known_data_keep_their_name_in_a_folder_of_another_name_and_are_hashed_once(folder: Path, monkeypatch) -> None:
    monkeypatch.setattr(loading, "KNOWN_DATA", {folder_splits().fingerprint: "the-competition"})
    splits = load(folder)
    assert splits.name == "the-competition" and splits.fingerprint in loading.KNOWN_DATA
    assert "fingerprint" in vars(splits.train) and "fingerprint" in vars(splits.validation)


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
