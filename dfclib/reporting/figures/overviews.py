"""Accuracies of many runs beside their authors': the six attempts, the systems, one class, the experiment.

Each raises UserError without a run of its own; other runs are left out. The authors' results are drawn where they are
of the images that the runs were measured on. The author is always black, each scale has one colour everywhere, and what
an earlier recipe trained is hollow.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from dfclib.errors import UserError
from dfclib.evaluation.metrics import per_class, summary, wilson_interval
from dfclib.evaluation.published import PublishedResult
from dfclib.predictions import Predictions
from dfclib.reporting import captions, rows
from dfclib.reporting.figures import style
from dfclib.runs import Run

Published = Mapping[str, PublishedResult]
SCALES = {"full": style.BLUE, "compact": style.VERMILION, "quick": style.GREEN}
MARKERS = {"published": "o", "held_out": "s", "final": "^"}
LINE = 0.2  # inches between two marks of one row, of which each has its number


def ladder(runs: Sequence[Run], published: Published) -> Figure:
    """The six attempts, one row each: accuracy on validation, the author's and ours, with 95% Wilson intervals.

    Kaggle's score is a mark of its own, as its images are others. Of several seeds the lowest has the interval.
    """
    known = rows.attempt_runs(runs)
    if not known:
        raise UserError(f"no ladder without runs of {', '.join(rows.LADDER)}: received {len(runs)} other runs")
    labels = {name: attempt for name, attempt in rows.LADDER.items() if any(r.recipe.name == name for r in known)}
    return _beside_authors(
        known, labels, published, f"The six attempts\naccuracy, 95% intervals on validation (n = {_numbers(known)})"
    )


def systems(runs: Sequence[Run], published: Published) -> Figure:
    """The other systems, one row per recipe: accuracy on the images that the recipe is judged by, as in `ladder`."""
    known = rows.system_runs(runs)
    if not known:
        raise UserError(f"none of the {len(runs)} runs is of a system other than the six attempts: train one first")
    labels = {}
    for run in known:
        split = run.recipe.reported_split
        n = "" if split == "validation" else f"\n{split}, n = {len(run.predictions(split)):,}"
        labels.setdefault(run.recipe.name, run.recipe.name + n)
    n = _numbers(known)
    images = f"; validation (n = {n}) or as named" if n else ""
    return _beside_authors(known, labels, published, f"The other systems\naccuracy, 95% intervals{images}")


def class_track(runs: Sequence[Run], published: Published, name: str = "4") -> Figure:
    """Recall of the class called `name` through the six attempts, the author's and ours, with 95% Wilson intervals."""
    known = [run for run in rows.attempt_runs(runs) if name in run.class_names]
    if not known:
        raise UserError(f"none of the {len(runs)} runs is of the six attempts and knows a class {name!r}")
    n = sorted({int((run.predictions("validation").labels == run.class_names.index(name)).sum()) for run in known})
    title = f"Class {name} through the six attempts\nrecall, 95% intervals"
    figure = style.new_figure(3.8, f"{title}, n = {' or '.join(map(str, n))} images")
    axes = figure.subplots()
    order = list(rows.LADDER)
    series: dict[tuple, dict[str, tuple[float, int]]] = {}
    several = len({captions.data_name(run.data) for run in known}) > 1
    for run in sorted(known, key=lambda run: (run.is_current, -run.seed)):  # the last one of an attempt stands
        author = published.get(run.recipe.name)
        if author is not None and author.matrix is not None and _same_images(author, run):
            series.setdefault(("author", style.BLACK, "D"), {})[run.recipe.name] = _recall(author.predictions(), name)
        series.setdefault((_label(run, several), SCALES[run.scale], MARKERS[run.protocol]), {})[run.recipe.name] = (
            _recall(run.predictions("validation"), name)
        )
    for i, ((label, colour, marker), found) in enumerate(series.items()):
        attempts = sorted(found, key=order.index)
        x = np.array([order.index(attempt) for attempt in attempts]) + 0.08 * (i - (len(series) - 1) / 2)
        recall = np.array([found[attempt][0] for attempt in attempts])
        ends = np.array([wilson_interval(round(share * number), number) for share, number in map(found.get, attempts)])
        look = {"color": colour, "marker": marker, "linestyle": "-" if label == "author" else "--", "capsize": 3}
        look["fillstyle"] = "none" if "earlier recipe" in label else "full"
        axes.errorbar(x, 100 * recall, yerr=100 * np.abs(ends.T - recall), label=label, **look)
    shown = [i for i, attempt in enumerate(order) if any(attempt in found for found in series.values())]
    axes.set_xticks(shown, [rows.LADDER[order[i]].replace(" ", "\n") for i in shown])
    axes.set_ylim(0, 100)
    style.label_axes(axes, "attempt", f"recall of class {name}, %")
    style.legend_below(figure, axes, columns=1 if max(len(label) for label, *_ in series) > 40 else 2)
    return figure


