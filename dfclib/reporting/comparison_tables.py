"""What the notebooks show of ensembles beside single models: comparisons, errors fixed and made, weights, calibration.

Like `tables`, text that holds on every machine: figures are rounded to what a reader needs.
"""

import math
from collections.abc import Mapping, Sequence

from dfclib.ensembles import vote
from dfclib.errors import UserError
from dfclib.evaluation.calibration import confidence_by_correctness, expected_calibration_error, with_temperature
from dfclib.evaluation.comparison import compare, disagreement, fixed_and_made
from dfclib.evaluation.metrics import summary
from dfclib.predictions import Predictions
from dfclib.reporting.tables import MISSING, Table


def comparison_table(before: Mapping[str, Predictions], name: str, after: Predictions) -> Table:
    """Single models against what `name` calls the ensemble, on the same images: one row a model, the ensemble last.

    Accuracies have Wilson intervals, differences paired bootstrap intervals (`comparison.compare`).
    Raises UserError as `compare` does.
    """
    rows = []
    for model, predictions in before.items():
        result = compare(predictions, after, names=(model, name))
        rows.append(
            {
                "": model,
                **_accuracy(predictions),
                f"{name} less this, points": _points(result["difference"]),
                "95% paired interval": f"{_points(result['low'])} to {_points(result['high'])}",
                "only this right": str(result["only_before_right"]),
                f"only {name} right": str(result["only_after_right"]),
                "McNemar p": _p_value(result["mcnemar_p"]),
            }
        )
    blank = dict.fromkeys(rows[0] if rows else (), MISSING)
    rows.append(blank | {"": name, **_accuracy(after)})
    return Table(
        rows,
        f"{len(after):,} images. Each p value is of one comparison: among several, expect a small one by chance.",
    )


def fixed_and_made_table(before: Predictions, after: Predictions, names: tuple[str, str]) -> Table:
    """Errors before and after, fixed and made, one row a class; names: of before and after."""
    table = fixed_and_made(before, after, names)
    headings = ["class", "images", f"errors of {names[0]}", "fixed", "made", f"errors of {names[1]}"]
    rows = [dict(zip(headings, map(str, row), strict=True)) for row in table.itertuples(index=False)]
    return Table(rows, f"Fixed: {names[0]} wrong, {names[1]} right. Made: the other way round.")


def disagreement_table(members: Mapping[str, Predictions]) -> Table:
    """The share of images to which two members give different answers, a row and a column a member."""
    names = list(members)
    shares = disagreement(list(members.values()), names)
    rows = [
        {"": name} | {other: MISSING if other == name else f"{shares[i, j]:.1%}" for j, other in enumerate(names)}
        for i, name in enumerate(names)
    ]
    return Table(rows, f"{len(members[names[0]]):,} images.")


def weights_table(
    tried: Mapping[str, Sequence[float]],
    validation: Mapping[str, Predictions],
    held_out: Mapping[str, Predictions] | None = None,
    kind: str = "soft",
) -> Table:
    """What each of `tried` (equal, the author's, searched on held-out images) gets right: one row a set of weights.

    validation, held_out: the members' predictions by name, in the order of the weights; held_out None where the
    members were trained on all images. Weights are shown as shares of their sum.
    Raises UserError as `vote` does, and where the two name different members.
    """
    if held_out is not None and list(held_out) != list(validation):
        raise UserError(
            f"held-out predictions of {', '.join(held_out)}, but validation of {', '.join(validation)}: "
            "give the same members in the same order"
        )
    names, rows = list(validation), []
    for what, weights in tried.items():
        voted = vote(kind, list(validation.values()), weights, names=names)
        if held_out is None:
            kept_back = MISSING
        else:
            kept_back = f"{summary(vote(kind, list(held_out.values()), weights, names=names))['accuracy']:.1%}"
        shares = {f"weight of {name}": f"{w / math.fsum(weights):.3g}" for name, w in zip(names, weights, strict=True)}
        rows.append({"weights": what, **shares, "held-out accuracy": kept_back, **_accuracy(voted, "validation ")})
    counts = [f"{len(validation[names[0]]):,} validation images"]
    if held_out is not None:
        counts.insert(0, f"{len(held_out[names[0]]):,} held-out images")
    note = f"{kind.capitalize()} vote; {', '.join(counts)}."
    if held_out is not None:
        note += " Weights that were searched on the held-out images look better there than they are."
    return Table(rows, note)


def calibration_table(
    predictions: Mapping[str, Predictions], temperatures: Mapping[str, float] | None = None, bins: int = 15
) -> Table:
    """Accuracy, log loss, calibration error and confidence: one row a model, and one with its temperature where given.

    predictions: probabilities with labels (not a hard vote's shares); temperatures: fitted on held-out images.
    Raises UserError as `expected_calibration_error` does, and for a temperature of a model that is not there.
    """
    temperatures = temperatures or {}
    unknown = [name for name in temperatures if name not in predictions]
    if unknown:
        raise UserError(f"temperatures of {', '.join(unknown)}, but predictions of {', '.join(predictions)} alone")
    rows = []
    for name, plain in predictions.items():
        rows.append(_calibration_row(name, MISSING, plain, bins))
        if name in temperatures:
            softened = with_temperature(plain, temperatures[name])
            rows.append(_calibration_row(name, f"{temperatures[name]:.2f}", softened, bins))
    counts = dict.fromkeys(f"{len(p):,} images" for p in predictions.values())
    return Table(rows, f"{', '.join(counts)}; expected calibration error over {bins} bins of equal width.")


def _calibration_row(name: str, temperature: str, predictions: Predictions, bins: int) -> dict[str, str]:
    result, confidence = summary(predictions), confidence_by_correctness(predictions)
    return {
        "": name,
        "temperature": temperature,
        "accuracy": f"{result['accuracy']:.1%}",
        "log loss": f"{result['log_loss']:.3f}",
        "expected calibration error": f"{expected_calibration_error(predictions, bins):.1%}",
        "mean confidence, right": _share(confidence["right"]["mean"]),
        "mean confidence, wrong": _share(confidence["wrong"]["mean"]),
    }


def _accuracy(predictions: Predictions, of: str = "") -> dict[str, str]:
    result = summary(predictions)
    return {
        f"{of}accuracy": f"{result['accuracy']:.1%}",
        "95% interval": f"{result['low']:.1%} to {result['high']:.1%}",
    }


def _points(share: float) -> str:
    """A difference of two shares in points, with its sign; no "-0.0"."""
    return f"{100 * share:+z.1f}".replace("+0.0", "0.0")


def _p_value(p: float) -> str:
    return "below 0.001" if p < 0.001 else f"{p:.3f}"


def _share(value: float) -> str:
    return MISSING if math.isnan(value) else f"{value:.1%}"
