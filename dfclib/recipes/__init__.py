"""Recipes, one file per system, parallel to dfclib.models."""

import difflib
import importlib
import pkgutil
from pathlib import Path
from types import ModuleType

from dfclib.errors import UserError
from dfclib.files import read_json
from dfclib.recipes import (
    cnn_and_mlp,
    fashion_mnist,
    flagship,
    resampling,
    seed_ensemble,
    six_attempts,
    soft_voting_pair,
)
from dfclib.recipes.reading import from_dict
from dfclib.recipes.recipe import EnsembleRecipe, Recipe, differences


def _added() -> list[ModuleType]:
    """Files in this folder with RECIPES that the story does not name: a recipe is added by its file alone."""
    modules = [importlib.import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__)]
    return [module for module in modules if hasattr(module, "RECIPES") and module not in STORY]


STORY = (six_attempts, soft_voting_pair, cnn_and_mlp, seed_ensemble, fashion_mnist, flagship, resampling)
SYSTEMS = (*STORY, *_added())

__all__ = ["EnsembleRecipe", "Recipe", "all_recipes", "by_name", "differences", "find", "from_dict", "load"]


def all_recipes() -> tuple[Recipe | EnsembleRecipe, ...]:
    """Every recipe at full scale: the six attempts in the story's order, the other systems, our experiments."""
    return tuple(recipe for system in SYSTEMS for recipe in system.RECIPES)


def by_name() -> dict[str, Recipe | EnsembleRecipe]:
    """Every recipe by its name, and members of ensembles that are none themselves."""
    known = {recipe.name: recipe for recipe in all_recipes()}
    for ensemble in all_recipes():
        for member in ensemble.members:
            known.setdefault(member.name, member)
    return known


def find(name: str) -> Recipe | EnsembleRecipe:
    """The recipe called `name`, members of ensembles included. Raises UserError with near matches."""
    known = by_name()
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, n=3)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known are {', '.join(known)}."
    raise UserError(f"no recipe is called {name!r}: {hint}")


def load(path: Path | str) -> Recipe | EnsembleRecipe:
    """A recipe from a JSON file: a run's recipe.json, perhaps edited, or the recipe's fields alone.

    Raises UserError naming the file and the field that is unknown, missing or ill-typed.
    """
    values = read_json(path)
    if isinstance(values, dict) and isinstance(values.get("recipe"), dict):
        values = values["recipe"]
    return from_dict(values, where=str(path))
