"""Comparisons of predictions against tables counted by hand."""

from dataclasses import replace

import numpy as np
import pytest
from fakes import AFTER, BEFORE, counted, labels_only, shuffled

from dfclib.errors import UserError
from dfclib.evaluation.comparison import compare, disagreement, fixed_and_made


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
