"""What a folder of images says of itself, before any image is opened: layout, rows, labels, files, problems.

Two layouts are known. Kaggle's: train.csv (image_id,label), perhaps validation.csv (the same) and test.csv
(image_id), with <image_id>.png, .jpg, .jpeg or .webp under train/, validation/ and test/. And a folder a
class: train/<class>/*.png, perhaps validation/<class>/*.png and test/*.png (or test/<class>/), or just
<class>/*.png. Splits may have other usual names (names.py: val/, val.csv), but only one each.
"""

import os
import stat
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from dfclib.datasets.folder.labels import LabelledPlace, interpret_labels
from dfclib.datasets.folder.names import SPLITS, is_image, is_shown, named_splits
from dfclib.datasets.folder.problems import Problems, cannot_be_read, shown
from dfclib.datasets.folder.rows import Row, id_is_sound, read_rows
from dfclib.datasets.images import ImageSet, held_out_split

KAGGLE, CLASS_FOLDERS, CLASS_FOLDERS_ONLY = "Kaggle (CSV files)", "train/<class>/", "<class>/"


@dataclass(frozen=True)
class ImageFile:
    """One image that a row or a class folder names.

    name: path below the data folder; size: bytes; where: how a message names it, with the row
    """

    path: Path
    name: str
    id: str
    size: int
    mtime_ns: int
    where: str


@dataclass
class Part:
    """The images of one split whose files are there.

    labels: int64 (n,), -1 where unclear; None for a test split without labels
    """

    files: list[ImageFile] = field(default_factory=list)
    labels: np.ndarray | None = None


@dataclass
class Listing:
    """A folder's content: layout (None where not recognised), classes, a Part a split, problems, notices.

    folders, tables: what a split's folder and its CSV file (without extension) are called, where there are any
    """

    folder: Path
    layout: str | None = None
    folders: dict[str, str] = field(default_factory=dict)
    tables: dict[str, str] = field(default_factory=dict)
    class_names: tuple[str, ...] = ()
    parts: dict[str, Part] = field(default_factory=dict)
    problems: Problems = field(default_factory=Problems)
    notices: list[str] = field(default_factory=list)


def read_listing(folder: Path | str, splits: Sequence[str] = SPLITS) -> Listing:
    """Read CSV files and directory entries of `folder`; raises nothing, but collects problems and notices.

    splits: those that matter; of the others nothing is read
    """
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
    labelled = [
        LabelledPlace(row.where, split, row.label)
        for split, found in rows.items()
        for row, _ in found
        if row.label is not None
    ]
    if listing.layout != KAGGLE:  # there a folder is the place of a label, not each image in it
        folders = {place.where.rpartition("/")[0]: place for place in labelled}
        labelled = [replace(place, where=f"{folder}/") for folder, place in folders.items()]
    numbers, listing.class_names = interpret_labels(labelled, listing.problems, listing.notices)
    for split, found in rows.items():
        present = [(row, file) for row, file in found if file is not None]
        part = Part([file for _, file in present])
        if present and all(row.label is not None for row, _ in present):
            part.labels = np.array([numbers.get(row.label, -1) for row, _ in present], np.int64)
        listing.parts[split] = part
    if "validation" not in rows and "validation" in splits and "train" in rows:
        _set_validation_aside(listing)


def _recognise(listing: Listing) -> str | None:
    """The folder's layout, or None after saying why it has none."""
    folder, add = listing.folder, listing.problems.add
    if not folder.exists():
        add(
            "folder",
            str(folder),
            "this folder does not exist",
            "Check the path, or make one with `data make`",
        )
        return None
    if not folder.is_dir():
        add("folder", str(folder), "this is a file", "Unpack it if it is an archive, and give the folder")
        return None
    entries = sorted(entry.name for entry in folder.iterdir() if is_shown(entry.name))
    folders = [path.name for path in _folders(folder)]
    listing.folders = _one_each(named_splits(folders), "/", listing)
    tables = [name[:-4] for name in entries if name.lower().endswith(".csv")]
    listing.tables = _one_each(named_splits(tables), ".csv", listing)
    if "train" in listing.tables:
        _notice_unused(folders, listing)
        return KAGGLE
    train = folder / listing.folders.get("train", "train")
    if any(_holds_images(path) for path in _folders(train)):
        _notice_unused(folders, listing)
        return CLASS_FOLDERS
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
        named = [f"{name}{ending}" for name in names]
        if len(names) > 1:
            remedy = f"Rename or remove all but one; {split}{ending} is the name to keep"
            listing.problems.add("two names", " and ".join(named), f"each may be meant as the {split} split", remedy)
        elif names[0] != split:
            listing.notices.append(f"{named[0]} is read as the {split} split")
    return {split: names[0] for split, names in found.items()}


def _notice_unused(folders: list[str], listing: Listing) -> None:
    for name in folders:
        if not any(name in names for names in named_splits([name]).values()):
            listing.notices.append(f"{name}/ is no folder of a split: it is not used")


