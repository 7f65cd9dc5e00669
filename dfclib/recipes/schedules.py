"""Learning rates over a training, as data. `training` turns them into Keras's."""

from dataclasses import dataclass, replace
from typing import Literal

from dfclib.errors import UserError


@dataclass(frozen=True)
class Length:
    """How long the training was that a schedule was made for: epochs, and optimizer steps in all of them."""

    epochs: int
    steps: int


@dataclass(frozen=True)
class ConstantRate:
    """The same learning rate at every step."""

    learning_rate: float
    kind: Literal["constant"] = "constant"

    def rescaled(self, source: Length) -> "ConstantRate":
        return self


@dataclass(frozen=True)
class ExponentialRate:
    """learning_rate * factor ** (step / steps); steps=None means over the whole run.

    A factor above 1 makes the rate grow (attempts 4 and 5), one below 1 makes it decay (attempt 6).
    """

    learning_rate: float
    factor: float
    steps: int | None
    kind: Literal["exponential"] = "exponential"

    def rescaled(self, source: Length) -> "ExponentialRate":
        """The schedule that reaches over a run of any length the ratio to its first rate that this one has at the
        end of `source`."""
        if self.steps is None:
            return self
        return replace(self, factor=self.factor ** (source.steps / self.steps), steps=None)


@dataclass(frozen=True)
class CosineRate:
    """From learning_rate to `floor` along half a cosine over the whole run, however long it is.

    Moves at every step, where PyTorch's moves once per epoch: over the 160 epochs of S3 the two differ by less than
    a hundredth of the first rate, and a run of few epochs still ends at the floor.
    """

    learning_rate: float
    floor: float
    kind: Literal["cosine"] = "cosine"

    def __post_init__(self) -> None:
        if not 0 <= self.floor <= self.learning_rate or not self.learning_rate:
            raise UserError(
                f"a cosine goes down from learning_rate to floor, received {self.learning_rate}, {self.floor}"
            )

    def rescaled(self, source: Length) -> "CosineRate":
        return self


@dataclass(frozen=True)
class StepRate:
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

    def rescaled(self, source: Length) -> "StepRate":
        """As many drops as `source` had, evenly spread over a run of any length."""
        if self.every is None:
            return self
        return replace(self, every=None, drops=(source.epochs - 1) // self.every)


@dataclass(frozen=True)
class PlateauRate:
    """learning_rate, times `factor` after more than `patience` epochs without gain: PyTorch's ReduceLROnPlateau.

    A gain is a value of `monitor` better than the best by the share `threshold` of it. Keras's callback acts one
    epoch earlier, and its threshold is absolute.
    """

    learning_rate: float
    factor: float
    patience: int
    monitor: Literal["val_loss", "val_accuracy"] = "val_accuracy"
    threshold: float = 1e-4
    kind: Literal["plateau"] = "plateau"

    def rescaled(self, source: Length) -> "PlateauRate":
        return self  # what comes of it depends on the training: patience is the author's number of epochs


Schedule = ConstantRate | ExponentialRate | CosineRate | StepRate | PlateauRate
