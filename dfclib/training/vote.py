"""An ensemble's run: the vote of its members' runs."""

from collections.abc import Callable, Sequence
from pathlib import Path

from dfclib import ensembles
from dfclib.datasets.images import Splits
from dfclib.files import write_json
from dfclib.recipes.recipe import EnsembleRecipe
from dfclib.runs import SPLIT_NAMES, Run
from dfclib.training.files import finish, recipe_file


def write_vote(
    recipe: EnsembleRecipe, splits: Splits, path: Path, runs: Sequence[Run], say: Callable[[str], None]
) -> None:
    """Let the finished `runs` vote, and write the vote's run into `path`."""
    names = [run.name for run in runs]
    # what the members agree on: a vote over trainings of two devices has none of its own
    shared = dict(runs[0].environment)
    for run in runs[1:]:
        shared = {key: value if run.environment.get(key) == value else None for key, value in shared.items()}
    write_json(path / "recipe.json", recipe_file(recipe, splits, path.name, shared) | {"members": names})
    weights = recipe.weights
    if recipe.search_weights:
        weights = ensembles.search_weights([run.predictions("held_out") for run in runs], kind=recipe.vote, names=names)
    predictions = {
        split: ensembles.vote(recipe.vote, [run.predictions(split) for run in runs], weights, recipe.seed, names)
        for split in SPLIT_NAMES
        if all(split in run.splits for run in runs)
    }
    seconds = sum(run.metrics["seconds"] for run in runs)
    metrics = {"seconds": round(seconds, 1)} | ({} if weights is None else {"weights": list(weights)})
    finish(path, predictions, metrics, say)
