"""Finds and reads what the user names on the command line: recipes, data, runs, predictions to vote over."""

import difflib
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from dfclib.errors import UserError

if TYPE_CHECKING:
    from dfclib.datasets.images import Splits
    from dfclib.predictions import Predictions
    from dfclib.recipes import EnsembleRecipe, Recipe
    from dfclib.runs import Run

DATA = Path("deepfake_data")  # the competition's folder unless --data names another
RUNS = Path("runs")
RECORDED = Path("report/runs")
SCALES = ("quick", "compact", "full")
# Recipes whose recorded weights answer where no run is named, the one that aims highest first
SHIPPED = ("sprint", "s1-vote")
DATA_TABLES = {f"{name}.csv" for name in ("train", "validation", "test", "sample_submission")}


def data_folder(given: Path | None, recipe: "Recipe | EnsembleRecipe") -> Path | None:
    """The folder to train on: `given`, else deepfake_data for the competition's recipes; None: made on the spot."""
    from dfclib.recipes.recipe import COMPETITION

    return given or (DATA if DATA.is_dir() and recipe.dataset == COMPETITION else None)


def load_splits(folder: Path | None, image_size: Sequence[int] | None, recipe: "Recipe | EnsembleRecipe") -> "Splits":
    """Load the images to train `recipe` on; for no folder the embedded ones, or generated garments."""
    from dfclib.datasets.sources import FASHION_MNIST, load, load_fashion

    if recipe.dataset.name == FASHION_MNIST:
        if image_size is not None:
            raise UserError(f"--image-size is not for {recipe.name}: Fashion-MNIST's images are all 28x28")
        return load_fashion(folder)
    if folder is None and image_size is not None:
        raise UserError("--image-size is for a folder of images: name one with --data")
    return load(folder, image_size)


def load_fashion(folder: Path | None, generated: bool) -> "tuple[Splits, str]":
    """Fashion-MNIST from a folder, found or fetched, or generated garments; also says where they come from."""
    from dfclib.datasets import fashion_mnist, sources
    from dfclib.reporting.captions import splits_name

    if generated:
        splits = sources.load_fashion()
        return splits, f"{splits_name(splits)}; made on the spot"
    given = sources.FASHION_MNIST if folder is None else folder
    try:
        splits = sources.load_fashion(given)
    except UserError as error:
        raise UserError(f"{error}\nOr see everything at once on generated images: --generated.") from error
    place = next((path for path in (given, fashion_mnist.DEBIAN) if Path(path).expanduser().is_dir()), "Keras's cache")
    return splits, f"Fashion-MNIST, verified, from {place}"


def find_recipe(name: str, scale: str | None, data: Path | None) -> "Recipe | EnsembleRecipe":
    """Find a recipe by name, at the scale that suits device and data where none is given, or read a recipe.json."""
    from dfclib.recipes import find, load
    from dfclib.training.devices import default_scale

    if not name.endswith(".json") and not Path(name).is_file():
        recipe = find(name)
        return recipe.at_scale(scale or default_scale(embedded=data_folder(data, recipe) is None))
    recipe = load(name)
    if scale not in (None, recipe.scale):
        raise UserError(f"{name} is at scale {recipe.scale}: leave --scale {scale} out")
    return recipe


def find_run(name: str, runs_dir: Path) -> "Run":
    """Find a finished run by its folder, or by its name or its recipe's in `runs_dir`, then among the recorded runs."""
    from dfclib.recipes import by_name
    from dfclib.recipes.recipe import Protocol
    from dfclib.runs import find_runs, load_run

    for folder in (Path(name), runs_dir / name, RECORDED / name):
        if folder.is_dir():
            return load_run(folder)
    protocols = "|".join(protocol.replace("_", "-") for protocol in get_args(Protocol))
    run_name = rf"{re.escape(name)}-(quick|compact|full)-.+-({protocols})-seed\d+"
    for folder in (runs_dir, RECORDED):
        # a run is named after its recipe: no recipe.json is read, so that no other broken run stands in the way
        fitting = [run.path for run in find_runs(folder) if re.fullmatch(run_name, run.path.name)]
        if len(fitting) > 1:
            listed = "".join(f"\n  {path.name}" for path in fitting)
            raise UserError(f"{name} has {len(fitting)} finished runs in {folder}; name one of them:{listed}")
        if fitting:
            return load_run(fitting[0])
    places = f"{runs_dir} or {RECORDED}"
    recipes = by_name()
    if name in recipes:
        train = f"train it first (python -m dfclib train {name})"
        raise UserError(f"recipe {name} has no finished run in {places}: {train}")
    known = sorted({run.path.name for folder in (runs_dir, RECORDED) for run in find_runs(folder)})
    begun = [run for run in known if run.startswith(name)]
    near = begun[:5] or difflib.get_close_matches(name, [*known, *sorted(recipes)], n=4)
    hint = f"finished are {', '.join(known[:10])}" if known else "train one first"
    if near:
        hint = f"did you mean {' or '.join(near)}?"
    raise UserError(f"there is no run {name!r}, neither a folder nor a name in {places}: {hint}")


