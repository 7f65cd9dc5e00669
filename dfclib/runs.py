"""The run folder: what a training leaves behind, written whole or not at all, read back without TensorFlow.

<recipe>-<scale>-<data>-<protocol>-seed<N>/
    recipe.json         recipe, hashes of recipe and data, environment, members of an ensemble
    history.csv         one row an epoch
    probabilities.npz   ids, labels where known, predictions and probabilities a split
    metrics.json        written last: a run with metrics.json is finished
    model.keras         the network (absent in ensembles, and in recorded runs where it is large)
    checkpoint/         only while unfinished: weights, optimizer and counters of the last finished epoch
"""

import csv
import io
import json
import os
import re
import shutil
import stat
import zipfile
import zlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dfclib.errors import UserError
from dfclib.files import read_json, write_atomically, write_text
from dfclib.predictions import Predictions
from dfclib.recipes import EnsembleRecipe, Recipe, find, from_dict

if TYPE_CHECKING:
    import pandas as pd

SPLIT_NAMES = ("held_out", "validation", "test")
HISTORY_COLUMNS = ("epoch", "loss", "accuracy", "val_loss", "val_accuracy", "learning_rate", "seconds")
LARGEST_RECORDED_MODEL = 12_000_000  # bytes: recorded runs go into the repository
# what a finished run is made of; metrics.json last, as it says that the rest is there
RUN_FILES = ("recipe.json", "history.csv", "probabilities.npz", "model.keras", "metrics.json")
OPTIONAL_FILES = ("history.csv", "model.keras")
PLAIN_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,199}")


