"""Recipes: through JSON and back, refused by field, fingerprints, scales."""

import copy
import inspect
import json
import math
import sys
from collections import Counter
from dataclasses import dataclass, fields, replace

import pytest

from dfclib import recipes
from dfclib.datasets.generated import animals
from dfclib.errors import UserError
from dfclib.files import write_json
from dfclib.recipes import EnsembleRecipe, Recipe, all_recipes, differences, find, from_dict, load
from dfclib.recipes import recipe as recipe_module
from dfclib.recipes.recipe import COMPETITION, DESCRIPTION, FASHION_MNIST, Augmentation, Dataset, Scale, Stopping
from dfclib.recipes.schedules import ConstantRate, CosineRate, ExponentialRate, PlateauRate, StepRate
from dfclib.runs import Run, run_name
from dfclib.training.optimisation import learning_rate_schedule

SCALES = ("quick", "compact", "full")
STORY = ("attempt1", "attempt2", "attempt3", "attempt4", "attempt5", "attempt6", "attempt6-vote")
MEMBERS = tuple(f"attempt3-{letter}" for letter in "abcdefghij")
SINGLE = ("attempt1", "attempt2", "attempt4", "attempt5", "attempt6", *MEMBERS)
S3_MEMBERS = ("s3-base", "s3-head128", "s3-decay", "s3-rotation")
OTHERS = (
    *("s1-v1", "s1-v2", "s1-vote", "s1-vote-searched", "s2-cnn", "s2-mlp", "s2-mlp-augmented"),
    *(*S3_MEMBERS, "s3-vote", "s3-report", "s3-two-pools", "s3-mlp", "s4-author", "s4-ours"),
    *("sprint", "sprint-vote"),
    *("resampling-bilinear", "resampling-enlarged", "resampling-nearest"),
)
ALL = (*STORY, *OTHERS)
RESAMPLING = ALL[-3:]


def test_the_story_s_order_and_names():
    assert tuple(recipe.name for recipe in all_recipes()) == ALL
    assert all(recipe.scale == "full" for recipe in all_recipes())
    held_out = [recipe.name for recipe in all_recipes() if recipe.protocol != "published"]
    # weights that are not chosen on validation, ours, and an experiment that leaves validation alone
    assert held_out == ["s1-vote-searched", "sprint", "sprint-vote", *RESAMPLING]
    reported = {recipe.name: recipe.reported_split for recipe in all_recipes()}
    assert {name for name, split in reported.items() if split == "held_out"} == set(RESAMPLING)
    assert {name for name, split in reported.items() if split == "test"} == {"s4-author", "s4-ours"}
    assert tuple(member.name for member in find("attempt3").members) == MEMBERS
    vote = find("attempt6-vote").members
    assert [(m.name, m.seed) for m in vote[:3]] == [("attempt4", 0), ("attempt5", 0), ("attempt6", 0)]
    assert [m.name for m in vote[3:]] == ["attempt6", "attempt6"]
    assert len({m.seed for m in vote[2:]}) == 3
    assert tuple(member.name for member in find("s3-vote").members) == S3_MEMBERS
    assert len({m.seed for m in find("s3-vote").members}) == 4
    assert (find("s1-vote").weights, [m.name for m in find("s1-vote").members]) == ((0.45, 0.55), ["s1-v1", "s1-v2"])


def test_find_gives_full_recipes_and_near_matches():
    assert find("attempt6").seed == 0
    assert find("attempt3-c").arguments == find("attempt1").arguments | {"units": 192}
    with pytest.raises(UserError, match="no recipe is called 'atempt5': did you mean attempt5"):
        find("atempt5")
    with pytest.raises(UserError, match="known are attempt1, attempt2"):
        find("zzz")


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", [*ALL, *MEMBERS])
def test_through_json_and_back(name, scale):
    recipe = find(name).at_scale(scale)
    again = from_dict(json.loads(json.dumps(recipe.to_dict())))
    assert again == recipe
    assert again.fingerprint == recipe.fingerprint
    assert again.scale == scale


def test_load_reads_a_recipe_alone_or_a_run_s(tmp_path):
    recipe = find("attempt4").quick()
    write_json(tmp_path / "alone.json", recipe.to_dict())
    write_json(tmp_path / "run.json", {"name": "a run", "recipe": recipe.to_dict(), "data": {}})
    assert load(tmp_path / "alone.json") == load(tmp_path / "run.json") == recipe
    write_json(tmp_path / "list.json", [1])
    with pytest.raises(UserError, match="list.json: expected an object"):
        load(tmp_path / "list.json")


def edited(recipe, path, value):
    """recipe as a dict in which the field at the dotted `path` is `value`."""
    values = copy.deepcopy(recipe.to_dict())
    *parents, last = path.split(".")
    target = values
    for key in parents:
        target = target[int(key) if key.isdigit() else key]
    target[last] = value
    return values


