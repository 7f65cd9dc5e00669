"""train(recipe, splits, runs_dir) -> Run: returns what is finished, goes on with what is not, begins what is missing.

A training that was killed ends with the same weights, bit for bit on one machine's CPU, as one that never was: all
that lives between two epochs is in the checkpoint, and everything random depends on (seed, epoch) alone.
"""

import contextlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from dfclib import ensembles, pipelines
from dfclib.datasets.images import Splits
from dfclib.errors import Diverged, UserError
from dfclib.files import locked
from dfclib.recipes.recipe import EnsembleRecipe, Recipe
from dfclib.runs import SPLIT_NAMES, Run, run_name
from dfclib.training.devices import release_memory
from dfclib.training.files import find_existing, is_outdated, remove_leftovers, write_vote
from dfclib.training.model import find_builder
from dfclib.training.network import LOGS, train_network

if TYPE_CHECKING:
    import keras


def train(
    recipe: Recipe | EnsembleRecipe,
    splits: Splits,
    runs_dir: Path | str,
    *,
    fresh: bool = False,
    progress: bool = True,
    callbacks: "Sequence[keras.callbacks.Callback] | Callable[[str], Sequence[keras.callbacks.Callback]]" = (),
) -> Run:
    """Train `recipe` on `splits` and return its run; finished already: return it; unfinished: go on.

    An EnsembleRecipe trains the members that are not there yet, and votes.

    Args:
        fresh: train anew, whatever there is; an ensemble's runs are all removed first, so that without it the same call
            goes on.
        progress: print a line per epoch.
        callbacks: of your own, for every network that is trained, or a function that makes them from a run's name, for
            those that members of an ensemble cannot share (TensorBoard, ...). The state of one with `get_state` and
            `set_state` is saved and restored as those of dfclib.callbacks are.

    Raises:
        UserError: where the run's folder holds another recipe or other data (unless `fresh`), where images do not suit
            the recipe, where a loss is no number any more, and where disk or memory are full; finished epochs are kept.
    """
    path = Path(runs_dir) / run_name(recipe, splits.name)
    say = partial(print, flush=True) if progress else lambda text: None
    missing(recipe, splits, runs_dir, fresh=fresh)  # refuses a vote for its last member before its first one trains
    existing = None if fresh else find_existing(path, recipe, splits)
    if existing is not None and existing.is_finished and not is_outdated(existing):
        say(f"{path.name}: finished already, nothing to train")
        shutil.rmtree(path / "checkpoint", ignore_errors=True)  # killed in its very last moment
        return existing
    with _locked(path):
        remove_leftovers(path, everything=fresh)
        if Run(path).is_finished and not is_outdated(Run(path)):
            return Run(path)  # another process finished it after it was looked at and before it was locked
        if isinstance(recipe, EnsembleRecipe):
            for member in recipe.members if fresh else ():
                remove(Path(runs_dir) / run_name(member, splits.name))
            for member in recipe.members:
                find_builder(member)  # before the first one trains
            runs = []
            for number, member in enumerate(recipe.members, start=1):
                say(f"{path.name}: member {number} of {len(recipe.members)}")
                runs.append(train(member, splits, runs_dir, progress=progress, callbacks=callbacks))
            write_vote(recipe, splits, path, runs)
        else:
            own = callbacks(path.name) if callable(callbacks) else callbacks
            with _clear_errors(recipe, path), release_memory():
                train_network(recipe, splits, path, own, progress)
    run = Run(path)
    accuracies = [
        f"{split} accuracy {run.metrics[split]['accuracy']:.2%}" for split in SPLIT_NAMES if split in run.metrics
    ]
    say(f"{path.name}: finished, {', '.join(accuracies)}")
    return run


def missing(
    recipe: Recipe | EnsembleRecipe, splits: Splits, runs_dir: Path | str, *, fresh: bool = False
) -> list[Recipe]:
    """The trainings that `train` would start or go on with: none for a finished run. Does not import Keras.

    A vote whose members are all there has none either. Raises UserError as `train` does where no network is needed to
    know it: images that do not suit, a folder that cannot be written, holds something else or is being trained into.
    """
    _check_data(recipe, splits)
    if isinstance(recipe, EnsembleRecipe):
        ensembles.check_weights(recipe.weights, len(recipe.members))
        if recipe.search_weights:
            ensembles.check_searchable(len(recipe.members))
    wanted = list(recipe.members)
    if not fresh:
        if _is_finished(recipe, splits, runs_dir):
            return []
        wanted = [each for each in wanted if not _is_finished(each, splits, runs_dir)]
    for each in [recipe, *wanted]:
        path = Path(runs_dir) / run_name(each, splits.name)
        if each is recipe or path.is_dir():  # members' folders are made when it is their turn
            with _locked(path):
                pass
    return wanted


def _locked(path: Path) -> contextlib.AbstractContextManager[None]:
    return locked(path, ".lock", f"{path} is being trained by another process: wait for it, or stop it")


def remove(path: Path) -> None:
    """Remove what there is of a training. Raises UserError where another process trains into it."""
    if path.is_dir():
        with _locked(path):
            remove_leftovers(path, everything=True)


def _is_finished(recipe: Recipe | EnsembleRecipe, splits: Splits, runs_dir: Path | str) -> bool:
    run = find_existing(Path(runs_dir) / run_name(recipe, splits.name), recipe, splits)
    return run is not None and run.is_finished


def _check_data(recipe: Recipe | EnsembleRecipe, splits: Splits) -> None:
    for member in recipe.members:
        pipelines.check_size(splits.train.size, member)
    for name, part in [("training", splits.train), ("validation", splits.validation)]:
        if part.labels is None or not len(part):
            raise UserError(f"the {name} images of {splits.name} have no labels, or there are none: nothing to learn")


@contextlib.contextmanager
def _clear_errors(recipe: Recipe, path: Path) -> Iterator[None]:
    """Name the run where its time is over, and say what to do about a loss that is no number, full memory or disk."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        from dfclib.callbacks import NotANumber, OutOfTime

        text = f"{type(error).__name__}: {error}"
        if isinstance(error, OutOfTime):
            raise OutOfTime(f"{path.name}: {error}; the rest is for another time") from error
        if isinstance(error, NotANumber):
            error.name = {log: column for column, log in LOGS.items()}.get(
                error.name, error.name
            )  # as history calls it
            raise Diverged(
                f"{path.name}: {error}. The {error.epoch - 1} epochs before it are kept in {path}. "
                "Lower the schedule's learning_rate (or its factor) in a copy of recipe.json and train that."
            ) from error
        # TensorFlow and JAX each have an error class of their own for this, which only their import would name
        if isinstance(error, MemoryError) or any(s in text for s in ("ResourceExhausted", "RESOURCE_EXHAUSTED", "OOM")):
            raise UserError(
                f"{path.name}: out of memory with batches of {recipe.batch_size} images of "
                f"{recipe.image_size[0]}x{recipe.image_size[1]}. Finished epochs are kept in {path}. Lower batch_size "
                "or image_size in a copy of recipe.json, take a smaller scale, or close other programs."
            ) from error
        if isinstance(error, OSError) and "No space left" in text:
            raise UserError(f"{path}: disk full; finished epochs are kept. Free some space and go on.") from error
        raise
