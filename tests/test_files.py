"""Files are whole or absent."""

import errno
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from dfclib.errors import UserError
from dfclib.files import locked, read_json, write_atomically, write_json, write_text


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def failing(code):
    """A function that fails as the system does with this error number."""

    def fail(*args):
        raise OSError(code, os.strerror(code))

    return fail


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

    monkeypatch.setattr(os, call, failing(code))
    with pytest.raises(UserError, match=f"(?s){advice}.*model.npz|model.npz.*{advice}"):
        write_text(path, "new")
    assert path.read_text() == "old"
    assert names(tmp_path) == ["model.npz"]


def test_any_other_trouble_with_the_disk_is_not_hidden(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", failing(errno.EIO))
    with pytest.raises(OSError, match="Input/output error"):
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


def test_a_named_pipe_is_written_into_and_stays(tmp_path):
    pipe, received = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: received.append(pipe.read_bytes()), daemon=True)
    reader.start()
    write_text(pipe, "through")
    reader.join(10)
    assert received == [b"through"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert names(tmp_path) == ["pipe"]


@pytest.fixture
def device(tmp_path):
    """A character device of our own, which takes everything: what /dev/null is to root."""
    path = tmp_path / "device"
    try:
        os.mknod(path, stat.S_IFCHR | 0o600, os.stat("/dev/null").st_rdev)
        path.write_bytes(b"")
    except (OSError, AttributeError):
        pytest.skip("only root makes devices, and not everywhere")
    return path


def test_a_device_is_never_replaced_by_a_file(device, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(device)
    write_text(device, "x")
    write_text(link, "x", follow_links=True)
    with pytest.raises(UserError, match="link to what is no file"):
        write_text(link, "x")  # a run's folder from elsewhere could hold it
    assert stat.S_ISCHR(device.stat().st_mode)
    assert link.is_symlink()
    assert names(tmp_path) == ["device", "link"]


INTO_STANDARD_OUTPUT = """
import sys
from dfclib.files import write_text
print("before")
write_text(sys.argv[1], "written\\n", follow_links=True)
print("after")
"""


@pytest.mark.skipif(not os.path.exists("/dev/stdout"), reason="Windows has no /dev/stdout")
@pytest.mark.parametrize("mode", ["pipe", "file", "appended", "socket"])
def test_standard_output_is_written_into_whatever_it_is(tmp_path, mode):
    """Also where it is a file: replaced, the shell's own text would be lost; begun anew, overwritten."""
    link = os.readlink("/dev/stdout")
    command = [sys.executable, "-c", INTO_STANDARD_OUTPUT, "/dev/stdout"]
    options = {"cwd": Path(__file__).parents[1], "check": True, "timeout": 60}
    if mode == "pipe":
        out = subprocess.run(command, stdout=subprocess.PIPE, **options).stdout
    elif mode == "socket":
        import socket

        here, there = socket.socketpair()
        subprocess.run(command, stdout=there, **options)
        there.close()
        out = here.recv(1000)
        here.close()
    else:
        path = tmp_path / "out"
        path.write_text("old\n")
        with path.open("ab" if mode == "appended" else "wb") as file:
            subprocess.run(command, stdout=file, **options)
        out = path.read_bytes()
    assert out == (b"old\n" if mode == "appended" else b"") + b"before\nwritten\nafter\n"
    assert os.readlink("/dev/stdout") == link


def test_a_link_that_the_user_typed_is_followed_and_any_other_replaced(tmp_path):
    real = write_text(tmp_path / "there" / "real.csv", "old")
    link, dangling = tmp_path / "link.csv", tmp_path / "dangling.csv"
    link.symlink_to(Path("there") / "real.csv")
    dangling.symlink_to(tmp_path / "new" / "made.csv")
    assert write_text(link, "new", follow_links=True) == link
    write_text(dangling, "made", follow_links=True)
    assert (real.read_text(), (tmp_path / "new" / "made.csv").read_text()) == ("new", "made")
    assert link.is_symlink() and dangling.is_symlink()
    write_text(link, "ours")
    assert (real.read_text(), link.read_text(), link.is_symlink()) == ("new", "ours", False)
    assert names(tmp_path / "there") == ["real.csv"]


def test_a_folder_is_refused_and_stays(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    for path in (tmp_path / "folder", tmp_path / "link"):
        for follow in (False, True):
            with pytest.raises(UserError, match="is a folder: name a file"):
                write_text(path, "x", follow_links=follow)
    assert names(tmp_path) == ["folder", "link"]
    assert names(tmp_path / "folder") == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="only Linux has a device that is always full")
def test_a_full_device_is_said_to_be_full():
    with pytest.raises(UserError, match="disk full while writing /dev/full"):
        write_text("/dev/full", "x" * 100_000)


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

    with pytest.raises(UserError, match="absent.json does not exist"):
        read_json(tmp_path / "absent.json")


def test_a_lock_is_held_by_one_at_a_time(tmp_path, capsys):
    folder = tmp_path / "new"
    with locked(folder, ".lock", ""), pytest.raises(UserError, match="in use"), locked(folder, ".lock", "in use"):
        pytest.fail("both hold it")
    with locked(folder, ".lock", "still held"):
        assert capsys.readouterr().err == ""


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOTSUP])
def test_a_file_system_without_locks_is_worth_a_warning(tmp_path, monkeypatch, capsys, code):
    monkeypatch.setattr("fcntl.flock", failing(code))
    with locked(tmp_path, ".lock", "held"):
        warning = capsys.readouterr().err
    assert warning.count("\n") == 1 and f"{tmp_path} is on a file system without locks" in warning
    monkeypatch.setattr("fcntl.flock", failing(errno.EIO))
    with pytest.raises(OSError, match=os.strerror(errno.EIO)), locked(tmp_path, ".lock", "held"):
        pytest.fail("any other trouble is not hidden")