BAD_FIELDS = [
    ("learning_rate", 1e-3),
    ("epochs", "ten"),
    ("epochs", True),
    ("epochs", 2.5),
    ("epochs", 0),
    ("batch_size", None),
    ("batch_size", -1),
    ("repeats", 0),
    ("seed", "0"),
    ("seed", -1),
    ("name", "Attempt 4!"),
    ("name", 4),
    ("title", None),
    ("builder", "os.system"),
    ("image_size", 128),
    ("image_size", [128]),
    ("image_size", [128, "128"]),
    ("image_size", [0, 128]),
    ("framing", "squeeze"),
    ("loss", "mse"),
    ("optimizer", ["adam"]),
    ("precision", "float8"),
    ("precision", None),
    ("interpolation", "nearest"),  # it moved into the augmentation
    ("framing_interpolation", "bicubic"),
    ("framing_interpolation", 1),
    ("keep", "best"),
    ("keep", None),
    ("source_epochs", 1.5),
    ("given_epochs", "3"),
    ("attempt", 4),
    ("reported_split", "train"),
    ("reported_split", "held_out"),  # attempt4's protocol is published
    ("claims_note", None),
    ("arguments", None),
    ("source_images", 12_500),
    ("dataset", "fashion-mnist"),
    ("dataset.size", [100]),
    ("dataset.images", 0),
    ("dataset.license", "none"),
    ("augmentation.interpolation", "bicubic"),
    ("augmentation.perspective_interpolation", "bicubic"),
    ("protocol", "mine"),
    ("class_weights", "even"),
    ("arguments", [1, 2]),
    ("claims", {"validation": None}),
    ("claims", {"validation": float("nan")}),
    ("class_repeats", {"4": "three"}),
    ("class_repeats", {"4": 0}),
    ("schedule", None),
    ("schedule", {"kind": "triangle", "learning_rate": 1.0}),
    ("normalisation", "imagenett"),
    ("optimizer", "lion"),
    ("label_smoothing", "0.1"),
    ("label_smoothing", 1.0),
    ("label_smoothing", -0.1),
    ("weight_decay", -1e-4),
    ("weight_decay", None),
    ("momentum", 0.9),  # attempt4's optimizer is Adam
    ("augmentation.every_mirror", 1),
    ("augmentation.perspective", "0.2"),
    ("schedule", {"learning_rate": 1.0}),
    ("schedule.factor", "x"),
    ("schedule.steps", 1.5),
    ("schedule.learning_rate", True),
    ("schedule.warmup", 10),
    ("stopping", 5),
    ("stopping.patience", 1.5),
    ("stopping.monitor", "loss"),
    ("stopping.min_delta", 0.1),
    ("stopping.restore_best", True),  # Recipe.keep says it
    ("augmentation.rotation", "far"),
    ("augmentation.rotation", float("inf")),
    ("augmentation.fill", "mirror"),
    ("augmentation.horizontal_flip", 1),
    ("augmentation.shear", 0.1),
    ("quick_scale", None),
    ("quick_scale.epochs", "4"),  # None keeps the full recipe's
    ("quick_scale.optimizer", 8),
    ("compact_scale.image_size", [48, None]),
]


@pytest.mark.parametrize(("path", "value"), BAD_FIELDS, ids=[f"{p}={v}" for p, v in BAD_FIELDS])
def test_an_unknown_or_ill_typed_field_is_refused_by_its_name(path, value):
    with pytest.raises(UserError) as raised:
        from_dict(edited(find("attempt4"), path, value), where="my.json")
    assert path.split(".")[0] in str(raised.value)
    assert path.split(".")[-1] in str(raised.value)


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        ("members.3.epochs", "ten", "members[3].epochs"),
        ("members.0.bogus", 1, "bogus"),
        ("members.0.schedule.learning_rate", None, "members[0].schedule.learning_rate"),
        ("members", [], "no members"),
        ("members", {"a": 1}, "members"),
        ("vote", "loud", "vote"),
        ("weights", [1.0], "1 weights"),
        ("weights", ["a"] * 10, "weights[0]"),
        ("epochs", 3, "epochs"),
    ],
)
def test_an_ensemble_s_fields_are_refused_likewise(path, value, named):
    with pytest.raises(UserError) as raised:
        from_dict(edited(find("attempt3"), path, value))
    assert named in str(raised.value)


@pytest.mark.parametrize(
    ("path", "field"),
    [
        *[("", "epochs"), ("", "name"), ("", "arguments"), ("", "quick_scale"), ("", "compact_scale")],
        *[("schedule", "factor"), ("stopping", "patience"), ("dataset", "size")],
    ],
)
def test_a_missing_field_is_named(path, field):
    values = find("attempt4").to_dict()
    del (values[path] if path else values)[field]
    with pytest.raises(UserError, match=f"'{field}' is missing"):
        from_dict(values)


def test_members_must_agree_on_scale_and_protocol():
    first = find("attempt1")
    with pytest.raises(UserError, match="differ in scale"):
        replace(find("attempt3"), members=(first, first.quick()))
    with pytest.raises(UserError, match="differ in protocol"):
        replace(find("attempt3"), members=(first, replace(first, protocol="held_out")))
    with pytest.raises(UserError, match="differ in reported_split: test, validation"):
        replace(find("attempt3"), members=(first, replace(first, reported_split="test")))


# For each field of the training another value than attempt4's.
OTHER_TRAINING = {
    "name": "other",
    "builder": "dfclib.models.six_attempts.plain_cnn",
    "epochs": 21,
    "schedule": ExponentialRate(1e-4, 1.5, 10_001),
    "arguments": find("attempt4").arguments | {"hidden_l2": 1e-5},
    "image_size": (128, 127),
    "framing": "crop",
    "framing_interpolation": "bilinear",
    "augmentation": Augmentation(rotation=12, shift=0.1, zoom=0.05),
    "normalisation": "half",
    "label_smoothing": 0.1,
    "optimizer": "adamw",
    "weight_decay": 1e-4,
    "batch_size": 33,
    "stopping": Stopping("val_accuracy", 5),
    "keep": "last",
    "repeats": 1,
    "class_repeats": {"3": 3},
    "class_weights": "balanced",
    "mirror_averaged": True,
    "protocol": "held_out",
    "seed": 1,
}
NOT_ATTEMPT_4 = {
    "momentum",
    "nesterov",
    "average_over",
}  # its Adam has neither of the first two, and it keeps its best epoch
OTHER_DESCRIPTION = {
    "title": "t",
    "system": "S9",
    "attempt": "4b",
    "claims": {},
    "claims_note": "what must be said",
    "source": "s",
    "source_epochs": 20,
    "dataset": FASHION_MNIST,
    "reported_split": "test",
    "quick_scale": Scale(1),
    "compact_scale": Scale(1),
    "scale": "quick",
    "given_epochs": 20,
    "precision": "mixed_bfloat16",
}


