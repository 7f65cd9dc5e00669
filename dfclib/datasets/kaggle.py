"""Fetch the competition from Kaggle and send predictions to it, by Kaggle's own package."""

import contextlib
import io
import shutil
import struct
import sys
import zipfile
import zlib
from pathlib import Path
from typing import Any

from dfclib.datasets.folder.listing import read_listing
from dfclib.datasets.kaggle_api import COMPETITION, PAGE, explained_failures, sign_in
from dfclib.errors import UserError
from dfclib.files import explained_write_errors, read_json, write_json

ARCHIVE = f"{COMPETITION}.zip"
STAGING = ".download"  # holds the archive; removed at the end
RECORD = ".download.json"  # names and sizes of a complete download

# everything that zipfile raises where bytes are lost or changed
DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, struct.error, UnicodeDecodeError)


def download(to: Path | str) -> Path:
    """Fetch the competition's archive, unpack it into the folder `to`, check it and return `to`.

    Stopped at any moment and called again, it goes on: a partial archive is continued where the server allows it,
    unpacked files are kept, and a complete download is not fetched again. Bars and counts go to standard error.

    Raises UserError for whatever the user can mend: no token, rules not accepted, no network, disk full, a damaged
    archive, a folder that holds something else.
    """
    to = Path(to)
    if to.exists() and not to.is_dir():
        raise UserError(f"{to} is a file: choose a folder to download to.")
    if _is_complete(to):
        print(f"{to} already holds {COMPETITION}, complete.", file=sys.stderr)
        return to
    begun = (to / RECORD).is_file() or (to / STAGING).is_dir()
    if to.is_dir() and not begun and (found := sorted(entry.name for entry in to.iterdir())):
        raise UserError(
            f"{to} is not empty (it holds {found[0]}), and no download has begun there: name a folder that is empty "
            "or does not exist. A competition that was unpacked by hand is used as it is."
        )
    with explained_failures():
        client = sign_in(Path.cwd())
    with explained_failures(), explained_write_errors(to):
        staging = to / STAGING
        for last_try in (False, True):
            try:
                sizes = _unpack(_fetch(client, staging, force=last_try), to)
                break
            except DAMAGED as error:
                (staging / ARCHIVE).unlink(missing_ok=True)
                if last_try:
                    raise UserError(
                        f"the archive of {COMPETITION} came damaged twice ({error}): try again later, or "
                        f"fetch and unpack it by hand from {PAGE}/data."
                    ) from error
                print(f"the archive is damaged ({error}); fetching it again", file=sys.stderr)
        _check_content(to)
        write_json(to / RECORD, {"competition": COMPETITION, "files": sizes})
        shutil.rmtree(staging, ignore_errors=True)
    return to


def submit(csv: Path | str, message: str) -> str:
    """Send the submission file `csv` with a description; return Kaggle's answer and where to see the score.

    Raises UserError where the file or the message is missing, and where Kaggle cannot be reached or refuses.
    """
    path = Path(csv)
    if not path.is_file() or path.stat().st_size == 0:
        raise UserError(f"{path} is missing or empty: make it with `python -m dfclib submit RUN --out {path}`.")
    if not message.strip():
        raise UserError("a submission needs a message of at least one letter: it is shown beside the score.")
    page = f"{PAGE}/submissions"
    with explained_failures():
        client = sign_in(Path.cwd())
        with contextlib.redirect_stdout(io.StringIO()) as printed:  # the only place where it gives a reason
            answer = client.competition_submit(str(path), message, COMPETITION, quiet=True)
    # kaggle tells of a failed upload by this sentence, not by an exception
    if answer.message == "Could not submit to competition":
        reason = (printed.getvalue().strip().splitlines() or ["no reason given"])[-1]
        raise UserError(f"Kaggle did not take {path} ({reason}): run the same command again, or upload at {page}.")
    return f"{answer.message} - {page}"


def _fetch(client: Any, staging: Path, force: bool) -> Path:
    staging.mkdir(parents=True, exist_ok=True)
    try:
        # what the package prints is no result of ours, so it does not belong on standard output
        with contextlib.redirect_stdout(sys.stderr):
            client.competition_download_files(COMPETITION, path=str(staging), force=force, quiet=False)
    except OSError:  # requests raises some that are a ValueError as well
        raise
    except ValueError as error:
        raise zipfile.BadZipFile(str(error)) from error  # the size is not the one that was announced
    if not (staging / ARCHIVE).is_file():
        raise zipfile.BadZipFile(f"{ARCHIVE} did not come")
    return staging / ARCHIVE


def _unpack(archive: Path, to: Path) -> dict[str, int]:
    """Unpack what is not there yet; return the size in bytes of every file by its name in the archive."""
    from tqdm import tqdm

    with zipfile.ZipFile(archive) as opened:
        files = [info for info in opened.infolist() if not info.is_dir()]
        missing = [info for info in files if not _is_unpacked(info, to / info.filename)]
        needed, free = sum(info.file_size for info in missing), shutil.disk_usage(to).free
        if needed > free:
            raise UserError(
                f"disk full: unpacking needs {needed / 1e9:.2f} GB in {to} and {free / 1e9:.2f} GB are free. "
                "Free some space and run the same command again; it goes on where it stopped."
            )
        # zipfile compares checksums, and makes names that would leave the folder, and links, into files inside it
        for info in tqdm(missing, desc="unpacking", unit="file"):
            opened.extract(info, to)
    return {info.filename: info.file_size for info in files}


def _is_unpacked(info: zipfile.ZipInfo, path: Path) -> bool:
    same_size = path.is_file() and path.stat().st_size == info.file_size
    return same_size and zlib.crc32(path.read_bytes()) == info.CRC


def _is_complete(to: Path) -> bool:
    """Whether the record of a complete download is there and every file still has its size."""
    try:
        sizes = read_json(to / RECORD)["files"]
        return all((to / name).stat().st_size == size for name, size in sizes.items())
    except (UserError, OSError, LookupError, TypeError, AttributeError):  # never finished, or not by us
        return False


def _check_content(folder: Path) -> None:
    """Raise UserError where a row has no image, or the folder is not laid out as dfclib reads it."""
    listing = read_listing(folder)
    try:
        listing.require_sound()
    except UserError as error:
        raise UserError(f"{error}\nCompare with {PAGE}/data.") from error
    for split, part in listing.parts.items():
        print(f"{split}: {len(part.files)} images", file=sys.stderr)
