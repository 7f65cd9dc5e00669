"""The run folder: what a training leaves behind, written whole or not at all, read back without TensorFlow.

<recipe>-<scale>-<data>-<protocol>-seed<N>/
    recipe.json         recipe, hashes of recipe and data, environment, members of an ensemble
    history.csv         one row per epoch
    probabilities.npz   ids, labels where known, predictions and probabilities of each split
    metrics.json        written last: a run with metrics.json is finished
    model.keras         the network (absent in ensembles, and in recorded runs where it is large)
    checkpoint/         only while unfinished: weights, optimizer and counters of the last finished epoch
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dfclib.errors import UserError
from dfclib.files import UNREADABLE_ARRAYS, read_json, write_atomically
from dfclib.predictions import Predictions
from dfclib.recipes import EnsembleRecipe, Recipe, find, from_dict
from dfclib.recipes.recipe import check_name
from dfclib.run_checks import PREDICTION_ARRAYS, Fields, check_recipe_file, predictions_by_split

if TYPE_CHECKING:
    import pandas as pd

SPLIT_NAMES = ("held_out", "validation", "test")
HISTORY_COLUMNS = ("epoch", "loss", "accuracy", "val_loss", "val_accuracy", "learning_rate", "seconds")
# metrics.json last: it says that the rest is there
RUN_FILES = ("recipe.json", "history.csv", "probabilities.npz", "model.keras", "metrics.json")
OPTIONAL_FILES = ("history.csv", "model.keras")


@dataclass(frozen=True, eq=False)
class Run:
    """A finished or unfinished training on disk. Reads what is asked for when it is asked for."""

    path: Path

    @property
    def name(self) -> str:
        return self.recipe_file["name"]

    @cached_property
    def recipe_file(self) -> dict[str, Any]:
        """All of recipe.json. Raises UserError where it is no run's, or a name in it would lead out of its folder."""
        path = self.path / "recipe.json"
        values = Fields(read_json(path), path)
        check_recipe_file(values, path)
        return values

    @cached_property
    def recipe(self) -> Recipe | EnsembleRecipe:
        return from_dict(self.recipe_file["recipe"], where=str(self.path / "recipe.json"))

    scale = property(lambda self: self.recipe.scale)
    seed = property(lambda self: self.recipe.seed)
    protocol = property(lambda self: self.recipe.protocol)

    @property
    def data(self) -> dict[str, Any]:
        """name, fingerprint, class_names, embedded, image_size, channels, counts of images by split."""
        return Fields(self.recipe_file["data"], self.path / "recipe.json")

    @property
    def class_names(self) -> tuple[str, ...]:
        return tuple(self.data["class_names"])

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width in pixels of the images that it was trained on."""
        return tuple(self.data["image_size"])

    @property
    def environment(self) -> dict[str, Any]:
        """Where it was trained: device, precision, backend, versions of python, keras, tensorflow, numpy."""
        return Fields(self.recipe_file["environment"], self.path / "recipe.json")

    @property
    def members(self) -> list[str]:
        """Names of the runs that an ensemble votes over; empty for a single model."""
        return self.recipe_file.get("members", [])

    @cached_property
    def history(self) -> "pd.DataFrame":
        """One row per epoch, counting from 1; columns HISTORY_COLUMNS, no numbers in `val_` ones where no images were
        watched. No rows for an ensemble."""
        import pandas as pd

        path = self.path / "history.csv"
        if not path.exists():
            return pd.DataFrame({name: [] for name in HISTORY_COLUMNS})
        try:
            # Python's own float keeps every digit, which pandas 2 does only by an argument that pandas 3 gives up
            rows = pd.read_csv(path, converters=dict.fromkeys(HISTORY_COLUMNS, float) | {"epoch": int})
        except (ValueError, OSError) as error:  # pandas' own errors are ValueErrors, and bytes that are no UTF-8, too
            raise UserError(f"{path} cannot be read: {error}. Train the run again with --fresh.") from error
        watched = any(name.startswith("val_") for name in rows)
        needed = [name for name in HISTORY_COLUMNS if watched or not name.startswith("val_")]
        wrong = [name for name in needed if name not in rows or not pd.api.types.is_numeric_dtype(rows[name])]
        if wrong:
            raise UserError(f"{path} has no numbers for {', '.join(wrong)}: train the run again with --fresh")
        return rows.reindex(columns=[*rows, *(name for name in HISTORY_COLUMNS if name not in rows)])

    @cached_property
    def metrics(self) -> dict[str, Any]:
        return Fields(read_json(self.path / "metrics.json"), self.path / "metrics.json")

    @cached_property
    def _predictions(self) -> dict[str, Predictions]:
        path = self.path / "probabilities.npz"
        try:
            with np.load(path) as arrays:
                return predictions_by_split(dict(arrays), SPLIT_NAMES, self.class_names)
        except FileNotFoundError as error:
            raise UserError(f"{path} does not exist: the run is not finished") from error
        except UNREADABLE_ARRAYS as error:
            raise UserError(f"{path} is broken: {error}. Train the run again with --fresh.") from error

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of the splits that this run has predictions for."""
        return tuple(self._predictions)

    def predictions(self, split: str) -> Predictions:
        """Predictions for held_out, validation or test. Raises UserError where the run has none."""
        if split not in self._predictions:
            raise UserError(f"run {self.name} has no predictions for {split!r}; it has {', '.join(self.splits)}")
        return self._predictions[split]

    @property
    def model_path(self) -> Path:
        return self.path / "model.keras"

    @cached_property
    def is_current(self) -> bool:
        """Whether it was trained by today's recipe of this name, and not by an earlier or an edited one."""
        try:
            today = find(self.recipe.name).at_scale(self.scale)
            today = today.with_options(self.seed, self.recipe.given_epochs, self.protocol)
            return today.fingerprint == self.recipe.fingerprint
        except UserError:  # no recipe of that name, or none for this protocol
            return False

    @property
    def scale_text(self) -> str:
        """The scale with what must be said beside it: `compact, 3 epochs, earlier recipe`."""
        epochs = f", {self.recipe.given_epochs} epochs" if self.recipe.given_epochs else ""
        return f"{self.scale}{epochs}{'' if self.is_current else ', earlier recipe'}"

    @property
    def is_finished(self) -> bool:
        return (self.path / "metrics.json").is_file()


