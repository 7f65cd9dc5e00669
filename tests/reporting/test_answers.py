"""The notebooks' answers: their numbers are the runs' own, and their words follow the numbers."""

from dataclasses import replace

import numpy as np
import pytest
from fakes import make_run

from dfclib.errors import UserError
from dfclib.evaluation.published import PublishedResult
from dfclib.recipes import find
from dfclib.reporting import answers
from dfclib.reporting.answers import answer, recorded_alike
from dfclib.reporting.rows import best_author, recorded_seeds


def equal_matrix(correct: int, recipe: str) -> PublishedResult:
    """Five classes of 250 images, of each of which `correct` are right."""
    matrix = np.diag(np.full(5, correct)) + np.roll(np.diag(np.full(5, 250 - correct)), 1, axis=1)
    return PublishedResult(recipe, "validation", 1250, 5 * correct, "a test", matrix)


def attempts(folder, before: float, after: float, names=("attempt1", "attempt2")):
    runs = [make_run(folder, name, accuracy) for name, accuracy in zip(names, (before, after), strict=True)]
    return runs, {name: equal_matrix(200, name) for name in names}


@pytest.mark.parametrize(
    ("before", "after", "word"), [(0.6, 0.8, "more"), (0.8, 0.6, "fewer"), (0.7, 0.7, "tell from none")]
)
def test_a_change_is_said_as_the_numbers_say_it(tmp_path, before, after, word):
    runs, published = attempts(tmp_path, before, after)
    text = answer("attempt2", runs, published)
    accuracies = [f"{100 * run.predictions('validation').accuracy:.1f}%" for run in runs]
    assert all(accuracy in text for accuracy in accuracies)
    change = text.split(": ")[1]
    assert word in change


@pytest.mark.parametrize(
    ("ours", "word"),
    [
        (0.6, "more than ours, more than"),
        (0.95, "less than ours, more than"),
        (0.8, "a difference that chance can explain"),
    ],
)
def test_ours_stands_beside_the_author_s(tmp_path, ours, word):
    runs, published = attempts(tmp_path, 0.5, ours)
    text = answer("attempt2", runs, published)
    assert (
        f"On the same images the author reached 80.0%: {abs(80 - 100 * runs[1].predictions('validation').accuracy):.1f}"
        in text
    )
    assert word in text


def test_a_training_that_overfits_is_told_from_one_that_does_not(tmp_path):
    run = make_run(tmp_path, "attempt1", 0.7)
    published = {"attempt1": equal_matrix(200, "attempt1")}
    gap = run.metrics["train_accuracy"] - run.predictions("validation").accuracy
    assert answer("attempt1", [run], published).startswith("It learns") == (gap > 0.1)
    run.metrics["train_accuracy"] = 0.99
    assert answer("attempt1", [run], published).startswith("It learns its images by heart")
    run.metrics["train_accuracy"] = 0.7
    assert answer("attempt1", [run], published).startswith("It does not learn")


def test_a_vote_below_its_best_voter_is_said_to_be_below(tmp_path):
    voters = [make_run(tmp_path, member.compact(), 0.7 + 0.02 * i) for i, member in enumerate(find("s3-vote").members)]
    below = make_run(tmp_path, "s3-vote", 0.75)
    best = max(run.predictions("validation").accuracy for run in voters)
    text = answer("seed-ensemble", [*voters, below], {"s3-vote": equal_matrix(200, "s3-vote")})
    assert f"{100 * (best - below.predictions('validation').accuracy):.1f} points below its best" in text


def test_what_is_not_recorded_is_named(tmp_path):
    runs, published = attempts(tmp_path, 0.6, 0.8)
    assert (
        answer("attempt5", runs, published)
        == "*No answer yet: not all recorded, or not at one scale: attempt4, attempt5.*"
    )
    with pytest.raises(UserError, match="attempt1, attempt6"):
        recorded_alike(runs, "attempt1", "attempt6")


def test_compared_runs_are_of_one_scale_full_first(tmp_path):
    compact = [make_run(tmp_path, find(name).compact(), 0.7) for name in ("attempt1", "attempt2")]
    full = make_run(tmp_path, find("attempt1"), 0.8)
    assert [run.scale for run in recorded_alike([*compact, full], "attempt1", "attempt2")] == ["compact"] * 2
    assert recorded_alike([*compact, full], "attempt1") == [full]


