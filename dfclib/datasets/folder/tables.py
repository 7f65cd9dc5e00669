"""The CSV files of a folder: rows, ids that are fit to name a file, and labels as classes 0..k-1."""

import csv
import io
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dfclib.datasets.folder.image_files import ImageFile
from dfclib.datasets.folder.problems import Problems, cannot_be_read, shown

FEWEST_CLASSES, MOST_CLASSES = 2, 1000
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_LABEL_RULE = "Labels are either all integers 0..k-1 or all names"
_ID_RULE = "An image_id is the name of a file without folder and extension"


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
    header, rows = None, []
    for where, cells in _read_cells(path, problems):
        if header is None:
            header = cells
            others = [column for column in header if column not in columns]
            if others and all(header.count(column) == 1 for column in columns):
                notices.append(f"{name} has {len(others)} more column(s), {shown(others[0])} for one: not used")
            elif sorted(header) != sorted(columns):
                text = ",".join(header)
                hint = next((f" (separated by {c!r}?)" for c in ";\t" if c in text), "")
                problems.add("columns", where, f"the columns are {shown(text)}{hint}", wanted)
                return []
        elif len(cells) != len(header):
            remedy = f"Write {len(header)} values separated by commas, as in the first line"
            problems.add("row", where, f"{len(cells)} values in {shown(','.join(cells))}", remedy)
        else:
            values = dict(zip(header, cells, strict=True))
            rows.append(Row(where, values["image_id"], values["label"] if "label" in columns else None))
    if len(problems) == before and header is None:
        problems.add("columns", name, "the file is empty", wanted + ", and each further line name an image")
    elif len(problems) == before and not rows:
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


def id_is_sound(row: Row, split: str, seen: dict[str, Row], problems: Problems) -> bool:
    """Whether an id may be looked up as a file; `seen` remembers the ids of all splits."""
    id_, name = row.id, shown(row.id)

    def add(kind: str, what: str, remedy: str = _ID_RULE) -> None:
        problems.add(kind, row.where, what, remedy)

    if not id_:
        add("id", "the image_id is empty", "Write one, or remove the line")
    elif any(ord(character) < 32 or ord(character) == 127 for character in id_):
        add("id", f"image_id {name} contains a control character")
    elif id_[0] in "/\\" or re.match("[A-Za-z]:", id_):
        add("id", f"image_id {name} is an absolute path")
    elif ".." in re.split(r"[/\\]", id_):
        add("id", f"image_id {name} climbs out of the folder")
    elif "/" in id_ or "\\" in id_ or id_ == ".":
        add("id", f"image_id {name} contains a path separator or is none")
    # no id holds a slash from here on, so the three kinds of key do not meet
    elif (twin := seen.setdefault(f"{split}/{id_}", row)) is not row:
        add("duplicate", f"image_id {name} is already in {twin.where}", "Remove one of the two lines")
    else:
        elsewhere, alike = seen.setdefault(id_, row), seen.setdefault(f"{split}//{id_.casefold()}", row)
        if elsewhere is not row:
            remedy = "Remove it from one of the splits, or rename one of two different images"
            add("two splits", f"image_id {name} is already in {elsewhere.where}", remedy)
        if alike is not row:
            what = f"image_id {name} and {shown(alike.id)} in {alike.where} differ only in case"
            add("case", what, "Rename one: many file systems take them for one file")
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
    kinds = {text: _kind(text) for text, _ in labels}
    votes = Counter(kinds[text] for text, _ in labels)
    wanted = "name" if votes["name"] > votes["integer"] else "integer"
    first: dict[str, str] = {}  # where a label stands first
    for text, where in labels:
        first.setdefault(text, where)
        _check_kind(text, where, kinds[text], wanted, problems)
    names = sorted(text for text, kind in kinds.items() if kind == wanted)
    if wanted == "name":
        alike: dict[str, str] = {}
        for name in names:
            if (other := alike.setdefault(name.casefold(), name)) != name:
                notices.append(f"labels {shown(other)} and {shown(name)} differ only in case and are two classes")
    else:
        names.sort(key=lambda text: (len(_digits(text)), _digits(text)))
        _find_gaps(names, first, problems)
    if labels:
        _count_classes(names, re.sub(" line [0-9]+$", "", labels[0][1]), problems)
    in_train = {row.label for row in rows.get("train", ())}
    for name in names:
        if in_train and name not in in_train:
            what = f"label {shown(name)} has no training images"
            remedy = "Add training images of this class, or correct the label"
            problems.add("class without training images", first[name], what, remedy)
    return {name: number for number, name in enumerate(names)}, tuple(names)


def _kind(text: str) -> str:
    if not text:
        return "empty"
    if not _NUMBER.fullmatch(text):
        return "name"
    if text.isdigit():
        return "integer"
    return "negative" if text.startswith("-") else "fraction"


def _check_kind(label: str, where: str, kind: str, wanted: str, problems: Problems) -> None:
    text, remedy = shown(label), f"{_LABEL_RULE}: correct it"
    if kind == wanted:
        return
    if kind == "empty":
        what, remedy = "the label is empty", "Write one, or remove the line"
    elif kind == "negative":
        what = f"label {text} is negative"
    elif kind == "fraction":
        what = f"label {text} is not written as an integer"
        if whole := re.fullmatch(r"\+?([0-9]+)(\.0*)?", label):
            remedy = f"{_LABEL_RULE}: write {whole[1]}"
    else:
        what = f"label {text} is {'an integer' if kind == 'integer' else 'a name'} where most labels are {wanted}s"
        remedy = f"{_LABEL_RULE}: make them alike"
    problems.add(kind, where, what, remedy)


def _digits(text: str) -> str:
    """An integer's digits without leading zeros: int() would refuse a label of 5,000 digits."""
    return text.lstrip("0") or "0"


def _find_gaps(names: list[str], first: dict[str, str], problems: Problems) -> None:
    spellings: dict[str, str] = {}  # digits: as they are written first
    for name in names:
        if (other := spellings.setdefault(_digits(name), name)) != name:
            what = f"the number {shown(name)} is also written {shown(other)}, in {first[other]}"
            problems.add("two spellings", first[name], what, "Write it one way")
    for expected, (number, name) in enumerate(spellings.items()):
        if number != str(expected):
            known = ", ".join(map(shown, list(spellings)[:8])) + (" ..." if len(spellings) > 8 else "")
            what = f"label {shown(number)} leaves a gap: no image has label {expected} ({known})"
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
