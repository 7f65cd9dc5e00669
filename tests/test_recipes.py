"""Recipes: through JSON and back, refused by field, fingerprints, scales."""

import copy
import json
import math
from dataclasses import fields, replace

import numpy as np
import pytest

from dfclib import pipelines
from dfclib.callbacks import learning_rate_schedule
from dfclib.errors import UserError
from dfclib.files import write_json
from dfclib.recipes import EnsembleRecipe, Recipe, all_recipes, differences, find, from_dict, load
from dfclib.recipes.recipe import (
    DESCRIPTION,
    Augmentation,
    ConstantRate,
    ExponentialRate,
    Scale,
    Stopping,
)

SCALES = ("quick", "compact", "full")
STORY = ("attempt1", "attempt2", "attempt3", "attempt4", "attempt5", "attempt6", "attempt6-vote")
MEMBERS = tuple(f"attempt3-{letter}" for letter in "abcdefghij")
SINGLE = ("attempt1", "attempt2", "attempt4", "attempt5", "attempt6", *MEMBERS)


def test_the_story_s_order_and_names():
    assert tuple(recipe.name for recipe in all_recipes()) == STORY
    assert all(recipe.scale == "full" and recipe.protocol == "published" for recipe in all_recipes())
    assert tuple(member.name for member in find("attempt3").members) == MEMBERS
    vote = find("attempt6-vote").members
    assert [(m.name, m.seed) for m in vote[:3]] == [("attempt4", 0), ("attempt5", 0), ("attempt6", 0)]
    assert [m.name for m in vote[3:]] == ["attempt6", "attempt6"]
    assert len({m.seed for m in vote[2:]}) == 3


def test_find_gives_full_recipes_and_near_matches():
    assert find("attempt6").seed == 0
    assert find("attempt3-c").arguments == {"units": 192}
    with pytest.raises(UserError, match="no recipe is called 'atempt5': did you mean attempt5"):
        find("atempt5")
    with pytest.raises(UserError, match="known are attempt1, attempt2"):
        find("zzz")


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", [*STORY, *MEMBERS])
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
    ("schedule", {"kind": "cosine", "learning_rate": 1.0}),
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
ONE_CHOICE = {"normalisation", "loss", "optimizer"}  # fields with a single possible value so far
OTHER_DESCRIPTION = {
    "title": "t",
    "system": "S9",
    "claims": {},
    "source": "s",
    "quick_scale": Scale(1),
    "compact_scale": Scale(1),
    "scale": "quick",
}


def test_these_tables_cover_every_field():
    assert {f.name for f in fields(Recipe)} == {*OTHER_TRAINING, *ONE_CHOICE, *OTHER_DESCRIPTION}
    assert set(DESCRIPTION) == set(OTHER_DESCRIPTION)


@pytest.mark.parametrize("field", OTHER_TRAINING)
def test_each_training_field_changes_the_fingerprint(field):
    recipe = find("attempt4")
    other = replace(recipe, **{field: OTHER_TRAINING[field]})
    assert other.fingerprint != recipe.fingerprint
    if field != "name":  # of a run with another name nobody asks what differs
        assert [name.split(".")[0] for name, _, _ in differences(recipe, other)] == [field]


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
    recipes = [find(name).at_scale(scale) for name in [*STORY, *MEMBERS] for scale in SCALES]
    assert len({recipe.fingerprint for recipe in recipes}) == len(recipes)


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
}


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", FULL_RATIO)
def test_a_rescaled_schedule_keeps_the_ratio_of_last_to_first(name, scale):
    recipe = find(name).at_scale(scale)
    steps = recipe.steps(12_500) if scale == "full" else 77  # whatever the number of images
    schedule = learning_rate_schedule(recipe.schedule, steps)
    first, last = (float(schedule(step)) if callable(schedule) else schedule for step in (0, steps))
    assert last / first == pytest.approx(FULL_RATIO[name], rel=1e-4)
    assert first == pytest.approx(find(name).schedule.learning_rate, rel=1e-6)


def test_another_number_of_epochs_keeps_the_ratio_too():
    recipe = find("attempt6").with_options(epochs=2)
    schedule = learning_rate_schedule(recipe.schedule, 30)
    assert recipe.epochs == 2
    assert float(schedule(30)) / float(schedule(0)) == pytest.approx(FULL_RATIO["attempt6"], rel=1e-4)
    assert find("attempt6").with_options(epochs=80) == find("attempt6")
    quick = find("attempt6").quick()
    assert quick.with_options(epochs=2).schedule == quick.schedule


def test_images_and_steps_an_epoch():
    assert find("attempt4").images_per_epoch(12_500) == 27_500
    assert find("attempt4").steps(12_500) == 20 * 860
    assert find("attempt6").images_per_epoch(12_500) == 25_000
    assert find("attempt1").steps(12_500) == 10 * 391


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


@pytest.mark.parametrize("name", STORY)
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
            assert after.steps(images) < before.steps(before.source_images)
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