def _folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.is_dir() and is_shown(path.name))


def _holds_images(folder: Path) -> bool:
    return folder.is_dir() and any(is_image(entry.name) for entry in os.scandir(folder))


# Kaggle's layout


def _kaggle_rows(listing: Listing, splits: Sequence[str]) -> dict[str, list[tuple[Row, ImageFile | None]]]:
    rows, seen = {}, {}
    for split in splits:
        if split in listing.tables:
            path = listing.folder / f"{listing.tables[split]}.csv"
            columns = ("image_id",) if split == "test" else ("image_id", "label")
            inside = _stays_inside(path, listing)
            found = read_rows(path, columns, listing.problems, listing.notices) if inside else []
            named = [(row, id_is_sound(row, split, seen, listing.problems)) for row in found]
            rows[split] = _find_images(listing.folders.get(split, path.stem), path.name, named, listing)
        elif split in listing.folders:
            name = listing.folders[split]
            holds = "holds images" if _holds_images(listing.folder / name) else "is there"
            listing.notices.append(f"{name}/ {holds}, but there is no {split}.csv: it is not used")
    return rows


def _find_images(
    name: str, table: str, rows: list[tuple[Row, bool]], listing: Listing
) -> list[tuple[Row, ImageFile | None]]:
    """Pair each row of `table` (given with whether its id is sound) with its file in the folder `name`, or None
    after saying why."""
    folder, add = listing.folder / name, listing.problems.add
    if not folder.is_dir():
        add(
            "split folder",
            f"{name}/",
            f"the folder is missing, but {table} names {len(rows):,} images",
            f"Put them in {folder}",
        )
        return [(row, None) for row, _ in rows]
    if not _stays_inside(folder, listing):
        return [(row, None) for row, _ in rows]
    images, others = defaultdict(list), defaultdict(list)
    for entry in os.scandir(folder):
        (images if is_image(entry.name) else others)[os.path.splitext(entry.name)[0]].append(entry)
    lower = {stem.casefold(): found[0].name for stem, found in images.items()}
    result = []
    for row, sound in rows:
        found = images.get(row.id, []) if sound else []
        if sound and not found:
            remedy = f"Put {row.id}.png (or .jpg, .jpeg, .webp) in {name}/, or remove the line"
            if is_image(row.id) and os.path.splitext(row.id)[0] in images:
                remedy = f"Write the image_id without its extension: {os.path.splitext(row.id)[0]}"
            elif row.id.casefold() in lower:
                remedy = f"Upper and lower case differ: the file is {name}/{lower[row.id.casefold()]}"
            elif row.id in others:
                remedy = f"Turn {name}/{others[row.id][0].name} into a PNG, JPEG or WebP image"
            add("missing image", row.where, f"there is no image {name}/{shown(row.id)}", remedy)
        elif len(found) > 1:
            files = ", ".join(sorted(f"{name}/{entry.name}" for entry in found))
            add(
                "two files",
                row.where,
                f"image_id {shown(row.id)} has {len(found)} files: {files}",
                "Keep one",
            )
        result.append((row, _file(found[0], row.id, row.where, listing) if len(found) == 1 else None))
    unused = sorted(set(images) - {row.id for row, _ in rows})
    if unused:
        listing.notices.append(
            f"{name}/ holds {len(unused):,} image(s) that {table} does not name, "
            f"{shown(unused[0])} for one: they are not used"
        )
    _notice_unread(name, [entry for found in others.values() for entry in found], listing)
    return result


# A folder a class


def _class_folder_rows(listing: Listing, splits: Sequence[str]) -> dict[str, list[tuple[Row, ImageFile | None]]]:
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
            unread: list[os.DirEntry[str]] = []
            rows[split] = list(_images_in(folder, None, listing, unread))
            _notice_unread(folder.name, unread, listing)
        else:
            what = "images" if split == "test" else "class folders"
            listing.notices.append(f"{folder.name}/ holds no {what}: it is not used")
    return rows


def _images_by_class(folder: Path, listing: Listing) -> list[tuple[Row, ImageFile | None]]:
    """The images of each class folder in `folder`, which is a split's or the listing's own."""
    result: list[tuple[Row, ImageFile | None]] = []
    unread: list[os.DirEntry[str]] = []
    for class_folder in _folders(folder):
        if not _stays_inside(class_folder, listing):
            continue
        before = len(unread)
        found = list(_images_in(class_folder, class_folder.name, listing, unread))
        if not found:
            relative = class_folder.relative_to(listing.folder).as_posix()
            nested = any(entry.is_dir() for entry in unread[before:])
            listing.problems.add(
                "empty class",
                f"{relative}/",
                f"class {shown(class_folder.name)} has no images" + (", but folders" if nested else ""),
                "Put PNG, JPEG or WebP images in it, not in folders below it, or remove the folder",
            )
        result += found
    place = "" if folder == listing.folder else folder.name
    loose = sorted(entry.name for entry in os.scandir(folder) if is_image(entry.name) and not entry.is_dir())
    if loose:
        where = f"{place}/" if place else "the folder"
        listing.notices.append(
            f"{where} holds {len(loose):,} image(s) outside its class folders, {loose[0]} for one: they are not used"
        )
    _notice_unread(place, unread, listing)
    return result


