"""What happens between epochs: stopping, learning rates, class weights, and how stable a training was.

An epoch is one call of Keras's `fit` (training.py says why), so these are plain objects with a state that goes into a
checkpoint, and not keras.callbacks.Callback, whose counters `fit` resets.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from dfclib.recipes.recipe import ConstantRate, Schedule, Stopping

if TYPE_CHECKING:
    import keras
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


def learning_rate_schedule(
    schedule: Schedule, total_steps: int
) -> "float | keras.optimizers.schedules.LearningRateSchedule":
    """Keras's learning rate for `schedule` in a run of `total_steps` optimizer steps."""
    import keras

    if isinstance(schedule, ConstantRate):
        return schedule.learning_rate
    return keras.optimizers.schedules.ExponentialDecay(
        schedule.learning_rate, decay_steps=schedule.steps or total_steps, decay_rate=schedule.factor
    )


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
