"""The problems of a folder, collected so that all of them are reported together."""

COPY_AGAIN = "Copy or download it again, or leave it out"
LISTED = 10  # problems of one kind that are listed one by one


class Problems:
    """Problems by kind, one line each: "where: what. Remedy." Of each kind `listed` are listed; None: all."""

    def __init__(self, listed: int | None = LISTED) -> None:
        self._listed = listed
        self._lines: dict[str, list[str]] = {}

    def add(self, kind: str, where: str, what: str, remedy: str) -> None:
        self._lines.setdefault(kind, []).append(f"{where}: {what}. {remedy}.")

    def __len__(self) -> int:
        return sum(map(len, self._lines.values()))

    def lines(self) -> list[str]:
        """One line per problem, kinds in the order in which they were met; "... and 214 more" ends a long list."""
        result = []
        for lines in self._lines.values():
            listed = lines[: self._listed]
            result += listed
            if len(lines) > len(listed):
                result.append(f"... and {len(lines) - len(listed):,} more like the last one")
        return result


def cannot_be_read(error: OSError, remedy: str = COPY_AGAIN) -> tuple[str, str]:
    """(problem, remedy) where the system refuses to open a file or folder; `remedy` unless rights are missing."""
    if isinstance(error, PermissionError):
        remedy = "Give yourself the right to read it (chmod u+r, and for a folder u+x)"
    return f"cannot be read ({(error.strerror or str(error)).lower()})", remedy


def shown(text: str, longest: int = 60) -> str:
    """`text` in quotes on one line, control characters escaped, cut where it is long."""
    return repr(text if len(text) <= longest else text[: longest - 3] + "...")
