"""Decoded pixels are kept, and never those of other files."""

from pathlib import Path

import pytest
from fakes import SIDE, complaint, edit, folder_splits, load, same_splits, truncate
from PIL import Image

from dfclib.datasets.folder import cache, decoding
from dfclib.errors import UserError


def test_the_second_time_nothing_is_decoded(folder: Path, monkeypatch) -> None:
    first = load(folder)
    monkeypatch.setattr(decoding, "decode_image", None)
    monkeypatch.setattr(decoding, "read_header", None)
    assert same_splits(load(folder), first)
    edit(folder / "train.csv", "t3,1", "t3,0")  # rows are read anew each time
    assert load(folder).train.labels.tolist() == [0, 1, 0, 0, 0, 1]
    edit(folder / "train.csv", "t3,0", "t3,-1")
    assert "label '-1'" in complaint(folder)


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
    {
        "truncate": lambda: array.write_bytes(whole[:-10]),
        "flip a byte": lambda: array.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1])),
        "remove": array.unlink,
        "no json": note.unlink,
        "broken json": lambda: note.write_text("{"),
        "wrong json": lambda: note.write_text("[1]"),
    }[damage]()
    assert same_splits(load(folder), first)
    assert array.read_bytes() == whole


def test_images_with_faults_are_not_cached(folder: Path) -> None:
    truncate(folder, "train/t0.png")
    complaint(folder)
    assert not list((folder / ".dfclib-cache").iterdir())


def test_a_cache_that_cannot_be_written_is_no_error(folder: Path, monkeypatch, caplog) -> None:
    def full(*_):
        raise UserError("disk full")

    monkeypatch.setattr(cache, "write_atomically", full)
    assert same_splits(load(folder), folder_splits())
    assert "could not be kept" in caplog.text and "disk full" in caplog.text


def test_a_read_only_folder_is_cached_elsewhere(folder: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(cache.os, "access", lambda path, mode: ".dfclib-cache" not in str(path))
    monkeypatch.setattr(cache.Path, "home", lambda: tmp_path / "home")
    load(folder)
    assert len(list((tmp_path / "home/.cache/dfclib").glob("data-*/*.npy"))) == 3
    assert not list((folder / ".dfclib-cache").glob("*.npy"))
