"""Recipe and EnsembleRecipe: a training as data, with the small dataclasses that it is made of.

A recipe holds no code and reads nothing but itself. It goes to JSON and comes back; a field that is unknown or has the
wrong type is refused by its name, so that an edited recipe.json fails before anything expensive starts.
"""

import hashlib
import json
import math
import re
from collections import Counter
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, Self

from dfclib.errors import UserError
from dfclib.files import read_json
from dfclib.recipes.schedules import PlateauRate, Schedule

PrecisionName = Literal["auto", "float32", "mixed_bfloat16", "mixed_float16"]
Protocol = Literal["published", "held_out", "final"]
OURS = "ours"  # the system of recipes that no author published: every look at validation by them is noted
LARGEST_SEED = 2**32 - 1  # Keras and numpy take no more
# Where a recipe comes from and how it is shown, and not what is trained: left out of the fingerprint. Precision
# follows the device unless somebody says otherwise; a run records the one that it had.
DESCRIPTION = (
    *("title", "system", "attempt", "claims", "claims_note", "source", "source_epochs", "dataset", "reported_split"),
    *("quick_scale", "compact_scale", "scale", "given_epochs", "precision"),
)
SPEED_FILE = Path(__file__).with_name("measured_speed.json")


@dataclass(frozen=True)
class Dataset:
    """The images that an author trained on: how many, their height and width in pixels, channels and classes."""

    name: str
    images: int
    size: tuple[int, int]
    channels: int
    classes: int


COMPETITION = Dataset("deepfake-unibuc", images=12_500, size=(100, 100), channels=3, classes=5)
FASHION_MNIST = Dataset("fashion-mnist", images=54_000, size=(28, 28), channels=1, classes=10)


@dataclass(frozen=True)
class Stopping:
    """Stop after `patience` epochs without a better value of `monitor`; Recipe.keep says which epoch is kept."""

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
    interpolation: how a pixel is read between pixels; perspective_interpolation: the same for the images that are
        also distorted (None: no other way)
    shift_pixels: up to so many whole pixels, which does not resample; what comes in is the mirror image of the border.
        It is for recipes that resample in no other way
    erasing: the share of images in which a rectangle is made mid-grey
    cutmix: the share of batches in which a rectangle of each image is taken from the next one in the batch
        (S. Yun et al., ICCV 2019); mixup: the share of batches in which each image is blended with the next one
        (H. Zhang et al., ICLR 2018); a batch has one or the other, and labels are mixed by the same shares
    mixing_until: the share of the epochs, the first ones, in which batches are mixed
    """

    rotation: float = 0.0
    shift: float = 0.0
    zoom: float = 0.0
    horizontal_flip: bool = False
    fill: Literal["nearest", "constant", "reflect", "wrap"] = "nearest"
    interpolation: Literal["bilinear", "nearest"] = "bilinear"
    every_mirror: bool = False
    perspective: float = 0.0
    perspective_probability: float = 0.0
    perspective_interpolation: Literal["bilinear", "nearest"] | None = None
    shift_pixels: int = 0
    erasing: float = 0.0
    cutmix: float = 0.0
    mixup: float = 0.0
    mixing_until: float = 1.0

    @property
    def resamples(self) -> bool:
        """Whether an image may be read anywhere but at its own pixels."""
        return any((self.rotation, self.shift, self.zoom, self.perspective and self.perspective_probability))

    def __post_init__(self) -> None:
        # at 1 all four corners may meet in the middle, and nothing is left of the image
        _require(
            0 <= self.perspective < 1 and 0 <= self.perspective_probability <= 1,
            "perspective must be from 0 to below 1 and perspective_probability from 0 to 1, received "
            f"{self.perspective} and {self.perspective_probability}",
        )
        shares = (self.erasing, self.cutmix, self.mixup, self.cutmix + self.mixup, self.mixing_until)
        _require(
            all(0 <= share <= 1 for share in shares),
            "erasing, cutmix, mixup, cutmix and mixup together, and mixing_until must be from 0 to 1, received "
            f"{self.erasing}, {self.cutmix}, {self.mixup} and {self.mixing_until}",
        )
        _require(
            not (self.shift_pixels and self.resamples) and self.shift_pixels >= 0,
            "shift_pixels must be 0 or more, and goes without rotation, shift, zoom and perspective, received "
            f"{self.shift_pixels}",
        )


@dataclass(frozen=True)
class Scale:
    """Changes for a shorter training; None keeps the full recipe's value.

    patience: of early stopping, which counts epochs, and those of a small data set have few steps
    rate_factor: multiplies the schedule's learning rates all along; its shape stays
    interpolation: the augmentation's
    """

    epochs: int | None = None
    patience: int | None = None
    batch_size: int | None = None
    rate_factor: float | None = None
    image_size: tuple[int, int] | None = None
    framing: Literal["resize", "crop"] | None = None
    interpolation: Literal["bilinear", "nearest"] | None = None
    precision: PrecisionName | None = None


class _Trainable:
    """Scales and JSON of a training, and of a vote over several."""

    def quick(self) -> Self:
        """Seconds on the embedded data: shows that everything works, says nothing about the competition."""
        return self.at_scale("quick")

    def compact(self) -> Self:
        """Real images on two CPU cores: native pixels, fewer epochs where the author's take days."""
        return self.at_scale("compact")

    def to_dict(self) -> dict[str, Any]:
        """Everything in this recipe as JSON values."""
        return json.loads(json.dumps(asdict(self)))


