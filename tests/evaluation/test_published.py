"""The authors' published results: what their own texts say of them, and what can be compared with ours."""

import json

import numpy as np
import pytest

from dfclib.ensembles import hard_vote
from dfclib.errors import UserError
from dfclib.evaluation.comparison import compare, disagreement
from dfclib.evaluation.metrics import confusion_matrix, per_class, summary
from dfclib.evaluation.published import PublishedResult, compare_with_published, published_results, published_vote
from dfclib.predictions import Predictions
from dfclib.recipes import all_recipes

MATRIX = np.array([[8, 2, 0], [1, 9, 0], [0, 3, 7]])


def published(matrix=MATRIX) -> PublishedResult:
    return PublishedResult("attempt1", "validation", int(matrix.sum()), int(matrix.trace()), "a test", matrix)


def test_every_matrix_is_of_the_competition_s_validation_images():
    results = published_results()
    for result in results.values():
        assert result.source, result.recipe
        if result.matrix is not None:
            assert result.matrix.sum(axis=1).tolist() == [250] * 5, result.recipe
    assert sum(result.matrix is not None for result in results.values()) == 17


def test_they_belong_to_recipes_and_say_what_the_claims_say():
    """A claim is what the author writes: his matrix says the same to half a point, but for what is known."""
    recipes = {recipe.name: recipe for recipe in all_recipes()}
    other = set()
    for name, result in published_results().items():
        if name != "s3-vote-class4":  # a variant of the vote that the report only mentions
            claim = recipes[name].claims.get(result.split)
            other |= {name} if claim is not None and abs(claim - result.accuracy) > 0.005 else set()
    assert other == {"attempt1", "s2-mlp"}  # attempt 1's claim is its best epoch's, its matrix the last one's


@pytest.mark.parametrize(
    "name, percent, class_4",
    [("attempt1", 72.6, 31), ("attempt2", 82.2, 69), ("attempt4", 84.6, 69), ("attempt5", 87.1, 68)]
    + [
        ("attempt6", 90.5, 85),
        ("s1-vote", 93.3, 81),
        ("s2-mlp", 61.3, 40),
        ("s2-cnn", 88.7, 76),
        ("s3-vote", 92.2, 80),
    ],
)
def test_accuracy_and_recall_of_class_4(name, percent, class_4):
    """The figures were read off the matrices by somebody else."""
    result = published_results()[name]
    assert round(100 * result.accuracy, 1) == percent
    recall = 100 * per_class(result.predictions())["recall"][4]
    assert abs(recall - class_4) <= 0.5


def test_a_matrix_is_predictions():
    predictions = published().predictions()
    assert np.array_equal(confusion_matrix(predictions), MATRIX)
    result = summary(predictions)
    assert (result["correct"], result["n"]) == (24, 30)
    assert (result["low"], result["high"]) == published().interval
    with pytest.raises(UserError, match="no confusion matrix"):
        PublishedResult("s4-author", "test", 10_000, 8_510, "a test").predictions()


def test_bounds_hold_for_every_way_in_which_the_images_may_fall():
    """Ours is drawn image by image; the author's matrix forgets the images. The true p value lies within the bounds."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), 40)
    for _ in range(20):
        answers = [np.where(rng.random(120) < skill, labels, rng.integers(0, 3, 120)) for skill in (0.6, 0.75)]
        ids = np.arange(120).astype(str)
        before, after = (Predictions(ids, answer, tuple("012"), labels=labels) for answer in answers)
        found = compare_with_published(published(confusion_matrix(before)), after)
        true = compare(before, after)
        assert found["difference"] == pytest.approx(true["difference"])
        assert found["lowest_p"] <= true["mcnemar_p"] <= found["highest_p"]
        assert found["differing"] <= np.sum(answers[0] != answers[1])


def test_equal_matrices_may_be_equal_answers():
    found = compare_with_published(published(), published().predictions())
    assert found["differing"] == 0 and found["difference"] == 0 and found["lowest_p"] == 1


def test_other_images_are_refused():
    with pytest.raises(UserError, match="same images"):
        compare_with_published(published(), published(MATRIX * 2).predictions())


def test_the_author_s_vote_is_ours():
    """The files of S0's vote on the test images: decided images equal, ties among the tied labels."""
    *voters, theirs = published_vote().values()
    ours = hard_vote(voters)
    votes = np.stack([voter.predicted for voter in voters])
    counts = np.stack([np.sum(votes == label, axis=0) for label in range(5)], axis=1)  # counted anew, without `ours`
    most = counts == counts.max(axis=1, keepdims=True)
    decided = most.sum(axis=1) == 1
    assert (decided.sum(), (~decided).sum()) == (6_320, 180)
    assert np.array_equal(ours.predicted[decided], theirs.predicted[decided])
    for answers in (ours, theirs):
        assert most[np.arange(len(most)), answers.predicted].all()


def test_the_author_s_seven_files_are_five_voters():
    *voters, _ = published_vote().values()
    same = np.argwhere(np.triu(disagreement(voters) == 0, k=1))
    assert same.tolist() == [[2, 3], [4, 5]]


def test_missing_and_broken_files_are_named(tmp_path):
    assert published_results(tmp_path / "nowhere") == {}
    with pytest.raises(UserError, match=r"vote\.csv\.gz does not exist"):
        published_vote(tmp_path / "vote.csv.gz")
    entry = {"split": "validation", "source": "a test"}
    for broken, message in (
        (entry | {"matrix": [[1, 2]]}, "as many rows as columns"),
        (entry | {"matrix": [[1, -2], [0, 1]]}, "none below 0"),
        (entry, "missing"),
    ):
        (tmp_path / "results.json").write_text(json.dumps({"results": {"attempt1": broken}}))
        with pytest.raises(UserError, match=rf"results\.json: attempt1.*{message}"):
            published_results(tmp_path)
