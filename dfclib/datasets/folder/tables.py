"""The CSV files of a folder: rows, ids that are fit to name a file, and labels as classes 0..k-1."""

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dfclib.datasets.folder.image_files import ImageFile
from dfclib.datasets.folder.problems import Problems, cannot_be_read, shown

FEWEST_CLASSES, MOST_CLASSES = 2, 1000


@dataclass
class Row:
    """An image that a CSV row or a class folder names.

    where: "train.csv line 5" or "train/cat/"; label: as it is written, None in a test split
    file: None until it is found, and where it cannot be used
    """

    where: str
    id: str
    label: str | None
    file: ImageFile | None = None


def read_rows(path: Path, columns: tuple[str, ...], problems: Problems, notices: list[str]) -> list[Row]:
    """The rows of a CSV file; blank lines are passed over, everything else that is wrong is a problem.

    Columns beyond `columns` are a notice: their values are not used.
    """
    name, before = path.name, len(problems)
    wanted = f"The first line must read {','.join(columns)}"
    lines = _read_cells(path, problems)
    if not lines:
        if len(problems) == before:
            problems.add("columns", name, "the file is empty", wanted + ", and each further line name an image")
        return []
    place, header = lines[0]
    if any(header.count(column) != 1 for column in columns):
        text = ",".join(header)
        hint = next((f" (separated by {c!r}?)" for c in ";\t" if c in text), "")
        problems.add("columns", place, f"the columns are {shown(text)}{hint}", wanted)
        return []
    if others := [column for column in header if column not in columns]:
        notices.append(f"{name} has {len(others)} more column(s), {shown(others[0])} for one: not used")
    rows = []
    for where, cells in lines[1:]:
        if len(cells) == len(header):
            values = dict(zip(header, cells, strict=True))
            rows.append(Row(where, values["image_id"], values["label"] if "label" in columns else None))
        else:
            remedy = f"Write {len(header)} values separated by commas, as in the first line"
            problems.add("row", where, f"{len(cells)} values in {shown(','.join(cells))}", remedy)
    if not rows and len(problems) == before:
        problems.add("columns", name, "no row follows the header", f"Add a line for each image, or remove {name}")
    return rows


