"""Fashion-MNIST: 70,000 grey pictures of clothes, 28x28 pixels, ten classes, from four verified files.

Source: Xiao, Rasul and Vollgraf, "Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning Algorithms",
arXiv 1708.07747; https://github.com/zalandoresearch/fashion-mnist, MIT licence.
"""

import contextlib
import gzip
import hashlib
import math
import os
import struct
import sys
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dfclib.datasets.images import ImageSet, Splits, held_out_split
from dfclib.errors import UserError

CLASS_NAMES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"
)  # fmt: skip
INSTALL = "sudo apt install dataset-fashion-mnist"
DEBIAN = Path("/usr/share/datasets/fashion-mnist")  # where Debian's package puts the files
KERAS_CACHE = Path(os.path.expanduser("~/.keras/datasets/fashion-mnist"))
ADDRESS = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"  # where Keras fetches them
GZIP = b"\x1f\x8b"


@dataclass(frozen=True)
class IdxFile:
    """One of the four files, in the IDX format: a magic number, the sizes, then one byte per value.

    name: without .gz; shape: (images, height, width), or (labels,)
    gz_md5: of the packed file, as the data set's authors publish it; sha256: unpacked, as Debian packs it anew
    """

    name: str
    shape: tuple[int, ...]
    gz_md5: str
    sha256: str

    @property
    def header(self) -> bytes:
        """The magic number (two zero bytes, 8 for unsigned bytes, the number of dimensions) and the sizes."""
        return struct.pack(f">{1 + len(self.shape)}I", 0x0800 + len(self.shape), *self.shape)

    @property
    def size(self) -> int:
        return len(self.header) + math.prod(self.shape)


FILES = (
    IdxFile("train-images-idx3-ubyte", (60_000, 28, 28), "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"),
    IdxFile("train-labels-idx1-ubyte", (60_000,), "25c81989df183df01b3e8a0aad5dffbe",
            "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"),
    IdxFile("t10k-images-idx3-ubyte", (10_000, 28, 28), "bef4ecab320f06d8554ea6380940ec79",
            "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"),
    IdxFile("t10k-labels-idx1-ubyte", (10_000,), "bb300cfdad3c16e7a12a480ee83cd310",
            "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"),
)  # fmt: skip


def load(folder: Path | str | None = None) -> Splits:
    """Fashion-MNIST: `Splits` named "fashion-mnist", images uint8 (n, 28, 28, 1), all three parts with labels.

    train: 54,000 images; validation: 6,000, the stratified tenth of the 60,000 training images that held_out_split sets
    aside, with their ids ("train-00001" is the first in the file); test: the 10,000 test images. Sizes and checksums
    are verified each time: accuracies compare on these images only.

    Args:
        folder: Holds the four files, packed (.gz) or not. None: Debian's package where it is installed, else Keras's
            cache in ~/.keras where it holds all four, else Keras's download.

    Raises:
        UserError: naming each file that is missing or wrong, or where the download fails.
    """
    if folder is not None:
        folder = Path(folder).expanduser()
        remedy = f"Copy what is named from {ADDRESS} again. Or name no folder, and use Debian's: {INSTALL}."
    elif DEBIAN.is_dir():
        folder, remedy = DEBIAN, f"Install it again: {INSTALL} --reinstall."
    else:
        cached = all((KERAS_CACHE / f"{file.name}.gz").exists() for file in FILES)
        folder = KERAS_CACHE if cached else _fetch()  # Keras need not be imported where its cache holds all four
        remedy = f"Remove {folder} and run the same command again: it fetches the files anew."
    arrays = _read_all(folder, remedy)
    train, validation = held_out_split(_image_set("train", *arrays[:2]))
    return Splits("fashion-mnist", train, validation, _image_set("test", *arrays[2:]))


