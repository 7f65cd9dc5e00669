"""Comparisons of predictions against tables counted by hand."""

from dataclasses import replace

import numpy as np
import pytest
from fakes import AFTER, BEFORE, counted, guesses, labels_only, shuffled

from dfclib.ensembles import hard_vote
from dfclib.errors import UserError
from dfclib.evaluation.comparison import accuracy_by_voters, compare, disagreement, fixed_and_made


def test_disagreement_counts_different_answers():
    members = [labels_only([0, 0, 1, 1]), shuffled(labels_only([0, 0, 1, 2])), labels_only([1, 1, 1, 2])]
    shares = disagreement(members)
    assert shares.dtype == np.float64
    np.testing.assert_array_equal(shares, [[0, 0.25, 0.75], [0.25, 0, 0.5], [0.75, 0.5, 0]])


def test_errors_fixed_and_made_per_class():
    table = fixed_and_made(BEFORE, shuffled(AFTER))
    assert list(table.columns) == ["class", "n", "errors_before", "fixed", "made", "errors_after"]
    assert table.values.tolist() == [
        ["a", 3, 2, 1, 0, 1],
        ["b", 2, 0, 0, 2, 2],
        ["c", 1, 1, 1, 0, 0],
        ["all", 6, 3, 2, 2, 3],
    ]


@pytest.mark.parametrize(
    ("lost", "won", "p"),
    [
        (2, 10, 2 * (1 + 12 + 66) / 2**12),  # twice the tail of Binomial(12, 1/2) up to 2
        (10, 2, 2 * (1 + 12 + 66) / 2**12),
        (0, 5, 2 / 2**5),
        (3, 3, 1.0),
        (0, 0, 1.0),
    ],
)
def test_mcnemar_is_the_exact_binomial_test(lost, won, p):
    result = compare(*counted(both=50, lost=lost, won=won, neither=8))
    assert result["mcnemar_p"] == pytest.approx(p)
    assert (result["only_before_right"], result["only_after_right"]) == (lost, won)
    n = 58 + lost + won
    assert result["difference"] == pytest.approx((won - lost) / n)


def test_the_paired_interval_is_that_of_differences_per_image():
    result = compare(*counted(both=900, lost=20, won=45, neither=35))
    # for so many images nearly normal: an image adds +1, -1 or 0
    deviation = np.sqrt((0.065 - 0.025**2) / 1000)
    assert result["low"] == pytest.approx(0.025 - 1.96 * deviation, abs=0.0011)  # ends are whole images: 0.001
    assert result["high"] == pytest.approx(0.025 + 1.96 * deviation, abs=0.0011)


def test_the_interval_is_the_same_again_and_turns_with_the_pair():
    before, after = counted(both=900, lost=20, won=45, neither=35)
    assert compare(before, after) == compare(before, after)
    forth, back = compare(before, after), compare(after, before)
    assert back["low"] == pytest.approx(-forth["high"], abs=0.002)
    same = compare(before, before)
    assert (same["difference"], same["low"], same["high"]) == (0, 0, 0)


@pytest.mark.parametrize("function", [fixed_and_made, compare])
def test_comparisons_need_labels_and_images(function):
    bare, nothing = replace(BEFORE, labels=None), BEFORE.take(np.array([], int))
    with pytest.raises(UserError, match="true labels"):
        function(bare, bare)
    with pytest.raises(UserError, match="split is empty"):
        function(nothing, nothing)
    with pytest.raises(UserError, match="different images"):
        function(BEFORE, AFTER.take(np.arange(3)))
    function(bare, AFTER)  # one that knows the truth is enough


def test_disagreement_about_nothing_is_refused():
    with pytest.raises(UserError, match="split is empty"):
        disagreement([BEFORE.take(np.array([], int))] * 2)


def test_messages_use_the_names_that_are_given():
    with pytest.raises(UserError, match="only in v1"):
        compare(BEFORE, AFTER.take(np.arange(3)), names=("v1", "v2"))


def test_votes_of_every_size_by_hand():
    """Three voters, four images of class 0: what each subset gets right, ties shared."""
    labels = np.zeros(4, np.int64)
    one, two, three = (labels_only(p, labels=labels) for p in ([0, 0, 0, 1], [0, 0, 1, 1], [0, 1, 2, 0]))
    table = accuracy_by_voters([one, shuffled(two), three])
    assert table["voters"].tolist() == [1, 2, 3] and table["votes"].tolist() == [3, 3, 1]
    # pairs: 1 1 .5 0, 1 .5 .5 .5, 1 .5 0 .5; all three: 1, 1, a third, 0
    assert table["mean"].tolist() == pytest.approx([7 / 12, (2.5 + 2.5 + 2) / 12, (2 + 1 / 3) / 4])
    assert table["low"].tolist() == pytest.approx([0.5, 0.5, (2 + 1 / 3) / 4])
    assert table["high"].tolist() == pytest.approx([0.75, 0.625, (2 + 1 / 3) / 4])


def test_a_vote_of_all_is_the_hard_vote_where_nothing_ties():
    members = [guesses(seed, strength=2.0) for seed in range(5)]
    vote = hard_vote(members)
    shares = np.sort(vote.probabilities, axis=1)
    decided = np.flatnonzero(shares[:, -1] > shares[:, -2])
    table = accuracy_by_voters([member.take(decided) for member in members])
    assert table["mean"].iloc[-1] == pytest.approx(vote.take(decided).accuracy)
    assert table["mean"].iloc[0] == pytest.approx(np.mean([member.take(decided).accuracy for member in members]))


def test_too_many_voters_are_refused():
    with pytest.raises(UserError, match="at most 12 voters, received 13"):
        accuracy_by_voters([BEFORE] * 13)
