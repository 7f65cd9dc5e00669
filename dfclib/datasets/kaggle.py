"""Fetch the competition from Kaggle and send predictions to it, by Kaggle's own package."""

import builtins
import contextlib
import csv
import errno
import io
import json
import os
import re
import shutil
import stat
import struct
import sys
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from dfclib.errors import UserError
from dfclib.files import read_json, write_json

COMPETITION = "deepfake-classification-unibuc"
TOKEN_PAGE = "https://www.kaggle.com/settings"
COMPETITIONS_PAGE = "https://www.kaggle.com/competitions"

STAGING = ".download"  # the archive and the file being unpacked; removed at the end
RECORD = ".download.json"  # names and sizes of a complete download; null while it is unpacked
MAX_FILES = 500_000
MAX_RATIO = 100  # unpacked bytes to archive bytes; images hardly shrink, text by ten
ALWAYS_ALLOWED_BYTES = 100_000_000  # whatever the ratio
IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp"}

# everything that zipfile raises where bytes are lost or changed
DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, struct.error, UnicodeDecodeError)


def download(to: Path | str, competition: str = COMPETITION, client: Any | None = None, progress: bool = True) -> Path:
    """Fetch the competition's archive, unpack it into the folder `to`, check it and return `to`.

    Stopped at any moment and called again, it goes on: an archive in part is continued where the server
    allows it, files that are already unpacked are kept, and a complete download is not fetched again.
    `client` is a signed-in KaggleApi (or something with its methods); without one the usual places are
    searched for a token. Raises UserError for whatever the user can mend: no token, rules not accepted,
    no network, disk full, an archive that is damaged or that would write outside `to`, a folder that holds
    something else.
    """
    to = Path(to)
    _check_name(competition)
    if to.exists() and not to.is_dir():
        raise UserError(f"{to} is a file: choose a folder to download to.")
    if _is_complete(to, competition):
        _say(f"{to} already holds {competition}, complete.", progress)
        return to
    _refuse_strangers(to)
    with _failures_explained(competition, to):
        client = client or _sign_in(Path.cwd())
        staging = to / STAGING
        for last_try in (False, True):
            try:
                archive = _fetch(client, competition, staging, force=last_try, progress=progress)
                sizes = _unpack(archive, to, staging, competition, progress)
                break
            except DAMAGED as error:
                shutil.rmtree(staging, ignore_errors=True)
                if last_try:
                    raise UserError(
                        f"the archive of {competition} came damaged twice ({error}): try again later, or "
                        f"fetch and unpack it by hand from {COMPETITIONS_PAGE}/{competition}/data."
                    ) from error
                _say(f"the archive is damaged ({error}); fetching it again", progress)
        _check_counts(to, competition, progress)
        write_json(to / RECORD, {"competition": competition, "files": sizes})
        shutil.rmtree(staging, ignore_errors=True)
    return to


def submit(csv: Path | str, message: str, competition: str = COMPETITION, client: Any | None = None) -> str:
    """Send the submission file `csv` with a description; return Kaggle's answer and where to see the score.

    Raises UserError where the file or the message is missing and where Kaggle cannot be reached or refuses.
    """
    path = Path(csv)
    _check_name(competition)
    if not path.is_file() or path.stat().st_size == 0:
        raise UserError(f"{path} is missing or empty: make it with `python -m dfclib submit RUN --out {path}`.")
    if not message.strip():
        raise UserError("a submission needs a message of at least one letter: it is shown beside the score.")
    page = f"{COMPETITIONS_PAGE}/{competition}/submissions"
    with _failures_explained(competition, path.parent):
        client = client or _sign_in(Path.cwd())
        with contextlib.redirect_stdout(io.StringIO()) as printed:  # the only place where it gives a reason
            answer = client.competition_submit(str(path), message, competition, quiet=True)
    # kaggle tells of a failed upload by this sentence, not by an exception
    if answer.message == "Could not submit to competition":
        reason = (printed.getvalue().strip().splitlines() or ["no reason given"])[-1]
        raise UserError(f"Kaggle did not take {path} ({reason}): run the same command again, or upload at {page}.")
    return f"{answer.message} - {page}"


# ---- tokens ----


