"""Notebooks' tables hold what the runs and recipes hold, and nothing is lost in HTML."""

from dataclasses import replace

import numpy as np
import pytest
from fakes import EMBEDDED, labels_only, make_run, noise_images

from dfclib.datasets.traces import trace_statistics
from dfclib.errors import UserError
from dfclib.evaluation.published import published_results
from dfclib.predictions import Predictions
from dfclib.recipes import find
from dfclib.reporting.tables import (
    Table,
    changes_table,
    fluctuation_table,
    predictions_table,
    recipe_table,
    recorded_table,
    results_table,
    traces_table,
    vote_table,
)

LABELS = np.array([0, 1, 2, 3, 4, 4])


def predictions(predicted: list[int]) -> Predictions:
    return labels_only(predicted, class_names="01234", labels=LABELS)


FOUR_RIGHT = predictions([0, 1, 2, 3, 0, 1])  # of six


def only_column(run) -> dict[str, str]:
    return {row[""]: row[run.recipe.title] for row in recorded_table([run]).rows}


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
    run = make_run(tmp_path, find("attempt1"), FOUR_RIGHT, metrics={"train_accuracy": 0.75})
    (row,) = results_table([run]).rows
    assert row["validation accuracy"] == "66.7%" and row["training less validation"] == "8.3 points"
    column = only_column(run)
    assert column["author, public test"] == "78.0%"
    assert column["ours, validation"] == "66.7%"
    assert column["shortened"] == "nothing"


def test_the_author_s_result_on_the_same_images_stands_beside_ours(tmp_path):
    run, small = make_run(tmp_path, find("attempt1")), make_run(tmp_path / "small", find("attempt1"), n=100)
    table = recorded_table([run], published_results())
    column = {row[""]: row[run.recipe.title] for row in table.rows}
    assert column["author, the same images"] == "72.6% (70.1% to 75.0%)"
    assert "author's accuracy on the same images and ours may be" in table.note
    for other in (recorded_table([small], published_results()), recorded_table([run])):
        assert "the same images" not in repr(other)


def test_runs_on_different_images_are_not_to_be_subtracted(tmp_path):
    real = make_run(tmp_path, find("attempt1"))
    embedded = make_run(tmp_path, find("attempt2").quick(), data=EMBEDDED)
    for table in (results_table, fluctuation_table):
        assert table([real]).note == "Data: unibuc."
        note = table([real, embedded]).note
        assert note.startswith("Different images: unibuc (attempt1); embedded data, ")
        assert note.endswith("are not to be subtracted.")


def test_traces_are_shown_by_class():
    images = noise_images(("cat", "dog"), per_class=4, size=(12, 12))
    table = traces_table(trace_statistics(images, "noise", embedded=False))
    assert [row["class"] for row in table.rows] == ["cat", "dog"] and table.rows[0]["images"] == "4"
    black = np.mean(images.images[images.labels == 1].mean(axis=3) < 16)
    assert table.rows[1]["near-black pixels"] == f"{100 * black:.1f}%"
    mean = images.images[images.labels == 0].reshape(-1, 3).mean(axis=0)
    assert table.rows[0]["mean of each channel"] == ", ".join(f"{value:.0f}" for value in mean)
    assert table.note.startswith("Data: noise.")


def test_other_systems_name_what_their_author_measured_on(tmp_path):
    run = make_run(tmp_path, find("s2-cnn"), FOUR_RIGHT)
    column = only_column(run)
    assert column["author"] == "validation 88.88%, Kaggle 90.00%"
    assert column["ours, validation"] == "66.7%"
    assert "same validation images" in recorded_table([run]).note


def test_fashion_mnist_is_reported_on_its_test_images(tmp_path):
    metrics = {"train_accuracy": 0.75}
    run = make_run(tmp_path, find("s4-author"), predictions([0] * 6), test=FOUR_RIGHT, metrics=metrics)
    (row,) = results_table([run]).rows
    assert row["test accuracy"] == "66.7%" and row["training less test"] == "8.3 points"
    assert only_column(run)["ours, test"] == "66.7%"
    assert "same test images" in recorded_table([run]).note


