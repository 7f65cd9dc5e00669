"""Tables that notebooks show: recipes and their changes, layers, images, results, votes, jumps.

A Table is text in a terminal and HTML in a notebook, and depends on no library's idea of how wide a terminal is, so
that a checked output holds on every machine. Without runs it is a sentence that says so.
"""

import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dfclib.datasets.images import Splits
from dfclib.datasets.traces import NEAR_BLACK
from dfclib.errors import UserError
from dfclib.evaluation.metrics import summary
from dfclib.evaluation.published import PublishedResult
from dfclib.predictions import Predictions
from dfclib.recipes import EnsembleRecipe, Recipe, differences
from dfclib.recipes.recipe import training_fields
from dfclib.reporting import captions
from dfclib.reporting.rows import shortened
from dfclib.runs import Run, load_run, took_part
from dfclib.wording import MISSING, interval, percent, text_table

if TYPE_CHECKING:
    import keras

SAME_IMAGES = "author, the same images"
NOT_RECORDED = "No run of this attempt on the competition's images is recorded in report/runs yet."


@dataclass(frozen=True)
class Table:
    """Rows of text with the same headings, and a note below. A notebook shows it as a cell's value."""

    rows: Sequence[dict[str, str]]
    note: str = ""

    def __repr__(self) -> str:
        text = f"{text_table(self.rows, heading_width=16)}\n" if self.rows else ""
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
    """One row per split: number of images, their size, images per class."""
    rows = []
    for name, images in (("training", splits.train), ("validation", splits.validation), ("test", splits.test)):
        if images is None:
            continue
        size = f"{images.size[0]}x{images.size[1]}, {images.channels} channel{'s' if images.channels > 1 else ''}"
        row = {"split": name, "images": f"{len(images):,}", "height x width": size}
        counts = images.class_counts() if images.labels is not None else [MISSING] * len(images.class_names)
        row |= {f"class {label}": str(count) for label, count in zip(images.class_names, counts, strict=True)}
        rows.append(row)
    return Table(rows, f"Data: {captions.splits_name(splits)}.")


def traces_table(measured: Mapping[str, Any]) -> Table:
    """`datasets.traces.trace_statistics` that are one number per class or channel: one row per class."""
    rows = []
    for i, name in enumerate(measured["class_names"]):
        row = {"class": name, "images": f"{measured['images'][i]:,}"}
        for what in ("mean", "deviation"):
            row[f"{what} of each channel"] = ", ".join(f"{value:.0f}" for value in measured[f"channel_{what}"][i])
        row |= {"fine grain": f"{measured['residual'][i]:.1f}", "near-black pixels": percent(measured["near_black"][i])}
        rows.append(row)
    return Table(
        rows,
        f"Data: {captions.data_name({'name': measured['data'], 'embedded': measured['embedded']})}. Channels and fine "
        "grain (mean absolute difference of a pixel from the mean of its 3x3 pixels) are of 255; near-black is darker "
        f"than {NEAR_BLACK}.",
    )


def recipe_table(recipe: Recipe) -> Table:
    """Every field of the training with its value, the builder's arguments one by one."""
    return Table([{"field": name, "value": _text(value)} for name, value in training_fields(recipe).items()])


def changes_table(old: Recipe, new: Recipe) -> Table:
    """The fields in which two trainings differ: field, old value, new value."""
    if old.name != new.name:
        names = [old.name, new.name]
    elif old.scale != new.scale:
        names = [f"{recipe.name}, {recipe.scale}" for recipe in (old, new)]
    else:
        names = ["before", "after"]
    columns = dict(zip(names, map(training_fields, (old, new)), strict=True))
    rows = []
    for field, _, _ in differences(old, new):
        values = {name: _text(column[field]) if field in column else MISSING for name, column in columns.items()}
        rows.append({"field": field} | values)
    return Table(rows)


