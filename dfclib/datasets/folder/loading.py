"""A folder of images in Kaggle's layout or with a folder per class: read it whole, or write one.

`listing.py` reads CSV files and names, `decoding.py` the images, and `cache.py` keeps their pixels.
"""

import csv
import os
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from dfclib.datasets.folder.cache import Cache, Pixels, slug
from dfclib.datasets.folder.decoding import read_pixels
from dfclib.datasets.folder.image_files import SPLITS
from dfclib.datasets.folder.listing import Listing, read_listing
from dfclib.datasets.images import ImageSet, Splits
from dfclib.errors import UserError
from dfclib.files import explained_write_errors

_UNFINISHED = ".unfinished-"
# fingerprints of data that have a name of their own, whatever their folder is called, so that runs bear the same names
KNOWN_DATA = {"c6a33c366447cbed": "deepfake-unibuc"}
EMBEDDED_MARK = "EMBEDDED.txt"  # in a folder of procedural images: figures and tables must go on saying what they are
EMBEDDED_NOTE = "Procedural images made by dfclib, not the competition's: accuracies on them are not its numbers.\n"


def read_contents(
    folder: Path | str, image_size: tuple[int, int] | None = None, any_size: bool = False
) -> tuple[Listing, dict[str, ImageSet], Pixels]:
    """Read all of a folder that can be read, and collect in the listing all that is wrong with it.

    A split with an unclear label has no labels. any_size: bring mixed sizes to the commonest one instead of complaining
    """
    listing = read_listing(folder)
    files = {split: part.files for split, part in listing.parts.items()}
    if not any(files.values()):
        return listing, {}, Pixels()
    cache = Cache.beside(listing.folder)
    pixels = read_pixels(files, listing.problems, image_size=image_size, any_size=any_size, cache=cache)
    listing.notices.extend(pixels.notices)
    parts = {}
    for split, images in pixels.images.items():
        rows, labels = pixels.rows[split], listing.parts[split].labels
        if labels is not None:
            labels = None if (labels[rows] < 0).any() else labels[rows]
        ids = np.array([files[split][row].id for row in rows], np.str_)
        parts[split] = ImageSet(images, labels, ids, listing.class_names)
    return listing, parts, pixels


def load_folder(folder: Path | str, image_size: tuple[int, int] | None = None) -> Splits:
    """Read a folder of images (layouts: see listing.py) into Splits.

    Images are grey (1 channel) where all training and validation images are, else RGB. Without a validation split a
    stratified tenth of the training images, the same each time, becomes one. Decoded images are kept in
    `.dfclib-cache` in the folder, or elsewhere if it is read-only. Notices go to the log (standard error by default).

    Args:
        folder: Its name becomes the name of the Splits.
        image_size: (height, width) in pixels to which images are resized; needed where their sizes differ.

    Raises:
        UserError: with everything that is wrong with the folder.
    """
    if image_size is not None and not (len(image_size) == 2 and all(side >= 1 for side in image_size)):
        raise UserError(f"image_size must be (height, width) in pixels, received {image_size!r}")
    listing, parts, _ = read_contents(folder, image_size)
    listing.require_sound()
    name, embedded = slug(Path(folder).resolve().name), Path(folder, EMBEDDED_MARK).exists()
    splits = Splits(name, parts["train"], parts["validation"], parts.get("test"), embedded)
    return replace(splits, name=KNOWN_DATA.get(splits.fingerprint, name))


def load_test(folder: Path | str, image_size: tuple[int, int], channels: int) -> ImageSet | None:
    """The test images of a folder, without labels and class names; None where there is no test split.

    No other image is opened, and nothing is kept. Raises UserError with everything that is wrong with the test split.
    """
    listing = read_listing(folder, ("test",))
    part = listing.parts.get("test")
    if part is None and not listing.problems:
        return None
    files = part.files if part else []
    pixels = read_pixels({"test": files}, listing.problems, image_size=image_size, channels=channels)
    listing.notices.extend(pixels.notices)
    listing.require_sound()
    return ImageSet(pixels.images["test"], None, np.array([file.id for file in files], np.str_), ())


def write_folder(splits: Splits, folder: Path | str) -> None:
    """Write Splits as a folder in Kaggle's layout: PNG files and CSV files.

    Read again, it gives the same images, labels (but the test split's) and ids, provided that the class names are in
    order (integers as numbers, names alphabetically). train.csv comes last, so that a folder with one is whole. Raises
    UserError where `folder` is not empty or cannot be written.
    """
    folder, another = Path(folder), "name a folder that is empty or does not exist"
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file: {another}")
    parts = {name: part for name in SPLITS if (part := getattr(splits, name)) is not None}
    with explained_write_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for leftover in folder.glob(f"{_UNFINISHED}*"):  # a killed write_folder's
            shutil.rmtree(leftover)
        if found := sorted(entry.name for entry in folder.iterdir()):
            raise UserError(f"{folder} is not empty (it holds {found[0]}): {another}")
        with tempfile.TemporaryDirectory(prefix=_UNFINISHED, dir=folder, ignore_cleanup_errors=True) as unfinished:
            _write_parts(parts, Path(unfinished))
            if splits.embedded:
                Path(unfinished, EMBEDDED_MARK).write_text(EMBEDDED_NOTE, encoding="utf-8")
            for path in sorted(Path(unfinished).iterdir(), key=lambda path: path.name == "train.csv"):
                os.replace(path, folder / path.name)


def _write_parts(parts: dict[str, ImageSet], folder: Path) -> None:
    for split, part in parts.items():
        (folder / split).mkdir()
        for id_, pixels in zip(part.ids, part.images, strict=True):
            image = Image.fromarray(pixels[..., 0] if part.channels == 1 else pixels)
            image.save(folder / split / f"{id_}.png")
        if split == "test":
            _write_csv(folder / "test.csv", [("image_id",), *((id_,) for id_ in part.ids)])
            guesses = ((id_, part.class_names[0]) for id_ in part.ids)
            _write_csv(folder / "sample_submission.csv", [("image_id", "label"), *guesses])
        else:
            names = (part.class_names[label] for label in part.labels)
            _write_csv(folder / f"{split}.csv", [("image_id", "label"), *zip(part.ids, names, strict=True)])


def _write_csv(path: Path, rows: list[tuple]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)
