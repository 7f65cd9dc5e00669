"""What the report found, for the top of README and of the PDF: sentences whose numbers come from recorded runs.

As in `answers`, the words follow the numbers, and a finding without its runs says which are missing.
"""

from collections.abc import Sequence

import numpy as np

from dfclib.errors import UserError
from dfclib.evaluation.metrics import per_class
from dfclib.predictions import Predictions
from dfclib.recipes import find
from dfclib.reporting import captions, rows
from dfclib.reporting.answers import HARD, Published, recorded_alike
from dfclib.runs import Run
from dfclib.wording import percent


def findings(runs: Sequence[Run], published: Published) -> list[tuple[str, str]]:
    """Subject and sentences of each finding, from `runs` on real images and the authors' results by recipe."""
    found = []
    for subject, tell in (("Resampling", resampling), ("The climb", climb), (f"Class {HARD}", hard_class)):
        try:
            found.append((subject, tell(runs, published)))
        except UserError as error:
            found.append((subject, f"No finding yet: {error}."))
    return found


def resampling(runs: Sequence[Run], _: Published) -> str:
    """What warping training images between their pixels costs, against reading the nearest pixel."""
    groups = rows.experiment_runs(runs)
    names = ("resampling-nearest", "resampling-bilinear")
    missing = [name for name in names if name not in groups]
    if missing:
        raise UserError(f"not recorded: {', '.join(missing)}")
    nearest, bilinear = (groups[name] for name in names)
    ours, theirs = ([run.predictions("held_out").accuracy for run in group] for group in (nearest, bilinear))
    difference = float(np.mean(ours) - np.mean(theirs))
    seeds = "the seeds of the two overlap"
    if min(ours) > max(theirs) or max(ours) < min(theirs):
        side = "above" if difference > 0 else "below"
        seeds = f"every seed by the nearest pixel is {side} every bilinear one"
    numbers = dict.fromkeys(str(len(group)) for group in (bilinear, nearest))
    trained = f"{' and '.join(numbers)} seeds{' each' if len(numbers) == 1 else ''}"
    n, epochs = len(nearest[0].predictions("held_out")), captions.epochs(nearest[0])
    return (
        f"A small network of attempt 4's kind is right on {rows.over_seeds(theirs)} of {n:,} held-out images when its "
        f"training images are warped bilinearly, and on {rows.over_seeds(ours)} when they are warped by the nearest "
        f"pixel ({trained}, {epochs} epochs): between pixels, "
        f"{100 * abs(difference):.1f} points are {'lost' if difference > 0 else 'won'}, and {seeds}."
    )


def climb(runs: Sequence[Run], published: Published) -> str:
    """The first and the sixth attempt, the author's and ours, on the same images."""
    ends = recorded_alike(runs, "attempt1", "attempt6")
    theirs = [published[run.recipe.name].accuracy for run in ends]
    ours = [run.predictions("validation").accuracy for run in ends]
    trained = [f"{run.scale_text}, {captions.epochs(run)} epochs" for run in ends]
    n = len(ends[0].predictions("validation"))
    return (
        f"On the same {n:,} validation images, the author's attempts go from {percent(theirs[0])} (the first) to "
        f"{percent(theirs[1])} (the sixth), ours from {percent(ours[0])} ({trained[0]}) to {percent(ours[1])} "
        f"({trained[1]})."
    )


def hard_class(runs: Sequence[Run], published: Published) -> str:
    """The class that attempts 4 and 5 show more often, through the attempts: the author's recall and ours."""
    names = ("attempt2", "attempt4", "attempt5", "attempt6")
    theirs = dict(zip(names, (_recall(published[name].predictions()) for name in names), strict=True))
    more = [name for name in names if HARD in find(name).class_repeats]
    often = " and ".join(f"{percent(theirs[name])} in {_attempt(name)}" for name in more)
    text = (
        f"Attempts {' and '.join(rows.LADDER[name] for name in more)} show class {HARD} more often than the others, "
        f"and the author's matrices show no gain by it: he finds {percent(theirs['attempt2'])} of the class in attempt "
        f"2, {often}, and {percent(theirs['attempt6'])} in attempt 6, which shows all classes equally and lets the "
        "learning rate decay."
    )
    try:
        ours = recorded_alike(runs, *names)
    except UserError:  # the author's finding stands without ours
        return text
    *first, last = (percent(_recall(run.predictions("validation"))) for run in ours)
    text += f" Ours find {', '.join(first)} and {last} in these four."
    earlier = [_attempt(run.recipe.name).removesuffix(" alone") for run in ours if not run.is_current]
    return f"{text} (By an earlier recipe: {', '.join(earlier)}.)" if earlier else text


def _recall(predictions: Predictions) -> float:
    return float(per_class(predictions)["recall"][predictions.class_names.index(HARD)])


def _attempt(name: str) -> str:
    return f"attempt {rows.LADDER[name]}"
