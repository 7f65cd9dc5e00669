"""The run folder: whole, readable without TensorFlow, clear about what is broken."""

import io
import json
import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dfclib.errors import UserError
from dfclib.files import read_json, write_json
from dfclib.recipes import find
from dfclib.recording import record
from dfclib.runs import HISTORY_COLUMNS, Run, describe_changes, find_runs, load_run, run_name

ROOT = Path(__file__).parents[1]
RECORDED = sorted(path.parent for path in (ROOT / "report" / "runs").glob("*/metrics.json"))


@pytest.fixture
def run(finished, tmp_path) -> Run:
    """A copy of the finished run that a test may break."""
    return Run(Path(shutil.copytree(finished.path, tmp_path / "runs" / finished.name)))


def test_what_a_run_says_of_itself(run, splits):
    assert run.name == run.path.name == "tiny-full-tiny-published-seed0"
    assert (run.scale, run.seed, run.protocol, run.members) == ("full", 0, "published", [])
    assert run.recipe.name == "tiny"
    assert run.data["class_names"] == list(splits.class_names)
    assert run.data["fingerprint"] == splits.fingerprint
    assert run.data["counts"] == {"train": 60, "validation": 30}
    assert {"device", "precision", "backend", "keras", "tensorflow", "python", "numpy"} <= set(run.environment)
    assert tuple(run.history.columns) == HISTORY_COLUMNS
    assert run.history["epoch"].to_list() == [1, 2, 3]
    assert run.splits == ("validation", "test")
    assert run.is_finished


def test_predictions_and_metrics_agree(run, splits):
    validation = run.predictions("validation")
    assert validation.ids.tolist() == splits.validation.ids.tolist()
    assert (validation.predicted.dtype, validation.probabilities.dtype) == (np.int64, np.float32)
    np.testing.assert_allclose(validation.probabilities.sum(axis=1), 1, atol=1e-5)
    assert np.array_equal(validation.probabilities.argmax(axis=1), validation.predicted)
    correct = int(np.sum(validation.predicted == splits.validation.labels))
    assert run.metrics["validation"] == {"n": 30, "correct": correct, "accuracy": correct / 30}
    assert validation.accuracy == correct / 30
    test = run.predictions("test")
    assert test.labels is None
    assert "test" not in run.metrics
    with pytest.raises(UserError, match="without true labels"):
        _ = test.accuracy
    with pytest.raises(UserError, match="no predictions for 'held_out'; it has validation, test"):
        run.predictions("held_out")


def half(content: bytes) -> bytes:
    return content[: len(content) // 2]


def flipped(content: bytes) -> bytes:
    """Other bits in the middle."""
    start, end = len(content) // 8, len(content) // 2
    return content[:start] + bytes(byte ^ 0xFF for byte in content[start:end]) + content[end:]


def saved(array) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


READ = {
    "probabilities.npz": lambda run: run.predictions("validation"),
    "history.csv": lambda run: run.history,
    "metrics.json": lambda run: run.metrics,
    "recipe.json": lambda run: run.name,
}
AGAIN = "rain the run again with --fresh"
BROKEN = [
    *[("probabilities.npz", content, f"is broken: .*{AGAIN}") for content in (half, flipped, b"", b"text", b"PK\3\4")],
    *[("probabilities.npz", saved(array), "is broken") for array in (np.zeros(3), np.array([print], object))],
    ("probabilities.npz", pickle.dumps({"validation_ids": ["a"]}), "is broken"),
    ("probabilities.npz", None, "does not exist"),
    *[
        ("history.csv", text, AGAIN)
        for text in (b"", b"\xff\xfe\x00", b"epoch,loss\n1,2\n", b'"', b"\0" * 50, b"<p>\n")
    ],
    ("history.csv", lambda content: content + b"4,much,0.5,0.5,0.5,0.001,1.0\n", AGAIN),
    *[
        (name, text, "holds no fields where a training writes some")
        for name in ("metrics.json", "recipe.json")
        for text in (b"{}", b"[]", b"[1]", b"3", b"null", b'["name", "recipe", "data"]')
    ],
    ("metrics.json", half, "is not JSON"),
    ("recipe.json", b'{"name": "a"}', f"lacks 'data': .*{AGAIN}"),
    ("recipe.json", half, "is not JSON"),
]


@pytest.mark.parametrize(("name", "content", "expected"), BROKEN)
def test_a_broken_file_is_named(run, name, content, expected):
    path = run.path / name
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content(path.read_bytes()) if callable(content) else content)
    with pytest.raises(UserError, match=f"{name} .*{expected}"):
        READ[name](run)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"validation_predicted": None}, "validation_predicted is missing"),
        ({"validation_ids": None, "test_ids": None}, "it has no predictions"),
        ({"validation_ids": np.array(["a", "b"], object)}, "Object arrays cannot be loaded"),
        ({"validation_ids": np.arange(30)}, "validation_ids has the type int64"),
        ({"validation_predicted": np.zeros(30)}, "validation_predicted has the type float64"),
        ({"validation_labels": np.array(["0"] * 30)}, "validation_labels has the type <U1"),
        ({"validation_probabilities": np.zeros((30, 5), complex)}, "validation_probabilities has the type complex128"),
        ({"validation_probabilities": np.zeros(30, np.float32)}, "validation: 30 ids and 5 classes but probabilities"),
        ({"validation_labels": np.full(30, 5)}, "validation_labels has labels that are none of the 5 classes"),
        ({"test_probabilities": np.full((10, 5), np.nan, np.float32)}, "test_probabilities are not all numbers"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else "",
)
def test_arrays_that_are_no_predictions_are_named(run, changes, words):
    """changes: arrays of probabilities.npz; None takes one out."""
    with np.load(run.path / "probabilities.npz") as stored:
        changed = dict(stored) | changes
    np.savez(run.path / "probabilities.npz", **{name: a for name, a in changed.items() if a is not None})
    for ask in (lambda: Run(run.path).predictions("validation"), lambda: Run(run.path).splits):
        with pytest.raises(UserError, match=f"probabilities.npz is broken: {words}.*--fresh"):
            ask()