def test_these_tables_cover_every_field():
    assert {f.name for f in fields(Recipe)} == {*OTHER_TRAINING, *NOT_ATTEMPT_4, *OTHER_DESCRIPTION}
    assert set(DESCRIPTION) == set(OTHER_DESCRIPTION)
    for field, value in {**OTHER_TRAINING, **OTHER_DESCRIPTION}.items():
        assert getattr(find("attempt4"), field) != value, field


@pytest.mark.parametrize("field", OTHER_TRAINING)
def test_each_training_field_changes_the_fingerprint(field):
    recipe = find("attempt4")
    other = replace(recipe, **{field: OTHER_TRAINING[field]})
    assert other.fingerprint != recipe.fingerprint
    if field != "name":  # of a run with another name nobody asks what differs
        assert [name.split(".")[0] for name, _, _ in differences(recipe, other)] == [field]


@pytest.mark.parametrize(("field", "value"), [("momentum", 0.8), ("nesterov", True), ("average_over", 0.1)])
def test_what_attempt_4_does_not_have_changes_the_fingerprint_of_what_has_it(field, value):
    recipe = replace(find("s2-cnn"), keep="last")
    other = replace(recipe, **{field: value})
    assert other.fingerprint != recipe.fingerprint
    assert differences(recipe, other) == [(field, getattr(recipe, field), value)]


@pytest.mark.parametrize("field", OTHER_DESCRIPTION)
def test_no_description_changes_the_fingerprint(field):
    recipe = find("attempt4")
    other = replace(recipe, **{field: OTHER_DESCRIPTION[field]})
    assert other.fingerprint == recipe.fingerprint
    assert differences(recipe, other) == []


def test_a_kind_of_schedule_counts_even_where_its_numbers_agree():
    constant = replace(find("attempt4"), schedule=ConstantRate(1e-4))
    assert constant.fingerprint != find("attempt4").fingerprint


def test_an_ensemble_s_fingerprint_follows_members_vote_weights_and_seed():
    ensemble = find("attempt6-vote")
    changed = [
        replace(ensemble, vote="soft"),
        replace(ensemble, weights=(1.0,) * 5),
        replace(ensemble, seed=1),
        replace(ensemble, members=ensemble.members[:4]),
        replace(ensemble, members=(replace(ensemble.members[0], epochs=1), *ensemble.members[1:])),
        replace(ensemble, members=ensemble.members[::-1]),
    ]
    assert len({ensemble.fingerprint, *(e.fingerprint for e in changed)}) == 7
    described = replace(ensemble, title="t", claims={}, source="", attempt="", claims_note="n")
    assert described.fingerprint == ensemble.fingerprint


def test_fingerprints_differ_between_recipes_and_scales_that_change_something():
    by_fingerprint = {}
    for name in [*ALL, *MEMBERS]:
        for scale in SCALES:
            by_fingerprint.setdefault(find(name).at_scale(scale).fingerprint, []).append((name, scale))
    shared = [found for found in by_fingerprint.values() if len(found) > 1]
    # where compact is the author's training on two cores, it is the same one
    same = [name for name in ALL if name.startswith(("s1", "s2", "s4", "sprint", "resampling"))]
    assert sorted(shared) == sorted([(name, "compact"), (name, "full")] for name in same)


def defaults_of(part):
    """Names of the fields of a recipe or of one of its parts that have their default."""
    return [f.name for f in fields(part) if f.name not in recipe_module._counted(part)]


@pytest.mark.parametrize("name", ["attempt1", "attempt4", "s1-v1", "s2-cnn", "s4-ours"])
def test_what_equals_its_default_does_not_count_at_any_depth(name):
    """Any field, of a recipe or of a part, may be one that came after a run was recorded."""
    recipe = find(name)
    values = recipe.to_dict()
    removed = 0
    for part, into in [
        (recipe, values),
        (recipe.augmentation, values["augmentation"]),
        (recipe.stopping, values["stopping"]),
        (recipe.schedule, values["schedule"]),
    ]:
        for field in defaults_of(part) if part else ():
            if field != "kind":  # a schedule's, which tells what it is
                removed += into.pop(field, field) is not field
    assert removed > 5
    assert from_dict(values) == recipe
    assert from_dict(values).fingerprint == recipe.fingerprint


def test_a_field_that_came_later_leaves_fingerprints_and_counts_where_it_is_not_its_default():
    recipe = find("attempt4")

    @dataclass(frozen=True)
    class LaterAugmentation(Augmentation):
        shear: float = 0.0

    @dataclass(frozen=True)
    class LaterStopping(Stopping):
        after: int = 0

    @dataclass(frozen=True)
    class LaterRate(ExponentialRate):
        warmup: int = 0

    for field, kind, new in [
        ("augmentation", LaterAugmentation, {"shear": 0.1}),
        ("stopping", LaterStopping, {"after": 2}),
        ("schedule", LaterRate, {"warmup": 5}),
    ]:
        part = getattr(recipe, field)
        values = {f.name: getattr(part, f.name) for f in fields(part)}
        assert replace(recipe, **{field: kind(**values)}).fingerprint == recipe.fingerprint
        assert replace(recipe, **{field: kind(**values, **new)}).fingerprint != recipe.fingerprint


def test_an_augmentation_of_nothing_is_not_none():
    """A crop moves where there is an augmentation: it counts although all its fields are their defaults."""
    recipe = find("attempt1")
    assert recipe.augmentation is None
    assert replace(recipe, augmentation=Augmentation()).fingerprint != recipe.fingerprint


# Another value than the default for each field of the augmentation.
OTHER_AUGMENTATION = {
    "rotation": 13,
    "shift": 0.2,
    "zoom": 0.1,
    "horizontal_flip": False,
    "fill": "constant",
    "interpolation": "nearest",
    "every_mirror": True,
    "perspective": 0.2,
    "perspective_probability": 0.3,
    "perspective_interpolation": "nearest",
    "shift_pixels": 3,
    "erasing": 0.2,
    "cutmix": 0.4,
    "mixup": 0.2,
    "mixing_until": 0.75,
}


