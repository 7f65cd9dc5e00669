"""Figures of our experiments: recipes that differ in one thing, several seeds each."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from dfclib.errors import UserError
from dfclib.reporting.figures.style import BLUE, ORANGE, SMALL, WIDTH, label_axes, legend_below, new_figure
from dfclib.reporting.readme import experiment_runs
from dfclib.runs import Run


def resampling(runs: Sequence[Run]) -> Figure:
    """Accuracy on the held-out images, a row a way of resampling, a point a seed, beside accuracy in training.

    Raises UserError where none of `runs` is of that experiment.
    """
    groups = experiment_runs(runs)
    if not groups:
        raise UserError(f"none of the {len(runs)} runs is of the experiment on resampling: train it first")
    split = next(iter(groups.values()))[0].recipe.reported_split
    n = {run.metrics[split]["n"] for found in groups.values() for run in found}
    epochs = {run.recipe.epochs for found in groups.values() for run in found}
    title = "What resampling the training images costs\n"
    title += f"accuracy after {' or '.join(map(str, sorted(epochs)))} epochs, one point per seed\n"
    title += f"n = {' or '.join(f'{number:,}' for number in sorted(n))} held-out images"
    figure = new_figure(WIDTH, 2.2 + 0.55 * len(groups), title)
    axes = figure.subplots()
    for place, found in enumerate(groups.values()):
        held_out = [100 * run.metrics[split]["accuracy"] for run in found]
        training = [100 * run.metrics["train_accuracy"] for run in found]
        first = place == 0
        rows = np.full(len(found), place)
        axes.plot(held_out, rows, "o", color=BLUE, markersize=7, label="held-out images" if first else None)
        label = "training images, warped, with dropout" if first else None
        axes.plot(training, rows, "s", color=ORANGE, markersize=6, fillstyle="none", label=label)
        mean = float(np.mean(held_out))
        axes.text(1.02, place, f"{mean:.1f}", transform=axes.get_yaxis_transform(), va="center", fontsize=SMALL)
    names = [found[0].recipe.title.replace(", ", ",\n").replace(" by the", "\nby the") for found in groups.values()]
    axes.set_yticks(range(len(groups)), names)
    axes.set_ylim(len(groups) - 0.5, -0.5)
    low, high = axes.dataLim.intervalx
    axes.set_xlim(5 * math.floor(low / 5 - 0.2), 5 * math.ceil(high / 5 + 0.2))  # one run alone has no width
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    label_axes(axes, "accuracy, % (right: mean over seeds, held-out images)", "")
    axes.tick_params(axis="y", labelsize=SMALL)
    legend_below(figure, axes, columns=1)
    return figure
