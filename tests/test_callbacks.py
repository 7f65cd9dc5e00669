"""Stopping, keeping, falling on a plateau and class weights, against cases computed by hand."""

import json

import numpy as np
import pytest
from fakes import tiny_recipe

from dfclib.callbacks import Best, EarlyStopping, PlateauDecay, class_weights
from dfclib.recipes import all_recipes
from dfclib.recipes.recipe import Stopping
from dfclib.recipes.schedules import PlateauRate


def watched(monitor, patience):
    """Stops by and keeps the best of one monitor."""
    return EarlyStopping(tiny_recipe(stopping=Stopping(monitor, patience), keep=f"best_{monitor}"))


def follow(state, values):
    """(epochs taken for the ones to keep, epoch after which it stops or None) of a curve of values."""
    kept = []
    for epoch, value in enumerate(values, start=1):
        if state.keeps(epoch, {"val_loss": value, "val_accuracy": value}):
            kept.append(epoch)
        assert state.kept_epoch == kept[-1]
        if state.should_stop(epoch):
            return kept, epoch
    return kept, None


@pytest.mark.parametrize(
    ("monitor", "patience", "values", "expected"),
    [
        ("val_loss", 2, [3, 2, 1, 1.5, 1.2, 0.1], ([1, 2, 3], 5)),
        ("val_loss", 3, [3, 2, 1, 1.5, 1.2, 0.1], ([1, 2, 3, 6], None)),
        ("val_loss", 2, [1, 1, 1, 0.5], ([1], 3)),  # a tie is no gain
        ("val_accuracy", 2, [0.5, 0.6, 0.6, 0.6, 0.9], ([1, 2], 4)),
        ("val_accuracy", 1, [0.5, 0.4], ([1], 2)),
        ("val_accuracy", 1, [0.1, 0.2, 0.3], ([1, 2, 3], None)),
        ("val_accuracy", 3, [0.0, 0.0, 0.0, 0.0], ([1], 4)),
        ("val_loss", 2, [5, 6, 4, 5, 5], ([1, 3], 5)),  # a gain in time starts the waiting anew
    ],
)
def test_early_stopping(monitor, patience, values, expected):
    assert follow(watched(monitor, patience), values) == expected


def test_without_stopping_the_last_epoch_is_kept_and_nothing_stops():
    assert follow(EarlyStopping(tiny_recipe(stopping=None, keep="last")), [3, 1, 2]) == ([1, 2, 3], None)


def test_without_stopping_the_best_epoch_can_be_kept():
    """S3's way: every epoch is trained, and the best on validation is the result."""
    assert follow(EarlyStopping(tiny_recipe(stopping=None, keep="best_val_accuracy")), [1, 3, 2, 3]) == ([1, 2], None)
    assert follow(EarlyStopping(tiny_recipe(stopping=None, keep="best_val_loss")), [2, 3, 1, 1]) == ([1, 3], None)


def test_what_stops_need_not_be_what_is_kept():
    """Attempt 1's way with patience: it stops after the best loss, and ends with the last epoch's weights."""
    last = EarlyStopping(tiny_recipe(stopping=Stopping("val_loss", 2), keep="last"))
    assert follow(last, [3, 1, 2, 2, 0]) == ([1, 2, 3, 4], 4)


CURVES = [  # loss and accuracy: the loss is best in epoch 2, accuracy in epoch 4
    {"val_loss": 1.0, "val_accuracy": 0.5},
    {"val_loss": 0.5, "val_accuracy": 0.4},
    {"val_loss": 0.6, "val_accuracy": 0.6},
    {"val_loss": 0.7, "val_accuracy": 0.7},
    {"val_loss": 0.8, "val_accuracy": 0.65},
    {"val_loss": 0.4, "val_accuracy": 0.9},
]