def test_each_part_of_the_augmentation_counts():
    recipe = replace(find("attempt4"), augmentation=Augmentation(horizontal_flip=True))
    assert set(OTHER_AUGMENTATION) == {f.name for f in fields(Augmentation)}
    changed = [
        replace(recipe, augmentation=replace(recipe.augmentation, **{name: value}))
        for name, value in OTHER_AUGMENTATION.items()
    ]
    assert len({recipe.fingerprint, *(r.fingerprint for r in changed)}) == 1 + len(OTHER_AUGMENTATION)


def test_precision_dataset_and_claims_are_no_part_of_an_ensemble_s_fingerprint_either():
    ensemble = find("attempt6-vote")
    assert ensemble.with_options(precision="mixed_float16").fingerprint == ensemble.fingerprint
    members = tuple(replace(member, dataset=FASHION_MNIST, claims={}) for member in ensemble.members)
    assert replace(ensemble, members=members).fingerprint == ensemble.fingerprint


SCHEDULES = [
    ConstantRate(1e-3),
    CosineRate(1e-3, 1e-5),
    CosineRate(1e-3, 1e-6),
    CosineRate(1e-3, 1e-5, warm_up=0.1),
    StepRate(1e-3, 0.5, 7),
    StepRate(1e-3, 0.5, 5),
    StepRate(1e-3, 0.5, None, drops=7),
    PlateauRate(1e-3, 0.5, 5),
    PlateauRate(1e-3, 0.5, 6),
    PlateauRate(1e-3, 0.5, 5, "val_loss"),
    PlateauRate(1e-3, 0.5, 5, threshold=1e-3),
]


def test_every_number_of_a_schedule_counts_and_goes_through_json():
    recipes = [replace(find("attempt4"), schedule=schedule) for schedule in SCHEDULES]
    assert len({recipe.fingerprint for recipe in recipes}) == len(recipes)
    assert [from_dict(json.loads(json.dumps(recipe.to_dict()))) for recipe in recipes] == recipes


def test_differences_names_arguments_one_by_one():
    changes = {name: (old, new) for name, old, new in differences(find("attempt5"), find("attempt6"))}
    assert changes["arguments.filters"] == ([48, 96, 192], [32, 70, 160])
    assert changes["arguments.kernels"] == ([3, 3, 3], [3, 5, 3])
    assert changes["augmentation.zoom"] == (0.1, 0.3)
    assert changes["class_repeats"] == ({"4": 3}, {})
    assert "arguments.hidden_l2" not in changes
    assert "augmentation.rotation" not in changes
    assert {"epochs", "source_epochs", "keep"} & set(changes) == set()


def test_differences_of_an_augmentation_that_is_not_there_are_its_parts():
    changes = {name: (old, new) for name, old, new in differences(find("attempt2"), find("attempt4"))}
    assert changes["augmentation.rotation"] == (None, 12)
    assert "augmentation" not in changes


# Last learning rate over first of the author's training: factor ** (steps of the whole training / schedule's steps).
# Steps: epochs * ceil(images shown an epoch / 32), of 12,500 images in five equal classes.
FOURTH_EPOCH, SIXTH_EPOCH = math.ceil(2_500 * (4 * 2 + 3) / 32), math.ceil(2_500 * 5 * 2 / 32)
FULL_RATIO = {
    "attempt1": 1.0,
    "attempt2": 1.0,
    "attempt4": 1.5 ** (20 * FOURTH_EPOCH / 10_000),
    "attempt5": 1.7 ** (80 * FOURTH_EPOCH / 10_000),
    "attempt6": 0.95 ** (80 * SIXTH_EPOCH / 1_000),
    "s2-cnn": 0.5**8,  # halved after 7, 14, ... 56 of 60 epochs
    "s2-mlp": 0.5**2,  # after 5 and 10 of 15
    "s3-base": 1e-5 / 1e-3,
    "s4-ours": 1e-5 / 2e-3,
}
# Over what really ran before early stopping, 19, 48 and 37 epochs: another length is rescaled from that.
RAN_RATIO = FULL_RATIO | {
    "attempt4": 1.5 ** (19 * FOURTH_EPOCH / 10_000),
    "attempt5": 1.7 ** (48 * FOURTH_EPOCH / 10_000),
    "attempt6": 0.95 ** (37 * SIXTH_EPOCH / 1_000),
}


def first_and_last(recipe, images=None):
    """Learning rates of the first step and of the one after the last (a rate in steps: of the last one)."""
    steps = recipe.steps_per_epoch(images or recipe.dataset.images)
    rate, total = learning_rate_schedule(recipe, steps), recipe.epochs * steps
    last = total - 1 if isinstance(recipe.schedule, StepRate) else total
    return tuple(float(rate(step)) if callable(rate) else rate for step in (0, last))


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", FULL_RATIO)
def test_a_rescaled_schedule_keeps_the_ratio_of_last_to_first(name, scale):
    full, recipe = find(name), find(name).at_scale(scale)
    rescaled = recipe.epochs != full.epochs
    # a rescaled one: of any number of images
    first, last = first_and_last(recipe, 350 if rescaled else None)
    assert last / first == pytest.approx((RAN_RATIO if rescaled else FULL_RATIO)[name], rel=1e-4)
    factor = (full.quick_scale.rate_factor or 1) if scale == "quick" else 1
    assert first == pytest.approx(factor * full.schedule.learning_rate, rel=1e-6)


@pytest.mark.parametrize("name", FULL_RATIO)
def test_another_number_of_epochs_keeps_the_ratio_too(name):
    recipe = find(name).with_options(epochs=3)
    first, last = first_and_last(recipe, 350)
    assert recipe.epochs == 3
    assert last / first == pytest.approx(RAN_RATIO[name], rel=1e-4)
    quick = find(name).quick()
    first, last = first_and_last(quick.with_options(epochs=3), 350)
    assert last / first == pytest.approx(RAN_RATIO[name], rel=1e-4)


