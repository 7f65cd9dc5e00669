"""Files of a run folder beside the network: recipe.json, predictions, metrics; and what is found there."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from dfclib.datasets.images import Splits
from dfclib.errors import UserError
from dfclib.files import write_json
from dfclib.predictions import Predictions
from dfclib.recipes.recipe import EnsembleRecipe, Recipe
from dfclib.runs import Run, describe_changes, write_predictions_file


def recipe_file(
    recipe: Recipe | EnsembleRecipe, splits: Splits, name: str, environment: dict[str, Any]
) -> dict[str, Any]:
    """The contents of recipe.json: recipe, its fingerprint, data and environment."""
    return {
        "name": name,
        "recipe": recipe.to_dict(),
        "recipe_fingerprint": recipe.fingerprint,
        "data": _data_description(splits),
        "environment": environment,
    }


def finish(
    path: Path, predictions: dict[str, Predictions], metrics: dict[str, Any], say: Callable[[str], None]
) -> None:
    """Write predictions, then metrics: the file that says that the run is finished."""
    write_predictions_file(path, predictions)
    known = {split: p for split, p in predictions.items() if p.labels is not None}
    results = {
        split: {"n": len(p), "correct": int(p.correct.sum()), "accuracy": p.accuracy} for split, p in known.items()
    }
    write_json(path / "metrics.json", metrics | results)
    figures = [f"{split} accuracy {result['accuracy']:.2%}" for split, result in results.items()]
    say(f"{path.name}: finished, {', '.join(figures)}")


def find_existing(path: Path, recipe: Recipe | EnsembleRecipe, splits: Splits) -> Run | None:
    """The run in `path`, or None. Raises UserError where it is of another recipe or other data."""
    if not (path / "recipe.json").exists():
        return None
    run = Run(path)
    changes = []
    if run.recipe_file["recipe_fingerprint"] != recipe.fingerprint:
        changes += describe_changes(run.recipe_dict, recipe.to_dict())
    if run.data["fingerprint"] != splits.fingerprint:
        changes += describe_changes({"data": dict(run.data)}, {"data": _data_description(splits)})
    if changes:
        raise UserError(
            f"{path} holds a run of another recipe or of other data:\n  "
            + "\n  ".join(changes)
            + "\nTrain into another folder (--runs), or replace that run with --fresh."
        )
    return run


def remove_leftovers(path: Path, everything: bool) -> None:
    """Remove what a killed process left half-written, or everything but the lock. Only under the lock."""
    for item in sorted(path.rglob("*"), reverse=True):  # what is in a folder comes before the folder
        half_written = item.name.startswith(".") and item.name.endswith((".tmp", "-model.keras"))
        if item.is_dir() and not item.is_symlink():
            if everything:
                item.rmdir()
        elif half_written or (everything and item.name != ".lock"):
            item.unlink()


def _data_description(splits: Splits) -> dict[str, Any]:
    return {
        "name": splits.name,
        "fingerprint": splits.fingerprint,
        "embedded": splits.embedded,
        "class_names": list(splits.class_names),
        "image_size": list(splits.train.size),
        "channels": splits.train.channels,
        "counts": {"train": len(splits.train), "validation": len(splits.validation)},
    }
