"""Figures from runs, predictions and images: each function returns a matplotlib Figure, without pyplot.

How they look is told in `style`. `save` writes one, `make_all` those of the runs that it is given.
"""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from dfclib.errors import UserError
from dfclib.evaluation import metrics
from dfclib.files import write_atomically
from dfclib.reporting.figures.comparisons import confidence, disagreement, fixed_and_made, reliability
from dfclib.reporting.figures.experiments import resampling
from dfclib.reporting.figures.images import (
    SPECTRUM_IMAGES,
    augmentation_preview,
    class_balance,
    mean_log_spectrum,
    radial_profile,
    samples,
    spectra,
)
from dfclib.reporting.figures.pictures import answers, put_right, right_and_wrong
from dfclib.reporting.figures.predictions import confusion, per_class_bars
from dfclib.reporting.figures.runs import caption, curves, heading, ladder, learning_rates, validation_curves
from dfclib.reporting.figures.style import (
    BLACK,
    BLUE,
    GREEN,
    LABEL,
    MOST_NAMED,
    MOST_NUMBERED,
    ORANGE,
    PURPLE,
    SKY,
    SMALL,
    STYLES,
    TITLE,
    VERMILION,
    WIDTH,
    DisplayedFigure,
)
from dfclib.reporting.figures.systems import systems
from dfclib.reporting.readme import experiment_runs, system_runs
from dfclib.runs import Run

__all__ = [
    "BLACK",
    "BLUE",
    "GREEN",
    "LABEL",
    "MOST_NAMED",
    "MOST_NUMBERED",
    "ORANGE",
    "PURPLE",
    "SKY",
    "SMALL",
    "SPECTRUM_IMAGES",
    "STYLES",
    "TITLE",
    "VERMILION",
    "WIDTH",
    "DisplayedFigure",
    "answers",
    "augmentation_preview",
    "caption",
    "class_balance",
    "confidence",
    "confusion",
    "curves",
    "disagreement",
    "fixed_and_made",
    "heading",
    "ladder",
    "learning_rates",
    "make_all",
    "mean_log_spectrum",
    "per_class_bars",
    "put_right",
    "radial_profile",
    "reliability",
    "resampling",
    "right_and_wrong",
    "samples",
    "save",
    "spectra",
    "systems",
    "validation_curves",
]


def save(figure: Figure, path: Path | str) -> Path:
    """Write a figure as .png (200 dots an inch), .pdf or .svg, atomically; no date inside."""
    path = Path(path)
    metadata = {".png": {}, ".pdf": {"CreationDate": None}, ".svg": {"Date": None}}
    kind = path.suffix.lower()
    if kind not in metadata:
        raise UserError(f"cannot write a figure as {path.name}: choose a name that ends in .png, .pdf or .svg")
    options = {"format": kind[1:], "dpi": 200, "bbox_inches": "tight", "metadata": metadata[kind]}
    return write_atomically(path, lambda file: figure.savefig(file, **options))


def make_all(runs: Sequence[Run], out: Path | str, overview: Sequence[Run] | None = None) -> list[Path]:
    """Curves, confusion matrix and per-class bars of every run; the ladder and the systems where there are any.

    overview: the runs that ladder and systems show, where these are others
    S4 is shown on its test images, an experiment on those held out, everything else on validation. Returns the PNG
    files written into `out`.
    """
    paths, out = [], Path(out)
    for run in runs:
        split = run.recipe.reported_split
        predictions, title = run.predictions(split), heading(run)
        if split != "validation":
            title += f", {split.replace('_', '-')} images"
        if not run.members:
            paths.append(save(curves(run), out / f"{run.name}-curves.png"))
        paths.append(save(confusion(predictions, title), out / f"{run.name}-confusion.png"))
        paths.append(save(per_class_bars(predictions, title), out / f"{run.name}-per-class.png"))
    overview = runs if overview is None else overview
    if any(run.recipe.name in metrics.LADDER for run in overview):
        paths.append(save(ladder(overview), out / "ladder.png"))
    if system_runs(overview):
        paths.append(save(systems(overview), out / "systems.png"))
    if experiment_runs(overview):
        paths.append(save(resampling(overview), out / "resampling.png"))
    return paths