def _images_in(
    folder: Path, label: str | None, listing: Listing, unread: list[os.DirEntry[str]]
) -> Iterator[tuple[Row, ImageFile | None]]:
    """The images directly in `folder`; an id is the path below the listing's folder without extension.

    unread: what else lies there is added to it
    """
    seen: dict[str, str] = {}
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if not is_image(entry.name):
            unread.append(entry)
            continue
        name = Path(entry.path).relative_to(listing.folder).as_posix()
        id_ = os.path.splitext(name)[0]
        row = Row(name, id_, label)
        if id_ in seen:
            listing.problems.add(
                "two files",
                name,
                f"differs from {seen[id_]} only in its extension",
                "Rename one, or remove it if it is the same image",
            )
            continue
        seen[id_] = name
        yield row, _file(entry, id_, "", listing)


# Both layouts


def _notice_unread(place: str, unread: list[os.DirEntry[str]], listing: Listing) -> None:
    """Say which folders and files where images are expected are neither read nor hidden; place: a split's folder."""
    entries = sorted((entry for entry in unread if is_shown(entry.name)), key=lambda entry: entry.path)
    names = {True: [], False: []}
    for entry in entries:
        names[entry.is_dir()].append(Path(entry.path).relative_to(listing.folder).as_posix())
    where = f"{place}/" if place else "the folder"
    if names[True]:
        listing.notices.append(
            f"{where} holds {len(names[True]):,} folder(s) where images are expected, {names[True][0]}/ for one: "
            "what is in them is not used"
        )
    if names[False]:
        listing.notices.append(
            f"{where} holds {len(names[False]):,} file(s) that are not PNG, JPEG or WebP images, "
            f"{names[False][0]} for one: they are not used"
        )


def _file(entry: os.DirEntry[str], id_: str, where: str, listing: Listing) -> ImageFile | None:
    path = Path(entry.path)
    name = path.relative_to(listing.folder).as_posix()
    where = f"{name} ({where})" if where else name
    if not _stays_inside(path, listing, where, entry.is_symlink()):
        return None
    try:
        status = entry.stat()
    except OSError as error:
        listing.problems.add("file", where, *cannot_be_read(error, "Put the image itself there"))
        return None
    if not stat.S_ISREG(status.st_mode):
        listing.problems.add("file", where, "is a folder or a device, not a file", "Put the image itself there")
        return None
    if status.st_size == 0:
        listing.problems.add("empty file", where, "the file is empty (0 bytes)", "Copy or download it again")
        return None
    return ImageFile(path, name, id_, status.st_size, status.st_mtime_ns, where)


def _stays_inside(path: Path, listing: Listing, where: str = "", is_link: bool | None = None) -> bool:
    """Whether `path` is no symbolic link out of the folder: data must not pull in files from elsewhere."""
    if not (path.is_symlink() if is_link is None else is_link):
        return True
    if Path(os.path.realpath(path)).is_relative_to(os.path.realpath(listing.folder)):
        return True
    where = where or path.relative_to(listing.folder).as_posix()
    listing.problems.add(
        "link",
        where,
        f"is a symbolic link that leaves the folder, to {os.readlink(path)}",
        "Copy what it points to into the folder",
    )
    return False


def _set_validation_aside(listing: Listing) -> None:
    """Without validation images: take a stratified tenth of the training images, chosen by ids alone."""
    train = listing.parts["train"]
    if train.labels is None or not listing.class_names:
        return
    counts = np.bincount(train.labels[train.labels >= 0], minlength=len(listing.class_names))
    for name, count in zip(listing.class_names, counts, strict=True):
        if count == 1:
            listing.problems.add(
                "too few",
                f"class {shown(name)}",
                "has 1 training image, and there is no validation split",
                "Add images, or a validation split: without one, a tenth of each class is set aside",
            )
    if listing.problems or counts.min() < 2:
        return
    ids = np.array([file.id for file in train.files])
    pixels = np.empty((len(ids), 0, 0, 1), np.uint8)
    _, aside = held_out_split(ImageSet(pixels, train.labels, ids, listing.class_names))
    chosen = np.isin(ids, aside.ids)
    for split, rows in (("validation", np.flatnonzero(chosen)), ("train", np.flatnonzero(~chosen))):
        listing.parts[split] = Part([train.files[i] for i in rows], train.labels[rows])
    listing.parts = {split: listing.parts[split] for split in SPLITS if split in listing.parts}
    listing.notices.append(
        f"there is no validation split: a tenth of the training images ({chosen.sum():,}, drawn by "
        "their ids, evenly from all classes) is used as one"
    )
