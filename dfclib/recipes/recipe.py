"""What to train, as data: Recipe, EnsembleRecipe and the small dataclasses that they are made of.

A recipe holds no code and reads nothing but itself. It goes to JSON and comes back; a field that is unknown or has the
wrong type is refused by its name, so that an edited recipe.json fails before anything expensive starts.
"""

import hashlib
import json
import math
import typing
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from dfclib.errors import UserError
from dfclib.files import read_json

ScaleName = Literal["quick", "compact", "full"]
Protocol = Literal["published", "held_out"]
# What says where a recipe comes from, and not what is trained: left out of the fingerprint.
DESCRIPTION = (
    *("title", "system", "claims", "source", "quick_scale", "compact_scale", "scale"),
    *("source_channels", "source_classes"),
)
# A field of a recipe's part that came after runs had been recorded: it counts where it differs from its default.
ADDED = {"added": True}
SPEED_FILE = Path(__file__).with_name("measured_speed.json")


@dataclass(frozen=True)
class ConstantRate:
    """The same learning rate at every step."""

    learning_rate: float
    kind: Literal["constant"] = "constant"

    def over_a_run(self, run: "Length", shorter: int) -> "ConstantRate":
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

    def over_a_run(self, run: "Length", shorter: int) -> "ExponentialRate":
        if self.steps is None:
            return self
        return replace(self, factor=self.factor ** (run.steps / self.steps), steps=None)


@dataclass(frozen=True)
class CosineRate:
    """From learning_rate to `floor` along half a cosine over the whole run, however long it is.

    Moves at every step, where PyTorch's moves once an epoch: over the 160 epochs of S3 the two differ by less than
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

    def over_a_run(self, run: "Length", shorter: int) -> "CosineRate":
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

    def over_a_run(self, run: "Length", shorter: int) -> "StepRate":
        if self.every is None:
            return self
        return replace(self, every=None, drops=(run.epochs - 1) // self.every)


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

    def over_a_run(self, run: "Length", shorter: int) -> "PlateauRate":
        # what comes of it depends on the training: patience as the share of the run that it was is all one can keep
        return replace(self, patience=max(1, round(self.patience * shorter / run.epochs)))


Schedule = ConstantRate | ExponentialRate | CosineRate | StepRate | PlateauRate


@dataclass(frozen=True)
class Length:
    """How long a full training is. A schedule's over_a_run(length, shorter) is the schedule that ends a run of
    `shorter` epochs in the ratio to its start that this one reaches after `length`."""

    epochs: int
    steps: int


@dataclass(frozen=True)
class Stopping:
    """Stop after `patience` epochs without a better value; the weights of the best epoch are kept."""

    monitor: Literal["val_loss", "val_accuracy"]
    patience: int


@dataclass(frozen=True)
class Augmentation:
    """Ranges of the random transform, drawn uniformly; all parts are composed and the image is resampled once.

    rotation: degrees, from -rotation to rotation
    shift: fraction of the side, both axes independently
    zoom: height and width are scaled independently by 1 - zoom to 1 + zoom
    horizontal_flip: mirror one image in two
    every_mirror: every second showing of an image (a recipe repeats it) is its mirror, in place of a draw
    perspective: each corner moves inwards by up to this share of half a side, as torchvision's RandomPerspective does,
        which comes after rotation and mirror; perspective_probability: the share of images that it happens to
    fill: what lies outside the image (nearest: the edge is repeated; constant: black)
    """

    rotation: float = 0.0
    shift: float = 0.0
    zoom: float = 0.0
    horizontal_flip: bool = False
    fill: Literal["nearest", "constant", "reflect", "wrap"] = "nearest"
    every_mirror: bool = field(default=False, metadata=ADDED)
    perspective: float = field(default=0.0, metadata=ADDED)
    perspective_probability: float = field(default=0.0, metadata=ADDED)

    def __post_init__(self) -> None:
        # at 1 all four corners may meet in the middle, and nothing is left of the image
        if not 0 <= self.perspective < 1 or not 0 <= self.perspective_probability <= 1:
            raise UserError(
                "perspective must be from 0 to below 1 and perspective_probability from 0 to 1, received "
                f"{self.perspective} and {self.perspective_probability}"
            )


@dataclass(frozen=True)
class Scale:
    """What a shorter training changes: None keeps the full recipe's value."""

    epochs: int
    image_size: tuple[int, int] | None = None
    framing: Literal["resize", "crop"] | None = None
    precision: str | None = None


