"""What a user names on the command line, found and read: recipes, data, runs, images, test predictions."""

import difflib
import os
import re
import stat
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dfclib.errors import UserError

if TYPE_CHECKING:
    import numpy as np

    from dfclib.datasets.folder.image_files import ImageFile
    from dfclib.datasets.folder.problems import Problems
    from dfclib.datasets.images import ImageSet, Splits
    from dfclib.predictions import Predictions
    from dfclib.recipes import EnsembleRecipe, Recipe
    from dfclib.runs import Run

DATA = Path("deepfake_data")  # where the competition lies unless somebody says otherwise
RUNS = Path("runs")
RECORDED = Path("report/runs")
DATA_TABLES = {f"{name}.csv" for name in ("train", "validation", "test", "sample_submission")}


def data_folder(given: Path | None, recipe: "Recipe | EnsembleRecipe") -> Path | None:
    """The given folder of images, else deepfake_data where it exists, else None: images made on the spot.

    A recipe for another data set than the competition's has nothing to learn from deepfake_data: None, unless a folder
    is given.
    """
    from dfclib.recipes.recipe import COMPETITION

    return given or (DATA if DATA.is_dir() and recipe.dataset == COMPETITION else None)


def load_splits(
    folder: Path | None, image_size: Sequence[int] | None = None, recipe: "Recipe | EnsembleRecipe | None" = None
) -> "Splits":
    """The images of `folder`, or for None the embedded ones; for Fashion-MNIST's recipes that, or generated garments.

    image_size: height and width in pixels, for a folder with images of mixed sizes
    """
    from dfclib.datasets.sources import FASHION_MNIST, load, load_fashion

    if recipe is not None and recipe.dataset.name == FASHION_MNIST:
        if image_size is not None:
            raise UserError(
                f"--image-size is not for {recipe.name}: Fashion-MNIST's images are all 28x28; leave it out"
            )
        return load_fashion(folder)
    if folder is None and image_size is not None:
        raise UserError("--image-size is for a folder of images: name one with --data")
    return load(folder, image_size)


def find_recipe(name: str, scale: str | None, data: Path | None) -> "Recipe | EnsembleRecipe":
    """A recipe by name at `scale`, or from a JSON file, which has its own scale.

    scale: None: what suits the device (devices.default_scale), on the folder that `data_folder` finds for --data
    """
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

    recipes = {recipe.name for ensemble in all_recipes() for recipe in (ensemble, *ensemble.members)}
    if name in recipes:
        return f"recipe {name} has no finished run in {places}: train it first (python -m dfclib train {name})"
    begun = [run for run in known if name and run.startswith(name)]
    near = begun[:5] or difflib.get_close_matches(name, [*known, *sorted(recipes)], n=4)
    hint = f"finished are {', '.join(known[:10])}" if known else "train one first"
    if near:
        hint = f"did you mean {' or '.join(near)}?"
    return f"there is no run {name!r}, neither a folder nor a name in {places}: {hint}"


def check_out(out: Path, read: Sequence[Path | str] = ()) -> None:
    """Raise UserError, before anything expensive starts, where writing predictions to `out` would destroy something.

    read: files that the command reads. A file of predictions may be replaced, /dev/stdout or a pipe written into.
    """
    from dfclib.datasets.folder.image_files import EXTENSIONS
    from dfclib.files import is_stream
    from dfclib.runs import RUN_FILES

    another = "name another file with --out"
    if out.is_dir():
        raise UserError(f"{out} is a folder: {another}")
    if is_stream(out):
        return
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


def read_voters(names: Sequence[str], runs_dir: Path, split: str | None) -> tuple[list["Predictions"], str | None]:
    """Predictions of runs and of CSV files, in order, and the split that the runs were asked for.

    split: None means test where all runs have it, else validation; None comes back where there are only files
    """
    from dfclib.predictions.csv_files import read_predictions

    files = {name for name in names if name.endswith(".csv") or Path(name).is_file()}
    runs = {name: find_run(name, runs_dir) for name in names if name not in files}
    if not runs:
        return [read_predictions(name) for name in names], None
    split = split or ("test" if all("test" in run.splits for run in runs.values()) else "validation")
    return [read_predictions(name) if name in files else runs[name].predictions(split) for name in names], split


def read_images(paths: Sequence[Path], run: "Run") -> "tuple[ImageSet, Problems]":
    """Images from files and folders, as `run` takes them, and what is wrong with those that are left out.

    Ids are the paths. Images of another size than the training images are resized, with a notice on standard error.
    Raises UserError where a path does not exist, a folder holds no image, or no image can be read.
    """
    import numpy as np

    from dfclib.datasets.folder.decoding import read_pixels
    from dfclib.datasets.folder.problems import Problems
    from dfclib.datasets.images import ImageSet

    problems = Problems(listed=None)
    files = [file for path in _find_images(paths, problems) if (file := _image_file(path, problems))]
    size, channels = tuple(run.data["image_size"]), run.data["channels"]
    pixels = read_pixels({"images": files}, problems, image_size=size, channels=channels)
    read = pixels.rows.get("images", ())
    if not len(read):
        raise UserError("no image can be used:\n  " + "\n  ".join(problems.lines()))
    resized = len(read) - pixels.sizes["images"][size]
    if resized:
        pixels.notices.append(
            f"{resized:,} of {len(read):,} images were resized to {size[0]}x{size[1]}, as in training"
        )
    for notice in pixels.notices:
        print(notice, file=sys.stderr)
    ids = np.array([files[row].id for row in read])
    return ImageSet(pixels.images["images"], None, ids, tuple(run.data["class_names"])), problems


