"""The report on a folder: right figures for a sound one, and all that can be measured for a broken one."""

from pathlib import Path

import numpy as np
import pytest
from fakes import SIDE, edit, folder_splits, truncate
from PIL import Image

from dfclib.datasets.folder import decoding
from dfclib.datasets.folder.check import check_folder as check
from dfclib.datasets.folder.loading import write_folder
from dfclib.datasets.images import ImageSet, Splits


def table(text: str, heading: str) -> dict[str, list[str]]:
    """The rows below a heading: their cells by the first one."""
    rows = [line.split() for line in text.split(f"\n{heading}\n")[1].split("\n\n")[0].splitlines()]
    return {name: cells for name, *cells in rows}


def test_a_sound_folder(folder: Path) -> None:
    (text, problems), images = check(folder), folder_splits().train.images
    assert problems == []
    means, deviations = (
        " ".join(f"{value:.1f}" for value in values) for values in (images.mean((0, 1, 2)), images.std((0, 1, 2)))
    )
    assert table(text, "Images")["train"] == f"6 {means} {deviations} 8x8 (6); RGB (6)".split()
    assert table(text, "Classes") == {"class": ["train", "validation"]} | dict.fromkeys(
        "01", ["3", "50.0%", "2", "50.0%"]
    )
    for words in ("No problems found", "layout Kaggle", "within train"):
        assert words in text


def test_the_second_check_decodes_nothing(folder: Path, monkeypatch) -> None:
    first = check(folder)
    monkeypatch.setattr(decoding, "decode_image", None)
    monkeypatch.setattr(decoding, "read_header", None)
    assert check(folder) == first


def test_a_broken_folder_is_measured_as_far_as_it_can_be(folder: Path) -> None:
    truncate(folder, "train/t0.png")
    (folder / "test/tes1.png").unlink()
    text, problems = check(folder)
    assert len(problems) == 2
    assert "train/t0.png (train.csv line 2): cannot be decoded" in text
    assert "test.csv line 3: there is no image" in text and "No problems" not in text
    images, classes = table(text, "Images"), table(text, "Classes")
    assert images["train"][0] == "5" and images["test"][0] == "2"
    assert classes["0"][0] == "2" and classes["1"][0] == "3"
    assert "8x8 (5); RGB (5)" in text  # of those that are measured


def test_unclear_labels_leave_the_images_measurable(folder: Path) -> None:
    edit(folder / "train.csv", "t1,1", "t1,")
    text, problems = check(folder)
    assert "the label is empty" in problems[0]
    assert table(text, "Images")["train"][0] == "6"
    assert {name: cells[::2] for name, cells in table(text, "Classes").items()} == {
        "class": ["train"], "0": ["3", "2"], "1": ["2", "2"]
    }  # fmt: skip


@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.mkdir()])
def test_no_folder_or_an_empty_one_is_a_report_too(tmp_path: Path, make) -> None:
    make(tmp_path / "data")
    text, problems = check(tmp_path / "data")
    assert len(problems) == 1 and "Images" not in text and "Duplicates" not in text
    assert "layout not recognised" in text


def test_copies_are_reported(folder: Path) -> None:
    (folder / "validation/va0.png").write_bytes((folder / "train/t5.png").read_bytes())
    text, problems = check(folder)
    assert "train t5 (1) and validation va0 (0): identical pixels, but different labels" in text


def test_mixed_sizes_are_a_notice(folder: Path) -> None:
    Image.new("RGB", (SIDE, 2 * SIDE)).save(folder / "train/t1.png")
    text, problems = check(folder)
    assert problems == [] and "--image-size HEIGHT WIDTH" in text
    assert "8x8 (5), 8x16 (1)" in text


def test_too_large_for_the_memory(folder: Path, monkeypatch) -> None:
    monkeypatch.setattr(decoding, "available_bytes", lambda: 1000)
    text, problems = check(folder)
    assert "1e-06 GB are available" in problems[0] and "Images" not in text


def test_many_classes_are_cut(tmp_path: Path) -> None:
    names = tuple(f"class{i:03d}" for i in range(30))
    images = np.zeros((61, 2, 2, 1), np.uint8)
    labels = np.append(np.repeat(np.arange(30), 2), 17)
    train = ImageSet(images, labels, np.array([f"t{i}" for i in range(61)]), names)
    validation = ImageSet(images[:30], np.arange(30), np.array([f"v{i}" for i in range(30)]), names)
    write_folder(Splits("many", train, validation), tmp_path / "data")
    text, _ = check(tmp_path / "data")
    table = text[text.index("Classes") : text.index("Duplicates")]
    assert "10 left out" in table and "class017" in table and table.count("class0") == 20
    line = next(line for line in text.splitlines() if line.startswith("  train "))
    assert line.split()[1:4] == ["61", "0.0", "0.0"]  # all images are black: mean and deviation
