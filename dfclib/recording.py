"""Copies of finished runs for the repository: what is recorded stays whole, whenever the process dies."""

import os
import shutil
import stat
from pathlib import Path

from dfclib import validation_looks
from dfclib.errors import UserError
from dfclib.files import write_atomically
from dfclib.runs import OPTIONAL_FILES, RUN_FILES, Run, load_run

LARGEST_RECORDED_MODEL = 12_000_000  # bytes: recorded runs go into the repository


def check_recordable(run: Run, to: Path | str = "report/runs") -> None:
    """Raise UserError where `record` would refuse; nothing is written."""
    run = load_run(run.path)
    for name in RUN_FILES:
        _is_there(run.path / name)
    target = Path(to) / run.name
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise UserError(f"{target} is a link or a file, where a run's folder would be: move it away")
    if not target.exists() or target.samefile(run.path):
        return
    unknown = sorted(path.name for path in target.iterdir() if not _is_recorded(path))
    if unknown:
        raise UserError(f"{target} holds {unknown[0]}, which no recorded run has, and would be replaced: move it away")
    recorded = Run(target)
    if not recorded.is_finished:  # an interrupted copy
        return
    differ = [part for part in ("recipe_fingerprint", "data") if recorded.recipe_file[part] != run.recipe_file[part]]
    if differ == ["recipe_fingerprint"] and run.is_current and not recorded.is_current:
        return
    if differ:
        raise UserError(f"{target} records another training ({differ[0]} differs): remove it if it is obsolete")


def record(run: Run, to: Path | str = "report/runs", weights: bool = True) -> Run:
    """Copy a finished run's files to `to`, without its checkpoint and weights above 12 MB, and return the copy.

    A recorded run of that name is replaced by the same training, and by one of the current recipe where its own is
    an earlier one. Stopped at any moment and called again, it completes; what was recorded before stays until the
    new copy is whole. weights: False leaves small weights out as well, as for the many voters of an ensemble
    Raises UserError where the run is unfinished, a file of it is a link, or another training of that name is recorded.
    """
    run, to = load_run(run.path), Path(to)
    target, new, old = to / run.name, to / f".{run.name}.new", to / f".{run.name}.old"
    if old.is_dir() and not old.is_symlink() and not target.exists():
        os.rename(old, target)  # killed between the two renames below
    check_recordable(run, to)
    if target.exists() and target.samefile(run.path):
        return run
    for leftover in (new, old):
        if leftover.is_symlink():
            leftover.unlink()
        elif leftover.exists():
            shutil.rmtree(leftover)
    for name in RUN_FILES:
        source = run.path / name
        if not _is_there(source):
            continue
        if name == "model.keras" and (not weights or source.stat().st_size > LARGEST_RECORDED_MODEL):
            continue
        with source.open("rb") as file:
            write_atomically(new / name, lambda copy, file=file: shutil.copyfileobj(file, copy))
    validation_looks.carry_over(run.path.parent, to)  # first: killed after it, the run is recorded the next time
    if target.exists():
        os.rename(target, old)  # no system can exchange two folders in one step everywhere
    os.rename(new, target)
    shutil.rmtree(old, ignore_errors=True)
    return load_run(target)


def _is_there(path: Path) -> bool:
    """Whether a run's file is there. Raises UserError where it must be and is not, or is no plain file."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        if path.name in OPTIONAL_FILES:
            return False
        raise UserError(f"{path} does not exist: the run is not whole, train it again with --fresh") from None
    if not stat.S_ISREG(mode):
        kind = "a link" if stat.S_ISLNK(mode) else "no file"
        raise UserError(f"{path} is {kind}, and only files are recorded: put the file itself there")
    return True


def _is_recorded(path: Path) -> bool:
    """Whether `record` wrote this file: a run's own, or the rest of one that it was killed in."""
    left = path.name.startswith(".") and path.name.endswith(".tmp")
    return (path.name in RUN_FILES or left) and not path.is_symlink() and path.is_file()