def _sign_in(folder: Path) -> Any:
    """A signed-in KaggleApi: by the package's own places, else a Colab secret, else `folder`/kaggle.json."""
    client = _client_class()()
    from kagglesdk import get_access_token_from_env

    try:
        with _quiet():
            client.authenticate()
        return client
    except SystemExit:
        pass  # the package ends the program where it finds no token that works
    except ValueError as error:
        if get_access_token_from_env()[0]:  # the package asked Kaggle about that one
            raise
        raise UserError(f"{client.config} is not a Kaggle token ({error}): make a new one at {TOKEN_PAGE}.") from error

    token, source = get_access_token_from_env()
    if token:  # or the explicit ones below would be overruled by it
        raise UserError(
            f"Kaggle refused the token in {source}: it is mistyped, expired or revoked; make a new one at {TOKEN_PAGE}."
        )
    credentials, hint = _colab_secrets()
    credentials = credentials or _uploaded_token(folder / "kaggle.json")
    if not credentials:
        if Path(client.config).is_file():
            hint += f" ({client.config} is there, but without username and key)"
        raise UserError(
            f"no Kaggle token found: make one at {TOKEN_PAGE} and save it as ~/.kaggle/access_token, or set "
            f"KAGGLE_API_TOKEN to it, or put kaggle.json into ~/.kaggle or {folder}, or in Colab add it as "
            f"the secret KAGGLE_API_TOKEN{hint}."
        )
    client.config_values = credentials
    return client


def _client_class() -> Any:
    """The class KaggleApi, whatever importing its package does."""
    module = "kaggle.api.kaggle_api_extended"
    try:
        with _quiet():
            from kaggle.api.kaggle_api_extended import KaggleApi
        return KaggleApi
    except ModuleNotFoundError as error:
        raise UserError(f"{error}: install Kaggle's package with `pip install 'kaggle>=2,<3'`.") from error
    except (Exception, SystemExit):
        # kaggle 2.0 signs in while it is imported, and exits or raises where it cannot (no token, no
        # network); the class was loaded before that.
        if module in sys.modules:
            return sys.modules[module].KaggleApi
        raise


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the package from printing its advice, and have its exit(1) raise SystemExit wherever it is called.

    Python's own exit closes standard input, and in a notebook's cell IPython hides it: there the package would die of
    a NameError before the other places for a token are looked at.
    """
    names = ("exit", "quit")
    before = {name: getattr(builtins, name) for name in names if hasattr(builtins, name)}
    try:
        for name in names:
            setattr(builtins, name, sys.exit)
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        for name in names:
            if name in before:
                setattr(builtins, name, before[name])
            else:
                delattr(builtins, name)


def _colab_secrets() -> tuple[dict[str, str], str]:
    """The credentials among Colab's secrets ({} if none), and what to add to the advice."""
    try:
        from google.colab import userdata
    except ImportError:
        return {}, ""
    found, hint = {}, ""
    for name in ("KAGGLE_API_TOKEN", "KAGGLE_USERNAME", "KAGGLE_KEY"):
        try:
            found[name] = (userdata.get(name) or "").strip()
        except userdata.SecretNotFoundError:
            continue
        except userdata.NotebookAccessError:
            hint = f" (the secret {name} is there: switch on its notebook access)"
        except Exception as error:
            # A timeout without a browser, or no kernel in `!python -m dfclib`: the next would fail too.
            hint = f" (secrets cannot be read here, only in a notebook's cell: {type(error).__name__})"
            break
    if found.get("KAGGLE_API_TOKEN"):
        return {"token": found["KAGGLE_API_TOKEN"]}, ""
    if found.get("KAGGLE_USERNAME") and found.get("KAGGLE_KEY"):
        return {"username": found["KAGGLE_USERNAME"], "key": found["KAGGLE_KEY"]}, ""
    return {}, hint


