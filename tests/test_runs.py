"""The run folder: whole, readable without TensorFlow, clear about what is broken."""

import json
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dfclib import files, runs
from dfclib.errors import UserError
from dfclib.files import read_json, write_json
from dfclib.recipes import find
from dfclib.runs import HISTORY_COLUMNS, Predictions, Run, describe_changes, find_runs, load_run, record, run_name

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
    with pytest.raises(ValueError, match="without labels"):
        _ = test.accuracy
    with pytest.raises(UserError, match="no predictions for 'held_out'; it has validation, test"):
        run.predictions("held_out")


def test_take_keeps_rows_together(run):
    whole = run.predictions("validation")
    part = whole.take(np.array([4, 1]))
    assert part.ids.tolist() == whole.ids[[4, 1]].tolist()
    assert np.array_equal(part.probabilities, whole.probabilities[[4, 1]])
    assert part.labels.tolist() == whole.labels[[4, 1]].tolist()


@pytest.mark.parametrize(
    "changes",
    [
        {"predicted": np.zeros(2, np.int64)},
        {"probabilities": np.zeros((3, 3), np.float32)},
        {"labels": np.zeros(4, np.int64)},
    ],
    ids=["predicted", "probabilities", "labels"],
)
def test_predictions_of_unequal_length_are_refused(changes):
    columns = {"ids": np.array(["a", "b", "c"]), "predicted": np.zeros(3, np.int64), "class_names": ("x", "y")}
    Predictions(**columns)
    with pytest.raises(ValueError, match="3 ids"):
        Predictions(**(columns | changes))


def test_a_run_is_read_without_tensorflow(run):
    script = f"""
import sys
sys.modules["tensorflow"] = sys.modules["keras"] = sys.modules["jax"] = sys.modules["torch"] = None
from dfclib.callbacks import stability
from dfclib.runs import find_runs, load_run, record
run = load_run({str(run.path)!r})
assert [r.name for r in find_runs({str(run.path.parent)!r})] == [run.name]
stability(run.history)
copy = record(run, {str(run.path.parent.parent / "recorded")!r})
print(copy.predictions("validation").accuracy, len(copy.history), copy.recipe.epochs, copy.metrics["chosen_epoch"])
"""
    result = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == [str(run.metrics["validation"]["accuracy"]), "3", "3", "3"]


def cut(path, share=0.5):
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])


def flip_bits(path):
    content = bytearray(path.read_bytes())
    for place in range(len(content) // 8, len(content) // 2):
        content[place] ^= 0xFF
    path.write_bytes(content)


@pytest.mark.parametrize(
    "harm",
    [
        cut,
        flip_bits,
        lambda p: p.write_bytes(b""),
        lambda p: p.write_bytes(b"hello"),
        lambda p: p.write_bytes(b"PK\3\4"),
    ],
    ids=["cut", "bits", "empty", "text", "zip header"],
)
def test_broken_predictions_are_named(run, harm):
    harm(run.path / "probabilities.npz")
    with pytest.raises(UserError, match="probabilities.npz is broken.*--fresh"):
        run.predictions("validation")


def arrays(run, **changes):
    """probabilities.npz with some arrays changed, None taking one out."""
    with np.load(run.path / "probabilities.npz") as stored:
        changed = dict(stored) | changes
    np.savez(run.path / "probabilities.npz", **{name: a for name, a in changed.items() if a is not None})


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
        ({"validation_probabilities": np.zeros(30, np.float32)}, "validation_probabilities has the shape"),
        ({"test_probabilities": np.full((10, 5), np.nan, np.float32)}, "test_probabilities are not all numbers"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else "",
)
def test_arrays_that_are_no_predictions_are_named(run, changes, words):
    arrays(run, **changes)
    for ask in (lambda: Run(run.path).predictions("validation"), lambda: Run(run.path).splits):
        with pytest.raises(UserError, match="probabilities.npz is broken: .*--fresh") as raised:
            ask()
        assert words in str(raised.value)


def test_a_single_array_and_a_pickle_are_no_predictions(run):
    path = run.path / "probabilities.npz"
    for content in (np.zeros(3), np.array([print], object)):
        with path.open("wb") as file:
            np.save(file, content)
        with pytest.raises(UserError, match="probabilities.npz is broken"):
            Run(run.path).predictions("validation")
    path.write_bytes(pickle.dumps({"validation_ids": ["a"]}))
    with pytest.raises(UserError, match="probabilities.npz is broken"):
        Run(run.path).predictions("validation")


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff\xfe\x00", b"epoch,loss\n1,2\n", b'"', b"\x00" * 50, b"<html>\n</html>\n", "words"],
    ids=repr,
)
def test_a_history_that_is_none_is_named(run, content):
    path = run.path / "history.csv"
    if content == "words":
        content = path.read_bytes() + b"4,much,0.5,0.5,0.5,0.001,1.0\n"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"history.csv .*rain the run again with --fresh"):
        _ = run.history


