"""Keras callbacks with state: a training that was killed is resumed and ends as if it had not been.

Each works in anyone's own `model.fit`. Those with a state have `get_state` and `set_state`; `ResumableCheckpoint` saves
the states beside weights and optimizer, and puts them back after `fit` has let every callback reset itself.
"""

import csv
import io
import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from dfclib.errors import UserError
from dfclib.files import UNREADABLE_ARRAYS, read_json, write_atomically, write_json, write_text
from dfclib.wording import duration


class NotANumber(ArithmeticError):
    """A loss or metric became infinite or no number at all.

    Attributes: name (of the log), value, epoch (from 1), learning_rate (of the last step).
    """

    def __init__(self, name: str, value: float, epoch: int, learning_rate: float) -> None:
        super().__init__(name, value, epoch, learning_rate)
        self.name, self.value, self.epoch, self.learning_rate = name, value, epoch, learning_rate

    def __str__(self) -> str:
        return f"the {self.name} became {self.value} in epoch {self.epoch} at learning rate {self.learning_rate:.3g}"


class OutOfTime(Exception):
    """`TimeLimit` ended a training between two epochs; it can be resumed from what was saved before."""


class _State:
    """State of a callback as JSON values: the attributes named in `STATE`."""

    STATE: tuple[str, ...] = ()

    def get_state(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.STATE}

    def set_state(self, state: Mapping[str, Any]) -> None:
        for name in self.STATE:
            setattr(self, name, state[name])


class EarlyStopping(_State, keras.callbacks.EarlyStopping):
    """Keras's EarlyStopping, with a state that can be saved and restored.

    Weights kept in memory by `restore_best_weights` are no part of the state: `ResumableCheckpoint` keeps them on disk.

    Example:
        >>> stopping = EarlyStopping(monitor="val_loss", mode="min", patience=1, min_delta=9.0)
        >>> history = model.fit(x, y, validation_data=(x, y), epochs=9, callbacks=[stopping], verbose=0)
        >>> history.epoch, stopping.get_state()["best_epoch"]
        ([0, 1], 0)
    """

    STATE = ("best", "best_epoch", "wait", "stopped_epoch")


class ReduceLROnPlateau(_State, keras.callbacks.ReduceLROnPlateau):
    """Keras's ReduceLROnPlateau with a state, and with PyTorch's meaning where it is asked for.

    Keras lowers the rate after `patience` epochs without gain, and a gain is larger than the absolute `min_delta`.
    PyTorch (torch.optim.lr_scheduler.ReduceLROnPlateau) waits one epoch more, and a gain is larger than the share
    `min_delta` of the best value. Neither counts epochs while it cools down.

    Args:
        meaning: "keras" or "torch".
        monitor, factor, patience, mode, min_delta, cooldown, min_lr: as Keras's. `mode` must be "min" or "max" for
            "torch".

    Example:
        >>> plateau = ReduceLROnPlateau("loss", 0.5, patience=0, mode="min", min_delta=0.9, meaning="torch")
        >>> history = model.fit(x, y, epochs=3, callbacks=[plateau], verbose=0)
        >>> history.history["learning_rate"]  # the first epoch is a gain, the next ones are too small
        [0.5, 0.5, 0.25]
    """

    STATE = ("best", "wait", "cooldown_counter")

    def __init__(self, *args, meaning: str = "keras", **options) -> None:
        super().__init__(*args, **options)
        if meaning not in ("keras", "torch"):
            raise ValueError(f"meaning must be keras or torch, received {meaning!r}")
        if meaning == "torch" and self.mode not in ("min", "max"):
            raise ValueError(f"PyTorch's meaning needs mode min or max, received {self.mode!r}")
        self.meaning = meaning
        if meaning == "torch":
            self.patience += 1

    def _is_improvement(self, value: float, best: float | None) -> bool:
        if self.meaning == "keras" or best is None:
            return super()._is_improvement(value, best)
        share = abs(self.min_delta)
        return value > best * (1 + share) if self.mode == "max" else value < best * (1 - share)