def edit(run, **changes):
    """Change fields of recipe.json, `data__name` being data's name; the run as it is read then."""
    contents = read_json(run.path / "recipe.json")
    for key, value in changes.items():
        *outer, last = key.split("__")
        part = contents
        for name in outer:
            part = part[name]
        part[last] = value
    write_json(run.path / "recipe.json", contents)
    return Run(run.path)


def test_a_field_that_is_missing_is_named_whoever_asks(run):
    data = {name: value for name, value in run.data.items() if name != "embedded"}
    again = edit(run, data=data, environment={"device": "CPU"})
    for ask, key in ((lambda: again.data["embedded"], "embedded"), (lambda: again.environment["keras"], "keras")):
        with pytest.raises(UserError, match=f"recipe.json lacks '{key}'.*--fresh"):
            ask()
    assert again.environment.get("keras") is None and "keras" not in again.environment
    write_json(run.path / "metrics.json", {"seconds": 1.0})
    with pytest.raises(UserError, match=r"metrics.json lacks 'kept_epoch'"):
        _ = again.metrics["kept_epoch"]


BAD_NAMES = [
    "../../dfclib", "..", ".", "", "/tmp/x", "a/b", "a\\b", "C:x", "A", "a\n", "a\0", ".a", "-a", "a" * 201, "ä", 7,
    None, ["a"],
]  # fmt: skip


@pytest.mark.parametrize("name", BAD_NAMES, ids=repr)
@pytest.mark.parametrize("field", ["name", "data__name", "members"])
def test_a_name_that_could_leave_a_folder_is_refused_before_it_is_used(run, tmp_path, field, name):
    before = sorted(tmp_path.rglob("*"))
    edited = edit(run, **{field: [name] if field == "members" else name})
    for use in (lambda: edited.name, lambda: edited.members, lambda: edited.data, lambda: record(edited, tmp_path)):
        with pytest.raises(UserError, match=r"recipe.json: \S+ must be lower-case letters, digits and dashes"):
            use()
    assert sorted(tmp_path.rglob("*")) == before


def test_an_ensembles_name_and_the_datas_are_checked_before_a_folder_is_named_by_them(run):
    vote = find("s1-vote").quick()
    for bad in ("../../x", "/tmp/x", "A b"):
        with pytest.raises(UserError, match="recipe name must be"):
            run_name(replace(vote, name=bad), "data")
        with pytest.raises(UserError, match="name of the data must be"):
            run_name(vote, bad)
        with pytest.raises(UserError, match=r"recipe\.name must be|recipe name must be"):
            _ = edit(run, recipe=vote.to_dict() | {"name": bad}).recipe


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"data": []}, "data must be an object"),
        ({"environment": "CPU"}, "environment must be an object"),
        ({"members": "abc"}, "members must be a list"),
        ({"data__class_names": "01234"}, "class_names must be a list of texts"),
        ({"data__class_names": [0, 1]}, "class_names must be a list of texts"),
        ({"data__image_size": [0, 16]}, "image_size must be height and width"),
        ({"data__image_size": [16, True]}, "image_size must be height and width"),
        ({"data__image_size": 16}, "image_size must be height and width"),
        ({"recipe__epochs": "many"}, "epochs: expected a whole number"),
    ],
    ids=str,
)
def test_a_field_of_the_wrong_type_is_named(run, changes, expected):
    edited = edit(run, **changes)
    with pytest.raises(UserError, match=f"recipe.json.*{expected}"):
        assert edited.data and edited.recipe


def test_predictions_of_classes_that_are_not_there_are_refused(run):
    fewer = edit(run, data__class_names=["0", "1"])
    with pytest.raises(UserError, match="none of the 2 classes"):
        fewer.predictions("validation")
    more = edit(run, data__class_names=["0", "1", "2", "3", "4", "5"])
    with pytest.raises(UserError, match="6 classes but probabilities of shape"):
        more.predictions("validation")