@pytest.mark.parametrize(
    ("stops_by", "patience", "keep", "kept", "stopped"),
    [
        ("val_loss", 3, "best_val_accuracy", [1, 3, 4], 5),
        ("val_loss", 4, "best_val_accuracy", [1, 3, 4, 6], None),
        ("val_accuracy", 1, "best_val_loss", [1, 2], 2),
        ("val_accuracy", 2, "best_val_loss", [1, 2, 6], None),
    ],
)
def test_stopping_and_keeping_by_different_monitors(stops_by, patience, keep, kept, stopped):
    def run(cut=None):
        recipe = tiny_recipe(stopping=Stopping(stops_by, patience), keep=keep)
        state, taken = EarlyStopping(recipe), []
        for epoch, values in enumerate(CURVES, start=1):
            if state.keeps(epoch, values):
                taken.append(epoch)
            if state.should_stop(epoch):
                return taken, epoch
            if epoch == cut:
                saved = json.loads(json.dumps(state.state()))
                state = EarlyStopping(recipe)
                state.restore(saved)
                assert state.kept_epoch == taken[-1]
        return taken, None

    for cut in (None, 1, 2, 3, 4, 5):
        assert run(cut) == (kept, stopped)


def test_only_the_monitored_value_counts():
    state = watched("val_accuracy", 5)
    state.keeps(1, {"val_loss": 1.0, "val_accuracy": 0.5})
    assert not state.keeps(2, {"val_loss": 0.1, "val_accuracy": 0.4})
    assert state.keeps(3, {"val_loss": 9.0, "val_accuracy": 0.6})


def test_best_goes_on_from_its_state_through_json():
    best = Best("val_loss")
    assert best.is_gain(1, {"val_loss": 0.0})  # the first is a gain, whatever it is
    assert best.state() == {"value": 0.0, "epoch": 1}
    again = Best("val_loss")
    again.restore(json.loads(json.dumps(best.state())))
    assert not again.is_gain(2, {"val_loss": 0.0})
    assert again.is_gain(3, {"val_loss": -1.0})
    assert again.state() == {"value": -1.0, "epoch": 3}


@pytest.mark.parametrize("cut", range(1, 6))
@pytest.mark.parametrize("keep", ["best_val_accuracy", "last"])
def test_stopping_goes_on_from_its_state_through_json(cut, keep):
    values = [0.5, 0.7, 0.6, 0.7, 0.65, 0.9]
    recipe = tiny_recipe(stopping=Stopping("val_accuracy", 3), keep=keep)
    whole, parts = EarlyStopping(recipe), EarlyStopping(recipe)
    for epoch, value in enumerate(values, start=1):
        if epoch == cut:
            state = json.loads(json.dumps(parts.state()))
            parts = EarlyStopping(recipe)
            parts.restore(state)
            assert parts.kept_epoch == whole.kept_epoch
        answers = [
            (s.keeps(epoch, {"val_accuracy": value}), s.should_stop(epoch), s.kept_epoch) for s in (whole, parts)
        ]
        assert answers[0] == answers[1]


def test_the_state_of_what_is_not_there_is_nothing_and_is_left_alone():
    state = EarlyStopping(tiny_recipe(stopping=None, keep="last"))
    state.keeps(1, {"val_loss": 1.0, "val_accuracy": 0.5})
    saved = json.loads(json.dumps(state.state()))
    assert saved == {"kept_epoch": 1, "stops_by": None, "keeps_by": None}
    state.restore(saved)
    assert not state.should_stop(1000)


def test_every_recipe_has_a_stopping_that_works():
    for recipe in all_recipes():
        for member in recipe.members:
            state = EarlyStopping(member)
            assert state.keeps(1, {"val_loss": 1.0, "val_accuracy": 0.5})
            better = {"val_loss": 0.5, "val_accuracy": 0.4}
            assert state.keeps(2, better) == (member.keep != "best_val_accuracy")


# rates that fall on a plateau


