"""How long a folder of PNG files takes to load, first and from our cache, and how long to label by `predict`.

    python benchmarks/loading.py --data deepfake_data    # three minutes on two idle cores
    python benchmarks/loading.py                         # on drawn images, written into a temporary folder before

Loading is what training waits for: rows of the CSV file, names and sizes of the training images' files, and their
pixels, decoded and kept for the next time, or taken from the cache. Labelling is what `predict` does with 6,500 of the
files and sprint's network: `read_images`, which decodes, and `predict_images`, which loads the network as well. The
network was trained for one epoch on a few drawn images: its answers are worth nothing, and take as long as any. The
system keeps files in memory, so that only the first round may have to wait for the disk.
"""

import contextlib
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from common import finish, parser, show, summary

from dfclib.cli.images import read_images
from dfclib.datasets.folder.cache import Cache
from dfclib.datasets.folder.decoding import read_pixels
from dfclib.datasets.folder.image_files import ImageFile
from dfclib.datasets.folder.listing import read_listing
from dfclib.datasets.folder.loading import write_folder
from dfclib.datasets.generated.animals import make_splits
from dfclib.recipes import find
from dfclib.training import train
from dfclib.training.devices import resolve_precision
from dfclib.training.inference import predict_images

FEWEST = 10  # drawn images of a split


def main() -> None:
    made = parser(__doc__, "loading")
    made.add_argument("--data", type=Path, help="a folder of images; default: drawn ones")
    made.add_argument("--images", type=int, default=12_500, help="training images to draw (default: 12500)")
    made.add_argument("--labelled", type=int, default=6_500, help="files to label (default: 6500, or all)")
    made.add_argument("--rounds", type=int, default=5, help="default: 5")
    arguments = made.parse_args()
    with tempfile.TemporaryDirectory() as place:
        data = arguments.data
        if data is None:
            data = Path(place, "images")
            write_folder(make_splits(arguments.images, FEWEST, test=0), data)
        seconds, files = loading_seconds(data, Path(place), arguments.rounds)
        paths = [file.path for file in files[: arguments.labelled]]
        seconds |= labelling_seconds(paths, Path(place), arguments.rounds)
    rows = {name: summary(values, 3) for name, values in seconds.items()}
    counts = {name: len(files) if name.startswith("load") else len(paths) for name in rows}
    for name, row in rows.items():
        show(name, row, "s")
        print(f"{'':38} {counts[name] / statistics.median(seconds[name]):,.0f} images/s, {counts[name]:,} images")
    decoding, labelling = (statistics.median(seconds[name]) for name in ("decode", "label"))
    print(f"labelling takes {labelling / decoding:.2f} times as long as decoding alone (medians)")
    values = {"images": counts, "seconds": rows, "labelling_per_decoding": round(labelling / decoding, 2)}
    finish(arguments.out, resolve_precision("auto"), values)


def loading_seconds(data: Path, place: Path, rounds: int) -> tuple[dict[str, list[float]], list[ImageFile]]:
    """Seconds per round of loading the training images without and with a filled cache; the files."""
    found: dict[str, list[float]] = {"load, nothing cached": [], "load from the cache": []}
    for number in range(rounds):
        cache = Cache(place / f"cache-{number}")
        cache.folder.mkdir()
        for seconds in found.values():  # the first fills the cache for the second
            with timed(seconds):
                listing = read_listing(data)
                files = listing.parts["train"].files
                read_pixels({"train": files}, listing.problems, cache=cache)
            listing.require_sound()
    return found, files


def labelling_seconds(paths: list[Path], place: Path, rounds: int) -> dict[str, list[float]]:
    """Seconds per round of decoding the files at `paths`, and of decoding and predicting them."""
    few = make_splits(FEWEST, FEWEST, test=0)
    run = train(find("sprint").with_options(epochs=1), few, place / "runs", progress=False)
    found: dict[str, list[float]] = {"decode": [], "label": []}
    for _ in range(rounds):
        with timed(found["label"]):
            with timed(found["decode"]):
                images, _ = read_images(paths, run)
            predict_images(run, images)
    return found


@contextlib.contextmanager
def timed(seconds: list[float]) -> Iterator[None]:
    begin = time.perf_counter()
    yield
    seconds.append(time.perf_counter() - begin)


if __name__ == "__main__":
    main()