def test_a_scale_with_the_author_s_epochs_has_his_schedule_to_the_step():
    """shared/systems.md: 19, 48 and 37 epochs ran, of 20, 80 and 80 that were allowed."""
    assert [find(f"attempt{n}").source_epochs for n in (1, 2, 4, 5, 6)] == [None, None, 19, 48, 37]
    assert find("attempt4").compact().schedule == find("attempt4").schedule == ExponentialRate(1e-4, 1.5, 10_000)


@pytest.mark.parametrize(
    ("schedule", "source", "expected"),
    [
        (ConstantRate(1e-3), (10, 100), ConstantRate(1e-3)),
        (CosineRate(1e-3, 1e-5), (10, 100), CosineRate(1e-3, 1e-5)),
        (PlateauRate(1e-3, 0.5, 5), (150, 15_000), PlateauRate(1e-3, 0.5, 5)),
        (ExponentialRate(1e-3, 4.0, 100), (7, 350), ExponentialRate(1e-3, 128.0, None)),
        (ExponentialRate(1e-3, 4.0, 100), (1, 50), ExponentialRate(1e-3, 2.0, None)),
        (ExponentialRate(1e-3, 0.5, None), (7, 350), ExponentialRate(1e-3, 0.5, None)),  # over any run already
        (StepRate(1e-2, 0.5, 7), (60, 1), StepRate(1e-2, 0.5, None, drops=8)),
        (StepRate(1e-2, 0.5, 7), (56, 1), StepRate(1e-2, 0.5, None, drops=7)),  # the eighth never came
        (StepRate(1e-2, 0.5, 7), (7, 1), StepRate(1e-2, 0.5, None, drops=0)),
        (StepRate(1e-2, 0.5, None, drops=3), (60, 1), StepRate(1e-2, 0.5, None, drops=3)),
    ],
)
def test_rescaling_a_schedule(schedule, source, expected):
    assert schedule.rescaled(*source) == expected


@pytest.mark.parametrize("changes", [{}, {"epochs": 75}, {"epochs": 12}, {"epochs": 300}, "compact", "quick"])
def test_a_plateau_s_patience_is_the_author_s_number_of_epochs(changes):
    full = find("s1-v1")
    recipe = full.at_scale(changes) if isinstance(changes, str) else full.with_options(**changes)
    assert recipe.schedule == full.schedule == PlateauRate(5e-4, 0.5, 5)
    assert recipe.stopping == full.stopping == Stopping("val_accuracy", 15)


# a number of epochs that somebody asked for


@pytest.mark.parametrize("name", ["attempt1", "attempt5", "s1-v1", "s2-cnn", "s3-base", "attempt6-vote"])
@pytest.mark.parametrize("scale", SCALES)
def test_the_epochs_that_a_scale_has_leave_no_trace_when_asked_for(name, scale):
    for recipe in find(name).at_scale(scale).members:
        assert recipe.with_options(epochs=recipe.epochs) == recipe
        assert recipe.given_epochs is None
        other = recipe.with_options(epochs=recipe.epochs + 1)
        assert (other.epochs, other.given_epochs) == (recipe.epochs + 1,) * 2
        assert other.fingerprint != recipe.fingerprint
        assert from_dict(other.to_dict()) == other


def test_epochs_that_somebody_asked_for_stand_in_the_run_s_name():
    recipe = find("attempt5").compact()
    assert run_name(recipe, "tiny") == "attempt5-compact-tiny-published-seed0"
    given = recipe.with_options(epochs=3, seed=2)
    assert run_name(given, "tiny") == "attempt5-compact-3-epochs-tiny-published-seed2"
    assert run_name(recipe.with_options(epochs=12), "tiny") == run_name(recipe, "tiny")
    vote = find("attempt6-vote").compact()
    assert vote.given_epochs is None
    assert run_name(vote.with_options(epochs=3), "tiny") == "attempt6-vote-compact-3-epochs-tiny-published-seed0"


@pytest.mark.parametrize("scale", SCALES)
def test_a_run_of_given_epochs_is_current(finished, tmp_path, scale):
    def run_of(recipe):
        file = dict(finished.recipe_file) | {"recipe": recipe.to_dict(), "recipe_fingerprint": recipe.fingerprint}
        write_json(tmp_path / "recipe.json", file)
        return Run(tmp_path)

    recipe = find("attempt5").at_scale(scale)
    given = recipe.with_options(epochs=3, seed=4, protocol="held_out", precision="mixed_bfloat16")
    assert run_of(given).is_current
    assert run_of(given).scale_text == f"{scale}, 3 epochs"
    assert run_of(recipe).is_current
    assert run_of(recipe).scale_text == scale
    # as many epochs, but with the schedule of another length: nobody gets that by asking
    assert not run_of(replace(recipe, epochs=3, given_epochs=3, schedule=ConstantRate(1e-3))).is_current
    assert not run_of(replace(given, given_epochs=None)).is_current
    assert run_of(replace(given, batch_size=7)).scale_text == f"{scale}, 3 epochs, earlier recipe"


def test_images_and_steps_an_epoch():
    assert find("attempt4").images_per_epoch(12_500) == 27_500
    assert find("attempt6").images_per_epoch(12_500) == 25_000
    assert find("attempt1").steps_per_epoch(12_500) == 391
    assert find("attempt4").steps_per_epoch(12_500) == 860


def test_images_an_epoch_count_the_dataset_s_classes():
    """One class of ten shown twice is a tenth more; of five it would be a fifth."""
    garments = replace(find("s4-ours"), class_repeats={"3": 2})
    assert garments.dataset.classes == 10
    assert garments.images_per_epoch(10_000) == 11_000
    assert replace(garments, dataset=COMPETITION).images_per_epoch(10_000) == 12_000
    thrice = replace(garments, repeats=2, class_repeats={"3": 3, "4": 1})
    assert thrice.images_per_epoch(10_000) == 1_000 * (8 * 2 + 3 + 1)
    assert garments.steps_per_epoch(10_000) == math.ceil(11_000 / 128)