def test_a_compact_run_may_be_shortened_in_nothing(tmp_path):
    rows = recorded_table([make_run(tmp_path, "s4-author", 0.9, test=0.9)]).rows
    assert {row[""]: row["S4: the author's Fashion-MNIST network"] for row in rows}["shortened"] == "nothing"


def test_images_held_out_were_not_trained_on(tmp_path):
    run = make_run(tmp_path, find("s1-v1").with_options(protocol="held_out"), n=10)
    assert only_column(run)["training images"] == "90"
    assert only_column(make_run(tmp_path, find("s1-v1"), n=10))["training images"] == "100"


def test_recorded_runs_say_their_scale_what_is_kept_and_what_must_be_said_of_the_claim(tmp_path):
    compact = only_column(make_run(tmp_path, "attempt5"))
    assert compact["scale"] == "compact"
    assert compact["kept"] == "highest accuracy on validation"
    assert compact["shortened"] == (
        "12 epochs instead of 80; 100x100 pixels instead of 128x128; framing by crop instead of resize; nearest "
        "instead of bilinear interpolation"
    )
    shorter = only_column(make_run(tmp_path, find("s2-cnn").with_options(epochs=3, protocol="held_out")))
    assert (shorter["scale"], shorter["kept"]) == ("full, 3 epochs", "last epoch")
    assert shorter["of the author's"] == find("s2-cnn").claims_note != ""
    earlier = only_column(make_run(tmp_path, replace(find("attempt1"), batch_size=7)))
    assert earlier["scale"] == "full, earlier recipe"
    assert "of the author's" not in earlier


def test_nothing_recorded_is_said():
    assert "is recorded" in repr(recorded_table([]))
    assert "is recorded" in recorded_table([])._repr_html_()


def test_fluctuation(tmp_path):
    swing, calm = (0.5, 0.6) * 6, (0.1, 0.9, 0.2, 0.8, 0.3, 0.7, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75)
    curves = {"attempt5": calm, "attempt4": swing, "attempt6": swing[:11]}  # calm in its second half
    runs = [make_run(tmp_path, name, val_accuracies=curve) for name, curve in curves.items()]
    shown = [row["typical jump between epochs, second half"] for row in fluctuation_table(runs).rows]
    assert shown == ["0.0 points", "9.8 points", "too few epochs to tell"]


def test_votes_are_counted(tmp_path):
    ensemble = find("attempt6-vote")
    said = [[0, 1, 2, 3, 4, 4], [0, 1, 2, 3, 0, 1], [0, 1, 2, 0, 0, 1], [0, 1, 0, 0, 1, 1], [0, 0, 1, 1, 1, 1]]
    for member, answers in zip(ensemble.members, said, strict=True):
        make_run(tmp_path, member, predictions(answers))
    shares = np.array([np.bincount(votes, minlength=5) for votes in zip(*said, strict=True)], np.float32) / 5
    table = vote_table(make_run(tmp_path, ensemble, replace(FOUR_RIGHT, probabilities=shares)))
    assert [row["validation accuracy"] for row in table.rows] == ["100.0%", "66.7%", "50.0%", "33.3%", "16.7%", "66.7%"]
    # image 3: votes 3 3 0 0 1, image 4: votes 4 0 0 1 1
    assert table.note.startswith("Of 6 images, 6 had a vote for the truth, and 2 a tie")
    with pytest.raises(UserError, match="not a hard vote"):
        vote_table(make_run(tmp_path, find("attempt1")))


def test_predictions_side_by_side():
    (first, *_) = predictions_table(anna=predictions([4, 1, 2, 3, 4, 4])).rows
    assert first == {"image": "i0", "anna": "4", "truth": "0"}
