"""The ledger of looks at validation: every time that a recipe of ours is measured there, chosen or not.

A figure on images that were looked at a hundred times before is worth less than the first one. What trains, appends a
row; `record` carries rows along with a run, those of runs that are not recorded included.
"""

import csv
import io
from datetime import UTC, datetime
from pathlib import Path

from dfclib.files import write_text
from dfclib.predictions import Predictions
from dfclib.recipes.recipe import EnsembleRecipe, Recipe

FILE = "validation-looks.csv"  # in a folder of runs
COLUMNS = ("time", "run", "recipe_fingerprint", "correct", "n")


def note(runs_dir: Path | str, run: str, recipe: Recipe | EnsembleRecipe, validation: Predictions) -> None:
    """Append a row: time (UTC), run, its recipe's fingerprint, and what was seen, correct of n."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    seen = (str(int(validation.correct.sum())), str(len(validation)))
    _write(Path(runs_dir), [*read(runs_dir), dict(zip(COLUMNS, (now, run, recipe.fingerprint, *seen), strict=True))])


def read(runs_dir: Path | str) -> list[dict[str, str]]:
    """The rows of a folder of runs, the first look first; none where there is no ledger."""
    path = Path(runs_dir) / FILE
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8")))) if path.exists() else []


def carry_over(source: Path | str, target: Path | str) -> None:
    """Add the rows of `source` that `target`, another folder of runs, does not have."""
    known, found = read(target), read(source)
    new = [row for row in found if row not in known]
    if new:
        _write(Path(target), sorted([*known, *new], key=lambda row: row["time"]))


def _write(folder: Path, rows: list[dict[str, str]]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(folder / FILE, text.getvalue())
