"""Numbers in words: rounding, signs and columns."""

import math

import pytest

from dfclib.wording import duration, interval, listed, percent, points, text_table


@pytest.mark.parametrize(
    ("share", "digits", "text"),
    [
        (0.7784, 1, "77.8%"),
        (0.909, 2, "90.90%"),
        (1, 0, "100%"),
        (0.0004, 1, "0.0%"),
        (None, 1, "–"),
        (math.nan, 1, "–"),
    ],
)
def test_percent(share, digits, text):
    assert percent(share, digits) == text


def test_interval():
    assert interval(0.7549, 0.8012) == "75.5% to 80.1%"
    assert interval(0.7549, 0.8012, 2) == "75.49% to 80.12%"


@pytest.mark.parametrize(
    ("difference", "text"), [(0.012, "+1.2"), (-0.012, "-1.2"), (0.0001, "0.0"), (-0.0001, "0.0"), (0, "0.0")]
)
def test_points_have_a_sign_unless_they_round_to_zero(difference, text):
    assert points(difference) == text


def test_things_are_listed_with_an_and_before_the_last():
    assert [listed(["1", "2", "3"][:n]) for n in (1, 2, 3)] == ["1", "1 and 2", "1, 2 and 3"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (0.2, "1 s"), (89, "89 s"), (90, "2 min"), (1740, "29 min"), (7199, "120 min"), (9000, "2.5 h")]
    + [(36_000, "10 h"), (112_000, "31 h")],
)
def test_duration(seconds, text):
    assert duration(seconds) == text


def test_a_text_table_is_as_wide_as_its_widest_cells():
    rows = [{"a": "1", "long heading here": "x"}, {"a": "22", "long heading here": ""}]
    assert text_table(rows).splitlines() == ["a   long heading here", "1   x", "22"]
    assert text_table(rows, heading_width=12).splitlines() == ["a   long heading", "    here", "", "1   x", "22"]
