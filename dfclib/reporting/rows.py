"""Recorded runs as rows of text, their keys the headings: the six attempts, the other systems, the experiment."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from dfclib.evaluation.metrics import summary
from dfclib.recipes import all_recipes, differences, find, resampling
from dfclib.reporting import captions
from dfclib.reporting.captions import AUTHOR, OURS
from dfclib.runs import Run
from dfclib.wording import MISSING, interval, percent

LADDER = {recipe.name: recipe.attempt for recipe in all_recipes() if recipe.attempt}
# The fields that a shorter scale may change, in words; the schedule follows from epochs.
SHORTENED = {
    "epochs": "{new} epochs instead of {old}",
    "image_size": "{new[0]}x{new[1]} pixels instead of {old[0]}x{old[1]}",
    "framing": "framing by {new} instead of {old}",
    "augmentation.interpolation": "{new} instead of {old} interpolation",
}


def attempt_runs(runs: Sequence[Run]) -> list[Run]:
    """The runs of the six attempts, in the story's order; members of a vote left out."""
    order = list(LADDER)
    found = [run for run in runs if run.recipe.name in order]
    return sorted(found, key=lambda run: (order.index(run.recipe.name), run.name))


def system_runs(runs: Sequence[Run]) -> list[Run]:
    """The runs of systems other than attempts and experiments, in the recipes' order, the published protocol first."""
    order = [r.name for r in all_recipes() if not r.attempt and r.reported_split != "held_out"]
    found = [run for run in runs if run.recipe.name in order]
    return sorted(found, key=lambda run: (order.index(run.recipe.name), run.protocol == "held_out", run.name))


def experiment_runs(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """The runs of the experiment on resampling, by recipe in its order, seeds ascending."""
    groups: dict[str, list[Run]] = {recipe.name: [] for recipe in resampling.RECIPES}
    for run in sorted(runs, key=lambda run: run.seed):
        if run.recipe.name in groups and run.is_current:
            groups[run.recipe.name].append(run)
    return {name: found for name, found in groups.items() if found}


def ladder(runs: Sequence[Run]) -> pd.DataFrame:
    """The six attempts in their order: the author's accuracy on the public test, ours on validation.

    The two come from different images and are not to be subtracted. One row per attempt, data set, scale, protocol,
    device and precision; of several seeds it shows the lowest, with their number, mean and standard deviation.
    Accuracies and the ends of the 95% Wilson interval are fractions.
    """
    groups: dict[tuple, list[Run]] = {}
    for run in sorted(runs, key=lambda run: run.seed):
        if run.recipe.name in LADDER:
            groups.setdefault(_setting(run), []).append(run)
    return pd.DataFrame([_ladder_row(groups[key]) for key in sorted(groups)])


def attempt_rows(runs: Sequence[Run]) -> list[dict[str, str]]:
    """The rows of `ladder` as text: one dictionary per row, its keys the headings."""
    table = ladder(runs).to_dict("records")
    several = any(row["seeds"] > 1 for row in table)
    rows = []
    for row in table:
        author = percent(row[AUTHOR]).replace(".0%", "%").replace(MISSING, "")  # as it is stated, if it is
        cells = {"attempt": row["attempt"], AUTHOR: author}
        cells |= {OURS: percent(row[OURS]), "95% interval": interval(row["low"], row["high"])}
        cells["images"] = f"{row['n']:,}"
        if several:
            cells |= {"mean over seeds": row["mean over seeds"], "seeds": str(row["seeds"])}
        same = ("scale", "image size", "epochs", "kept", "data", "device", "precision")
        rows.append(cells | {heading: row[heading] for heading in same})
    return rows


def system_rows(runs: Sequence[Run]) -> list[dict[str, str]]:
    """The author's figures and ours on the same images: one dictionary per run, its keys the headings."""
    rows = []
    for run in runs:
        split, claims = run.recipe.reported_split, run.recipe.claims
        result = summary(run.predictions(split))
        author = captions.author_figures(claims)
        if "test_loss" in claims:
            author += f", loss {claims['test_loss']:g}"
        row = {"system": run.recipe.system, "recipe": run.recipe.name}
        row["author"] = "" if run.data["embedded"] else author  # no author measured on generated images
        row["ours"] = f"{split} {percent(result['accuracy'])}"
        row["95% interval"] = interval(result["low"], result["high"])
        row["loss"] = "" if split == "validation" else f"{result['log_loss']:.4f}"
        row["images"] = f"{result['n']:,}"
        rows.append(row | captions.conditions(run))
    return rows


def experiment_rows(runs: Sequence[Run]) -> list[dict[str, str]]:
    """The accuracy that resampling costs: mean and deviation over seeds, one row per way of resampling."""
    rows = []
    for found in experiment_runs(runs).values():
        split = found[0].recipe.reported_split
        row = {"training images": found[0].recipe.title}
        row["held-out accuracy"] = _over_seeds([run.metrics[split]["accuracy"] for run in found])
        row |= {"seeds": str(len(found)), "held-out images": f"{found[0].metrics[split]['n']:,}"}
        row["training accuracy"] = _over_seeds([run.metrics["train_accuracy"] for run in found])
        for heading in ("epochs", "device", "precision"):
            row[heading] = ", ".join(dict.fromkeys(captions.conditions(run)[heading] for run in found))
        rows.append(row)
    return rows


def shortened(run: Run) -> list[str]:
    """The changes that made `run` shorter than its full recipe, in words; for a vote, those of its members."""
    found: dict[str, dict[str, None]] = {name: {} for name in SHORTENED}
    for full, member in zip(find(run.recipe.name).members, run.recipe.members, strict=True):
        for name, old, new in differences(full, member):
            if name in SHORTENED:
                found[name][SHORTENED[name].format(old=old, new=new)] = None
    return [" or ".join(texts) for texts in found.values() if texts]


def _setting(run: Run) -> tuple:
    """The same for all seeds of one training, and the order of the ladder's rows."""
    order = list(LADDER).index(run.recipe.name)
    scale = ("quick", "compact", "full").index(run.scale), run.recipe.given_epochs or 0, run.is_current
    data = run.data["name"], run.data["fingerprint"]
    where = (captions.measured_in(run, key) for key in ("device", "precision"))
    return order, data, *scale, run.protocol, *where


def _ladder_row(runs: Sequence[Run]) -> dict:
    """One row from the seeds of one attempt, ascending."""
    run = runs[0]
    result = summary(run.predictions("validation"))
    accuracies = [run.predictions("validation").accuracy for run in runs]
    sizes = {member.image_size for member in run.recipe.members}
    return {
        "attempt": LADDER[run.recipe.name],
        AUTHOR: run.recipe.claims.get("public_test", np.nan),
        OURS: result["accuracy"],
        **{name: result[name] for name in ("low", "high", "n")},
        "seeds": len(runs),
        "mean over seeds": _over_seeds(accuracies) if len(runs) > 1 else "",
        "image size": ", ".join(f"{height}x{width}" for height, width in sorted(sizes)),
        "protocol": run.protocol,
        **captions.conditions(run),
    }


def _over_seeds(accuracies: Sequence[float]) -> str:
    """`76.9% ± 0.4`: mean and standard deviation (of a sample); of one seed the accuracy alone."""
    if len(accuracies) == 1:
        return percent(accuracies[0])
    return f"{percent(np.mean(accuracies))} ± {100 * np.std(accuracies, ddof=1):.1f}"
