"""Files are whole or absent."""

import errno
import os

import pytest

from dfclib.errors import UserError
from dfclib.files import read_json, write_atomically, write_json, write_text


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_writes_a_new_file_and_its_folders(tmp_path):
    path = write_atomically(tmp_path / "a" / "b" / "c.bin", lambda file: file.write(b"\x00\x01"))
    assert path.read_bytes() == b"\x00\x01"
    assert names(path.parent) == ["c.bin"]


def test_a_failing_writer_leaves_the_old_file_alone(tmp_path):
    path = tmp_path / "state.json"
    write_text(path, "old")

    def write_half(file):
        file.write(b"ha")
        raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        write_atomically(path, write_half)
    assert path.read_text() == "old"
    assert names(tmp_path) == ["state.json"]


@pytest.mark.parametrize("call", ["replace", "fsync"])
@pytest.mark.parametrize(
    ("code", "advice"),
    [(errno.ENOSPC, "disk full"), (errno.EDQUOT, "disk full"), (errno.EROFS, "cannot write")],
    ids=["full", "quota", "read-only"],
)
def test_a_full_or_closed_disk_is_the_users_to_mend(tmp_path, monkeypatch, call, code, advice):
    path = tmp_path / "model.npz"
    write_text(path, "old")

    def fail(*args):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(UserError, match=f"(?s){advice}.*model.npz|model.npz.*{advice}"):
        write_text(path, "new")
    assert path.read_text() == "old"
    assert names(tmp_path) == ["model.npz"]


def test_any_other_trouble_with_the_disk_is_not_hidden(tmp_path, monkeypatch):
    def fail(*args):
        raise OSError(errno.EIO, "input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="input/output error"):
        write_text(tmp_path / "x", "new")
    assert names(tmp_path) == []


def test_the_old_file_stands_until_the_new_one_is_on_the_disk(tmp_path, monkeypatch):
    path = write_text(tmp_path / "x", "old")
    seen = []
    for call in ("fsync", "replace"):
        original = getattr(os, call)

        def spy(*args, call=call, original=original):
            seen.append((call, path.read_text()))
            return original(*args)

        monkeypatch.setattr(os, call, spy)
    write_text(path, "new")
    assert seen == [("fsync", "old"), ("replace", "old")]
    assert path.read_text() == "new"


def test_json_comes_back_as_it_was(tmp_path):
    value = {"text": "ärger", "number": 0.1 + 0.2, "list": [1, None, True]}
    assert read_json(write_json(tmp_path / "x.json", value)) == value


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_json_has_no_nan_and_the_old_file_survives_the_refusal(tmp_path, value):
    path = write_json(tmp_path / "x.json", {"old": 1})
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"loss": value})
    assert read_json(path) == {"old": 1}


@pytest.mark.parametrize("content", [b"", b'{"a": ', b"\xff\xfe\x00"], ids=["empty", "cut", "not text"])
def test_a_broken_json_file_is_named(tmp_path, content):
    path = tmp_path / "metrics.json"
    path.write_bytes(content)
    with pytest.raises(UserError, match="metrics.json is not JSON"):
        read_json(path)


def test_a_missing_json_file_is_named(tmp_path):
    with pytest.raises(UserError, match="absent.json does not exist"):
        read_json(tmp_path / "absent.json")
