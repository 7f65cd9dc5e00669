"""Downloads and submissions with a fake of Kaggle's package."""

import errno
import inspect
import os
import stat
import types
import zipfile
from pathlib import Path

import pytest
from fakes import KAGGLE_FILES, assert_downloaded, files_in, zipped

from dfclib.datasets import kaggle
from dfclib.errors import UserError

pytestmark = pytest.mark.usefixtures("isolated")


class FakeKaggle:
    """What dfclib uses of KaggleApi; `test_fake_has_the_real_interface` keeps it from drifting."""

    def __init__(self, *archives, error=None, message="Successfully submitted"):
        self.archives, self.error, self.message = list(archives), error, message
        self.forced, self.sent = [], []

    def competition_download_files(self, competition, path=None, force=False, quiet=True):
        self.forced.append(force)
        if self.error:
            raise self.error
        print("Downloading")
        target = Path(path) / f"{competition}.zip"
        if force or not target.exists():
            target.write_bytes(self.archives.pop(0))

    def competition_submit(self, file_name, message, competition, quiet=False, sandbox=False):
        if self.error:
            raise self.error
        self.sent.append((file_name, message, competition))
        if self.message == "Could not submit to competition":
            print("[Errno 32] Broken pipe")
        return types.SimpleNamespace(message=self.message)


@pytest.mark.parametrize("method", ["competition_download_files", "competition_submit"])
def test_fake_has_the_real_interface(real_api, method):
    fake = inspect.signature(getattr(FakeKaggle, method)).parameters
    real = inspect.signature(getattr(real_api, method)).parameters
    for name, parameter in fake.items():
        assert (name, parameter.kind, parameter.default) == (name, real[name].kind, real[name].default)
    assert all(real[name].default is not inspect.Parameter.empty for name in set(real) - set(fake))


def download(to, client):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kaggle, "sign_in", lambda folder: client)
        return kaggle.download(to)


def submit(csv, message, client):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kaggle, "sign_in", lambda folder: client)
        return kaggle.submit(csv, message)


# ---- download, with the fake ----


def test_download_unpacks_checks_and_leaves_nothing_behind(tmp_path, capsys):
    to = tmp_path / "new" / "data"
    assert download(to, FakeKaggle(zipped())) == to
    assert_downloaded(to)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "train: 2 images" in captured.err


def test_complete_download_is_not_fetched_again(tmp_path):
    download(tmp_path, FakeKaggle(zipped()))
    untouched = FakeKaggle(error=AssertionError("fetched"))
    assert download(tmp_path, untouched) == tmp_path


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"x")])
def test_damaged_complete_download_is_mended(tmp_path, damage):
    download(tmp_path, FakeKaggle(zipped()))
    damage(tmp_path / "train/b.png")
    download(tmp_path, FakeKaggle(zipped()))
    assert_downloaded(tmp_path)


def test_interrupted_unpacking_goes_on_with_the_same_archive(tmp_path, monkeypatch):
    extract, done = zipfile.ZipFile.extract, []

    def die_at_the_fourth(archive, member, to):
        path = Path(extract(archive, member, to))
        if len(done) == 3:
            path.write_bytes(path.read_bytes()[:-1])
            raise KeyboardInterrupt
        done.append(path)

    client = FakeKaggle(zipped())
    with monkeypatch.context() as patch:
        patch.setattr(zipfile.ZipFile, "extract", die_at_the_fourth)
        with pytest.raises(KeyboardInterrupt):
            download(tmp_path, client)
    for path in done:
        os.utime(path, (1, 1))
    download(tmp_path, client)  # client has no second archive to give
    assert_downloaded(tmp_path)
    assert [path.stat().st_mtime for path in done] == [1, 1, 1]


def test_file_of_right_size_and_other_content_is_replaced(tmp_path):
    (tmp_path / kaggle.STAGING).mkdir()
    (tmp_path / "train").mkdir()
    (tmp_path / "train/a.png").write_bytes(b"Z" * 900)
    download(tmp_path, FakeKaggle(zipped()))
    assert_downloaded(tmp_path)


def changed_byte() -> bytes:
    data = bytearray(zipped())
    data[data.find(b"train/b.png") + 200] ^= 1  # in the compressed pixels
    return bytes(data)


@pytest.mark.parametrize("broken", [b"", b"no zip", zipped()[:-30], changed_byte()], ids=len)
def test_damaged_archive_is_fetched_once_more(tmp_path, broken):
    client = FakeKaggle(broken, zipped())
    download(tmp_path, client)
    assert client.forced == [False, True]
    assert_downloaded(tmp_path)

    with pytest.raises(UserError, match=r"damaged twice .*competitions/deepfake-classification-unibuc/data"):
        download(tmp_path / "again", FakeKaggle(broken, broken))
    assert not list((tmp_path / "again" / kaggle.STAGING).iterdir())


