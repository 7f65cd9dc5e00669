"""How time grows with images (1x, 2x, 4x), classes (5, 100, 1,000) and side (50, 100, 200): what is not linear?

    python benchmarks/growth.py          # two minutes on two idle cores

On random pixels, one of the three changed at a time: loading a folder from its cache, an epoch of training, and votes
and tables over four times as many predictions of five voters. The network is sprint's with a quarter of its filters, so
that the rest of a training shows as well. What is told at the end is the exponent between the last two sizes,
log(ratio of the seconds) / log(ratio of the sizes): 0 does not grow, 1 is linear, 2 is quadratic. A side counts as its
pixels: there, too, 1 is linear.
"""

import functools
import math
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from common import finish, parser, show, summary

from dfclib import pipelines
from dfclib.datasets.folder.loading import load_folder, write_folder
from dfclib.datasets.images import ImageSet, Splits
from dfclib.ensembles import hard_vote, soft_vote
from dfclib.evaluation import comparison, metrics
from dfclib.predictions import Predictions
from dfclib.recipes import find
from dfclib.training.devices import release_memory, resolve_precision
from dfclib.training.model import compiled_model

CLASSES, SIDES, TIMES = (5, 100, 1_000), (50, 100, 200), (1, 2, 4)
VOTERS, PREDICTIONS_PER_IMAGE = 5, 4
STAGES = [[8], [16], [32, 32], [64, 64]]
STEEP = 1.2  # exponents above are pointed out


def main() -> None:
    made = parser(__doc__, "growth")
    made.add_argument("--images", type=int, default=1_000, help="1x; fewer do not show all classes (default: 1000)")
    made.add_argument("--rounds", type=int, default=3, help="default: 3")
    arguments = made.parse_args()
    base = arguments.images
    axes = {
        "images": {times * base: (times * base, CLASSES[0], SIDES[0]) for times in TIMES},
        "classes": {classes: (base, classes, SIDES[0]) for classes in CLASSES},
        "side": {side: (base, CLASSES[0], side) for side in SIDES},
    }
    results: dict[str, dict] = {what: {} for what in MEASURES}
    for axis, cases in axes.items():
        for what, measure in MEASURES.items():
            if axis == "side" and measure in (votes, tables):  # which see no pixels
                continue
            rows = {size: summary(measure(*case, arguments.rounds), 4) for size, case in cases.items()}
            for size, row in rows.items():
                show(f"{what}, {axis} {size:,}", row, "s")
            results[what][axis] = {"seconds": rows, "exponent": exponent(rows, squared=axis == "side")}
    for what, found in results.items():
        for axis, result in found.items():
            steep = ": more than linear" if result["exponent"] > STEEP else ""
            print(f"{what} grows with {axis} by the power {result['exponent']:.2f}{steep}")
    finish(arguments.out, resolve_precision("auto"), {"growth": results})


def exponent(rows: dict[int, dict], squared: bool) -> float:
    """Of the growth from the last size but one to the last one; squared: sizes are sides of squares."""
    (before, fewer), (after, more) = list(rows.items())[-2:]
    growth = math.log(more["median"] / fewer["median"]) / math.log(after / before)
    return round(growth / 2 if squared else growth, 2)


def random_images(count: int, classes: int, side: int, kind: str = "train") -> ImageSet:
    """Random pixels uint8 (count, side, side, 3), classes in turns."""
    pixels = np.random.default_rng(0).integers(0, 256, (count, side, side, 3), np.uint8)
    ids = np.array([f"{kind}-{number}" for number in range(count)])
    return ImageSet(pixels, np.arange(count) % classes, ids, tuple(map(str, range(classes))))


@functools.cache  # the first size of each axis is the same case
def loading(images: int, classes: int, side: int, rounds: int) -> list[float]:
    """Seconds of each round that loads a folder of PNG files, whose pixels are cached."""
    parts = [random_images(count, classes, side, kind) for count, kind in ((images, "train"), (images // 10, "other"))]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, "random")
        write_folder(Splits("random", *parts), folder)
        return timed(lambda: load_folder(folder), rounds)  # the call before them fills the cache


@functools.cache
def epoch(images: int, classes: int, side: int, rounds: int) -> list[float]:
    """Seconds of each of `rounds` epochs of training, the first one, in which it is compiled, left out."""
    data, recipe = random_images(images, classes, side), find("sprint").with_options(epochs=rounds + 1)
    recipe = replace(recipe, image_size=(side, side), arguments=recipe.arguments | {"stages": STAGES})
    ends: list[float] = []
    with release_memory():
        model = compiled_model(recipe, resolve_precision("auto"), classes, data)
        model.fit(
            pipelines.training_dataset(data, recipe, 1, recipe.epochs),
            steps_per_epoch=pipelines.batches_per_epoch(data, recipe),
            epochs=recipe.epochs,
            shuffle=False,
            callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: ends.append(time.perf_counter()))],
            verbose=0,
        )
    return np.diff(ends).tolist()


@functools.cache
def votes(images: int, classes: int, side: int, rounds: int) -> list[float]:
    """Seconds of each round of a hard and a soft vote."""
    members = voters(images * PREDICTIONS_PER_IMAGE, classes)
    return timed(lambda: (hard_vote(members), soft_vote(members)), rounds)


@functools.cache
def tables(images: int, classes: int, side: int, rounds: int) -> list[float]:
    """Seconds of each round of what is told of predictions: figures, classes, confusions, comparisons."""
    members = voters(images * PREDICTIONS_PER_IMAGE, classes)

    def tell() -> None:
        for tell_of_one in (metrics.summary, metrics.per_class, metrics.confusion_matrix):
            tell_of_one(members[0])
        comparison.compare(*members[:2])
        comparison.fixed_and_made(*members[:2])
        comparison.disagreement(members)
        comparison.accuracy_by_voters(members)

    return timed(tell, rounds)


def voters(count: int, classes: int) -> list[Predictions]:
    """Random predictions of `count` images, with probabilities and true labels."""
    generator, numbers = np.random.default_rng(0), np.arange(count)
    known = {"class_names": tuple(map(str, range(classes))), "labels": numbers % classes}
    found = []
    for _ in range(VOTERS):
        shares = generator.random((count, classes), np.float32)
        shares /= shares.sum(axis=1, keepdims=True)
        found.append(Predictions(numbers.astype(str), shares.argmax(axis=1), probabilities=shares, **known))
    return found


def timed(call: Callable[[], object], rounds: int) -> list[float]:
    """Seconds of each of `rounds` calls, after one that loads what is loaded once."""
    call()
    found = []
    for _ in range(rounds):
        begin = time.perf_counter()
        call()
        found.append(time.perf_counter() - begin)
    return found


MEASURES = {"loading from the cache": loading, "an epoch": epoch, "votes": votes, "tables": tables}

if __name__ == "__main__":
    main()
