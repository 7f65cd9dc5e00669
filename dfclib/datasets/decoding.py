"""From image files to arrays of pixels: headers first, then all pixels, in parallel."""

import os
import re
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from dfclib.datasets.cache import Cache, Pixels
from dfclib.datasets.listing import ImageFile
from dfclib.datasets.problems import Problems
from dfclib.errors import UserError

LARGEST_SIDE = 4096  # pixels; also what keeps a small file that unpacks to gigabytes from being decoded
FORMATS = ("PNG", "JPEG", "WEBP")
CHUNK = 32  # images a task: fewer tasks than images, and still a bar that moves
_GREY_MODES = {"1", "L", "LA", "I", "I;16", "I;16B", "I;16L"}


@dataclass(frozen=True)
class Header:
    """What an image's first bytes say. mode: Pillow's; grey: no colour possible; alpha: has transparency."""

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
    any_size: bool = False,
    cache: Cache | None = None,
    progress: bool = True,
    max_gigabytes: float | None = None,
) -> Pixels:
    """Decode every file of every split, to image_size (height, width) or else to the one size that all share.

    Files that cannot be used are added to `problems`, all of them, and left out. Mixed sizes without an image
    size are a problem too, unless any_size: then all are brought to the commonest size. Nothing is decoded
    when the memory does not suffice (what is available, or max_gigabytes), which is a problem as well.
    """
    key = cache.key(parts, image_size) if cache else ""
    if cache and (stored := cache.load(key, parts, lambda needed: _fits(needed, problems, max_gigabytes))):
        return stored
    before = len(problems)
    pixels = Pixels()
    headers = {split: _read_headers(files, problems, split, progress) for split, files in parts.items()}
    for split, found in headers.items():
        pixels.sizes[split] = Counter((header.height, header.width) for header in found.values())
        pixels.modes[split] = Counter(header.mode for header in found.values())
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
    channels = 1 if all(header.grey for header in decisive or everything) else 3
    coloured = sum(not header.grey for header in everything)
    if channels == 1 and coloured:
        pixels.notices.append(f"{coloured:,} test image(s) are in colour, all others are not: they are read as grey")
    scratch = target is None  # no size to agree on: decode all the same, to find every broken file
    height, width = target or (1, 1)
    needed = sum(len(found) for found in headers.values()) * height * width * channels
    needed += (os.cpu_count() or 1) * max(header.height * header.width * 4 for header in everything)
    if not _fits(needed, problems, max_gigabytes):
        return pixels
    for split, files in parts.items():
        rows = np.array(sorted(headers[split]), np.int64)
        try:
            images = np.empty((len(rows), height, width, channels), np.uint8)
            broken = _decode([files[row] for row in rows], images, split, progress)
        except MemoryError as error:
            raise UserError(f"out of memory while decoding {split}: give a smaller image size") from error
        for i, reason in sorted(broken.items()):
            problems.add(
                "broken image",
                files[rows[i]].where,
                f"cannot be decoded ({reason})",
                "Copy or download it again, or remove its row",
            )
        whole = np.array([i not in broken for i in range(len(rows))], bool)
        pixels.images[split], pixels.rows[split] = (images, rows) if whole.all() else (images[whole], rows[whole])
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
        return Header(image.height, image.width, image.mode, grey, alpha)


def decode_image(path: Path, channels: int, size: tuple[int, int] | None = None) -> np.ndarray:
    """Decode one image: uint8 (h, w, channels), resized to (height, width) where `size` is given and differs.

    Transparency is dropped, not blended; 16-bit grey is scaled by 255/65535. Raises Pillow's errors.
    """
    with Image.open(path, formats=FORMATS) as opened:
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
        if size is not None and (image.height, image.width) != tuple(size):
            image = image.resize((size[1], size[0]), Image.Resampling.BICUBIC)
        return np.asarray(image, np.uint8).reshape(image.height, image.width, channels)


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
        if isinstance(error, Image.DecompressionBombError):
            _too_large(files[i], str(error), problems)
        else:
            problems.add(
                "not an image",
                files[i].where,
                f"is not a PNG, JPEG or WebP image ({_reason(error)})",
                "Copy or download it again, convert it, or remove its row",
            )
    for i, header in sorted(headers.items()):
        if max(header.height, header.width) > LARGEST_SIDE:
            _too_large(files[i], f"{header.width} x {header.height} pixels", problems)
            del headers[i]
    return headers


def _too_large(file: ImageFile, what: str, problems: Problems) -> None:
    problems.add(
        "too large",
        file.where,
        f"is too large ({what}); the limit is {LARGEST_SIDE} pixels a side",
        "Reduce the image, or remove its row",
    )


def _reason(error: Exception) -> str:
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
            "Give an image size (image_size=(height, width), or a recipe that has one)",
        )
        return None
    return min(total, key=lambda size: (-total[size], size))


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
        "Give a smaller image size (image_size=(height, width)), or use fewer images",
    )
    return False


def _decode(files: Sequence[ImageFile], images: np.ndarray, split: str, progress: bool) -> dict[int, str]:
    """Fill `images`; returns the reason for each file that cannot be decoded."""

    def decode(i: int) -> None:
        images[i] = decode_image(files[i].path, images.shape[3], images.shape[1:3])

    failures = _in_parallel(decode, len(files), f"{split}: decoding", progress)
    return {i: _reason(error) for i, error in failures.items()}


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
    with bar, warnings.catch_warnings(), ThreadPoolExecutor(min(32, os.cpu_count() or 1)) as pool:
        warnings.simplefilter("ignore")  # Pillow's about large images: our limit is lower
        try:
            for done in as_completed([pool.submit(run, start) for start in range(0, count, CHUNK)]):
                bar.update(done.result())
        except BaseException:
            pool.shutdown(cancel_futures=True)  # Ctrl-C ends now, not after the last image
            raise
    return failures
