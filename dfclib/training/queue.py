"""The queue behind `python -m dfclib reproduce`: trains and records every run of the report, most important first.

Given again it goes on where it stopped. What is recorded with the same recipe and data is not trained again.
"""

import contextlib
import math
import shlex
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dfclib.datasets.images import Splits
from dfclib.errors import UserError
from dfclib.files import locked
from dfclib.recipes import EnsembleRecipe, Recipe, find
from dfclib.recipes.recipe import COMPETITION
from dfclib.recording import record
from dfclib.runs import Run, run_name
from dfclib.training.files import find_existing
from dfclib.training.start import remove

PAUSE = ".paused"  # in the folder of runs: while this file exists, the queue waits
Images = dict[str, Splits | UserError]  # by data set: its images, or why there are none


@dataclass(frozen=True)
class Entry:
    """A line of the queue. None: the recipe's own seed and protocol, the queue's scale. weights: record small networks,
    for commands that README shows."""

    recipe: str
    seed: int | None = None
    protocol: str | None = None
    scale: str | None = None
    weights: bool = False


# Most important first. An ensemble stands for its members, which are trained and recorded before it.
QUEUE = (
    Entry("s4-author"),
    Entry("s4-ours", weights=True),
    Entry("sprint", scale="full", weights=True),  # of the vote's three, the one that README's commands use
    Entry("sprint-vote", scale="full"),
    *map(Entry, ("attempt1", "attempt2")),
    *(Entry(f"resampling-{way}", seed=seed) for seed in range(3) for way in ("nearest", "bilinear", "enlarged")),
    *map(Entry, ("attempt3", "attempt4", "attempt6", "attempt5")),
    *(Entry(name, scale="full") for name in ("attempt1", "attempt2")),
    Entry("s1-vote", weights=True),
    *map(Entry, ("s2-mlp", "s2-cnn", "s3-base", "s3-mlp", "s3-vote", "s3-report")),
    *map(Entry, ("attempt6-vote", "s1-vote-searched")),
    Entry("s1-vote", protocol="held_out"),
    Entry("s2-mlp-augmented"),
    Entry("attempt4", scale="full"),  # as its author has it, to see what the other resampling gains
    Entry("s3-vote", protocol="held_out"),
)


@dataclass(frozen=True)
class Job:
    """One training or vote: a recipe with scale, seed and protocol set, and, from `progress`, how far it is.

    weights: record them
    state: `recorded`, `finished` (not recorded yet), `epoch 3 of 20`, `to train`, or `no data`
    minutes: left of it, on two CPU cores; None where that was not measured
    """

    recipe: Recipe | EnsembleRecipe
    weights: bool
    state: str = "to train"
    minutes: float | None = None

    @property
    def is_open(self) -> bool:
        return self.state not in ("recorded", "no data")


def find_jobs(scale: str, only: Sequence[str] = (), queue: Sequence[Entry] = QUEUE) -> list[Job]:
    """The queue's jobs, members before their ensembles, each once.

    scale: for entries that name none; only: beginnings of recipes' names, a vote's members coming with it; empty: all
    Raises UserError where no recipe's name begins with one of `only`.
    """
    jobs: dict[tuple, Job] = {}
    chosen = set()
    beginnings = tuple(only) or ("",)
    for entry in queue:
        recipe = find(entry.recipe).at_scale(entry.scale or scale)
        recipe = recipe.with_options(seed=entry.seed, protocol=entry.protocol)
        for each in (*recipe.members, recipe):
            key = (each.name, each.scale, each.protocol, each.seed)
            jobs.setdefault(key, Job(each, entry.weights))
            if recipe.name.startswith(beginnings) or each.name.startswith(beginnings):
                chosen.add(key)
    names = dict.fromkeys(job.recipe.name for job in jobs.values())
    unknown = [beginning for beginning in only if not any(name.startswith(beginning) for name in names)]
    if unknown:
        raise UserError(f"--only {unknown[0]}: no recipe in the queue begins so; there are {', '.join(names)}")
    return [job for key, job in jobs.items() if key in chosen]


