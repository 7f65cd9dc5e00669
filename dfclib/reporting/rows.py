"""Recorded runs as rows of text, their keys the headings: the six attempts, the other systems, the experiment."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from dfclib.evaluation.metrics import per_class, summary
from dfclib.evaluation.published import PublishedResult, compare_with_published
from dfclib.predictions import Predictions
from dfclib.recipes import all_recipes, differences, find, resampling
from dfclib.reporting import captions
from dfclib.reporting.captions import AUTHOR, OURS
from dfclib.runs import Run, best_run
from dfclib.wording import MISSING, interval, percent, points

LADDER = {recipe.name: recipe.attempt for recipe in all_recipes() if recipe.attempt}
# The fields that a shorter scale may change, in words; the schedule follows from epochs.
SHORTENED = {
    "epochs": "{new} epochs instead of {old}",
    "image_size": "{new} pixels instead of {old}",
    "framing": "framing by {new} instead of {old}",
    "augmentation.interpolation": "{new} instead of {old} interpolation",
}

# One network of each system stands for it, one whose author's result is on the images that ours is measured on.
HEADLINES = {
    "attempt6": "Six attempts: the sixth",
    "s1-vote": "S1: a soft-voting pair",
    "s2-cnn": "S2: a CNN",
    "s3-vote": "S3: a seed ensemble",
    "s4-author": "S4: a CNN for Fashion-MNIST",
}
# Recipes that no author has: they stand beside the best author of those that are rebuilt.
OWN = {"sprint": "Ours: sprint", "sprint-vote": "Ours: three sprints' vote"}
CHANCE = 0.05  # p values below this are called more than chance, as in the notebooks' answers
TRAINED = ("scale", "epochs", "image size", "data", "device", "precision")


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


def recorded_seeds(runs: Sequence[Run], name: str) -> list[Run]:
    """The recorded runs of `name`, a recipe of ours, one per seed, the lowest first; none where none is recorded.

    Runs count that are on real images, by today's recipe with all of its epochs, and with the protocol `final`: on all
    training images, and without a look at validation before the end. All are of one data set and one scale, which is
    full where such a run is recorded.
    """
    known = [run for run in runs if run.recipe.name == name and run.protocol == "final" and not run.data["embedded"]]
    known = [run for run in known if run.is_current and not run.recipe.given_epochs]
    known.sort(key=lambda run: (("full", "compact", "quick").index(run.scale), run.data["name"], run.seed))
    return [run for run in known if _where(run) == _where(known[0])]


def best_author(published: Mapping[str, PublishedResult], predictions: Predictions) -> PublishedResult | None:
    """The most accurate of all authors' results on the validation images of `predictions`; None where there is none."""
    others = [one for one in published.values() if one.split == "validation" and one.is_of(predictions)]
    return max(others, key=lambda one: one.accuracy, default=None)


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
        row["held-out accuracy"] = over_seeds([run.metrics[split]["accuracy"] for run in found])
        row |= {"seeds": str(len(found)), "held-out images": f"{found[0].metrics[split]['n']:,}"}
        row["training accuracy"] = over_seeds([run.metrics["train_accuracy"] for run in found])
        for heading in ("epochs", "device", "precision"):
            row[heading] = ", ".join(dict.fromkeys(captions.conditions(run)[heading] for run in found))
        rows.append(row)
    return rows


def shown(runs: Sequence[Run], name: str) -> Run | None:
    """The run that stands for the recipe `name` where one is shown: published protocol, else as `best_run` chooses."""
    return best_run([run for run in runs if run.recipe.name == name and run.protocol == "published"])


