"""Decoded pixels kept on the disk, so that a folder of images is decoded once."""

import hashlib
import json
import os
import re
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import PIL

from dfclib.datasets.folder.image_files import ImageFile
from dfclib.errors import UserError
from dfclib.files import write_atomically

CACHE_VERSION = 2  # raise when the same files would give other pixels


@dataclass
class Pixels:
    """Decoded images of each split.

    images: uint8 (m, h, w, 1 or 3); rows: int64 (m,), which of the split's files they are
    sizes, modes: how often each (height, width), each of Pillow's modes was met
    """

    images: dict[str, np.ndarray] = field(default_factory=dict)
    rows: dict[str, np.ndarray] = field(default_factory=dict)
    sizes: dict[str, Counter] = field(default_factory=dict)
    modes: dict[str, Counter] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)


def cache_file(data_folder: Path, parts: Mapping[str, Sequence[ImageFile]], image_size: tuple[int, int] | None) -> Path:
    """Where pixels are kept: in data_folder/.dfclib-cache, else (read-only data) in ~/.cache or /tmp.

    The file is named by the image size and a hash over names, byte counts and times of all image files.
    """
    size = "native" if image_size is None else f"{image_size[1]}x{image_size[0]}"
    digest = hashlib.sha256(f"{CACHE_VERSION} {PIL.__version__} {size}".encode())
    for split, files in parts.items():
        digest.update(f"\0\0{split}".encode())
        for file in files:
            digest.update(f"\0{file.name}\0{file.size}\0{file.mtime_ns}".encode("utf-8", "surrogateescape"))
    data_folder = data_folder.resolve()
    own = f"{slug(data_folder.name)}-{hashlib.sha256(str(data_folder).encode()).hexdigest()[:8]}"
    places = [data_folder / ".dfclib-cache", Path(tempfile.gettempdir()) / "dfclib-cache" / own]
    with suppress(RuntimeError):  # no home directory
        places.insert(1, Path.home() / ".cache" / "dfclib" / own)
    for place in places:
        with suppress(OSError):
            place.mkdir(parents=True, exist_ok=True)
            if os.access(place, os.W_OK):
                break
    return place / f"{size}-{digest.hexdigest()[:16]}.npz"


def load_pixels(path: Path, fits: Callable[[int], bool]) -> Pixels | None:
    """The pixels kept in `path`; None where there are none or damaged ones; no images where their bytes do not fit."""
    try:
        with np.load(path) as stored:
            about = json.loads(str(stored["about"]))
            pixels = Pixels(notices=about["notices"])
            for split, part in about["splits"].items():
                pixels.sizes[split] = Counter({(height, width): count for height, width, count in part["sizes"]})
                pixels.modes[split] = Counter(part["modes"])
            if fits(about["bytes"]):
                pixels.images = {split: stored[split] for split in about["splits"]}
                pixels.rows = {split: np.arange(len(images)) for split, images in pixels.images.items()}
            return pixels
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile):
        return None


def store_pixels(path: Path, pixels: Pixels) -> None:
    """Keep pixels in `path`, in place of what its folder holds for this image size; a notice where that fails."""
    splits = {
        split: {"sizes": [(*size, count) for size, count in pixels.sizes[split].items()], "modes": pixels.modes[split]}
        for split in pixels.images
    }
    needed = sum(images.nbytes for images in pixels.images.values())
    about = json.dumps({"notices": pixels.notices, "bytes": needed, "splits": splits})
    try:
        for other in path.parent.iterdir():
            left_over = other.suffix == ".tmp" and other.stat().st_mtime < time.time() - 3600  # by a killed process
            if left_over or other.name.split("-")[0] == path.name.split("-")[0]:
                other.unlink(missing_ok=True)
        write_atomically(path, lambda file: np.savez(file, about=about, **pixels.images))
    except (UserError, OSError) as error:
        pixels.notices.append(f"decoded images could not be kept for the next time: {error}")


def slug(text: str) -> str:
    """Lower-case letters, digits and dashes only, at most forty: what a run's name may hold."""
    return re.sub("[^a-z0-9]+", "-", text.lower())[:40].strip("-") or "data"
