"""From image files to arrays of pixels: headers first, then all pixels, in parallel."""

import heapq
import os
import re
import warnings
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image

from dfclib.datasets.folder.cache import Cache, Pixels
from dfclib.datasets.folder.listing import ImageFile
from dfclib.datasets.folder.problems import Problems, cannot_be_read
from dfclib.errors import UserError

LARGEST_PIXELS = 2**27  # 134 million: more than most cameras have, too few for a small file to unpack to gigabytes
LARGEST_SIDE = 4096  # a JPEG image with a longer one that is to be resized is decoded at a half, a quarter or an eighth
BYTES_A_PIXEL = 8  # while an image is decoded: Pillow's four, and as many for the converted copy
FORMATS = ("PNG", "JPEG", "WEBP")
IMAGE_SIZE = "--image-size HEIGHT WIDTH, IMAGE_SIZE of make, or image_size=(height, width) in Python"
CHUNK = 32  # images a task: fewer tasks than images, and still a bar that moves
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
    """What an image's first bytes say. height, width: as it is looked at, turned as EXIF says; mode: Pillow's;
    grey: no colour possible; alpha: has transparency.
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
    progress: bool = True,
    max_gigabytes: float | None = None,
) -> Pixels:
    """Decode every file of every split, to image_size (height, width) or else to the one size that all share.

    Files that cannot be used are added to `problems`, all of them, and left out. Mixed sizes without an image
    size are a problem too, unless any_size: then all are brought to the commonest size. Nothing is decoded
    when the memory does not suffice (what is available, or max_gigabytes), which is a problem as well.
    channels: 1 or 3, for a network that takes nothing else; None: 1 where all images are grey. Not for a cache.
    """
    key = cache.key(parts, image_size) if cache else ""
    if cache and (stored := cache.load(key, parts, lambda needed: _fits(needed, problems, max_gigabytes))):
        return stored
    before = len(problems)
    pixels = Pixels()
    headers = {split: _read_headers(files, problems, split, progress) for split, files in parts.items()}
    for split, found in headers.items():
        _count(pixels, split, found.values())
    everything = [header for found in headers.values() for header in found.values()]
    target = image_size or _common_size(pixels.sizes, problems, any_size)
    transparent = sum(header.alpha for header in everything)
    if transparent:
        pixels.notices.append(
            f"{transparent:,} image(s) have transparency: it is dropped, the colours beneath are kept"
        )
    deep = sum(header.mode.startswith("I") for header in everything)
    if deep:
        pixels.notices.append(f"{deep:,} image(s) have 16 bits a pixel: they are scaled to 8")
    if not everything:
        return pixels
    # Test images have no say: with and without them the training images are the same arrays.
    decisive = [header for split in parts if split != "test" for header in headers[split].values()]
    coloured = sum(not header.grey for header in everything)
    if channels == 1 and coloured:
        pixels.notices.append(f"{coloured:,} image(s) are in colour: they are read as grey")
    if channels is None:
        channels = 1 if all(header.grey for header in decisive or everything) else 3
        if channels == 1 and coloured:
            what = f"{coloured:,} test image(s) are in colour, all others are not: they are read as grey"
            pixels.notices.append(what)
    scratch = target is None  # no size to agree on: decode all the same, to find every broken file
    height, width = target or (1, 1)
    needed = sum(len(found) for found in headers.values()) * height * width * channels
    largest = heapq.nlargest(_workers(), (header.height * header.width for header in everything))
    needed += BYTES_A_PIXEL * sum(largest)
    if not _fits(needed, problems, max_gigabytes):
        return pixels
    for split, files in parts.items():
        rows = np.array(sorted(headers[split]), np.int64)
        try:
            images = np.empty((len(rows), height, width, channels), np.uint8)
            broken = _decode([files[row] for row in rows], images, split, progress)
        except MemoryError as error:
            raise UserError(
                f"out of memory while decoding {split}: give a smaller image size ({IMAGE_SIZE})"
            ) from error
        for i, reason in sorted(broken.items()):
            problems.add(
                "broken image",
                files[rows[i]].where,
                f"cannot be decoded ({reason})",
                "Copy or download it again, or leave it out",
            )
        whole = np.array([i not in broken for i in range(len(rows))], bool)
        pixels.images[split], pixels.rows[split] = (images, rows) if whole.all() else (images[whole], rows[whole])
        _count(pixels, split, [headers[split][row] for row in rows[whole]])
    if scratch:
        pixels.images, pixels.rows = {}, {}
    elif cache and len(problems) == before and not (any_size and _mixed(pixels)):
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
    """Decode one image: uint8 (h, w, channels), resized to (height, width) where `size` is given and differs.

    Turned as EXIF says. Transparency is dropped, not blended; 16-bit grey is scaled by 255/65535. Raises
    Pillow's errors.
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
    with suppress(Exception):  # on damaged EXIF Pillow raises nearly everything
        # not PNG's own getexif, which decodes the whole image to see whether EXIF follows it
        found = Image.Image.getexif(image).get(ExifTags.Base.Orientation, 1)
        return found if found in _TURNS else 1
    return 1