def _read_cells(path: Path, problems: Problems) -> list[tuple[str, list[str]]]:
    """(place, cells) of each line that is not blank."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        problems.add("csv", path.name, f"is not UTF-8 text (byte {error.start})", "Save it as CSV, UTF-8")
        return []
    except OSError as error:
        problems.add("csv", path.name, *cannot_be_read(error, "Put a readable CSV file there"))
        return []
    # newline="": the reader sees \n, \r\n and \r as lines, as an editor does
    reader = csv.reader(io.StringIO(text, newline=""), skipinitialspace=True)
    lines, start = [], 1
    try:
        for cells in reader:
            where, end = f"{path.name} line {start}", reader.line_num
            if end > start:
                what = f"a quote opens here and closes in line {end} or never"
                problems.add("csv", where, what, "Close it in its line")
            elif any(map(str.strip, cells)) or len(cells) > 1:
                lines.append((where, [cell.strip() for cell in cells]))
            start = end + 1
    except csv.Error as error:
        what = f"cannot be read ({error})"
        problems.add("csv", f"{path.name} line {start}", what, "Check the quotes in this line")
    return lines


def id_is_sound(row: Row, split: str, seen: dict[str | tuple[str, str], Row], problems: Problems) -> bool:
    """Whether an id may be looked up as a file; `seen` remembers the ids of all splits."""
    id_, name, add = row.id, shown(row.id), problems.add
    if not id_:
        add("id", row.where, "the image_id is empty", "Write one, or remove the line")
    elif re.search(r"[/\\\x00-\x1f\x7f]|^[A-Za-z]:|^\.\.?$", id_):
        what = f"image_id {name} is no file name: it holds a path or a control character"
        add("id", row.where, what, "An image_id is the name of a file without folder and extension")
    elif (twin := seen.setdefault(id_, row)) is not row:
        remedy = "Remove one of the two lines, or rename one of two different images"
        add("duplicate", row.where, f"image_id {name} is already in {twin.where}", remedy)
    else:
        if (alike := seen.setdefault((split, id_.casefold()), row)) is not row:
            what = f"image_id {name} and {shown(alike.id)} in {alike.where} differ only in case"
            add("case", row.where, what, "Rename one: many file systems take them for one file")
        return True
    return False


def interpret_labels(
    rows: Mapping[str, Sequence[Row]], problems: Problems, notices: list[str]
) -> tuple[dict[str, int], tuple[str, ...]]:
    """Number the classes of all splits, integers as numbers, names alphabetically: {label: class}, and the class names.

    Every label that breaks a rule is added to `problems`; the others are numbered all the same, so that a report can
    count them.
    """
    labelled = [row for found in rows.values() for row in found if row.label is not None]
    labels = list(dict.fromkeys((row.label, row.where) for row in labelled))  # a class folder counts once
    kinds = [_kind(text) for text, _ in labels]
    wanted = "name" if kinds.count("name") > kinds.count("integer") else "integer"
    first: dict[str, str] = {}  # where a label of that kind stands first
    for (text, where), kind in zip(labels, kinds, strict=True):
        if kind == wanted:
            first.setdefault(text, where)
        else:
            problems.add(f"{kind} label", where, *_wrong_kind(text, kind, wanted))
    names = sorted(first)
    if wanted == "integer":
        names.sort(key=int)
        _find_gaps(names, first, problems)
    alike: dict[str, str] = {}
    for name in names:
        if (other := alike.setdefault(name.casefold(), name)) != name:
            notices.append(f"labels {shown(other)} and {shown(name)} differ only in case and are two classes")
    if labels:
        _count_classes(names, re.sub(" line [0-9]+$", "", labels[0][1]), problems)
    in_train = {row.label for row in rows.get("train", ())}
    for name in names:
        if in_train and name not in in_train:
            what = f"label {shown(name)} has no training images"
            remedy = "Add training images of this class, or correct the label"
            problems.add("class without training images", first[name], what, remedy)
    return {name: number for number, name in enumerate(names)}, tuple(names)


def _kind(label: str) -> str:
    if not label:
        return "empty"
    if not re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", label):
        return "name"
    return "integer" if re.fullmatch("[0-9]{1,9}", label) else "number"


def _wrong_kind(label: str, kind: str, wanted: str) -> tuple[str, str]:
    """(problem, remedy) of a label of another kind than most."""
    rule = "Labels are either all integers 0..k-1 or all names"
    if kind == "empty":
        return "the label is empty", "Write one, or remove the line"
    if kind == "number":
        whole = re.fullmatch(r"\+?([0-9]{1,9})(\.0*)?", label)
        remedy = f"write {whole[1]}" if whole else "correct it"
        return f"label {shown(label)} is no integer 0..k-1", f"{rule}: {remedy}"
    what = "an integer" if kind == "integer" else "a name"
    return f"label {shown(label)} is {what} where most labels are {wanted}s", f"{rule}: make them alike"


def _find_gaps(names: list[str], first: dict[str, str], problems: Problems) -> None:
    spellings: dict[int, str] = {}  # as a number is written first
    for name in names:
        if (other := spellings.setdefault(int(name), name)) != name:
            what = f"the number {shown(name)} is also written {shown(other)}, in {first[other]}"
            problems.add("two spellings", first[name], what, "Write it one way")
    for expected, (number, name) in enumerate(spellings.items()):
        if number != expected:
            known = ", ".join(map(str, list(spellings)[:8])) + (" ..." if len(spellings) > 8 else "")
            what = f"label {shown(name)} leaves a gap: no image has label {expected} (found: {known})"
            remedy = f"Number the {len(spellings)} classes 0..{len(spellings) - 1}, or give them names"
            problems.add("gap", first[name], what, remedy)
            return


def _count_classes(names: list[str], where: str, problems: Problems) -> None:
    if len(names) < FEWEST_CLASSES:
        what = f"there is {len(names)} class ({', '.join(map(shown, names))})" if names else "there is no class"
        problems.add("classes", where, what, f"At least {FEWEST_CLASSES} are needed: check the labels")
    elif len(names) > MOST_CLASSES:
        what = f"there are {len(names):,} different labels, from {shown(names[0])} to {shown(names[-1])}"
        remedy = f"At most {MOST_CLASSES:,} classes are supported: check that these are the labels"
        problems.add("classes", where, what, remedy)
