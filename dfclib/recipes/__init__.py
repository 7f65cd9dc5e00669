"""What to train, one file a system, parallel to dfclib.models."""

import difflib
from pathlib import Path

from dfclib.errors import UserError
from dfclib.files import read_json
from dfclib.recipes import cnn_and_mlp, fashion_mnist, resampling, seed_ensemble, six_attempts, soft_voting_pair
from dfclib.recipes.reading import from_dict
from dfclib.recipes.recipe import EnsembleRecipe, Recipe, differences

SYSTEMS = (six_attempts, soft_voting_pair, cnn_and_mlp, seed_ensemble, fashion_mnist, resampling)

__all__ = ["EnsembleRecipe", "Recipe", "all_recipes", "differences", "find", "from_dict", "load"]


def all_recipes() -> tuple[Recipe | EnsembleRecipe, ...]:
    """Every recipe at full scale: the six attempts in the story's order, the other systems, our experiments."""
    return tuple(recipe for system in SYSTEMS for recipe in system.RECIPES)


def find(name: str) -> Recipe | EnsembleRecipe:
    """The recipe called `name`, members of ensembles included. Raises UserError with near matches."""
    known = {recipe.name: recipe for recipe in all_recipes()}
    for ensemble in all_recipes():
        for member in ensemble.members:
            known.setdefault(member.name, member)
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