def _image_set(prefix: str, images: np.ndarray, labels: np.ndarray) -> ImageSet:
    ids = np.array([f"{prefix}-{number:05d}" for number in range(1, len(images) + 1)])
    return ImageSet(images[..., None], labels.astype(np.int64), ids, CLASS_NAMES)


def _read_all(folder: Path, remedy: str) -> list[np.ndarray]:
    """The four files' values, uint8, in the order of FILES. Raises UserError with everything that is wrong."""
    if not folder.is_dir():
        reason = "is a file" if folder.exists() else "does not exist"
        names = ", ".join(file.name for file in FILES)
        raise UserError(f"{folder} {reason}: name the folder that holds Fashion-MNIST's files, {names} (or .gz).")
    arrays, problems = [], []
    for file in FILES:
        try:
            arrays.append(_read(folder, file))
        except UserError as error:
            problems.append(f"  {error}\n")
    if problems:
        raise UserError(f"{folder} does not hold Fashion-MNIST as published:\n{''.join(problems)}{remedy}")
    return arrays


def _read(folder: Path, file: IdxFile) -> np.ndarray:
    """The values of one file, uint8 of file.shape. Raises UserError that begins with the file's name."""
    path = folder / file.name
    if not path.exists() and not (path := folder / f"{file.name}.gz").exists():
        raise UserError(f"{path.name}: missing, and so is {file.name}.")
    try:
        with path.open("rb") as raw:
            packed = raw.read(len(GZIP)) == GZIP  # not by name: browsers unpack and keep the .gz
            raw.seek(0)
            with gzip.open(raw) if packed else contextlib.nullcontext(raw) as stream:
                content = stream.read(file.size + 1)  # one more than expected is enough to know
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(
            f"{path.name}: truncated or damaged, it cannot be unpacked ({error}); "
            f"expected {file.size:,} bytes unpacked, received a packed file of {path.stat().st_size:,}."
        ) from error
    except OSError as error:
        raise UserError(f"{path.name}: cannot be read ({error.strerror or error}).") from error
    checksum = hashlib.sha256(content).hexdigest()
    if checksum != file.sha256:
        raise UserError(f"{path.name}: {_difference(content, checksum, file)}")
    return np.frombuffer(content, np.uint8, offset=len(file.header)).reshape(file.shape)


def _difference(content: bytes, checksum: str, file: IdxFile) -> str:
    """How a wrong file's content, read one byte beyond the true size at most, differs from the true one."""
    if other := next((one.name for one in FILES if one != file and content.startswith(one.header)), None):
        return f"it begins as {other} does: are the two swapped?"
    if not content.startswith(file.header[:4]):
        received = f"0x{content[:4].hex()}" if content else "an empty file"
        return f"wrong magic number, expected 0x{file.header[:4].hex()}, received {received}."
    if len(content) != file.size:
        received = "more" if len(content) > file.size else f"{len(content):,}"
        return f"wrong size, expected {file.size:,} bytes unpacked, received {received}."
    return (
        f"wrong checksum, expected SHA-256 {file.sha256} unpacked, received {checksum}. "
        "The file was changed, or belongs to another data set (MNIST's digits have the same names and sizes)."
    )


def _fetch() -> Path:
    """Let Keras fetch what its cache lacks; return the cache."""
    print(f"fetching Fashion-MNIST (four files, 31 MB) from {ADDRESS}", file=sys.stderr)
    import keras

    for file in FILES:
        name, folder = f"{file.name}.gz", "datasets/fashion-mnist"
        try:
            with contextlib.redirect_stdout(sys.stderr):  # where progress belongs
                path = keras.utils.get_file(name, ADDRESS + name, file_hash=file.gz_md5, cache_subdir=folder)
        except Exception as error:  # Keras raises nothing narrower where the network fails
            raise UserError(
                f"{ADDRESS}{name} could not be fetched ({error}). Try again later. Or install Debian's package: "
                f"{INSTALL}. Or copy the four files from a machine that has them into a folder, and name it."
            ) from error
    return Path(path).parent
