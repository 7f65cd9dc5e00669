"""The ledger: whoever measures a recipe of ours on validation leaves a row, and recording loses none."""

from dataclasses import replace

import numpy as np
from fakes import tiny_recipe

from dfclib import validation_looks
from dfclib.recipes.recipe import OURS, EnsembleRecipe
from dfclib.recording import record
from dfclib.training import train


def ours(protocol: str = "final", **changes):
    return tiny_recipe(name="mine", system=OURS, epochs=1, protocol=protocol, **changes)


def test_trainings_and_votes_of_ours_leave_a_row_and_authors_none(splits, tmp_path):
    mine = [ours(seed=seed) for seed in (0, 1)]
    vote = EnsembleRecipe("mine-vote", "t", OURS, tuple(mine))
    train(tiny_recipe(epochs=1), splits, tmp_path, progress=False)
    run = train(vote, splits, tmp_path, progress=False)
    rows = validation_looks.read(tmp_path)
    assert [row["run"] for row in rows] == [*run.members, run.name]
    assert [row["recipe_fingerprint"] for row in rows] == [*(one.fingerprint for one in mine), vote.fingerprint]
    assert rows[-1]["correct"] == str(int(run.predictions("validation").correct.sum()))
    assert rows[-1]["n"] == str(len(splits.validation))
    assert [row["time"] for row in rows] == sorted(row["time"] for row in rows)
    train(vote, splits, tmp_path, progress=False)  # finished: nobody looks
    assert validation_looks.read(tmp_path) == rows


def test_every_epoch_that_watches_validation_is_a_look(splits, tmp_path):
    run = train(replace(ours(protocol="published"), epochs=3), splits, tmp_path, progress=False)
    *epochs, last = validation_looks.read(tmp_path)
    assert [row["run"] for row in epochs] == [f"{run.name}, epoch {epoch}" for epoch in (1, 2, 3)]
    accuracies = [int(row["correct"]) / int(row["n"]) for row in epochs]
    np.testing.assert_allclose(accuracies, run.history["val_accuracy"], atol=1e-6)
    assert last["run"] == run.name


def test_held_out_images_and_embedded_ones_are_no_look(splits, tmp_path):
    mine = ours()
    train(replace(mine, protocol="held_out", reported_split="held_out"), splits, tmp_path, progress=False)
    train(mine, replace(splits, name="made", embedded=True), tmp_path, progress=False)
    assert validation_looks.read(tmp_path) == []


def test_record_carries_every_row_along_once(splits, tmp_path):
    runs, report = tmp_path / "runs", tmp_path / "report"
    for seed in (0, 1):
        run = train(ours(seed=seed), splits, runs, progress=False)
    record(run, report)
    rows = validation_looks.read(report)
    assert len(rows) == 2  # the one of the run that is not recorded, too
    record(run, report)
    assert validation_looks.read(report) == rows == validation_looks.read(runs)
    assert np.all([row["n"] == str(len(splits.validation)) for row in rows])
