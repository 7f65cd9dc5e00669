"""Tables: what notebooks show holds what the runs and recipes hold, and nothing is lost in HTML."""

from dataclasses import replace

import numpy as np
import pytest

from dfclib.datasets.sources import load
from dfclib.errors import UserError
from dfclib.files import write_json
from dfclib.predictions import Predictions
from dfclib.recipes import EnsembleRecipe, find
from dfclib.reporting.tables import (
    Table,
    changes_table,
    fluctuation_table,
    predictions_table,
    recipe_table,
    recorded_table,
    results_table,
    vote_table,
)
from dfclib.runs import Run, find_alike, find_recorded, run_name, write_history, write_predictions_file

LABELS = np.array([0, 1, 2, 3, 4, 4])


def predictions(predicted: list[int], shares: np.ndarray | None = None) -> Predictions:
    ids = np.array([f"image-{i}" for i in range(len(predicted))])
    return Predictions(ids, np.array(predicted), tuple("01234"), shares, LABELS)


def write_run(folder, recipe, said: Predictions, embedded=False, fingerprint="f", members=(), accuracies=(0.5,)) -> Run:
    """A finished run without a training."""
    path = folder / run_name(recipe, "animals")
    data = {"name": "animals", "fingerprint": fingerprint, "embedded": embedded, "class_names": list("01234")}
    data |= {"image_size": [100, 100], "channels": 3, "counts": {"train": 60, "validation": 6}}
    values = {"name": path.name, "recipe": recipe.to_dict(), "recipe_fingerprint": recipe.fingerprint, "data": data}
    values |= {"environment": {"device": "CPU", "precision": None}, "members": list(members)}
    write_json(path / "recipe.json", values)
    if not isinstance(recipe, EnsembleRecipe):
        rows = [
            dict.fromkeys(("loss", "accuracy", "val_loss", "learning_rate", "seconds"), 1.0)
            | {"epoch": number, "val_accuracy": accuracy}
            for number, accuracy in enumerate(accuracies, start=1)
        ]
        write_history(path, rows)
    write_predictions_file(path, {"validation": said})
    metrics = {"epochs": len(accuracies), "kept_epoch": 1, "train_accuracy": 0.75, "validation": {"n": 6}}
    write_json(path / "metrics.json", {"validation": {"n": 6}} if members else metrics)
    return Run(path)


def test_a_table_is_text_and_escaped_html():
    table = Table([{"a": "1", "b": "x < y"}, {"a": "22", "b": ""}], "a & b")
    assert repr(table).splitlines() == ["a   b", "", "1   x < y", "22", "", "a & b"]
    page = table._repr_html_()
    assert "x &lt; y" in page and "a &amp; b" in page
    assert page.count("<tr>") == 3 and page.count("<td") == 4


def test_changes_name_exactly_what_differs():
    old = find("attempt1")
    table = changes_table(old, replace(old, epochs=11, arguments=old.arguments | {"units": 64}))
    assert [tuple(row.values()) for row in table.rows] == [("arguments.units", "256", "64"), ("epochs", "10", "11")]
    assert not changes_table(old, old).rows


def test_changes_show_the_builders_defaults():
    rows = {row["field"]: row for row in changes_table(find("attempt4"), find("attempt5")).rows}
    assert rows["arguments.filters"]["attempt4"] == "[32, 64, 128]"
    assert rows["arguments.filters"]["attempt5"] == "[48, 96, 192]"


def test_a_scale_is_a_change_of_the_same_recipe():
    rows = changes_table(find("attempt1"), find("attempt1").quick()).rows
    assert list(rows[0]) == ["field", "attempt1, full", "attempt1, quick"]


def test_a_recipe_is_shown_whole():
    shown = {row["field"]: row["value"] for row in recipe_table(find("attempt4")).rows}
    assert shown["augmentation.rotation"] == "12" and shown["class_repeats"] == "4: 3"
    assert "title" not in shown and "claims" not in shown
    assert shown["normalisation"] == "unit" and "arguments.normalisation" not in shown


