"""Tables of results beside each other: ensembles and their models, authors and us, one class through the attempts.

Like `tables`, text that holds on every machine: figures are rounded to what a reader needs. Predictions are given by
the names that the tables show. All raise UserError as the functions of `evaluation` and `ensembles` do that they call.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from dfclib.ensembles import align, hard_vote, soft_vote
from dfclib.errors import UserError
from dfclib.evaluation.calibration import expected_calibration_error, with_temperature
from dfclib.evaluation.comparison import compare, disagreement, fixed_and_made
from dfclib.evaluation.metrics import confusion_matrix, per_class, summary, wilson_interval
from dfclib.evaluation.published import PublishedResult, compare_with_published
from dfclib.predictions import Predictions
from dfclib.recipes import find
from dfclib.recipes.schedules import ExponentialRate, Schedule
from dfclib.reporting import captions
from dfclib.reporting.tables import NOT_RECORDED, Table, accuracy_cells
from dfclib.runs import Run
from dfclib.wording import MISSING, interval, percent, points


def comparison_table(before: Mapping[str, Predictions], name: str, after: Predictions) -> Table:
    """Single models against the ensemble `name` on the same images, with a paired interval and McNemar's p for each."""
    rows = []
    for model, predictions in before.items():
        result = compare(predictions, after, names=(model, name))
        row = {"": model, **accuracy_cells(predictions), f"{name} less this, points": points(result["difference"])}
        row["95% paired interval"] = f"{points(result['low'])} to {points(result['high'])}"
        row["only this right"] = str(result["only_before_right"])
        row[f"only {name} right"] = str(result["only_after_right"])
        rows.append(row | {"McNemar p": _p_value(result["mcnemar_p"])})
    rows.append(dict.fromkeys(rows[0], MISSING) | {"": name, **accuracy_cells(after)})
    note = "Each p value is of one comparison: among several, expect a small one by chance."
    return Table(rows, f"{len(after):,} images. {note}")


def fixed_and_made_table(before: Predictions, after: Predictions, names: tuple[str, str]) -> Table:
    """Errors before and after, fixed and made, one row per class; names: of before and after."""
    table = fixed_and_made(before, after, names)
    headings = ["class", "images", f"errors of {names[0]}", "fixed", "made", f"errors of {names[1]}"]
    rows = [dict(zip(headings, map(str, row), strict=True)) for row in table.itertuples(index=False)]
    return Table(rows, f"Fixed: {names[0]} wrong, {names[1]} right. Made: the other way round.")


def recall_table(results: Mapping[str, Predictions]) -> Table:
    """Recall per class, and the class that its other images are most often taken for, one row per class."""
    rows: list[dict[str, str]] = []
    for name, predictions in results.items():
        recall, counts = per_class(predictions)["recall"], confusion_matrix(predictions)
        np.fill_diagonal(counts, 0)
        rows = rows or [{"class": label} for label in predictions.class_names]
        for row, share, errors in zip(rows, recall, counts, strict=True):
            row[f"{name}: recall"] = percent(share)
            most = f"{predictions.class_names[errors.argmax()]} ({errors.max()} of {errors.sum()} errors)"
            row[f"{name}: most often taken for"] = most if errors.any() else MISSING
    counts = dict.fromkeys(f"{len(p):,} images" for p in results.values())
    return Table(rows, f"{', '.join(counts)}.")


def class_table(runs: Sequence[Run], published: Mapping[str, PublishedResult], name: str = "4") -> Table:
    """Recall of the class called `name` in single models, one row per run, the author's beside ours, on validation.

    How often an epoch shows the class, and how the learning rate goes, stand beside it: what the six attempts tried.
    """
    rows = []
    for run in runs:
        recipe, author = run.recipe, published.get(run.recipe.name)
        validation = run.predictions("validation")
        times = recipe.class_repeats.get(name, recipe.repeats)
        row = {"attempt": recipe.attempt, "shown per epoch (others)": f"{times} ({recipe.repeats})"}
        row["learning rate"] = _direction(find(recipe.name).schedule)
        theirs = author.predictions() if author is not None and author.is_of(validation) else None
        row["recall, author"] = MISSING if theirs is None else _recall(theirs, name)
        rows.append(row | {"recall, ours": _recall(validation, name), "ours at": run.scale_text})
    return Table(rows, f"Class {name}, with 95% Wilson intervals.")


