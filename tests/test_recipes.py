"""Recipes: through JSON and back, refused by field, fingerprints, scales."""

import copy
import json
import math
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from dfclib import pipelines
from dfclib.errors import UserError
from dfclib.files import read_json, write_json
from dfclib.optimisation import learning_rate_schedule
from dfclib.recipes import EnsembleRecipe, Recipe, all_recipes, differences, find, from_dict, load
from dfclib.recipes.recipe import (
    DESCRIPTION,
    Augmentation,
    ConstantRate,
    CosineRate,
    ExponentialRate,
    PlateauRate,
    Scale,
    StepRate,
    Stopping,
)

SCALES = ("quick", "compact", "full")
STORY = ("attempt1", "attempt2", "attempt3", "attempt4", "attempt5", "attempt6", "attempt6-vote")
MEMBERS = tuple(f"attempt3-{letter}" for letter in "abcdefghij")
SINGLE = ("attempt1", "attempt2", "attempt4", "attempt5", "attempt6", *MEMBERS)
S3_MEMBERS = ("s3-base", "s3-head128", "s3-decay", "s3-rotation")
OTHERS = (
    *("s1-v1", "s1-v2", "s1-vote", "s1-vote-searched", "s2-cnn", "s2-mlp"),
    *(*S3_MEMBERS, "s3-vote", "s3-two-pools", "s3-mlp", "s4-author", "s4-ours"),
)
ALL = (*STORY, *OTHERS)
RUNS = Path(__file__).parents[1] / "report" / "runs"


def test_the_story_s_order_and_names():
    assert tuple(recipe.name for recipe in all_recipes()) == ALL
    assert all(recipe.scale == "full" for recipe in all_recipes())
    held_out = [recipe.name for recipe in all_recipes() if recipe.protocol != "published"]
    assert held_out == ["s1-vote-searched"]  # whose weights are not chosen on validation
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
    assert find("attempt3-c").arguments == {"units": 192}
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
    ("augmentation.rotation", "far"),
    ("augmentation.rotation", float("inf")),
    ("augmentation.fill", "mirror"),
    ("augmentation.horizontal_flip", 1),
    ("augmentation.shear", 0.1),
    ("quick_scale", None),
    ("quick_scale.epochs", None),
    ("quick_scale.batch_size", 8),
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
    ("path", "field"), [("", "epochs"), ("", "name"), ("schedule", "factor"), ("stopping", "patience")]
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


# For each field of the training another value than attempt4's.
OTHER_TRAINING = {
    "name": "other",
    "builder": "dfclib.models.six_attempts.plain",
    "epochs": 21,
    "schedule": ExponentialRate(1e-4, 1.5, 10_001),
    "arguments": {"l2": 1e-5},
    "image_size": (128, 127),
    "framing": "crop",
    "interpolation": "nearest",
    "augmentation": Augmentation(rotation=12, shift=0.1, zoom=0.05),
    "normalisation": "half",
    "label_smoothing": 0.1,
    "optimizer": "adamw",
    "weight_decay": 1e-4,
    "batch_size": 33,
    "stopping": Stopping("val_accuracy", 5),
    "repeats": 1,
    "class_repeats": {"3": 3},
    "class_weights": "balanced",
    "protocol": "held_out",
    "precision": "mixed_bfloat16",
    "seed": 1,
    "source_images": 12_501,
}
ONE_CHOICE = {"loss"}  # fields with a single possible value so far
SGD_ALONE = {"momentum"}  # attempt4's Adam has none
OTHER_DESCRIPTION = {
    "title": "t",
    "system": "S9",
    "claims": {},
    "source": "s",
    "quick_scale": Scale(1),
    "compact_scale": Scale(1),
    "scale": "quick",
    "source_channels": 1,
    "source_classes": 10,
}