@dataclass(frozen=True)
class Recipe(_Trainable):
    """One training.

    attempt: its label in the ladder of the six attempts; empty for any other training
    builder: dotted name of a function in dfclib.models, called with normalised pixels, the number of classes and
        `arguments` by name
    image_size: height and width in pixels that the network sees
    framing: `resize` brings the whole image to image_size, once, before training begins; `crop` cuts image_size native
        pixels (the centre in evaluation; a random place in training where there is augmentation)
    framing_interpolation: how `resize` enlarges (it always reduces with antialiasing); None: it has nothing to do
    repeats: how often an epoch shows every image; class_repeats overrides it by class name
    class_weights: `balanced` weights the loss by the inverse frequency of each class in an epoch
    normalisation: `unit` 0..1; `half` mean and deviation .5 of that; `imagenet` ImageNet's means and deviations (three
        channels); `training` mean and deviation of all pixels of the images trained on; `training_by_image` the
        averages of each image's own mean and deviation
    label_smoothing: the share of each target that is spread evenly over all classes
    average_over: the share of the run's steps that an exponential average of the weights reaches back; 0: none.
        The finished network takes the averaged weights, and batch normalisation's statistics of its own over the
        training images of the last epoch; validation while it trains is of the weights as they are then
    mirror_averaged: predictions are the mean of the probabilities of each image and its mirror image
    optimizer: `adam` with a weight_decay adds, as PyTorch's does, weight_decay * p to the gradient of every trainable
        tensor p (an L2 term weight_decay / 2 * sum(p^2)); `adamw` takes it off the tensor itself; `sgd` has a
        `momentum`, perhaps Nesterov's, and adds the same term to the gradients of all tensors but biases and those of
        batch normalisation; `muon` makes the momentum of convolutions' kernels orthogonal, and leaves the rest to Adam
    protocol: `published` watches the validation images; `held_out` holds a tenth of the training images out of training
        and watches these; `final` trains on all of them and watches none: the last epoch counts, and validation is
        looked at once, at the end
    keep: which epoch's weights the run ends with: the last one's, or those of the best val_loss or val_accuracy
    precision: `auto` follows the device (training.devices); no part of the fingerprint
    source_epochs: how many epochs the author's training really ran, where it stopped early
    given_epochs: a number of epochs that somebody asked for instead of the scale's
    claims: what the author states, parameters as a count, else fractions; claims_note: what must be said beside them
    reported_split: the images that the run is judged by
    """

    name: str
    title: str
    system: str
    builder: str
    arguments: dict[str, Any]
    epochs: int
    schedule: Schedule
    quick_scale: Scale
    compact_scale: Scale
    dataset: Dataset = COMPETITION
    attempt: str = ""
    image_size: tuple[int, int] = (128, 128)
    framing: Literal["resize", "crop"] = "resize"
    framing_interpolation: Literal["bilinear", "nearest"] | None = None
    normalisation: Literal["unit", "half", "imagenet", "training", "training_by_image"] = "unit"
    augmentation: Augmentation | None = None
    label_smoothing: float = 0.0
    optimizer: Literal["adam", "adamw", "sgd", "muon"] = "adam"
    weight_decay: float = 0.0
    momentum: float = 0.0
    nesterov: bool = False
    average_over: float = 0.0
    batch_size: int = 32
    stopping: Stopping | None = None
    keep: Literal["last", "best_val_loss", "best_val_accuracy"] = "last"
    repeats: int = 1
    class_repeats: dict[str, int] = field(default_factory=dict)
    class_weights: Literal["balanced"] | None = None
    mirror_averaged: bool = False
    protocol: Protocol = "published"
    precision: PrecisionName = "auto"
    seed: int = 0
    scale: Literal["quick", "compact", "full"] = "full"
    source_epochs: int | None = None
    given_epochs: int | None = None
    claims: dict[str, float] = field(default_factory=dict)
    claims_note: str = ""
    reported_split: Literal["held_out", "validation", "test"] = "validation"
    source: str = ""

    def __post_init__(self) -> None:
        check_name(self.name, "recipe name")
        who = f"recipe {self.name}"
        positive = {name: getattr(self, name) for name in ("epochs", "batch_size", "repeats")}
        positive |= {f"class_repeats[{name!r}]": count for name, count in self.class_repeats.items()}
        positive |= {"image_size": min(self.image_size), "dataset.images": self.dataset.images}
        for name, value in positive.items():
            _require(value >= 1, f"{who}: {name} must be at least 1, received {value}")
        for name in ("seed", "weight_decay", "momentum", "label_smoothing"):
            _require(getattr(self, name) >= 0, f"{who}: {name} must not be negative, received {getattr(self, name)}")
        _require(self.seed <= LARGEST_SEED, f"{who}: seed must be at most {LARGEST_SEED:,}, received {self.seed}")
        _require(self.label_smoothing < 1, f"{who}: label_smoothing must be below 1, received {self.label_smoothing}")
        if self.augmentation and self.augmentation.every_mirror:
            _require(self.repeats >= 2, f"{who}: every_mirror shows the mirror second: repeats must be at least 2")
        if self.optimizer not in ("sgd", "muon"):
            for unused in ("momentum", "nesterov"):
                _require(not getattr(self, unused), f"{who}: {self.optimizer} has no {unused}; leave it out")
        over = self.average_over
        _require(0 <= over <= 1, f"{who}: average_over is a share of the steps, from 0 to 1, received {over}")
        text = "ends with the last epoch, received keep"
        _require(not over or self.keep == "last", f"{who}: an average of the weights {text} {self.keep}")
        if self.protocol == "final":
            _require(self.keep == "last", f"{who}: the protocol final {text} {self.keep}")
            watching = self.stopping is not None or isinstance(self.schedule, PlateauRate)
            _require(
                not watching,
                f"{who}: the protocol final watches no images, and can neither stop early nor wait for a plateau",
            )
        fits = self.reported_split != "held_out" or self.protocol == "held_out"
        _require(fits, f"{who}: reported_split held_out needs protocol held_out, received {self.protocol}")
        known = self.builder.startswith("dfclib.models.")
        _require(known, f"{who}: builder must name a function in dfclib.models, received {self.builder!r}")

    @property
    def members(self) -> tuple["Recipe", ...]:
        """The single trainings that this is made of: itself."""
        return (self,)

    @property
    def mixes_labels(self) -> bool:
        """Whether a training image may show two classes: labels are then float32 shares of all classes (n, k)."""
        return self.augmentation is not None and self.augmentation.cutmix + self.augmentation.mixup > 0

    def at_scale(self, scale: str) -> "Recipe":
        """This recipe at `scale`: quick, compact or full. Raises UserError for another word."""
        if scale == self.scale:
            return self
        if self.scale != "full":
            raise UserError(f"recipe {self.name} is at scale {self.scale} already; only a full recipe can be rescaled")
        _require(scale in ("quick", "compact"), f"scale must be quick, compact or full, received {scale!r}")
        given = vars(self.quick_scale if scale == "quick" else self.compact_scale)
        changes = {name: value for name, value in given.items() if value is not None}
        interpolation = changes.pop("interpolation", None)
        if interpolation and self.augmentation:
            changes["augmentation"] = replace(self.augmentation, interpolation=interpolation)
        patience = changes.pop("patience", None)
        if patience and self.stopping:
            changes["stopping"] = replace(self.stopping, patience=patience)
        factor = changes.pop("rate_factor", 1)
        changes["schedule"] = self._schedule_over(changes.get("epochs", self.epochs)).multiplied(factor)
        return replace(self, scale=scale, **changes)

    def _schedule_over(self, epochs: int) -> Schedule:
        """The schedule for a run of `epochs`: last and first learning rate stand in the ratio of the author's run."""
        if epochs == self.epochs:
            return self.schedule
        ran = self.source_epochs or self.epochs
        return self.schedule.rescaled(ran, ran * self.steps_per_epoch(self.dataset.images))

    def with_options(
        self,
        seed: int | None = None,
        epochs: int | None = None,
        protocol: str | None = None,
        precision: str | None = None,
    ) -> "Recipe":
        """This recipe with another seed, number of epochs, protocol or precision (None keeps what it has)."""
        changes = {"seed": seed, "protocol": protocol, "precision": precision}
        if epochs not in (None, self.epochs):
            changes |= {"epochs": epochs, "given_epochs": epochs, "schedule": self._schedule_over(epochs)}
        return replace(self, **{key: value for key, value in changes.items() if value is not None})

    def images_per_epoch(self, images: int) -> int:
        """Count what an epoch shows, repeats included, of a balanced set of `images` of the author's classes."""
        classes = self.dataset.classes
        total = sum(self.class_repeats.values()) + self.repeats * (classes - len(self.class_repeats))
        return round(images * total / classes)

    def steps_per_epoch(self, images: int) -> int:
        """Optimizer steps of one epoch on a balanced set of `images`."""
        return math.ceil(self.images_per_epoch(images) / self.batch_size)

    def expected_minutes(self, images: int) -> float | None:
        """Minutes that the training takes on two CPU cores, from measured speed; None where nobody measured."""
        speed = measured("images_per_second").get(f"{self.name}-{self.scale}")
        return None if speed is None else self.epochs * self.images_per_epoch(images) / speed / 60

    @property
    def parameters(self) -> int | None:
        """Trainable parameters for the author's channels and classes, as counted on the model; None: nobody did."""
        stated = self.claims.get("parameters") if self.scale == "full" else None  # a test counts these, too
        return measured("parameters").get(f"{self.name}-{self.scale}", stated)

    @property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that change with whatever changes the training.

        What equals its default does not count, here and in every part: a field added later leaves old runs valid where
        its default means what was done before it.
        """
        values = {name: value for name, value in _counted(self).items() if name not in DESCRIPTION}
        return hashlib.sha256(json.dumps(values, sort_keys=True, default=_counted).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class EnsembleRecipe(_Trainable):
    """Several trainings and a vote over them. It trains to a run that names its members.

    weights: one per member, for a soft or geometric vote; None weights all alike
    search_weights: the weights are searched on held-out probabilities when it trains; its members must hold images out
    attempt, claims, claims_note, source: as a Recipe's
    """

    name: str
    title: str
    system: str
    members: tuple[Recipe, ...]
    vote: Literal["hard", "soft", "geometric"] = "hard"
    weights: tuple[float, ...] | None = None
    search_weights: bool = False
    seed: int = 0
    attempt: str = ""
    claims: dict[str, float] = field(default_factory=dict)
    claims_note: str = ""
    source: str = ""

    def __post_init__(self) -> None:
        check_name(self.name, "recipe name")
        who = f"ensemble {self.name}"
        _require(self.members, f"{who} has no members")
        for aspect in ("scale", "protocol", "reported_split"):
            values = sorted({getattr(member, aspect) for member in self.members})
            _require(len(values) == 1, f"{who}: members differ in {aspect}: {', '.join(values)}")
        for (name, seed), count in Counter((member.name, member.seed) for member in self.members).items():
            alike = f"{count} members are called {name} and have seed {seed}, and would train into one folder"
            _require(count == 1, f"{who}: {alike}: give each a name or a seed of its own")
        if self.weights is not None:
            n = len(self.weights)
            _require(n == len(self.members), f"{who}: {len(self.members)} members but {n} weights received")
        if self.search_weights:
            _require(
                self.protocol == "held_out" and self.vote != "hard" and self.weights is None,
                f"{who}: weights are searched for a soft or geometric vote, without weights of its own, on held-out "
                f"images alone; received vote {self.vote}, weights {self.weights}, protocol {self.protocol}",
            )

    # what all members have alike
    scale = property(lambda self: self.members[0].scale)
    protocol = property(lambda self: self.members[0].protocol)
    dataset = property(lambda self: self.members[0].dataset)
    reported_split = property(lambda self: self.members[0].reported_split)
    # a member that has as many by itself was not given any
    given_epochs = property(lambda self: next(filter(None, (member.given_epochs for member in self.members)), None))

    def at_scale(self, scale: str) -> "EnsembleRecipe":
        return replace(self, members=tuple(member.at_scale(scale) for member in self.members))

    def with_options(self, seed: int | None = None, *options: Any, **named: Any) -> "EnsembleRecipe":
        """Every member changed as by Recipe's. Votes of two seeds have no training in common: a member's seed grows by
        as many as the vote has members of its name, for each by which the vote's grows."""
        given = self.seed if seed is None else seed
        names = Counter(member.name for member in self.members)
        seeds = [member.seed + (given - self.seed) * names[member.name] for member in self.members]
        members = (m.with_options(own, *options, **named) for m, own in zip(self.members, seeds, strict=True))
        return replace(self, seed=given, members=tuple(members))

    def expected_minutes(self, images: int) -> float | None:
        minutes = [member.expected_minutes(images) for member in self.members]
        return None if None in minutes else sum(minutes)

    @property
    def fingerprint(self) -> str:
        parts = [self.vote, self.weights, self.seed, [member.fingerprint for member in self.members]]
        parts += ["search_weights"] if self.search_weights else []
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def check_name(name: Any, where: str) -> None:
    """Raise UserError where `name` is no plain name of a folder, and could lead out of its own."""
    plain = isinstance(name, str) and re.fullmatch(r"[a-z0-9][a-z0-9-]{0,199}", name)
    received = json.dumps(name, default=str)[:80]
    _require(plain, f"{where} must be lower-case letters, digits and dashes, as it names a folder; received {received}")