def ladder_table(runs: Sequence[Run], published: Mapping[str, PublishedResult]) -> Table:
    """The attempts on validation, one row per run: the author's accuracy, ours, and the score on Kaggle."""
    rows = []
    for run in runs:
        author, validation = published.get(run.recipe.name), run.predictions("validation")
        row = {"attempt": run.recipe.attempt, "author": MISSING}
        if author is not None and author.is_of(validation):
            row["author"] = f"{percent(author.accuracy)} ({interval(*author.interval)})"
        accuracy, its_interval = accuracy_cells(validation).values()
        row |= {"ours": f"{accuracy} ({its_interval})", "ours at": run.scale_text, "epochs": captions.epochs(run)}
        row["image size"] = " or ".join(sorted({"x".join(map(str, m.image_size)) for m in run.recipe.members}))
        rows.append(row | {"author on Kaggle": percent(run.recipe.claims.get("public_test"))})
    n = " or ".join(sorted({f"{len(run.predictions('validation')):,}" for run in runs}))
    return Table(rows, f"{n} validation images, 95% Wilson intervals; Kaggle's are other images.")


def beside_author_table(runs: Sequence[Run], published: Mapping[str, PublishedResult]) -> Table:
    """The author's accuracy and ours on the same images, one row per run, with what their two matrices say of chance.

    Runs are left out whose author published no confusion matrix of these images.
    """
    rows = []
    for run in runs:
        theirs = published.get(run.recipe.name)
        if theirs is None or theirs.matrix is None or not theirs.is_of(run.predictions(theirs.split)):
            continue
        ours = run.predictions(theirs.split)
        found = compare_with_published(theirs, ours)
        row = {"": run.recipe.name, "author": f"{percent(theirs.accuracy)} ({interval(*theirs.interval)})"}
        row["ours"] = "{} ({})".format(*accuracy_cells(ours).values())
        row["ours at"] = run.scale_text
        row["ours less author's, points"] = points(found["difference"])
        row["answered differently"] = f"at least {found['differing']:,} of {len(ours):,}"
        bounds = dict.fromkeys(_p_value(found[key]) for key in ("lowest_p", "highest_p"))
        row["McNemar p"] = " to ".join(bounds)
        rows.append(row)
    note = "Matrices do not say which images each had right: McNemar's p lies between two bounds."
    return Table(rows, note if rows else NOT_RECORDED)


def claims_table(names: Sequence[str], published: Mapping[str, PublishedResult]) -> Table:
    """What authors say of their accuracy in words, and what their confusion matrices add up to, one row per recipe."""
    rows = []
    for name in names:
        claims, theirs = find(name).claims, published[name]
        said = claims.get(theirs.split)
        row = {"author's": name, "by the text": percent(said, 2), "by the matrix": percent(theirs.accuracy, 2)}
        row["right"] = f"{theirs.correct:,} of {theirs.n:,}"
        row["matrix less text, points"] = MISSING if said is None else points(theirs.accuracy - said, 2)
        rows.append(row)
    return Table(rows)


def replayed_vote_table(members: Sequence[Predictions], published: Predictions) -> Table:
    """A hard vote over `members` against the labels that were published as their vote, image by image."""
    *members, published = align([*members, published])
    vote = hard_vote(members)
    shares = vote.require_probabilities()  # of the votes
    most = shares == shares.max(axis=1, keepdims=True)
    decided = most.sum(axis=1) == 1
    among = most[np.arange(len(published)), published.predicted]
    equal = vote.predicted == published.predicted
    counted = {
        "with one most frequent label": decided.sum(),
        "of these, published with this label": (decided & equal).sum(),
        "with a tie": (~decided).sum(),
        "of these, published with one of the tied labels": (~decided & among).sum(),
        "of these, published with the label that we draw": (~decided & equal).sum(),
    }
    rows = [{"": what, "images": f"{count:,}"} for what, count in counted.items()]
    return Table(rows, f"{len(published):,} images, {len(members)} files.")


