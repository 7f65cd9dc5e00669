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
DESCRIPTION = ("title", "system", "claims", "source", "quick_scale", "compact_scale", "scale")
SPEED_FILE = Path(__file__).with_name("measured_speed.json")


@dataclass(frozen=True)
class ConstantRate:
    """The same learning rate at every step."""

    learning_rate: float
    kind: Literal["constant"] = "constant"

    def over_a_run(self, steps: int) -> "ConstantRate":
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

    def over_a_run(self, steps: int) -> "ExponentialRate":
        """The schedule that ends any run in the ratio to its start that this one reaches after `steps` steps."""
        if self.steps is None:
            return self
        return replace(self, factor=self.factor ** (steps / self.steps), steps=None)


Schedule = ConstantRate | ExponentialRate


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
    fill: what lies outside the image (nearest: the edge is repeated)
    """

    rotation: float = 0.0
    shift: float = 0.0
    zoom: float = 0.0
    horizontal_flip: bool = False
    fill: Literal["nearest", "constant", "reflect", "wrap"] = "nearest"


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
        `arguments`; parameters are counted on it at full scale for three channels and five classes
    image_size: height and width in pixels that the network sees
    framing: `resize` resamples the whole image to image_size; `crop` cuts image_size native pixels (the centre in
        evaluation; a random place in training where there is augmentation)
    repeats: how often an epoch shows every image; class_repeats overrides it by class name
    class_weights: `balanced` weights the loss by the inverse frequency of each class in an epoch
    source_images: training images in the author's data, of which a schedule's steps count
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
    normalisation: Literal["unit"] = "unit"
    augmentation: Augmentation | None = None
    loss: Literal["crossentropy"] = "crossentropy"
    optimizer: Literal["adam"] = "adam"
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
    claims: dict[str, float] = field(default_factory=dict)
    source: str = ""

    def __post_init__(self) -> None:
        positive = {"epochs": self.epochs, "batch_size": self.batch_size, "repeats": self.repeats}
        positive |= {f"class_repeats[{name!r}]": count for name, count in self.class_repeats.items()}
        positive |= {"image_size": min(self.image_size), "source_images": self.source_images}
        for name, value in positive.items():
            if value < 1:
                raise UserError(f"recipe {self.name}: {name} must be at least 1, received {value}")
        if self.seed < 0:
            raise UserError(f"recipe {self.name}: seed must not be negative, received {self.seed}")
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
        changes["schedule"] = self.schedule.over_a_run(self.steps(self.source_images))
        return replace(self, scale=name, **changes)

    def with_options(self, seed: int | None = None, epochs: int | None = None, protocol: str | None = None) -> "Recipe":
        """This recipe with another seed, number of epochs or protocol (None keeps what it has)."""
        changes = {"seed": seed, "epochs": epochs, "protocol": protocol}
        changes = {key: value for key, value in changes.items() if value is not None}
        if changes.get("epochs", self.epochs) != self.epochs:
            changes["schedule"] = self.schedule.over_a_run(self.steps(self.source_images))
        return replace(self, **changes)

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
        """Trainable parameters for three channels and five classes, as counted on the model; None where nobody did."""
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
        return hashlib.sha256(json.dumps(values, sort_keys=True, default=asdict).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class EnsembleRecipe:
    """Several trainings and a vote over them. It trains to a run that names its members."""

    name: str
    title: str
    system: str
    members: tuple[Recipe, ...]
    vote: Literal["hard", "soft"] = "hard"
    weights: tuple[float, ...] | None = None
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


def _default(f: Any) -> Any:
    if f.default_factory is not MISSING:
        return f.default_factory()
    return f.default
