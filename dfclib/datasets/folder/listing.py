"""List a folder of images before any image is opened: layout, rows, labels, files, problems.

Two layouts are known. Kaggle's: train.csv (image_id,label), perhaps validation.csv (the same) and test.csv (image_id),
with <image_id>.png, .jpg, .jpeg or .webp under train/, validation/ and test/. And a folder per class:
train/<class>/*.png, perhaps validation/<class>/*.png and test/*.png (or test/<class>/), or just <class>/*.png. Splits
may have other usual names (SPLIT_NAMES in image_files.py: val/, val.csv), but only one each.
"""

import logging
import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from dfclib.datasets.folder.image_files import (
    SPLITS,
    ImageFile,
    image_file,
    is_image,
    is_shown,
    named_splits,
    stays_inside,
)
from dfclib.datasets.folder.problems import Problems, cannot_be_read, shown
from dfclib.datasets.folder.tables import Row, id_is_sound, interpret_labels, read_rows
from dfclib.datasets.images import stratified_tenth
from dfclib.errors import UserError

KAGGLE, CLASS_FOLDERS, CLASS_FOLDERS_ONLY = "Kaggle (CSV files)", "train/<class>/", "<class>/"
_log = logging.getLogger(__name__)


@dataclass
class Part:
    """The images of one split whose files are there.

    labels: int64 (n,), -1 where unclear; None for a test split without labels
    """

    files: list[ImageFile] = field(default_factory=list)
    labels: np.ndarray | None = None


@dataclass
class Listing:
    """A folder's content: layout (None where not recognised), classes, a Part per split, problems, notices.

    folders, tables: names of the splits' folders and CSV files (without extension), where there are any
    """

    folder: Path
    layout: str | None = None
    folders: dict[str, str] = field(default_factory=dict)
    tables: dict[str, str] = field(default_factory=dict)
    class_names: tuple[str, ...] = ()
    parts: dict[str, Part] = field(default_factory=dict)
    problems: Problems = field(default_factory=Problems)
    notices: list[str] = field(default_factory=list)

    def require_sound(self) -> None:
        """Log the notices. Raises UserError with all problems where there are any."""
        if self.problems:
            count = "1 problem" if len(self.problems) == 1 else f"{len(self.problems):,} problems"
            lines = "\n".join(f"  {line}" for line in self.problems.lines())
            read_as = f" (read as {self.layout})" if self.layout else ""
            raise UserError(f"{self.folder} cannot be used as it is{read_as}, {count}:\n{lines}")
        for notice in self.notices:
            _log.warning("%s: %s", self.folder, notice)

    def notice_unused(self, place: str, names: Sequence[str], kind: str, unused: str = "they are not used") -> None:
        """Note that `place` holds files or folders that are left aside; place: a split's folder, "" for the whole."""
        if names:
            where = f"{place}/" if place else "the folder"
            self.notices.append(f"{where} holds {len(names):,} {kind}, {names[0]} for one: {unused}")


def read_listing(folder: Path | str, splits: Sequence[str] = SPLITS) -> Listing:
    """Read CSV files and entries of `folder`, of these splits alone; raises nothing: all problems are collected."""
    listing = Listing(Path(folder))
    try:
        listing.layout = _recognise(listing)
        if listing.layout is not None:
            _read_parts(listing, splits)
    except OSError as error:  # a folder that may not be listed, a name that is too long, a disk that fails
        listing.problems.add("folder", str(error.filename or folder), *cannot_be_read(error, "Check the disk"))
    return listing


def _read_parts(listing: Listing, splits: Sequence[str]) -> None:
    rows = (_kaggle_rows if listing.layout == KAGGLE else _class_folder_rows)(listing, splits)
    numbers, listing.class_names = interpret_labels(rows, listing.problems, listing.notices)
    for split, found in rows.items():
        present = [row for row in found if row.file is not None]
        part = listing.parts[split] = Part([row.file for row in present])
        if present and all(row.label is not None for row in present):
            part.labels = np.array([numbers.get(row.label, -1) for row in present], np.int64)
    if "validation" not in rows and "validation" in splits and "train" in rows:
        _set_validation_aside(listing)


