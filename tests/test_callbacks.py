"""The callbacks in anyone's own `fit`: their docstrings' examples, and cases computed by hand, interrupted anywhere."""

import doctest
import json
from pathlib import Path

import keras
import numpy as np
import pytest

from dfclib import callbacks
from dfclib.callbacks import (
    EarlyStopping,
    HistoryCSV,
    NotANumber,
    OutOfTime,
    Pause,
    ReduceLROnPlateau,
    ResumableCheckpoint,
    SeedDropout,
    StopOnNaN,
    TimeLimit,
)


def plain_model(optimizer=None, dropout=0.0):
    """A Keras model that knows nothing of this package."""
    keras.utils.set_random_seed(0)
    layers = [keras.Input((2,)), keras.layers.Dropout(dropout), keras.layers.Dense(1)]
    model = keras.Sequential(layers)
    model.compile(optimizer=optimizer or keras.optimizers.SGD(0.5), loss="mse", run_eagerly=True)  # nothing to trace
    return model


X = np.array([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0], [0.0, 0.0]])
Y = np.array([[1.0], [1.0], [2.0], [0.0]])


@pytest.mark.parametrize(
    "example", [e for e in doctest.DocTestFinder().find(callbacks) if e.examples], ids=lambda example: example.name
)
def test_every_docstring_s_example_runs_on_a_plain_keras_model(example, tmp_path):
    example.globs |= {"model": plain_model(), "x": X, "y": Y, "folder": tmp_path}
    failed = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL).run(example).failed
    assert not failed


def test_every_callback_has_an_example():
    classes = [c for c in vars(callbacks).values() if isinstance(c, type) and issubclass(c, keras.callbacks.Callback)]
    assert len(classes) >= 9
    assert [c.__name__ for c in classes if ">>>" not in c.__doc__] == []


class Values(keras.callbacks.Callback):
    """Puts given values into the logs, so that what follows sees a curve that was made by hand."""

    def __init__(self, curves):
        super().__init__()
        self.curves = curves

    def on_epoch_end(self, epoch, logs=None):
        logs.update({name: values[epoch] for name, values in self.curves.items()})


def follow(curves, make, folder, cut=None, rate=0.5):
    """Train over `curves` with the callbacks of `make()` and a checkpoint, in another process after epoch `cut`.

    Returns the epochs that were trained and the callbacks.
    """
    epochs = len(next(iter(curves.values())))
    for end in (min(cut or epochs, epochs), epochs):
        model = plain_model(keras.optimizers.SGD(rate))
        *watchers, keep = make()
        checkpoint = ResumableCheckpoint(folder, watchers, **keep)
        done = checkpoint.load(model)
        if not checkpoint.has_stopped and done < end:
            everything = [Values(curves), *watchers, checkpoint]
            model.fit(X, Y, initial_epoch=done, epochs=end, callbacks=everything, verbose=0)
    return json.loads((folder / "state.json").read_text())["epoch"], checkpoint, watchers, model


CURVES = [
    # mode, patience, values, kept epoch, epoch after which it stops (None: it does not)
    ("min", 2, [3, 2, 1, 1.5, 1.2, 0.1], 3, 5),
    ("min", 3, [3, 2, 1, 1.5, 1.2, 0.1], 6, None),
    ("min", 2, [1, 1, 1, 0.5], 1, 3),  # a tie is no gain
    ("max", 2, [0.5, 0.6, 0.6, 0.6, 0.9], 2, 4),
    ("max", 1, [0.5, 0.4], 1, 2),
    ("max", 1, [0.1, 0.2, 0.3], 3, None),
    ("max", 3, [0.0, 0.0, 0.0, 0.0], 1, 4),
    ("min", 2, [5, 6, 4, 5, 5], 3, 5),  # a gain in time starts the waiting anew
]


@pytest.mark.parametrize("cut", [None, 1, 2, 4])
@pytest.mark.parametrize(("mode", "patience", "values", "kept", "stopped"), CURVES)
def test_early_stopping_and_the_kept_epoch_go_on_wherever_they_were_cut(
    tmp_path, mode, patience, values, kept, stopped, cut
):
    def make():
        return [EarlyStopping("watched", mode=mode, patience=patience), {"keep": "watched", "mode": mode}]

    trained, checkpoint, _, _ = follow({"watched": values}, make, tmp_path, cut)
    assert trained == (stopped or len(values))
    assert checkpoint.kept_epoch == kept


