"""CSV files of predictions: `image_id,label` and perhaps one probability column per class."""

import csv
import io
import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from dfclib.errors import UserError
from dfclib.files import write_text
from dfclib.predictions import Predictions

INTEGER = re.compile(r"0|[1-9][0-9]*")


def read_predictions(path: Path | str) -> Predictions:
    """Read predictions from a CSV file: `image_id,label` and perhaps one probability column per class.

    With probability columns the classes are their headings, in their order. Without, they are the labels that
    occur in the file, sorted (whole numbers by value); `ensembles.align` brings files with different ones together.
    `labels`, the true ones, is None. Raises UserError, naming the row, where it is no such file.
    """
    path = Path(path)
    rows = _read_rows(path)
    header_row, header = rows[0]
    if header[:2] != ["image_id", "label"]:
        raise UserError(f"{path}, row {header_row}: expected a header image_id,label,...; received {','.join(header)}")
    classes = header[2:]
    for i, name in enumerate(classes):
        if not name or name in classes[:i]:
            raise UserError(f"{path}, row {header_row}: column {i + 3} is named {name!r}: no name, or one used twice")
    if len(rows) == 1:
        raise UserError(f"{path} has a header but no rows: no predictions to read")
    seen: dict[str, int] = {}
    probabilities = np.empty((len(rows) - 1, len(classes)), np.float32)
    for i, (number, row) in enumerate(rows[1:]):
        where = f"{path}, row {number}"
        if len(row) != len(header):
            raise UserError(f"{where}: expected {len(header)} columns as in the header, received {len(row)}")
        if "" in row[:2]:
            raise UserError(f"{where}: {header[row.index('')]} is empty")
        if row[0] in seen:
            raise UserError(f"{where}: image_id {row[0]!r} stands in row {seen[row[0]]} already; keep one of them")
        seen[row[0]] = number
        if classes:
            if row[1] not in classes:
                raise UserError(f"{where}: label {row[1]!r} is none of the columns {', '.join(classes)}")
            probabilities[i] = _read_probabilities(row[2:], classes, where)
    labels = [row[1] for _, row in rows[1:]]
    class_names = tuple(classes) if classes else sorted_labels(labels, str(path))
    index = {name: i for i, name in enumerate(class_names)}
    return Predictions(
        ids=np.array(list(seen)),
        predicted=np.array([index[label] for label in labels], np.int64),
        class_names=class_names,
        probabilities=probabilities if classes else None,
    )


def write_predictions(predictions: Predictions, path: Path | str) -> Path:
    """Write class names as labels and, where there are probabilities, one column of them per class, atomically.

    Nine digits are enough to read the same float32 back. A link is followed, /dev/stdout or a pipe written into.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    shares, names = predictions.probabilities, predictions.class_names
    writer.writerow(["image_id", "label", *(() if shares is None else names)])
    for i, (id_, label) in enumerate(zip(predictions.ids, predictions.predicted, strict=True)):
        writer.writerow([id_, names[label], *(() if shares is None else (f"{share:.9g}" for share in shares[i]))])
    return write_text(path, text.getvalue(), follow_links=True)


def sorted_labels(labels: Iterable[str], where: str) -> tuple[str, ...]:
    """The different labels, whole numbers by value. Raises UserError where numbers and names are mixed."""
    found = sorted(set(labels), key=label_key)
    numbers = [label for label in found if INTEGER.fullmatch(label)]
    if numbers and len(numbers) < len(found):
        other = next(label for label in found if label not in numbers)
        raise UserError(f"{where}: labels are both whole numbers ({numbers[0]!r}) and names ({other!r})")
    return tuple(found)


def label_key(label: str) -> tuple[int, str]:
    """A key to sort class names by: whole numbers by value, names alphabetically."""
    return (int(label), label) if INTEGER.fullmatch(label) else (0, label)


def _read_rows(path: Path) -> list[tuple[int, list[str]]]:
    """(row in the file, stripped cells) for each row that is not blank, the header first."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, strict=True)
            rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if any(map(str.strip, row))]
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist: give a run's folder or a CSV file of predictions") from error
    except IsADirectoryError as error:
        raise UserError(f"{path} is a folder, not a CSV file of predictions") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} is not a CSV file in UTF-8: {error}") from error
    if not rows:
        raise UserError(f"{path} is empty: expected the header image_id,label and one row per image")
    return rows


def _read_probabilities(cells: Sequence[str], classes: Sequence[str], where: str) -> list[float]:
    values = []
    for name, cell in zip(classes, cells, strict=True):
        try:
            value = float(cell)
        except ValueError:
            value = math.nan
        if not 0 <= value <= 1:
            raise UserError(f"{where}: the probability of {name!r} must be a number from 0 to 1, received {cell!r}")
        values.append(value)
    if abs(math.fsum(values) - 1) > 0.01:
        raise UserError(f"{where}: the probabilities must add up to 1, received {math.fsum(values):.4g}")
    return values