def measured(what: str) -> dict[str, float]:
    """Results of benchmarks/training_speed.py: `images_per_second` on two CPU cores, or the number of trainable
    `parameters`, by `<recipe>-<scale>`; empty before it has run."""
    return read_json(SPEED_FILE)[what] if SPEED_FILE.exists() else {}


def differences(old: Recipe, new: Recipe) -> list[tuple[str, Any, Any]]:
    """(field, old value, new value) for each field of the training that differs; arguments and the augmentation's
    parts one by one."""
    before, after = training_fields(old), training_fields(new)
    if (old.augmentation is None) != (new.augmentation is None):  # listed by its parts
        for side in (before, after):
            side.pop("augmentation", None)
    order = [f.name for f in fields(Recipe)]
    names = sorted({**before, **after}, key=lambda name: order.index(name.partition(".")[0]))
    changes = [(name, before.get(name, MISSING), after.get(name, MISSING)) for name in names]
    return [(name, before.get(name), after.get(name)) for name, one, other in changes if one != other]


def training_fields(recipe: Recipe) -> dict[str, Any]:
    """The fields of the training by name; parts of `arguments` and `augmentation` one by one, by dotted names."""
    values: dict[str, Any] = {}
    for name, value in vars(recipe).items():
        if name == "arguments" or (name == "augmentation" and value is not None):
            parts = value if name == "arguments" else vars(value)
            values |= {f"{name}.{key}": part for key, part in parts.items()}
        elif name not in (*DESCRIPTION, "name"):
            values[name] = value
    return values


def _counted(part: Any) -> dict[str, Any]:
    """Fields of a recipe or a part that count in a fingerprint: those not at their default, and a schedule's kind."""
    defaults = {f.name: f.default if f.default_factory is MISSING else f.default_factory() for f in fields(part)}
    return {name: value for name, value in vars(part).items() if name == "kind" or value != defaults[name]}


def _require(fits: Any, message: str) -> None:
    if not fits:
        raise UserError(message)