def run_name(recipe: Recipe | EnsembleRecipe, data_name: str) -> str:
    """<recipe>-<scale>-<data>-<protocol>-seed<N>, with a number of epochs after the scale where one was asked for."""
    check_name(data_name, "name of the data")
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
    paths = sorted(Path(folder).glob("[!.]*/metrics.json"))  # a dot: a copy that `record` has not finished
    return [Run(path.parent) for path in paths if path.is_file() and (path.parent / "recipe.json").is_file()]


def took_part(vote: Run, run: Run) -> bool:
    """Whether `run` is of a recipe that `vote` was taken over: one of its name may have been trained again since."""
    return run.recipe.fingerprint in {member.fingerprint for member in vote.recipe.members}


def find_recorded(*names: str, protocol: str | None = None, folder: Path | str = "report/runs") -> list[Run]:
    """The recorded run on real images of each recipe in `names`, in that order; recipes without one are left out.

    Of several runs `best_run` takes its choice. protocol: only runs of this one
    """
    runs = [run for run in find_runs(folder) if not run.data["embedded"] and protocol in (None, run.protocol)]
    found = (best_run([run for run in runs if run.recipe.name == name]) for name in names)
    return [run for run in found if run is not None]


def best_run(runs: Sequence[Run]) -> Run | None:
    """Of runs of one recipe the one to show: the current recipe's comes first, then the largest scale, the published
    protocol, the lowest seed. None of none."""

    def rank(run: Run) -> tuple:
        return not run.is_current, ("full", "compact", "quick").index(run.scale), run.protocol != "published", run.seed

    return min(runs, key=rank, default=None)


def find_alike(run: Run, *names: str) -> list[Run]:
    """Finished runs beside `run` of the recipes in `names`, in that order: of its data, scale, protocol and seed, and
    of as many epochs where a number was asked for."""

    def epochs(run: Run) -> set[int]:
        return {member.epochs for member in run.recipe.members}

    alike = {
        other.recipe.name: other
        for other in find_runs(run.path.parent)
        if (other.scale, other.protocol, other.seed) == (run.scale, run.protocol, run.seed)
        and other.data["fingerprint"] == run.data["fingerprint"]
        and (other.recipe.given_epochs == run.recipe.given_epochs or epochs(other) == epochs(run))
    }
    return [alike[name] for name in names if name in alike]


def find_alike_or_recorded(run: Run, *names: str, folder: Path | str = "report/runs") -> list[Run]:
    """As `find_alike`; for a recipe that has no such run beside `run`, its recorded run on real images.

    So notebooks that run alone, as in Colab, have something to compare with. Recorded runs are of other images, and
    tables and figures of runs on different images say so.
    """
    alike = {other.recipe.name: other for other in find_alike(run, *names)}
    recorded = {other.recipe.name: other for other in find_recorded(*names, protocol=run.protocol, folder=folder)}
    found = recorded | alike
    return [found[name] for name in names if name in found]


def write_predictions_file(path: Path, predictions: dict[str, Predictions]) -> None:
    """Write probabilities.npz in the folder `path` from predictions by split."""
    arrays = {f"{split}_{name}": getattr(p, name) for split, p in predictions.items() for name in PREDICTION_ARRAYS}
    arrays = {name: array for name, array in arrays.items() if array is not None}
    write_atomically(path / "probabilities.npz", lambda file: np.savez_compressed(file, **arrays))


def describe_changes(old: Any, new: Any, where: str = "") -> list[str]:
    """`where: old -> new` for each leaf in which two JSON values differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        lines = []
        for key in [*old, *(k for k in new if k not in old)]:
            lines += describe_changes(old.get(key), new.get(key), f"{where}.{key}" if where else str(key))
        return lines
    return [] if old == new else [f"{where}: {json.dumps(old)} -> {json.dumps(new)}"]
