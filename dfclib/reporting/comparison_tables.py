"""Tables of ensembles beside single models: comparisons, errors fixed and made, vote weights, calibration.

Like `tables`, text that holds on every machine: figures are rounded to what a reader needs. Predictions are given by
the names that the tables show. All raise UserError as the functions of `evaluation` and `ensembles` do that they call.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from dfclib.ensembles import soft_vote
from dfclib.errors import UserError
from dfclib.evaluation.calibration import expected_calibration_error, with_temperature
from dfclib.evaluation.comparison import compare, disagreement, fixed_and_made
from dfclib.evaluation.metrics import summary
from dfclib.predictions import Predictions
from dfclib.reporting.tables import Table, accuracy_cells
from dfclib.wording import MISSING, percent, points


def comparison_table(before: Mapping[str, Predictions], name: str, after: Predictions) -> Table:
    """Single models against the ensemble `name` on the same images, with a paired interval and McNemar's p for each."""
    rows = []
    for model, predictions in before.items():
        result = compare(predictions, after, names=(model, name))
        p = result["mcnemar_p"]
        row = {"": model, **accuracy_cells(predictions), f"{name} less this, points": points(result["difference"])}
        row["95% paired interval"] = f"{points(result['low'])} to {points(result['high'])}"
        row["only this right"] = str(result["only_before_right"])
        row[f"only {name} right"] = str(result["only_after_right"])
        rows.append(row | {"McNemar p": "below 0.001" if p < 0.001 else f"{p:.3f}"})
    rows.append(dict.fromkeys(rows[0], MISSING) | {"": name, **accuracy_cells(after)})
    note = "Each p value is of one comparison: among several, expect a small one by chance."
    return Table(rows, f"{len(after):,} images. {note}")


def fixed_and_made_table(before: Predictions, after: Predictions, names: tuple[str, str]) -> Table:
    """Errors before and after, fixed and made, one row per class; names: of before and after."""
    table = fixed_and_made(before, after, names)
    headings = ["class", "images", f"errors of {names[0]}", "fixed", "made", f"errors of {names[1]}"]
    rows = [dict(zip(headings, map(str, row), strict=True)) for row in table.itertuples(index=False)]
    return Table(rows, f"Fixed: {names[0]} wrong, {names[1]} right. Made: the other way round.")


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
