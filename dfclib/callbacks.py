"""What happens between epochs: stopping, rates that fall on a plateau, class weights, how stable a training was.

An epoch is one call of Keras's `fit` (training.py says why), so these are plain objects with a state that goes into a
checkpoint, and not keras.callbacks.Callback, whose counters `fit` resets.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from dfclib.recipes.recipe import PlateauRate, Stopping

if TYPE_CHECKING:
    import pandas as pd


class EarlyStopping:
    """Which epoch was the best so far, and whether to go on. Without a `stopping` every epoch replaces the one before.

    Epochs count from 1. Equal values are no gain, as in Keras.
    """

    def __init__(self, stopping: Stopping | None) -> None:
        self.stopping = stopping
        self.best_value: float | None = None
        self.best_epoch = 0

    def is_best(self, epoch: int, values: dict[str, float]) -> bool:
        """Take note of `epoch`'s values (val_loss, val_accuracy); True where its weights are the ones to keep."""
        if self.stopping is None:
            self.best_epoch = epoch
            return True
        value = values[self.stopping.monitor]
        sign = 1 if self.stopping.monitor == "val_accuracy" else -1
        if self.best_value is not None and sign * value <= sign * self.best_value:
            return False
        self.best_value, self.best_epoch = value, epoch
        return True

    def should_stop(self, epoch: int) -> bool:
        return self.stopping is not None and epoch - self.best_epoch >= self.stopping.patience

    def state(self) -> dict[str, Any]:
        return {"best_value": self.best_value, "best_epoch": self.best_epoch}

    def restore(self, state: dict[str, Any]) -> None:
        self.best_value, self.best_epoch = state["best_value"], state["best_epoch"]


class PlateauDecay:
    """Which factor the learning rate has come down to, by PyTorch's ReduceLROnPlateau (recipe.PlateauRate says how)."""

    def __init__(self, schedule: PlateauRate) -> None:
        self.schedule = schedule
        self.best_value: float | None = None
        self.epochs_without_gain = 0

    def next_rate(self, learning_rate: float, values: dict[str, float]) -> float:
        """Take note of an epoch's values (val_loss, val_accuracy): the learning rate for the next epoch."""
        schedule, value = self.schedule, values[self.schedule.monitor]
        sign = 1 if schedule.monitor == "val_accuracy" else -1
        if self.best_value is None or sign * value > sign * self.best_value * (1 + sign * schedule.threshold):
            self.best_value, self.epochs_without_gain = value, 0
        else:
            self.epochs_without_gain += 1
        if self.epochs_without_gain <= schedule.patience:
            return learning_rate
        self.epochs_without_gain = 0
        return learning_rate * schedule.factor

    def state(self) -> dict[str, Any]:
        return {"best_value": self.best_value, "epochs_without_gain": self.epochs_without_gain}

    def restore(self, state: dict[str, Any]) -> None:
        self.best_value, self.epochs_without_gain = state["best_value"], state["epochs_without_gain"]


def class_weights(labels: np.ndarray, classes: int) -> dict[int, float]:
    """Weights inversely proportional to how often each class is shown, with mean 1 over the images.

    labels: int (n,), every class present. The alternative to repeating the images of a class.
    """
    counts = np.bincount(labels, minlength=classes)
    return {label: float(len(labels) / (classes * count)) for label, count in enumerate(counts)}


def stability(history: "pd.DataFrame | dict[str, Any]") -> float:
    """How wildly validation accuracy swings: the root mean square of its changes *against* its trend, in points.

    The change from each epoch to the next, less the mean change over the run (the trend), squared, averaged, root
    taken, times 100. A curve that climbs evenly has 0; one that jumps five points up and down has about 5.
    history: needs `val_accuracy` (fractions), one value an epoch. NaN below three epochs: there is nothing to swing.
    """
    changes = np.diff(np.asarray(history["val_accuracy"], float))
    if len(changes) < 2:
        return float("nan")
    return float(100 * np.sqrt(np.mean((changes - changes.mean()) ** 2)))
