"""Every number of the report by one command: what report/ shows is trained in order of worth, and recorded.

    python -m dfclib reproduce --data deepfake_data --hours 2.5

It goes on where it stopped, skips what is recorded with the same recipe and data, and records each run as it finishes.
"""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dfclib.datasets.images import Splits
from dfclib.errors import UserError
from dfclib.files import locked, read_json
from dfclib.recipes import EnsembleRecipe, Recipe, find
from dfclib.recipes.recipe import COMPETITION
from dfclib.runs import Run, record, run_name

PAUSE = ".paused"  # in the folder of runs: while this file exists, the queue waits


@dataclass(frozen=True)
class Entry:
    """A recipe to train: None keeps the recipe's own seed and protocol, and the scale that the queue is given.

    weights: the networks are recorded as well, for commands that README shows; they must be small
    """

    recipe: str
    seed: int | None = None
    protocol: str | None = None
    scale: str | None = None
    weights: bool = False


# In order of worth. An ensemble stands for its members, which are trained and recorded first.
QUEUE = (
    Entry("s4-author"),
    Entry("s4-ours", weights=True),
    Entry("attempt1"),
    Entry("attempt2"),
    *(Entry(f"resampling-{way}", seed=seed) for seed in range(3) for way in ("nearest", "bilinear", "enlarged")),
    Entry("attempt3"),
    Entry("attempt4"),
    Entry("attempt6"),
    Entry("attempt5"),
    Entry("attempt1", scale="full"),
    Entry("attempt2", scale="full"),
    Entry("s1-vote", weights=True),
    Entry("s2-mlp"),
    Entry("s2-cnn"),
    Entry("s3-base"),
    Entry("s3-mlp"),
    Entry("s3-vote"),
    Entry("s3-report"),
    Entry("attempt6-vote"),
    Entry("s1-vote-searched"),
    Entry("s1-vote", protocol="held_out"),
    Entry("s2-mlp-augmented"),
    Entry("attempt4", scale="full"),  # as its author has it, to see what the other resampling gains
    Entry("s3-vote", protocol="held_out"),
)


@dataclass(frozen=True)
class Wanted:
    """A recipe at its scale, with seed and protocol, and whether its weights are recorded."""

    recipe: Recipe | EnsembleRecipe
    weights: bool


@dataclass(frozen=True)
class Task:
    """One training, or one vote over trainings, and how far it is.

    state: `recorded`, `finished` (not recorded yet), `epoch 3 of 20`, `to train`, or `no data`
    minutes: what is left of it; None: nobody measured
    """

    wanted: Wanted
    name: str
    state: str
    minutes: float | None

    @property
    def is_open(self) -> bool:
        return self.state not in ("recorded", "no data")


def wanted_runs(scale: str, only: Sequence[str] = (), queue: Sequence[Entry] = QUEUE) -> list[Wanted]:
    """What the queue trains at `scale`, members before their ensembles, each once.

    only: beginnings of names, a vote's members coming with it; none: all. Raises UserError where one begins no name.
    """
    found: dict[tuple, Wanted] = {}
    chosen = set()
    for entry in queue:
        recipe = find(entry.recipe).at_scale(entry.scale or scale)
        recipe = recipe.with_options(seed=entry.seed, protocol=entry.protocol)
        for one in (*recipe.members, recipe):
            key = (one.name, one.scale, one.protocol, one.seed)
            found.setdefault(key, Wanted(one, entry.weights))
            if not only or recipe.name.startswith(tuple(only)) or one.name.startswith(tuple(only)):
                chosen.add(key)
    names = dict.fromkeys(one.recipe.name for one in found.values())
    unknown = [beginning for beginning in only if not any(name.startswith(beginning) for name in names)]
    if unknown:
        raise UserError(f"--only {unknown[0]}: nothing in the queue begins so; there are {', '.join(names)}")
    return [one for key, one in found.items() if key in chosen]