def _find_images(paths: Sequence[Path], problems: "Problems") -> list[Path]:
    """The files given, and the images in the folders given and below: in order, each once; nothing that is hidden.

    Images of a kind that we do not read are named on standard error; folders that may not be read are a problem.
    """
    from dfclib.datasets.folder.image_files import EXTENSIONS, is_image, is_other_image, is_shown
    from dfclib.datasets.folder.problems import cannot_be_read

    def refused(error: OSError) -> None:
        problems.add("folder", str(error.filename), *cannot_be_read(error, "Check the disk"))

    found: dict[Path, None] = {}
    for path in paths:
        if not path.exists():
            raise UserError(f"{path} does not exist: name image files, or folders of images")
        if not path.is_dir():
            found[path] = None
            continue
        inside, before = [], len(problems)
        for folder, folders, names in os.walk(path, onerror=refused):
            folders[:] = filter(is_shown, folders)  # os.walk goes on into what stays
            inside += [Path(folder, name) for name in names]
        images = sorted(file for file in inside if is_image(file.name))
        others = [str(file) for file in sorted(inside) if is_other_image(file.name)]
        if others:
            print(f"ignored, as not PNG, JPEG or WebP: {', '.join(others)}", file=sys.stderr)
        if not images and len(problems) == before:
            raise UserError(f"{path} holds no image: known are {', '.join(EXTENSIONS)}")
        found |= dict.fromkeys(images)
    return list(found)


def _image_file(path: Path, problems: "Problems") -> "ImageFile | None":
    """The file at `path` with its path as its id, or None after saying why there is nothing to open."""
    from dfclib.datasets.folder.image_files import ImageFile
    from dfclib.datasets.folder.problems import cannot_be_read

    try:
        status = path.stat()
    except OSError as error:
        problems.add("file", str(path), *cannot_be_read(error))
        return None
    if not stat.S_ISREG(status.st_mode):
        problems.add("file", str(path), "is a device, not a file", "Leave it out")
    elif status.st_size == 0:
        problems.add("file", str(path), "the file is empty (0 bytes)", "Copy or download it again, or leave it out")
    elif not str(path).isprintable():  # what cannot be printed cannot be written to a table of labels
        problems.add("file", ascii(str(path)), "its name holds what is no printable UTF-8 text", "Rename it")
    else:
        return ImageFile(path, str(path), str(path), status.st_size, status.st_mtime_ns, str(path))
    return None


def submission(run: "Run", folder: Path, runs_dir: Path = RUNS) -> "tuple[Predictions | None, ImageSet | None]":
    """(what the run recorded of the images that `folder` asks about, None), or (None, the images to label).

    Either is in the order of sample_submission.csv. Ids decide: where those of sample_submission.csv and test.csv
    are all recorded, no image is opened; otherwise the test images are, and no others. Raises UserError where the
    ids differ, or the classes.
    """
    from dfclib.datasets.folder.listing import read_listing
    from dfclib.datasets.folder.loading import load_test
    from dfclib.predictions.csv_files import read_predictions
    from dfclib.training.inference import check_weights

    sample_path = folder / "sample_submission.csv"
    if not sample_path.exists():
        raise UserError(f"{sample_path} does not exist: name the competition's folder with --data")
    sample = read_predictions(sample_path).ids.tolist()  # its labels are placeholders
    if "test" in run.splits:
        recorded = run.predictions("test")
        rows = {id_: row for row, id_ in enumerate(recorded.ids.tolist())}
        asked = [*sample, *_test_ids(folder)]
        if rows.keys() >= set(asked):
            recorded = recorded.take([rows[id_] for id_ in dict.fromkeys(asked)])
            return recorded.take(_sample_rows(recorded.ids, sample, sample_path)), None
    class_names = read_listing(folder).class_names  # from train.csv's labels or the folders' names: opens no image
    if class_names and class_names != tuple(run.data["class_names"]):
        raise UserError(
            f"{run.name} knows the classes {', '.join(run.data['class_names'])}, and {folder} has "
            f"{', '.join(class_names)}: submit a run that was trained on that folder"
        )
    check_weights(run, runs_dir)
    images = load_test(folder, tuple(run.data["image_size"]), run.data["channels"])
    if images is None:
        raise UserError(f"{folder} has no test images: there is nothing to submit")
    return None, images.take(_sample_rows(images.ids, sample, sample_path))


def _test_ids(folder: Path) -> list[str]:
    """The ids in test.csv; none where there is no such file. Raises UserError where it cannot be read."""
    from dfclib.datasets.folder.image_files import SPLIT_NAMES
    from dfclib.datasets.folder.problems import Problems
    from dfclib.datasets.folder.tables import read_rows

    problems, ids = Problems(), []
    for path in (folder / f"{name}.csv" for name in SPLIT_NAMES["test"]):
        if path.exists():
            ids += [row.id for row in read_rows(path, ("image_id",), problems, [])]
    if problems:
        raise UserError(f"the test images of {folder} are not known:\n  " + "\n  ".join(problems.lines()))
    return ids


def _sample_rows(ids: "np.ndarray", sample: list[str], sample_path: Path) -> list[int]:
    """Which of `ids` follow each other in sample_submission.csv. Raises UserError where the ids differ."""
    rows = {id_: row for row, id_ in enumerate(ids.tolist())}
    missing = [id_ for id_ in sample if id_ not in rows]
    extra = sorted(rows.keys() - set(sample))
    if missing or extra:
        parts = [f"{len(missing):,} of its ids have no image ({', '.join(missing[:3])})"] if missing else []
        parts += [f"{len(extra):,} images have other ids ({', '.join(extra[:3])})"] if extra else []
        raise UserError(
            f"the test images do not fit {sample_path}: {'; '.join(parts)}. "
            "Name the folder whose test images are meant with --data."
        )
    return [rows[id_] for id_ in sample]
