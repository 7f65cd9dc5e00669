"""What a study found: one row per trained variant, as a file that a study goes on from, and as a table.

The file holds all that is needed of each training, so that a study can go on on another machine, without its runs.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from dfclib.files import write_json, write_text
from dfclib.runs import Run
from dfclib.wording import MISSING, duration, interval, percent, points

if TYPE_CHECKING:
    from dfclib.training.study import Study

RESAMPLES = 2_000
RESULTS = ".results.json"  # behind a study's name, beside its file and its table


@dataclass(frozen=True, eq=False)
class Trained:
    """One training of a variant: its run's name, how long it took, and which held-out images it was right on.

    correct: bool (n,), in the images' order
    """

    run: str
    seconds: float
    correct: np.ndarray

    @classmethod
    def of(cls, run: Run) -> Self:
        return cls(run.path.name, run.metrics["seconds"], run.predictions("held_out").correct)

    def to_json(self) -> dict[str, Any]:
        """As JSON values; correct: one bit per image, the first one highest, as hexadecimal digits."""
        bits = np.packbits(self.correct).tobytes().hex()
        return {"run": self.run, "seconds": self.seconds, "images": len(self.correct), "correct": bits}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        bits = np.frombuffer(bytes.fromhex(values["correct"]), np.uint8)
        return cls(values["run"], values["seconds"], np.unpackbits(bits)[: values["images"]].astype(bool))


@dataclass(frozen=True, eq=False)
class Outcome:
    """A variant, complete or pruned: what the tables call it, Optuna's parameters, and its trainings by seed."""

    variant: str
    parameters: Mapping[str, Any]
    state: str
    trained: Sequence[Trained]


def write_results(
    study: "Study",
    outcomes: Sequence[Outcome],
    about: Mapping[str, Any],
    out: Path | str,
    diverged: Sequence[str] = (),
) -> Path:
    """Write NAME.results.json and NAME.md into `out`, and return the table's path.

    outcomes: in the order in which they were trained; differences are to the first. about: images and recipe, with
    their hashes. diverged: variants that could not be trained to their end
    """
    rows = [_row(outcome, outcomes[0]) for outcome in outcomes]
    if not study.variants:
        rows.sort(key=lambda row: -row["accuracy"])
    images = len(outcomes[0].trained[0].correct) if outcomes else 0
    values = {"study": vars(study), "about": about, "images": images}
    values["against"] = outcomes[0].variant if outcomes else None
    write_json(Path(out) / f"{study.name}{RESULTS}", values | {"results": rows})
    path = Path(out) / f"{study.name}.md"
    write_text(path, _table(study, rows, images, diverged, "embedded" in about))
    return path


def read_outcomes(values: Mapping[str, Any]) -> list[Outcome]:
    """The outcomes in a results file's `values`, the one first that the others are compared with."""
    rows = sorted(values["results"], key=lambda row: row["variant"] != values["against"])
    return [
        Outcome(row["variant"], row["parameters"], row["state"], [Trained.from_json(one) for one in row["trained"]])
        for row in rows
    ]


def describe(changes: Mapping[str, Any]) -> str:
    """Changes to a recipe, in words."""
    return ", ".join(f"{name} {json.dumps(value)}" for name, value in changes.items()) or "nothing changed"


def _row(outcome: Outcome, first: Outcome) -> dict[str, Any]:
    """A variant's accuracy over all of its seeds, and its difference to the first variant over the seeds of both."""
    correct = np.array([one.correct for one in outcome.trained])
    seeds = min(len(correct), len(first.trained))
    difference = correct[:seeds].mean(axis=0) - np.mean([one.correct for one in first.trained[:seeds]], axis=0)
    low, high = _image_interval(correct.mean(axis=0))
    row = {"variant": outcome.variant, "seeds": len(correct), "state": outcome.state}
    row |= {"accuracy": float(correct.mean()), "low": low, "high": high, "by_seed": correct.mean(axis=1).tolist()}
    ends = _image_interval(difference)
    row |= {"difference": float(difference.mean()), "difference_low": ends[0], "difference_high": ends[1]}
    row["seconds"] = round(float(np.mean([one.seconds for one in outcome.trained])), 1)
    return row | {"parameters": outcome.parameters, "trained": [one.to_json() for one in outcome.trained]}


def _image_interval(values: np.ndarray) -> tuple[float, float]:
    """95% percentile interval of the mean of one number per image, over resamples of the images."""
    random, n = np.random.default_rng(0), len(values)
    means = [values[random.integers(0, n, n)].mean() for _ in range(RESAMPLES)]
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def _table(
    study: "Study", rows: Sequence[Mapping[str, Any]], images: int, diverged: Sequence[str], embedded: bool
) -> str:
    """The results as Markdown."""
    which = "training images" if not embedded else "images made on the spot, not the competition's"
    lines = [f"# {study.question}", "", f"Recipe {study.recipe} at {study.scale} scale"]
    lines[-1] += f", with {describe(study.changes)}." if study.changes else "."
    lines[-1] += f" Accuracy on {images:,} held-out {which}, averaged over the seeds; the intervals (95%) are of"
    lines[-1] += " other images, not of other seeds. Differences are to the variant that was trained first."
    lines += ["", "| variant | seeds | accuracy | interval | difference, points | time |"]
    lines.append("| --- | --- | --- | --- | --- | --- |")
    for row in rows:
        seeds = f"{row['seeds']} of {len(study.seeds)}, given up" if row["state"] == "pruned" else str(row["seeds"])
        difference = MISSING
        if row["difference"] or row["difference_low"] or row["difference_high"]:
            ends = f"{points(row['difference_low'])} to {points(row['difference_high'])}"
            difference = f"{points(row['difference'])} ({ends})"
        cells = [row["variant"], seeds, percent(row["accuracy"], 2), interval(row["low"], row["high"]), difference]
        lines.append(f"| {' | '.join([*cells, duration(row['seconds'])])} |")
    if diverged:
        lines += ["", f"The loss became no number: {'; '.join(diverged)}."]
    return "\n".join([*lines, ""])
