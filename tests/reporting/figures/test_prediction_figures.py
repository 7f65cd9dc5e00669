"""Figures of predictions: cells, lines, bars and texts carry the numbers."""

from dataclasses import replace

import numpy as np
import pytest
from fakes import guesses, hand_made, labels_only, predictions_with, with_probabilities
from legible import assert_legible, title
from matplotlib.colors import to_hex

from dfclib.errors import UserError
from dfclib.evaluation import calibration, comparison, metrics
from dfclib.predictions import Predictions
from dfclib.reporting import figures
from dfclib.reporting.figures.style import MOST_NAMED


def sure(confidences, right) -> Predictions:
    """Predictions of two classes with these confidences, right or wrong as said."""
    said = np.where(right, 0, 1)
    rows = [[1 - c, c] if wrong else [c, 1 - c] for c, wrong in zip(confidences, said, strict=True)]
    return replace(with_probabilities(rows, class_names=("a", "b"), labels=np.zeros(len(said), int)), predicted=said)


def test_every_comparison_is_legible():
    one, other = guesses(0), guesses(1)
    long = "a title as long as those of runs, embedded data, not the competition's images"
    right = guesses(0, 10_000, strength=99.0)
    members = {f"attempt3-{letter}": guesses(i) for i, letter in enumerate("abcdefghij")}
    every = {
        "reliability": figures.reliability({"one": one}),
        "reliability of seven": figures.reliability(dict(list(members.items())[:7]), title=long),
        "calibration of seven": figures.reliability_panels(dict(list(members.items())[:7]), title=long),
        "calibration of one": figures.reliability_panels({"the author's, no smoothing": one}),
        "confidence": figures.confidence(one, long),
        "confidence, all right": figures.confidence(right),
        "disagreement": figures.disagreement(members, long),
        "disagreement of two": figures.disagreement({"CNN v1": one, "CNN v2": other}),
        "disagreement of none": figures.disagreement({"CNN v1": one, "CNN v2": one, "CNN v3": one}),
        "fixed and made": figures.fixed_and_made(one, other, ("0.45 v1 + 0.55 v2", "the vote of ten")),
        "five classes": figures.fixed_and_made(predictions_with(0.9), predictions_with(0.93, seed=1)),
        "all fixed": figures.fixed_and_made(one, guesses(0, strength=99.0)),
        "the same twice": figures.fixed_and_made(one, one),
        "confusion": figures.confusion(right, long),
        "voters": figures.voters(members, long),
        "one voter": figures.voters({"one": one}),
        "bars": figures.per_class_bars(right, long),
    }
    for name, figure in every.items():
        assert_legible(name, figure)
        assert figure.get_figwidth() <= 7.5, name  # in a column of text its letters still have two thirds of their size


def test_predictions_are_said_to_be_of_what_the_note_says():
    one, other = guesses(0), guesses(1)
    note = "quick scale, embedded data, not the competition's images, kept: last epoch"
    drawn = {
        "voters": figures.voters({"one": one, "other": other}, note=note),
        "confidence": figures.confidence(one, note=note),
        "reliability": figures.reliability({"one": one}, note=note),
        "calibration": figures.reliability_panels({"one": one}, note=note),
        "disagreement": figures.disagreement({"one": one, "other": other}, note=note),
        "fixed and made": figures.fixed_and_made(one, other, note=note),
    }
    for name, figure in drawn.items():
        assert_legible(name, figure)
        assert note in title(figure), name


def test_confusion_writes_counts_and_shares_with_the_true_class_in_rows():
    axes = figures.confusion(hand_made(), "Mine").axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted class", "true class")
    cells = {tuple(reversed(text.get_position())): text.get_text() for text in axes.texts}
    assert cells[0, 0] == "2\n67%" and cells[0, 1] == "1\n33%" and cells[2, 0] == "1\n100%"
    assert len(cells) == 9
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b", "c"]
    low, high = metrics.wilson_interval(3, 6)
    assert f"n = 6, accuracy 50.0% (95% interval {100 * low:.1f} to {100 * high:.1f})" in title(axes.figure)


def test_bars_are_three_per_class_and_as_high_as_their_values():
    axes = figures.per_class_bars(hand_made()).axes[0]
    table = metrics.per_class(hand_made())
    heights = [[bar.get_height() for bar in container] for container in axes.containers]
    assert heights == [pytest.approx(100 * table[c].to_numpy()) for c in ("precision", "recall", "f1")]
    assert len({container[0].get_hatch() for container in axes.containers}) == 3  # apart in grey too
    assert [text.get_text() for text in axes.figure.legends[0].get_texts()] == ["precision", "recall", "F1"]


