"""Figures from runs, predictions and images: each function returns a matplotlib Figure, without pyplot.

`style` says how they look. `save` writes one figure, `make_all` those of several runs. Those of predictions raise
UserError as the functions of `evaluation` do whose results they draw.
"""
# ruff: noqa: F401  # imported for those who draw

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from dfclib.errors import UserError
from dfclib.evaluation.published import published_results
from dfclib.files import write_atomically
from dfclib.reporting import rows
from dfclib.reporting.captions import caption, heading
from dfclib.reporting.figures.curves import curves, learning_rates, validation_curves
from dfclib.reporting.figures.images import augmentation_preview, class_balance, samples, traces
from dfclib.reporting.figures.overviews import class_track, ladder, resampling, seed_spread, systems
from dfclib.reporting.figures.pictures import answers, gradient_maps, put_right, right_and_wrong
from dfclib.reporting.figures.predictions import (
    confidence,
    confusion,
    disagreement,
    fixed_and_made,
    per_class_bars,
    reliability,
    reliability_panels,
    voters,
)
from dfclib.runs import Run


def save(figure: Figure, path: Path | str) -> Path:
    """Write a .png (200 dots per inch), .pdf or .svg file atomically, no date inside; UserError for other endings."""
    path = Path(path)
    metadata = {".png": {}, ".pdf": {"CreationDate": None}, ".svg": {"Date": None}}
    kind = path.suffix.lower()
    if kind not in metadata:
        raise UserError(f"cannot write a figure as {path.name}: choose a name that ends in .png, .pdf or .svg")
    options = {"format": kind[1:], "dpi": 200, "bbox_inches": "tight", "metadata": metadata[kind]}
    return write_atomically(path, lambda file: figure.savefig(file, **options))


def make_all(runs: Sequence[Run], out: Path | str, overview: Sequence[Run]) -> list[Path]:
    """Draw curves, confusion matrix and per-class bars of `runs`; ladder, systems and experiment of `overview`.

    S4 is shown on its test images, an experiment on those held out, everything else on validation. Returns the PNG
    files written into `out`.
    """
    paths = []
    published = published_results()

    def write(figure: Figure, name: str) -> None:
        paths.append(save(figure, Path(out, f"{name}.png")))

    for run in runs:
        split = run.recipe.reported_split
        predictions, title = run.predictions(split), heading(run)
        if split != "validation":
            title += f", {split.replace('_', '-')} images"
        if not run.members:
            write(curves(run), f"{run.name}-curves")
        write(confusion(predictions, title), f"{run.name}-confusion")
        write(per_class_bars(predictions, title), f"{run.name}-per-class")
    if any(run.recipe.name in rows.LADDER for run in overview):
        write(ladder(overview, published), "ladder")
        write(class_track(overview, published), "class-4")
    if rows.system_runs(overview):
        write(systems(overview, published), "systems")
    if rows.experiment_runs(overview):
        write(resampling(overview), "resampling")
    return paths