def test_every_answer_has_numbers_from_the_recorded_runs():
    from dfclib.evaluation.published import published_results
    from dfclib.runs import find_runs

    runs, published = find_runs("report/runs"), published_results("report/published")
    for name in answers.ANSWERS:
        text = answer(name, runs, published)
        if name == "sprint" and not recorded_seeds(runs, "sprint"):  # its runs are made one day after its recipe
            assert text == "*No answer yet: no run of sprint or sprint-vote is recorded.*"
            continue
        assert "%" in text and "nan" not in text and "No answer" not in text, name


def test_the_data_s_answer_follows_what_is_recorded(tmp_path, monkeypatch):
    """Classes that differ in coarse shapes, then in fine detail; class b has the grain, class a the shadows.

    What lies beyond the Nyquist frequency of a row is left out.
    """
    one = {"data": "made-up", "embedded": False, "class_names": ["a", "b", "c"], "images": [5, 5, 5]}
    one |= {"frequency": [0.1, 0.4, 0.6], "explained": [0.5, 0.125, 0.9], "residual": [2.0, 9.0, 3.0]}
    one |= {"log_power": [[1.0, 1.0, 9.0], [3.0, 3.0, 1.0], [1.5, 1.5, 1.0]], "near_black": [0.25, 0.1, 0.05]}
    monkeypatch.setattr(answers, "recorded_traces", lambda: [{"embedded": True}, one])
    text = answer("data", [], {})
    assert "50.0% lies between the classes at the lowest frequency" in text and "more in coarse shapes" in text
    assert "Class b has the most fine grain, 3.0 times" in text
    assert "class a has the most near-black pixels, 25.0%; the median of the classes is 10.0%" in text
    assert "classes a and c are the most alike" in text
    one["explained"] = [0.125, 0.5, 0.9]
    assert "50.0% at 0.40 cycles per pixel" in answer("data", [], {}) and "more in fine detail" in answer(
        "data", [], {}
    )
    monkeypatch.setattr(answers, "recorded_traces", lambda: [{"embedded": True}])
    assert answer("data", [], {}) == "*No answer yet: no traces of real images are recorded.*"


def test_a_shortened_training_is_said_to_be_shorter_than_the_author_s(tmp_path):
    compact = make_run(tmp_path, find("attempt5").compact(), 0.7)
    before = make_run(tmp_path, find("attempt4").compact(), 0.6)
    published = {name: equal_matrix(200, name) for name in ("attempt4", "attempt5")}
    ran = find("attempt5").source_epochs
    text = answer("attempt5", [before, compact], published)
    assert f"ours was trained for {compact.recipe.epochs} epochs, the author's for {ran}." in text


@pytest.mark.parametrize(
    ("name", "epochs", "text"),
    [
        ("s1-vote", (12, 8), "for 12 and 8 epochs, the author's for 150 each"),
        ("s1-vote", (12, 12), "for 12 epochs, the author's for 150"),
        ("s1-vote", (12, 150), "for 12 epochs, the author's for 150"),
        ("attempt6-vote", (3, 3, 3, 3, 3), "for 3 epochs each, the author's for 19, 48 and 37"),
        ("attempt6-vote", (3, 12, 12, 12, 12), "for 3, 12 and 12 epochs, the author's for 19, 48 and 37"),
    ],
)
def test_a_shortened_vote_says_the_epochs_of_all_its_networks_at_once(tmp_path, name, epochs, text):
    vote = find(name)
    members = tuple(replace(member, epochs=e) for member, e in zip(vote.members, epochs, strict=True))
    assert answers._shorter(make_run(tmp_path, replace(vote, members=members))) == f"; ours was trained {text}"
    assert answers._shorter(make_run(tmp_path, vote)) == ""


