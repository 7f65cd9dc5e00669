"""Curves over the epochs of runs: accuracy and loss, validation accuracy of several runs, learning rates.

Votes have no epochs: among several runs they are left out, alone they raise UserError.
"""

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from dfclib.errors import UserError
from dfclib.reporting.captions import JUMP, WATCHED, data_name, fluctuation, heading, kept, scale
from dfclib.reporting.figures import style
from dfclib.runs import Run

# The images that `val_` columns are about, by protocol; `final` has no such columns, and looks at validation at the end
SPLITS = {"published": "validation", "held_out": "held_out", "final": "validation"}


def curves(run: Run) -> Figure:
    """Accuracy and loss over the epochs, in training and on the images watched, if any; the kept epoch is marked."""
    history = run.history
    if not len(history):
        raise UserError(f"run {run.name} is a vote over {len(run.members)} runs: it has no epochs to draw")
    split, watched = SPLITS[run.protocol], WATCHED[run.protocol]
    images = run.metrics[split]["n"]
    train = run.data["counts"]["train"] - (images if split == "held_out" else 0)
    watches = run.protocol != "final"
    n = f"n = {train:,} training" + (f", {images:,} {watched.removesuffix(' images')}" if watches else "") + " images"
    title, note = heading(run).splitlines()
    figure = style.new_figure(5.2, f"{title}\n{n}", note=note)
    panels = figure.subplots(2, 1, sharex=True)
    # what is minimised is then another loss than the one that is measured on validation
    smoothed = " (loss of smoothed labels)" if run.recipe.label_smoothing else ""
    epoch = run.metrics["kept_epoch"]
    for axes, column, factor, unit in ((panels[0], "accuracy", 100, "%"), (panels[1], "loss", 1, "nats")):
        style.draw_line(axes, history["epoch"], factor * history[column], 1, f"training{smoothed}")
        if watches:
            style.draw_line(axes, history["epoch"], factor * history[f"val_{column}"], 0, watched)
        axes.axvline(epoch, color="0.35", linewidth=1.2, linestyle=(0, (1, 2)), label=f"epoch {epoch}, kept")
        style.label_axes(axes, "epoch" if column == "loss" else "", f"{column}, {unit}")
    panels[1].xaxis.set_major_locator(MaxNLocator(integer=True))
    style.legend_below(figure, panels[0], columns=1 if smoothed else 3)
    return figure


def validation_curves(runs: Sequence[Run]) -> Figure:
    """Accuracy on the images watched over the epochs, one line per run; the legend gives their typical jumps."""
    runs = [run for run in _with_epochs(runs) if run.protocol != "final"]
    watched = " or ".join(sorted({WATCHED[run.protocol] for run in runs}))
    figure = style.new_figure(4.4, f"Accuracy on {watched}\n{_common_caption(runs, watched=True)}")
    axes = figure.subplots()
    for i, run in enumerate(runs):
        label = f"{_name(run, runs)} ({fluctuation(run)})"
        style.draw_line(axes, run.history["epoch"], 100 * run.history["val_accuracy"], i, label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    style.label_axes(axes, "epoch", "accuracy, %")
    style.legend_below(figure, axes, columns=1, title=f"in brackets: {JUMP}")
    return figure


def learning_rates(runs: Sequence[Run]) -> Figure:
    """The learning rate at the end of each epoch, on a logarithmic axis, one line per run."""
    runs = _with_epochs(runs)
    figure = style.new_figure(3.6, f"Learning rate\n{_common_caption(runs)}")
    axes = figure.subplots()
    for i, run in enumerate(runs):
        style.draw_line(axes, run.history["epoch"], run.history["learning_rate"], i, _name(run, runs))
    axes.set_yscale("log")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    style.label_axes(axes, "epoch", "learning rate")
    style.legend_below(figure, axes, columns=2 if _are_alike(runs) else 1)
    return figure


def _with_epochs(runs: Sequence[Run]) -> list[Run]:
    trained = [run for run in runs if not run.members]
    if not trained:
        raise UserError(f"none of the {len(runs)} runs has epochs to draw: give runs of single models")
    return trained


def _common_caption(runs: Sequence[Run], watched: bool = False) -> str:
    """What all runs share, else `_name` tells them apart. watched: also the kept epoch and the images watched"""
    if not _are_alike(runs):
        return "trained differently, or on different data: see the names"
    texts = [scale(runs[0].scale_text), data_name(runs[0].data)]
    if watched and len({kept(run.recipe) for run in runs}) == 1:
        texts.append(f"kept: {kept(runs[0].recipe)}")
    return ", ".join([*texts, f"n = {_watched(runs[0]):,}"] if watched else texts)


def _watched(run: Run) -> int:
    return run.metrics[SPLITS[run.protocol]]["n"]


def _are_alike(runs: Sequence[Run]) -> bool:
    """Whether runs have the same scale, data, protocol and number of images watched: their curves can be compared."""
    return len({(run.scale_text, data_name(run.data), run.protocol, _watched(run)) for run in runs}) == 1


def _name(run: Run, runs: Sequence[Run]) -> str:
    """The shortest name that tells `run` from the other `runs`: `attempt4, compact, earlier recipe`."""
    parts = [run.recipe.name]
    if [other.recipe.name for other in runs].count(run.recipe.name) > 1:
        parts.append(f"seed {run.seed}")
    if not _are_alike(runs):
        parts.append(run.scale_text)
    if len({data_name(other.data) for other in runs}) > 1:
        parts.append(data_name(run.data).partition(",")[0])
    if run.protocol == "held_out" and len({other.protocol for other in runs}) > 1:
        parts.append("a tenth held out")
    return ", ".join(parts)
