"""Notebook tables of ensembles: each cell against figures counted by hand."""

from dataclasses import replace

import numpy as np
import pytest
from fakes import AFTER, BEFORE, BY_HAND, counted, hand_made, labels_only, make_run, with_probabilities

from dfclib.errors import UserError
from dfclib.evaluation.published import PublishedResult, published_results, published_vote
from dfclib.recipes import find
from dfclib.reporting.comparison_tables import (
    beside_author_table,
    calibration_table,
    claims_table,
    class_table,
    comparison_table,
    disagreement_table,
    fixed_and_made_table,
    ladder_table,
    recall_table,
    replayed_vote_table,
    weights_table,
)

AB = ("a", "b")


def test_single_models_against_an_ensemble():
    before, after = counted(both=900, lost=20, won=45, neither=35)
    table = comparison_table({"v1": before, "itself": after}, "pair", after)
    v1, itself, pair = table.rows
    assert v1[""] == "v1" and v1["accuracy"] == "92.0%" and v1["95% interval"] == "90.2% to 93.5%"
    assert v1["pair less this, points"] == "+2.5"
    low, high = map(float, v1["95% paired interval"].split(" to "))
    assert low == pytest.approx(0.9, abs=0.15) and high == pytest.approx(4.1, abs=0.15)
    assert (v1["only this right"], v1["only pair right"]) == ("20", "45")
    assert v1["McNemar p"] == "0.003"
    assert itself["pair less this, points"] == "0.0" and itself["95% paired interval"] == "0.0 to 0.0"
    assert itself["McNemar p"] == "1.000"
    assert pair["accuracy"] == "94.5%" and pair["McNemar p"] == "–"
    assert list(pair) == list(v1)
    assert "1,000 images" in table.note
    zeros = np.zeros(99, np.int64)
    clear = comparison_table(
        {"v1": labels_only(zeros + 1, labels=zeros)}, "all", labels_only(zeros, labels=zeros)
    ).rows[0]
    assert clear["McNemar p"] == "below 0.001"
    worse = comparison_table({"v2": after}, "one", before).rows[0]
    assert worse["one less this, points"] == "-2.5"


def test_errors_fixed_and_made():
    table = fixed_and_made_table(BEFORE, AFTER, ("v1", "pair"))
    assert list(table.rows[0]) == ["class", "images", "errors of v1", "fixed", "made", "errors of pair"]
    assert [list(row.values()) for row in table.rows] == [
        ["a", "3", "2", "1", "0", "1"],
        ["b", "2", "0", "0", "2", "2"],
        ["c", "1", "1", "1", "0", "0"],
        ["all", "6", "3", "2", "2", "3"],
    ]


def test_disagreement_between_members():
    table = disagreement_table({"v1": labels_only([0, 0, 1, 1]), "v2": labels_only([0, 0, 1, 2])})
    assert [list(row.values()) for row in table.rows] == [["v1", "–", "25.0%"], ["v2", "25.0%", "–"]]
    assert table.note == "4 images."


def test_weights_that_were_tried():
    labels = np.array([0, 1])
    first = with_probabilities([[0.9, 0.1], [0.6, 0.4]], class_names=AB, labels=labels)
    second = with_probabilities([[0.4, 0.6], [0.1, 0.9]], class_names=AB, labels=labels)
    validation = {"v1": first, "v2": second}
    held_out = {"v1": second.take(np.array([0])), "v2": first.take(np.array([0]))}
    tried = {"equal": (1, 1), "the first alone": (1, 0)}
    equal, alone = weights_table(tried, validation, held_out).rows
    assert (equal["weight of v1"], equal["weight of v2"]) == ("0.5", "0.5")
    assert (equal["validation accuracy"], equal["held-out accuracy"]) == ("100.0%", "100.0%")
    assert (alone["validation accuracy"], alone["held-out accuracy"]) == ("50.0%", "0.0%")
    with pytest.raises(UserError, match="same members"):
        weights_table(tried, validation, dict(reversed(held_out.items())))


def test_calibration_with_and_without_temperature():
    table = calibration_table({"v1": BY_HAND}, {"v1": 2.0}, bins=1)
    plain, softened = table.rows
    assert plain["temperature"] == "–" and softened["temperature"] == "2.00"
    assert plain["accuracy"] == softened["accuracy"] == "66.7%"
    loss = -np.log([0.5, 0.375, 0.75, 0.875, 0.125, 1.0]).mean()
    assert plain["log loss"] == f"{loss:.3f}"
    assert plain["expected calibration error"] == "10.4%"  # 4.625 / 6 - 4 / 6
    assert (plain["mean confidence, right"], plain["mean confidence, wrong"]) == ("78.1%", "75.0%")
    first, second = np.sqrt([0.5, 0.75, 0.875, 1]), np.sqrt([0.5, 0.25, 0.125, 0])
    assert softened["mean confidence, right"] == f"{(first / (first + second)).mean():.1%}"
    assert "6 images" in table.note
    none_wrong = calibration_table({"v1": BY_HAND.take(np.array([0, 2]))}, {"v1": 1.0}).rows[0]
    assert none_wrong["mean confidence, wrong"] == "–"
    with pytest.raises(UserError, match="labels only"):
        calibration_table({"v1": replace(BY_HAND, probabilities=None)}, {"v1": 1.0})