def disagreement_table(members: Mapping[str, Predictions]) -> Table:
    """The share of images for which two members predict different classes, one row and one column per member."""
    names = list(members)
    shares = disagreement(list(members.values()), names)
    rows = [
        {"": name} | {other: MISSING if other == name else percent(shares[i, j]) for j, other in enumerate(names)}
        for i, name in enumerate(names)
    ]
    return Table(rows, f"{len(members[names[0]]):,} images.")


def weights_table(
    tried: Mapping[str, Sequence[float]], validation: Mapping[str, Predictions], held_out: Mapping[str, Predictions]
) -> Table:
    """Accuracy of a soft vote under different weights, shown as shares of their sum.

    Args:
        tried: Weights by name: equal, the author's, searched on held-out images.
        validation: The members' predictions, in the order of the weights.
        held_out: The same for held-out images.
    """
    if list(held_out) != list(validation):
        raise UserError(
            f"held-out predictions of {', '.join(held_out)}, but validation of {', '.join(validation)}: "
            "give the same members in the same order"
        )
    names, rows = list(validation), []
    for what, weights in tried.items():
        voted = soft_vote(list(validation.values()), weights, names=names)
        accuracy = soft_vote(list(held_out.values()), weights, names=names).accuracy
        shares = {f"weight of {name}": f"{w / math.fsum(weights):.3g}" for name, w in zip(names, weights, strict=True)}
        row = {"weights": what, **shares, "held-out accuracy": percent(accuracy)}
        rows.append(row | accuracy_cells(voted, "validation"))
    images = f"{len(held_out[names[0]]):,} held-out images, {len(validation[names[0]]):,} validation images"
    note = "Weights that were searched on the held-out images look better there than they are."
    return Table(rows, f"Soft vote; {images}. {note}")


def calibration_table(
    predictions: Mapping[str, Predictions], temperatures: Mapping[str, float], bins: int = 15
) -> Table:
    """Accuracy, log loss, calibration error and confidence of each model, without and with its temperature.

    Args:
        predictions: With labels and probabilities (not a hard vote's shares).
        temperatures: By the same names, fitted on held-out images.
    """
    rows = []
    for name, plain in predictions.items():
        softened = with_temperature(plain, temperatures[name])
        for temperature, one in ((MISSING, plain), (f"{temperatures[name]:.2f}", softened)):
            row = {"": name, "temperature": temperature, "accuracy": percent(one.accuracy)}
            row["log loss"] = f"{summary(one)['log_loss']:.3f}"
            row["expected calibration error"] = percent(expected_calibration_error(one, bins))
            for what, which in (("right", one.correct), ("wrong", ~one.correct)):
                mean = np.mean(one.confidence[which]) if which.any() else None
                row[f"mean confidence, {what}"] = percent(mean)
            rows.append(row)
    counts = dict.fromkeys(f"{len(p):,} images" for p in predictions.values())
    return Table(rows, f"{', '.join(counts)}; expected calibration error over {bins} bins of equal width.")


def _p_value(p: float) -> str:
    return "below 0.001" if p < 0.001 else f"{p:.3f}"


def _direction(schedule: Schedule) -> str:
    """`grows`, `decays` or `constant`; other schedules by their kind."""
    if isinstance(schedule, ExponentialRate) and schedule.factor != 1:
        return "grows" if schedule.factor > 1 else "decays"
    return schedule.kind


def _recall(predictions: Predictions, name: str) -> str:
    """Recall of the class called `name`, with its interval."""
    row = per_class(predictions).iloc[predictions.class_names.index(name)]
    low, high = wilson_interval(round(row["recall"] * row["n"]), row["n"])
    return f"{percent(row['recall'])} ({interval(low, high)})"
