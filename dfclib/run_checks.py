"""Checks that a run's files are what a training wrote: they may be damaged, edited, or come from elsewhere."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dfclib.errors import UserError
from dfclib.predictions import Predictions
from dfclib.recipes.recipe import check_name

# arrays of each split in probabilities.npz, with the kind of their type: text, whole numbers, floats
PREDICTION_ARRAYS = {"ids": "U", "predicted": "i", "probabilities": "f", "labels": "i"}


class Fields(dict[str, Any]):
    """Fields of a run's JSON file, of which a missing one is a UserError naming the file."""

    def __init__(self, values: Any, path: Path) -> None:
        self.path = path
        if not isinstance(values, dict) or not values:
            raise UserError(f"{path} holds no fields where a training writes some: train the run again with --fresh")
        super().__init__(values)

    def __missing__(self, key: str) -> Any:
        raise UserError(f"{self.path} lacks {key!r}: it is not what a training wrote; train the run again with --fresh")


def predictions_by_split(
    arrays: dict[str, np.ndarray], splits: Sequence[str], class_names: tuple[str, ...]
) -> dict[str, Predictions]:
    """Predictions by split from the arrays of probabilities.npz. Raises ValueError where an array is wrong."""
    found = {}
    for split in (split for split in splits if f"{split}_ids" in arrays):
        columns = {name: arrays[f"{split}_{name}"] for name in PREDICTION_ARRAYS if f"{split}_{name}" in arrays}
        if "predicted" not in columns:
            raise ValueError(f"{split}_predicted is missing")
        for name, array in columns.items():
            if array.dtype.kind != PREDICTION_ARRAYS[name]:
                raise ValueError(f"{split}_{name} has the type {array.dtype}")
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                raise ValueError(f"{split}_{name} are not all numbers")
            if array.dtype.kind == "i" and ((array < 0) | (array >= len(class_names))).any():
                raise ValueError(f"{split}_{name} has labels that are none of the {len(class_names)} classes")
        try:
            found[split] = Predictions(class_names=class_names, **columns)
        except ValueError as error:
            raise ValueError(f"{split}: {error}") from error
    if not found:
        raise ValueError("it has no predictions")
    return found


def check_recipe_file(values: Fields, path: Path) -> None:
    """Raise UserError where recipe.json is not a run's: fields missing or ill-typed, or names that are no names."""

    def require(fits: bool, field: str, words: str, value: Any) -> None:
        if not fits:
            raise UserError(f"{path}: {field} must be {words}, received {json.dumps(value)[:80]}")

    data, environment, members = values["data"], values["environment"], values.get("members", [])
    require(isinstance(data, dict), "data", "an object", data)
    require(isinstance(environment, dict), "environment", "an object", environment)
    require(isinstance(members, list), "members", "a list of names", members)
    for name, field in [(values["name"], "name"), (data.get("name"), "data.name"), *((m, "members") for m in members)]:
        check_name(name, f"{path}: {field}")
    classes, size = data.get("class_names"), data.get("image_size", [1, 1])
    fits = isinstance(classes, list) and all(isinstance(name, str) for name in classes)
    require(fits, "data.class_names", "a list of texts", classes)
    fits = isinstance(size, list) and len(size) == 2 and all(type(side) is int and side > 0 for side in size)
    require(fits, "data.image_size", "height and width in pixels", size)