def test_results_and_recorded_runs(tmp_path):
    run = write_run(tmp_path, find("attempt1"), predictions([0, 1, 2, 3, 0, 1]))
    (row,) = results_table([run]).rows
    assert row["validation accuracy"] == "66.7%" and row["training less validation"] == "8.3 points"
    column = {r[""]: r["Attempt 1: the baseline"] for r in recorded_table([run]).rows}
    assert column["author, public test"] == "78.0%"
    assert column["ours, validation"] == "66.7%"
    assert column["shortened"] == "nothing"


def test_other_systems_name_what_their_author_measured_on(tmp_path):
    said = predictions([0, 1, 2, 3, 0, 1])
    table = recorded_table([write_run(tmp_path, find("s2-cnn"), said)])
    column = {row[""]: row[find("s2-cnn").title] for row in table.rows}
    assert column["author"] == "validation 88.88%, Kaggle 90.00%"
    assert column["ours, validation"] == "66.7%"
    assert "same validation images" in table.note


def test_fashion_mnist_is_reported_on_its_test_images(tmp_path):
    run = write_run(tmp_path, find("s4-author"), predictions([0] * 6))
    write_predictions_file(run.path, {"validation": predictions([0] * 6), "test": predictions([0, 1, 2, 3, 0, 1])})
    (row,) = results_table([run]).rows
    assert row["test accuracy"] == "66.7%" and row["training less test"] == "8.3 points"
    table = recorded_table([run])
    assert {row[""]: row[find("s4-author").title] for row in table.rows}["ours, test"] == "66.7%"
    assert "same test images" in table.note


def test_images_held_out_were_not_trained_on(tmp_path):
    recipe = find("s1-v1").with_options(protocol="held_out")
    run = write_run(tmp_path, recipe, predictions([0] * 6))
    write_predictions_file(run.path, {"validation": predictions([0] * 6), "held_out": predictions([0] * 6)})
    write_json(run.path / "metrics.json", run.metrics | {"held_out": {"n": 6}})
    (column,) = [{row[""]: row[recipe.title] for row in recorded_table([Run(run.path)]).rows}]
    assert column["training images"] == "54"


def test_recorded_runs_of_one_protocol(tmp_path):
    said = predictions([0] * 6)
    write_run(tmp_path, find("s1-v1").compact(), said)
    write_run(tmp_path, find("s1-v1").compact().with_options(protocol="held_out"), said)
    assert [run.protocol for run in find_recorded("s1-v1", folder=tmp_path)] == ["published"]
    assert [run.protocol for run in find_recorded("s1-v1", protocol="held_out", folder=tmp_path)] == ["held_out"]
    assert find_recorded("s1-v2", protocol="held_out", folder=tmp_path) == []


def test_a_current_run_is_taken_before_an_earlier_recipes_of_a_larger_scale(tmp_path):
    full, said = find("attempt1"), predictions([0] * 6)
    write_run(tmp_path, replace(full, batch_size=7), said)
    assert [run.scale for run in find_recorded("attempt1", folder=tmp_path)] == ["full"]  # better than none
    write_run(tmp_path, full.compact().with_options(seed=4), said)
    assert [(run.scale, run.seed) for run in find_recorded("attempt1", folder=tmp_path)] == [("compact", 4)]
    write_run(tmp_path, full.with_options(seed=5), said)
    assert [(run.scale, run.seed) for run in find_recorded("attempt1", folder=tmp_path)] == [("full", 5)]


def test_recorded_runs_say_their_scale_what_is_kept_and_what_must_be_said_of_the_claim(tmp_path):
    said = predictions([0, 1, 2, 3, 0, 1])

    def column(recipe):
        return {row[""]: row[recipe.title] for row in recorded_table([write_run(tmp_path, recipe, said)]).rows}

    assert (
        column(find("attempt5").compact()).items()
        >= {
            "scale": "compact",
            "kept": "highest accuracy on validation",
            "shortened": "12 epochs instead of 80; 100x100 pixels instead of 128x128; framing by crop instead of "
            "resize; nearest instead of bilinear interpolation",
        }.items()
    )
    shorter = column(find("s2-cnn").with_options(epochs=3, protocol="held_out"))
    assert (shorter["scale"], shorter["kept"]) == ("full, 3 epochs", "last epoch")
    assert shorter["of the author's"] == find("s2-cnn").claims_note != ""
    earlier = column(replace(find("attempt1"), batch_size=7))
    assert earlier["scale"] == "full, earlier recipe"
    assert "of the author's" not in earlier