def headline_rows(runs: Sequence[Run], published: Mapping[str, PublishedResult]) -> list[dict[str, str]]:
    """One row per system in HEADLINES: its author's accuracy and ours on the same images, and what was shortened.

    Then one per recipe in OWN, of its seeds together, beside the most that an author reached on the same images.
    """
    found = []
    for name, title in HEADLINES.items():
        run, author = shown(runs, name), published.get(name)
        if run is None or author is None or not author.is_of(run.predictions(author.split)):
            continue
        row = {"system": title, "images": f"{author.n:,} {author.split}", "author": percent(author.accuracy)}
        row["ours (95% interval)"] = with_interval(run)
        left = shortened(run) + ([] if run.is_current else ["trained by an earlier recipe"])
        found.append(row | {"what was shortened": ", ".join(left) or "nothing"})
    for name, title in OWN.items():
        mine = recorded_seeds(runs, name)
        judged = [run.predictions(run.recipe.reported_split) for run in mine]
        best = best_author(published, judged[0]) if judged else None
        if best is None:
            continue
        row = {"system": title, "images": f"{best.n:,} {best.split}"}
        row["author"] = f"{percent(best.accuracy)} (the best rebuilt here: {best.recipe})"
        seeds = f"{over_seeds([one.accuracy for one in judged])} ({len(mine)} seeds)"
        row["ours (95% interval)"] = with_interval(mine[0]) if len(mine) == 1 else seeds
        found.append(row | {"what was shortened": ", ".join(shortened(mine[0])) or "nothing"})
    return found


def comparison_rows(runs: Sequence[Run], published: Mapping[str, PublishedResult]) -> list[dict[str, str]]:
    """One row per network whose author published its matrix: accuracy and class 4 on the same images, his and ours.

    The last but one cell says whether McNemar's test finds more than chance, as far as two matrices can tell
    (`compare_with_published`).
    """
    found = []
    for name, author in published.items():
        run = shown(runs, name)
        if run is None or author.matrix is None or not author.is_of(run.predictions(author.split)):
            continue
        ours = run.predictions(author.split)
        compared = compare_with_published(author, ours)
        more = (
            "yes" if compared["highest_p"] < CHANCE else "not shown" if compared["lowest_p"] >= CHANCE else "undecided"
        )
        recalls = [per_class(predictions)["recall"].iloc[-1] for predictions in (author.predictions(), ours)]
        found.append(
            {
                "network": f"attempt {LADDER[name]}" if name in LADDER else name,
                "trained": _trained(captions.conditions(run), ("scale", "epochs")),
                "author": percent(author.accuracy),
                "ours (95% interval)": with_interval(run),
                "ours less author": f"{points(compared['difference'])} points",
                "more than chance": more,
                f"class {ours.class_names[-1]} found, author and ours": " and ".join(map(percent, recalls)),
            }
        )
    return found


def narrow_attempt_rows(
    runs: Sequence[Run], published: Mapping[str, PublishedResult]
) -> tuple[list[dict[str, str]], dict[str, str]]:
    """`attempt_rows` with the author's accuracy on the same images, in seven columns or less, and what all rows share.

    Cells that belong together stand in one column; a heading whose cells are all the same is no column.
    """
    table = []
    recipes = {title: name for name, title in LADDER.items()}
    for row in attempt_rows(runs):
        author, ours = published.get(recipes[row["attempt"]]), row[OURS]
        cells = {"attempt": row["attempt"], "author, Kaggle's test": row[AUTHOR]}
        cells["author, validation"] = "" if author is None else percent(author.accuracy)
        cells["ours, validation (95% interval)"] = f"{ours} ({row['95% interval']})"
        several = row.get("seeds", "1") != "1"
        cells["over seeds"] = f"{row['mean over seeds']}, {row['seeds']} seeds" if several else ""
        table.append(cells | {heading: row[heading] for heading in ("kept", "images", *TRAINED)})
    return narrow(table)


def narrow_system_rows(runs: Sequence[Run]) -> tuple[list[dict[str, str]], dict[str, str]]:
    """`system_rows` in seven columns or less, and what all rows share."""
    table = []
    for row in system_rows(runs):
        cells = {"recipe": row["recipe"], "author states": row["author"]}
        cells["ours (95% interval)"] = f"{row['ours']} ({row['95% interval']})"
        cells["ours (95% interval)"] += f", loss {row['loss']}" if row["loss"] else ""
        table.append(cells | {heading: row[heading] for heading in ("kept", "images", *TRAINED) if heading in row})
    return narrow(table)


def narrow_experiment_rows(runs: Sequence[Run]) -> tuple[list[dict[str, str]], dict[str, str]]:
    """`experiment_rows` without the columns that are the same in all rows, and these."""
    return narrow(experiment_rows(runs))