def test_what_an_earlier_recipe_did_is_not_told_of_the_attempt(tmp_path):
    names = ("attempt4", "attempt5")
    today = [make_run(tmp_path / "today", name, 0.7) for name in names]
    earlier = [make_run(tmp_path / "earlier", replace(find(name).compact(), epochs=3), 0.6) for name in names]
    published = {name: equal_matrix(200, name) for name in names}
    text = answer("attempt5", [today[0], earlier[1]], published)
    assert text.startswith("By an earlier recipe, attempt 5 (7 epochs, compact scale) is right on 60.0%")
    assert "attempt 4 on 70.0%" in text and "By an earlier recipe, the share of class 4 that is found goes" in text
    text = answer("attempt5", [earlier[0], today[1]], published)
    assert text.startswith("Attempt 5 (7 epochs, compact scale) is right on 70.0%")
    assert "attempt 4, by an earlier recipe, on 60.0%" in text
    text = answer("attempt5", today, published)
    assert "earlier" not in text and "The share of class 4 that is found goes" in text


def test_the_second_half_of_a_training_says_how_far_it_jumps(tmp_path):
    swing = [0.5, 0.6] * 6
    runs = [make_run(tmp_path, name, val_accuracies=swing) for name in ("attempt4", "attempt5")]
    published = {name: equal_matrix(200, name) for name in ("attempt4", "attempt5")}
    text = answer("attempt5", runs, published)
    assert "jump of validation accuracy between epochs is 9.8 points in attempt 4 and 9.8 points in attempt 5." in text


def test_an_earlier_vote_is_said_to_be_one_and_fashion_s_networks_have_names(tmp_path):
    pair = find("s1-vote").compact()
    earlier = replace(pair, members=tuple(replace(member, epochs=3) for member in pair.members))
    runs = [make_run(tmp_path, member, 0.7) for member in earlier.members] + [make_run(tmp_path, earlier, 0.75)]
    text = answer("pair", runs, {"s1-vote": equal_matrix(200, "s1-vote")})
    assert text.startswith("By an earlier recipe, the vote (2 voters, compact scale) is right on 75.0%")
    assert "5.0 points above its median voter" in text
    fashion = [make_run(tmp_path, name, 0.9, test=0.9, n=10_000) for name in ("s4-author", "s4-ours")]
    stated = PublishedResult("s4-author", "test", 10_000, 8510, "a test")
    text = answer("fashion", fashion, {"s4-author": stated})
    assert "Our own network (7 epochs, compact scale) is right on" in text and "the author's on 90.0%" in text
    assert "s4-" not in text


def test_the_replayed_vote_says_all_where_it_is_all(tmp_path, monkeypatch):
    runs = [make_run(tmp_path, member.compact(), 0.7) for member in find("attempt3").members]
    runs.append(make_run(tmp_path, "attempt3", 0.8))
    files = answers.published_vote()
    assert "and on all of these our vote gives the label" in answer("attempt3", runs, {})
    *_, last = files.values()
    other = replace(last, predicted=np.zeros_like(last.predicted))
    monkeypatch.setattr(answers, "published_vote", lambda: {**files, list(files)[-1]: other})
    text = answer("attempt3", runs, {})
    assert "and on all" not in text and "of these our vote gives the label" in text


def test_a_vote_is_not_compared_with_voters_that_were_trained_again_since(tmp_path):
    pair = find("s1-vote").compact()
    earlier = replace(pair, members=tuple(replace(member, epochs=3) for member in pair.members))
    again = [make_run(tmp_path, member, 0.9) for member in pair.members]
    text = answer("pair", [*again, make_run(tmp_path, earlier, 0.75)], {"s1-vote": equal_matrix(200, "s1-vote")})
    assert "right on 75.0%" in text and "Voters of it were trained again since." in text
    assert "median voter" not in text and "No voter" not in text


def seeds_of_sprint(folder, *accuracies: float, recipe="sprint", **options):
    return [make_run(folder, find(recipe).with_options(seed=i), a, **options) for i, a in enumerate(accuracies)]


AUTHORS = {name: equal_matrix(correct, name) for name, correct in (("s1-vote", 230), ("attempt6", 200))}
AUTHORS["s4-author"] = PublishedResult("s4-author", "test", 1250, 1240, "other images")


