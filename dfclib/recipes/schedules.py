"""Learning rates over a training, as data. `training` turns them into Keras's."""

from dataclasses import dataclass, replace
from typing import Literal

from dfclib.errors import UserError


class _Rate:
    def rescaled(self, epochs: int, steps: int) -> "Schedule":
        """Fit this schedule, made for `epochs` epochs and `steps` optimizer steps in all, to any other length."""
        return self

    def multiplied(self, factor: float) -> "Schedule":
        """This schedule with all its learning rates multiplied by `factor`."""
        rates = {name: factor * value for name, value in vars(self).items() if name in ("learning_rate", "floor")}
        return replace(self, **rates)


@dataclass(frozen=True)
class ConstantRate(_Rate):
    """The same learning rate at every step."""

    learning_rate: float
    kind: Literal["constant"] = "constant"


@dataclass(frozen=True)
class ExponentialRate(_Rate):
    """learning_rate * factor ** (step / steps); steps=None means over the whole run.

    A factor above 1 makes the rate grow (attempts 4 and 5), one below 1 makes it decay (attempt 6).
    """

    learning_rate: float
    factor: float
    steps: int | None
    kind: Literal["exponential"] = "exponential"

    def rescaled(self, epochs: int, steps: int) -> "ExponentialRate":
        """Reach over a run of any length the ratio of last to first rate that this schedule reaches in `steps`."""
        return self if self.steps is None else replace(self, factor=self.factor ** (steps / self.steps), steps=None)


@dataclass(frozen=True)
class CosineRate(_Rate):
    """From learning_rate to `floor` along half a cosine over the whole run, however long it is.

    Before it, for the share `warm_up` of the run, the rate climbs evenly from 0 to learning_rate.
    Moves at every step, where PyTorch's moves once per epoch: over the 160 epochs of S3 the two differ by less than
    a hundredth of the first rate, and a run of few epochs still ends at the floor.
    """

    learning_rate: float
    floor: float
    warm_up: float = 0.0
    kind: Literal["cosine"] = "cosine"

    def __post_init__(self) -> None:
        if not 0 <= self.floor <= self.learning_rate or not self.learning_rate:
            raise UserError(
                f"a cosine goes down from learning_rate to floor, received {self.learning_rate}, {self.floor}"
            )
        if not 0 <= self.warm_up < 1:
            raise UserError(f"warm_up is a share of the run, from 0 to below 1, received {self.warm_up}")


@dataclass(frozen=True)
class StepRate(_Rate):
    """learning_rate * factor ** (how often `every` epochs have gone by); every=None: `drops` times, evenly spread."""

    learning_rate: float
    factor: float
    every: int | None
    drops: int | None = None
    kind: Literal["step"] = "step"

    def __post_init__(self) -> None:
        given = [number for number in (self.every, self.drops) if number is not None]
        least = 0 if self.every is None else 1
        if len(given) != 1 or given[0] < least:
            raise UserError(
                f"a step schedule takes `every`, at least 1, or `drops`, from 0 up, and not both; received every "
                f"{self.every}, drops {self.drops}"
            )

    def rescaled(self, epochs: int, steps: int) -> "StepRate":
        """Spread as many drops as there are within `epochs` evenly over a run of any length."""
        return self if self.every is None else replace(self, every=None, drops=(epochs - 1) // self.every)


@dataclass(frozen=True)
class PlateauRate(_Rate):
    """learning_rate, times `factor` after more than `patience` epochs without gain: PyTorch's ReduceLROnPlateau.

    A gain is a value of `monitor` better than the best by the share `threshold` of it. Keras's callback acts one
    epoch earlier, and its threshold is absolute. Patience stays the author's number of epochs however long a run is.
    """

    learning_rate: float
    factor: float
    patience: int
    monitor: Literal["val_loss", "val_accuracy"] = "val_accuracy"
    threshold: float = 1e-4
    kind: Literal["plateau"] = "plateau"


Schedule = ConstantRate | ExponentialRate | CosineRate | StepRate | PlateauRate