@dataclass(frozen=True)
class Recipe:
    """One training.

    builder: dotted name of a function in dfclib.models, called with image_size, channels, classes, normalisation and
        `arguments`; parameters are counted on it at full scale for the author's channels and classes
    image_size: height and width in pixels that the network sees
    framing: `resize` resamples the whole image to image_size; `crop` cuts image_size native pixels (the centre in
        evaluation; a random place in training where there is augmentation)
    repeats: how often an epoch shows every image; class_repeats overrides it by class name
    class_weights: `balanced` weights the loss by the inverse frequency of each class in an epoch
    normalisation: `unit` 0..1; `half` mean and deviation .5 of that; `imagenet` ImageNet's means and deviations (three
        channels); `training` those of the images trained on
    label_smoothing: the share of each target that is spread evenly over all classes
    optimizer: `adam` with a weight_decay adds, as PyTorch's does, weight_decay * p to the gradient of every trainable
        tensor p (an L2 term weight_decay / 2 * sum(p^2)); `adamw` takes it off the tensor itself; `sgd` has a momentum
    source_images: training images in the author's data, of which a schedule's steps count; source_channels and
        source_classes: theirs, on which `parameters` are counted
    claims: what the author states: public_test, validation, ... as fractions, parameters as a count
    """

    name: str
    title: str
    system: str
    builder: str
    epochs: int
    schedule: Schedule
    quick_scale: Scale
    compact_scale: Scale
    arguments: dict[str, Any] = field(default_factory=dict)
    image_size: tuple[int, int] = (128, 128)
    framing: Literal["resize", "crop"] = "resize"
    interpolation: Literal["bilinear", "nearest"] = "bilinear"
    normalisation: Literal["unit", "half", "imagenet", "training"] = "unit"
    augmentation: Augmentation | None = None
    loss: Literal["crossentropy"] = "crossentropy"
    label_smoothing: float = 0.0
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    weight_decay: float = 0.0
    momentum: float = 0.0
    batch_size: int = 32
    stopping: Stopping | None = None
    repeats: int = 1
    class_repeats: dict[str, int] = field(default_factory=dict)
    class_weights: Literal["balanced"] | None = None
    protocol: Protocol = "published"
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32"
    seed: int = 0
    scale: ScaleName = "full"
    source_images: int = 12_500
    source_channels: int = 3
    source_classes: int = 5
    claims: dict[str, float] = field(default_factory=dict)
    source: str = ""

    def __post_init__(self) -> None:
        positive = {"epochs": self.epochs, "batch_size": self.batch_size, "repeats": self.repeats}
        positive |= {f"class_repeats[{name!r}]": count for name, count in self.class_repeats.items()}
        positive |= {"image_size": min(self.image_size), "source_images": self.source_images}
        for name, value in positive.items():
            if value < 1:
                raise UserError(f"recipe {self.name}: {name} must be at least 1, received {value}")
        for name in ("seed", "weight_decay", "momentum", "label_smoothing"):
            if getattr(self, name) < 0:
                raise UserError(f"recipe {self.name}: {name} must not be negative, received {getattr(self, name)}")
        if self.label_smoothing >= 1:
            raise UserError(f"recipe {self.name}: label_smoothing must be below 1, received {self.label_smoothing}")
        if self.augmentation and self.augmentation.every_mirror and self.repeats < 2:
            raise UserError(f"recipe {self.name}: every_mirror shows the mirror second: repeats must be at least 2")
        unused = {"weight_decay": self.optimizer == "sgd", "momentum": self.optimizer != "sgd"}
        for name, ignored in unused.items():
            if ignored and getattr(self, name):
                raise UserError(f"recipe {self.name}: {self.optimizer} has no {name}; leave it out")
        if not self.builder.startswith("dfclib.models."):
            raise UserError(
                f"recipe {self.name}: builder must name a function in dfclib.models, received {self.builder!r}"
            )
        if not self.name or set(self.name) - set("abcdefghijklmnopqrstuvwxyz0123456789-"):
            raise UserError(f"recipe name must be lower-case letters, digits and dashes, received {self.name!r}")

    def quick(self) -> "Recipe":
        """Seconds on the embedded data: shows that everything works, says nothing about the competition."""
        return self._scaled("quick", self.quick_scale)

    def compact(self) -> "Recipe":
        """Real images on two CPU cores: native pixels or crops of them, fewer epochs."""
        return self._scaled("compact", self.compact_scale)

    def at_scale(self, scale: str) -> "Recipe":
        """This recipe at `scale`: quick, compact or full. Raises UserError for another word."""
        if scale == self.scale:
            return self
        if self.scale != "full":
            raise UserError(f"recipe {self.name} is at scale {self.scale} already; only a full recipe can be rescaled")
        if scale not in ("quick", "compact"):
            raise UserError(f"scale must be quick, compact or full, received {scale!r}")
        return self.quick() if scale == "quick" else self.compact()

    def _scaled(self, name: ScaleName, scale: Scale) -> "Recipe":
        changes = {key: value for key, value in asdict_shallow(scale).items() if value is not None}
        return replace(self, scale=name, schedule=self._schedule_over(scale.epochs), **changes)

    def _schedule_over(self, epochs: int) -> Schedule:
        """The schedule for a run of `epochs`: first and last learning rate stand in this recipe's ratio."""
        if epochs == self.epochs:
            return self.schedule
        return self.schedule.over_a_run(Length(self.epochs, self.steps(self.source_images)), epochs)

    def with_options(self, seed: int | None = None, epochs: int | None = None, protocol: str | None = None) -> "Recipe":
        """This recipe with another seed, number of epochs or protocol (None keeps what it has)."""
        changes = {"seed": seed, "epochs": epochs, "protocol": protocol}
        changes = {key: value for key, value in changes.items() if value is not None}
        return replace(self, schedule=self._schedule_over(changes.get("epochs", self.epochs)), **changes)

    def images_per_epoch(self, images: int) -> int:
        """How many images an epoch shows of a balanced set of `images`, repeats included."""
        classes = max(5, len(self.class_repeats))
        total = sum(self.class_repeats.values()) + self.repeats * (classes - len(self.class_repeats))
        return round(images * total / classes)

    def steps(self, images: int) -> int:
        """Optimizer steps of the whole training on a balanced set of `images`."""
        return self.epochs * math.ceil(self.images_per_epoch(images) / self.batch_size)

    def expected_minutes(self, images: int) -> float | None:
        """Minutes that the training takes on two CPU cores, from measured speed; None where nobody measured.

        `benchmarks/training_speed.py` measures images per second and writes them beside this file.
        """
        speed = measured("images_per_second").get(f"{self.name}-{self.scale}")
        return None if speed is None else self.epochs * self.images_per_epoch(images) / speed / 60

    @property
    def parameters(self) -> int | None:
        """Trainable parameters for the author's channels and classes, as counted on the model; None: nobody did."""
        stated = self.claims.get("parameters") if self.scale == "full" else None  # a test counts these, too
        return measured("parameters").get(f"{self.name}-{self.scale}", stated)

    def to_dict(self) -> dict[str, Any]:
        """Everything in this recipe as JSON values."""
        return json.loads(json.dumps(asdict(self)))

    @property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that change with whatever changes the training.

        Only fields that differ from their default count, so that a field added later, with a default that keeps
        things as they were, leaves old runs valid.
        """
        values = {
            f.name: getattr(self, f.name)
            for f in fields(self)
            if f.name not in DESCRIPTION and getattr(self, f.name) != _default(f)
        }
        return hashlib.sha256(json.dumps(values, sort_keys=True, default=_counted).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class EnsembleRecipe:
    """Several trainings and a vote over them. It trains to a run that names its members.

    weights: one a member, for a soft or geometric vote; None weights all alike
    search_weights: the weights are searched on held-out probabilities when it trains; its members must hold images out
    """

    name: str
    title: str
    system: str
    members: tuple[Recipe, ...]
    vote: Literal["hard", "soft", "geometric"] = "hard"
    weights: tuple[float, ...] | None = None
    search_weights: bool = False
    seed: int = 0
    claims: dict[str, float] = field(default_factory=dict)
    source: str = ""

    def __post_init__(self) -> None:
        if not self.members:
            raise UserError(f"ensemble {self.name} has no members")
        if self.weights is not None and len(self.weights) != len(self.members):
            raise UserError(
                f"ensemble {self.name}: {len(self.members)} members but {len(self.weights)} weights received"
            )
        for aspect in ("scale", "protocol"):
            values = {getattr(member, aspect) for member in self.members}
            if len(values) > 1:
                raise UserError(f"ensemble {self.name}: members differ in {aspect}: {', '.join(sorted(values))}")
        if self.search_weights and (self.protocol != "held_out" or self.vote == "hard" or self.weights is not None):
            raise UserError(
                f"ensemble {self.name}: weights are searched for a soft or geometric vote, without weights of its own, "
                f"on held-out images alone; received vote {self.vote}, weights {self.weights}, protocol {self.protocol}"
            )

    @property
    def scale(self) -> str:
        return self.members[0].scale

    @property
    def protocol(self) -> str:
        return self.members[0].protocol

    def _map(self, change: typing.Callable[[Recipe], Recipe]) -> "EnsembleRecipe":
        return replace(self, members=tuple(change(member) for member in self.members))

    def quick(self) -> "EnsembleRecipe":
        return self._map(Recipe.quick)

    def compact(self) -> "EnsembleRecipe":
        return self._map(Recipe.compact)

    def at_scale(self, scale: str) -> "EnsembleRecipe":
        return self._map(lambda member: member.at_scale(scale))

    def with_options(
        self, seed: int | None = None, epochs: int | None = None, protocol: str | None = None
    ) -> "EnsembleRecipe":
        """Every member changed likewise; a seed is added to each member's own, so that they still differ."""
        shift = 0 if seed is None else seed - self.seed
        ensemble = self if seed is None else replace(self, seed=seed)
        return ensemble._map(lambda member: member.with_options(member.seed + shift, epochs, protocol))

    def expected_minutes(self, images: int) -> float | None:
        minutes = [member.expected_minutes(images) for member in self.members]
        return None if None in minutes else sum(minutes)

    def to_dict(self) -> dict[str, Any]:
        return json.loads(json.dumps(asdict(self)))

    @property
    def fingerprint(self) -> str:
        parts = [self.vote, self.weights, self.seed, [member.fingerprint for member in self.members]]
        parts += ["search_weights"] if self.search_weights else []
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def measured(what: str) -> dict[str, float]:
    """What benchmarks/training_speed.py measured: `images_per_second` on two CPU cores and the number of trainable
    `parameters`, both by `<recipe>-<scale>`; empty where nobody measured."""
    return read_json(SPEED_FILE)[what] if SPEED_FILE.exists() else {}


def asdict_shallow(value: Any) -> dict[str, Any]:
    """The fields of a dataclass by name, nested dataclasses left as they are."""
    return {f.name: getattr(value, f.name) for f in fields(value)}


def differences(old: Recipe, new: Recipe) -> list[tuple[str, Any, Any]]:
    """(field, old value, new value) for each field of the training that differs; arguments one by one."""
    changed = []
    for name in (f.name for f in fields(Recipe) if f.name not in DESCRIPTION and f.name != "name"):
        before, after = getattr(old, name), getattr(new, name)
        if name == "arguments":
            for key in sorted(before.keys() | after.keys()):
                if before.get(key) != after.get(key):
                    changed.append((f"arguments.{key}", before.get(key), after.get(key)))
        elif before != after:
            changed.append((name, before, after))
    return changed


def _counted(part: Any) -> dict[str, Any]:
    """What of an augmentation, a schedule or a stopping counts in a fingerprint."""
    return {
        f.name: getattr(part, f.name)
        for f in fields(part)
        if not (f.metadata.get("added") and getattr(part, f.name) == _default(f))
    }


def _default(f: Any) -> Any:
    if f.default_factory is not MISSING:
        return f.default_factory()
    return f.default