def _recognise(listing: Listing) -> str | None:
    """The folder's layout, or None after adding the reason to the problems."""
    folder, add = listing.folder, listing.problems.add
    if not folder.is_dir():
        if folder.exists():
            add("folder", str(folder), "this is a file", "Unpack it if it is an archive, and give the folder")
        else:
            add("folder", str(folder), "this folder does not exist", "Check the path, or make one with `data make`")
        return None
    entries = sorted(entry.name for entry in folder.iterdir() if is_shown(entry.name))
    folders = [path.name for path in _folders(folder)]
    listing.folders = _one_each(named_splits(folders), "/", listing)
    tables = [name[:-4] for name in entries if name.lower().endswith(".csv")]
    listing.tables = _one_each(named_splits(tables), ".csv", listing)
    train = folder / listing.folders.get("train", "train")
    if "train" in listing.tables or any(map(_holds_images, _folders(train))):
        for name in folders:
            if not named_splits([name]):
                listing.notices.append(f"{name}/ is no folder of a split: it is not used")
        return KAGGLE if "train" in listing.tables else CLASS_FOLDERS
    if not listing.folders and any(_holds_images(folder / name) for name in folders):
        return CLASS_FOLDERS_ONLY
    reason = f"found {', '.join(entries[:8])}{' ...' if len(entries) > 8 else ''}" if entries else "it is empty"
    remedy = "Add a train.csv with the columns image_id,label, or sort the images into train/<class>/"
    nested = [name for name in folders if (folder / name / "train.csv").exists()]
    if nested:
        remedy = f"Perhaps you mean {folder / nested[0]}, which holds a train.csv"
    elif any(name.endswith(".zip") for name in entries):
        remedy = "Unpack the .zip files first"
    elif _holds_images(train):
        reason += f"; {train.name}/ holds images, but no train.csv says their labels"
    elif "train" not in listing.folders and listing.folders:
        reason += "; there is no train/"
    add("layout", str(folder), f"train.csv is missing, and no class folder holds images ({reason})", remedy)
    return None


def _one_each(found: dict[str, list[str]], ending: str, listing: Listing) -> dict[str, str]:
    """The name of each split; a split with two names is a problem."""
    for split, names in found.items():
        if len(names) > 1:
            remedy = f"Rename or remove all but one; {split}{ending} is the name to keep"
            where = " and ".join(f"{name}{ending}" for name in names)
            listing.problems.add("two names", where, f"each may be meant as the {split} split", remedy)
        elif names[0] != split:
            listing.notices.append(f"{names[0]}{ending} is read as the {split} split")
    return {split: names[0] for split, names in found.items()}


def _folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.is_dir() and is_shown(path.name))


def _holds_images(folder: Path) -> bool:
    return folder.is_dir() and any(is_image(path.name) for path in folder.iterdir())


def _kaggle_rows(listing: Listing, splits: Sequence[str]) -> dict[str, list[Row]]:
    rows, seen = {}, {}
    for split in splits:
        if split in listing.tables:
            path = listing.folder / f"{listing.tables[split]}.csv"
            columns = ("image_id",) if split == "test" else ("image_id", "label")
            inside = stays_inside(path, listing.folder, listing.problems)
            rows[split] = read_rows(path, columns, listing.problems, listing.notices) if inside else []
            sound = [row for row in rows[split] if id_is_sound(row, split, seen, listing.problems)]
            _find_images(listing.folders.get(split, path.stem), path.name, rows[split], sound, listing)
        elif split in listing.folders:
            name = listing.folders[split]
            holds = "holds images" if _holds_images(listing.folder / name) else "is there"
            listing.notices.append(f"{name}/ {holds}, but there is no {split}.csv: it is not used")
    return rows


def _find_images(name: str, table: str, rows: list[Row], sound: list[Row], listing: Listing) -> None:
    """Find the file in the folder `name` of each row of `table` whose id is sound."""
    folder, add = listing.folder / name, listing.problems.add
    if not folder.is_dir():
        what = f"the folder is missing, but {table} names {len(rows):,} images"
        add("split folder", f"{name}/", what, f"Put them in {folder}")
        return
    if not stays_inside(folder, listing.folder, listing.problems):
        return
    images, others = defaultdict(list), defaultdict(list)
    for path in folder.iterdir():
        (images if is_image(path.name) else others)[os.path.splitext(path.name)[0]].append(path)
    for row in sound:
        found = images.get(row.id, [])
        if len(found) == 1:
            row.file = image_file(found[0], row.id, listing.problems, listing.folder, row.where)
        elif found:
            files = ", ".join(sorted(f"{name}/{path.name}" for path in found))
            add("two files", row.where, f"image_id {shown(row.id)} has {len(found)} files: {files}", "Keep one")
        else:
            remedy = _missing_remedy(row.id, name, images, others)
            add("missing image", row.where, f"there is no image {name}/{shown(row.id)}", remedy)
    unnamed = [shown(id_) for id_ in sorted(set(images) - {row.id for row in rows})]
    listing.notice_unused(name, unnamed, f"image(s) that {table} does not name")
    _notice_unread(name, [path for found in others.values() for path in found], listing)


def _missing_remedy(id_: str, name: str, images: dict[str, list[Path]], others: dict[str, list[Path]]) -> str:
    """How to mend an id without image; images, others: the files in the folder `name` by their names' stems."""
    stem = os.path.splitext(id_)[0]
    if is_image(id_) and stem in images:
        return f"Write the image_id without its extension: {stem}"
    for other, found in images.items():
        if other.casefold() == id_.casefold():
            return f"Upper and lower case differ: the file is {name}/{found[0].name}"
    if id_ in others:
        return f"Turn {name}/{others[id_][0].name} into a PNG, JPEG or WebP image"
    return f"Put {id_}.png (or .jpg, .jpeg, .webp) in {name}/, or remove the line"


