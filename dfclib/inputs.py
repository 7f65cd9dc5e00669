"""What a user names on the command line, found and read: recipes, data, runs, images, test predictions."""

import difflib
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dfclib.errors import UserError

if TYPE_CHECKING:
    from dfclib.datasets.images import ImageSet, Splits
    from dfclib.recipes import EnsembleRecipe, Recipe
    from dfclib.runs import Predictions, Run

DATA = Path("deepfake_data")  # where the competition lies unless somebody says otherwise
RUNS = Path("runs")
RECORDED = Path("report/runs")


def is_fashion(recipe: "Recipe | EnsembleRecipe") -> bool:
    """Whether `recipe` is for Fashion-MNIST's grey images, and not for a competition's folder."""
    return recipe.system == "S4"


def data_folder(given: Path | None, recipe: "Recipe | EnsembleRecipe") -> Path | None:
    """The given folder of images, else deepfake_data where it exists, else None: images made on the spot.

    S4's recipes have nothing to learn from deepfake_data: for them None, unless a folder is given.
    """
    return given or (DATA if DATA.is_dir() and not is_fashion(recipe) else None)


def load_splits(
    folder: Path | None, image_size: Sequence[int] | None = None, recipe: "Recipe | EnsembleRecipe | None" = None
) -> "Splits":
    """The images of `folder`, or for None the embedded ones; for S4's recipes Fashion-MNIST or generated garments.

    image_size: height and width in pixels, for a folder with images of mixed sizes
    """
    from dfclib.datasets.sources import load, load_fashion

    if recipe is not None and is_fashion(recipe):
        if image_size is not None:
            raise UserError(
                f"--image-size is not for {recipe.name}: Fashion-MNIST's images are all 28x28; leave it out"
            )
        return load_fashion(folder)
    if folder is None and image_size is not None:
        raise UserError("--image-size is for a folder of images: name one with --data")
    return load(folder, None if image_size is None else tuple(image_size))


def find_recipe(name: str, scale: str | None, data: Path | None) -> "Recipe | EnsembleRecipe":
    """A recipe by name at `scale`, or from a JSON file, which has its own scale.

    scale: None: full on the folder that `data_folder` finds for --data, quick where it finds none
    """
    from dfclib.recipes import find, load

    if not name.endswith(".json") and not Path(name).is_file():
        recipe = find(name)
        return recipe.at_scale(scale or ("quick" if data_folder(data, recipe) is None else "full"))
    recipe = load(name)
    if scale not in (None, recipe.scale):
        raise UserError(f"{name} is at scale {recipe.scale}: leave --scale {scale} out")
    return recipe


def find_run(name: str, runs_dir: Path) -> "Run":
    """A finished run by its folder, or by its name or its recipe's in `runs_dir`, else among the recorded runs.

    A recipe's name stands for its only finished run in `runs_dir`, else for its only recorded one. Raises UserError
    with the runs that it may mean where there are several, and with near names where there is none.
    """
    from dfclib.runs import find_runs, load_run

    for folder in (Path(name), runs_dir / name, RECORDED / name):
        if folder.is_dir():
            return load_run(folder)
    for folder in (runs_dir, RECORDED):
        # a run is named after its recipe: no recipe.json is read, so that no other broken run stands in the way
        fitting = [run.path for run in find_runs(folder) if _recipe_name(run.path.name) == name]
        if len(fitting) > 1:
            listed = "".join(f"\n  {path.name}" for path in fitting)
            raise UserError(f"{name} has {len(fitting)} finished runs in {folder}; name one of them:{listed}")
        if fitting:
            return load_run(fitting[0])
    known = sorted({run.path.name for folder in (runs_dir, RECORDED) for run in find_runs(folder)})
    raise UserError(_no_such_run(name, f"{runs_dir} or {RECORDED}", known))


def _recipe_name(run_name: str) -> str | None:
    """attempt1 of attempt1-compact-deepfake-data-published-seed0; None where it is no run's name."""
    match = re.fullmatch(r"([a-z0-9-]+?)-(quick|compact|full)-.+-(published|held-out)-seed\d+", run_name)
    return match and match[1]


def _no_such_run(name: str, places: str, known: list[str]) -> str:
    """Why `name` is no run in `places`, which hold `known`, and what may be meant."""
    from dfclib.recipes import all_recipes

    recipes = {recipe.name for ensemble in all_recipes() for recipe in (ensemble, *getattr(ensemble, "members", ()))}
    if name in recipes:
        return f"recipe {name} has no finished run in {places}: train it first (python -m dfclib train {name})"
    begun = [run for run in known if name and run.startswith(name)]
    near = begun[:5] or difflib.get_close_matches(name, [*known, *sorted(recipes)], n=4)
    hint = f"finished are {', '.join(known[:10])}" if known else "train one first"
    if near:
        hint = f"did you mean {' or '.join(near)}?"
    return f"there is no run {name!r}, neither a folder nor a name in {places}: {hint}"