def test_datasets_are_the_authors():
    assert Dataset("deepfake-unibuc", 12_500, (100, 100), 3, 5) == COMPETITION
    assert Dataset("fashion-mnist", 54_000, (28, 28), 1, 10) == FASHION_MNIST
    for recipe in all_recipes():
        assert recipe.dataset == (FASHION_MNIST if recipe.system == "S4" else COMPETITION)
        assert all(member.dataset == recipe.dataset for member in recipe.members)


def test_a_recipe_s_only_member_is_itself():
    recipe = find("attempt4")
    assert recipe.members == (recipe,)
    assert "members" not in recipe.to_dict()


COMPACT_EPOCHS = {
    **{"attempt1": 10, "attempt2": 10, "attempt4": 20, "attempt5": 12, "attempt6": 12, **dict.fromkeys(MEMBERS, 10)},
    **{"s1-v1": 150, "s1-v2": 150, "s2-cnn": 60, "s2-mlp": 15, "s2-mlp-augmented": 15},
    **dict.fromkeys((*S3_MEMBERS, "s3-report", "s3-two-pools", "s3-mlp"), 20),
    **{"s4-author": 10, "s4-ours": 16, "sprint": 16, **dict.fromkeys(RESAMPLING, 8)},
}


@pytest.mark.parametrize("name", COMPACT_EPOCHS)
def test_compact_has_one_budget(name):
    """Epochs and pixels; everything else is the author's, but that S0's pixels stay native and are not blurred."""
    full, compact = find(name), find(name).compact()
    assert compact.epochs == COMPACT_EPOCHS[name]
    assert compact.batch_size == full.batch_size
    assert compact.precision == full.precision == "auto"
    assert (compact.stopping, compact.keep, compact.repeats) == (full.stopping, full.keep, full.repeats)
    if full.system == "S0":
        assert (compact.image_size, compact.framing) == ((100, 100), "crop")  # of 100x100 pixels: all of them
        if full.augmentation is not None:
            assert compact.augmentation == replace(full.augmentation, interpolation="nearest")
    else:
        assert compact.image_size == full.image_size
        assert compact.framing == full.framing == "resize"
        assert compact.augmentation == full.augmentation
    if compact.epochs == full.epochs:
        assert compact.schedule == full.schedule
        if full.system != "S0":
            assert compact.fingerprint == full.fingerprint  # the same training


def test_compact_s_budgets_are_of_every_training():
    trainings = {member.name for recipe in all_recipes() for member in recipe.members}
    assert trainings == set(COMPACT_EPOCHS)


@pytest.mark.parametrize("name", [name for name in COMPACT_EPOCHS if not name.startswith("s4")])
def test_compact_never_reduces_the_competition_s_pixels(name):
    assert min(find(name).compact().image_size) >= 100


EMBEDDED_IMAGES = inspect.signature(animals.make_splits).parameters["train"].default


def steps_of(recipe, images):
    return recipe.epochs * recipe.steps_per_epoch(images)


@pytest.mark.parametrize("name", ALL)
def test_scales_change_what_they_say_and_nothing_else(name):
    full = find(name)
    assert full.at_scale("full") == full
    for scale in ("quick", "compact"):
        scaled = full.at_scale(scale)
        assert scaled.scale == scale
        for before, after in zip(full.members, scaled.members, strict=True):
            changed = {field for field, _, _ in differences(before, after)}
            changed -= {"batch_size", "stopping"} if scale == "quick" else set()
            assert changed <= {"epochs", "image_size", "framing", "schedule", "augmentation.interpolation"}
            assert after.given_epochs is None
            assert after.precision == ("float32" if scale == "quick" else "auto")
            # quick has more epochs than the author's, of the few embedded images: what gets shorter is the training
            images = EMBEDDED_IMAGES if scale == "quick" else before.dataset.images
            steps, full_steps = steps_of(after, images), steps_of(before, before.dataset.images)
            assert steps < full_steps if scale == "quick" else steps <= full_steps
    with pytest.raises(UserError, match="at scale quick already"):
        full.quick().at_scale("compact")
    with pytest.raises(UserError, match="received 'huge'"):
        full.at_scale("huge")


def test_a_scale_s_interpolation_is_the_augmentation_s_and_leaves_framing_alone():
    full = replace(find("attempt4"), compact_scale=Scale(interpolation="nearest"))
    assert (full.augmentation.interpolation, full.framing_interpolation) == ("bilinear", "nearest")
    for framing in ("bilinear", "nearest"):
        compact = replace(full, framing_interpolation=framing).compact()
        assert compact.augmentation.interpolation == "nearest"
        assert compact.framing_interpolation == framing
    assert replace(full, augmentation=None).compact().augmentation is None


def test_a_scale_s_patience_and_rate_factor_change_one_number_each():
    scale = Scale(patience=9, rate_factor=8, batch_size=16)
    four, base = (replace(find(name), quick_scale=scale).quick() for name in ("attempt4", "s3-base"))
    assert four.schedule == ExponentialRate(8e-4, 1.5, 10_000)
    assert base.schedule == CosineRate(8e-3, 8e-5)  # its shape stays
    assert (four.stopping, base.stopping) == (Stopping("val_loss", 9), None)
    assert (four.batch_size, base.batch_size) == (16, 16)


def test_options_reach_every_member_and_seeds_still_differ():
    ensemble = find("attempt6-vote")
    other = ensemble.with_options(seed=10, epochs=3, protocol="held_out")
    assert isinstance(other, EnsembleRecipe)
    assert other.seed == 10
    # as many seeds further as there are members of its name, for each: votes of two seeds share no training
    alike = Counter(m.name for m in ensemble.members)
    assert [m.seed for m in other.members] == [m.seed + 10 * alike[m.name] for m in ensemble.members]
    trainings = [{(m.name, m.seed) for m in ensemble.with_options(seed=seed).members} for seed in range(4)]
    assert len(set.union(*trainings)) == 4 * len(ensemble.members)
    assert {(m.epochs, m.protocol) for m in other.members} == {(3, "held_out")}
    assert other.protocol == "held_out"
    assert ensemble.with_options() == ensemble


