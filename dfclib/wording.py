"""Numbers as text: percentages, intervals, durations and tables, worded the same way everywhere."""

import math
import textwrap
from collections.abc import Mapping, Sequence
from itertools import zip_longest

MISSING = "–"


def percent(share: float | None, digits: int = 1) -> str:
    """A fraction as `77.8%`; an en dash where there is none (None or NaN)."""
    return MISSING if share is None or math.isnan(share) else f"{100 * share:.{digits}f}%"


def interval(low: float, high: float, digits: int = 1) -> str:
    """Two fractions as `75.5% to 80.1%`."""
    return f"{percent(low, digits)} to {percent(high, digits)}"


def points(difference: float, digits: int = 1) -> str:
    """A difference of two fractions in percentage points, with its sign: `+1.2`; no `-0.0`."""
    text = f"{100 * difference:+z.{digits}f}"
    return text.lstrip("+") if float(text) == 0 else text


def listed(items: Sequence[str]) -> str:
    """`1`, `1 and 2`, `1, 2 and 3`."""
    *first, last = items
    return f"{', '.join(first)} and {last}" if first else last


def duration(seconds: float) -> str:
    """`45 s` below 90 seconds, `29 min` below two hours, then `2.5 h`, and whole hours from ten on."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s" if seconds else "0 s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.{0 if seconds >= 36_000 else 1}f} h"


def text_table(rows: Sequence[Mapping[str, str]], heading_width: int | None = None) -> str:
    """Rows with the same headings as columns of text, two spaces apart, no line ending in spaces.

    heading_width: letters after which a heading goes on in another line, with an empty line below the headings
    """
    headings = list(rows[0])
    heads = [textwrap.wrap(heading, heading_width) if heading_width else [heading] for heading in headings]
    lines = [*zip_longest(*heads, fillvalue="")]
    if heading_width:
        lines.append([""] * len(headings))
    lines += [[row[heading] for heading in headings] for row in rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    padded = ("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)
    return "\n".join(line.rstrip() for line in padded)
