"""Decoded pixels kept on the disk, so that a folder of images is decoded once."""

import hashlib
import json
import math
import os
import re
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import PIL

from dfclib.datasets.folder.image_files import ImageFile
from dfclib.errors import UserError
from dfclib.files import write_atomically, write_json

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


@dataclass(frozen=True)
class Cache:
    """Decoded pixels on the disk: a .npy per split and a .json that is written last, so what it names is whole.

    Files are named by the image size and a key over names, byte counts and times of all image files; where one of these
    changes, the old files are removed when the new ones are written. A cache that cannot be written is no error.
    """

    folder: Path

    @classmethod
    def beside(cls, data_folder: Path) -> "Cache":
        """In data_folder/.dfclib-cache, else (read-only data) in ~/.cache or /tmp."""
        data_folder = data_folder.resolve()
        own = f"{slug(data_folder.name)}-{hashlib.sha256(str(data_folder).encode()).hexdigest()[:8]}"
        places = [data_folder / ".dfclib-cache", Path(tempfile.gettempdir()) / "dfclib-cache" / own]
        with suppress(RuntimeError):  # no home directory
            places.insert(1, Path.home() / ".cache" / "dfclib" / own)
        for place in places:
            with suppress(OSError):
                place.mkdir(parents=True, exist_ok=True)
                if os.access(place, os.W_OK):
                    return cls(place)
        return cls(places[0])

    def key(self, parts: Mapping[str, Sequence[ImageFile]], image_size: tuple[int, int] | None) -> str:
        size = "native" if image_size is None else f"{image_size[1]}x{image_size[0]}"
        digest = hashlib.sha256(f"{CACHE_VERSION} {PIL.__version__} {size}".encode())
        for split, files in parts.items():
            digest.update(f"\0\0{split}".encode())
            for file in files:
                digest.update(f"\0{file.name}\0{file.size}\0{file.mtime_ns}".encode("utf-8", "surrogateescape"))
        return f"{size}-{digest.hexdigest()[:16]}"

    def load(self, key: str, parts: Mapping[str, Sequence[ImageFile]], fits: Callable[[int], bool]) -> Pixels | None:
        """The pixels stored under `key`; None where there are none or damaged ones; no images where they do not fit."""
        try:
            stored = json.loads((self.folder / f"{key}.json").read_text(encoding="utf-8"))
            pixels = Pixels(notices=list(stored["notices"]))
            for split, part in stored["splits"].items():
                pixels.sizes[split] = Counter({(h, w): n for h, w, n in part["sizes"]})
                pixels.modes[split] = Counter(part["modes"])
            if not fits(sum(math.prod(part["shape"]) for part in stored["splits"].values())):
                return pixels
            for split, part in stored["splits"].items():
                images = np.load(self.folder / f"{key}-{split}.npy", allow_pickle=False)
                expected = (np.uint8, (len(parts[split]), *part["shape"][1:]), part["crc32"])
                if (images.dtype, images.shape, zlib.crc32(images.data)) != expected:
                    return None
                pixels.images[split], pixels.rows[split] = images, np.arange(len(images))
            return pixels
        except (OSError, ValueError, KeyError, TypeError, EOFError):
            return None

    def store(self, key: str, pixels: Pixels) -> None:
        try:
            self._remove_stale(key)
            for split, images in pixels.images.items():
                write_atomically(self.folder / f"{key}-{split}.npy", lambda file, array=images: np.save(file, array))
            splits = {
                split: {
                    "shape": images.shape,
                    "crc32": zlib.crc32(images.data),
                    "sizes": [(h, w, n) for (h, w), n in pixels.sizes[split].items()],
                    "modes": dict(pixels.modes[split]),
                }
                for split, images in pixels.images.items()
            }
            write_json(self.folder / f"{key}.json", {"notices": pixels.notices, "splits": splits})
        except (UserError, OSError) as error:
            pixels.notices.append(f"decoded images could not be kept for the next time: {error}")

    def _remove_stale(self, key: str) -> None:
        """Remove what is stored for this image size under other keys, and what killed processes left."""
        of_this_size = re.compile(rf"{key.split('-')[0]}-[0-9a-f]{{16}}(-\w+\.npy|\.json)")
        for path in self.folder.iterdir():
            with suppress(OSError):
                other = of_this_size.fullmatch(path.name) and not path.name.startswith(key)
                unfinished = path.name.startswith(".") and path.suffix == ".tmp"
                if other or (unfinished and path.stat().st_mtime < time.time() - 3600):
                    path.unlink()


def slug(text: str) -> str:
    """Lower-case letters, digits and dashes only, at most forty: what a run's name may hold."""
    return re.sub("[^a-z0-9]+", "-", text.lower())[:40].strip("-") or "data"
