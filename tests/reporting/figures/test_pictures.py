"""Pages of pictures: each under its own heading, with its own true class, predicted class and probability."""

from dataclasses import replace

import numpy as np
import pytest
from fakes import FASHION, guesses, hand_made, noise_images
from legible import assert_legible, title
from matplotlib.colors import to_hex

from dfclib.datasets.images import ImageSet
from dfclib.ensembles import soft_vote
from dfclib.errors import UserError
from dfclib.reporting import figures
from dfclib.reporting.figures.style import VERMILION


def pictures_of(predictions, size=(28, 28), channels=1) -> ImageSet:
    pixels = np.random.default_rng(0).integers(0, 256, (len(predictions), *size, channels)).astype(np.uint8)
    return ImageSet(pixels, predictions.labels, predictions.ids, predictions.class_names)


def filled(figure) -> list:
    return [axes for axes in figure.axes if axes.images]


@pytest.mark.parametrize(("size", "channels"), [((28, 28), 1), ((100, 100), 3)])
def test_a_page_of_answers_is_legible(size, channels):
    predictions = guesses(0)
    long = "a title as long as those of runs, embedded data, not the competition's images"
    page = figures.answers(pictures_of(predictions, size, channels), figures.right_and_wrong(predictions), long)
    assert_legible("answers", page)
    widest = predictions.take(np.flatnonzero(predictions.labels == FASHION.index("Ankle boot"))[:12])
    assert_legible("one long name beside another", figures.answers(pictures_of(widest), {"boots": widest}))
    names = tuple(f"generator number {i}" for i in range(10))
    renamed = replace(predictions, class_names=names).take(np.arange(7))
    assert_legible("names that are cut", figures.answers(pictures_of(renamed), {"": renamed}))


def test_each_picture_stands_with_its_truth_answer_and_probability():
    predictions = hand_made()  # u to z: a, a, a taken for b, b, b taken for a, c taken for a
    images = pictures_of(predictions).take(np.array([5, 4, 3, 2, 1, 0]))  # in another order
    groups = {
        "some": predictions.take(np.array([2, 0])),
        "none": predictions.take(np.array([], int)),
        "more": predictions,
    }
    figure = figures.answers(images, groups, "Mine")
    assert [part.get_suptitle() for part in figure.subfigs] == ["some", "none", "more"]
    panels = filled(figure)
    said = [(axes.get_title(), axes.get_xlabel(), to_hex(axes.xaxis.label.get_color())) for axes in panels]
    wrong, right = to_hex(VERMILION), to_hex("black")
    assert said[:2] == [("a", "b\n50%", wrong), ("a", "a\n50%", right)]
    assert [truth for truth, _, _ in said[2:]] == ["a", "a", "a", "b", "b", "c"]
    np.testing.assert_array_equal(np.squeeze(panels[0].images[0].get_array()), images.images[3, :, :, 0])  # w
    np.testing.assert_array_equal(np.squeeze(panels[7].images[0].get_array()), images.images[0, :, :, 0])  # z
    assert title(figure) == "Mine above each: true class; below: answer and its probability"


def test_right_answers_are_spread_over_the_classes_and_wrong_ones_begin_with_the_surest():
    predictions = guesses(0)
    (first, right), (second, wrong) = figures.right_and_wrong(predictions).items()
    correct = int(np.sum(predictions.correct))
    assert first == f"Right: 18 of {correct:,}"
    assert second == f"Wrong: 18 of {1000 - correct:,}, the most confident"
    assert right.labels.tolist() == [*range(10), *range(8)] == right.predicted.tolist()
    one = np.flatnonzero((predictions.labels == 3) & (predictions.predicted == 3))
    assert right.ids[[3, 13]].tolist() == predictions.ids[one[:2]].tolist()
    confidences = predictions.probabilities.max(axis=1)[predictions.predicted != predictions.labels]
    assert wrong.probabilities.max(axis=1) == pytest.approx(np.sort(confidences)[::-1][:18])
    assert (wrong.predicted != wrong.labels).all()
    again = figures.right_and_wrong(predictions)[second]
    assert again.ids.tolist() == wrong.ids.tolist()