def test_nothing_recorded_is_said(tmp_path):
    assert find_recorded("attempt1", folder=tmp_path) == []
    assert "is recorded" in repr(recorded_table([]))
    assert "is recorded" in recorded_table([])._repr_html_()


def test_recorded_runs_are_real_the_largest_scale_and_the_lowest_seed(tmp_path):
    full, said = find("attempt1"), predictions([0] * 6)
    for recipe in (full.compact(), full.with_options(seed=3), full.with_options(seed=2), full.quick()):
        write_run(tmp_path, recipe, said)
    write_run(tmp_path, full, said, embedded=True)
    write_run(tmp_path, find("attempt2").compact(), said)
    found = find_recorded("attempt2", "attempt4", "attempt1", folder=tmp_path)
    assert [(run.recipe.name, run.scale, run.seed) for run in found] == [
        ("attempt2", "compact", 0),
        ("attempt1", "full", 2),
    ]


def test_alike_means_same_data_scale_and_seed(tmp_path):
    said = predictions([0] * 6)
    run = write_run(tmp_path, find("attempt2"), said)
    write_run(tmp_path, find("attempt1"), said)
    write_run(tmp_path, find("attempt4").quick(), said)
    write_run(tmp_path, find("attempt5").with_options(seed=1), said)
    write_run(tmp_path, find("attempt6"), said, fingerprint="other")
    found = find_alike(run, "attempt6", "attempt5", "attempt4", "attempt2", "attempt1")
    assert [other.recipe.name for other in found] == ["attempt2", "attempt1"]


def test_fluctuation(tmp_path):
    said = predictions([0] * 6)
    calm = write_run(tmp_path, find("attempt5"), said, accuracies=(0.5, 0.6, 0.7))
    wild = write_run(tmp_path, find("attempt4"), said, accuracies=(0.5, 0.6, 0.5))
    short = write_run(tmp_path, find("attempt6"), said, accuracies=(0.5, 0.6))
    swings = [row["fluctuation"] for row in fluctuation_table([calm, wild, short]).rows]
    assert swings == ["0.0 points", "10.0 points", "too few epochs to tell"]


def test_votes_are_counted(tmp_path):
    ensemble = find("attempt6-vote")
    said = [[0, 1, 2, 3, 4, 4], [0, 1, 2, 3, 0, 1], [0, 1, 2, 0, 0, 1], [0, 1, 0, 0, 1, 1], [0, 0, 1, 1, 1, 1]]
    members = [write_run(tmp_path, m, predictions(s)).name for m, s in zip(ensemble.members, said, strict=True)]
    shares = np.array([np.bincount(votes, minlength=5) for votes in zip(*said, strict=True)], np.float32) / 5
    run = write_run(tmp_path, ensemble, predictions([0, 1, 2, 3, 0, 1], shares), members=members)
    table = vote_table(run)
    assert [row["validation accuracy"] for row in table.rows] == ["100.0%", "66.7%", "50.0%", "33.3%", "16.7%", "66.7%"]
    # image 3: votes 3 3 0 0 1, image 4: votes 4 0 0 1 1
    assert table.note.startswith("Of 6 images, 6 had a vote for the truth, and 2 a tie")
    with pytest.raises(UserError, match="not a hard vote"):
        vote_table(write_run(tmp_path, find("attempt1"), predictions([0] * 6)))


def test_predictions_side_by_side():
    (first, *_) = predictions_table(anna=predictions([4, 1, 2, 3, 4, 4])).rows
    assert first == {"image": "image-0", "anna": "4", "truth": "0"}


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(UserError):
        load(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"image_size \(128, 96\) is for a folder of images"):
        load(None, [128, 96])
