"""Accuracy with its interval, tables a class, the ladder; and `make_run`, which figures' tests use too."""

import math
from dataclasses import replace

import numpy as np
import pytest
from fakes import hand_made, make_run

from dfclib.errors import UserError
from dfclib.evaluation import metrics
from dfclib.files import read_json, write_json
from dfclib.runs import Run


@pytest.mark.parametrize(
    ("correct", "n", "low", "high"),
    [
        # Newcombe, Statistics in Medicine 17 (1998), table I, method 3 (score without correction)
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_interval_gives_published_values(correct, n, low, high):
    assert metrics.wilson_interval(correct, n) == pytest.approx((low, high), abs=5e-5)


def test_wilson_interval_follows_its_formula_at_another_confidence():
    z, p, n = 2.5758293035489004, 0.884, 1250  # 99%
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    interval = metrics.wilson_interval(1105, 1250, confidence=0.99)
    assert interval == pytest.approx((centre - half, centre + half), abs=1e-12)
    assert all(type(end) is float for end in interval)


@pytest.mark.parametrize(("correct", "n"), [(3, 2), (-1, 5), (0, 0)])
def test_wilson_interval_refuses_impossible_counts(correct, n):
    with pytest.raises(ValueError):
        metrics.wilson_interval(correct, n)


def test_summary_of_a_hand_made_case():
    result = metrics.summary(hand_made())
    low, high = metrics.wilson_interval(3, 6)
    log_loss = (3 * math.log(2) + 3 * math.log(4)) / 6
    assert result == pytest.approx(
        {"n": 6, "correct": 3, "accuracy": 0.5, "low": low, "high": high, "log_loss": log_loss}, abs=1e-12
    )
    assert metrics.summary(replace(hand_made(), probabilities=None))["log_loss"] is None


def test_per_class_of_a_hand_made_case():
    table = metrics.per_class(hand_made())
    assert list(table.columns) == ["class", "n", "precision", "recall", "f1"]
    assert table["class"].tolist() == ["a", "b", "c"]
    assert table["n"].tolist() == [3, 2, 1]
    assert table["precision"].tolist() == pytest.approx([2 / 4, 1 / 2, 0])
    assert table["recall"].tolist() == pytest.approx([2 / 3, 1 / 2, 0])
    assert table["f1"].tolist() == pytest.approx([4 / 7, 1 / 2, 0])


def test_confusion_matrix_has_true_classes_in_rows():
    matrix = metrics.confusion_matrix(hand_made())
    assert matrix.dtype == np.int64
    assert matrix.tolist() == [[2, 1, 0], [1, 1, 0], [1, 0, 0]]


@pytest.mark.parametrize("function", [metrics.summary, metrics.per_class, metrics.confusion_matrix])
def test_evaluation_needs_labels_and_rows(function):
    with pytest.raises(UserError, match="without true labels"):
        function(replace(hand_made(), labels=None))
    with pytest.raises(UserError, match="no predictions"):
        function(hand_made().take(np.array([], int)))


def test_ladder_tells_the_attempts_in_order_beside_the_authors_figures(tmp_path):
    names = ["attempt6-vote", "attempt6", "attempt3", "attempt1", "attempt3-a"]  # a member is no attempt
    runs = [make_run(tmp_path, name, accuracy=0.6 + 0.04 * i) for i, name in enumerate(names)]
    table = metrics.ladder(runs).set_index("attempt")
    assert table.index.tolist() == ["1", "3 (vote)", "6 alone", "6 (vote)"]
    author = table["author, public test"]
    assert author.drop("6 alone").tolist() == [0.78, 0.84, 0.909]
    assert math.isnan(author["6 alone"])
    ours = table["ours, validation"]
    assert ours.tolist() == pytest.approx([0.72, 0.68, 0.64, 0.60])
    assert (table["low"] < ours).all() and (ours < table["high"]).all()
    assert (table["high"] - table["low"]).between(0.04, 0.06).all()  # fractions, not points
    assert table["n"].tolist() == [1250] * 4
    assert table["members"].tolist() == [1, 10, 1, 5]
    assert table["epochs"].isna().tolist() == [False, True, False, True]
    assert table.loc["1", ["epochs", "image size", "scale", "device"]].tolist() == [
        7,
        "100x100",
        "compact",
        "CPU",
    ]
    assert not any("differ" in column for column in table.columns)


def test_ladder_shows_the_lowest_seed_and_what_the_others_did(tmp_path):
    runs = [make_run(tmp_path, "attempt6", accuracy, seed=seed) for seed, accuracy in [(2, 0.9), (0, 0.8), (1, 0.88)]]
    table = metrics.ladder(runs)
    assert len(table) == 1
    row = table.iloc[0]
    assert row["ours, validation"] == pytest.approx(0.8)  # not the best of three
    assert (row["seed"], row["seeds"]) == (0, 3)
    assert row["mean over seeds"] == pytest.approx(0.86)
    assert row["deviation over seeds"] == pytest.approx(math.sqrt((0.06**2 + 0.02**2 + 0.04**2) / 2))


def test_ladder_keeps_protocols_scales_and_data_apart(tmp_path):
    runs = [
        make_run(tmp_path, "attempt1", 0.70),
        make_run(tmp_path, "attempt1", 0.712, protocol="held_out"),
        make_run(tmp_path, "attempt1", 0.72, scale="full"),
        make_run(tmp_path, "attempt1", 0.50, scale="quick", embedded=True, n=250),
    ]
    table = metrics.ladder(runs).set_index("run")
    published, once = table[metrics.OURS["published"]], table[metrics.OURS["held_out"]]
    assert published.dropna().to_dict() == pytest.approx({runs[0].name: 0.70, runs[2].name: 0.72, runs[3].name: 0.50})
    assert once.dropna().to_dict() == pytest.approx({runs[1].name: 0.712})
    assert table.loc[runs[3].name, "data"] == "embedded data, not the competition's images"
    assert table.loc[runs[3].name, "n"] == 250


def edited(run: Run, **changes) -> Run:
    """`run` with fields of its recipe changed."""
    values = read_json(run.path / "recipe.json")
    values["recipe"] |= changes
    write_json(run.path / "recipe.json", values)
    return Run(run.path)


def test_ladder_does_not_mix_an_earlier_recipes_run_with_a_current_one(tmp_path):
    """Nor a training of other epochs: they are no seeds of one training."""
    current = make_run(tmp_path, "attempt1", 0.70)
    earlier = edited(make_run(tmp_path, "attempt1", 0.80, seed=1), batch_size=7)
    given = edited(make_run(tmp_path, "attempt1", 0.90, seed=2), epochs=4, given_epochs=4)
    table = metrics.ladder([current, earlier, given])
    rows = {row["scale"]: row for row in table.to_dict("records")}
    assert {scale: (row["seed"], row["seeds"]) for scale, row in rows.items()} == {
        "compact": (0, 1),
        "compact, earlier recipe": (1, 1),
        "compact, 4 epochs": (2, 1),
    }
    assert rows["compact"]["ours, validation"] == pytest.approx(0.70)


def test_ladder_says_which_epoch_is_kept(tmp_path):
    names = ("attempt1", "attempt2", "attempt3", "attempt5")
    runs = [make_run(tmp_path, name) for name in names]
    runs.append(make_run(tmp_path, "attempt6", protocol="held_out"))
    assert metrics.ladder(runs)["kept"].tolist() == [
        "last epoch",
        "lowest loss on validation",
        "last epoch or lowest loss on validation",
        "highest accuracy on validation",
        "highest accuracy on held-out images",
    ]


def test_votes_over_several_devices_stand_in_the_ladder_and_in_its_figure(tmp_path):
    """Such a vote has no device or precision of its own: None beside names, which are not to be sorted or dropped."""
    from dfclib.reporting import figures

    runs = [make_run(folder, "attempt3", 0.8) for folder in (tmp_path, tmp_path / "several")]
    values = read_json(runs[1].path / "recipe.json")
    values["environment"] = {"device": None, "precision": None}
    write_json(runs[1].path / "recipe.json", values)
    runs[1] = Run(runs[1].path)
    assert len(metrics.ladder(runs)) == 2
    shown = figures.ladder([make_run(tmp_path, "attempt1", 0.7), runs[1]])
    assert [text.get_text() for text in shown.axes[1].texts] == ["70.0", "80.0"]
    labels = " ".join(text.get_text() for text in shown.legends[0].get_texts())
    assert "None" not in labels and "nan" not in labels


def test_ladder_of_nothing_is_an_empty_table(tmp_path):
    assert metrics.ladder([]).empty
    assert metrics.AUTHOR in metrics.ladder([make_run(tmp_path, "attempt3-b")]).columns