def test_two_members_that_would_train_into_one_folder_are_refused():
    member = find("attempt1")
    with pytest.raises(UserError, match="2 members are called attempt1 and have seed 0"):
        EnsembleRecipe("both", "t", "S0", (member, replace(member, epochs=3)))


def test_a_vote_s_epochs_are_given_where_any_member_s_are():
    first, last = find("attempt1"), find("attempt6")
    vote = EnsembleRecipe("both", "t", "S0", (first, last)).with_options(epochs=first.epochs)
    assert [member.given_epochs for member in vote.members] == [None, first.epochs]
    assert vote.given_epochs == first.epochs
    assert EnsembleRecipe("both", "t", "S0", (first, last)).given_epochs is None


def test_searched_weights_need_held_out_images_a_vote_that_weighs_and_no_weights_of_its_own():
    ensemble = find("s1-vote-searched")
    assert ensemble.search_weights
    assert ensemble.protocol == "held_out"
    with pytest.raises(UserError, match="protocol published"):
        ensemble.with_options(protocol="published")
    with pytest.raises(UserError, match="vote hard"):
        replace(ensemble, vote="hard")
    with pytest.raises(UserError, match=r"weights \(0.4, 0.6\)"):
        replace(ensemble, weights=(0.4, 0.6))
    assert replace(ensemble, vote="geometric").vote == "geometric"
    fixed = replace(ensemble, search_weights=False)
    assert fixed.fingerprint != ensemble.fingerprint
    values = ensemble.to_dict()
    assert from_dict(values) == ensemble
    del values["search_weights"]
    assert from_dict(values) == fixed  # recorded before weights were searched


@pytest.mark.parametrize(
    ("optimizer", "field", "value"),
    [("adam", "nesterov", True), ("adam", "momentum", 0.9), ("adamw", "momentum", 0.9)],
)
def test_what_an_optimizer_does_not_have_is_refused(optimizer, field, value):
    with pytest.raises(UserError, match=f"{optimizer} has no {field}"):
        replace(find("attempt4"), optimizer=optimizer, **{field: value})


# shared/systems.md: what each recipe must say of its author's training
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "attempt1",
            {"epochs": 10, "stopping": None, "batch_size": 32, "image_size": (128, 128), "augmentation": None},
        ),
        ("attempt2", {"epochs": 10, "stopping": Stopping("val_loss", 3)}),
        ("attempt4", {"epochs": 20, "stopping": Stopping("val_loss", 5), "repeats": 2, "class_repeats": {"4": 3}}),
        ("attempt5", {"epochs": 80, "stopping": Stopping("val_accuracy", 20), "class_repeats": {"4": 3}}),
        ("attempt6", {"epochs": 80, "stopping": Stopping("val_accuracy", 13), "repeats": 2, "class_repeats": {}}),
        ("s1-v1", {"batch_size": 32, "epochs": 150, "stopping": Stopping("val_accuracy", 15), "label_smoothing": 0.1}),
        ("s1-v2", {"schedule": PlateauRate(5e-4, 0.5, 5, "val_accuracy", 1e-4), "weight_decay": 1e-4}),
        ("s1-v2", {"image_size": (100, 100), "normalisation": "imagenet", "optimizer": "adam"}),
        ("s2-cnn", {"schedule": StepRate(1e-2, 0.5, 7), "batch_size": 64, "epochs": 60, "normalisation": "half"}),
        ("s2-mlp", {"schedule": StepRate(1e-2, 0.5, 5), "batch_size": 64, "epochs": 15, "momentum": 0.9}),
        ("s2-mlp", {"augmentation": None, "stopping": None, "claims_note": ""}),
        ("s2-mlp-augmented", {"augmentation": find("s2-cnn").augmentation, "epochs": 15, "momentum": 0.9}),
        ("s3-base", {"schedule": CosineRate(1e-3, 1e-5), "epochs": 160, "batch_size": 32, "repeats": 2}),
        ("s3-base", {"weight_decay": 1e-3, "label_smoothing": 0.1, "optimizer": "adamw", "stopping": None}),
        ("s3-base", {"normalisation": "training_by_image"}),
        ("s3-decay", {"weight_decay": 5e-4}),
        ("s3-report", {"epochs": 125, "label_smoothing": 0.0, "weight_decay": 1e-4, "keep": "best_val_accuracy"}),
        ("s3-report", {"schedule": CosineRate(1e-3, 1e-5), "arguments": find("s3-base").arguments, "seed": 0}),
    ],
)
def test_recipes_say_what_their_authors_did(name, expected):
    recipe = find(name)
    assert {key: getattr(recipe, key) for key in expected} == expected


def test_what_differs_within_s2_and_s3():
    def changes(old, new):
        return {name: (before, after) for name, before, after in differences(find(old), find(new))}

    assert changes("s3-base", "s3-head128") == {
        "arguments.units": (256, 128),
        "arguments.dropouts": ([0.5, 0.5], [0.5, 0.4]),
        "seed": (0, 1),
    }
    assert changes("s3-base", "s3-decay") == {"weight_decay": (1e-3, 5e-4), "seed": (0, 2)}
    assert changes("s3-base", "s3-rotation") == {"augmentation.rotation": (0.0, 5), "seed": (0, 3)}
    assert changes("s3-base", "s3-two-pools") == {"arguments.pool_after": ([1, 2, 3, 4], [2, 4])}
    assert set(changes("s3-base", "s3-report")) == {"epochs", "label_smoothing", "weight_decay"}
    augmentation = {f"augmentation.{f.name}" for f in fields(Augmentation)}
    assert set(changes("s2-mlp", "s2-mlp-augmented")) == augmentation