@dataclass(frozen=True, eq=False)
class Run:
    """A finished or unfinished training on disk. Reads what is asked for when it is asked for."""

    path: Path

    @property
    def name(self) -> str:
        return self.recipe_file["name"]

    @cached_property
    def recipe_file(self) -> dict[str, Any]:
        """All of recipe.json. Raises UserError where it is no run's, or a name in it could leave a folder."""
        path = self.path / "recipe.json"
        values = read_json(path)
        _check_recipe_file(values, path)
        return values

    @property
    def recipe_dict(self) -> dict[str, Any]:
        return self.recipe_file["recipe"]

    @cached_property
    def recipe(self) -> Recipe | EnsembleRecipe:
        path = self.path / "recipe.json"
        recipe = from_dict(self.recipe_dict, where=str(path))
        _check_name(recipe.name, f"{path}: recipe.name")
        return recipe

    @property
    def scale(self) -> str:
        return self.recipe.scale

    @property
    def seed(self) -> int:
        return self.recipe.seed

    @property
    def protocol(self) -> str:
        return self.recipe.protocol

    @property
    def data(self) -> dict[str, Any]:
        """name, fingerprint, class_names, embedded, image_size, channels, counts of images a split."""
        return _Stored(self.recipe_file["data"], self.path / "recipe.json")

    @property
    def environment(self) -> dict[str, Any]:
        """Where it was trained: device, precision, backend, versions of python, keras, tensorflow, numpy."""
        return _Stored(self.recipe_file["environment"], self.path / "recipe.json")

    @property
    def members(self) -> list[str]:
        """Names of the runs that an ensemble votes over; empty for a single model."""
        return self.recipe_file.get("members", [])

    @cached_property
    def history(self) -> "pd.DataFrame":
        """One row an epoch, epochs counting from 1; no rows for an ensemble."""
        import pandas as pd

        path = self.path / "history.csv"
        if not path.exists():
            return pd.DataFrame({name: [] for name in HISTORY_COLUMNS})
        try:
            # Python's own float keeps every digit, which pandas 2 does only by an argument that pandas 3 gives up
            rows = pd.read_csv(path, converters=dict.fromkeys(HISTORY_COLUMNS, float) | {"epoch": int})
        except (ValueError, OSError) as error:  # pandas' own errors are ValueErrors, and bytes that are no UTF-8, too
            raise UserError(f"{path} cannot be read: {error}. Train the run again with --fresh.") from error
        wrong = [name for name in HISTORY_COLUMNS if name not in rows or not pd.api.types.is_numeric_dtype(rows[name])]
        if wrong:
            raise UserError(f"{path} has no numbers for {', '.join(wrong)}: train the run again with --fresh")
        return rows

    @cached_property
    def metrics(self) -> dict[str, Any]:
        return _Stored(read_json(self.path / "metrics.json"), self.path / "metrics.json")

    @cached_property
    def _arrays(self) -> dict[str, np.ndarray]:
        path = self.path / "probabilities.npz"
        try:
            with np.load(path) as arrays:
                found = dict(arrays)
            _check_arrays(found)
            return found
        except FileNotFoundError as error:
            raise UserError(f"{path} does not exist: the run is not finished") from error
        # TypeError: a single array, which is no `with`'s; NotImplementedError: packed in a way that nobody here packs
        except (ValueError, TypeError, OSError, EOFError, NotImplementedError, zlib.error, zipfile.BadZipFile) as error:
            raise UserError(f"{path} is broken: {error}. Train the run again with --fresh.") from error

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of the splits that this run has predictions for."""
        return tuple(name for name in SPLIT_NAMES if f"{name}_ids" in self._arrays)

    def predictions(self, split: str) -> Predictions:
        """Predictions for held_out, validation or test. Raises UserError where the run has none."""
        if f"{split}_ids" not in self._arrays:
            raise UserError(f"run {self.name} has no predictions for {split!r}; it has {', '.join(self.splits)}")
        get = self._arrays.get
        names = tuple(self.data["class_names"])
        predicted, labels = get(f"{split}_predicted"), get(f"{split}_labels")
        path = self.path / "probabilities.npz"
        for indices in (predicted, *([] if labels is None else [labels])):
            if indices is None or indices.dtype.kind != "i" or ((indices < 0) | (indices >= len(names))).any():
                raise UserError(f"{path}: {split} has labels that are none of the {len(names)} classes of the run")
        try:
            return Predictions(get(f"{split}_ids"), predicted, names, get(f"{split}_probabilities"), labels)
        except ValueError as error:
            raise UserError(f"{path}, {split}: {error}. Train the run again with --fresh.") from error

    @property
    def model_path(self) -> Path:
        return self.path / "model.keras"

    @cached_property
    def is_current(self) -> bool:
        """Whether the recipe that this run was trained by is the one that its name has today, at the run's scale, seed
        and protocol; False: an earlier one, or one that somebody edited."""
        try:
            recipe = find(self.recipe.name).at_scale(self.scale)
            options = {"seed": self.seed, "epochs": self.recipe.given_epochs, "protocol": self.protocol}
            return recipe.with_options(**options).fingerprint == self.recipe.fingerprint
        except UserError:  # no recipe of that name, or none for this protocol
            return False

    @property
    def scale_text(self) -> str:
        """The scale with what must be said beside it: `compact, 3 epochs, earlier recipe`."""
        parts = [self.scale]
        parts += [f"{self.recipe.given_epochs} epochs"] if self.recipe.given_epochs else []
        parts += [] if self.is_current else ["earlier recipe"]
        return ", ".join(parts)

    @property
    def is_finished(self) -> bool:
        return (self.path / "metrics.json").is_file()


class _Stored(dict[str, Any]):
    """What a run's JSON file holds: a key that is missing is the user's to mend, whoever asks for it."""

    def __init__(self, values: Any, path: Path) -> None:
        self.path = path
        if not isinstance(values, dict) or not values:
            raise UserError(f"{path} holds no fields where a training writes some: train the run again with --fresh")
        super().__init__(values)

    def __missing__(self, key: str) -> Any:
        raise UserError(f"{self.path} lacks {key!r}: it is not what a training wrote; train the run again with --fresh")


def _check_arrays(arrays: dict[str, np.ndarray]) -> None:
    """Raise ValueError where the arrays of probabilities.npz are none of predictions."""
    kinds = {"ids": "U", "predicted": "iu", "probabilities": "f", "labels": "iu"}
    splits = [split for split in SPLIT_NAMES if f"{split}_ids" in arrays]
    if not splits:
        raise ValueError("it has no predictions")
    for split in splits:
        if f"{split}_predicted" not in arrays:
            raise ValueError(f"{split}_predicted is missing")
        for name, kind in kinds.items():
            array = arrays.get(f"{split}_{name}")
            if array is not None and array.dtype.kind not in kind:
                raise ValueError(f"{split}_{name} has the type {array.dtype}")
            if array is not None and len(array.shape) != (2 if name == "probabilities" else 1):
                raise ValueError(f"{split}_{name} has the shape {array.shape}")
        if not np.isfinite(arrays.get(f"{split}_probabilities", 0.0)).all():
            raise ValueError(f"{split}_probabilities are not all numbers")


def run_name(recipe: Recipe | EnsembleRecipe, data_name: str) -> str:
    """<recipe>-<scale>-<data>-<protocol>-seed<N>; after the scale a number of epochs, where somebody asked for one.

    Raises UserError where that would be no plain name of a folder.
    """
    _check_name(recipe.name, "recipe name")
    _check_name(data_name, "name of the data")
    scale = recipe.scale if recipe.given_epochs is None else f"{recipe.scale}-{recipe.given_epochs}-epochs"
    return f"{recipe.name}-{scale}-{data_name}-{recipe.protocol.replace('_', '-')}-seed{recipe.seed}"


def load_run(path: Path | str) -> Run:
    """The finished run in the folder `path`. Raises UserError naming what is missing."""
    path = Path(path)
    if not path.is_dir():
        raise UserError(f"{path} is not a run: there is no such folder")
    run = Run(path)
    if not (path / "recipe.json").is_file():
        raise UserError(f"{path} is not a run: it has no recipe.json")
    if not run.is_finished:
        raise UserError(f"run {path} is not finished: give its train command again and it goes on where it stopped")
    return run


def find_runs(folder: Path | str) -> list[Run]:
    """Every finished run directly under `folder`, sorted by name; none where the folder does not exist."""
    paths = sorted(Path(folder).glob("[!.]*/metrics.json"))  # a dot: what `record` has not finished
    return [Run(path.parent) for path in paths if path.is_file() and (path.parent / "recipe.json").is_file()]


def find_recorded(*names: str, protocol: str | None = None, folder: Path | str = "report/runs") -> list[Run]:
    """The recorded run on real images of each recipe in `names`, in that order; recipes without one are left out.

    Of several one of the current recipe is taken before one of an earlier recipe, then the largest scale, then the
    published protocol (or `protocol` alone), then the lowest seed.
    """
    scales, protocols = ("full", "compact", "quick"), ("published", "held_out")
    best: dict[str, Run] = {}
    runs = [run for run in find_runs(folder) if not run.data["embedded"] and protocol in (None, run.protocol)]
    order = {run: (not run.is_current, scales.index(run.scale), protocols.index(run.protocol)) for run in runs}
    for run in sorted(runs, key=lambda run: (*order[run], run.seed)):
        best.setdefault(run.recipe.name, run)
    return [best[name] for name in names if name in best]


def find_alike(run: Run, *names: str) -> list[Run]:
    """Finished runs beside `run` of the recipes in `names`, in that order, with its data, scale, protocol and seed, and
    as many epochs as it was given, where somebody gave a number."""
    alike = {
        other.recipe.name: other
        for other in find_runs(run.path.parent)
        if (other.scale, other.protocol, other.seed) == (run.scale, run.protocol, run.seed)
        and other.data["fingerprint"] == run.data["fingerprint"]
        and (other.recipe.given_epochs == run.recipe.given_epochs or _epochs(other) == _epochs(run))
    }
    return [alike[name] for name in names if name in alike]


def _epochs(run: Run) -> set[int]:
    return {member.epochs for member in run.recipe.members}


def write_history(path: Path, rows: list[dict[str, float]]) -> None:
    """history.csv from one dictionary an epoch."""
    text = io.StringIO()
    writer = csv.DictWriter(text, HISTORY_COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path / "history.csv", text.getvalue())


def write_predictions_file(path: Path, predictions: dict[str, Predictions]) -> None:
    """probabilities.npz from predictions by split."""
    arrays = {}
    for split, p in predictions.items():
        columns = {"ids": p.ids, "predicted": p.predicted, "probabilities": p.probabilities, "labels": p.labels}
        arrays |= {f"{split}_{name}": value for name, value in columns.items() if value is not None}
    write_atomically(path / "probabilities.npz", lambda file: np.savez_compressed(file, **arrays))


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
    strangers = sorted(path.name for path in target.iterdir() if not _is_ours(path))
    if strangers:
        raise UserError(
            f"{target} holds {strangers[0]}, which no recorded run has, and would be replaced: move it away"
        )
    recorded = Run(target)
    if not recorded.is_finished:  # an interrupted copy
        return
    differ = [part for part in ("recipe_fingerprint", "data") if recorded.recipe_file[part] != run.recipe_file[part]]
    if differ == ["recipe_fingerprint"] and run.is_current and not recorded.is_current:
        return
    if differ:
        raise UserError(f"{target} records another training ({differ[0]} differs): remove it if it is obsolete")


def record(run: Run, to: Path | str = "report/runs", weights: bool = True) -> Run:
    """Copy a finished run's files to `to`, without its checkpoint and, above 12 MB, without its weights.

    A recorded run of that name is replaced by the same training, and by one of the current recipe where its own is
    an earlier one. Stopped at any moment and called again, it completes; what was recorded before stays until the
    new copy is whole.
    weights: False leaves small weights out as well, as for the many voters of an ensemble
    Raises UserError where the run is unfinished, a file of it is a link, or another run of that name is recorded.
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