def _uploaded_token(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    content = read_json(path)
    pair = {name: content.get(name) for name in ("username", "key")} if isinstance(content, dict) else {}
    if not pair or not all(isinstance(value, str) and value for value in pair.values()):
        raise UserError(f"{path} lacks username or key: make a new one at {TOKEN_PAGE}.")
    return pair


# ---- the archive ----


def _fetch(client: Any, competition: str, staging: Path, force: bool, progress: bool) -> Path:
    staging.mkdir(parents=True, exist_ok=True)
    try:
        # what the package prints is no result of ours, so it does not belong on standard output
        with contextlib.redirect_stdout(sys.stderr if progress else io.StringIO()):
            client.competition_download_files(competition, path=str(staging), force=force, quiet=not progress)
    except ValueError as error:
        if isinstance(error, OSError):
            raise
        raise zipfile.BadZipFile(str(error)) from error  # the size is not the one that was announced
    archive = staging / f"{competition}.zip"
    if not archive.is_file():
        raise zipfile.BadZipFile(f"{archive.name} did not come")
    return archive


def _unpack(archive: Path, to: Path, staging: Path, competition: str, progress: bool) -> dict[str, int]:
    """Unpack what is not there yet; return the size in bytes of every file by its name in the archive."""
    from tqdm import tqdm

    with zipfile.ZipFile(archive) as opened:
        files = [info for info in opened.infolist() if not info.is_dir()]
        try:
            _refuse_unsafe(opened.infolist(), archive.stat().st_size, to)
        except UserError:
            shutil.rmtree(staging, ignore_errors=True)
            raise
        missing = [info for info in files if not _is_unpacked(info, to / info.filename)]
        needed, free = sum(info.file_size for info in missing), shutil.disk_usage(to).free
        if needed > free:
            raise UserError(
                f"disk full: unpacking needs {needed / 1e9:.2f} GB in {to} and {free / 1e9:.2f} GB are free. "
                "Free some space and run the same command again; it goes on where it stopped."
            )
        if missing:  # from now on the folder holds files, and must be known as ours however this ends
            write_json(to / RECORD, {"competition": competition, "files": None})
        part = staging / f"{os.getpid()}.part"
        for info in tqdm(missing, desc="unpacking", unit="file", disable=not progress):
            with opened.open(info) as source, part.open("wb") as sink:
                shutil.copyfileobj(source, sink, 1 << 20)  # zipfile compares the checksum at the end
            target = to / info.filename
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(part, target)
    return {info.filename: info.file_size for info in files}


def _is_unpacked(info: zipfile.ZipInfo, path: Path) -> bool:
    if not path.is_file() or path.stat().st_size != info.file_size:
        return False
    checksum = 0
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            checksum = zlib.crc32(block, checksum)
    return checksum == info.CRC


def _refuse_unsafe(members: list[zipfile.ZipInfo], archive_bytes: int, to: Path) -> None:
    """Raise UserError, before anything is written, where an archive would leave `to` or fill the disk."""
    total = sum(info.file_size for info in members)
    if len(members) > MAX_FILES or total > max(ALWAYS_ALLOWED_BYTES, MAX_RATIO * archive_bytes):
        raise UserError(
            f"the archive would unpack to {len(members)} files and {total / 1e9:.1f} GB from "
            f"{archive_bytes / 1e9:.3f} GB, which no image archive does; nothing was unpacked."
        )
    root = to.resolve()
    names = [info.filename.rstrip("/") for info in members]
    folders = {str(parent) for name in names for parent in PurePosixPath(name).parents}
    seen: set[str] = set()
    inside: set[Path] = set()  # 14,000 files lie in three folders: each is resolved once
    for info, name in zip(members, names, strict=True):
        kind = stat.S_IFMT(info.external_attr >> 16)
        reason = None
        if name.startswith("/") or "\\" in name or PureWindowsPath(name).drive or ".." in name.split("/"):
            reason = "leaves the folder"
        elif not name.strip("./") or any(ord(letter) < 32 for letter in name):
            reason = "is no file name"
        elif kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            reason = "is a link or a device"
        elif info.flag_bits & 1:
            reason = "is encrypted"
        elif name.casefold() in seen or (not info.is_dir() and name in folders):
            reason = "is there twice, case aside"
        elif PurePosixPath(name).parts[0] in (STAGING, RECORD):
            reason = "is a name that dfclib keeps for itself"
        elif (parent := (to / name).parent) not in inside:
            if not parent.resolve().is_relative_to(root):  # through a link that lies in the folder already
                reason = "leaves the folder"
            inside.add(parent)
        if reason:
            raise UserError(f"the archive is refused: its member {info.filename!r} {reason}; nothing was unpacked.")
        seen.add(name.casefold())


def _is_complete(to: Path, competition: str) -> bool:
    """Whether the record of a complete download is there and every file still has its size."""
    try:
        record = read_json(to / RECORD)
        of, sizes = record["competition"], record["files"]
    except (UserError, OSError, LookupError, TypeError):
        return False  # never finished
    if of != competition:
        raise UserError(f"{to} holds the competition {of}: choose another folder for {competition}.")
    try:
        return all((to / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, TypeError, AttributeError):
        return False


def _refuse_strangers(to: Path) -> None:
    """Raise UserError where the folder holds files and no download has begun there."""
    if (to / RECORD).is_file() or (to / STAGING).is_dir() or not to.is_dir():
        return
    found = sorted(entry.name for entry in to.iterdir())
    if found:
        raise UserError(
            f"{to} is not empty (it holds {found[0]}), and no download has begun there: name a folder that is empty "
            "or does not exist. A competition that was unpacked by hand is used as it is."
        )


def _check_counts(folder: Path, competition: str, progress: bool) -> None:
    """Compare the rows of each split's CSV with its images."""
    page = f"{COMPETITIONS_PAGE}/{competition}/data"
    if not (folder / "train.csv").is_file():
        raise UserError(f"{folder} has no train.csv: {competition} is not laid out as dfclib reads it, see {page}.")
    for split in ("train", "validation", "test"):
        table = folder / f"{split}.csv"
        if not table.is_file():
            continue
        with table.open(newline="", encoding="utf-8-sig", errors="replace") as file:
            rows = csv.DictReader(file)
            if "image_id" not in (rows.fieldnames or ()):
                raise UserError(f"{table} has no column image_id, only {rows.fieldnames}; see {page}.")
            ids = [row["image_id"] for row in rows]
        paths = (folder / split).iterdir() if (folder / split).is_dir() else ()
        images = {path.stem for path in paths if path.suffix.lower() in IMAGE_SUFFIXES}
        absent = [name for name in ids if name not in images]
        if absent or not ids:
            raise UserError(
                f"{table} has {len(ids)} rows and {folder / split} {len(images)} images; "
                f"{len(absent)} rows have no image{f', {absent[0]} first' if absent else ''}; see {page}."
            )
        _say(f"{split}: {len(ids)} rows, {len(images)} images", progress)


# ---- failures ----


@contextlib.contextmanager
def _failures_explained(competition: str, folder: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        sentence = None if isinstance(error, UserError) else _explanation(error, competition, folder)
        if sentence is None:
            raise
        raise UserError(sentence) from error


def _explanation(error: Exception, competition: str, folder: Path) -> str | None:
    """One sentence for an exception that the user can mend, None for one that shows a mistake of ours."""
    import socket

    import requests
    import urllib3

    if isinstance(error, requests.HTTPError) and error.response is not None:
        return _refusal(error, competition)
    http = (requests.RequestException, urllib3.exceptions.HTTPError)
    if isinstance(error, (*http, ConnectionError, TimeoutError, socket.gaierror, json.JSONDecodeError)):
        return (
            f"cannot reach Kaggle ({type(error).__name__}): check that {COMPETITIONS_PAGE} opens on "
            "this machine and run the same command again; what has come is kept."
        )
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return (
            f"disk full while writing to {folder}: free some space and run the same command again; "
            "it goes on where it stopped."
        )
    if isinstance(error, OSError):
        return f"cannot read or write {error.filename or folder}: {error.strerror or error}."
    return None


def _refusal(error: Any, competition: str) -> str:
    """One sentence for an answer of Kaggle's that is an error."""
    status, said = error.response.status_code, ""
    with contextlib.suppress(ValueError, OSError, AttributeError, TypeError):
        body = error.response.json()
        said = str(body.get("message") or "").strip()
        # some errors come as 200 OK with the code in the body
        status = max(status, int(body.get("code") or 0))
    home = f"{COMPETITIONS_PAGE}/{competition}"
    received = f"Kaggle answered {status}" + (f' "{said}"' if said else "")
    if status == 401:
        # Kaggle also answers so, without a word, where only the rules are missing
        return (
            f"{received}: it refused the token; make a new one at {TOKEN_PAGE}, "
            f"and if that is refused too, accept the rules at {home}/rules."
        )
    if status == 403:
        return f"{received}: accept the competition's rules at {home}/rules and run the same command again."
    if status == 404:
        return f"{received}: it knows no competition {competition!r}; look for its name at {COMPETITIONS_PAGE}."
    if status == 429:
        wait = error.response.headers.get("Retry-After", "")
        wait = f"{wait} seconds" if wait.isdigit() else "some minutes"
        return f"{received}: too many requests; wait {wait} and run the same command again, or use {home}."
    if status >= 500:
        return f"{received}: Kaggle itself is in trouble; try again later, and see whether {home} opens."
    return f"{received}: see {home}."


def _check_name(competition: str) -> None:
    # the name becomes a part of paths and addresses
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9-]*", competition):
        raise UserError(
            f"{competition!r} is no competition's name: take the last part of its address, as {COMPETITION}."
        )


def _say(text: str, progress: bool) -> None:
    if progress:
        print(text, file=sys.stderr)