def test_these_tables_cover_every_field():
    assert {f.name for f in fields(Recipe)} == {*OTHER_TRAINING, *ONE_CHOICE, *SGD_ALONE, *OTHER_DESCRIPTION}
    assert set(DESCRIPTION) == set(OTHER_DESCRIPTION)


@pytest.mark.parametrize("field", OTHER_TRAINING)
def test_each_training_field_changes_the_fingerprint(field):
    recipe = find("attempt4")
    other = replace(recipe, **{field: OTHER_TRAINING[field]})
    assert other.fingerprint != recipe.fingerprint
    if field != "name":  # of a run with another name nobody asks what differs
        assert [name.split(".")[0] for name, _, _ in differences(recipe, other)] == [field]


def test_momentum_changes_the_fingerprint():
    recipe = find("s2-cnn")
    other = replace(recipe, momentum=0.8)
    assert other.fingerprint != recipe.fingerprint
    assert differences(recipe, other) == [("momentum", 0.9, 0.8)]


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
    assert replace(ensemble, title="t", claims={}, source="").fingerprint == ensemble.fingerprint


def test_fingerprints_differ_between_recipes():
    recipes = [find(name).at_scale(scale) for name in [*ALL, *MEMBERS] for scale in SCALES]
    assert len({recipe.fingerprint for recipe in recipes}) == len(recipes)


def test_recorded_runs_are_of_recipes_that_still_have_their_fingerprints():
    """Fields that came later leave what was recorded before valid."""
    files = [read_json(path) for path in sorted(RUNS.glob("*/recipe.json"))]
    assert len(files) > 20
    for file in files:
        assert from_dict(file["recipe"]).fingerprint == file["recipe_fingerprint"], file["name"]


def test_fields_that_came_later_count_only_where_they_are_not_their_defaults():
    recipe = find("attempt4")
    later = {"label_smoothing", "weight_decay", "momentum", "source_channels", "source_classes"}
    values = {key: value for key, value in recipe.to_dict().items() if key not in later}
    for name in ("every_mirror", "perspective", "perspective_probability"):
        del values["augmentation"][name]
    assert from_dict(values) == recipe
    assert from_dict(values).fingerprint == recipe.fingerprint
    changed = [
        replace(recipe, augmentation=replace(recipe.augmentation, **{name: value}))
        for name, value in [("every_mirror", True), ("perspective", 0.2), ("perspective_probability", 0.3)]
    ]
    assert len({recipe.fingerprint, *(r.fingerprint for r in changed)}) == 4