def read_voters(names: Sequence[str], runs_dir: Path, split: str | None) -> tuple[list["Predictions"], str | None]:
    """Predictions of runs and of CSV files, in order, and the split that the runs were asked for.

    split: None means test where all runs have it, else validation; None comes back where there are only files
    """
    from dfclib.prediction_files import read_predictions

    files = {name for name in names if name.endswith(".csv") or Path(name).is_file()}
    runs = {name: find_run(name, runs_dir) for name in names if name not in files}
    if not runs:
        return [read_predictions(name) for name in names], None
    split = split or ("test" if all("test" in run.splits for run in runs.values()) else "validation")
    return [read_predictions(name) if name in files else runs[name].predictions(split) for name in names], split


def read_images(paths: Sequence[Path], run: "Run") -> "ImageSet":
    """Images from files and folders, as `run` takes them; ids are the paths.

    Images of another size than the training images are resized, with a notice on standard error.
    Raises UserError with everything that cannot be read.
    """
    import numpy as np

    from dfclib.datasets.decoding import read_pixels
    from dfclib.datasets.images import ImageSet
    from dfclib.datasets.listing import EXTENSIONS, ImageFile
    from dfclib.datasets.problems import Problems

    found: dict[Path, None] = {}  # in order, each once
    for path in paths:
        if not path.exists():
            raise UserError(f"{path} does not exist: name image files, or folders of images")
        inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in EXTENSIONS) if path.is_dir() else [path]
        if not inside:
            raise UserError(f"{path} holds no image: known are {', '.join(EXTENSIONS)}")
        found |= dict.fromkeys(inside)
    names = [str(path) for path in found]
    files = [
        ImageFile(path=Path(name), name=name, id=name, size=0, mtime_ns=0, where=name)  # sizes are for a cache
        for name in names
    ]
    problems, size, channels = Problems(), tuple(run.data["image_size"]), run.data["channels"]
    pixels = read_pixels({"images": files}, problems, image_size=size)
    if problems:
        raise UserError("not all images can be used:\n  " + "\n  ".join(problems.lines()))
    resized = len(files) - pixels.sizes["images"][size]
    if resized:
        pixels.notices.append(
            f"{resized:,} of {len(files):,} images were resized to {size[0]}x{size[1]}, as in training"
        )
    for notice in pixels.notices:
        print(notice, file=sys.stderr)
    images = pixels.images["images"]
    if images.shape[3] < channels:  # nothing but grey images, and a network that takes colour
        images = np.repeat(images, channels, axis=3)
    return ImageSet(images, None, np.array(names), tuple(run.data["class_names"]))


def recorded_test(run: "Run", folder: Path | None) -> "tuple[Predictions | None, ImageSet | None]":
    """(the run's own test predictions, None); or (None, the images to ask its model about).

    The latter where the run has none, or where `folder` holds other images than those it was trained with.
    """
    if folder is None and "test" in run.splits:
        return run.predictions("test"), None
    splits = load_splits(folder or DATA, run.data["image_size"])
    if splits.test is None:
        raise UserError(f"{folder or DATA} has no test images: there is nothing to submit")
    if "test" in run.splits and splits.fingerprint == run.data["fingerprint"]:
        recorded = run.predictions("test")
        if set(recorded.ids.tolist()) == set(splits.test.ids.tolist()):
            return recorded, None
    if splits.class_names != tuple(run.data["class_names"]):
        raise UserError(
            f"{run.name} knows the classes {', '.join(run.data['class_names'])}, and {folder or DATA} has "
            f"{', '.join(splits.class_names)}: submit a run that was trained on that folder"
        )
    return None, splits.test


def in_sample_order(predictions: "Predictions", sample_path: Path) -> "Predictions":
    """`predictions` in the order of a sample_submission.csv. Raises UserError where the ids differ."""
    from dfclib.prediction_files import read_predictions

    if not sample_path.exists():
        raise UserError(f"{sample_path} does not exist: name the competition's folder with --data")
    wanted = read_predictions(sample_path).ids.tolist()  # its labels are placeholders
    rows = {id_: row for row, id_ in enumerate(predictions.ids.tolist())}
    missing = [id_ for id_ in wanted if id_ not in rows]
    extra = sorted(rows.keys() - set(wanted))
    if missing or extra:
        parts = [f"{len(missing):,} of its ids have no prediction ({', '.join(missing[:3])})"] if missing else []
        parts += [f"{len(extra):,} predictions are for other ids ({', '.join(extra[:3])})"] if extra else []
        raise UserError(
            f"the predictions do not fit {sample_path}: {'; '.join(parts)}. "
            "Name the folder whose test images are meant with --data."
        )
    return predictions.take([rows[id_] for id_ in wanted])
