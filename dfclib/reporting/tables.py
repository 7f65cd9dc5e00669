"""What the notebooks show as tables: recipes and their changes, layers, images, results, votes, swings.

A Table is text in a terminal and HTML in a notebook, without any library's idea of how wide a terminal is, so that a
checked output holds on every machine.
"""

import html
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dfclib.datasets.images import Splits
from dfclib.errors import UserError
from dfclib.evaluation.metrics import AUTHOR, author_figures, data_name, kept, summary, validation_fluctuation
from dfclib.predictions import Predictions
from dfclib.recipes import EnsembleRecipe, Recipe, differences
from dfclib.recipes.recipe import training_fields
from dfclib.reporting.readme import plain_table, shortened
from dfclib.runs import Run, load_run

if TYPE_CHECKING:
    import keras

NOT_RECORDED = "No run of this attempt on the competition's images is recorded in report/runs yet."
MISSING = "–"


@dataclass(frozen=True)
class Table:
    """Rows of text with the same headings, and a sentence below. A notebook shows it as a cell's value."""

    rows: Sequence[dict[str, str]]
    note: str = ""

    def __repr__(self) -> str:
        text = plain_table(self.rows) if self.rows else ""
        return "\n".join(part for part in (text, self.note) if part).rstrip("\n")

    def _repr_html_(self) -> str:
        note = f"<p>{html.escape(self.note)}</p>" if self.note else ""
        if not self.rows:
            return note
        style = ' style="text-align: left"'
        head = "".join(f"<th{style}>{html.escape(name)}</th>" for name in self.rows[0])
        body = "".join(
            "<tr>" + "".join(f"<td{style}>{html.escape(cell)}</td>" for cell in row.values()) + "</tr>\n"
            for row in self.rows
        )
        return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody>\n</table>\n{note}"


def images_table(splits: Splits) -> Table:
    """One row a split: images, their size, images a class."""
    parts = {"training": splits.train, "validation": splits.validation, "test": splits.test}
    rows = []
    for name, images in parts.items():
        if images is None:
            continue
        size = f"{images.size[0]}x{images.size[1]}, {images.channels} channel{'s' if images.channels > 1 else ''}"
        row = {"split": name, "images": f"{len(images):,}", "height x width": size}
        counts = images.class_counts() if images.labels is not None else [MISSING] * len(images.class_names)
        row |= {f"class {label}": str(count) for label, count in zip(images.class_names, counts, strict=True)}
        rows.append(row)
    return Table(rows, f"Data: {data_name({'embedded': splits.embedded, 'name': splits.name})}.")


def recipe_table(recipe: Recipe) -> Table:
    """Every field of the training with its value, the builder's arguments one by one."""
    rows = [{"field": f, "value": _text(v)} for f, v in training_fields(recipe).items()]
    return Table(rows)


def changes_table(old: Recipe, new: Recipe) -> Table:
    """What `new` trains otherwise than `old`: field, old value, new value."""
    before, after = training_fields(old), training_fields(new)
    names = (old.name, new.name)
    if old.name == new.name:
        names = (
            ("before", "after") if old.scale == new.scale else (f"{old.name}, {old.scale}", f"{new.name}, {new.scale}")
        )
    rows = [
        {"field": name, names[0]: _cell(before, name), names[1]: _cell(after, name)}
        for name, _, _ in differences(old, new)
    ]
    return Table(rows)


def variants_table(ensemble: EnsembleRecipe) -> Table:
    """One row a voter: the builder, how its arguments differ from those of the first voter with that builder, and
    trainable parameters at its scale."""
    from dfclib.training import build_model, trainable_parameters

    rows, first = [], {}
    for member in ensemble.members:
        base = first.setdefault(member.builder, member).arguments
        what = ", ".join(f"{key} {_text(value)}" for key, value in member.arguments.items() if value != base[key])
        rows.append(
            {
                "voter": member.name,
                "network": member.builder.rpartition(".")[2],
                "varied": what or "nothing but the seed",
                "seed": str(member.seed),
                "parameters": f"{trainable_parameters(build_model(member, channels=3, classes=5)):,}",
            }
        )
    return Table(rows)


def layers_table(model: "keras.Model") -> Table:
    """One row a layer: name, kind, output's height, width and channels (or units), parameters."""
    rows = [
        {
            "layer": layer.name,
            "kind": type(layer).__name__,
            "output": " x ".join(str(side) for side in layer.output.shape[1:]),
            "parameters": f"{layer.count_params():,}",
        }
        for layer in model.layers
    ]
    return Table(rows, f"{model.count_params():,} parameters.")


def results_table(runs: Sequence[Run]) -> Table:
    """One row a run: accuracy in training, at the epoch that was kept, and on validation (S4: on test), with its
    interval."""
    rows = []
    for run in runs:
        split = run.recipe.reported_split
        result, metrics = summary(run.predictions(split)), run.metrics
        train = metrics.get("train_accuracy")
        less = MISSING if train is None else f"{100 * (train - result['accuracy']):.1f} points"
        rows.append(
            {
                "run": run.name,
                "epochs (kept)": _epochs(run),
                "training accuracy": MISSING if train is None else _percent(train),
                f"{split} accuracy": _percent(result["accuracy"]),
                "95% interval": f"{_percent(result['low'])} to {_percent(result['high'])}",
                f"{split} images": f"{result['n']:,}",
                f"training less {split}": less,
            }
        )
    return Table(rows, _data_note(runs) if rows else NOT_RECORDED)


