"""The images to label: photographs that the user names, or a competition's test images."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from dfclib.datasets.folder.decoding import read_pixels
from dfclib.datasets.folder.image_files import EXTENSIONS, SPLIT_NAMES, image_file, is_image, is_other_image, is_shown
from dfclib.datasets.folder.listing import read_listing
from dfclib.datasets.folder.loading import load_test
from dfclib.datasets.folder.problems import Problems, cannot_be_read
from dfclib.datasets.folder.tables import read_rows
from dfclib.datasets.images import ImageSet
from dfclib.errors import UserError
from dfclib.predictions import Predictions
from dfclib.predictions.csv_files import read_predictions
from dfclib.runs import Run
from dfclib.training import inference

TestSet = TypeVar("TestSet", Predictions, ImageSet)


def read_images(paths: Sequence[Path], run: Run) -> tuple[ImageSet, Problems]:
    """Read images from files and folders, as `run` takes them; also returns the problems of those that are left out.

    Ids are the paths. Images of another size than the training images are resized, with a notice on standard error.
    Raises UserError where a path does not exist, a folder holds no image, or no image can be read.
    """
    problems = Problems(listed=None)
    files = [file for path in _find_images(paths, problems) if (file := image_file(path, str(path), problems))]
    size = run.image_size
    pixels = read_pixels({"images": files}, problems, image_size=size, channels=run.data["channels"])
    read = pixels.rows.get("images", ())
    if not len(read):
        raise UserError("no image can be used:\n  " + "\n  ".join(problems.lines()))
    resized = len(read) - pixels.sizes["images"][size]
    if resized:
        text = f"{resized:,} of {len(read):,} images were resized to {size[0]}x{size[1]}, as in training"
        pixels.notices.append(text)
    for notice in pixels.notices:
        print(notice, file=sys.stderr)
    ids = np.array([files[row].id for row in read])
    return ImageSet(pixels.images["images"], None, ids, run.class_names), problems


def _find_images(paths: Sequence[Path], problems: Problems) -> list[Path]:
    """The files given, and the images in the folders given and below: in order, each once, no hidden ones.

    Images of a kind that we do not read are named on standard error; folders that may not be read become problems.
    """

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


def read_test(run: Run, folder: Path, runs_dir: Path) -> tuple[Predictions | None, ImageSet | None]:
    """(the run's predictions for `folder`'s test images, None), or (None, the images) where they are to be labelled.

    Both are in the order of sample_submission.csv. Where the run has recorded all ids of it and of test.csv, no image
    is opened; otherwise the test images are, and no others, once the run's weights are known to be whole.
    Raises UserError where ids or classes differ, and where test images or weights are missing.
    """
    sample_path = folder / "sample_submission.csv"
    if not sample_path.exists():
        raise UserError(f"{sample_path} does not exist: name the competition's folder with --data")
    sample = read_predictions(sample_path).ids.tolist()  # its labels are placeholders
    if "test" in run.splits:
        recorded = run.predictions("test")
        listed = [*sample, *_test_ids(folder)]
        if set(recorded.ids.tolist()) >= set(listed):
            return _in_order(recorded, listed, sample, sample_path), None
    class_names = read_listing(folder).class_names  # from train.csv's labels or the folders' names: opens no image
    if class_names and class_names != run.class_names:
        raise UserError(
            f"{run.name} knows the classes {', '.join(run.class_names)}, and {folder} has "
            f"{', '.join(class_names)}: submit a run that was trained on that folder"
        )
    inference.check_weights(run, runs_dir)
    images = load_test(folder, run.image_size, run.data["channels"])
    if images is None:
        raise UserError(f"{folder} has no test images: there is nothing to submit")
    return None, _in_order(images, images.ids.tolist(), sample, sample_path)


def _test_ids(folder: Path) -> list[str]:
    """The ids in test.csv; none where there is no such file. Raises UserError where it cannot be read."""
    problems = Problems()
    paths = (folder / f"{name}.csv" for name in SPLIT_NAMES["test"])
    ids = [row.id for path in paths if path.exists() for row in read_rows(path, ("image_id",), problems, [])]
    if problems:
        raise UserError(f"the test images of {folder} are not known:\n  " + "\n  ".join(problems.lines()))
    return ids


def _in_order(found: TestSet, ids: Sequence[str], sample: Sequence[str], sample_path: Path) -> TestSet:
    """`found` in the order of sample_submission.csv. Raises UserError where the test images' `ids` are not its own."""
    missing = sorted(set(sample) - set(ids))
    extra = sorted(set(ids) - set(sample))
    if missing or extra:
        parts = [f"{len(missing):,} of its ids have no image ({', '.join(missing[:3])})"] if missing else []
        parts += [f"{len(extra):,} images have other ids ({', '.join(extra[:3])})"] if extra else []
        raise UserError(
            f"the test images do not fit {sample_path}: {'; '.join(parts)}. "
            "Name the folder whose test images are meant with --data."
        )
    rows = {id_: row for row, id_ in enumerate(found.ids.tolist())}
    return found.take([rows[id_] for id_ in sample])