def test_voters_are_drawn_as_they_are_counted():
    members = {str(seed): guesses(seed) for seed in range(4)}
    figure = figures.voters(members)
    (axes,) = figure.axes
    table = comparison.accuracy_by_voters(list(members.values()))
    assert axes.lines[0].get_xdata().tolist() == [1, 2, 3, 4]
    np.testing.assert_allclose(axes.lines[0].get_ydata(), 100 * table["mean"])
    band = axes.collections[0].get_paths()[0].get_extents()
    assert (band.y0, band.y1) == pytest.approx((100 * table["low"].min(), 100 * table["high"].max()))
    assert "4 voters, n = 1,000" in title(figure)


def test_many_classes_are_drawn_without_numbers_and_with_some_names():
    names = tuple(f"class {i}" for i in range(100))
    p = labels_only(np.arange(300) % 100, class_names=names, labels=np.arange(300) % 100)
    for figure in (figures.confusion(p), figures.per_class_bars(p)):
        axes = figure.axes[0]
        assert not axes.texts
        assert 10 <= len(axes.get_xticks()) <= MOST_NAMED
        assert axes.get_xticklabels()[1].get_text() == names[int(axes.get_xticks()[1])]


def test_reliability_draws_accuracy_against_confidence_and_names_the_error():
    one, other = guesses(0), guesses(1, strength=1.0)
    figure = figures.reliability({"one": one, "other": other}, bins=10, title="Mine")
    top, bottom = figure.axes
    lines = {line.get_label(): line for line in top.lines}
    for predictions, name, stairs in zip((one, other), ("one", "other"), bottom.patches, strict=True):
        error = calibration.expected_calibration_error(predictions, 10)
        line = lines[f"{name}: expected calibration error {100 * error:.1f}%"]
        table = calibration.reliability(predictions, 10)
        filled = table[table["n"] >= 20]
        assert line.get_xdata() == pytest.approx(100 * filled["confidence"].to_numpy())
        assert line.get_ydata() == pytest.approx(100 * filled["accuracy"].to_numpy())
        assert stairs.get_data().values == pytest.approx(table["n"].to_numpy() / 10)  # percent of 1,000
        assert stairs.get_data().edges == pytest.approx(np.arange(0, 101, 10))
    diagonal = lines["as often right as confident"]
    assert list(diagonal.get_xdata()) == list(diagonal.get_ydata()) == [0, 100]
    assert title(figure) == "Mine n = 1,000, 10 bins, 95% intervals faded: bins of fewer than 20 images"


def test_reliability_leaves_empty_bins_out_and_shows_how_little_is_known_of_small_ones():
    four = sure([0.95, 0.95, 0.95, 0.72], [True, True, False, True])
    top, _ = figures.reliability({"four": four}, bins=10).axes
    line, faded, _ = top.lines
    assert len(line.get_xdata()) == 0
    assert faded.get_xdata() == pytest.approx([72, 95])
    assert faded.get_ydata() == pytest.approx([100, 200 / 3])
    _, upright = top.collections
    ends = [segment[:, 1] for segment in upright.get_segments()]
    expected = [metrics.wilson_interval(1, 1), metrics.wilson_interval(2, 3)]
    assert np.array(ends) == pytest.approx(100 * np.array(expected))
    assert top.get_xlim()[0] == pytest.approx(70)


def test_a_line_goes_through_bins_of_enough_images_alone():
    confidences = np.repeat([0.55, 0.75, 0.95], [19, 20, 40])
    top, _ = figures.reliability({"one": sure(confidences, np.ones(79, bool))}, bins=10).axes
    line, faded, _ = top.lines
    assert (line.get_xdata(), faded.get_xdata()) == (pytest.approx([75, 95]), pytest.approx([55]))
    plain, pale = top.collections
    assert (len(plain.get_segments()), len(pale.get_segments())) == (2, 1)
    assert pale.get_alpha() < plain.get_alpha() and faded.get_alpha() < 0.5


def test_calibration_has_a_panel_per_system_which_may_be_of_other_images():
    systems = {"one\ncompact, earlier recipe": guesses(0), "two": guesses(1, 400), "three": guesses(2)}
    figure = figures.reliability_panels(systems, bins=10)
    assert_legible("panels", figure)
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert len(shown) == 3
    for axes, (name, one) in zip(shown, systems.items(), strict=True):
        error = calibration.expected_calibration_error(one, 10)
        assert axes.get_title() == f"{name}\nn = {len(one):,}\ncalibration error {100 * error:.1f}%"
        table = calibration.reliability(one, 10)
        many = table[table["n"] >= 20]
        assert axes.lines[0].get_ydata() == pytest.approx(100 * many["accuracy"].to_numpy())
        assert axes.get_xlim() == shown[0].get_xlim() and axes.get_ylim() == shown[0].get_ylim()
    with pytest.raises(UserError, match="at least one system"):
        figures.reliability_panels({})


