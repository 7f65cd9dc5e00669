"""Figures from runs, predictions and images: each function returns a matplotlib Figure, without pyplot.

`style` says how they look. `save` writes one figure, `draw_runs` those of single runs, `draw_overviews` those of
images/. Those of predictions raise UserError as the functions of `evaluation` do whose results they draw.
"""
# ruff: noqa: F401  # imported for those who draw

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from dfclib.datasets.generated.animals import make_splits
from dfclib.datasets.traces import recorded_traces
from dfclib.errors import UserError
from dfclib.evaluation.published import published_results
from dfclib.files import write_atomically
from dfclib.reporting import rows
from dfclib.reporting.captions import caption, heading
from dfclib.reporting.figures.curves import curves, learning_rates, validation_curves
from dfclib.reporting.figures.images import (
    augmentation_preview,
    class_balance,
    sample_strip,
    samples,
    spectra,
    traces,
    versions,
)
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
from dfclib.reporting.figures.studies import study
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


def draw_runs(runs: Sequence[Run], out: Path | str) -> list[Path]:
    """Draw curves, confusion matrix and per-class bars of each run; a vote has no curves.

    S4 is shown on its test images, an experiment on those held out, everything else on validation. Returns the PNG
    files written into `out`.
    """
    drawn = {}
    for run in runs:
        split = run.recipe.reported_split
        predictions, title = run.predictions(split), heading(run)
        if split != "validation":
            title += f", {split.replace('_', '-')} images"
        if not run.members:
            drawn[f"{run.name}-curves"] = curves(run)
        drawn[f"{run.name}-confusion"] = confusion(predictions, title)
        drawn[f"{run.name}-per-class"] = per_class_bars(predictions, title)
    return _save_all(drawn, out)


def draw_overviews(runs: Sequence[Run], out: Path | str) -> list[Path]:
    """Draw what README and the report show: embedded samples, traces, and `runs` beside their authors' results.

    Overviews that none of the runs belongs to are left out, and so are traces where none are recorded. Returns the PNG
    files written into `out`.
    """
    published, measured = published_results(), recorded_traces()
    drawn = {"samples": sample_strip(make_splits(train=10, validation=10, test=0).train)}
    if measured:
        drawn["traces"] = traces(measured)
    if rows.attempt_runs(runs):
        drawn |= {"ladder": ladder(runs, published), "class-4": class_track(runs, published)}
    if rows.system_runs(runs):
        drawn["systems"] = systems(runs, published)
    if rows.experiment_runs(runs):
        drawn["resampling"] = resampling(runs)
    return _save_all(drawn, out)


def _save_all(drawn: Mapping[str, Figure], out: Path | str) -> list[Path]:
    return [save(figure, Path(out, f"{name}.png")) for name, figure in drawn.items()]
