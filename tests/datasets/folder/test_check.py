"""The report on a folder: right figures for a sound one, and all that can be measured for a broken one."""

from pathlib import Path

import numpy as np
import pytest
from fakes import SIDE, edit, folder_splits, truncate
from PIL import Image

from dfclib.datasets.folder import decoding
from dfclib.datasets.folder.check import check_folder
from dfclib.datasets.folder.loading import write_folder
from dfclib.datasets.images import ImageSet, Splits


def check(folder: Path, **arguments):
    return check_folder(folder, progress=False, **arguments)


def test_a_sound_folder(folder: Path) -> None:
    report, splits = check(folder), folder_splits()
    assert report.problems == [] and report.class_names == splits.class_names
    train = report.splits["train"]
    assert train.images == 6 and train.class_counts.tolist() == [3, 3]
    assert train.sizes == {(SIDE, SIDE): 6} and train.modes == {"RGB": 6}
    np.testing.assert_allclose(train.mean, splits.train.images.mean((0, 1, 2)))
    np.testing.assert_allclose(train.deviation, splits.train.images.std((0, 1, 2)))
    assert report.splits["test"].class_counts is None
    text = report.text()
    for words in ("No problems found", "layout Kaggle", "8x8 (6)", "RGB (6)", "3  50.0%", "within train"):
        assert words in text


def test_the_second_check_decodes_nothing(folder: Path, monkeypatch) -> None:
    first = check(folder).text()
    monkeypatch.setattr(decoding, "decode_image", None)
    monkeypatch.setattr(decoding, "read_header", None)
    assert check(folder).text() == first


def test_a_broken_folder_is_measured_as_far_as_it_can_be(folder: Path) -> None:
    truncate(folder, "train/t0.png")
    (folder / "test/tes1.png").unlink()
    report = check(folder)
    assert len(report.problems) == 2
    text = report.text()
    assert "train/t0.png (train.csv line 2): cannot be decoded" in text
    assert "test.csv line 3: there is no image" in text and "No problems" not in text
    assert report.splits["train"].images == 5 and report.splits["test"].images == 2
    assert report.splits["train"].class_counts.tolist() == [2, 3]
    assert report.splits["train"].sizes == {(SIDE, SIDE): 5}  # of those that are measured


def test_unclear_labels_leave_the_images_measurable(folder: Path) -> None:
    edit(folder / "train.csv", "t1,1", "t1,")
    report = check(folder)
    assert "the label is empty" in report.problems[0]
    assert report.splits["train"].images == 6 and report.splits["train"].class_counts.tolist() == [3, 2]
    assert report.splits["validation"].class_counts.tolist() == [2, 2]
    assert "validation" in report.text()


@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.mkdir()])
def test_no_folder_or_an_empty_one_is_a_report_too(tmp_path: Path, make) -> None:
    make(tmp_path / "data")
    report = check(tmp_path / "data")
    assert len(report.problems) == 1 and not report.splits and report.duplicates is None
    assert "layout not recognised" in report.text()


def test_copies_are_reported(folder: Path) -> None:
    (folder / "validation/va0.png").write_bytes((folder / "train/t5.png").read_bytes())
    report = check(folder)
    assert report.duplicates.counts["train", "validation"] == (1, 0)
    assert "train t5 (1) and validation va0 (0): identical pixels, but different labels" in report.text()


def test_mixed_sizes_are_a_notice(folder: Path) -> None:
    Image.new("RGB", (SIDE, 2 * SIDE)).save(folder / "train/t1.png")
    report = check(folder)
    assert report.problems == [] and "--image-size HEIGHT WIDTH" in report.text()
    assert "8x8 (5), 8x16 (1)" in report.text()


def test_too_large_for_the_memory(folder: Path, monkeypatch) -> None:
    monkeypatch.setattr(decoding, "available_bytes", lambda: 1000)
    report = check(folder)
    assert "1e-06 GB are available" in report.problems[0] and not report.splits


def test_many_classes_are_cut(tmp_path: Path) -> None:
    names = tuple(f"class{i:03d}" for i in range(30))
    images = np.zeros((61, 2, 2, 1), np.uint8)
    labels = np.append(np.repeat(np.arange(30), 2), 17)
    train = ImageSet(images, labels, np.array([f"t{i}" for i in range(61)]), names)
    validation = ImageSet(images[:30], np.arange(30), np.array([f"v{i}" for i in range(30)]), names)
    write_folder(Splits("many", train, validation), tmp_path / "data")
    text = check(tmp_path / "data").text()
    table = text[text.index("Classes") : text.index("Duplicates")]
    assert "10 left out" in table and "class017" in table and table.count("class0") == 20
    line = next(line for line in text.splitlines() if line.startswith("  train "))
    assert line.split()[1:4] == ["61", "0.0", "0.0"]  # all images are black: mean and deviation