def test_a_recipe_of_ours_stands_beside_the_best_of_all_authors_on_the_same_images(tmp_path):
    (run,) = seeds_of_sprint(tmp_path, 0.94)
    text = answer("sprint", [run, make_run(tmp_path, "attempt6", 0.99)], AUTHORS)
    assert text.startswith("Sprint (7 epochs, full scale) is right on 94.0% (92.5% to 95.2%) of 1,250 images. ")
    assert (
        "rebuilt here (s1-vote) reached 92.0% on these: 2.0 points less than ours, by chance or not, which the author"
        in text
    )
    predictions = run.predictions("validation")
    found = np.mean(predictions.predicted[predictions.labels == 4] == 4)
    assert f"Of class 4 ours finds {100 * found:.1f}%, that author 92.0%." in text
    assert text.endswith("Training it took 2 min (CPU).")
    assert best_author(AUTHORS, predictions) is AUTHORS["s1-vote"]
    assert best_author({"s4-author": AUTHORS["s4-author"]}, predictions) is None


@pytest.mark.parametrize(
    ("accuracies", "text"),
    [
        ((0.92, 0.93, 0.94), "93.0% ± 1.0 of 1,250 images, mean and deviation of 3 seeds."),
        ((0.92,), "reached 92.0% on these: as good as ours to a tenth of a point. Of class 4 ours finds"),
        ((0.98, 0.99), "6.5 points less than ours, with each seed more than chance explains."),
        ((0.6, 0.7), "27.0 points more than ours, with each seed more than chance explains."),
        ((0.92, 0.99), "3.5 points less than ours, which chance can explain or not, depending on the seed."),
        ((0.98, 0.99), "Training it took 2 min on average (CPU)."),
    ],
)
def test_seeds_of_ours_are_told_together(tmp_path, accuracies, text):
    assert text in answer("sprint", seeds_of_sprint(tmp_path, *accuracies), AUTHORS)


def test_without_an_author_a_matrix_or_a_time_the_answer_leaves_them_out(tmp_path):
    runs = seeds_of_sprint(tmp_path, 0.94, metrics={"seconds": None})
    alone = answer("sprint", runs, {})
    assert "author" not in alone and alone.endswith("%.") and "Training it took" not in alone
    stated = answer("sprint", runs, {"x": PublishedResult("x", "validation", 1250, 1225, "a test")})
    assert (
        "(x) reached 98.0% on these: 4.0 points more than ours. Of class 4 ours finds" in stated
        and "that author" not in stated
    )


def test_only_the_final_runs_of_today_s_recipe_on_real_images_count_and_full_ones_first(tmp_path):
    recipe = find("sprint")
    others = [
        make_run(tmp_path, recipe.with_options(protocol="held_out"), 0.9),
        make_run(tmp_path, recipe.with_options(epochs=3), 0.9),
        make_run(tmp_path, replace(recipe, weight_decay=2 * recipe.weight_decay, seed=5), 0.9),
        make_run(tmp_path, recipe.with_options(seed=6), 0.9, data={"name": "embedded", "embedded": True}),
        make_run(tmp_path, "attempt6", 0.9),
    ]
    assert recorded_seeds(others, "sprint") == []
    assert answer("sprint", others, AUTHORS) == "*No answer yet: no run of sprint or sprint-vote is recorded.*"
    compact = make_run(tmp_path, recipe.compact(), 0.92)
    assert recorded_seeds([*others, compact], "sprint") == [compact]
    full = seeds_of_sprint(tmp_path, 0.93, 0.94)
    elsewhere = make_run(tmp_path, recipe, 0.9, data={"name": "zoo"})
    assert recorded_seeds([*others, elsewhere, compact, *full[::-1]], "sprint") == full


def test_a_second_recipe_of_ours_has_its_own_sentences(tmp_path, monkeypatch):
    later = replace(find("sprint"), name="later", title="Later: ours")
    monkeypatch.setattr(answers.flagship, "RECIPES", (find("sprint"), later))
    runs = [make_run(tmp_path, recipe, accuracy) for recipe, accuracy in ((find("sprint"), 0.93), (later, 0.95))]
    text = answer("sprint", runs, AUTHORS)
    assert "Sprint (7 epochs, full scale) is right on 93.0%" in text and "Later (7 epochs, full scale) is right" in text
    assert "Sprint" not in answer("sprint", runs[1:], AUTHORS)