def recorded_table(runs: Sequence[Run]) -> Table:
    """What is recorded of one or more attempts: author's figure, ours with its company; a sentence where nothing is."""
    if not runs:
        return Table([], NOT_RECORDED)
    columns = {run.recipe.title: _recorded_column(run) for run in runs}
    headings = dict.fromkeys(key for column in columns.values() for key in column)
    rows = [{"": key} | {title: column.get(key, MISSING) for title, column in columns.items()} for key in headings]
    return Table(rows, _on_which_images(runs))


def fluctuation_table(runs: Sequence[Run]) -> Table:
    """`metrics.validation_fluctuation` of each run of a single model, in points."""
    rows = []
    for run in runs:
        swing = validation_fluctuation(run.history)
        rows.append(
            {
                "run": run.name,
                "epochs": str(len(run.history)),
                "fluctuation": "too few epochs to tell" if math.isnan(swing) else f"{swing:.1f} points",
                "validation images": f"{run.metrics['validation']['n']:,}",
            }
        )
    return Table(rows, _data_note(runs) if rows else NOT_RECORDED)


def vote_table(run: Run) -> Table:
    """Each voter's accuracy on validation and the hard vote's, with intervals; below, how the votes fell.

    Raises UserError where `run` is no hard vote, or a voter's run does not lie beside it.
    """
    if not run.members or run.recipe.vote != "hard":
        raise UserError(f"run {run.name} is not a hard vote: there are no votes to count")
    rows = []
    for voter in [*(load_run(run.path.parent / name) for name in run.members), run]:
        result = summary(voter.predictions("validation"))
        rows.append(
            {
                "voter": "the vote" if voter is run else f"{voter.recipe.name}, seed {voter.seed}",
                "validation accuracy": _percent(result["accuracy"]),
                "95% interval": f"{_percent(result['low'])} to {_percent(result['high'])}",
                "images": f"{result['n']:,}",
            }
        )
    vote = run.predictions("validation")
    voted = vote.probabilities[np.arange(len(vote)), vote.labels] > 0  # shares of the votes
    note = (
        f"Of {len(vote):,} images, {np.count_nonzero(voted):,} had a vote for the truth, and "
        f"{np.count_nonzero(_tied(vote)):,} a tie for the most votes. {_data_note([run])}"
    )
    return Table(rows, note)


def predictions_table(**columns: Predictions) -> Table:
    """One row an image: its id and what each of `columns`, which hold the same images in the same order, says of it."""
    first = next(iter(columns.values()))
    rows = []
    for i, id_ in enumerate(first.ids):
        cells = {name: p.class_names[p.predicted[i]] for name, p in columns.items()}
        truth = {} if first.labels is None else {"truth": first.class_names[first.labels[i]]}
        rows.append({"image": str(id_), **cells, **truth})
    return Table(rows)


def _recorded_column(run: Run) -> dict[str, str]:
    split, claims = run.recipe.reported_split, run.recipe.claims
    result = summary(run.predictions(split))
    where = run.environment
    full = run.scale == "full"
    held_out = run.metrics["held_out"]["n"] if "held_out" in run.splits else 0
    if run.recipe.attempt:
        author = {AUTHOR: _percent(claims["public_test"]) if "public_test" in claims else MISSING}
    else:
        author = {"author": author_figures(claims) or MISSING}
    if run.recipe.claims_note:
        author["of the author's"] = run.recipe.claims_note
    return author | {
        f"ours, {split}": _percent(result["accuracy"]),
        "95% interval of ours": f"{_percent(result['low'])} to {_percent(result['high'])}",
        f"{split} images": f"{result['n']:,}",
        "training images": f"{run.data['counts']['train'] - held_out:,}",
        "data": data_name(run.data),
        "scale": run.scale_text,
        "shortened": "nothing" if full else "; ".join(shortened(run)),
        "epochs (kept)": _epochs(run),
        "kept": kept(run.recipe),
        "seed": str(run.seed),
        "device": where.get("device_name") or where["device"] or MISSING,
        "precision": where["precision"] or MISSING,
    }


def _on_which_images(runs: Sequence[Run]) -> str:
    """Whether the author's figure may be subtracted from ours."""
    if runs[0].recipe.attempt:
        return "The two accuracies were measured on different images: they are not to be subtracted."
    split = runs[0].recipe.reported_split
    text = f"Author's {split} accuracy and ours come from the same {split} images"
    kaggle = any("kaggle" in run.recipe.claims for run in runs)
    return f"{text}; on Kaggle's test images we have measured nothing." if kaggle else f"{text}."


def _epochs(run: Run) -> str:
    if run.members:
        return f"{len(run.members)} voters"
    return f"{run.metrics['epochs']} ({run.metrics['kept_epoch']})"


def _data_note(runs: Sequence[Run]) -> str:
    return "Data: " + "; ".join(dict.fromkeys(data_name(run.data) for run in runs)) + "."


def _tied(vote: Predictions) -> np.ndarray:
    """Whether more than one class got the most votes: bool (n,). A hard vote's probabilities are shares."""
    shares = vote.probabilities
    return np.count_nonzero(shares == shares.max(axis=1, keepdims=True), axis=1) > 1


def _cell(values: dict[str, Any], name: str) -> str:
    return _text(values[name]) if name in values else MISSING


def _text(value: Any) -> str:
    """A field's value as somebody would say it."""
    if value is None or value == {}:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if is_dataclass(value):
        parts = {f.name: getattr(value, f.name) for f in fields(value)}
        kind = parts.pop("kind", "")
        return " ".join([kind, ", ".join(f"{name} {_text(part)}" for name, part in parts.items())]).strip()
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_text(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return f"[{', '.join(_text(item) for item in value)}]"
    if isinstance(value, float):
        return f"{value:g}"
    return re.sub(r"^dfclib\.models\.\w+\.", "", str(value))


def _percent(share: float) -> str:
    return f"{100 * share:.1f}%"