def resampling(runs: Sequence[Run]) -> Figure:
    """Accuracy on the held-out images and in training, one row per way of resampling, one point per seed."""
    groups = list(rows.experiment_runs(runs).values())
    if not groups:
        raise UserError(f"none of the {len(runs)} runs is of the experiment on resampling: train it first")
    split = groups[0][0].recipe.reported_split
    n = sorted({run.metrics[split]["n"] for found in groups for run in found})
    epochs = sorted({run.recipe.epochs for found in groups for run in found})
    title = f"What resampling the training images costs\naccuracy after {' or '.join(map(str, epochs))} epochs, "
    title += f"one point per seed\nn = {' or '.join(f'{number:,}' for number in n)} held-out images"
    figure = style.new_figure(2.2 + 0.55 * len(groups), title)
    axes = figure.subplots()
    for place, found in enumerate(groups):
        held_out = [100 * run.metrics[split]["accuracy"] for run in found]
        training = [100 * run.metrics["train_accuracy"] for run in found]
        y = np.full(len(found), place)
        axes.plot(held_out, y, "o", color=style.BLUE, markersize=7, label="held-out images")
        look = {"color": style.ORANGE, "markersize": 6, "fillstyle": "none"}
        axes.plot(training, y, "s", label="training images, warped, with dropout", **look)
        style.write_beside(axes, place, f"{np.mean(held_out):.1f}")
    labels = [found[0].recipe.title.replace(", ", ",\n").replace(" by the", "\nby the") for found in groups]
    low, high = axes.dataLim.intervalx
    axes.set_xlim(5 * math.floor(low / 5 - 0.2), 5 * math.ceil(high / 5 + 0.2))  # one run alone has no width
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _label_rows(axes, labels, "accuracy, % (right: mean over seeds, held-out images)")
    style.legend_below(figure, axes, columns=1)
    return figure


def seed_spread(groups: Mapping[str, Sequence[Run | PublishedResult]], title: str = "Spread over seeds") -> Figure:
    """Accuracies of several trainings of one recipe, or of a vote's members: one row per group, one point per training.

    A line marks their mean; beside it stand the mean and the deviation. The grey bar is another uncertainty: the 95%
    Wilson interval of one training of mean accuracy, which is about other images and not about other seeds.

    Args:
        groups: By the names that the rows show, runs or authors' results, all judged by as many images.

    Raises:
        UserError: without groups, for one without trainings, and where the numbers of images differ.
    """
    if not groups or not all(groups.values()):
        raise UserError("no trainings to show the spread of: give at least one in each group")
    results = {name: [_accuracy_and_images(one) for one in group] for name, group in groups.items()}
    numbers = {n for found in results.values() for _, n in found}
    if len(numbers) > 1:
        raise UserError(f"accuracies on {' and '.join(map(str, sorted(numbers)))} images: compare those on the same")
    (n,) = numbers
    figure = style.new_figure(2.6 + 0.5 * len(groups), f"{title}\naccuracy, one point per training, n = {n:,}")
    axes = figure.subplots()
    for place, (name, group) in enumerate(groups.items()):
        accuracies = np.array([accuracy for accuracy, _ in results[name]])
        mean, k = accuracies.mean(), len(accuracies)
        interval = 100 * np.array(wilson_interval(round(mean * n), n))
        axes.hlines(place, *interval, color="0.88", linewidth=15, label="95% interval over images")
        axes.vlines(100 * mean, place - 0.3, place + 0.3, color="0.35", linewidth=1.5, label="mean")
        height = place + 0.25 * (np.arange(k) - (k - 1) / 2) / max(k - 1, 1)  # equal ones beside each other
        for y, accuracy, one in zip(height, accuracies, group, strict=True):
            ours = isinstance(one, Run)
            colour, marker = (SCALES[one.scale], MARKERS[one.protocol]) if ours else (style.BLACK, "D")
            look = {"color": colour, "marker": marker, "linestyle": "none", "markersize": 6 if ours else 5}
            look["fillstyle"] = "none" if ours and not one.is_current else "full"
            axes.plot(100 * accuracy, y, label=_label(one, several=False) if ours else "author", **look)
        deviation = f" ± {100 * accuracies.std(ddof=1):.1f}" if k > 1 else ""
        style.write_beside(axes, place, f"{100 * mean:.1f}{deviation}")
    _label_rows(axes, list(groups), "accuracy, % (right: mean ± deviation)")
    style.legend_below(figure, axes, columns=1)
    return figure


def _accuracy_and_images(one: Run | PublishedResult) -> tuple[float, int]:
    """Accuracy, a fraction, and the number of images that it was measured on."""
    if isinstance(one, Run):
        one = one.predictions(one.recipe.reported_split)
        return one.accuracy, len(one)
    return one.accuracy, one.n


def _label_rows(axes: Axes, labels: Sequence[str], x: str) -> None:
    """The rows' names, the first one on top, and what is along the other axis."""
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    style.label_axes(axes, x, "")
    axes.tick_params(axis="y", labelsize=style.SMALL)