def test_systems_are_compared_on_the_same_images():
    other = guesses(1)
    with pytest.raises(UserError, match="one .* and other .* different images"):
        figures.reliability({"one": guesses(0), "other": other.take(np.arange(10))})
    with pytest.raises(UserError, match="one .* and other .* different images"):
        figures.disagreement({"one": guesses(0), "other": other.take(np.arange(10))})


def test_confidence_tells_right_answers_from_wrong_ones():
    confidences = [0.97, 0.96, 0.72, 0.52, 0.97, 0.61]
    figure = figures.confidence(sure(confidences, [True, True, True, True, False, False]), "Mine")
    right, wrong = figure.axes[0].patches
    at = {round(edge): i for i, edge in enumerate(right.get_data().edges)}
    shares = right.get_data().values
    assert (shares[at[95]], shares[at[70]], shares[at[50]], shares.sum()) == (50, 25, 25, 100)
    shares = wrong.get_data().values
    assert (shares[at[95]], shares[at[60]], shares.sum()) == (50, 50, 100)
    assert right.get_hatch() != wrong.get_hatch() and to_hex(right.get_edgecolor()) != to_hex(wrong.get_edgecolor())
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["right, n = 4, median 84%", "wrong, n = 2, median 79%"]
    assert title(figure).startswith("Mine n = 6, accuracy 66.7%")


def test_confidence_is_that_of_the_answer_and_not_of_the_highest_class():
    tie = replace(hand_made(), probabilities=np.tile(np.float32([0.5, 0.35, 0.15]), (6, 1)))
    labels = [text.get_text() for text in figures.confidence(tie).legends[0].get_texts()]
    assert labels == ["right, n = 3, median 50%", "wrong, n = 3, median 50%"]
    only_b = replace(tie, predicted=np.ones(6, np.int64))  # as a draw between equal votes may end
    labels = [text.get_text() for text in figures.confidence(only_b).legends[0].get_texts()]
    assert labels == ["right, n = 2, median 35%", "wrong, n = 4, median 35%"]


def test_disagreement_writes_the_share_of_each_pair():
    members = {"v1": guesses(0), "v2": guesses(1), "v3": replace(guesses(2), labels=None)}
    figure = figures.disagreement(members, "Mine")
    axes = figure.axes[0]
    shares = 100 * comparison.disagreement(list(members.values()))
    assert np.asarray(axes.images[0].get_array()) == pytest.approx(shares)
    cells = {tuple(reversed(text.get_position())): text.get_text() for text in axes.texts}
    assert cells[0, 2] == cells[2, 0] == f"{shares[0, 2]:.1f}%" != cells[0, 1]
    assert [cells[i, i] for i in range(3)] == ["–"] * 3
    assert [label.get_text() for label in axes.get_yticklabels()] == list(members)
    assert title(figure) == "Mine n = 1,000"


def test_maps_of_disagreement_can_share_a_scale():
    members = {"v1": guesses(0), "v2": guesses(1)}
    (alone, _), (wider, _) = (figures.disagreement(members, highest=highest).axes for highest in (None, 0.9))
    largest = 100 * comparison.disagreement(list(members.values())).max()
    assert alone.images[0].get_clim() == (0, pytest.approx(largest))
    assert wider.images[0].get_clim() == (0, pytest.approx(90))


def test_fixed_stand_upwards_made_downwards_and_the_net_above():
    labels = np.repeat([0, 1, 2], 4)
    first = Predictions(np.arange(12).astype(str), labels.copy(), ("a", "b", "c"), None, labels)
    before = replace(first, predicted=np.array([1, 1, 1, 0, 1, 1, 1, 1, 0, 2, 2, 2]))  # errors: 3, 0, 1
    after = replace(first, predicted=np.array([0, 0, 1, 0, 2, 2, 1, 1, 2, 1, 2, 2]))  # 1, 2, 1
    figure = figures.fixed_and_made(before, after, ("v1", "the vote"))
    (axes,) = figure.axes
    assert [[bar.get_height() for bar in bars] for bars in axes.containers] == [[2, 0, 1], [0, -2, -1]]
    written = [(text.xy[1], text.get_text(), text.get_va()) for text in axes.texts]
    assert written[:3] == [(2, "2", "bottom"), (0, "0", "bottom"), (1, "1", "bottom")]
    assert written[3:] == [(0, "0", "top"), (-2, "2", "top"), (-1, "1", "top")]
    assert len({bars[0].get_hatch() for bars in axes.containers}) == 2  # apart in grey too
    (net,) = axes.child_axes
    assert [label.get_text() for label in net.get_xticklabels()] == ["−2", "+2", "0"]
    assert title(figure) == "Errors fixed and made 4 errors of v1, 4 of the vote, n = 12"
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["fixed by the vote, 3", "made by the vote, 3"]
    figure.draw_without_rendering()
    heights = [label.get_text() for label in axes.get_yticklabels()]
    assert "1" in heights and all(text.isdigit() for text in heights)  # counts, downwards too