def test_few_answers_are_shown_as_few():
    groups = figures.right_and_wrong(hand_made())
    assert list(groups) == ["Right: 3 of 3", "Wrong: 3 of 3, the most confident"]
    all_right = replace(hand_made(), predicted=hand_made().labels)
    groups = figures.right_and_wrong(all_right)
    assert [len(group) for group in groups.values()] == [6, 0]
    figures.answers(pictures_of(all_right), groups).draw_without_rendering()


def test_put_right_shows_what_each_member_alone_got_wrong():
    members = {"CNN v1": guesses(0, strength=2.0), "CNN v2": guesses(1)}
    vote = soft_vote(list(members.values()))
    backwards = vote.take(np.arange(len(vote))[::-1])  # rows are matched by id
    groups = figures.put_right(members, backwards)
    for (heading, group), (name, member) in zip(groups.items(), members.items(), strict=True):
        mended = ~member.correct & vote.correct
        assert heading == f"{name} wrong, the vote right: 6 of {mended.sum()}"
        assert set(group.ids) <= set(member.ids[mended])
        assert (group.predicted != group.labels).all()  # the member's answers, not the vote's
        surest = np.sort(member.probabilities.max(axis=1)[mended])[::-1][:6]
        assert group.probabilities.max(axis=1) == pytest.approx(surest)


def test_gradient_maps_lie_over_their_own_pictures_with_their_own_answers():
    answers = {"CNN v1": guesses(0, 8), "CNN v2": guesses(1, 8)}
    images = pictures_of(answers["CNN v1"], (48, 48), 3).images
    maps = {
        name: 0.8 + 0.1 * np.random.default_rng(i).random((8, 48, 48), np.float32) for i, name in enumerate(answers)
    }
    figure = figures.gradient_maps(images, answers, maps)
    assert_legible("gradient maps", figure)
    rows = np.array(figure.axes).reshape(3, 6)
    np.testing.assert_array_equal(rows[0, 5].images[0].get_array(), images[5])
    assert [axes.get_title() for axes in rows[0]] == [FASHION[label][:11] for label in range(6)]
    for row, (name, group) in zip(rows[1:], answers.items(), strict=True):
        assert row[0].get_ylabel() == name
        for i, axes in enumerate(row):
            low, high = maps[name][i].min(), maps[name][i].max()  # each map has its own range, however high it is
            np.testing.assert_allclose(axes.images[1].get_array(), (maps[name][i] - low) / (high - low), rtol=1e-5)
            answer, share = axes.get_xlabel().split("\n")
            assert (answer, share) == (FASHION[group.predicted[i]], f"{100 * group.confidence[i]:.0f}%")
            red = to_hex(axes.xaxis.label.get_color()) == to_hex(VERMILION)
            assert red == (group.predicted[i] != group.labels[i])
    two = figures.gradient_maps(images[:2], {"CNN": answers["CNN v1"]}, {"CNN": maps["CNN v1"]})
    assert len(filled(two)) == 4
    nothing = figures.gradient_maps(images[:1], {"CNN": answers["CNN v1"]}, {"CNN": np.zeros((1, 48, 48), np.float32)})
    assert not filled(nothing)[1].images[1].get_array().any()  # nothing speaks for it
    with pytest.raises(UserError, match="answers of CNN v1, CNN v2, maps of nobody"):
        figures.gradient_maps(images, answers, {})


def test_what_cannot_be_shown_is_said():
    predictions = hand_made()
    with pytest.raises(UserError, match="'u' is not among the 30 given"):
        figures.answers(noise_images(), {"all": predictions})
    with pytest.raises(UserError, match="without true labels"):
        figures.answers(pictures_of(predictions), {"all": replace(predictions, labels=None)})
    with pytest.raises(UserError, match="labels only"):
        figures.answers(pictures_of(predictions), {"all": replace(predictions, probabilities=None)})
    with pytest.raises(UserError, match="at least one heading"):
        figures.answers(pictures_of(predictions), {})
    with pytest.raises(UserError, match="without true labels"):
        figures.right_and_wrong(replace(predictions, labels=None))
