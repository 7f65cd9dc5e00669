"""What the benchmarks measured, for the report: rows of medians and ranges, and what follows from them, in words."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from dfclib.files import read_json
from dfclib.wording import duration, listed

WAYS = {
    "keras": "Keras as it comes",
    "ours": "ours",
    "pytorch": "plain PyTorch, channels last",
    "muon": "ours with Muon",
}
WHOLE = "trained to its end"  # how sprint's time was measured; else from its steps
STEEP = 1.2  # exponents above are more than linear, as benchmarks/growth.py has it
Row = dict[str, str]


def speed_rows(folder: Path) -> list[Row]:
    """One row per measurement in the results files of `folder` that are there."""
    found = []
    for name, (rows, _) in BENCHMARKS.items():
        values = _read(folder, name)
        for what, summary, unit in rows(values) if values else ():
            numbers = [f"{summary[key]:,}" for key in ("median", "min", "max")]
            row = {"measured": what, "median": f"{numbers[0]} {unit}", "range": f"{numbers[1]} to {numbers[2]}"}
            found.append(row | {"measurements": str(summary["n"]), "on": values["environment"]["device_name"]})
    return found


def speed_notes(folder: Path) -> list[str]:
    """What follows from these rows: ratios, and how time grows."""
    return [
        note for name, (_, notes) in BENCHMARKS.items() if (values := _read(folder, name)) for note in notes(values)
    ]


def times_as_long(folder: Path) -> str:
    """A sentence on how long S1's own way of training takes beside sprint's; empty where that is not measured."""
    values = _read(folder, "time_to_accuracy")
    if values is None or values["s1_takes_times_as_long"] is None:
        return ""
    whole, where = duration(values["s1"]["seconds"]), values["environment"]["device_name"]
    return (
        f"To train the pair of S1 in its author's way would take {values['s1_takes_times_as_long']:.0f} times as long "
        f"as sprint (about {whole} on {where}, by its measured speed and the epochs of our runs)."
    )


def _read(folder: Path, name: str) -> dict[str, Any] | None:
    path = folder / f"{name}.json"
    return read_json(path) if path.exists() else None


def _throughput_rows(values: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, float], str]]:
    for way, summary in values["images_per_second"].items():
        yield f"training sprint's network, data included: {WAYS[way]}", summary, "images/s"


def _throughput_notes(values: Mapping[str, Any]) -> Iterator[str]:
    for way, ratio in values["ours_times_as_fast_as"].items():
        yield f"Ours trains sprint's network {ratio} times as fast as {WAYS[way]} (medians, in one run)."


def _loading_rows(values: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, float], str]]:
    for what, summary in values["seconds"].items():
        yield f"{what}, {values['images'][what]:,} images", summary, "s"


def _loading_notes(values: Mapping[str, Any]) -> Iterator[str]:
    yield (
        f"Labelling files by sprint's network takes {values['labelling_per_decoding']} times as long as decoding them."
    )


def _growth_notes(values: Mapping[str, Any]) -> Iterator[str]:
    exponents = {
        f"{what} with {axis}": found["exponent"]
        for what, axes in values["growth"].items()
        for axis, found in axes.items()
    }
    steep = [f"{name} (power {exponent})" for name, exponent in exponents.items() if exponent > STEEP]
    grows = f"more than linearly grow: {listed(steep)}" if steep else "nothing grows more than linearly"
    yield f"Of {len(exponents)} ways in which time may grow with images, classes or side, {grows}."


def _time_rows(values: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, float], str]]:
    for part, summary in values["images_per_second"].items():
        yield f"training as it is done, data included: {part}", summary, "images/s"


def _time_notes(values: Mapping[str, Any]) -> Iterator[str]:
    pair, ours = sum(values["s1"]["seconds_per_epoch"].values()), values["sprint"]["seconds"]
    how, seconds = list(ours.items())[-1]
    text = f"One epoch of S1's pair takes {duration(pair)} in S1's own way, all of sprint's {duration(seconds)}, {how}"
    yield f"{text} (its start and its predictions not counted)." if how != WHOLE else f"{text}."
    if values["s1_takes_times_as_long"] is not None:
        total, ratio = duration(values["s1"]["seconds"]), values["s1_takes_times_as_long"]
        yield f"With the epochs that its schedule takes S1's way would need {total}, {ratio} times as long as sprint."


Rows = Callable[[Mapping[str, Any]], Iterator[tuple[str, Mapping[str, float], str]]]
Notes = Callable[[Mapping[str, Any]], Iterator[str]]
# by the name of the results file
BENCHMARKS: dict[str, tuple[Rows, Notes]] = {
    "time_to_accuracy": (_time_rows, _time_notes),
    "throughput": (_throughput_rows, _throughput_notes),
    "loading": (_loading_rows, _loading_notes),
    "growth": (lambda _: iter(()), _growth_notes),
}
