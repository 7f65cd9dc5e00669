"""Image files: which names are images, which are splits, and whether an entry of a folder may be opened."""

import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

from dfclib.datasets.folder.problems import COPY_AGAIN, Problems, cannot_be_read

SPLIT_NAMES = {  # in any case: a folder's name, or a CSV file's without extension
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing"),
}
SPLITS = tuple(SPLIT_NAMES)
EXTENSIONS = (".png", ".jpg", ".jpeg", ".webp")
OTHER_IMAGES = (".gif", ".bmp", ".tif", ".tiff", ".heic", ".heif", ".avif")  # images, but we do not read them


@dataclass(frozen=True)
class ImageFile:
    """An image that a row or a class folder names.

    name: path below the data folder; size: bytes; where: how a message names it, with the row
    """

    path: Path
    name: str
    id: str
    size: int
    mtime_ns: int
    where: str


def is_shown(name: str) -> bool:
    """Whether a name is neither hidden nor what macOS leaves in archives."""
    return not name.startswith(".") and name != "__MACOSX"


def is_image(name: str) -> bool:
    return is_shown(name) and os.path.splitext(name)[1].lower() in EXTENSIONS


def is_other_image(name: str) -> bool:
    return is_shown(name) and os.path.splitext(name)[1].lower() in OTHER_IMAGES


def named_splits(names: list[str]) -> dict[str, list[str]]:
    """Those of `names` that a split may have, by split, its own name first: {"validation": ["val"]}."""
    of_split = {split: [name for name in names if name.lower() in known] for split, known in SPLIT_NAMES.items()}
    return {split: sorted(found, key=lambda name: name != split) for split, found in of_split.items() if found}


def image_file(path: Path, id_: str, problems: Problems, root: Path | None = None, row: str = "") -> ImageFile | None:
    """The image at `path`, or None after adding the reason to `problems`.

    root: the data folder, which no link may leave; row: where a CSV file names the image ("train.csv line 5"), or ""
    """
    name = str(path) if root is None else path.relative_to(root).as_posix()
    where = f"{name} ({row})" if row else name
    if root is not None and not stays_inside(path, root, problems, where):
        return None
    try:
        status = path.stat()
    except OSError as error:
        problems.add("file", where, *cannot_be_read(error))
        return None
    if not stat.S_ISREG(status.st_mode):
        problems.add("file", where, "is a folder or a device, not a file", "Put the image itself there")
    elif status.st_size == 0:
        problems.add("empty file", where, "the file is empty (0 bytes)", COPY_AGAIN)
    elif re.search(r"[\x00-\x1f\x7f\ud800-\udfff]", name):  # which no table of labels could hold
        problems.add("name", ascii(name), "its name holds control characters or is no UTF-8 text", "Rename it")
    else:
        return ImageFile(path, name, id_, status.st_size, status.st_mtime_ns, where)
    return None


def stays_inside(path: Path, root: Path, problems: Problems, where: str = "") -> bool:
    """Whether `path` is no symbolic link out of the folder `root`: data must not pull in files from elsewhere."""
    if not path.is_symlink() or Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root)):
        return True
    reason = f"is a symbolic link that leaves the folder, to {os.readlink(path)}"
    problems.add("link", where or path.relative_to(root).as_posix(), reason, "Copy what it points to into the folder")
    return False