def _beside_authors(runs: Sequence[Run], labels: Mapping[str, str], published: Published, title: str) -> Figure:
    """One row per recipe in `labels`: its author's marks, and one per setting of its runs, each with its number."""
    settings = {name: _by_setting([run for run in runs if run.recipe.name == name]) for name in labels}
    heights = {name: 1 + len(groups) for name, groups in settings.items()}
    figure = style.new_figure(2.4 + LINE * sum(heights.values()), title)
    axes = figure.subplots()
    several = any(
        len({captions.data_name(run.data) for group in groups.values() for run in group}) > 1
        for groups in settings.values()
    )
    middles, y = [], 0.0
    for name, groups in settings.items():
        middles.append(y + heights[name] / 2 - 0.5)
        _draw_author(axes, y, next(iter(groups.values()))[0], published.get(name))
        for group in groups.values():
            y += 1
            _draw_ours(axes, y, group, several)
        y += 1
        axes.axhline(y - 0.5, color="0.88", linewidth=0.6)
    axes.set_yticks(middles, [labels[name] for name in settings])
    axes.set_ylim(y - 0.5, -0.5)
    style.label_axes(axes, "accuracy, %", "")
    axes.tick_params(axis="y", labelsize=style.SMALL, length=0)
    low, high = axes.dataLim.intervalx
    axes.set_xlim(10 * math.floor(low / 10 - 0.1), min(100, 5 * math.ceil(high / 5 + 0.1)))
    axes.grid(axis="y", visible=False)
    style.legend_below(figure, axes, columns=1)
    return figure


def _numbers(runs: Sequence[Run]) -> str:
    """How many validation images the runs are judged by: `1,250`."""
    numbers = {len(run.predictions("validation")) for run in runs if run.recipe.reported_split == "validation"}
    return " or ".join(f"{number:,}" for number in sorted(numbers))


def _by_setting(runs: Sequence[Run]) -> dict[tuple, list[Run]]:
    """Runs of one recipe that differ in their seeds alone, the lowest first."""
    groups: dict[tuple, list[Run]] = {}
    for run in sorted(runs, key=lambda run: (list(SCALES).index(run.scale), run.protocol == "held_out", run.seed)):
        where = (captions.measured_in(run, "device"), captions.measured_in(run, "precision"))
        key = (run.data["name"], run.data["fingerprint"], run.scale_text, run.protocol, *where)
        groups.setdefault(key, []).append(run)
    return groups


def _draw_author(axes: Axes, y: float, run: Run, author: PublishedResult | None) -> None:
    """The author's result on the images of `run`, and his score on Kaggle's, where there are such."""
    if run.data["embedded"]:
        return
    kaggle = run.recipe.claims.get("public_test", run.recipe.claims.get("kaggle"))
    text = ""
    if author is not None and _same_images(author, run):
        value, (low, high) = author.accuracy, author.interval
        look = {"color": style.BLACK, "marker": "D", "linestyle": "none", "capsize": 3, "markersize": 5}
        bars = [[100 * (value - low)], [100 * (high - value)]]
        axes.errorbar(100 * value, y, xerr=bars, label="author, the same images", **look)
        text = f"{100 * value:.1f}"
    if kaggle is not None:
        axes.plot(100 * kaggle, y, "x", color="0.45", markersize=7, label="author, Kaggle's test images")
        text = text or f"({100 * kaggle:.1f})"
    if text:
        style.write_beside(axes, y, text)


def _draw_ours(axes: Axes, y: float, group: Sequence[Run], several: bool) -> None:
    """The lowest seed with its interval, and the other seeds' accuracies as small dots."""
    run, *others = group
    result = summary(run.predictions(run.recipe.reported_split))
    value, low, high = (100 * result[key] for key in ("accuracy", "low", "high"))
    colour, label = SCALES[run.scale], _label(run, several)
    look = {"color": colour, "marker": MARKERS[run.protocol], "linestyle": "none", "capsize": 3, "markersize": 6}
    look["fillstyle"] = "full" if run.is_current else "none"
    axes.errorbar(value, y, xerr=[[value - low], [high - value]], label=label, **look)
    rest = [100 * other.predictions(other.recipe.reported_split).accuracy for other in others]
    axes.plot(rest, [y] * len(rest), "|", color=colour, markersize=9)
    style.write_beside(axes, y, f"{value:.1f}")


def _label(run: Run, several: bool) -> str:
    """What the legend calls a run; several: its data are not those of all others. Embedded data are always named."""
    data = f", {captions.data_name(run.data)}" if several or run.data["embedded"] else ""
    held_out = ", a tenth held out" if run.protocol == "held_out" else ""
    return f"ours, {captions.scale(run.scale_text)}{data}{held_out}"


def _same_images(author: PublishedResult, run: Run) -> bool:
    """Whether a run was measured on as many images of each class as its author's result."""
    return not run.data["embedded"] and author.split in run.splits and author.is_of(run.predictions(author.split))


def _recall(predictions: Predictions, name: str) -> tuple[float, int]:
    """Recall of the class called `name`, and how many images of it there are."""
    row = per_class(predictions).iloc[predictions.class_names.index(name)]
    return float(row["recall"]), int(row["n"])
