"""The rows of train.csv, validation.csv and test.csv, and whether their ids are fit to name a file."""

import csv
import io
import re
from dataclasses import dataclass
from pathlib import Path

from dfclib.datasets.folder.problems import Problems, cannot_be_read, shown


@dataclass(frozen=True)
class Row:
    """An image that a CSV row or a class folder names.

    where: "train.csv line 5" or the file's name; label: as it is written, None in a test split
    """

    where: str
    id: str
    label: str | None


def read_rows(path: Path, columns: tuple[str, ...], problems: Problems, notices: list[str]) -> list[Row]:
    """The rows of a CSV file; blank lines are passed over, everything else that is wrong is a problem.

    Columns beyond `columns` are a notice: their values are not used.
    """
    name, add = path.name, problems.add
    wanted = f"The first line must read {','.join(columns)}"
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        add("csv", name, f"is not UTF-8 text (byte {error.start})", "Save it as CSV, UTF-8")
        return []
    except OSError as error:
        add("csv", name, *cannot_be_read(error, "Put a readable CSV file there"))
        return []
    # newline="": the reader sees \n, \r\n and \r as lines, as an editor does
    reader = csv.reader(io.StringIO(text, newline=""), skipinitialspace=True)
    header, rows, line, before = None, [], 0, len(problems)
    while True:
        start = line + 1
        try:
            cells = [cell.strip() for cell in next(reader)]
        except StopIteration:
            break
        except csv.Error as error:
            add("csv", f"{name} line {start}", f"cannot be read ({error})", "Check the quotes in this line")
            break
        line = reader.line_num
        where = f"{name} line {start}"
        if not any(cells) and len(cells) < 2:
            continue
        if line > start:
            what = f"a quote opens here and closes in line {line} or never"
            add("csv", where, what, "Close it in its line")
        elif header is None:
            header = cells
            others = [column for column in header if column not in columns]
            if others and all(header.count(column) == 1 for column in columns):
                notices.append(f"{name} has {len(others)} more column(s), {shown(others[0])} for one: not used")
            elif sorted(header) != sorted(columns):
                other = next((f" (separated by {c!r}?)" for c in ";\t" if c in text.splitlines()[start - 1]), "")
                add("columns", where, f"the columns are {shown(','.join(header))}{other}", wanted)
                return []
        elif len(cells) != len(header):
            remedy = f"Write {len(header)} values separated by commas, as in the first line"
            add("row", where, f"{len(cells)} values in {shown(','.join(cells))}", remedy)
        else:
            values = dict(zip(header, cells, strict=True))
            rows.append(Row(where, values["image_id"], values["label"] if "label" in columns else None))
    if header is None:
        add("columns", name, "the file is empty", wanted + ", and each further line name an image")
    elif not rows and len(problems) == before:
        add("columns", name, "no row follows the header", f"Add a line for each image, or remove {name}")
    return rows


def id_is_sound(row: Row, split: str, seen: dict[str, Row], problems: Problems) -> bool:
    """Whether an id may be looked up as a file; `seen` remembers the ids of all splits, in lower case."""
    add = problems.add
    remedy = "An image_id is the name of a file without folder and extension"
    id_ = row.id
    if not id_:
        add("id", row.where, "the image_id is empty", "Write one, or remove the line")
    elif any(ord(character) < 32 or ord(character) == 127 for character in id_):
        add("id", row.where, f"image_id {shown(id_)} contains a control character", remedy)
    elif id_[0] in "/\\" or re.match("[A-Za-z]:", id_):
        add("id", row.where, f"image_id {shown(id_)} is an absolute path", remedy)
    elif ".." in re.split(r"[/\\]", id_):
        add("id", row.where, f"image_id {shown(id_)} climbs out of the folder", remedy)
    elif "/" in id_ or "\\" in id_ or id_ == ".":
        add("id", row.where, f"image_id {shown(id_)} contains a path separator or is none", remedy)
    else:
        # no id holds a slash here, so the three kinds of key do not meet
        twin = seen.setdefault(f"{split}/{id_}", row)
        elsewhere = seen.setdefault(id_, row)
        alike = seen.setdefault(f"{split}//{id_.casefold()}", row)
        if twin is not row:
            what = f"image_id {shown(id_)} is already in {twin.where}"
            add("duplicate", row.where, what, "Remove one of the two lines")
            return False
        if elsewhere is not row:
            what = f"image_id {shown(id_)} is already in {elsewhere.where}"
            remedy = "Remove it from one of the splits, or rename one of two different images"
            add("two splits", row.where, what, remedy)
        if alike is not row:
            what = f"image_id {shown(id_)} and {shown(alike.id)} in {alike.where} differ only in case"
            add("case", row.where, what, "Rename one: many file systems take them for one file")
        return True
    return False