# which epoch's weights each author ended with
KEEP = {
    **{"attempt1": "last", "attempt2": "best_val_loss", "attempt4": "best_val_loss"},
    **dict.fromkeys(("attempt5", "attempt6"), "best_val_accuracy"),
    **dict.fromkeys(MEMBERS[:5], "last"),
    **dict.fromkeys(MEMBERS[5:], "best_val_loss"),
    **dict.fromkeys(("s1-v1", "s1-v2"), "best_val_accuracy"),
    **dict.fromkeys(("s2-cnn", "s2-mlp", "s2-mlp-augmented"), "last"),
    **dict.fromkeys((*S3_MEMBERS, "s3-report", "s3-two-pools", "s3-mlp"), "best_val_accuracy"),
    **dict.fromkeys(("s4-author", "s4-ours"), "best_val_accuracy"),
    **dict.fromkeys(("sprint", *RESAMPLING), "last"),
}


def test_what_is_kept_is_what_the_authors_kept():
    trainings = {member.name: member for recipe in all_recipes() for member in recipe.members}
    assert {name: recipe.keep for name, recipe in trainings.items()} == KEEP
    for name, recipe in trainings.items():
        if recipe.stopping is not None:
            assert recipe.keep == f"best_{recipe.stopping.monitor}", name
    without = {name for name, recipe in trainings.items() if recipe.stopping is None and recipe.keep != "last"}
    assert without == {*S3_MEMBERS, "s3-report", "s3-two-pools", "s3-mlp", "s4-author", "s4-ours"}


def test_every_recipe_that_frames_says_how_it_enlarges():
    """S0 enlarges by the nearest pixel, as Keras does by default; torchvision and the garments bilinearly."""
    for recipe in all_recipes():
        wanted = "nearest" if recipe.system in ("S0", "resampling") else "bilinear"
        assert {member.framing_interpolation for member in recipe.members} == {wanted}


def test_augmentations_are_the_authors():
    keras_s = Augmentation(rotation=12, shift=0.1, zoom=0.05, horizontal_flip=True, fill="nearest")
    assert keras_s.interpolation == "bilinear"
    assert find("attempt4").augmentation == keras_s
    assert find("attempt5").augmentation == replace(keras_s, rotation=20, zoom=0.1)
    assert find("attempt6").augmentation == replace(keras_s, rotation=20, shift=0.2, zoom=0.3)
    pair = find("s1-v1").augmentation
    # torchvision rotates by the nearest pixel and distorts bilinearly
    assert pair == Augmentation(
        rotation=15,
        horizontal_flip=True,
        fill="constant",
        perspective=0.2,
        perspective_probability=0.3,
        interpolation="nearest",
        perspective_interpolation="bilinear",
    )
    assert find("s1-v2").augmentation == pair
    rotated = Augmentation(rotation=15, horizontal_flip=True, fill="constant", interpolation="nearest")
    assert find("s2-cnn").augmentation == rotated
    rotations = [m.augmentation.rotation for m in find("s3-vote").members]
    assert rotations == [0, 0, 0, 5]
    assert all(m.augmentation.every_mirror and m.repeats == 2 for m in find("s3-vote").members)
    assert all(m.augmentation.interpolation == "nearest" for m in find("s3-vote").members)


def test_the_resampling_experiment_differs_in_resampling_alone():
    bilinear, enlarged, nearest = (find(name) for name in RESAMPLING)
    assert [name for name, _, _ in differences(bilinear, enlarged)] == ["image_size"]
    assert differences(bilinear, nearest) == [("augmentation.interpolation", "bilinear", "nearest")]
    for recipe in (bilinear, enlarged, nearest):
        assert (recipe.stopping, recipe.keep, recipe.protocol, recipe.reported_split) == (
            *(None, "last"),
            *("held_out", "held_out"),  # nothing is chosen, and validation is left alone
        )
        assert isinstance(recipe.schedule, ConstantRate)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: StepRate(1e-2, 0.5, None), "every None, drops None"),
        (lambda: StepRate(1e-2, 0.5, 7, 2), "not both"),
        (lambda: StepRate(1e-2, 0.5, 0), "every 0"),
        (lambda: CosineRate(0.0, 0.0), "received 0.0"),
        (lambda: CosineRate(1e-5, 1e-3), "1e-05, 0.001"),
        (lambda: Augmentation(perspective=1.0), "below 1"),
        (lambda: Augmentation(perspective=0.2, perspective_probability=3), "and 3"),
        (lambda: Augmentation(cutmix=0.7, mixup=0.4), "0.7, 0.4"),
        (lambda: Augmentation(erasing=-0.1), "received -0.1"),
        (lambda: Augmentation(shift_pixels=3, rotation=5), "without rotation"),
        (lambda: Augmentation(shift_pixels=-1), "received -1"),
        (lambda: CosineRate(1e-3, 0.0, warm_up=1.0), "received 1.0"),
        (lambda: replace(find("s3-base"), average_over=0.1), "an average of the weights ends with the last epoch"),
        (lambda: replace(find("s3-base"), average_over=1.1, keep="last"), "received 1.1"),
        (lambda: replace(find("s3-base"), protocol="final"), "received keep best_val_accuracy"),
        (lambda: replace(find("attempt4"), protocol="final", keep="last"), "can neither stop early"),
        (lambda: replace(find("s3-base"), repeats=1), "repeats must be at least 2"),
    ],
)
def test_numbers_that_mean_nothing_are_refused(make, words):
    with pytest.raises(UserError, match=words):
        make()


def test_a_recipe_is_added_by_one_file(tmp_path, monkeypatch):
    text = """from dataclasses import replace
from dfclib.recipes.six_attempts import attempt1
RECIPES = (replace(attempt1, name="mine", attempt=""),)
"""
    (tmp_path / "mine.py").write_text(text)
    monkeypatch.setattr(recipes, "__path__", [*recipes.__path__, str(tmp_path)])
    try:
        monkeypatch.setattr(recipes, "SYSTEMS", (*recipes.STORY, *recipes._added()))
        assert recipes.find("mine").builder == find("attempt1").builder
        assert [recipe.name for recipe in recipes.all_recipes()][-1] == "mine"
    finally:
        sys.modules.pop("dfclib.recipes.mine", None)