class Sources:
    """The images of the queue's data sets, each loaded when it is first asked for.

    folder: the competition's; Fashion-MNIST is found on this machine or fetched.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._loaded: dict[str, Splits | UserError] = {}

    @property
    def problems(self) -> dict[str, UserError]:
        """Why there are no images of a data set, by its name: of those that were asked for."""
        return {name: found for name, found in self._loaded.items() if isinstance(found, UserError)}

    def splits(self, recipe: Recipe | EnsembleRecipe) -> Splits:
        """Raises UserError where the images cannot be had."""
        from dfclib.datasets.sources import FASHION_MNIST, load, load_fashion

        name = recipe.dataset.name
        if name not in self._loaded:
            try:
                competition = recipe.dataset == COMPETITION
                self._loaded[name] = load(self.folder) if competition else load_fashion(FASHION_MNIST)
            except UserError as error:
                self._loaded[name] = error
        result = self._loaded[name]
        if isinstance(result, UserError):
            raise result
        return result


def tasks(wanted: Sequence[Wanted], sources: Sources, runs_dir: Path, recorded: Path) -> list[Task]:
    """How far each of `wanted` is: in `recorded` (with the same recipe and data), in `runs_dir`, or not begun."""
    result = []
    for one in wanted:
        recipe = one.recipe
        try:
            splits = sources.splits(recipe)
        except UserError:
            result.append(Task(one, recipe.name, "no data", None))
            continue
        name = run_name(recipe, splits.name)
        state, minutes = "to train", recipe.expected_minutes(len(splits.train))
        if isinstance(recipe, EnsembleRecipe):
            minutes = 0.0  # its members have tasks of their own
        if is_same(Run(recorded / name), recipe, splits):
            state, minutes = "recorded", 0.0
        elif is_same(Run(runs_dir / name), recipe, splits):
            run = Run(runs_dir / name)
            epochs = 0 if isinstance(recipe, EnsembleRecipe) else len(run.history)
            if run.is_finished:
                state, minutes = "finished", 0.0
            elif epochs:
                state = f"epoch {epochs} of {recipe.epochs}"
                minutes = (recipe.epochs - epochs) * float(run.history["seconds"].mean()) / 60
        result.append(Task(one, name, state, minutes))
    return result


def is_same(run: Run, recipe: Recipe | EnsembleRecipe, splits: Splits) -> bool:
    """Whether `run` is there, finished or not, of this recipe and these images."""
    if not (run.path / "recipe.json").exists():
        return False
    file = read_json(run.path / "recipe.json")
    return file["recipe_fingerprint"] == recipe.fingerprint and file["data"]["fingerprint"] == splits.fingerprint


def reproduce(
    wanted: Sequence[Wanted],
    sources: Sources,
    runs_dir: Path,
    recorded: Path,
    hours: float | None = None,
) -> Iterator[Task | UserError]:
    """Train and record what is open of `wanted`, in order; yield each task when it is recorded.

    Training needs no watching: where one fails, its error is yielded and the next one begins. hours: end after the
    epoch at hand when so many are over; what is unfinished then goes on the next time. While the file .paused is in
    `runs_dir`, it waits. Raises UserError where another process works on the same folder.
    """
    from dfclib.callbacks import OutOfTime, Pause, TimeLimit
    from dfclib.training import train

    end = math.inf if hours is None else time.monotonic() + 3600 * hours
    pause, limit = Pause(runs_dir / PAUSE), TimeLimit(lambda: time.monotonic() > end)
    with locked(runs_dir, ".reproduce.lock", f"another `reproduce` works in {runs_dir}: wait for it, or stop it"):
        for task in tasks(wanted, sources, runs_dir, recorded):
            if not task.is_open:
                continue
            pause.wait()
            if limit.is_over():
                return
            recipe = task.wanted.recipe
            splits = sources.splits(recipe)
            try:
                _bring_back(recipe, splits, runs_dir, recorded)
                run = train(recipe, splits, runs_dir, callbacks=[pause, limit])
                record(run, recorded, weights=task.wanted.weights)
            except OutOfTime as end:
                print(end, flush=True)
                return
            except UserError as error:
                yield error
            else:
                yield task


def _bring_back(recipe: Recipe | EnsembleRecipe, splits: Splits, runs_dir: Path, recorded: Path) -> None:
    """Copy an ensemble's recorded members to `runs_dir` where they are missing: they need not be trained again."""
    for member in recipe.members if isinstance(recipe, EnsembleRecipe) else ():
        name = run_name(member, splits.name)
        if is_same(Run(recorded / name), member, splits) and not (runs_dir / name).exists():
            record(Run(recorded / name), runs_dir)
