"""What studies found and how often validation was looked at, in words: for the report and for the recipes' headers.

A study's results are the file that `python -m dfclib study` writes beside its table.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dfclib.files import read_json
from dfclib.training.study_results import RESULTS, describe
from dfclib.wording import MISSING, duration, interval, percent, points


def read_studies(folder: Path) -> dict[str, dict[str, Any]]:
    """The results of every study in `folder` on real images with at least one trained variant, by the study's name."""
    found = {path.name.removesuffix(RESULTS): read_json(path) for path in sorted(folder.glob(f"*{RESULTS}"))}
    return {name: v for name, v in found.items() if v["results"] and "embedded" not in v.get("about", {})}


def variant_lines(values: Mapping[str, Any]) -> list[str]:
    """The study's question, what it was asked on, and one line per trained variant: its difference to the first."""
    lines = [f"{_asked(values)}, points with 95% intervals:"]
    for row in variant_rows(values):
        variant, accuracy, within, difference, paired, _ = row.values()
        line = f"{variant}: {accuracy} ({within})"
        lines.append(line if variant == values["against"] else f"{line}, {difference} ({paired})")
    return lines


def variant_rows(values: Mapping[str, Any]) -> list[dict[str, str]]:
    """One row per trained variant of a study, with its difference to the first."""
    found = []
    for one in values["results"]:
        row = {"variant": one["variant"], "accuracy": percent(one["accuracy"])}
        row["95% interval"] = interval(one["low"], one["high"])
        differs = one["variant"] != values["against"]
        row["less the first, points"] = points(one["difference"]) if differs else MISSING
        ends = f"{points(one['difference_low'])} to {points(one['difference_high'])}"
        row["95% paired interval"] = ends if differs else MISSING
        found.append(row | {"a training took": duration(one["seconds"])})
    return found


def variant_note(values: Mapping[str, Any]) -> str:
    """The study's question, what it was asked on, and what was changed for all of its variants."""
    study = values["study"]
    return f"{_asked(values)}; {study['recipe']} with {describe(study['changes'])}."


def study_rows(studies: Mapping[str, Mapping[str, Any]]) -> list[dict[str, str]]:
    """One row per study: what it asks, how much of it is trained, and its best variant."""
    found = []
    for name, values in studies.items():
        best = max(values["results"], key=lambda row: row["accuracy"])
        row = {"study": f"[{name}](studies/{name}.md)", "question": values["study"]["question"]}
        row["trained"] = _trained(values)
        row["best on held-out images"] = f"{best['variant']}: {percent(best['accuracy'])}"
        found.append(row | {"interval (95%)": interval(best["low"], best["high"])})
    return found


def look_rows(looks: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    """The ledger of looks at validation as rows of text, the first look first."""
    found = []
    for look in looks:
        correct, n = int(look["correct"]), int(look["n"])
        row = {"looked at (UTC)": look["time"][:16].replace("T", " "), "run": look["run"]}
        row["recipe's fingerprint"] = look["recipe_fingerprint"]
        found.append(row | {"correct": f"{correct:,} of {n:,}", "accuracy": percent(correct / n)})
    return found


def seeds_each(study: Mapping[str, Any]) -> str:
    """`one seed each`, `3 seeds each`: how often each variant of a study is trained."""
    count = len(study["seeds"])
    return f"{'one seed' if count == 1 else f'{count} seeds'} each"


def _asked(values: Mapping[str, Any]) -> str:
    """The study's question, its images and seeds, and how much of it is trained."""
    study = values["study"]
    asked = f"{study['question']} On {values['images']:,} held-out images, {seeds_each(study)}"
    return f"{asked}, {_trained(values)}"


def _trained(values: Mapping[str, Any]) -> str:
    """`5 of 14 variants`; for a drawn search, which has no list, how many were trained."""
    study, count = values["study"], len(values["results"])
    asked = len(study["variants"]) or study["trials"]
    return f"{count} of {asked} variants" if asked else f"{count} variants"