def find_run_for(name: str | None, paths: Sequence[Path], runs_dir: Path) -> "tuple[Run, list[Path]]":
    """The run that labels `paths`, and these. Where `name` is no run but a path itself, it is the first of them, and
    recorded weights answer; so, too, where there is no name."""
    if name is not None and (not Path(name).exists() or (Path(name) / "recipe.json").exists()):
        return find_run(name, runs_dir), list(paths)
    if (paths[0] / "recipe.json").exists():
        raise UserError(f"{paths[0]} is a run: name the images to label, or a folder of them, after it")
    return _shipped_run(), [*([] if name is None else [Path(name)]), *paths]


def _shipped_run() -> "Run":
    """The recorded run with all its weights of the first recipe in SHIPPED that has one."""
    from dfclib.runs import best_run, find_runs

    recorded = find_runs(RECORDED)
    for name in SHIPPED:
        runs = [run for run in recorded if run.recipe.name == name]
        whole = [
            run for run in runs if all((RECORDED / n / "model.keras").is_file() for n in run.members or [run.name])
        ]
        if whole:
            return best_run(whole)
    raise UserError(
        f"{RECORDED} holds no weights here: work in the repository's folder, or name a run before the images"
    )


def check_out(out: Path, read: Sequence[Path | str]) -> None:
    """Raise UserError, before anything expensive starts, where writing predictions to `out` would destroy something.

    A file of predictions may be replaced, but none that the command has to `read`.
    """
    from dfclib.datasets.folder.image_files import EXTENSIONS
    from dfclib.files import is_stream
    from dfclib.runs import RUN_FILES

    another = "name another file with --out"
    if out.is_dir():
        raise UserError(f"{out} is a folder: {another}")
    if is_stream(out):
        return
    place = next(folder for folder in out.absolute().parents if folder.exists())
    if not place.is_dir():
        raise UserError(f"{place} is no folder, and {out} cannot lie in it: {another}")
    if not os.access(place, os.W_OK):
        raise UserError(f"{place} cannot be written to: {another}")
    if out.suffix.lower() in EXTENSIONS:
        raise UserError(f"{out} is a picture's name, and predictions are a CSV file: {another}")
    if out.name in RUN_FILES and (out.parent / "recipe.json").exists():
        raise UserError(f"{out} belongs to a run: {another}")
    if not out.exists():
        return
    for path in map(Path, read):
        if path.exists() and out.samefile(path):
            raise UserError(f"{out} is read by this command and would be overwritten: {another}")
    if out.resolve().name.lower() in DATA_TABLES or not _holds_predictions(out):
        raise UserError(f"{out} is there and is no file of predictions: {another}, or remove it")


def _holds_predictions(path: Path) -> bool:
    """Whether a file is empty or begins as `write_predictions` begins one."""
    with path.open("rb") as file:
        header = file.readline(1000).removeprefix(b"\xef\xbb\xbf").strip()
    return header in (b"", b"image_id,label") or header.startswith(b"image_id,label,")


def read_voters(
    names: Sequence[str], runs_dir: Path, split: str | None
) -> "tuple[list[Predictions], str | None, list[Run]]":
    """Read the predictions of runs and of CSV files; also returns the runs' split and the runs: None, none for files
    alone."""
    from dfclib.predictions.csv_files import read_predictions

    files = {name for name in names if name.endswith(".csv") or Path(name).is_file()}
    runs = {name: find_run(name, runs_dir) for name in names if name not in files}
    if not runs:
        return [read_predictions(name) for name in names], None, []
    split = split or ("test" if all("test" in run.splits for run in runs.values()) else "validation")
    voters = [read_predictions(name) if name in files else runs[name].predictions(split) for name in names]
    return voters, split, list(runs.values())