def test_load_run_says_what_is_missing(run):
    assert load_run(str(run.path)).metrics == run.metrics
    with pytest.raises(UserError, match="no such folder"):
        load_run(run.path / "nowhere")
    (run.path / "metrics.json").unlink()
    with pytest.raises(UserError, match="not finished: give its train command again"):
        load_run(run.path)
    (run.path / "recipe.json").unlink()
    with pytest.raises(UserError, match="has no recipe.json"):
        load_run(run.path)


def test_find_runs_lists_finished_runs_by_name(run):
    folder = run.path.parent
    for name in ("b", "a", "unfinished", "no-recipe"):
        shutil.copytree(run.path, folder / name)
    (folder / "unfinished" / "metrics.json").unlink()
    (folder / "no-recipe" / "recipe.json").unlink()
    (folder / "a-file").write_text("")
    assert [r.path.name for r in find_runs(folder)] == ["a", "b", run.path.name]
    assert find_runs(folder / "nowhere") == []


def test_run_names():
    assert run_name(find("attempt4").compact(), "unibuc") == "attempt4-compact-unibuc-published-seed0"
    recipe = find("attempt1").with_options(seed=7, protocol="held_out")
    assert run_name(recipe, "x") == "attempt1-full-x-held-out-seed7"


def test_which_runs_have_the_current_recipe(run):
    assert not run.is_current  # no recipe is called tiny
    for recipe in (
        find("attempt1"),
        find("attempt4").compact(),
        find("attempt2").quick().with_options(seed=3, protocol="held_out"),
        find("s1-vote").compact().with_options(seed=2),
        find("attempt3").members[2].compact(),
    ):
        edited = edit(run, recipe=recipe.to_dict())
        assert edited.is_current and edited.scale_text == recipe.scale, recipe.name
        given = find(recipe.name).at_scale(recipe.scale).with_options(recipe.seed, 7, recipe.protocol)
        edited = edit(run, recipe=given.to_dict())  # asked for, and its schedule follows: the recipe is the same
        assert edited.is_current and edited.scale_text == f"{recipe.scale}, 7 epochs", recipe.name
        changed = changed_in_its_batch(recipe)
        edited = edit(run, recipe=changed.to_dict())
        assert not edited.is_current, recipe.name
        assert edited.scale_text == f"{recipe.scale}, earlier recipe"
        both = edit(run, recipe=changed_in_its_batch(given).to_dict())
        assert both.scale_text == f"{recipe.scale}, 7 epochs, earlier recipe"
    unreadable = find("attempt1").to_dict() | {"a_field_of_an_earlier_version": 1}
    assert not edit(run, recipe=unreadable).is_current


def changed_in_its_batch(recipe):
    """The recipe, or each member of a vote, with another batch size."""
    if recipe.members == (recipe,):
        return replace(recipe, batch_size=7)
    return replace(recipe, members=tuple(replace(member, batch_size=7) for member in recipe.members))


@pytest.mark.parametrize("changes", [{"precision": "float32"}, {"title": "x", "claims": {}}])
def test_descriptions_and_precision_make_no_other_recipe(run, changes):
    recipe = replace(find("attempt4").compact(), **changes)
    assert edit(run, recipe=recipe.to_dict()).is_current


def test_a_protocol_that_the_recipe_cannot_have_is_no_current_one(run):
    """The recipe of today refuses it: that is an answer, not an error."""
    values = find("resampling-nearest").to_dict() | {"protocol": "published", "reported_split": "validation"}
    assert not edit(run, recipe=values).is_current


@pytest.mark.filterwarnings("error")
def test_history_is_read_without_a_warning(run):
    assert run.history["epoch"].dtype == np.int64
    assert {str(run.history[name].dtype) for name in HISTORY_COLUMNS[1:]} == {"float64"}


def test_history_keeps_every_digit(tmp_path):
    row = dict.fromkeys(HISTORY_COLUMNS, 0.1 + 0.2) | {"epoch": 1, "loss": 1e-17 / 3}
    pd.DataFrame([row, row | {"epoch": 2}]).to_csv(tmp_path / "history.csv", index=False)
    history = Run(tmp_path).history
    assert history["epoch"].to_list() == [1, 2]
    assert history["loss"].to_list() == [1e-17 / 3] * 2
    assert history["val_loss"].to_list() == [0.1 + 0.2] * 2


def test_describe_changes_names_each_leaf():
    old = {"epochs": 3, "schedule": {"learning_rate": 0.1, "kind": "constant"}, "gone": 1}
    new = {"epochs": 3, "schedule": {"learning_rate": 0.2, "kind": "constant"}, "new": [1]}
    assert describe_changes(old, new) == ["schedule.learning_rate: 0.1 -> 0.2", "gone: 1 -> null", "new: null -> [1]"]
    assert describe_changes(old, json.loads(json.dumps(old))) == []


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.name)
def test_recorded_runs_stay_readable_and_keep_their_fingerprints(path):
    """Fields that came later leave what was recorded before valid."""
    assert len(RECORDED) > 20
    run = load_run(path)
    assert run.recipe.fingerprint == run.recipe_file["recipe_fingerprint"]
    assert run.name == path.name
    predictions = run.predictions("validation")
    assert predictions.accuracy == run.metrics["validation"]["accuracy"]
    if not run.members:
        assert len(run.history) == run.metrics["epochs"]
