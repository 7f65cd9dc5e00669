"""Files of a run folder beside the network: recipe.json, predictions, metrics, votes; and what is found there."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dfclib import ensembles, validation_looks
from dfclib.datasets.images import Splits
from dfclib.errors import UserError
from dfclib.files import write_json
from dfclib.predictions import Predictions
from dfclib.recipes.recipe import OURS, EnsembleRecipe, Recipe
from dfclib.runs import SPLIT_NAMES, Run, describe_changes, write_predictions_file

MEMBERS = "members_sha256"  # in a vote's metrics: the networks that voted


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
    path: Path,
    recipe: Recipe | EnsembleRecipe,
    splits: Splits,
    predictions: dict[str, Predictions],
    metrics: dict[str, Any],
) -> None:
    """Write predictions, then metrics: the file that says that the run is finished. A look at validation is noted."""
    if "validation" in predictions and is_noted(recipe, splits):
        seen = predictions["validation"].correct
        validation_looks.note(path.parent, path.name, recipe.fingerprint, int(seen.sum()), len(seen))
    write_predictions_file(path, predictions)
    results = {
        split: {"n": len(p), "correct": int(p.correct.sum()), "accuracy": p.accuracy}
        for split, p in predictions.items()
        if p.labels is not None
    }
    write_json(path / "metrics.json", metrics | results)


def is_noted(recipe: Recipe | EnsembleRecipe, splits: Splits) -> bool:
    """Whether looks at validation are written down: those of our own recipes, on images not made on the spot."""
    return recipe.system == OURS and not splits.embedded


def write_vote(recipe: EnsembleRecipe, splits: Splits, path: Path, runs: Sequence[Run]) -> None:
    """Let the finished `runs` vote, and write the vote's run into `path`."""
    names = [run.name for run in runs]
    # what the members agree on: a vote over trainings of two devices has none of its own
    shared = dict(runs[0].environment)
    for run in runs[1:]:
        shared = {key: value if run.environment.get(key) == value else None for key, value in shared.items()}
    weights = recipe.weights
    if recipe.search_weights:
        weights = ensembles.search_weights([run.predictions("held_out") for run in runs], kind=recipe.vote, names=names)
    predictions = {
        split: ensembles.vote(recipe.vote, [run.predictions(split) for run in runs], weights, recipe.seed, names)
        for split in SPLIT_NAMES
        if all(split in run.splits for run in runs)
    }
    seconds = sum(run.metrics["seconds"] for run in runs)
    metrics = {"seconds": round(seconds, 1), MEMBERS: [run.metrics.get("model_sha256") for run in runs]}
    metrics |= {} if weights is None else {"weights": list(weights)}
    write_json(path / "recipe.json", recipe_file(recipe, splits, path.name, shared) | {"members": names})
    finish(path, recipe, splits, predictions, metrics)


def is_outdated(run: Run) -> bool:
    """Whether a finished vote was taken over other trainings than the finished ones that lie beside it now."""
    members = [Run(run.path.parent / name) for name in run.members]
    if MEMBERS not in run.metrics or not all(member.is_finished for member in members):
        return False
    return run.metrics[MEMBERS] != [member.metrics.get("model_sha256") for member in members]


def find_existing(path: Path, recipe: Recipe | EnsembleRecipe, splits: Splits) -> Run | None:
    """The run in `path`, or None. Raises UserError where it is of another recipe, precision or other data."""
    if not (path / "recipe.json").exists():
        return None
    run = Run(path)
    changes = []
    if run.recipe_file["recipe_fingerprint"] != recipe.fingerprint:
        changes += describe_changes(run.recipe_file["recipe"], recipe.to_dict())
    if run.data["fingerprint"] != splits.fingerprint:
        changes += describe_changes({"data": dict(run.data)}, {"data": _data_description(splits)})
    if changes:
        replaced = "replace that run with --fresh"
        if isinstance(recipe, EnsembleRecipe):
            replaced = f"remove {path} to vote again over the members there are, or train all of them anew with --fresh"
        raise UserError(
            f"{path} holds a run of another recipe or of other data:\n  "
            + "\n  ".join(changes)
            + f"\nTrain into another folder (--runs), or {replaced}."
        )
    asked = {member.precision for member in recipe.members}
    precision = run.environment.get("precision")  # None: a vote's members have several
    if "auto" not in asked and asked != {precision} and len(asked) == 1:
        raise UserError(
            f"{path} was begun in {precision or 'several precisions'}, received precision {', '.join(asked)}: leave it "
            "out to go on, or train anew with --fresh"
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
