"""Files that are either whole or absent, whenever the process dies."""

import contextlib
import errno
import hashlib
import io
import json
import os
import secrets
import stat
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from dfclib.errors import UserError

DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
# raised by numpy.load for a file that is cut short, overwritten or of another kind
UNREADABLE_ARRAYS = (ValueError, TypeError, OSError, EOFError, NotImplementedError, zlib.error, zipfile.BadZipFile)
NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS)  # as on a mounted Google Drive


def write_atomically(path: Path | str, write: Callable[[BinaryIO], None], follow_links: bool = False) -> Path:
    """Let `write` fill a temporary file beside `path`, flush it to the disk and rename it to `path`.

    A reader sees the old file or the new one, never a part. Missing folders are made. What is no regular file
    (/dev/stdout, a named pipe) is written into, and never replaced.

    Args:
        follow_links: Write to the target of a link at `path`, as for a path that the user typed. Else the link itself
            is replaced: in a folder that came from elsewhere it would lead our files out of it.

    Raises:
        UserError: where the disk is full, the folder cannot be written, or `path` is a folder.
    """
    path = Path(path)
    with explained_write_errors(path):
        if path.is_dir():
            raise UserError(f"{path} is a folder: name a file to write")
        if not is_stream(path):
            _replace(Path(os.path.realpath(path)) if follow_links else path, write)
        elif path.is_symlink() and not follow_links:
            raise UserError(f"{path} is a link to what is no file: remove it, or name another file")
        else:
            _write_into(path, write)
    return path


@contextlib.contextmanager
def explained_write_errors(path: Path) -> Iterator[None]:
    """Raise UserError where the disk is full or `path` may not be written; other errors go through."""
    try:
        yield
    except OSError as error:
        if error.errno in DISK_FULL:
            raise UserError(
                f"disk full while writing {path}; nothing that stood there was harmed. "
                "Free some space and run the same command again."
            ) from error
        if isinstance(error, PermissionError) or error.errno == errno.EROFS:
            raise UserError(f"cannot write {path}: {error.strerror}. Choose a folder that you may write to.") from error
        raise


def is_stream(path: Path | str) -> bool:
    """Whether `path` is neither regular file nor folder (a pipe, a device), or is this process's output (> file)."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return False
    return not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)) or _is_standard_output(status)


def write_text(path: Path | str, text: str, follow_links: bool = False) -> Path:
    """Write `text` as UTF-8, atomically."""
    return write_atomically(path, lambda file: file.write(text.encode("utf-8")), follow_links)


def write_json(path: Path | str, value: Any) -> Path:
    """Write `value` as indented JSON, atomically. NaN and infinity are refused: JSON has none."""
    return write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path | str) -> Any:
    """Read JSON. Raises UserError naming the file where it is missing or not JSON."""
    path = Path(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist") from error
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UserError(f"{path} is not JSON: {error}") from error


def sha256(path: Path | str) -> str:
    """The SHA-256 of a file's bytes, as hexadecimal digits."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def locked(folder: Path | str, name: str, message: str) -> Iterator[None]:
    """Hold the lock file `name` in `folder`, which is made where it is missing; the lock dies with the process.

    Where the system or the file system has no locks, it goes on without one. Raises UserError with `message` where
    another process holds the lock.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / name).open("w") as file:
        try:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except ImportError:  # Windows: no such locks, and nothing else depends on them
            pass
        except BlockingIOError as error:
            raise UserError(message) from error
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            warning = f"warning: {folder} is on a file system without locks: let no other process write to it meanwhile"
            print(warning, file=sys.stderr)
        yield


def _replace(path: Path, write: Callable[[BinaryIO], None]) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _write_into(path: Path, write: Callable[[BinaryIO], None]) -> None:
    content = io.BytesIO()  # what writes archives goes back and forth, which a pipe does not
    write(content)
    standard_output = _is_standard_output(os.stat(path))
    if standard_output:
        with contextlib.suppress(AttributeError, ValueError):
            sys.stdout.flush()
    # standard output opened by its name: a socket is refused, and a file begins anew instead of going on
    with os.fdopen(os.dup(1), "wb") if standard_output else path.open("wb") as file:
        file.write(content.getvalue())


def _is_standard_output(status: os.stat_result) -> bool:
    try:
        return status.st_ino != 0 and os.path.samestat(status, os.fstat(1))
    except OSError:  # closed
        return False
