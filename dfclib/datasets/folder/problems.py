"""What is wrong with a folder, collected so that all of it is reported together."""

LISTED = 10  # problems of one kind that are listed one by one


class Problems:
    """Problems by kind, each a line "where: what. What to do." Of each kind the first `listed` are kept; None: all."""

    def __init__(self, listed: int | None = LISTED) -> None:
        self._listed = listed
        self._lines: dict[str, list[str]] = {}
        self._counts: dict[str, int] = {}

    def add(self, kind: str, where: str, what: str, remedy: str) -> None:
        self._counts[kind] = self._counts.get(kind, 0) + 1
        if self._listed is None or self._counts[kind] <= self._listed:
            self._lines.setdefault(kind, []).append(f"{where}: {what}. {remedy}.")

    def __len__(self) -> int:
        return sum(self._counts.values())

    def lines(self) -> list[str]:
        """A line a problem, kinds in the order in which they were met; "... and 214 more" ends a long one."""
        result = []
        for kind, lines in self._lines.items():
            result += lines
            if self._counts[kind] > len(lines):
                result.append(f"... and {self._counts[kind] - len(lines):,} more like the last one")
        return result


def cannot_be_read(error: OSError, remedy: str = "Copy or download it again, or leave it out") -> tuple[str, str]:
    """What to say of a file or folder that the system refuses to open, and what to do (else `remedy`)."""
    if isinstance(error, PermissionError):
        remedy = "Give yourself the right to read it (chmod u+r, and for a folder u+x)"
    return f"cannot be read ({(error.strerror or str(error)).lower()})", remedy


def shown(text: str, longest: int = 60) -> str:
    """`text` in quotes on one line, control characters escaped, cut where it is long."""
    return repr(text if len(text) <= longest else text[: longest - 3] + "...")