SCHEDULES = [
    ConstantRate(1e-3),
    CosineRate(1e-3, 1e-5),
    CosineRate(1e-3, 1e-6),
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
    assert changes["arguments.kernels"] == (None, [3, 5, 3])
    assert changes["class_repeats"] == ({"4": 3}, {})
    assert "arguments.l2" not in changes
    assert "epochs" not in changes


# Last learning rate over first of the author's training: factor ** (steps of the whole training / schedule's steps).
# Steps: epochs * ceil(images shown an epoch / 32), of 12,500 images in five equal classes.
FULL_RATIO = {
    "attempt1": 1.0,
    "attempt2": 1.0,
    "attempt4": 1.5 ** (20 * math.ceil(2_500 * (4 * 2 + 3) / 32) / 10_000),
    "attempt5": 1.7 ** (80 * math.ceil(2_500 * (4 * 2 + 3) / 32) / 10_000),
    "attempt6": 0.95 ** (80 * math.ceil(2_500 * 5 * 2 / 32) / 1_000),
    "s2-cnn": 0.5**8,  # halved after 7, 14, ... 56 of 60 epochs
    "s2-mlp": 0.5**2,  # after 5 and 10 of 15
    "s3-base": 1e-5 / 1e-3,
    "s4-ours": 1e-5 / 2e-3,
}


def first_and_last(recipe, images=None):
    """Learning rates of the first step and of the one after the last (a rate in steps: of the last one)."""
    steps = recipe.steps(images or recipe.source_images) // recipe.epochs
    rate, total = learning_rate_schedule(recipe, steps), recipe.epochs * steps
    last = total - 1 if isinstance(recipe.schedule, StepRate) else total
    return tuple(float(rate(step)) if callable(rate) else rate for step in (0, last))


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", FULL_RATIO)
def test_a_rescaled_schedule_keeps_the_ratio_of_last_to_first(name, scale):
    recipe = find(name).at_scale(scale)
    first, last = first_and_last(recipe, 12_500 if scale == "full" else 350)  # a rescaled one: of any number of images
    assert last / first == pytest.approx(FULL_RATIO[name], rel=1e-4)
    assert first == pytest.approx(find(name).schedule.learning_rate, rel=1e-6)


@pytest.mark.parametrize("name", FULL_RATIO)
def test_another_number_of_epochs_keeps_the_ratio_too(name):
    recipe = find(name).with_options(epochs=3)
    first, last = first_and_last(recipe, 350)
    assert recipe.epochs == 3
    assert last / first == pytest.approx(FULL_RATIO[name], rel=1e-4)
    assert find(name).with_options(epochs=find(name).epochs) == find(name)
    quick = find(name).quick()
    first, last = first_and_last(quick.with_options(epochs=3), 350)
    assert last / first == pytest.approx(FULL_RATIO[name], rel=1e-4)


@pytest.mark.parametrize(
    ("name", "changes", "patience"),
    [
        ("s1-v1", {}, 5),
        ("s1-v1", {"epochs": 75}, 2),  # 2.5 is rounded to the even number
        ("s1-v1", {"epochs": 60}, 2),
        ("s1-v1", {"epochs": 300}, 10),
        ("s1-v1", {"epochs": 12}, 1),  # at least one epoch of patience
        ("s1-v1", {"scale": "compact"}, 1),
    ],
)
def test_a_plateau_s_patience_is_the_share_of_the_run_that_it_was(name, changes, patience):
    full = find(name)
    recipe = full.at_scale(changes["scale"]) if "scale" in changes else full.with_options(**changes)
    assert recipe.schedule == replace(full.schedule, patience=patience)


def test_images_and_steps_an_epoch():
    assert find("attempt4").images_per_epoch(12_500) == 27_500
    assert find("attempt4").steps(12_500) == 20 * 860
    assert find("attempt6").images_per_epoch(12_500) == 25_000
    assert find("attempt1").steps(12_500) == 10 * 391


@pytest.mark.parametrize("name", [name for name in OTHERS if name.startswith(("s1-v1", "s1-v2", "s2", "s3-base"))])
def test_compact_keeps_every_pixel_of_the_competition_s(name):
    recipe = find(name).compact()
    assert recipe.framing == "resize"
    assert recipe.image_size == find(name).image_size
    assert min(recipe.image_size) >= 100


@pytest.mark.parametrize("name", SINGLE)
def test_compact_never_reduces_the_competition_s_pixels(name):
    recipe = find(name).compact()
    assert recipe.framing == "crop"
    assert max(recipe.image_size) <= 100
    framing = pipelines.training_transforms(
        np.array(["a"]), np.zeros(1, int), (100, 100), replace(recipe, augmentation=None), 1
    )[0]
    assert np.array_equal(framing[:2, :2], np.eye(2))  # one pixel of the network is one pixel of the image
    assert np.array_equal(framing[:2, 2], np.round(framing[:2, 2]))


@pytest.mark.parametrize("name", ALL)
def test_scales_change_what_they_say_and_nothing_else(name):
    full = find(name)
    assert full.at_scale("full") is full or full.at_scale("full") == full
    for scale in ("quick", "compact"):
        scaled = full.at_scale(scale)
        assert scaled.scale == scale
        pairs = zip(full.members, scaled.members, strict=True) if hasattr(full, "members") else [(full, scaled)]
        for before, after in pairs:
            changed = {field.split(".")[0] for field, _, _ in differences(before, after)}
            assert changed <= {"epochs", "image_size", "framing", "precision", "schedule"}
            # quick has more epochs than the author's, of the few embedded images: what gets shorter is the training
            images = 300 if scale == "quick" else before.source_images
            shorter = after.steps(images) < before.steps(before.source_images)
            # garments are small enough for the author's epochs on two cores
            assert shorter or (before.system, scale, after.epochs) == ("S4", "compact", before.epochs)
    with pytest.raises(UserError, match="at scale quick already"):
        full.quick().at_scale("compact")
    with pytest.raises(UserError, match="received 'huge'"):
        full.at_scale("huge")


def test_options_reach_every_member_and_seeds_still_differ():
    ensemble = find("attempt6-vote")
    other = ensemble.with_options(seed=10, epochs=3, protocol="held_out")
    assert isinstance(other, EnsembleRecipe)
    assert other.seed == 10
    assert [m.seed for m in other.members] == [m.seed + 10 for m in ensemble.members]
    assert {(m.epochs, m.protocol) for m in other.members} == {(3, "held_out")}
    assert other.protocol == "held_out"
    assert ensemble.with_options() == ensemble


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
    [("sgd", "weight_decay", 1e-4), ("adam", "momentum", 0.9), ("adamw", "momentum", 0.9)],
)
def test_what_an_optimizer_does_not_have_is_refused(optimizer, field, value):
    with pytest.raises(UserError, match=f"{optimizer} has no {field}"):
        replace(find("attempt4"), optimizer=optimizer, **{field: value})


