"""S1 to S4: their authors' figures and ours on one axis, as both come from the same images."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from dfclib.errors import UserError
from dfclib.evaluation import metrics
from dfclib.reporting.figures.style import BLACK, LABEL, SMALL, STYLES, WIDTH, label_axes, legend_below, new_figure
from dfclib.reporting.readme import system_runs
from dfclib.runs import Run

LABELS = {
    "published": "ours, all training images",
    "held_out": "ours, a tenth of the training images held out",
}


def systems(runs: Sequence[Run]) -> Figure:
    """A row a recipe: the author's figure on the images that we measured on, and ours with its 95% Wilson interval.

    Of the author's figures only those on the same images are drawn: validation for S1 to S3, test for S4.
    Raises UserError where none of `runs` is of S1 to S4.
    """
    known = [*system_runs(runs), *system_runs(runs, embedded=True)]
    if not known:
        raise UserError(f"none of the {len(runs)} runs is of a system other than the six attempts: train one first")
    runs = known
    names = list(dict.fromkeys(run.recipe.name for run in runs))
    scales = sorted({run.scale for run in runs})
    title = f"Accuracy in %, ours with 95% intervals\n{' and '.join(scales)} scale"
    if not all(run.is_current for run in runs):
        title += "; hollow: of an earlier recipe"
    figure = new_figure(WIDTH, 1.9 + 0.42 * len(names), title)
    axes = figure.subplots()
    labelled: set[str] = set()

    def once(label: str) -> str | None:
        """The label where it is new: one entry in the legend for many points."""
        new = label not in labelled
        labelled.add(label)
        return label if new else None

    rows = []
    for place, name in enumerate(names):
        mine = [run for run in runs if run.recipe.name == name]
        split = mine[0].recipe.reported_split
        rows.append(f"{name}\n{split}, n = {mine[0].metrics[split]['n']:,}")
        claim = mine[0].recipe.claims.get(split)
        if claim is not None:
            axes.plot(100 * claim, place, "D", color=BLACK, markersize=6, label=once("author"))
        for run in mine:
            style = list(LABELS).index(run.protocol)
            result = metrics.summary(run.predictions(split))
            value, low, high = (100 * result[key] for key in ("accuracy", "low", "high"))
            y = place + (-0.16 if style == 0 else 0.16) * (len(mine) > 1)
            colour, marker, _ = STYLES[style]
            look = {"color": colour, "marker": marker, "linestyle": "none", "capsize": 3, "markersize": 6}
            look["fillstyle"] = "full" if run.is_current else "none"
            axes.errorbar(value, y, xerr=[[value - low], [high - value]], label=once(LABELS[run.protocol]), **look)
            axes.text(1.02, y, f"{value:.1f}", transform=axes.get_yaxis_transform(), va="center", fontsize=SMALL)
    axes.set_yticks(range(len(names)), rows)
    axes.set_ylim(len(names) - 0.5, -0.5)
    label_axes(axes, "accuracy, %", "")
    axes.tick_params(axis="y", labelsize=SMALL)
    axes.tick_params(axis="x", labelsize=LABEL)
    legend_below(figure, axes, columns=1)
    return figure