def variants_table(ensemble: EnsembleRecipe) -> Table:
    """One row per voter: network, arguments that differ from the first voter of that network, parameters."""
    rows, first = [], {}
    for member in ensemble.members:
        base = first.setdefault(member.builder, member).arguments
        varied = ", ".join(f"{key} {_text(value)}" for key, value in member.arguments.items() if value != base[key])
        row = {"voter": member.name, "network": member.builder.rpartition(".")[2]}
        row |= {"varied": varied or "nothing but the seed", "seed": str(member.seed)}
        rows.append(row | {"parameters": MISSING if member.parameters is None else f"{member.parameters:,}"})
    return Table(rows)


def layers_table(model: "keras.Model") -> Table:
    """One row per layer: name, kind, output's height, width and channels (or units), parameters."""
    rows = []
    for layer in model.layers:
        output = " x ".join(str(side) for side in layer.output.shape[1:])
        row = {"layer": layer.name, "kind": type(layer).__name__, "output": output}
        rows.append(row | {"parameters": f"{layer.count_params():,}"})
    return Table(rows, f"{model.count_params():,} parameters.")


def accuracy_cells(predictions: Predictions, split: str = "") -> dict[str, str]:
    """Two cells, accuracy and its 95% Wilson interval. split: what the first heading says before "accuracy"."""
    result = summary(predictions)
    accuracy, its_interval = percent(result["accuracy"]), interval(result["low"], result["high"])
    return {f"{split} accuracy".strip(): accuracy, "95% interval": its_interval}


def results_table(runs: Sequence[Run]) -> Table:
    """Accuracy of each run in training, at the kept epoch, and on validation (S4: on test), the same for all `runs`."""
    rows = []
    for run in runs:
        split = run.recipe.reported_split
        predictions, train = run.predictions(split), run.metrics.get("train_accuracy")
        less = MISSING if train is None else f"{100 * (train - predictions.accuracy):.1f} points"
        row = {"run": run.name, "epochs (kept)": _epochs(run), "training accuracy": percent(train)}
        row |= accuracy_cells(predictions, split)
        rows.append(row | {f"{split} images": f"{len(predictions):,}", f"training less {split}": less})
    return Table(rows, _data_note(runs) if rows else NOT_RECORDED)


def recorded_table(runs: Sequence[Run], published: Mapping[str, PublishedResult] | None = None) -> Table:
    """Recorded runs with one column each: the author's accuracy, ours, and what it was measured with.

    published: the authors' results by recipe; one on the images of its run is shown beside ours
    """
    if not runs:
        return Table([], NOT_RECORDED)
    columns = {run.recipe.title: _recorded_column(run, (published or {}).get(run.recipe.name)) for run in runs}
    headings = dict.fromkeys(key for column in columns.values() for key in column)
    rows = [{"": key} | {title: column.get(key, MISSING) for title, column in columns.items()} for key in headings]
    note = _comparability_note(runs)
    if SAME_IMAGES in headings and runs[0].recipe.attempt:
        note += " The author's accuracy on the same images and ours may be."
    return Table(rows, note)


def fluctuation_table(runs: Sequence[Run]) -> Table:
    """`captions.fluctuation`, one row per run of a single model."""
    rows = []
    for run in runs:
        row = {"run": run.name, "epochs": str(len(run.history))}
        row[captions.JUMP] = captions.fluctuation(run)
        rows.append(row | {"validation images": f"{run.metrics['validation']['n']:,}"})
    return Table(rows, _data_note(runs) if rows else NOT_RECORDED)


def vote_table(run: Run) -> Table:
    """Validation accuracy of each voter and of their hard vote; below, how many images had a tie.

    Raises UserError where `run` is no hard vote, or a voter's run does not lie beside it.
    """
    if not run.members or run.recipe.vote != "hard":
        raise UserError(f"run {run.name} is not a hard vote: there are no votes to count")
    rows = []
    for voter in [*(load_run(run.path.parent / name) for name in run.members), run]:
        predictions = voter.predictions("validation")
        name = "the vote" if voter is run else f"{voter.recipe.name}, seed {voter.seed}"
        if voter is not run and not took_part(run, voter):
            name += " (trained again since the vote)"
        rows.append({"voter": name, **accuracy_cells(predictions, "validation"), "images": f"{len(predictions):,}"})
    vote = run.predictions("validation")
    shares = vote.require_probabilities()  # of the votes
    voted = shares[np.arange(len(vote)), vote.require_labels()] > 0
    tied = np.count_nonzero(shares == shares.max(axis=1, keepdims=True), axis=1) > 1
    note = f"Of {len(vote):,} images, {voted.sum():,} had a vote for the truth, and {tied.sum():,} a tie"
    return Table(rows, f"{note} for the most votes. {_data_note([run])}")


