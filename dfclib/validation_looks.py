"""The ledger of looks at validation: every time that a recipe of ours is measured there, chosen or not.

A figure on images that were looked at a hundred times before is worth less than the first one. What trains, appends a
row; `record` carries rows along with a run, those of runs that are not recorded included.
"""

import csv
import io
from datetime import UTC, datetime
from pathlib import Path

from dfclib.files import write_text

FILE = "validation-looks.csv"  # in a folder of runs
COLUMNS = ("time", "run", "recipe_fingerprint", "correct", "n")


def note(runs_dir: Path | str, run: str, recipe_fingerprint: str, correct: int, n: int) -> None:
    """Append a row: time (UTC), run, its recipe's fingerprint (empty where there is no recipe), and what was seen."""
    row = (datetime.now(UTC).isoformat(timespec="seconds"), run, recipe_fingerprint, correct, n)
    path = Path(runs_dir) / FILE
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([row] if path.exists() else [COLUMNS, row])
    with path.open("a", encoding="utf-8") as file:  # at its end in one piece, so that two trainings lose no row
        file.write(text.getvalue())


def read(runs_dir: Path | str) -> list[dict[str, str]]:
    """The rows of a folder of runs, the first look first; none where there is no ledger."""
    path = Path(runs_dir) / FILE
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8")))) if path.exists() else []


def carry_over(source: Path | str, target: Path | str) -> None:
    """Add the rows of `source` that `target`, another folder of runs, does not have."""
    known, found = read(target), read(source)
    new = [row for row in found if row not in known]
    if new:
        text = io.StringIO()
        writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(sorted([*known, *new], key=lambda row: row["time"]))
        write_text(Path(target) / FILE, text.getvalue())