def _class_folder_rows(listing: Listing, splits: Sequence[str]) -> dict[str, list[Row]]:
    if listing.layout == CLASS_FOLDERS_ONLY:
        return {"train": _images_by_class(listing.folder, listing)} if "train" in splits else {}
    rows = {}
    for split in splits:
        if split in listing.tables:
            listing.notices.append(f"{listing.tables[split]}.csv is not used: the folders say what is in them")
        if split not in listing.folders:
            continue
        folder = listing.folder / listing.folders[split]
        if _folders(folder) and (split != "test" or any(map(_holds_images, _folders(folder)))):
            rows[split] = _images_by_class(folder, listing)
        elif _holds_images(folder) and split == "test":
            rows[split], others = _images_in(folder, None, listing)
            _notice_unread(folder.name, others, listing)
        else:
            expected = "images" if split == "test" else "class folders"
            listing.notices.append(f"{folder.name}/ holds no {expected}: it is not used")
    return rows


def _images_by_class(folder: Path, listing: Listing) -> list[Row]:
    """The images of each class folder in `folder`, which is a split's or the listing's own."""
    rows: list[Row] = []
    unread: list[Path] = []
    for class_folder in _folders(folder):
        if not stays_inside(class_folder, listing.folder, listing.problems):
            continue
        found, others = _images_in(class_folder, class_folder.name, listing)
        if not found:
            nested = ", but folders" if any(path.is_dir() for path in others) else ""
            where = f"{class_folder.relative_to(listing.folder).as_posix()}/"
            what = f"class {shown(class_folder.name)} has no images{nested}"
            remedy = "Put PNG, JPEG or WebP images in it, not in folders below it, or remove the folder"
            listing.problems.add("empty class", where, what, remedy)
        rows += found
        unread += others
    place = "" if folder == listing.folder else folder.name
    loose = sorted(path.name for path in folder.iterdir() if is_image(path.name) and not path.is_dir())
    listing.notice_unused(place, loose, "image(s) outside its class folders")
    _notice_unread(place, unread, listing)
    return rows


def _images_in(folder: Path, label: str | None, listing: Listing) -> tuple[list[Row], list[Path]]:
    """(images directly in `folder`, what else lies there); ids are paths below the data folder without extension."""
    rows, others = [], []
    names: dict[str, str] = {}  # by id
    place = f"{folder.relative_to(listing.folder).as_posix()}/"
    for path in sorted(folder.iterdir()):
        name = path.relative_to(listing.folder).as_posix()
        id_ = os.path.splitext(name)[0]
        if not is_image(path.name):
            others.append(path)
        elif (twin := names.setdefault(id_, name)) == name:
            rows.append(Row(place, id_, label, image_file(path, id_, listing.problems, listing.folder)))
        else:
            remedy = "Rename one, or remove it if it is the same image"
            listing.problems.add("two files", name, f"differs from {twin} only in its extension", remedy)
    return rows, others


def _notice_unread(place: str, unread: list[Path], listing: Listing) -> None:
    """Notice the folders and files among `unread` that are not hidden; place: a split's folder."""
    folders, files = [], []
    for path in sorted(path for path in unread if is_shown(path.name)):
        name = path.relative_to(listing.folder).as_posix()
        folders.append(f"{name}/") if path.is_dir() else files.append(name)
    listing.notice_unused(place, folders, "folder(s) where images are expected", "what is in them is not used")
    listing.notice_unused(place, files, "file(s) that are not PNG, JPEG or WebP images")


def _set_validation_aside(listing: Listing) -> None:
    """Take a stratified tenth of the training images as validation images, chosen by ids alone."""
    train = listing.parts["train"]
    if train.labels is None or not listing.class_names:
        return
    counts = np.bincount(train.labels[train.labels >= 0], minlength=len(listing.class_names))
    for name in np.array(listing.class_names)[counts == 1]:
        what = "has 1 training image, and there is no validation split"
        remedy = "Add images, or a validation split: without one, a tenth of each class is set aside"
        listing.problems.add("too few", f"class {shown(str(name))}", what, remedy)
    if listing.problems or counts.min() < 2:
        return
    chosen = stratified_tenth([file.id for file in train.files], train.labels)
    for split, mask in (("train", ~chosen), ("validation", chosen)):
        listing.parts[split] = Part([train.files[i] for i in np.flatnonzero(mask)], train.labels[mask])
    listing.parts = {split: listing.parts[split] for split in SPLITS if split in listing.parts}
    listing.notices.append(
        f"there is no validation split: a tenth of the training images ({chosen.sum():,}, drawn by "
        "their ids, evenly from all classes) is used as one"
    )