def load_images(jobs: Sequence[Job], folder: Path) -> Images:
    """The images of the jobs' data sets. folder: the competition's"""
    from dfclib.datasets.sources import FASHION_MNIST, load, load_fashion

    images: Images = {}
    for name in dict.fromkeys(job.recipe.dataset.name for job in jobs):
        try:
            images[name] = load(folder) if name == COMPETITION.name else load_fashion(FASHION_MNIST)
        except UserError as error:
            images[name] = error
    return images


def progress(jobs: Sequence[Job], images: Images, runs_dir: Path, recorded: Path) -> list[Job]:
    """The jobs with how far each is: in `recorded` (with the same recipe and data), in `runs_dir`, or not begun."""
    found = []
    for job in jobs:
        state, minutes = _state(job.recipe, images[job.recipe.dataset.name], runs_dir, recorded)
        found.append(replace(job, state=state, minutes=minutes))
    return found


def _state(
    recipe: Recipe | EnsembleRecipe, splits: Splits | UserError, runs_dir: Path, recorded: Path
) -> tuple[str, float | None]:
    """A job's state and minutes."""
    if isinstance(splits, UserError):
        return "no data", None
    if _find_run(recorded, recipe, splits):
        return "recorded", 0.0
    run, is_vote = _find_run(runs_dir, recipe, splits), isinstance(recipe, EnsembleRecipe)
    if run and run.is_finished:
        return "finished", 0.0
    if run and not is_vote and len(run.history):
        epochs = len(run.history)
        return f"epoch {epochs} of {recipe.epochs}", (recipe.epochs - epochs) * run.history["seconds"].mean() / 60
    return "to train", 0.0 if is_vote else recipe.expected_minutes(len(splits.train))  # its members are jobs themselves


def _find_run(folder: Path, recipe: Recipe | EnsembleRecipe, splits: Splits) -> Run | None:
    """The run of this recipe and these images in `folder`, finished or not."""
    with contextlib.suppress(UserError):  # of another recipe or other data: `train` says what differs
        return find_existing(folder / run_name(recipe, splits.name), recipe, splits)
    return None


def reproduce(
    jobs: Sequence[Job], images: Images, runs_dir: Path, recorded: Path, hours: float | None = None
) -> Iterator[Run | UserError]:
    """Train and record the open ones of `jobs` in order, waiting while the file .paused is in `runs_dir`.

    Yields each run in `recorded`, or the error of a training that failed: the next one begins all the same. After
    `hours` it ends with the epoch at hand; what is unfinished goes on the next time. Raises UserError where another
    process works on the same folder.
    """
    from dfclib.callbacks import OutOfTime, Pause, TimeLimit
    from dfclib.training import train

    end = math.inf if hours is None else time.monotonic() + 3600 * hours
    place = "" if runs_dir == Path("runs") else f" --runs {shlex.quote(str(runs_dir))}"
    pause = Pause(runs_dir / PAUSE, hint=f"go on with `python -m dfclib reproduce --resume{place}`")
    limit = TimeLimit(lambda: time.monotonic() > end)
    with locked(runs_dir, ".reproduce.lock", f"another `reproduce` works in {runs_dir}: wait for it, or stop it"):
        for job in [job for job in jobs if job.is_open]:
            pause.wait()
            if limit.is_over():
                return
            splits = images[job.recipe.dataset.name]
            try:
                _bring_back(job.recipe, splits, runs_dir, recorded)
                run = train(job.recipe, splits, runs_dir, callbacks=[pause, limit])
                result = record(run, recorded, weights=job.weights)
            except OutOfTime as stop:
                print(stop, flush=True)
                return
            except UserError as error:
                result = error
            yield result


def _bring_back(recipe: Recipe | EnsembleRecipe, splits: Splits, runs_dir: Path, recorded: Path) -> None:
    """Copy an ensemble's recorded members to `runs_dir` where they are missing or unfinished: they need not be trained
    again, and it is they that vote."""
    for member in recipe.members if isinstance(recipe, EnsembleRecipe) else ():
        run, there = _find_run(recorded, member, splits), _find_run(runs_dir, member, splits)
        if run and there and not there.is_finished:
            remove(there.path)
            shutil.rmtree(there.path)
        if run and not (runs_dir / run.name).exists():
            record(run, runs_dir)