def descend(schedule, values, cut=None):
    """The factor of the first rate that each epoch's values leave for the next; through JSON after epoch `cut`."""
    plateau, rate, rates = PlateauDecay(schedule), 1.0, []
    for epoch, value in enumerate(values, start=1):
        other = -value  # the value that is not watched says the contrary
        watched = schedule.monitor
        unwatched = "val_loss" if watched == "val_accuracy" else "val_accuracy"
        rate = plateau.next_rate(rate, {watched: value, unwatched: other})
        rates.append(rate)
        if epoch == cut:
            state = json.loads(json.dumps(plateau.state()))
            plateau = PlateauDecay(schedule)
            plateau.restore(state)
    return rates


PLATEAUS = [
    # patience + 1 epochs without gain, then a count from 0: Keras's would act an epoch earlier
    ("val_accuracy", 2, 1e-4, [0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5], [1, 1, 1, 0.5, 0.5, 0.5, 0.25]),
    ("val_accuracy", 0, 1e-4, [0.5, 0.5, 0.6, 0.6], [1, 0.5, 0.5, 0.25]),
    ("val_accuracy", 1, 1e-4, [0.5, 0.6, 0.7, 0.8], [1, 1, 1, 1]),
    # a gain starts the count anew
    ("val_accuracy", 1, 1e-4, [0.5, 0.4, 0.6, 0.6, 0.6, 0.6], [1, 1, 1, 1, 0.5, 0.5]),
    # what fell stays fallen, and a gain is measured from the best, not from the last
    ("val_accuracy", 1, 1e-4, [0.5, 0.1, 0.1, 0.2, 0.3, 0.9], [1, 1, 0.5, 0.5, 0.25, 0.25]),
    # the threshold is a share of the best: .8 needs more than .808, and an absolute .01 would ask for .81
    ("val_accuracy", 0, 0.01, [0.8, 0.807, 0.809], [1, 0.5, 0.5]),
    ("val_accuracy", 0, 0.01, [0.8, 0.808 + 1e-9, 0.808 + 2e-9], [1, 1, 0.5]),
    # small steps that each fall short add up, since the best stays where it was
    ("val_accuracy", 5, 0.01, [0.8, 0.804, 0.807, 0.809, 0.81], [1, 1, 1, 1, 1]),
    ("val_accuracy", 0, 1e-4, [0.0, 0.0, 0.1], [1, 0.5, 0.5]),
    ("val_loss", 1, 1e-4, [3.0, 2.0, 2.0, 2.0, 1.0, 1.0], [1, 1, 1, 0.5, 0.5, 0.5]),
    ("val_loss", 0, 0.01, [2.0, 1.981, 1.979, 1.96], [1, 0.5, 0.5, 0.25]),
    ("val_loss", 1, 1e-4, [1.0, 2.0, 3.0], [1, 1, 0.5]),
]


@pytest.mark.parametrize(("monitor", "patience", "threshold", "values", "expected"), PLATEAUS)
def test_plateau_decay_by_hand(monitor, patience, threshold, values, expected):
    schedule = PlateauRate(1.0, 0.5, patience, monitor, threshold)
    assert descend(schedule, values) == expected


@pytest.mark.parametrize("cut", range(1, 8))
def test_plateau_decay_goes_on_from_its_state_through_json(cut):
    schedule = PlateauRate(1.0, 0.1, 1, "val_loss")
    values = [3.0, 3.0, 2.0, 2.5, 2.5, 2.5, 2.5, 1.0]
    expected = pytest.approx([1, 1, 1, 1, 0.1, 0.1, 0.01, 0.01])
    assert descend(schedule, values) == descend(schedule, values, cut) == expected


# class weights


def test_class_weights_by_hand():
    weights = class_weights(np.array([0, 0, 0, 1, 1, 2]), 3)
    assert weights == pytest.approx({0: 2 / 3, 1: 1.0, 2: 2.0})


def test_class_weights_have_mean_one_over_the_images():
    labels = np.repeat(np.arange(5), [7, 1, 20, 3, 3])
    weights = class_weights(labels, 5)
    assert np.mean([weights[label] for label in labels]) == pytest.approx(1)
    assert class_weights(np.repeat(np.arange(5), 4), 5) == dict.fromkeys(range(5), 1.0)