def test_a_field_that_is_missing_is_named_whoever_asks(run):
    contents = read_json(run.path / "recipe.json")
    contents["data"].pop("embedded")
    contents["environment"] = {"device": "CPU"}
    write_json(run.path / "recipe.json", contents)
    again = Run(run.path)
    for ask, key in ((lambda: again.data["embedded"], "embedded"), (lambda: again.environment["keras"], "keras")):
        with pytest.raises(UserError, match=f"recipe.json lacks '{key}'.*--fresh"):
            ask()
    assert again.environment.get("keras") is None and "keras" not in again.environment
    write_json(run.path / "metrics.json", {"seconds": 1.0})
    with pytest.raises(UserError, match=r"metrics.json lacks 'chosen_epoch'"):
        _ = again.metrics["chosen_epoch"]


@pytest.mark.parametrize("content", ["{}", "[]", "[1]", "3", "null"])
def test_json_that_is_no_object_is_named(run, content):
    (run.path / "metrics.json").write_text(content)
    with pytest.raises(UserError, match=r"metrics\.json .*"):
        _ = run.metrics
    (run.path / "recipe.json").write_text(content)
    with pytest.raises(UserError, match=r"recipe\.json .*"):
        _ = run.name


def test_missing_predictions_are_named(run):
    (run.path / "probabilities.npz").unlink()
    with pytest.raises(UserError, match="probabilities.npz does not exist"):
        run.predictions("validation")


def test_broken_json_is_named(run):
    cut(run.path / "metrics.json")
    with pytest.raises(UserError, match="metrics.json is not JSON"):
        _ = run.metrics
    cut(run.path / "recipe.json")
    with pytest.raises(UserError, match="recipe.json is not JSON"):
        _ = run.name


def test_a_recipe_that_was_edited_badly_is_named_by_file_and_field(run):
    contents = read_json(run.path / "recipe.json")
    contents["recipe"]["epochs"] = "many"
    write_json(run.path / "recipe.json", contents)
    with pytest.raises(UserError, match=r"recipe.json\.epochs: expected a whole number"):
        _ = run.recipe
    write_json(run.path / "recipe.json", contents["recipe"])
    with pytest.raises(UserError, match="recipe.json lacks"):
        _ = Run(run.path).data


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


def test_record_leaves_weights_out_when_asked(run, tmp_path):
    recorded = record(run, tmp_path / "report", weights=False)
    assert not recorded.model_path.exists()
    assert recorded.predictions("validation").accuracy == run.predictions("validation").accuracy


def test_record_copies_small_weights_and_no_leftovers(run, tmp_path):
    (run.path / "checkpoint").mkdir()
    (run.path / "checkpoint" / "epoch-0001.npz").write_bytes(b"x")
    (run.path / ".history.csv.123.tmp").write_bytes(b"x")
    recorded = record(run, tmp_path / "report")
    assert recorded.path == tmp_path / "report" / run.name
    assert sorted(p.name for p in recorded.path.iterdir()) == [
        "history.csv",
        "metrics.json",
        "model.keras",
        "probabilities.npz",
        "recipe.json",
    ]
    for path in recorded.path.iterdir():
        assert path.read_bytes() == (run.path / path.name).read_bytes()


def test_record_leaves_large_weights_out(run, tmp_path, monkeypatch):
    size = run.model_path.stat().st_size
    monkeypatch.setattr(runs, "LARGEST_RECORDED_MODEL", size - 1)
    assert not record(run, tmp_path / "a").model_path.exists()
    monkeypatch.setattr(runs, "LARGEST_RECORDED_MODEL", size)
    assert record(run, tmp_path / "b").model_path.exists()


def test_record_twice_is_well_and_another_training_is_refused(run, tmp_path):
    record(run, tmp_path / "report")
    record(run, tmp_path / "report")
    contents = read_json(run.path / "recipe.json")
    write_json(run.path / "recipe.json", contents | {"recipe_fingerprint": "0" * 16})
    with pytest.raises(UserError, match="recipe_fingerprint differs"):
        record(Run(run.path), tmp_path / "report")
    (run.path / "metrics.json").unlink()
    with pytest.raises(UserError, match="not finished"):
        record(run, tmp_path / "elsewhere")


def test_a_recording_that_is_cut_short_is_no_finished_run(run, tmp_path, monkeypatch):
    written = []

    def stop_at_the_last(path, write):
        written.append(path.name)
        if path.name == "metrics.json":
            raise KeyboardInterrupt
        return files.write_atomically(path, write)

    monkeypatch.setattr(runs, "write_atomically", stop_at_the_last)
    with pytest.raises(KeyboardInterrupt):
        record(run, tmp_path / "report")
    assert len(written) == 5  # everything else was there before
    assert find_runs(tmp_path / "report") == []


def test_history_keeps_every_digit(tmp_path):
    row = dict.fromkeys(HISTORY_COLUMNS, 0.1 + 0.2) | {"epoch": 1, "loss": 1e-17 / 3}
    runs.write_history(tmp_path, [row, row | {"epoch": 2}])
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
    run = load_run(path)
    assert run.recipe.fingerprint == run.recipe_file["recipe_fingerprint"]
    assert run.name == path.name
    predictions = run.predictions("validation")
    assert predictions.accuracy == run.metrics["validation"]["accuracy"]
    if not run.members:
        assert len(run.history) == run.metrics["epochs"]