@pytest.mark.parametrize("cut", [None, 1, 3])
@pytest.mark.parametrize(
    ("stops_by", "patience", "keep", "kept", "stopped"),
    [
        ("val_loss", 3, "val_accuracy", 4, 5),
        ("val_loss", 4, "val_accuracy", 6, 6),
        ("val_accuracy", 1, "val_loss", 2, 2),
        ("val_accuracy", 2, "val_loss", 6, 6),
        ("val_loss", 2, None, 4, 4),  # attempt 1 with patience: it stops, and ends with the last epoch's weights
    ],
)
def test_one_log_may_stop_and_another_choose_what_is_kept(tmp_path, stops_by, patience, keep, kept, stopped, cut):
    curves = {"val_loss": [1.0, 0.5, 0.6, 0.7, 0.8, 0.4], "val_accuracy": [0.5, 0.4, 0.6, 0.7, 0.65, 0.9]}
    modes = {"val_loss": "min", "val_accuracy": "max", None: "min"}

    def make():
        return [
            EarlyStopping(stops_by, mode=modes[stops_by], patience=patience),
            {"keep": keep, "mode": modes[keep]},
        ]

    trained, checkpoint, _, _ = follow(curves, make, tmp_path, cut)
    assert (trained, checkpoint.kept_epoch) == (stopped, kept)


@pytest.mark.parametrize(
    ("options", "values", "rates"),
    [
        # PyTorch waits one epoch more than Keras
        ({"patience": 1, "mode": "min", "meaning": "torch"}, [1, 2, 2, 2, 2, 2], [8, 8, 8, 4, 4, 2]),
        ({"patience": 1, "mode": "min", "meaning": "keras"}, [1, 2, 2, 2, 2, 2], [8, 8, 4, 2, 1, 0.5]),
        ({"patience": 0, "mode": "max", "meaning": "torch"}, [1, 2, 2, 3, 1, 4], [8, 8, 8, 4, 4, 2]),
        # a gain is relative in PyTorch's meaning, absolute in Keras's
        ({"patience": 0, "mode": "min", "meaning": "torch", "min_delta": 0.1}, [10, 9.1, 8.9, 8.5], [8, 8, 4, 4]),
        ({"patience": 1, "mode": "min", "meaning": "keras", "min_delta": 0.1}, [10, 9.95, 9.8, 9.75], [8, 8, 4, 4]),
        ({"patience": 0, "mode": "max", "meaning": "torch", "min_delta": 0.1}, [10, 10.9, 11.1, 12], [8, 8, 4, 4]),
        ({"patience": 0, "mode": "min", "meaning": "torch", "min_lr": 3}, [1, 1, 1, 1], [8, 8, 4, 3]),
    ],
)
@pytest.mark.parametrize("cut", [None, 1, 2, 3])
def test_the_rate_falls_on_a_plateau_in_either_meaning(tmp_path, options, values, rates, cut):
    def make():
        history = HistoryCSV(tmp_path / "history.csv", {})
        return [history, ReduceLROnPlateau("watched", 0.5, **options), {}]

    curves = {"watched": values, "loss": [1.0] * len(values)}
    _, _, (history, _), _ = follow(curves, make, tmp_path, cut, rate=8.0)
    assert [row["learning_rate"] for row in history.rows] == pytest.approx(rates)


def test_a_meaning_that_is_unknown_is_refused():
    with pytest.raises(ValueError, match="keras or torch, received 'tensorflow'"):
        ReduceLROnPlateau("loss", meaning="tensorflow")
    with pytest.raises(ValueError, match="needs mode min or max, received 'auto'"):
        ReduceLROnPlateau("loss", meaning="torch")


def test_dropout_draws_by_seed_epoch_and_layer():
    model = keras.Sequential([keras.Input((8,)), *(keras.layers.Dropout(0.5) for _ in range(3))])

    def states(seed, epoch):
        callback = SeedDropout(seed)
        callback.set_model(model)
        callback.on_epoch_begin(epoch)
        return [int(keras.ops.convert_to_numpy(layer.seed_generator.state)[0]) for layer in model.layers]

    drawn = [*states(0, 0), *states(0, 1), *states(1, 0)]
    assert len(set(drawn)) == len(drawn) == 9
    assert states(0, 0) == drawn[:3]


def test_an_interrupted_training_with_dropout_ends_with_the_same_weights(tmp_path):
    def run(folder, *ends):
        for end in ends:
            model = plain_model(keras.optimizers.Adam(0.1), dropout=0.5)
            model.build((None, 2))
            model.optimizer.build(model.trainable_variables)
            checkpoint = ResumableCheckpoint(folder)
            done = checkpoint.load(model)
            model.fit(X, Y, initial_epoch=done, epochs=end, callbacks=[SeedDropout(3), checkpoint], verbose=0)
        return model.get_weights()

    for one, other in zip(run(tmp_path / "whole", 4), run(tmp_path / "cut", 1, 3, 4), strict=True):
        assert one.tobytes() == other.tobytes()