def predictions_table(**columns: Predictions) -> Table:
    """One row per image, in the order that all `columns` share: id, class that each predicts, truth where known."""
    first = next(iter(columns.values()))
    rows = []
    for i, id_ in enumerate(first.ids):
        cells = {name: p.class_names[p.predicted[i]] for name, p in columns.items()}
        truth = {} if first.labels is None else {"truth": first.class_names[first.labels[i]]}
        rows.append({"image": str(id_), **cells, **truth})
    return Table(rows)


def _recorded_column(run: Run, published: PublishedResult | None) -> dict[str, str]:
    split, claims = run.recipe.reported_split, run.recipe.claims
    accuracy, its_interval = accuracy_cells(run.predictions(split)).values()
    held_out = run.metrics["held_out"]["n"] if "held_out" in run.splits else 0
    if run.recipe.attempt:
        author = {captions.AUTHOR: percent(claims.get("public_test"))}
    else:
        author = {"author": captions.author_figures(claims) or MISSING}
    if published is not None and published.split == split and published.is_of(run.predictions(split)):
        author[SAME_IMAGES] = f"{percent(published.accuracy)} ({interval(*published.interval)})"
    if run.recipe.claims_note:
        author["of the author's"] = run.recipe.claims_note
    return author | {
        f"ours, {split}": accuracy,
        "95% interval of ours": its_interval,
        f"{split} images": f"{len(run.predictions(split)):,}",
        "training images": f"{run.data['counts']['train'] - held_out:,}",
        "data": captions.data_name(run.data),
        "scale": run.scale_text,
        "shortened": "nothing" if run.scale == "full" else "; ".join(shortened(run)) or "nothing",
        "epochs (kept)": _epochs(run),
        "kept": captions.kept(run.recipe),
        "seed": str(run.seed),
        "device": captions.device_name(run),
        "precision": captions.measured_in(run, "precision"),
    }


def _comparability_note(runs: Sequence[Run]) -> str:
    """Say whether the author's accuracy may be subtracted from ours."""
    if runs[0].recipe.attempt:
        return "The public test and validation are different images: accuracies on them are not to be subtracted."
    split = runs[0].recipe.reported_split
    text = f"Author's {split} accuracy and ours come from the same {split} images"
    kaggle = any("kaggle" in run.recipe.claims for run in runs)
    return f"{text}; on Kaggle's test images we have measured nothing." if kaggle else f"{text}."


def _epochs(run: Run) -> str:
    return captions.epochs(run) + ("" if run.members else f" ({run.metrics['kept_epoch']})")


def _data_note(runs: Sequence[Run]) -> str:
    """Whose images `runs` were measured on; where they are different ones, which runs are recorded ones of others."""
    by_data: dict[str, list[str]] = {}
    for run in runs:
        by_data.setdefault(captions.data_name(run.data), []).append(run.recipe.name)
    if len(by_data) == 1:
        return f"Data: {next(iter(by_data))}."
    texts = [f"{data} ({', '.join(names)})" for data, names in by_data.items()]
    return f"Different images: {'; '.join(texts)}. Accuracies on different images are not to be subtracted."


def _text(value: Any) -> str:
    """A field's value in words."""
    if value is None or value == {}:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if is_dataclass(value):
        parts = dict(vars(value))
        kind = parts.pop("kind", "")
        return " ".join([kind, ", ".join(f"{name} {_text(part)}" for name, part in parts.items())]).strip()
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_text(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return f"[{', '.join(_text(item) for item in value)}]"
    if isinstance(value, float):
        return f"{value:g}"
    return re.sub(r"^dfclib\.models\.\w+\.", "", str(value))
