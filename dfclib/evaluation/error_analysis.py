"""error_analysis(members, ensemble): all that is asked about the errors of an ensemble and its members, in one place.

The parts are in comparison.py and calibration.py; comparison_tables.py and figures show them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from dfclib import ensembles
from dfclib.errors import UserError
from dfclib.evaluation import calibration, comparison
from dfclib.predictions import Predictions

if TYPE_CHECKING:
    import pandas as pd

ENSEMBLE = "ensemble"


@dataclass(frozen=True)
class ErrorAnalysis:
    """What `error_analysis` found, by name of the member, or "ensemble".

    rescued, spoiled: ids that the member gets wrong and the ensemble right, and the other way round: str (n,)
    all_wrong: ids that every member and the ensemble get wrong
    hard_class: how often each takes the hard class for another one, and another one for it (class, other,
        taken_for_other, other_taken_for_it: images)
    confidence: mean and median confidence and number of right and of wrong answers
    calibration_error: expected calibration error
    temperatures: fitted on held-out predictions; calibration_error_after: with them; empty where none were given
    """

    rescued: dict[str, np.ndarray]
    spoiled: dict[str, np.ndarray]
    all_wrong: np.ndarray
    hard_class: dict[str, "pd.DataFrame"]
    confidence: dict[str, dict[str, dict[str, float | int]]]
    calibration_error: dict[str, float]
    temperatures: dict[str, float] = field(default_factory=dict)
    calibration_error_after: dict[str, float] = field(default_factory=dict)


def error_analysis(
    members: Mapping[str, Predictions],
    ensemble: Predictions,
    hard_class: str = "4",
    held_out: Mapping[str, Predictions] | None = None,
) -> ErrorAnalysis:
    """Where an ensemble and its members err, whom they mistake for whom, and how sure they are of it.

    members: by name, about the same labelled images as `ensemble`, all with probabilities
    hard_class: the class that is looked at on its own (the competition's is "4", taken for "0" and "1")
    held_out: predictions of the members and of the "ensemble", by the same names, for held-out images: the temperatures
        are fitted on these, never on the images that are analysed
    Raises UserError as `ensembles.align` does, without labels or probabilities, for a class that is not there, and
    for held-out predictions under other names.
    """
    names = [*members, ENSEMBLE]
    if ENSEMBLE in members:
        raise UserError(f"a member is called {ENSEMBLE!r}, which is what the vote is called: rename it")
    aligned = ensembles.align([*members.values(), ensemble], names)
    everybody = dict(zip(names, aligned, strict=True))
    wrong = ~np.stack([comparison.is_right(p) for p in aligned])
    if hard_class not in aligned[0].class_names:
        raise UserError(f"no class is called {hard_class!r}: there are {', '.join(aligned[0].class_names)}")
    if held_out is not None and set(held_out) != set(names):
        raise UserError(f"held-out predictions are of {', '.join(held_out)}, the others of {', '.join(names)}")
    temperatures = {name: calibration.fit_temperature(held_out[name]) for name in names} if held_out else {}
    after = {name: calibration.with_temperature(everybody[name], t) for name, t in temperatures.items()}
    ids = aligned[0].ids
    return ErrorAnalysis(
        rescued={name: ids[wrong[i] & ~wrong[-1]] for i, name in enumerate(members)},
        spoiled={name: ids[~wrong[i] & wrong[-1]] for i, name in enumerate(members)},
        all_wrong=ids[wrong.all(axis=0)],
        hard_class={name: taken_for(p, hard_class) for name, p in everybody.items()},
        confidence={name: calibration.confidence_by_correctness(p) for name, p in everybody.items()},
        calibration_error={name: calibration.expected_calibration_error(p) for name, p in everybody.items()},
        temperatures=temperatures,
        calibration_error_after={name: calibration.expected_calibration_error(p) for name, p in after.items()},
    )


def taken_for(predictions: Predictions, name: str) -> "pd.DataFrame":
    """One row another class: class (`name`), other, taken_for_other (images of `name` given the other's label), and
    other_taken_for_it (the reverse). Raises UserError without labels."""
    import pandas as pd

    from dfclib.evaluation.metrics import confusion_matrix

    counts, classes = confusion_matrix(predictions), predictions.class_names
    i = classes.index(name)
    rows = [(name, other, int(counts[i, j]), int(counts[j, i])) for j, other in enumerate(classes) if j != i]
    return pd.DataFrame(rows, columns=["class", "other", "taken_for_other", "other_taken_for_it"])
