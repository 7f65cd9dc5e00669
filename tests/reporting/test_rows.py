"""Rows of text from recorded runs: the ladder, the systems, the experiment, what a scale shortens."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fakes import EMBEDDED, make_run

from dfclib.evaluation.published import published_results
from dfclib.recipes import find
from dfclib.reporting import rows
from dfclib.reporting.captions import AUTHOR
from dfclib.runs import find_runs

RECORDED = find_runs(Path(__file__).parents[2] / "report" / "runs")
PUBLISHED = published_results(Path(__file__).parents[2] / "report" / "published")
FASHION = {"name": "fashion-mnist"}
SEVERAL = {"device": None, "precision": None}  # of a vote over trainings of several devices


def held_out(name):
    return find(name).with_options(protocol="held_out")


# ---- the six attempts ----


def test_ladder_tells_the_attempts_in_order_beside_the_authors_figures(tmp_path):
    names = ["attempt6-vote", "attempt6", "attempt3", "attempt1", "attempt3-a"]  # a member is no attempt
    runs = [make_run(tmp_path, name, 0.6 + 0.04 * i) for i, name in enumerate(names)]
    table = rows.ladder(runs).set_index("attempt")
    assert table.index.tolist() == ["1", "3 (vote)", "6 alone", "6 (vote)"]
    assert table[AUTHOR].drop("6 alone").tolist() == [0.78, 0.84, 0.909]
    assert math.isnan(table.loc["6 alone", AUTHOR])
    ours = table["ours, validation"]
    assert ours.tolist() == pytest.approx([0.72, 0.68, 0.64, 0.60])
    assert (table["low"] < ours).all() and (ours < table["high"]).all()
    assert (table["high"] - table["low"]).between(0.04, 0.06).all()  # fractions, not points
    assert table["n"].tolist() == [1250] * 4
    assert table["epochs"].tolist() == ["7", "10 voters", "7", "5 voters"]
    assert table.loc["1", ["image size", "scale", "device"]].tolist() == ["100x100", "compact", "CPU"]


def test_ladder_shows_the_lowest_seed_and_what_the_others_did(tmp_path):
    recipe = find("attempt6").compact()
    for seed, accuracy in [(2, 0.9), (0, 0.8), (1, 0.88)]:
        make_run(tmp_path, recipe.with_options(seed=seed), accuracy)
    make_run(tmp_path, "attempt1", 0.75)
    alone, several = rows.ladder(find_runs(tmp_path)).to_dict("records")
    assert several["ours, validation"] == pytest.approx(0.8)  # not the best of three
    assert (alone["seeds"], several["seeds"]) == (1, 3)
    first, last = rows.attempt_rows(find_runs(tmp_path))
    assert (first["seeds"], first["mean over seeds"]) == ("1", "")
    assert (last["seeds"], last["mean over seeds"]) == ("3", "86.0% ± 5.3")  # the root of (6² + 2² + 4²) / 2


def test_ladder_keeps_protocols_scales_and_data_apart(tmp_path):
    full = find("attempt1")
    runs = [
        make_run(tmp_path, full.compact(), 0.70),
        make_run(tmp_path, held_out("attempt1").compact(), 0.712),
        make_run(tmp_path, full, 0.72),
        make_run(tmp_path, full.quick(), 0.50, data=EMBEDDED, n=250),
    ]
    table = rows.ladder(runs).set_index(["scale", "protocol"])
    expected = {("compact", "published"): 0.70, ("full", "published"): 0.72, ("quick", "published"): 0.50}
    assert table["ours, validation"].to_dict() == pytest.approx(expected | {("compact", "held_out"): 0.712})
    made = table.loc[("quick", "published"), ["data", "n"]]
    assert made.tolist() == ["embedded data, not the competition's images", 250]
    kept = [row["kept"] for row in rows.attempt_rows(runs) if row["scale"] == "compact"]
    assert sorted(kept) == ["last epoch", "last epoch, a tenth held out"]


def test_ladder_does_not_mix_an_earlier_recipes_run_with_a_current_one(tmp_path):
    """Nor a training of other epochs: they are no seeds of one training."""
    current = find("attempt1").compact()
    for recipe, accuracy in (
        (current, 0.70),
        (replace(current, batch_size=7, seed=1), 0.80),
        (current.with_options(epochs=4, seed=2), 0.90),
    ):
        make_run(tmp_path, recipe, accuracy)
    table = rows.ladder(find_runs(tmp_path)).set_index("scale")
    expected = {"compact": 0.70, "compact, earlier recipe": 0.80, "compact, 4 epochs": 0.90}
    assert table["ours, validation"].to_dict() == pytest.approx(expected)
    assert table["seeds"].tolist() == [1, 1, 1]


def test_ladder_says_which_epoch_is_kept(tmp_path):
    runs = [make_run(tmp_path, f"attempt{i}") for i in (1, 2, 3, 5)]
    runs.append(make_run(tmp_path, held_out("attempt6").compact()))
    assert rows.ladder(runs)["kept"].tolist() == [
        "last epoch",
        "lowest loss on validation",
        "last epoch or lowest loss on validation",
        "highest accuracy on validation",
        "highest accuracy on held-out images",
    ]


def test_ladder_of_nothing_is_an_empty_table(tmp_path):
    assert rows.ladder([]).empty
    assert rows.ladder([make_run(tmp_path, "attempt3-b")]).empty


def test_votes_over_several_devices_have_a_row_of_their_own(tmp_path):
    runs = [
        make_run(tmp_path, "attempt3"),
        make_run(tmp_path / "several", "attempt3", environment=SEVERAL),
        make_run(tmp_path / "several", "s3-vote", environment=SEVERAL),
    ]
    several = ("several devices", "several precisions")
    assert [(row["device"], row["precision"]) for row in rows.attempt_rows(runs)] == [("CPU", "float32"), several]
    assert [(row["device"], row["precision"]) for row in rows.system_rows(runs[2:])] == [several]


def test_a_row_has_the_claim_our_figure_and_its_company(tmp_path):
    (row,) = rows.attempt_rows([make_run(tmp_path, "attempt2", 0.815, n=200)])
    assert row == {
        "attempt": "2",
        "author, public test": "82%",
        "ours, validation": "81.5%",
        "95% interval": "75.5% to 86.3%",  # Wilson, 163 of 200, by hand
        "images": "200",
        "scale": "compact",
        "image size": "100x100",
        "epochs": "7",
        "kept": "lowest loss on validation",
        "data": "unibuc",
        "device": "CPU",
        "precision": "float32",
    }
    (row,) = rows.attempt_rows([make_run(tmp_path, "attempt6", 0.815)])
    assert row["author, public test"] == ""


# ---- what a scale shortens ----


def test_a_shortened_vote_tells_what_its_members_did(tmp_path):
    def with_epochs(name, *epochs):
        vote = find(name)
        members = tuple(replace(m, epochs=e) for m, e in zip(vote.members, epochs, strict=True))
        return make_run(tmp_path / str(epochs), replace(vote, members=members))

    assert rows.shortened(with_epochs("s1-vote", 12, 8)) == ["12 or 8 epochs instead of 150"]
    assert rows.shortened(with_epochs("attempt6-vote", *[3] * 5)) == ["3 epochs instead of 20 or 80"]
    both = ["3 epochs instead of 20 or 12 epochs instead of 80"]  # which belongs to which is said
    assert rows.shortened(with_epochs("attempt6-vote", 3, 12, 12, 12, 12)) == both
    assert rows.shortened(make_run(tmp_path, find("s1-vote"))) == []
    compact = rows.shortened(make_run(tmp_path, "attempt3"))
    assert compact == ["100x100 pixels instead of 128x128", "framing by crop instead of resize"]


def test_what_all_rows_share_is_counted_or_named():
    shared = {"seeds": "3", "held-out images": "1,250", "epochs": "1", "device": "CPU"}
    assert rows.in_all_rows(shared) == "In all rows: 3 seeds, 1,250 held-out images, 1 epoch, device CPU."
    assert rows.in_all_rows({}) == ""


# ---- the other systems ----


def test_systems_stand_beside_their_authors_figures_on_the_same_images(tmp_path):
    author = find("s4-author").compact()
    runs = [
        make_run(tmp_path, author, 0.95, test=0.9, n=200, data=FASHION),
        make_run(tmp_path, "s1-v1", 0.815, n=200),
        make_run(tmp_path, held_out("s1-v1").compact(), 0.75, n=200),
        make_run(tmp_path, "s2-cnn", 0.85, n=200),
        make_run(tmp_path, find("attempt1"), 0.1),
        make_run(tmp_path, "resampling-nearest", 0.1, held_out=0.2),  # an experiment: nobody claims anything of it
    ]
    found = rows.system_rows(rows.system_runs(runs))
    assert [row["recipe"] for row in found] == ["s1-v1", "s1-v1", "s2-cnn", "s4-author"]
    assert [row["ours"] for row in found] == ["validation 81.5%", "validation 75.0%", "validation 85.0%", "test 90.0%"]
    assert [row["author"] for row in found] == [
        *["validation 92.08%"] * 2,
        "validation 88.88%, Kaggle 90.00%",
        "test 85.10%, loss 0.4581",
    ]
    # 180 of 200 right with probability .6, the others with .1: -(.9 ln .6 + .1 ln .1)
    assert [row["loss"] for row in found] == ["", "", "", "0.6900"]
    assert found[0]["95% interval"] == "75.5% to 86.3%"  # Wilson, 163 of 200, by hand
    assert [row["kept"] for row in found[:3]] == [
        "highest accuracy on validation",
        "highest accuracy on held-out images",
        "last epoch",
    ]
    garments = make_run(tmp_path, author, 0.1, test=0.1, data={"name": "garments", "embedded": True})
    assert rows.system_rows([garments])[0]["author"] == ""  # no author has measured on these


def test_a_vote_says_its_weights_and_who_chose_them(tmp_path):
    runs = [
        make_run(tmp_path, "s1-vote", metrics={"weights": [0.45, 0.55]}),
        make_run(tmp_path, "s1-vote-searched", metrics={"weights": [0.3, 0.7]}),
        make_run(tmp_path, "s3-vote"),
    ]
    found = rows.system_rows(rows.system_runs(runs))
    assert [row["kept"] for row in found] == [
        "highest accuracy on validation; weights 0.45, 0.55 the author's",
        "highest accuracy on held-out images; weights 0.3, 0.7 searched there",
        "highest accuracy on validation",
    ]
    assert [row["epochs"] for row in found] == ["2 voters", "2 voters", "4 voters"]
    assert [row["author"] for row in found] == ["validation 93.28%", "", "validation 92.68%"]


def test_a_second_protocol_is_named_where_nothing_is_chosen_by_it(tmp_path):
    """Else two rows of one recipe would differ in their figures alone."""
    found = rows.system_rows([make_run(tmp_path, recipe) for recipe in (find("s2-cnn"), held_out("s2-cnn"))])
    assert [row["kept"] for row in found] == ["last epoch", "last epoch, a tenth held out"]


# ---- the experiment on resampling ----


def test_the_experiment_has_one_row_per_way_of_resampling_with_its_seeds():
    groups = rows.experiment_runs(RECORDED)
    found = rows.experiment_rows(RECORDED)
    assert groups and len(found) == len(groups)
    for row, runs in zip(found, groups.values(), strict=True):
        accuracies = [100 * run.predictions("held_out").accuracy for run in runs]
        assert row["training images"] == runs[0].recipe.title
        assert row["held-out accuracy"].startswith(f"{np.mean(accuracies):.1f}%")
        assert (row["seeds"], row["held-out images"]) == (str(len(runs)), "1,250")


def test_seeds_of_the_experiment_are_summed_up(tmp_path):
    recipe = find("resampling-nearest").compact()
    runs = [make_run(tmp_path, recipe.with_options(seed=seed), held_out=0.7 + 0.1 * seed) for seed in (0, 1)]
    (row,) = rows.experiment_rows(runs)
    assert row["held-out accuracy"] == "75.0% ± 7.1"  # of 70% and 80%, n - 1
    (row,) = rows.experiment_rows(runs[:1])
    assert row["held-out accuracy"] == "70.0%"
    assert rows.experiment_rows([make_run(tmp_path, "attempt1")]) == []


# ---- beside the authors ----


def test_headlines_are_of_the_same_images_and_say_what_was_shortened(tmp_path):
    author = find("s4-author").compact()
    runs = [
        make_run(tmp_path, "attempt6", 0.9),
        make_run(tmp_path, replace(find("s2-cnn"), epochs=3), 0.815),
        make_run(tmp_path, author, 0.95, test=0.9, n=10_000, data=FASHION),
        make_run(tmp_path, "s3-vote", 0.8, n=1000),  # not the author's images
    ]
    attempt, cnn, fashion = rows.headline_rows(runs, PUBLISHED)
    assert [row["author"] for row in (attempt, cnn, fashion)] == ["90.5%", "88.7%", "85.1%"]  # of matrices
    assert [row["images"] for row in (attempt, fashion)] == ["1,250 validation", "10,000 test"]
    assert attempt["ours (95% interval)"] == "90.0% (88.2% to 91.5%)"
    assert attempt["what was shortened"].startswith("12 epochs instead of 80, 100x100 pixels instead of 128x128")
    assert cnn["what was shortened"] == "3 epochs instead of 60, trained by an earlier recipe"
    assert fashion["what was shortened"] == "nothing"


def test_a_recipe_of_ours_stands_beside_the_best_of_the_authors_with_all_its_seeds(tmp_path):
    sprint = find("sprint").compact()
    runs = [make_run(tmp_path, sprint, 0.9)]
    (row,) = rows.headline_rows(runs, PUBLISHED)
    best = max((one for one in PUBLISHED.values() if one.split == "validation"), key=lambda one: one.accuracy)
    assert row["author"] == f"{100 * best.accuracy:.1f}% (the best rebuilt here: {best.recipe})"
    assert row["ours (95% interval)"] == "90.0% (88.2% to 91.5%)"
    runs.append(make_run(tmp_path, sprint.with_options(seed=1), 0.94))
    runs.append(make_run(tmp_path, replace(sprint, epochs=3, seed=2), 0.5))  # an earlier recipe
    runs.append(make_run(tmp_path, replace(sprint, protocol="held_out", seed=3), 0.5))
    (row,) = rows.headline_rows(runs, PUBLISHED)
    assert row["ours (95% interval)"] == "92.0% ± 2.8 (2 seeds)"
    assert row["what was shortened"] == "nothing"
    assert rows.headline_rows([make_run(tmp_path / "few", sprint, 0.9, n=100)], PUBLISHED) == []


def test_comparison_says_whether_a_difference_is_more_than_chance(tmp_path):
    runs = [make_run(tmp_path, "s2-cnn", PUBLISHED["s2-cnn"].predictions()), make_run(tmp_path, "s2-mlp", 0.9)]
    mlp, cnn = rows.comparison_rows(runs, PUBLISHED)
    assert cnn == {
        "network": "s2-cnn",
        "trained": "compact, 7 epochs",
        "author": "88.7%",
        "ours (95% interval)": "88.7% (86.8% to 90.4%)",
        "ours less author": "0.0 points",
        "more than chance": "not shown",
        "class 4 found, author and ours": "76.4% and 76.4%",
    }
    assert (mlp["ours less author"], mlp["more than chance"]) == ("+28.7 points", "yes")


def test_the_published_protocol_stands_for_a_recipe(tmp_path):
    run = make_run(tmp_path, held_out("s2-cnn"), 0.9)
    assert rows.shown([run], "s2-cnn") is None
    assert rows.comparison_rows([run], PUBLISHED) == rows.headline_rows([run], PUBLISHED) == []


def test_narrow_tables_say_once_what_all_rows_share(tmp_path):
    runs = [make_run(tmp_path, "attempt1", 0.7), make_run(tmp_path, find("attempt2"), 0.8)]
    table, shared = rows.narrow_attempt_rows(runs, PUBLISHED)
    assert table == [
        {
            "attempt": "1",
            "author, Kaggle's test": "78%",
            "author, validation": "72.6%",
            "ours, validation (95% interval)": "70.0% (67.4% to 72.5%)",
            "kept": "last epoch",
            "trained": "compact, 100x100",
        },
        {
            "attempt": "2",
            "author, Kaggle's test": "82%",
            "author, validation": "82.2%",
            "ours, validation (95% interval)": "80.0% (77.7% to 82.1%)",
            "kept": "lowest loss on validation",
            "trained": "full, 128x128",
        },
    ]
    assert shared == {"images": "1,250", "epochs": "7", "data": "unibuc", "device": "CPU", "precision": "float32"}
    (alone,), shared = rows.narrow_attempt_rows(runs[:1], PUBLISHED)
    assert alone["trained"] == "compact, 7 epochs, 100x100, unibuc, CPU, float32" and shared == {}


def test_several_seeds_and_devices_have_their_cells(tmp_path):
    recipe = find("attempt6").compact()
    runs = [make_run(tmp_path, recipe.with_options(seed=seed), 0.8 + 0.02 * seed) for seed in (0, 1)]
    runs.append(make_run(tmp_path, "attempt3", environment=SEVERAL))
    vote, several = rows.narrow_attempt_rows(runs, PUBLISHED)[0]
    assert (vote["over seeds"], several["over seeds"]) == ("", "81.0% ± 1.4, 2 seeds")
    assert vote["author, validation"] == ""  # there is no matrix of that vote
    assert vote["trained"].endswith("several devices, several precisions")