def _is_ours(path: Path) -> bool:
    """Whether `record` wrote it: a run's file, or what was left of one that it was killed in."""
    left = path.name.startswith(".") and path.name.endswith(".tmp")
    return (path.name in RUN_FILES or left) and not path.is_symlink() and path.is_file()


def _check_name(name: Any, where: str) -> None:
    if not isinstance(name, str) or not PLAIN_NAME.fullmatch(name):
        raise UserError(
            f"{where} must be lower-case letters, digits and dashes, as it names a folder; "
            f"received {json.dumps(name, default=str)[:80]}"
        )


def _check_recipe_file(values: Any, path: Path) -> None:
    """Raise UserError where recipe.json is not a run's: fields missing or ill-typed, or names that are no names."""
    if not isinstance(values, dict):
        raise UserError(f"{path} is no object with a run's recipe, data and environment")
    missing = {"name", "recipe", "recipe_fingerprint", "data", "environment"} - set(values)
    if missing:
        raise UserError(f"{path} lacks {', '.join(sorted(missing))}: it is not a run's recipe")
    data, members = values["data"], values.get("members", [])
    for field, value, kind, words in (
        ("data", data, dict, "an object"),
        ("environment", values["environment"], dict, "an object"),
        ("members", members, list, "a list of names"),
    ):
        if not isinstance(value, kind):
            raise UserError(f"{path}: {field} must be {words}, received {json.dumps(value)[:80]}")
    _check_name(values["name"], f"{path}: name")
    _check_name(data.get("name"), f"{path}: data.name")
    for member in members:
        _check_name(member, f"{path}: members")
    classes = data.get("class_names")
    if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
        raise UserError(f"{path}: data.class_names must be a list of texts, received {json.dumps(classes)[:80]}")
    size = data.get("image_size", [1, 1])
    if not isinstance(size, list) or len(size) != 2 or not all(type(side) is int and side > 0 for side in size):
        raise UserError(f"{path}: data.image_size must be height and width in pixels, received {json.dumps(size)[:80]}")


def describe_changes(old: Any, new: Any, where: str = "") -> list[str]:
    """`where: old -> new` for each leaf in which two JSON values differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        lines = []
        for key in [*old, *(k for k in new if k not in old)]:
            lines += describe_changes(old.get(key), new.get(key), f"{where}.{key}" if where else str(key))
        return lines
    return [] if old == new else [f"{where}: {json.dumps(old)} -> {json.dumps(new)}"]
