"""The experiment on resampling, as a figure and as README's table, from the recorded runs."""

from pathlib import Path

import numpy as np
import pytest

from dfclib.errors import UserError
from dfclib.reporting import figures
from dfclib.reporting.readme import experiment_runs, resampling_block
from dfclib.runs import find_runs

RECORDED = find_runs(Path(__file__).parents[3] / "report" / "runs")


def test_a_point_a_seed_and_the_mean_beside_it():
    groups = experiment_runs(RECORDED)
    assert groups
    (axes,) = figures.resampling(RECORDED).axes
    points = [100 * run.predictions("held_out").accuracy for found in groups.values() for run in found]
    drawn = np.concatenate([line.get_xdata() for line in axes.lines if line.get_marker() == "o"])
    assert drawn == pytest.approx(points)
    low, high = axes.get_xlim()
    assert low < min(points) <= max(points) < high
    means = [100 * np.mean([run.predictions("held_out").accuracy for run in found]) for found in groups.values()]
    assert [text.get_text() for text in axes.texts] == [f"{mean:.1f}" for mean in means]


def test_the_table_has_a_row_a_way_with_its_seeds():
    groups = experiment_runs(RECORDED)
    rows = [line for line in resampling_block(RECORDED).splitlines() if line.startswith("| 1")]
    assert len(rows) == len(groups)
    for row, found in zip(rows, groups.values(), strict=True):
        mean = 100 * np.mean([run.predictions("held_out").accuracy for run in found])
        assert row.startswith(f"| {found[0].recipe.title} | {mean:.1f}%")
        assert f" | {len(found)} | 1,250 | " in row


def test_without_its_runs_there_is_no_figure_and_the_table_says_so():
    others = [run for run in RECORDED if run.recipe.name == "attempt1"]
    assert experiment_runs(others) == {}
    assert "Nothing is recorded yet" in resampling_block(others)
    with pytest.raises(UserError, match="train it first"):
        figures.resampling(others)
