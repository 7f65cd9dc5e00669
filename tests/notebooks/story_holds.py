"""What the notebooks tell of the embedded data is so, on the runs that they have just trained.

`make test-story` runs this file after the notebooks; `pytest` alone does not collect it.
"""

from pathlib import Path

import numpy as np
import pytest

from dfclib.evaluation.metrics import per_class
from dfclib.recipes.recipe import Recipe
from dfclib.runs import Run

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


def test_class_4_is_the_hard_one_and_class_3_nearly_trivial(runs):
    recall = np.mean([per_class(run.predictions("validation"))["recall"] for run in runs.values()], axis=0)
    assert (recall.argmin(), recall.argmax()) == (4, 3)
    assert recall[3] > 0.95  # 0.99 when it was written
