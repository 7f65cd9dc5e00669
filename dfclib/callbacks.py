"""What happens between epochs: stopping, which epoch is kept, rates that fall on a plateau, class weights.

An epoch is one call of Keras's `fit` (training.py says why), so these are plain objects with a state that goes into a
checkpoint, and not keras.callbacks.Callback, whose counters `fit` resets.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from dfclib.recipes.recipe import Recipe
from dfclib.recipes.schedules import PlateauRate

if TYPE_CHECKING:
    import pandas as pd


class Best:
    """The best value of a monitored quantity so far, and its epoch. Epochs count from 1; equal values are no gain."""

    def __init__(self, monitor: str) -> None:
        self.monitor = monitor
        self.value: float | None = None
        self.epoch = 0

    def is_gain(self, epoch: int, values: dict[str, float]) -> bool:
        """Take note of `epoch`'s values (val_loss, val_accuracy); True where the monitored one is the best so far."""
        value, sign = values[self.monitor], 1 if self.monitor == "val_accuracy" else -1
        if self.value is not None and sign * value <= sign * self.value:
            return False
        self.value, self.epoch = value, epoch
        return True

    def state(self) -> dict[str, Any]:
        return {"value": self.value, "epoch": self.epoch}

    def restore(self, state: dict[str, Any]) -> None:
        self.value, self.epoch = state["value"], state["epoch"]


class EarlyStopping:
    """Whether to go on after an epoch, and which epoch's weights are the ones to keep."""

    def __init__(self, recipe: Recipe) -> None:
        self.stopping = recipe.stopping
        self.stops_by = Best(recipe.stopping.monitor) if recipe.stopping else None
        self.keeps_by = None if recipe.keep == "last" else Best(recipe.keep.removeprefix("best_"))
        self.kept_epoch = 0

    def keeps(self, epoch: int, values: dict[str, float]) -> bool:
        """Take note of `epoch`'s values (val_loss, val_accuracy); True where its weights are the ones to keep."""
        if self.stops_by is not None:
            self.stops_by.is_gain(epoch, values)
        if self.keeps_by is not None and not self.keeps_by.is_gain(epoch, values):
            return False
        self.kept_epoch = epoch
        return True

    def should_stop(self, epoch: int) -> bool:
        return self.stops_by is not None and epoch - self.stops_by.epoch >= self.stopping.patience

    def state(self) -> dict[str, Any]:
        parts = {"stops_by": self.stops_by, "keeps_by": self.keeps_by}
        return {"kept_epoch": self.kept_epoch} | {name: part and part.state() for name, part in parts.items()}

    def restore(self, state: dict[str, Any]) -> None:
        self.kept_epoch = state["kept_epoch"]
        for name, part in {"stops_by": self.stops_by, "keeps_by": self.keeps_by}.items():
            if part is not None:
                part.restore(state[name])


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


def validation_fluctuation(history: "pd.DataFrame | dict[str, Any]") -> float:
    """How wildly validation accuracy swings: the root mean square of its changes *against* its trend, in points.

    The change from each epoch to the next, less the mean change over the run (the trend), squared, averaged, root
    taken, times 100. A curve that climbs evenly has 0; one that jumps five points up and down has about 5.
    history: needs `val_accuracy` (fractions), one value an epoch. NaN below three epochs: there is nothing to swing.
    """
    changes = np.diff(np.asarray(history["val_accuracy"], float))
    if len(changes) < 2:
        return float("nan")
    return float(100 * np.sqrt(np.mean((changes - changes.mean()) ** 2)))