def shortened(run: Run) -> list[str]:
    """The changes that made `run` shorter than its full recipe, in words; for a vote, those of its members."""
    found: dict[str, dict[tuple[str, ...], None]] = {name: {} for name in SHORTENED}
    for full, member in zip(find(run.recipe.name).members, run.recipe.members, strict=True):
        for name, *values in differences(full, member):
            if name in SHORTENED:
                old, new = ("x".join(map(str, v)) if isinstance(v, tuple) else str(v) for v in values)
                found[name][old, new] = None
    return [_instead(SHORTENED[name], list(pairs)) for name, pairs in found.items() if pairs]


def in_all_rows(shared: Mapping[str, str]) -> str:
    """The cells that all rows of a table share, as a sentence: `In all rows: 3 seeds, device CPU.`; empty of none."""
    texts = []
    for heading, cell in shared.items():
        noun = heading.removesuffix("s") if cell == "1" else heading
        texts.append(f"{cell} {noun}" if cell.replace(",", "").isdigit() else f"{heading} {cell}")
    return f"In all rows: {', '.join(texts)}." if texts else ""


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
        "mean over seeds": over_seeds(accuracies) if len(runs) > 1 else "",
        "image size": ", ".join(f"{height}x{width}" for height, width in sorted(sizes)),
        "protocol": run.protocol,
        **captions.conditions(run),
    }


def shortened_lines(runs: Sequence[Run]) -> list[str]:
    """What was shortened in runs below full scale, one line for all that were shortened alike."""
    alike: dict[str, dict[str, None]] = {}
    for run in runs:
        changes, recipe = shortened(run), run.recipe.name
        if run.scale != "full" and changes:
            name = f"attempt {LADDER[recipe]}" if recipe in LADDER else recipe
            alike.setdefault(f"({run.scale_text}): {', '.join(changes)}", {})[name] = None
    return [f"{', '.join(names)} {changes}" for changes, names in alike.items()]


def claims_notes(runs: Sequence[Run]) -> list[str]:
    """What must be said of the authors' figures, each once: `s2-cnn: the author measures ...`."""
    notes = (f"{run.recipe.name}: {run.recipe.claims_note}" for run in runs if run.recipe.claims_note)
    return list(dict.fromkeys(notes))


def over_seeds(accuracies: Sequence[float]) -> str:
    """`76.9% ± 0.4`: mean and standard deviation (of a sample); of one seed the accuracy alone."""
    if len(accuracies) == 1:
        return percent(accuracies[0])
    return f"{percent(np.mean(accuracies))} ± {100 * np.std(accuracies, ddof=1):.1f}"


def _where(run: Run) -> tuple[str, str]:
    """The scale and the images of a run, which runs that are averaged have alike."""
    return run.scale, run.data["fingerprint"]


def with_interval(run: Run) -> str:
    """Accuracy on the images that the run is judged by: `90.9% (90.3% to 91.5%)`."""
    result = summary(run.predictions(run.recipe.reported_split))
    return f"{percent(result['accuracy'])} ({interval(result['low'], result['high'])})"


def _instead(text: str, pairs: Sequence[tuple[str, str]]) -> str:
    """What several networks have instead of what, by pairs of old and new; a value that all share stands once."""
    old, new = (list(dict.fromkeys(values)) for values in zip(*pairs, strict=True))
    if len(old) > 1 and len(new) > 1:  # which belongs to which must be said
        return " or ".join(text.format(old=one, new=other) for one, other in pairs)
    return text.format(old=" or ".join(old), new=" or ".join(new))


def _trained(row: Mapping[str, str], headings: Sequence[str]) -> str:
    """Those cells of a row that say how it was trained, in one: `compact, 10 epochs, 100x100`."""
    cells = [f"{row[h]} epochs" if h == "epochs" and row[h].isdigit() else row[h] for h in headings if h in row]
    return ", ".join(cells)


def narrow(table: Sequence[dict[str, str]]) -> tuple[list[dict[str, str]], dict[str, str]]:
    """The table with its cells on training in one column, without headings that all rows share, and these."""
    first, *_ = table[0] if table else [""]
    shared = {
        heading: table[0][heading]
        for heading in (table[0] if len(table) > 1 else ())
        if heading != first and len({row[heading] for row in table}) == 1
    }
    rows = []
    for row in table:
        cells = {heading: cell for heading, cell in row.items() if heading not in (*shared, *TRAINED)}
        trained = _trained(row, [heading for heading in TRAINED if heading not in shared])
        rows.append(cells | ({"trained": trained} if trained else {}))
    return rows, {heading: cell for heading, cell in shared.items() if cell}