@pytest.mark.parametrize("stranger", ["notes.txt", "train.csv", "train/mine.png", ".git/HEAD"])
def test_a_folder_with_files_of_others_is_left_alone(tmp_path, stranger):
    path = tmp_path / stranger
    path.parent.mkdir(exist_ok=True)
    path.write_text("mine")
    untouched = FakeKaggle(error=AssertionError("fetched"))
    with pytest.raises(UserError, match=f"not empty \\(it holds {path.relative_to(tmp_path).parts[0]}\\)"):
        download(tmp_path, untouched)
    assert files_in(tmp_path) == {stranger: b"mine"}


def test_our_own_unfinished_download_is_no_stranger(tmp_path):
    """Damaged twice, in the middle of unpacking: files are there, and nothing is left of the archive."""
    broken = changed_byte()
    with pytest.raises(UserError, match="damaged twice"):
        download(tmp_path, FakeKaggle(broken, broken))
    assert (tmp_path / "train.csv").is_file() and not list((tmp_path / kaggle.STAGING).iterdir())
    download(tmp_path, FakeKaggle(zipped()))
    assert_downloaded(tmp_path)
    (tmp_path / "empty").mkdir()
    download(tmp_path / "empty", FakeKaggle(zipped()))


def test_nothing_is_written_outside_the_folder(tmp_path):
    to = tmp_path / "deep" / "data"
    names = ("../evil", "train/../../evil", f"{tmp_path}/evil", "//server/evil", "C:/evil")
    link, target = zipfile.ZipInfo("train/link"), str(tmp_path / "target")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    download(to, FakeKaggle(zipped(KAGGLE_FILES | dict.fromkeys(names, b"evil") | {link: target.encode()})))
    assert [path.name for path in tmp_path.iterdir()] == ["deep"] and list(to.parent.iterdir()) == [to]
    assert not (to / "train/link").is_symlink() and (to / "train/link").read_text() == target


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"readme.txt": b"hello"}, "train.csv is missing.*deepfake-classification-unibuc/data"),
        (KAGGLE_FILES | {"validation.csv": b"image_id,label\nc,0\nx,1\ny,1\n"}, "2 problems.*no image validation/'x'"),
        (KAGGLE_FILES | {"train.csv": b"image_id,label\n"}, "no row follows"),
        (KAGGLE_FILES | {"test.csv": b"id\nd\n"}, "test.csv line 1: the columns are 'id'"),
    ],
)
def test_what_was_unpacked_is_checked(tmp_path, content, message):
    client = FakeKaggle(zipped(content))
    for _ in range(2):  # the second time from the archive that is still there
        with pytest.raises(UserError, match=f"(?s){message}"):
            download(tmp_path, client)


def test_full_disk(tmp_path, monkeypatch):
    full = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(UserError, match="disk full while writing"):
        download(tmp_path, FakeKaggle(error=full))
    usage = types.SimpleNamespace(free=100)
    with monkeypatch.context() as patch:
        patch.setattr(kaggle.shutil, "disk_usage", lambda path: usage)
        with pytest.raises(UserError, match="disk full: unpacking needs"):
            download(tmp_path, FakeKaggle(zipped()))
    download(tmp_path, FakeKaggle())  # with the archive that is there
    assert_downloaded(tmp_path)


def test_a_target_that_cannot_be(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is a file"):
        download(tmp_path / "file", FakeKaggle(zipped()))
    with pytest.raises(NotADirectoryError):  # which the command line puts into words
        download(tmp_path / "file" / "below", FakeKaggle(zipped()))


def test_our_own_mistakes_are_not_dressed_up(tmp_path):
    with pytest.raises(KeyError):
        download(tmp_path, FakeKaggle(error=KeyError("bug")))


# ---- submit, with the fake ----


def test_submit_refuses_what_cannot_be_sent(tmp_path):
    client, empty, good = FakeKaggle(), tmp_path / "empty.csv", tmp_path / "good.csv"
    empty.write_text("")
    good.write_text("image_id,label\nd,0\n")
    for path in (empty, tmp_path / "missing.csv", tmp_path):
        with pytest.raises(UserError, match="missing or empty"):
            submit(path, "hello", client)
    with pytest.raises(UserError, match="message"):
        submit(good, "  ", client)
    assert client.sent == []
    failing = FakeKaggle(message="Could not submit to competition")
    with pytest.raises(UserError, match="did not take .*Broken pipe"):
        submit(good, "hello", failing)
    answer = submit(good, "hello", client)
    assert client.sent == [(str(good), "hello", kaggle.COMPETITION)]
    assert answer.startswith("Successfully submitted - https://www.kaggle.com/competitions/")
