"""From image files to arrays of pixels: headers first, then all pixels, in parallel."""

import contextlib
import math
import os
import re
import warnings
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image

from dfclib.datasets.folder.cache import Cache, Pixels
from dfclib.datasets.folder.image_files import ImageFile
from dfclib.datasets.folder.problems import COPY_AGAIN, Problems, cannot_be_read

LARGEST_PIXELS = 2**27  # 134 million: more than most cameras have, too few for a small file to unpack to gigabytes
LARGEST_SIDE = 4096  # a JPEG image with a longer one that is to be resized is decoded at a half, a quarter or an eighth
BYTES_PER_PIXEL = 8  # while an image is decoded: Pillow's four, and as many for the converted copy
WORKERS = min(32, os.cpu_count() or 1)
FORMATS = ("PNG", "JPEG", "WEBP")
IMAGE_SIZE = "--image-size HEIGHT WIDTH, IMAGE_SIZE of make, or image_size=(height, width) in Python"
_GREY_MODES = {"1", "L", "LA", "I", "I;16", "I;16B", "I;16L"}
_TURNS = {  # EXIF's orientation: what puts the image upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class Header:
    """The facts in an image's first bytes.

    height, width: as it is looked at, turned as EXIF says; mode: Pillow's; grey: no colour possible; alpha: see-through
    """

    height: int
    width: int
    mode: str
    grey: bool
    alpha: bool


def read_pixels(
    parts: Mapping[str, Sequence[ImageFile]],
    problems: Problems,
    *,
    image_size: tuple[int, int] | None = None,
    channels: int | None = None,
    any_size: bool = False,
    cache: Cache | None = None,
) -> Pixels:
    """Decode the image files of all splits, in parallel, with bars on standard error.

    Files that cannot be used are added to `problems`, all of them, and left out. Nothing is decoded when the memory
    does not suffice, which is a problem as well.

    Args:
        image_size: Height and width of all images; None: the one size that all share.
        channels: 1 or 3, for a network that takes nothing else, and then without a cache; None: 1 where all images but
            the test images are grey.
        any_size: Bring mixed sizes to the commonest one: else they are a problem, where no image_size is given.
    """
    key = cache.key(parts, image_size) if cache else ""
    if cache and (stored := cache.load(key, parts, lambda needed: _fits(needed, problems))):
        return stored
    before = len(problems)
    headers = {split: _read_headers(files, problems, split) for split, files in parts.items()}
    pixels = Pixels()
    for split, found in headers.items():
        _count(pixels, split, found.values())
    target = image_size or _common_size(sum(pixels.sizes.values(), Counter()), problems, any_size)
    everything = [header for found in headers.values() for header in found.values()]
    if not everything:
        return pixels
    # test images have no say: with and without them the training images are the same arrays
    decisive = [header for split, found in headers.items() if split != "test" for header in found.values()]
    channels = _choose_channels(everything, decisive or everything, channels, pixels.notices)
    # without a size to agree on all are decoded all the same, to find every broken file
    shape = (*(target or (1, 1)), channels)
    largest = sorted(header.height * header.width for header in everything)[-WORKERS:]
    if not _fits(len(everything) * math.prod(shape) + BYTES_PER_PIXEL * sum(largest), problems):
        return pixels
    for split, files in parts.items():
        images, rows = _decode(files, headers[split], shape, split, problems)
        pixels.images[split], pixels.rows[split] = images, rows
        _count(pixels, split, [headers[split][row] for row in rows])
    if target is None:
        pixels.images, pixels.rows = {}, {}
    elif cache and len(problems) == before and not (any_size and len(sum(pixels.sizes.values(), Counter())) > 1):
        cache.store(key, pixels)
    return pixels


def read_header(path: Path) -> Header:
    """Open an image without decoding it. Raises Pillow's and the system's errors."""
    with Image.open(path, formats=FORMATS) as image:
        alpha = image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info
        grey = image.mode in _GREY_MODES
        if image.mode == "P" and image.palette is not None:
            palette = np.array(image.getpalette("RGB")).reshape(-1, 3)
            grey = bool((palette == palette[:, :1]).all())
        height, width = (image.width, image.height) if _orientation(image) >= 5 else (image.height, image.width)
        return Header(height, width, image.mode, grey, alpha)


def decode_image(path: Path, channels: int, size: tuple[int, int] | None = None) -> np.ndarray:
    """Decode one image: uint8 (h, w, channels), turned as EXIF says and resized to `size`, (height, width).

    Transparency is dropped, not blended; 16-bit grey is scaled by 255/65535. Raises Pillow's errors.
    """
    with Image.open(path, formats=FORMATS) as opened:
        turn = _TURNS.get(_orientation(opened))
        if size is not None and max(opened.size) > LARGEST_SIDE:
            side = 2 * max(size)  # twice what is asked for, so that resizing still has something to average
            opened.draft(None, (side, side))
        opened.load()
        image = opened
        if image.mode.startswith("I"):
            deep = np.asarray(image).astype(np.int64).clip(0, 65535)
            image = Image.fromarray(((deep + 128) // 257).astype(np.uint8))
        elif image.mode == "P":
            image = image.convert("RGBA")  # straight to RGB, Pillow warns of palettes with transparency
        if image.mode not in _GREY_MODES:
            image = image.convert("RGB")  # drops transparency, and Pillow knows no CMYK to grey
        image = image.convert("L" if channels == 1 else "RGB")
        if turn is not None:
            image = image.transpose(turn)
        if size is not None and (image.height, image.width) != tuple(size):
            image = image.resize((size[1], size[0]), Image.Resampling.BICUBIC)
        return np.asarray(image, np.uint8).reshape(image.height, image.width, channels)


def _orientation(image: Image.Image) -> int:
    """EXIF's orientation of an opened image, 1 (upright) to 8; 1 where there is none or where EXIF is damaged."""
    with contextlib.suppress(Exception):  # on damaged EXIF Pillow raises nearly everything
        # not PNG's own getexif, which decodes the whole image to see whether EXIF follows it
        found = Image.Image.getexif(image).get(ExifTags.Base.Orientation, 1)
        return found if found in _TURNS else 1
    return 1


def available_bytes() -> int | None:
    """Memory that a process may still take, or None where the system does not say."""
    with contextlib.suppress(OSError):
        if found := re.search(r"^MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE):
            return int(found[1]) * 1024
    with contextlib.suppress(OSError, ValueError, AttributeError):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return None


def sizes_text(sizes: Counter) -> str:
    """Sizes {(height, width): count} as "128x96 (12,500), 64x64 (3)", width first as image tools do."""
    listed = [f"{width}x{height} ({count:,})" for (height, width), count in sizes.most_common(6)]
    return ", ".join(listed) + (f" and {len(sizes) - 6} more" if len(sizes) > 6 else "")


def _read_headers(files: Sequence[ImageFile], problems: Problems, split: str) -> dict[int, Header]:
    """The headers of the files that can be used, by their places in `files`."""
    headers: dict[int, Header] = {}
    found = _in_parallel(lambda file: read_header(file.path), files, f"{split}: headers")
    for row, (file, header) in enumerate(zip(files, found, strict=True)):
        size = 0
        if isinstance(header, Header):
            size = header.height * header.width
        elif isinstance(header, Image.DecompressionBombError):
            size = int(re.sub(r"\D*(\d+) pixels.*", r"\1", str(header)))
        elif isinstance(header, OSError) and header.errno is not None:  # the system's; Pillow's own have no number
            problems.add("unreadable", file.where, *cannot_be_read(header))
        else:
            what = f"is not a PNG, JPEG or WebP image ({_reason(header)})"
            problems.add("not an image", file.where, what, "Copy or download it again, convert it, or leave it out")
        if 0 < size <= LARGEST_PIXELS:
            headers[row] = header
        elif size:
            what = f"is too large ({size / 1e6:,.0f} million pixels); the limit is {LARGEST_PIXELS / 1e6:,.0f} million"
            what += ", because a small file may unpack to gigabytes"
            problems.add("too large", file.where, what, "Reduce the image, or leave it out")
    return headers


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = re.sub(r" '.*'| <.*>", "", str(error)).strip()
    return text or type(error).__name__


def _count(pixels: Pixels, split: str, headers: Collection[Header]) -> None:
    pixels.sizes[split] = Counter((header.height, header.width) for header in headers)
    pixels.modes[split] = Counter(header.mode for header in headers)


def _common_size(sizes: Counter, problems: Problems, any_size: bool) -> tuple[int, int] | None:
    if len(sizes) > 1 and not any_size:
        what = f"there are {len(sizes)} sizes (width x height): {sizes_text(sizes)}"
        problems.add("sizes", "images", what, f"Give an image size: {IMAGE_SIZE}")
        return None
    return min(sizes, key=lambda size: (-sizes[size], size), default=None)


def _choose_channels(everything: list[Header], decisive: list[Header], channels: int | None, notices: list[str]) -> int:
    """1 or 3: `channels` where it is given. Notes in `notices` what is lost: transparency, depth, colour."""
    coloured = sum(not header.grey for header in everything)
    if transparent := sum(header.alpha for header in everything):
        notices.append(f"{transparent:,} image(s) have transparency: it is dropped, the colours beneath are kept")
    if deep := sum(header.mode.startswith("I") for header in everything):
        notices.append(f"{deep:,} image(s) have 16 bits per pixel: they are scaled to 8")
    if channels == 1 and coloured:
        notices.append(f"{coloured:,} image(s) are in colour: they are read as grey")
    if channels is None:
        channels = 1 if all(header.grey for header in decisive) else 3
        if channels == 1 and coloured:
            notices.append(f"{coloured:,} test image(s) are in colour, all others are not: they are read as grey")
    return channels


def _fits(needed: int, problems: Problems) -> bool:
    limit = available_bytes()
    if limit is None or needed <= limit:
        return True
    what = f"decoded they take {needed / 1e9:.3g} GB, and {limit / 1e9:.3g} GB are available"
    problems.add("memory", "images", what, f"Give a smaller image size ({IMAGE_SIZE}), or use fewer images")
    return False


def _decode(
    files: Sequence[ImageFile], headers: dict[int, Header], shape: tuple[int, int, int], split: str, problems: Problems
) -> tuple[np.ndarray, np.ndarray]:
    """Decode the files that have a header, to `shape`: the images, and their places in `files`."""
    rows = np.array(list(headers), np.int64)
    images = np.empty((len(rows), *shape), np.uint8)

    def decode(i: int) -> None:
        images[i] = decode_image(files[rows[i]].path, shape[2], shape[:2])

    errors = _in_parallel(decode, range(len(rows)), f"{split}: decoding")
    for row, error in zip(rows, errors, strict=True):
        if error is not None:
            problems.add("broken image", files[row].where, f"cannot be decoded ({_reason(error)})", COPY_AGAIN)
    whole = np.array([error is None for error in errors], bool)
    return images if whole.all() else images[whole], rows[whole]


def _in_parallel(work: Callable[[Any], Any], items: Sequence[Any], title: str) -> list[Any]:
    """[work(item), ...] in threads (Pillow decodes outside Python's lock), with the exception where one was raised."""
    from tqdm import tqdm

    def attempt(item: Any) -> Any:
        try:
            return work(item)
        except MemoryError:
            raise
        except Exception as error:  # on broken files Pillow raises nearly everything: OSError to IndexError
            return error.with_traceback(None)  # which would keep the image in memory

    with warnings.catch_warnings(), ThreadPoolExecutor(WORKERS) as pool:
        warnings.simplefilter("ignore")  # Pillow's about large images: we have a limit of our own
        results = pool.map(attempt, items)
        bar = tqdm(results, total=len(items), desc=title, unit="image", leave=False)
        with contextlib.closing(results):  # Ctrl-C ends now, not after the last image
            return list(bar)