# shared/systems.md, from S1 on: what each recipe must say of its author's training
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("s1-v1", {"batch_size": 32, "epochs": 150, "stopping": Stopping("val_accuracy", 15), "label_smoothing": 0.1}),
        ("s1-v2", {"schedule": PlateauRate(5e-4, 0.5, 5, "val_accuracy", 1e-4), "weight_decay": 1e-4}),
        ("s1-v2", {"image_size": (100, 100), "normalisation": "imagenet", "optimizer": "adam"}),
        ("s2-cnn", {"schedule": StepRate(1e-2, 0.5, 7), "batch_size": 64, "epochs": 60, "normalisation": "half"}),
        ("s2-mlp", {"schedule": StepRate(1e-2, 0.5, 5), "batch_size": 64, "epochs": 15, "momentum": 0.9}),
        ("s3-base", {"schedule": CosineRate(1e-3, 1e-5), "epochs": 160, "batch_size": 32, "repeats": 2}),
        ("s3-base", {"weight_decay": 1e-3, "label_smoothing": 0.1, "optimizer": "adamw", "normalisation": "training"}),
        ("s3-decay", {"weight_decay": 5e-4}),
        ("s3-head128", {"arguments": {"units": 128}}),
    ],
)
def test_recipes_say_what_their_authors_did(name, expected):
    recipe = find(name)
    assert {key: getattr(recipe, key) for key in expected} == expected


def test_augmentations_are_the_authors():
    pair = find("s1-v1").augmentation
    assert pair == Augmentation(
        rotation=15, horizontal_flip=True, fill="constant", perspective=0.2, perspective_probability=0.3
    )
    assert find("s1-v2").augmentation == pair
    assert find("s2-cnn").augmentation == Augmentation(rotation=15, horizontal_flip=True, fill="constant")
    rotated = [m.augmentation.rotation for m in find("s3-vote").members]
    assert rotated == [0, 0, 0, 5]
    assert all(m.augmentation.every_mirror and m.repeats == 2 for m in find("s3-vote").members)


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
        (lambda: replace(find("s3-base"), repeats=1), "repeats must be at least 2"),
    ],
)
def test_numbers_that_mean_nothing_are_refused(make, words):
    with pytest.raises(UserError, match=words):
        make()