def available_bytes() -> int | None:
    """Memory that a process may still take, or None where the system does not say."""
    with suppress(OSError, ValueError):
        found = re.search(r"^MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE)
        if found:
            return int(found[1]) * 1024
    with suppress(OSError, ValueError, AttributeError):
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with suppress(OSError, ValueError, AttributeError):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return None


def _read_headers(files: Sequence[ImageFile], problems: Problems, split: str, progress: bool) -> dict[int, Header]:
    headers: dict[int, Header] = {}

    def read(i: int) -> None:
        headers[i] = read_header(files[i].path)

    failures = _in_parallel(read, len(files), f"{split}: headers", progress)
    for i, error in sorted(failures.items()):
        file = files[i]
        if isinstance(error, Image.DecompressionBombError):
            _too_large(file, int(re.sub(r"\D*(\d+) pixels.*", r"\1", str(error))), problems)
        elif isinstance(error, OSError) and error.errno is not None:  # the system's; Pillow's own have no number
            problems.add("unreadable", file.where, *cannot_be_read(error))
        else:
            problems.add(
                "not an image",
                file.where,
                f"is not a PNG, JPEG or WebP image ({_reason(error)})",
                "Copy or download it again, convert it, or leave it out",
            )
    for i, header in sorted(headers.items()):
        if header.height * header.width > LARGEST_PIXELS:
            _too_large(files[i], header.height * header.width, problems)
            del headers[i]
    return headers


def _too_large(file: ImageFile, pixels: int, problems: Problems) -> None:
    problems.add(
        "too large",
        file.where,
        f"is too large ({pixels / 1e6:,.0f} million pixels); the limit is {LARGEST_PIXELS / 1e6:,.0f} million, "
        "because a small file may unpack to gigabytes",
        "Reduce the image, or leave it out",
    )


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = re.sub(r" '.*'| <.*>", "", str(error)).strip()
    return text or type(error).__name__


def _common_size(sizes: Mapping[str, Counter], problems: Problems, any_size: bool) -> tuple[int, int] | None:
    total: Counter = sum(sizes.values(), Counter())
    if not total:
        return None
    if len(total) > 1 and not any_size:
        problems.add(
            "sizes",
            "images",
            f"there are {len(total)} sizes (width x height): {sizes_text(total)}",
            f"Give an image size: {IMAGE_SIZE}",
        )
        return None
    return min(total, key=lambda size: (-total[size], size))


def _count(pixels: Pixels, split: str, headers: Collection[Header]) -> None:
    pixels.sizes[split] = Counter((header.height, header.width) for header in headers)
    pixels.modes[split] = Counter(header.mode for header in headers)


def _mixed(pixels: Pixels) -> bool:
    return len(sum(pixels.sizes.values(), Counter())) > 1


def sizes_text(sizes: Counter) -> str:
    """Sizes {(height, width): count} as "128x96 (12,500), 64x64 (3)", width first as image tools do."""
    listed = [f"{width}x{height} ({count:,})" for (height, width), count in sizes.most_common(6)]
    return ", ".join(listed) + (f" and {len(sizes) - 6} more" if len(sizes) > 6 else "")


def _fits(needed: int, problems: Problems, max_gigabytes: float | None) -> bool:
    limit = available_bytes() if max_gigabytes is None else max_gigabytes * 1e9
    if limit is None or needed <= limit:
        return True
    allowed = "are available" if max_gigabytes is None else "are allowed (max_gigabytes)"
    problems.add(
        "memory",
        "images",
        f"decoded they take {needed / 1e9:.3g} GB, and {limit / 1e9:.3g} GB {allowed}",
        f"Give a smaller image size ({IMAGE_SIZE}), or use fewer images",
    )
    return False


def _decode(files: Sequence[ImageFile], images: np.ndarray, split: str, progress: bool) -> dict[int, str]:
    """Fill `images`; returns the reason for each file that cannot be decoded."""

    def decode(i: int) -> None:
        images[i] = decode_image(files[i].path, images.shape[3], images.shape[1:3])

    failures = _in_parallel(decode, len(files), f"{split}: decoding", progress)
    return {i: _reason(error) for i, error in failures.items()}


def _workers() -> int:
    return min(32, os.cpu_count() or 1)


def _in_parallel(work: Callable[[int], None], count: int, title: str, progress: bool) -> dict[int, Exception]:
    """Call work(0..count-1) in threads (Pillow decodes outside Python's lock); returns what was raised."""
    from tqdm import tqdm

    failures: dict[int, Exception] = {}

    def run(start: int) -> int:
        chunk = range(start, min(start + CHUNK, count))
        for i in chunk:
            try:
                work(i)
            except MemoryError:
                raise
            except Exception as error:  # on broken files Pillow raises nearly everything: OSError to IndexError
                failures[i] = error
        return len(chunk)

    bar = tqdm(total=count, desc=title, unit="image", disable=not progress, leave=False)
    with bar, warnings.catch_warnings(), ThreadPoolExecutor(_workers()) as pool:
        warnings.simplefilter("ignore")  # Pillow's about large images: we have a limit of our own
        try:
            for done in as_completed([pool.submit(run, start) for start in range(0, count, CHUNK)]):
                bar.update(done.result())
        except BaseException:
            pool.shutdown(cancel_futures=True)  # Ctrl-C ends now, not after the last image
            raise
    return failures