@pytest.mark.parametrize("at", [2, 3])  # in the middle of the second epoch, and in its last step
def test_nothing_of_an_epoch_with_a_nan_is_saved(tmp_path, at):
    rate = keras.optimizers.schedules.PiecewiseConstantDecay([at - 1, at], [0.01, 1e30, 0.01])
    model = plain_model(keras.optimizers.SGD(rate))
    history, checkpoint = HistoryCSV(tmp_path / "history.csv"), ResumableCheckpoint(tmp_path)
    with pytest.raises(NotANumber, match="loss became (inf|nan) in epoch [23] at learning rate") as raised:
        model.fit(X, Y, batch_size=2, epochs=9, callbacks=[StopOnNaN(), history, checkpoint], verbose=0)
    saved = json.loads((tmp_path / "state.json").read_text())["epoch"]
    assert saved == len(history.rows) == raised.value.epoch - 1
    assert np.isfinite(np.concatenate([w.ravel() for w in np.load(tmp_path / f"epoch-{saved:04d}.npz").values()])).all()


def test_history_s_rate_is_that_of_the_epoch_s_last_step(tmp_path):
    schedule = keras.optimizers.schedules.ExponentialDecay(0.1, decay_steps=1, decay_rate=0.5)
    history = HistoryCSV(tmp_path / "history.csv")
    plain_model(keras.optimizers.SGD(schedule)).fit(X, Y, batch_size=2, epochs=2, callbacks=[history], verbose=0)
    assert [row["learning_rate"] for row in history.rows] == pytest.approx([0.05, 0.0125])
    assert (tmp_path / "history.csv").read_text().startswith("epoch,loss,learning_rate,seconds\n1,")


def test_what_was_paused_is_no_time_of_training(tmp_path, monkeypatch):
    file, slept = tmp_path / "paused", []

    def sleep(seconds):
        slept.append(seconds)
        clock[0] += 1000
        file.unlink()

    clock = [0.0]
    monkeypatch.setattr(callbacks.time, "sleep", sleep)
    monkeypatch.setattr(callbacks.time, "monotonic", lambda: clock[0])
    file.touch()
    pause = Pause(file)
    history = HistoryCSV(tmp_path / "history.csv", pause=pause)
    plain_model().fit(X, Y, batch_size=1, epochs=2, callbacks=[history, pause], verbose=0)
    assert slept == [1]
    assert [row["seconds"] for row in history.rows] == [0.0, 0.0]


def test_a_time_limit_asks_before_each_epoch_but_the_first_and_never_after_the_last(tmp_path):
    asked = []
    limit = TimeLimit(lambda: bool(asked.append(len(asked))))
    plain_model().fit(X, Y, epochs=3, callbacks=[limit], verbose=0)
    assert len(asked) == 2
    checkpoint = ResumableCheckpoint(tmp_path)
    with pytest.raises(OutOfTime, match="1 of 3 epochs trained"):
        plain_model().fit(X, Y, epochs=3, callbacks=[TimeLimit(lambda: True), checkpoint], verbose=0)
    assert checkpoint.load(plain_model()) == 1


class Killed(BaseException):
    """Nobody catches this."""


@pytest.mark.parametrize("moment", range(5))
@pytest.mark.parametrize("is_best", [True, False], ids=["best", "not best"])
def test_a_checkpoint_is_the_old_or_the_new_one_at_every_moment(tmp_path, monkeypatch, moment, is_best):
    """Killed while the first, second, ... file is put in its place or removed: what can be read is one whole epoch."""

    def save(checkpoint, epoch, loss):
        model = checkpoint.model
        model.set_weights([np.full_like(w, epoch) for w in model.get_weights()])
        for variable in model.optimizer.variables:
            variable.assign(np.full(variable.shape, epoch, variable.dtype))
        checkpoint.on_epoch_end(epoch - 1, {"loss": loss})

    def checkpoint():
        model = plain_model(keras.optimizers.Adam())
        model.optimizer.build(model.trainable_variables)
        result = ResumableCheckpoint(tmp_path, keep="loss")
        result.set_model(model)
        return result

    first = checkpoint()
    save(first, 1, loss=1.0)
    calls, replace, unlink = 0, callbacks.write_json.__globals__["os"].replace, Path.unlink

    def count():
        nonlocal calls
        calls += 1
        if calls == moment + 1:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("os.replace", lambda *a: (count(), replace(*a)))
        patch.setattr(Path, "unlink", lambda p, missing_ok=False: (count(), unlink(p)) if p.exists() else None)
        try:
            save(first, 2, loss=0.5 if is_best else 2.0)
            killed = False
        except Killed:
            killed = True
    assert killed == (moment < calls)

    again = checkpoint()
    epoch = again.load(again.model)
    assert epoch in (1, 2)
    assert epoch == 2 or killed
    assert all(np.all(w == epoch) for w in again.model.get_weights())
    assert all(np.all(keras.ops.convert_to_numpy(v) == epoch) for v in again.model.optimizer.variables)
    best = 2 if is_best and epoch == 2 else 1
    assert again.kept_epoch == best
    again.load_kept(again.model)
    assert all(np.all(w == best) for w in again.model.get_weights())