def test_recall_names_the_class_that_errors_go_to():
    rows = recall_table({"author": hand_made(), "ours": AFTER}).rows
    assert [row["author: recall"] for row in rows] == ["66.7%", "50.0%", "0.0%"]
    assert [row["author: most often taken for"] for row in rows] == [
        "b (1 of 1 errors)",
        "a (1 of 1 errors)",
        "a (1 of 1 errors)",
    ]
    assert [row["ours: recall"] for row in rows] == ["66.7%", "0.0%", "100.0%"]
    assert rows[2]["ours: most often taken for"] == "–"


def test_class_4_through_the_attempts_is_the_author_s_and_ours(tmp_path):
    names = ("attempt2", "attempt4", "attempt6")
    runs = [make_run(tmp_path, find(name).compact(), 0.8) for name in names]
    rows = class_table(runs, published_results()).rows
    assert [row["recall, author"].split()[0] for row in rows] == ["68.8%", "69.2%", "85.2%"]
    assert [row["shown per epoch (others)"] for row in rows] == ["1 (1)", "3 (2)", "2 (2)"]
    assert [row["learning rate"] for row in rows] == ["constant", "grows", "decays"]
    assert [row["ours at"] for row in rows] == ["compact"] * 3
    small = make_run(tmp_path / "small", find("attempt2").compact(), 0.8, n=100)
    assert class_table([small], published_results()).rows[0]["recall, author"] == "–"  # other images


def test_the_ladder_has_the_author_on_the_same_images_and_on_kaggle_s(tmp_path):
    runs = [make_run(tmp_path, find("attempt2"), 0.8), make_run(tmp_path, "attempt6-vote", 0.9)]
    table = ladder_table(runs, published_results())
    assert table.rows[0] == {
        "attempt": "2",
        "author": "82.2% (79.9% to 84.2%)",
        "ours": "80.0% (77.7% to 82.1%)",
        "ours at": "full",
        "epochs": "7",
        "image size": "128x128",
        "author on Kaggle": "82.0%",
    }
    vote = table.rows[1]
    assert (vote["author"], vote["author on Kaggle"], vote["epochs"]) == ("–", "90.9%", "5 voters")
    assert table.note.startswith("1,250 validation images")


def test_a_published_vote_is_replayed_image_by_image():
    """Five images: three decided, of which one is published otherwise; two ties, one published with a third label."""
    files = [
        labels_only(p) for p in ([0, 0, 0, 0, 0], [0, 0, 1, 1, 1], [0, 1, 1, 2, 2], [1, 0, 1, 2, 0], [2, 0, 1, 1, 1])
    ]
    table = replayed_vote_table(files, labels_only([0, 0, 2, 1, 2]))
    counts = [int(row["images"]) for row in table.rows]
    assert counts[:2] == [3, 2] and counts[2:4] == [2, 1]
    assert counts[4] <= counts[3]
    assert table.note == "5 images, 5 files."


def test_the_author_s_own_vote_is_replayed():
    *files, theirs = published_vote().values()
    decided, same, tied, among, _ = (row["images"] for row in replayed_vote_table(files, theirs).rows)
    assert decided == same == "6,320" and tied == among == "180"


def test_author_and_ours_stand_beside_each_other_on_the_same_images(tmp_path):
    """Author: 3 of 4 and 2 of 4 right; ours: all of the first class, 1 of the second."""
    matrix = np.array([[3, 1], [2, 2]])
    author = PublishedResult("s1-v1", "validation", 8, 5, "his report", matrix)
    labels = np.repeat([0, 1], 4)
    ours = labels_only([0, 0, 0, 0, 0, 0, 0, 1], class_names=("0", "1"), labels=labels)
    run = make_run(tmp_path, "s1-v1", ours)
    elsewhere = make_run(tmp_path, "s1-v2", 0.8, n=200)
    (row,) = beside_author_table([run, elsewhere], {"s1-v1": author, "s1-v2": replace(author, recipe="s1-v2")}).rows
    assert row["author"].startswith("62.5% (") and row["ours"].startswith("62.5% (")
    assert row["ours less author's, points"] == "0.0"
    assert row["answered differently"] == "at least 2 of 8"
    assert row["McNemar p"] == "1.000"
    better = labels_only(labels, class_names=("0", "1"), labels=labels)
    (row,) = beside_author_table([make_run(tmp_path / "b", "s1-v1", better)], {"s1-v1": author}).rows
    assert row["ours less author's, points"] == "+37.5"
    assert row["McNemar p"] == "0.250"  # three images, all ours: 2 / 2^3, whichever they are
    empty = beside_author_table([elsewhere], {})
    assert not empty.rows and "recorded" in empty.note


def test_what_an_author_writes_stands_beside_what_his_matrix_adds_up_to():
    rows = {row["author's"]: row for row in claims_table(["s2-cnn", "s3-base", "s3-vote"], published_results()).rows}
    assert rows["s2-cnn"] == {
        "author's": "s2-cnn",
        "by the text": "88.88%",
        "by the matrix": "88.72%",
        "right": "1,109 of 1,250",
        "matrix less text, points": "-0.16",
    }
    assert rows["s3-vote"]["matrix less text, points"] == "-0.44"
    assert (rows["s3-base"]["by the text"], rows["s3-base"]["matrix less text, points"]) == ("–", "–")
