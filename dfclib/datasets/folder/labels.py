"""Labels as people write them, into classes 0..k-1: all integers 0..k-1, or all names."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from dfclib.datasets.folder.problems import Problems, shown

FEWEST_CLASSES, MOST_CLASSES = 2, 1000
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_RULE = "Labels are either all integers 0..k-1 or all names"


@dataclass(frozen=True)
class LabelledPlace:
    """A label as it is written, where it stands ("train.csv line 5"), and in which split."""

    where: str
    split: str
    text: str


def interpret_labels(
    labels: Sequence[LabelledPlace], problems: Problems, notices: list[str]
) -> tuple[dict[str, int], tuple[str, ...]]:
    """Number the classes: ({label as written: class}, class names in the order of the numbers).

    Integers are ordered as numbers and names alphabetically. Every label that breaks a rule is added to
    `problems`; what remains is numbered all the same, so that a report can count it.
    """
    kinds = {text: _kind(text) for text in {label.text for label in labels}}
    votes = Counter(kinds[label.text] for label in labels)
    named = votes["name"] > votes["integer"]
    for label in labels:
        _judge(label, kinds[label.text], named, problems)
    usable = {text for text, kind in kinds.items() if kind == ("name" if named else "integer")}
    first = {}
    for label in labels:
        first.setdefault(label.text, label)
    names = sorted(usable) if named else sorted(usable, key=lambda text: (len(_digits(text)), _digits(text), text))
    if named:
        _warn_of_likeness(names, notices)
    else:
        _find_gaps(names, first, problems)
    _count_classes(names, labels, problems)
    in_train = {label.text for label in labels if label.split == "train"}
    for name in names:
        if in_train and name not in in_train:
            problems.add(
                "class without training images",
                first[name].where,
                f"label {shown(name)} has no training images",
                "Add training images of this class, or correct the label",
            )
    return {name: number for number, name in enumerate(names)}, tuple(names)


def _kind(text: str) -> str:
    if not text:
        return "empty"
    if not _NUMBER.fullmatch(text):
        return "name"
    if text.isdigit():
        return "integer"
    return "negative" if text.startswith("-") else "fraction"


def _judge(label: LabelledPlace, kind: str, named: bool, problems: Problems) -> None:
    text = shown(label.text)
    if kind == "empty":
        problems.add("empty label", label.where, "the label is empty", "Write one, or remove the line")
    elif kind == "negative":
        problems.add("negative label", label.where, f"label {text} is negative", f"{_RULE}: correct it")
    elif kind == "fraction":
        whole = re.fullmatch(r"\+?([0-9]+)(\.0*)?", label.text)
        remedy = f"write {whole[1]}" if whole else "correct it"
        problems.add("fraction", label.where, f"label {text} is not written as an integer", f"{_RULE}: {remedy}")
    elif (kind == "name") != named:
        most = "names" if named else "integers"
        what = f"label {text} is {'a name' if kind == 'name' else 'an integer'} where most labels are {most}"
        problems.add("mixed labels", label.where, what, f"{_RULE}: make them alike")


def _digits(text: str) -> str:
    """An integer's digits without leading zeros: int() would refuse a label of 5,000 digits."""
    return text.lstrip("0") or "0"


def _find_gaps(names: list[str], first: dict[str, LabelledPlace], problems: Problems) -> None:
    for before, name in zip(names, names[1:], strict=False):
        if _digits(before) == _digits(name):
            what = f"the number {shown(name)} is also written {shown(before)}, in {first[before].where}"
            problems.add("two spellings", first[name].where, what, "Write it one way")
    numbers = list(dict.fromkeys(map(_digits, names)))
    for expected, number in enumerate(numbers):
        if number != str(expected):
            where = next(first[name].where for name in names if _digits(name) == number)
            known = ", ".join(shown(name) for name in numbers[:8]) + (" ..." if len(numbers) > 8 else "")
            problems.add(
                "gap",
                where,
                f"label {shown(number)} leaves a gap: no image has label {expected} ({known})",
                f"Number the {len(numbers)} classes 0..{len(numbers) - 1}, or give them names",
            )
            return


def _count_classes(names: list[str], labels: Sequence[LabelledPlace], problems: Problems) -> None:
    if labels and len(names) < FEWEST_CLASSES:
        problems.add(
            "classes",
            re.sub(" line [0-9]+$", "", labels[0].where),
            f"there is {len(names)} class ({', '.join(map(shown, names))})" if names else "there is no class",
            f"At least {FEWEST_CLASSES} are needed: check the labels",
        )
    elif len(names) > MOST_CLASSES:
        problems.add(
            "classes",
            re.sub(" line [0-9]+$", "", labels[0].where),
            f"there are {len(names):,} different labels, from {shown(names[0])} to {shown(names[-1])}",
            f"At most {MOST_CLASSES:,} classes are supported: check that these are the labels",
        )


def _warn_of_likeness(names: list[str], notices: list[str]) -> None:
    alike: dict[str, str] = {}
    for name in names:
        other = alike.setdefault(name.casefold(), name)
        if other != name:
            notices.append(f"labels {shown(other)} and {shown(name)} differ only in case and are two classes")
