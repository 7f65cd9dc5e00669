"""The notebooks' answers: their numbers are the runs' own, and their words follow the numbers."""

import numpy as np
import pytest
from fakes import make_run

from dfclib.errors import UserError
from dfclib.evaluation.published import PublishedResult
from dfclib.recipes import find
from dfclib.reporting import answers
from dfclib.reporting.answers import answer, recorded_alike


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
    [(0.6, "more than ours, more than"), (0.95, "less than ours, more than"), (0.8, "no more than chance may explain")],
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
        assert "%" in text and "nan" not in text and "No answer" not in text, name


def test_the_data_s_answer_follows_what_is_recorded(tmp_path, monkeypatch):
    """Two classes that differ in coarse shapes, then in fine detail; class b has the grain, class a the shadows."""
    one = {"data": "made-up", "embedded": False, "class_names": ["a", "b", "c"], "images": [5, 5, 5]}
    one |= {"frequency": [0.1, 0.4], "explained": [0.5, 0.125], "residual": [2.0, 9.0, 3.0]}
    one |= {"log_power": [[1.0, 1.0], [3.0, 3.0], [1.5, 1.5]], "near_black": [0.25, 0.1, 0.05]}
    monkeypatch.setattr(answers, "recorded_traces", lambda: [{"embedded": True}, one])
    text = answer("data", [], {})
    assert "50.0% lies between the classes at the lowest frequency" in text and "more in coarse shapes" in text
    assert "Class b has the most fine grain, 3.0 times" in text
    assert "class a has the most near-black pixels, 25.0% against 10.0%" in text
    assert "classes a and c are the hardest" in text
    one["explained"] = [0.125, 0.5]
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