class SeedDropout(keras.callbacks.Callback):
    """Seed every random layer from (seed, epoch, layer) when an epoch begins.

    Neither a .keras file nor weights hold the random state of dropout; with this, an epoch draws the same numbers
    whether or not the training was interrupted before it.

    Example:
        >>> history = model.fit(x, y, epochs=1, callbacks=[SeedDropout(seed=7)], verbose=0)
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.seed = seed

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        for number, layer in enumerate(self.model.layers):
            generator = getattr(layer, "seed_generator", None)
            if generator is not None:
                state = np.random.SeedSequence([self.seed, epoch + 1, number]).generate_state(1)[0]
                generator.state.assign(np.array([state, 0], np.uint32))


class StopOnNaN(keras.callbacks.Callback):
    """Raise NotANumber as soon as the loss, or after an epoch any log, is infinite or no number.

    Placed before a checkpoint or a history, it keeps them from saving the spoilt epoch, which Keras's TerminateOnNaN
    does not: that ends the epoch as if it were a good one.

    Example:
        >>> model.optimizer.learning_rate = 1e30
        >>> model.fit(x, y, epochs=9, callbacks=[StopOnNaN()], verbose=0)
        Traceback (most recent call last):
            ...
        dfclib.callbacks.NotANumber: the loss became inf in epoch 1 at learning rate 1e+30
    """

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self._epoch = epoch + 1

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        self._check({"loss": (logs or {}).get("loss", 0.0)})

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self._check(logs or {})

    def _check(self, logs: Mapping[str, float]) -> None:
        for name, value in logs.items():
            if not math.isfinite(value):
                raise NotANumber(name, float(value), self._epoch, last_learning_rate(self.model.optimizer))


class Pause(keras.callbacks.Callback):
    """Wait after a batch for as long as a file exists; `seconds` is how long it waited in the epoch at hand.

    Args:
        file: path of the file.
        hint: how to go on, said when it begins to wait.

    Example:
        >>> pause = Pause(folder / "paused")
        >>> history = model.fit(x, y, epochs=1, callbacks=[pause], verbose=0)
        >>> pause.seconds
        0.0
    """

    def __init__(self, file: Path | str, hint: str = "remove it to go on") -> None:
        super().__init__()
        self.file, self.hint, self.seconds = Path(file), hint, 0.0

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self.seconds = 0.0

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        self.seconds += self.wait()

    def wait(self) -> float:
        """Return at once, or when the file is gone; the seconds waited."""
        if not self.file.exists():
            return 0.0
        print(f"paused: waits while {self.file} exists; {self.hint}", flush=True)
        started = time.monotonic()
        while self.file.exists():
            time.sleep(1)
        return time.monotonic() - started


class TimeLimit(keras.callbacks.Callback):
    """Raise OutOfTime between two epochs once `is_over()`: at least one epoch is trained, and the last is not cut off.

    All that happens at an epoch's end has happened by then, so that a checkpoint is whole.

    Args:
        is_over: called without arguments before each epoch but a training's first.

    Example:
        >>> model.fit(x, y, epochs=9, callbacks=[TimeLimit(lambda: True)], verbose=0)
        Traceback (most recent call last):
            ...
        dfclib.callbacks.OutOfTime: 1 of 9 epochs trained
    """

    def __init__(self, is_over: Callable[[], bool]) -> None:
        super().__init__()
        self.is_over = is_over

    def on_train_begin(self, logs: dict | None = None) -> None:
        self._trained = False

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        if self._trained and self.is_over():
            raise OutOfTime(f"{epoch} of {self.params['epochs']} epochs trained")
        self._trained = True


class HistoryCSV(_State, keras.callbacks.Callback):
    """One row per epoch in a CSV file: epoch (from 1), logs, learning_rate (of the last step) and seconds.

    The file is replaced as a whole once an epoch is over for all callbacks, so that it is never half-written nor ahead
    of a checkpoint. A resumed training goes on with the rows that it had; `rows` holds them as dictionaries.

    Args:
        path: the file.
        columns: log name by column heading; None: every log under its own name.
        pause: a Pause whose waiting does not count as seconds of training.

    Example:
        >>> model.optimizer.learning_rate = 0.5
        >>> table = HistoryCSV(folder / "history.csv", columns={"loss": "loss"})
        >>> history = model.fit(x, y, epochs=2, callbacks=[table], verbose=0)
        >>> [(row["epoch"], row["learning_rate"]) for row in table.rows]
        [(1, 0.5), (2, 0.5)]
        >>> (folder / "history.csv").read_text().splitlines()[0]
        'epoch,loss,learning_rate,seconds'
    """

    STATE = ("rows",)

    def __init__(self, path: Path | str, columns: Mapping[str, str] | None = None, pause: Pause | None = None) -> None:
        super().__init__()
        self.path, self.columns, self.pause = Path(path), columns, pause
        self.rows: list[dict[str, float]] = []

    def set_state(self, state: Mapping[str, Any]) -> None:
        for number, row in enumerate(state["rows"], start=1):
            if row["epoch"] != number or not all(isinstance(value, int | float) for value in row.values()):
                raise ValueError(f"row {number} of the history is not an epoch's")
        self.rows = list(state["rows"])

    def on_train_begin(self, logs: dict | None = None) -> None:
        self.rows = []

    def on_train_end(self, logs: dict | None = None) -> None:
        self.write()

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self.write()
        self._started = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        names = self.columns or {name: name for name in logs if name != "learning_rate"}
        seconds = time.monotonic() - self._started - (self.pause.seconds if self.pause else 0.0)
        row = {"epoch": epoch + 1} | {heading: float(logs[name]) for heading, name in names.items()}
        rate = last_learning_rate(self.model.optimizer)
        self.rows.append(row | {"learning_rate": rate, "seconds": round(seconds, 2)})

    def write(self) -> None:
        """Write the rows to the file; nothing where there are none."""
        if not self.rows:
            return
        text = io.StringIO()
        writer = csv.DictWriter(text, self.rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        write_text(self.path, text.getvalue())


class ProgressLine(keras.callbacks.Callback):
    """Print a line per epoch: every column of `history`, and at most how long the rest takes.

    Where somebody watches (standard output is a terminal), a line is also rewritten every two seconds within an epoch.

    Args:
        history: the HistoryCSV of the same training; it comes first in the list of callbacks.

    Example:
        >>> table = HistoryCSV(folder / "history.csv", columns={"loss": "loss"})
        >>> history = model.fit(x, y, epochs=1, callbacks=[table, ProgressLine(table)], verbose=0)  # doctest: +ELLIPSIS
          epoch 1/1  loss ...  learning rate 5.00e-01  0 s, at most 0 s left
    """

    def __init__(self, history: HistoryCSV) -> None:
        super().__init__()
        self.history = history

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self._epoch, self._shown, self._watched = epoch + 1, time.monotonic(), sys.stdout.isatty()

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        if self._watched and time.monotonic() - self._shown > 2:
            self._shown, share = time.monotonic(), (batch + 1) / self.params["steps"]
            print(f"\r  epoch {self._epoch}: {share:.0%}  loss {logs['loss']:.3f} ", end="", flush=True)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        rows, epochs = self.history.rows, self.params["epochs"]
        if self._watched:
            print("\r" + " " * 60 + "\r", end="")
        row = dict(rows[-1])
        seconds, rate = row.pop("seconds"), row.pop("learning_rate")
        left = (epochs - row.pop("epoch")) * sum(r["seconds"] for r in rows) / len(rows)
        values = "  ".join(f"{name} {value:.3f}" for name, value in row.items())
        line = f"  epoch {epoch + 1}/{epochs}  {values}  learning rate {rate:.2e}  {seconds:.0f} s"
        print(f"{line}, at most {duration(left)} left", flush=True)


class ResumableCheckpoint(keras.callbacks.Callback):
    """Weights, optimizer, kept weights and callbacks' states of the last finished epoch, in one folder.

    The arrays of an epoch go to files of their own names; `state.json`, replaced in one step, names those that count.
    So whenever the process dies, state.json names files that are whole. In the list of callbacks it follows those whose
    state it saves.

    Args:
        folder: where the files lie.
        callbacks: the callbacks of this training whose state is saved; those without a state are passed over.
        keep: None: `load_kept` gives the last epoch's weights; else those of the epoch with the best value of this log.
        mode: "min" or "max": what is best.

    Example:
        >>> def checkpoint():
        ...     stopping = EarlyStopping(monitor="loss", mode="min", patience=3)
        ...     return stopping, ResumableCheckpoint(folder, [stopping], keep="loss", mode="min")
        >>> model.optimizer.learning_rate = 0.001
        >>> stopping, saved = checkpoint()
        >>> history = model.fit(x, y, epochs=2, callbacks=[stopping, saved], verbose=0)
        >>> stopping, saved = checkpoint()  # in another process, or after a crash
        >>> done = saved.load(model)
        >>> history = model.fit(x, y, initial_epoch=done, epochs=3, callbacks=[stopping, saved], verbose=0)
        >>> done, history.epoch
        (2, [2])
    """

    def __init__(
        self,
        folder: Path | str,
        callbacks: Sequence[keras.callbacks.Callback] = (),
        keep: str | None = None,
        mode: str = "min",
    ) -> None:
        super().__init__()
        self.folder, self.keep, self.mode = Path(folder), keep, mode
        stateful = [callback for callback in callbacks if hasattr(callback, "get_state")]
        self._others = {f"{number}-{type(other).__name__}": other for number, other in enumerate(stateful)}
        self._state: dict[str, Any] | None = None

    @property
    def kept_epoch(self) -> int:
        """The epoch (from 1) whose weights `load_kept` gives; 0 before the first."""
        return self._state["kept_epoch"] if self._state else 0

    @property
    def has_stopped(self) -> bool:
        """Whether a callback had stopped the training when it was saved: not one batch more is to be trained."""
        return bool(self._state and self._state["stopped"])

    def load(self, model: keras.Model) -> int:
        """Give `model` and its optimizer the saved values.

        The states of the other callbacks follow when `fit` begins, and at once, so that they can be read.

        Returns: the number of finished epochs; 0 where nothing is saved.
        Raises: UserError where a file is damaged or belongs to another network. No file is changed.
        """
        if not (self.folder / "state.json").exists():
            return 0
        try:
            state = read_json(self.folder / "state.json")
            self._load(model, state)
            self._state = state
            self._restore_states()
        except (UserError, *UNREADABLE_ARRAYS, KeyError, AttributeError) as error:
            what = error if isinstance(error, UserError) else f"{type(error).__name__}: {str(error)[:200]}"
            raise UserError(
                f"the checkpoint in {self.folder} is damaged, or of another version of dfclib ({what}). Nothing was "
                "changed, and history.csv beside it tells of the epochs before. Put back a whole copy of the folder "
                "if there is one, or train anew with --fresh."
            ) from error
        return state["epoch"]

    def load_kept(self, model: keras.Model) -> None:
        """Give `model` the weights to keep."""
        model.set_weights(self._read(self._state["kept"])["weights"])

    def on_train_begin(self, logs: dict | None = None) -> None:
        self._restore_states()  # `fit` has let the others reset themselves

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        last_file = f"epoch-{epoch + 1:04d}.npz"
        old = self._state or {"kept": None, "kept_epoch": 0, "best": None}
        state = old | {"epoch": epoch + 1, "last": last_file, "stopped": self.model.stop_training}
        optimizer = [keras.ops.convert_to_numpy(variable) for variable in self.model.optimizer.variables]
        self._write(last_file, weights=self.model.get_weights(), optimizer=optimizer)
        if self.keep is None:
            state |= {"kept": last_file, "kept_epoch": epoch + 1}
        elif self._is_best(logs[self.keep], old["best"]):
            state |= {"kept": f"best-{epoch + 1:04d}.npz", "kept_epoch": epoch + 1, "best": float(logs[self.keep])}
            self._write(state["kept"], weights=self.model.get_weights())
        state["callbacks"] = {name: other.get_state() for name, other in self._others.items()}
        write_json(self.folder / "state.json", state)
        self._state = state
        for path in self.folder.glob("*.npz"):
            if path.name not in (last_file, state["kept"]):
                path.unlink()

    def _is_best(self, value: float, best: float | None) -> bool:
        return best is None or (value > best if self.mode == "max" else value < best)

    def _restore_states(self) -> None:
        for name, other in self._others.items() if self._state else ():
            other.set_state(self._state["callbacks"][name])

    def _load(self, model: keras.Model, state: dict[str, Any]) -> None:
        if set(state["callbacks"]) != set(self._others):
            raise ValueError(f"state.json has states of {list(state['callbacks'])}, not of {list(self._others)}")
        arrays = self._read(state["last"])
        kept = arrays if state["kept"] == state["last"] else self._read(state["kept"])
        shapes = [[array.shape for array in part["weights"]] for part in (arrays, kept)]
        if shapes[0] != shapes[1]:  # else found after the last epoch, when all of them are trained
            raise ValueError(f"{state['kept']} holds weights of other shapes than {state['last']}")
        model.set_weights(arrays["weights"])
        for variable, value in zip(model.optimizer.variables, arrays["optimizer"], strict=True):
            variable.assign(value)

    def _write(self, name: str, **groups: list[np.ndarray]) -> None:
        arrays = {f"{group}/{i:04d}": a for group, values in groups.items() for i, a in enumerate(values)}
        write_atomically(self.folder / name, lambda file: np.savez(file, **arrays))

    def _read(self, name: str) -> dict[str, list[np.ndarray]]:
        groups: dict[str, list[np.ndarray]] = {}
        with np.load(self.folder / name) as arrays:
            for key in sorted(arrays.files):
                groups.setdefault(key.split("/")[0], []).append(arrays[key])
        return groups


def last_learning_rate(optimizer: keras.optimizers.Optimizer) -> float:
    """The learning rate of the last step taken; `optimizer.learning_rate` would be the next step's under a schedule."""
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)  # of float16's loss scaling
    rate = optimizer._learning_rate  # Keras has no public way to the schedule
    if isinstance(rate, keras.optimizers.schedules.LearningRateSchedule):
        rate = rate(int(optimizer.iterations) - 1)
    return float(keras.ops.convert_to_numpy(rate))
