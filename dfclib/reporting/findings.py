"""What the report found, for the top of README and of the PDF: sentences whose numbers come from recorded runs.

As in `answers`, the words follow the numbers, and a finding without its runs says which are missing.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from dfclib.errors import UserError
from dfclib.evaluation.metrics import per_class
from dfclib.predictions import Predictions
from dfclib.recipes import find
from dfclib.reporting import captions, rows
from dfclib.reporting.answers import HARD, Published, recorded_alike
from dfclib.reporting.speed import times_as_long
from dfclib.runs import Run
from dfclib.wording import duration, listed, percent


def findings(runs: Sequence[Run], published: Published, benchmarks: Path | None = None) -> list[tuple[str, str]]:
    """Subject and sentences of each finding, from `runs` on real images and the authors' results by recipe.

    benchmarks: the folder of their results; None: nothing is said of speed
    """
    found = []
    ours = partial(sprint, benchmarks=benchmarks)
    tellers = {"Ours": ours, "Resampling": resampling, "The climb": climb, f"Class {HARD}": hard_class}
    for subject, tell in tellers.items():
        try:
            found.append((subject, tell(runs, published)))
        except UserError as error:
            found.append((subject, f"No finding yet: {error}."))
    return found


def sprint(runs: Sequence[Run], published: Published, benchmarks: Path | None = None) -> str:
    """Our own recipe over its seeds, beside the best author rebuilt here, and how long training takes."""
    found = rows.recorded_seeds(runs, "sprint")
    if not found:
        raise UserError("no run of sprint is recorded")
    judged = [run.predictions("validation") for run in found]
    accuracy = rows.over_seeds([one.accuracy for one in judged])
    trained = f"{len(found)} seeds, each trained from scratch" if len(found) > 1 else "trained from scratch"
    took = duration(float(np.mean([run.metrics["seconds"] for run in found])))
    devices = listed(list(dict.fromkeys(map(captions.device_name, found))))
    text = f"Our own recipe, sprint, is right on {accuracy} of {len(judged[0]):,} validation images"
    author = rows.best_author(published, judged[0])
    best = "the best author of the systems rebuilt here reaches"
    beside = f"; {best} {percent(author.accuracy)} on these." if author else "."
    vote = rows.recorded_seeds(runs, "sprint-vote")
    voted = f"The soft vote of {len(vote[0].members)} seeds is right on {rows.with_interval(vote[0])}." if vote else ""
    slower = times_as_long(benchmarks) if benchmarks else ""
    return " ".join(filter(None, [f"{text} ({trained} in {took} on {devices}){beside}", slower, voted]))


def resampling(runs: Sequence[Run], _: Published) -> str:
    """What warping training images bilinearly costs, against reading the nearest pixel, at one size of images."""
    groups = rows.experiment_runs(runs)
    names = ("resampling-nearest", "resampling-bilinear")
    missing = [name for name in names if name not in groups]
    if missing:
        raise UserError(f"not recorded: {', '.join(missing)}")
    nearest, bilinear = (groups[name] for name in names)
    ours, theirs = ([run.predictions("held_out").accuracy for run in group] for group in (nearest, bilinear))
    difference = float(np.mean(ours) - np.mean(theirs))
    size = "x".join(map(str, nearest[0].recipe.image_size))
    seeds = "the seeds of the two overlap"
    if min(ours) > max(theirs) or max(ours) < min(theirs):
        side = "above" if difference > 0 else "below"
        seeds = f"every seed by the nearest pixel is {side} every bilinear one at this size"
    numbers = dict.fromkeys(str(len(group)) for group in (bilinear, nearest))
    trained = f"{listed([*numbers])} seeds{' each' if len(numbers) == 1 else ''}"
    n, epochs = len(nearest[0].predictions("held_out")), captions.epochs(nearest[0])
    return (
        f"A small network of attempt 4's kind is right on {rows.over_seeds(theirs)} of {n:,} held-out images when its "
        f"training images are warped bilinearly, and on {rows.over_seeds(ours)} when they are warped by the nearest "
        f"pixel ({trained}, {epochs} epochs, {size} pixels): bilinear warping {'loses' if difference > 0 else 'gains'} "
        f"{100 * abs(difference):.1f} points, and {seeds}."
    )


def climb(runs: Sequence[Run], published: Published) -> str:
    """The first and the sixth attempt, the author's and ours, on the same images."""
    first, last = (published[name] for name in ("attempt1", "attempt6"))
    text = f"{percent(first.accuracy)} (the first) to {percent(last.accuracy)} (the sixth)"
    text = f"On the same {first.n:,} validation images, the author's attempts go from {text}"
    ours = _ours(runs, "attempt1", "attempt6")
    if not ours:
        return f"{text}."
    ends = [f"{percent(run.predictions('validation').accuracy)} ({captions.epochs(run)} epochs)" for run in ours]
    return f"{text}, ours at {captions.scale(ours[0].scale_text)} from {' to '.join(ends)}."


def hard_class(runs: Sequence[Run], published: Published) -> str:
    """The class that attempts 4 and 5 show more often, through the attempts: the author's recall and ours."""
    names = ("attempt2", "attempt4", "attempt5", "attempt6")
    theirs = dict(zip(names, (_recall(published[name].predictions()) for name in names), strict=True))
    more = [name for name in names if HARD in find(name).class_repeats]
    often = listed([f"{percent(theirs[name])} in attempt {rows.LADDER[name]}" for name in more])
    text = (
        f"Attempts {listed([rows.LADDER[name] for name in more])} show class {HARD} more often than the others, "
        f"and the author's matrices show no gain by it: he finds {percent(theirs['attempt2'])} of the class in attempt "
        f"2, {often}, and {percent(theirs['attempt6'])} in attempt 6, which shows all classes equally and lets the "
        "learning rate decay."
    )
    ours = [percent(_recall(run.predictions("validation"))) for run in _ours(runs, *names)]
    return f"{text} Ours find {listed(ours)} in these four." if ours else text


def _ours(runs: Sequence[Run], *names: str) -> list[Run]:
    """Our runs of `names`, all at one scale; none where today's recipes lack one: the author's finding stands alone."""
    try:
        found = recorded_alike(runs, *names)
    except UserError:
        return []
    return found if all(run.is_current for run in found) else []


def _recall(predictions: Predictions) -> float:
    return float(per_class(predictions)["recall"][predictions.class_names.index(HARD)])
