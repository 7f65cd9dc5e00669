"""What the notebooks tell of the embedded data is so, on the runs that they have just trained.

`make test-story` runs this file after the notebooks; `pytest` alone does not collect it.
"""

from pathlib import Path

import numpy as np
import pytest

from dfclib.evaluation.metrics import per_class
from dfclib.recipes.recipe import Recipe
from dfclib.runs import Run

VARIANTS_OF_1 = tuple(f"attempt3-{letter}-" for letter in "abcde")
RUNS = Path(__file__).parents[2] / "build" / "runs-quick"


@pytest.fixture(scope="module")
def runs() -> dict[str, Run]:
    """By name: the single trainings of the six attempts; the votes are left out."""
    found = [Run(folder) for folder in sorted(RUNS.glob("attempt*-quick-embedded-published-seed*"))]
    assert found, f"no run in {RUNS}: `make test-story` trains them"
    return {run.name: run for run in found if isinstance(run.recipe, Recipe)}


def test_attempt_1_overfits(runs):
    history = runs["attempt1-quick-embedded-published-seed0"].history
    assert history["accuracy"].iloc[-1] - history["val_accuracy"].iloc[-1] > 0.1  # 0.23 when it was written


def accuracy(run: Run) -> float:
    return run.predictions("validation").accuracy


def test_augmentation_and_a_decaying_rate_are_worth_more_than_the_baseline_s_kind(runs):
    """Attempts 4, 5 and three seeds of 6, on average, against attempt 1 and its five variants."""
    later = [accuracy(run) for name, run in runs.items() if name[7] in "456"]
    plain = [accuracy(run) for name, run in runs.items() if name.startswith(("attempt1", *VARIANTS_OF_1))]
    assert (len(later), len(plain)) == (5, 6)
    assert np.mean(later) > np.mean(plain) + 0.03  # 0.09 more when it was written


def test_the_vote_is_above_its_typical_voter(runs):
    vote = Run(RUNS / "attempt3-quick-embedded-published-seed0")
    assert accuracy(vote) > np.median([accuracy(runs[name]) for name in vote.members])  # 0.04 more when it was written


def test_class_4_is_the_hard_one(runs):
    recall = np.mean([per_class(run.predictions("validation"))["recall"] for run in runs.values()], axis=0)
    assert recall.argmin() == 4
    assert recall[3] > recall[4] + 0.1  # 0.2 more when it was written
