"""The command line: what each command does, what it says, and how it ends."""

import csv
import json
import os
import types
from dataclasses import replace
from pathlib import Path

import fakes
import numpy as np
import pytest
from PIL import Image

from dfclib import runs
from dfclib.cli import inputs
from dfclib.datasets.folder.loading import load_folder, write_folder
from dfclib.datasets.images import ImageSet, Splits
from dfclib.errors import UserError
from dfclib.files import read_json, sha256, write_json
from dfclib.predictions import Predictions
from dfclib.recipes import find
from dfclib.wording import duration

CLASSES = ("0", "1", "2")


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    """Every test starts in an empty folder: no deepfake_data, no runs, no report."""
    monkeypatch.chdir(tmp_path)


def splits(name="small", seed=0, test=4):
    def part(split, count, labelled=True):
        rng = np.random.default_rng([seed, count])
        images = rng.integers(0, 256, (count, 20, 24, 3), dtype=np.uint8)
        labels = np.arange(count) % len(CLASSES) if labelled else None
        return ImageSet(images, labels, np.array([f"{split}-{i}" for i in range(count)]), CLASSES)

    return Splits(name, part("train", 9), part("validation", 6), part("test", test, labelled=False))


def predictions(split, predicted, labels=None):
    """Predictions that give 0.6 to the predicted class and 0.2 to each of the others."""
    probabilities = np.float32(0.2 + 0.4 * np.eye(len(CLASSES))[predicted])
    ids = np.array([f"{split}-{i}" for i in range(len(predicted))])
    labels = None if labels is None else np.array(labels)
    return Predictions(ids, np.array(predicted), CLASSES, probabilities, labels)


def make_run(seed=0, parts=None, data=None, folder="runs"):
    """The folder of a finished run without weights, on images of 20x24 pixels. data: changes to its description."""
    path = fakes.make_run(Path(folder), "attempt1", scale="quick", seed=seed).path
    contents = read_json(path / "recipe.json")
    contents["data"] |= {"image_size": [20, 24], "class_names": list(CLASSES)} | (data or {})
    write_json(path / "recipe.json", contents)
    validation = predictions("validation", [0, 1, 2, 0, 1, 0], labels=[0, 1, 2, 0, 1, 2])
    parts = parts or {"validation": validation, "test": predictions("test", [0, 1, 2, 0])}
    runs.write_predictions_file(path, parts)
    return path


def write_csv(path, *lines):
    Path(path).write_text("\n".join(["image_id,label", *lines]) + "\n")


def read_csv(path):
    with open(path, newline="") as file:
        return list(csv.reader(file))


# ---- data, recipes ----


def test_made_folder_is_sound_and_as_large_as_asked(call):
    assert call("data", "make", "made", "--train", 15, "--validation", 10, "--test", 5, "--seed", 1).out == "made\n"
    assert "No problems found." in call("data", "check", "made").out
    loaded = load_folder("made", progress=False)
    assert [len(loaded.train), len(loaded.validation), len(loaded.test)] == [15, 10, 5]


def test_checking_a_broken_folder_reports_and_ends_with_1(call):
    write_folder(splits(), Path("folder"))
    Path("folder/train/train-0.png").unlink()
    captured = call("data", "check", "folder", status=1)
    assert "train-0" in captured.out
    assert captured.err.splitlines()[-1].startswith("error: folder cannot be used as it is")


def test_download_goes_to_the_folder(monkeypatch, call):
    monkeypatch.setattr("dfclib.datasets.kaggle.download", lambda to: to)
    assert call("data", "download", "--to", "there").out == "there\n"


def test_recipes_lists_them_all(call):
    table = call("recipes").out
    row = next(line for line in table.splitlines() if line.startswith("attempt1 "))
    assert "public test 78.0%" in row and "128x128" in row and "6,517,317" in row
    entries = {entry["name"]: entry for entry in json.loads(call("recipes", "--json").out)}
    assert entries["attempt4"]["trainable_parameters"] == 33_944_069
    assert len(entries["attempt3"]["members"]) == 10
    row = next(line for line in table.splitlines() if line.startswith("s4-author "))
    assert "test 85.1%, test loss 0.4581" in row and "28x28" in row
    for entry in entries.values():
        assert set(entry["expected_minutes"]) == set(entry["image_sizes"]) == {"quick", "compact", "full"}
        assert entry["name"] in table


# ---- train ----


@pytest.fixture
def trained(monkeypatch, no_keras):
    """The arguments of each call of train, which returns a run whose folder is runs/the-run."""
    calls = []

    def fake(recipe, splits, runs_dir, fresh):
        calls.append(types.SimpleNamespace(recipe=recipe, splits=splits, runs_dir=runs_dir, fresh=fresh))
        return runs.Run(Path(runs_dir) / "the-run")

    monkeypatch.setattr("dfclib.training.train", fake)
    monkeypatch.setattr("dfclib.training.missing", lambda recipe, *_, **options: [recipe])
    monkeypatch.setattr("dfclib.datasets.generated.animals.make_splits", lambda: splits("embedded"))
    return calls


def test_train_announces_itself_and_prints_the_folder_last(trained, call):
    write_folder(splits(), Path("folder"))
    options = ["--scale", "compact", "--seed", 3, "--epochs", 2, "--protocol", "held_out"]
    out = call("train", "attempt6", "--data", "folder", "--runs", "elsewhere", "--fresh", *options).out
    for expected in (
        "attempt6",
        "seed 3",
        "compact, 2 epochs",
        "held_out",
        "9 training, 6 validation, 4 test",
        "20x24",
    ):
        assert expected in out
    assert out.splitlines()[-1] == str(Path("elsewhere/the-run"))
    received = trained[0]
    recipe = received.recipe
    assert (recipe.name, recipe.scale, recipe.seed, recipe.epochs) == ("attempt6", "compact", 3, 2)
    assert (recipe.protocol, received.fresh, received.runs_dir) == ("held_out", True, Path("elsewhere"))
    assert received.splits.name == "folder"


def test_expected_time_is_said_before_the_start(trained, monkeypatch, call):
    monkeypatch.setattr("dfclib.recipes.recipe.measured", lambda what: {"attempt1-quick": 0.01})
    seconds = find("attempt1").quick().epochs * 9 / 0.01  # nine images, at 0.01 a second
    assert f"about {duration(seconds)} on two CPU cores" in call("train", "attempt1").out


@pytest.mark.parametrize(("gpu", "real"), [(False, "compact"), (True, "full")], ids=["CPU", "GPU"])
def test_defaults_of_data_and_scale(trained, monkeypatch, gpu, real, call):
    monkeypatch.setattr("dfclib.training.devices.has_gpu", lambda: gpu)
    monkeypatch.setattr("dfclib.training.devices._compute_capability", lambda: (9, 0))
    call("train", "attempt1")
    write_folder(splits(), Path("deepfake_data"))
    call("train", "attempt1")
    call("train", "attempt1", "--scale", "quick")
    assert [c.splits.name for c in trained] == ["embedded", "deepfake-data", "deepfake-data"]
    assert [c.recipe.scale for c in trained] == ["quick", real, "quick"]


def test_fashion_recipes_take_garments_or_fashion_mnist_and_never_the_competition(trained, monkeypatch, call, fails):
    asked = []
    monkeypatch.setattr("dfclib.training.devices.has_gpu", lambda: False)
    monkeypatch.setattr("dfclib.datasets.sources.load_fashion", lambda data: asked.append(data) or splits("clothes"))
    write_folder(splits(), Path("deepfake_data"))
    call("train", "s4-ours")
    call("train", "s4-author", "--data", "fashion-mnist")
    call("train", "s4-author", "--data", "deepfake_data", "--scale", "full")
    assert asked == [None, Path("fashion-mnist"), Path("deepfake_data")]
    assert [c.recipe.scale for c in trained] == ["quick", "compact", "full"]
    assert {c.splits.name for c in trained} == {"clothes"}
    message = fails("train", "s4-ours", "--data", "fashion-mnist", "--image-size", 28, 28)
    assert "--image-size is not for s4-ours" in message
    assert len(asked) == 3


def test_generated_garments_are_announced_as_such(trained, call):
    assert "data     generated garments, not Fashion-MNIST\n" in call("train", "s4-ours").out


def test_options_change_every_member_of_an_ensemble(trained, call):
    call("train", "attempt6-vote", "--seed", 5, "--epochs", 2)
    recipe = trained[0].recipe
    assert recipe.seed == 5
    assert {member.epochs for member in recipe.members} == {2}
    assert [member.seed for member in recipe.members] == [5, 5, 5, 6, 7]


def test_precision_is_every_members_and_no_other_recipe(trained, call):
    command = ["train", "s1-vote", "--scale", "full"]
    call(*command)
    assert "; mixed_bfloat16\n" in call(*command, "--precision", "mixed_bfloat16").out
    plain, given = (calls.recipe for calls in trained)
    assert {member.precision for member in given.members} == {"mixed_bfloat16"}
    assert given.fingerprint == plain.fingerprint


def test_recipe_file_of_a_run_or_alone(trained, call):
    file = make_run(seed=7, folder="recorded") / "recipe.json"
    call("train", file)
    write_json(Path("alone.json"), read_json(file)["recipe"])
    write_folder(splits(), Path("folder"))
    call("train", "alone.json", "--data", "folder", "--scale", "quick")
    for received in trained:
        assert (received.recipe.name, received.recipe.seed, received.recipe.scale) == ("attempt1", 7, "quick")


@pytest.mark.parametrize(
    ("change", "options", "expected"),
    [
        ({"epoch": 3}, [], "unknown field 'epoch'"),
        ({"epochs": "three"}, [], "epochs: expected a whole number"),
        ({"schedule": {"kind": []}}, [], "schedule: expected an object with kind one of"),
        ({}, ["--scale", "full"], "edited.json is at scale quick"),
    ],
)
def test_edited_recipe_is_refused_before_data_is_read(change, options, expected, monkeypatch, fails):
    monkeypatch.setattr(inputs, "load_splits", lambda *_: pytest.fail("data was read"))
    values = read_json(make_run() / "recipe.json")
    values["recipe"] |= change
    write_json(Path("edited.json"), values)
    assert expected in fails("train", "edited.json", *options)


def test_mixed_sizes_need_an_image_size(trained, call, fails):
    write_folder(splits(), Path("folder"))
    Image.new("RGB", (50, 40)).save("folder/train/train-0.png")
    message = fails("train", "attempt1", "--data", "folder")
    assert "2 sizes" in message and "--image-size HEIGHT WIDTH" in message
    call("train", "attempt1", "--data", "folder", "--image-size", 16, 18)
    assert trained[0].splits.train.size == (16, 18)


# ---- runs: evaluate, figures, record ----


def test_evaluate_by_name_and_by_folder(call):
    path = make_run(folder="report/runs")
    by_name = call("evaluate", path.name).out
    assert call("evaluate", path).out == by_name
    assert "accuracy 83.33%" in by_name and "5 of 6 right" in by_name
    assert "protocol published, seed 0" in by_name and "device CPU" in by_name
    assert "test" not in by_name.split("validation: ")[1]  # no labels, nothing to say
    found = json.loads(call("evaluate", path, "--json").out)
    result = found["splits"]["validation"]
    assert (result["n"], result["correct"], found["environment"]["device"]) == (6, 5, "CPU")
    assert result["low"] < 5 / 6 < result["high"]
    assert [row["recall"] for row in result["classes"]] == [1.0, 1.0, 0.5]


def test_runs_take_precedence_over_recorded_ones(call):
    make_run(folder="report/runs")
    wrong = {"validation": predictions("validation", [1, 2, 0], labels=[0, 1, 2])}
    assert "accuracy 0.00%" in call("evaluate", make_run(parts=wrong, folder="mine").name, "--runs", "mine").out


def test_a_recipe_s_name_stands_for_its_only_finished_run(call, fails):
    recorded = make_run(seed=1, folder="report/runs")
    assert call("evaluate", "attempt1").out.startswith(f"{recorded.name}\n")
    (make_run(seed=2) / "metrics.json").unlink()  # unfinished: does not count
    mine = make_run(seed=3)
    assert call("evaluate", "attempt1").out.startswith(f"{mine.name}\n")
    other = make_run(seed=4)
    message = fails("evaluate", "attempt1")
    assert message == f"error: attempt1 has 2 finished runs in runs; name one of them:\n  {mine.name}\n  {other.name}\n"


def test_a_recipe_s_name_is_not_its_variant_s(call):
    """attempt1-a is another recipe than attempt1, and data may be called as strangely as anybody likes."""
    for name in ("attempt1-quick-x-compact-small-published-seed0", "attempt1-a-quick-unibuc-published-seed0"):
        path = make_run(folder="report/runs")
        write_json(path / "recipe.json", read_json(path / "recipe.json") | {"name": name})
        path.rename(path.with_name(name))
        recipe = name.split("-quick")[0]
        assert call("evaluate", recipe).out.startswith(f"{name}\n")
    call("evaluate", "attempt1")


def test_a_broken_run_stands_in_no_other_s_way(call, fails):
    make_run(seed=1)
    (make_run() / "recipe.json").write_text("{")
    Path("runs/attempt1-quick-unibuc-published-seed0").rename("runs/attempt2-quick-unibuc-published-seed0")
    call("evaluate", "attempt1")
    assert "attempt2-quick-unibuc-published-seed0/recipe.json is not JSON" in fails("evaluate", "attempt2")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("atempt1", "did you mean attempt1 or "),
        ("attempt1-quick-unibu-published-seed0", "did you mean attempt1-quick-unibuc-published-seed0"),
        ("attempt1-quick", "did you mean attempt1-quick-unibuc-published-seed0?\n"),
        ("zzz", "finished are attempt1-quick-unibuc-published-seed0\n"),
        ("attempt2", "recipe attempt2 has no finished run in runs or report/runs: train it first"),
    ],
)
def test_a_wrong_name_comes_with_near_ones(name, expected, fails):
    make_run(folder="report/runs")
    assert expected in fails("evaluate", name)


def test_figures_of_the_recorded_runs(monkeypatch, call):
    make_run(folder="report/runs"), make_run(seed=1, folder="report/runs")

    def make_all(drawn, out, overview):
        assert [run.seed for run in drawn] == [run.seed for run in overview] == [0, 1]
        return [out / "a.png"]

    monkeypatch.setattr("dfclib.reporting.figures.make_all", make_all)
    assert call("figures", "--out", "there").out == f"{Path('there/a.png')}\n"


def test_figures_of_named_runs_leave_the_overviews_alone(call):
    run = make_run(folder="report/runs")
    Path("images").mkdir()
    for name in ("ladder.png", "systems.png"):
        Path("images", name).write_text("of all recorded runs")
    drawn = {f"{run.name}-{kind}.png" for kind in ("curves", "confusion", "per-class")}
    assert {Path(line).name for line in call("figures", run.name).out.splitlines()} == drawn
    assert {path.name for path in Path("images").iterdir()} == drawn | {"ladder.png", "systems.png"}
    assert Path("images/ladder.png").read_text() == Path("images/systems.png").read_text() == "of all recorded runs"


def test_record_copies_several_runs_or_none(call, fails):
    first, second, third = (make_run(seed=seed) for seed in range(3))
    (third / "metrics.json").unlink()
    assert "is not finished" in fails("record", first.name, second.name, third.name)
    (second / "model.keras").symlink_to("/etc/passwd")
    assert "model.keras is a link" in fails("record", first.name, second.name)
    (second / "model.keras").unlink()
    twin = make_run(folder="other")
    assert "are both called" in fails("record", first, twin)
    assert not Path("report").exists()
    recorded = [Path("report/runs") / path.name for path in (first, second)]
    assert call("record", first.name, second.name, first).out.splitlines() == list(map(str, recorded))
    assert sorted(Path("report/runs").iterdir()) == recorded
    assert runs.load_run(recorded[0]).predictions("validation").accuracy == 5 / 6


def test_no_command_writes_outside_for_a_name_in_recipe_json(fails):
    """record and figures name files by what recipe.json says."""
    run = make_run()
    values = read_json(run / "recipe.json")
    (run / "__init__.py").write_text("")
    before = sorted(Path().rglob("*"))
    for name in ("../../planted", str(Path("planted").resolve()), "a/b", ".."):
        write_json(run / "recipe.json", values | {"name": name})
        for command in (["record", run], ["figures", run, "--out", "build/drawn"]):
            assert "name must be lower-case letters, digits and dashes" in fails(*command)
        assert sorted(Path().rglob("*")) == before


def test_train_writes_outside_for_no_ensembles_name(monkeypatch, no_keras, fails):
    monkeypatch.setattr(inputs, "load_splits", lambda *_: splits())
    write_json(Path("edited.json"), find("s1-vote").to_dict() | {"name": "../../x"})
    assert "name must be lower-case letters, digits and dashes" in fails("train", "edited.json")
    assert [path.name for path in Path().iterdir()] == ["edited.json"]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("evaluate nope", "there is no run 'nope'"),
        ("evaluate empty", "empty is not a run: it has no recipe.json"),
        ("evaluate unfinished", "is not finished"),
        ("evaluate broken", "recipe.json is not JSON"),
        ("figures", "no finished run of a recipe in"),
        ("record nope", "there is no run 'nope'"),
        ("data make full", "full is not empty"),
        ("data make new --train 1", "train must be a whole number"),
        ("data check nope", "nope cannot be used as it is"),
        ("train attempt1 --data nope", "this folder does not exist"),
        ("train attempt1 --image-size 9 9", "--image-size is for a folder"),
        ("train attempt1 --epochs 0", "epochs must be at least 1"),
        ("train attempt1 --epochs 999999999999999999999999999999", "--epochs must be at most 1000000"),
        ("train attempt1 --runs a.csv", "a file stands where a folder is needed"),
        ("data make new --train 999999999999999999999999999999", "train must be a whole number"),
        ("train attempt1 --seed -1", "seed must not be negative"),
        ("train nope.json", "nope.json does not exist"),
        ("vote nope.csv --out vote.csv", "nope.csv does not exist"),
        ("vote a.csv b.csv --out vote.csv", "only in a.csv: y"),
        ("vote a.csv a.csv --weights 1 2 --out vote.csv", "add --soft"),
        ("vote a.csv a.csv --soft --out vote.csv", "has labels only"),
        ("vote a.csv --out full", "full"),
    ],
    ids=str,
)
def test_what_the_user_can_mend_is_said_in_words(line, expected, fails):
    Path("empty").mkdir()
    Path("full").mkdir()
    Path("full/file").touch()
    (make_run(folder="unfinished-runs") / "metrics.json").unlink()
    next(Path("unfinished-runs").iterdir()).rename("unfinished")
    make_run(folder="broken-runs").rename("broken")
    Path("broken/recipe.json").write_text("{")
    write_csv("a.csv", "x,0", "y,1")
    write_csv("b.csv", "x,0", "z,1")
    assert expected in fails(*line.split())
    assert not Path("vote.csv").exists()


# ---- vote ----


def test_vote_over_files(call):
    write_csv("a.csv", "x,0", "y,1", "z,2")
    write_csv("b.csv", "z,2", "y,1", "x,1")
    write_csv("c.csv", "x,0", "z,1", "y,0")
    assert "accuracy" not in call("vote", "a.csv", "b.csv", "c.csv", "--out", "vote.csv").out
    assert read_csv("vote.csv")[1:] == [["x", "0"], ["y", "1"], ["z", "2"]]


def test_a_hard_vote_writes_what_kaggle_takes_and_shares_when_asked(call, fails):
    write_csv("a.csv", "x,cat", "y,dog")
    write_csv("b.csv", "x,cat", "y,cat")
    write_csv("c.csv", "x,cat", "y,dog")
    files = ["a.csv", "b.csv", "c.csv"]
    call("vote", *files, "--out", "vote.csv")
    assert Path("vote.csv").read_text() == "image_id,label\nx,cat\ny,dog\n"
    call("vote", *files, "--out", "vote.csv", "--shares")
    assert read_csv("vote.csv")[0] == ["image_id", "label", "cat", "dog"]
    assert read_csv("vote.csv")[2] == ["y", "dog", "0.333333343", "0.666666687"]
    runs_ = [make_run(), make_run(seed=1)]
    call("vote", *runs_, "--out", "vote.csv")
    assert {len(row) for row in read_csv("vote.csv")} == {2}
    call("vote", *runs_, "--soft", "--out", "vote.csv")
    assert {len(row) for row in read_csv("vote.csv")} == {5}
    assert "--shares are a hard vote's" in fails("vote", *runs_, "--soft", "--shares", "--out", "vote.csv")


@pytest.fixture
def precious(asked):
    """Files that no --out may destroy, and the run and the files that commands read."""
    write_folder(splits(), Path("deepfake_data"))
    run = make_run().rename("run")
    (run / "model.keras").write_bytes(b"PK")
    write_csv("a.csv", "test-0,0", "test-1,1", "test-2,2", "test-3,0")
    write_csv("mine.csv", "test-0,0")
    Path("hard.csv").hardlink_to("a.csv")
    Path("soft.csv").symlink_to("a.csv")
    Path("table.csv").symlink_to(Path("deepfake_data/validation.csv"))
    Image.new("RGB", (24, 20)).save("photo.png")
    Image.new("RGB", (24, 20)).save("photo.tiff")
    Image.new("RGB", (24, 20)).save("misnamed.csv", format="png")
    Path("notes.txt").write_text("mine")
    Path("grades.csv").write_text("name,grade\nme,1\n")
    Path("links.csv").symlink_to("notes.txt")


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("vote a.csv a.csv --out a.csv", "a.csv is read by this command"),
        ("vote a.csv a.csv --out ./deepfake_data/../a.csv", "is read by this command"),
        ("vote a.csv a.csv --out hard.csv", "is read by this command"),
        ("vote a.csv a.csv --out soft.csv", "is read by this command"),
        ("vote soft.csv --out a.csv", "is read by this command"),
        ("vote run --out run/recipe.json", "belongs to a run"),
        ("vote a.csv --out run", "run is a folder"),
        ("vote a.csv --out deepfake_data/train.csv", "is no file of predictions"),
        ("vote a.csv --out table.csv", "is no file of predictions"),
        ("vote a.csv --out grades.csv", "is no file of predictions"),
        ("vote a.csv --out links.csv", "is no file of predictions"),
        ("predict run photo.png --out photo.png", "is a picture's name"),
        ("predict run photo.png --out new.JPG", "is a picture's name"),
        ("predict run photo.png --out photo.tiff", "is no file of predictions"),
        ("predict run misnamed.csv --out misnamed.csv", "is read by this command"),
        ("predict run photo.png --out misnamed.csv", "is no file of predictions"),
        ("predict run photo.png --out run/model.keras", "belongs to a run"),
        ("submit run --out deepfake_data/sample_submission.csv", "is read by this command"),
        ("submit run --out deepfake_data/test.csv", "is no file of predictions"),
        ("figures run --out notes.txt", "notes.txt"),
        ("record run --to notes.txt", "notes.txt"),
    ],
    ids=str,
)
def test_out_destroys_nothing(precious, command, expected, asked, fails):
    before = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    assert expected in fails(*command.split())
    assert {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()} == before
    assert not asked  # before anything expensive starts


def test_out_replaces_what_was_written_by_us_or_is_empty(precious, call):
    Path("empty.csv").touch()
    for out in ("empty.csv", "empty.csv", "mine.csv", "deepfake_data/votes.csv", "run/new.csv"):
        call("vote", "a.csv", "--out", out)
        assert Path(out).read_text() == Path("a.csv").read_text()
    Path("latest.csv").symlink_to("mine.csv")
    call("predict", "run", "photo.png", "--out", "latest.csv")
    assert Path("latest.csv").is_symlink()
    assert read_csv("mine.csv")[1][0] == "photo.png"


def test_vote_over_runs_takes_test_where_all_have_it(call):
    first, second = make_run(), make_run(seed=1)
    assert "over 4 images of the test split" in call("vote", first.name, second.name, "--out", "vote.csv").out
    out = call("vote", first, second, "--split", "validation", "--out", "vote.csv").out
    assert "accuracy 83.33%" in out and "5 of 6" in out
    only = {"validation": predictions("validation", [0, 1, 2, 0, 1, 2], labels=[0, 1, 2, 0, 1, 2])}
    third = make_run(seed=2, parts=only)
    assert "over 6 images of the validation split" in call("vote", first, third, "--out", "vote.csv").out


@pytest.mark.parametrize(
    ("first_class", "options", "winner"),
    [
        ((0.7, 0.1), ["--soft"], "1"),
        ((0.7, 0.1), ["--soft", "--weights", 3, 1], "0"),
        # two of three lean to class 0, the third all but excludes it
        ((0.75, 0.75, 0.01), ["--soft"], "0"),
        ((0.75, 0.75, 0.01), ["--geometric"], "1"),
    ],
    ids=str,
)
def test_weights_and_the_kind_of_mean_decide_a_vote(first_class, options, winner, call):
    members = []
    for seed, first in enumerate(first_class):
        shares = np.float32([[first, 1 - first - 0.001, 0.001]])
        part = replace(predictions("test", [int(first < 0.5)]), probabilities=shares)
        members.append(make_run(seed, {"test": part}))
    call("vote", *members, *options, "--out", "vote.csv")
    assert read_csv("vote.csv")[1][1] == winner


def test_run_and_file_vote_together(call):
    write_csv("mine.csv", *(f"test-{i},1" for i in range(4)))
    both = [make_run(), make_run(seed=1, parts={"test": predictions("test", [1, 1, 1, 0])})]
    call("vote", *both, "mine.csv", "--out", "vote.csv")
    assert [row[1] for row in read_csv("vote.csv")[1:]] == ["1", "1", "1", "0"]


# ---- predict, submit ----


@pytest.fixture
def asked(monkeypatch, no_keras):
    """The images that a model was asked about; it says class 2 of all."""
    seen = []

    def fake(run, images, weights_checked):
        seen.append(images)
        probabilities = np.tile(np.float32([0.1, 0.2, 0.7]), (len(images), 1))
        return Predictions(images.ids, np.full(len(images), 2), CLASSES, probabilities)

    monkeypatch.setattr("dfclib.training.inference.predict_images", fake)
    monkeypatch.setattr("dfclib.training.inference.check_weights", lambda *_: None)
    return seen


def test_predict_reads_files_and_folders(asked, call):
    run = make_run()
    Path("folder/deeper").mkdir(parents=True)
    red = Image.new("RGB", (24, 20), (255, 0, 0))
    red.save("folder/b.png"), red.save("folder/deeper/a.webp", lossless=True)
    Image.new("L", (48, 40), 7).save("single.png")
    Path("folder/notes.txt").touch()
    captured = call("predict", run, "single.png", "folder", "folder/b.png")
    rows = [line.split() for line in captured.out.splitlines()]
    names = ["single.png", str(Path("folder/b.png")), str(Path("folder/deeper/a.webp"))]
    assert rows == [
        ["image", "label", *(f"p({c})" for c in CLASSES)],
        *([name, "2", "0.100", "0.200", "0.700"] for name in names),
    ]
    assert "1 of 3 images were resized to 20x24" in captured.err
    images = asked[0].images
    assert images.shape == (3, 20, 24, 3)
    assert (images[0] == 7).all() and (images[1:] == [255, 0, 0]).all()


def test_predict_writes_a_csv_file(asked, call):
    Image.new("L", (24, 20), 9).save("grey.png")
    call("predict", make_run(), "grey.png", "--out", "out.csv")
    header, row = read_csv("out.csv")
    assert (header, row[:2]) == (["image_id", "label", *CLASSES], ["grey.png", "2"])
    assert np.allclose([float(p) for p in row[2:]], [0.1, 0.2, 0.7])


def test_missing_weights_are_said_before_an_image_is_opened(monkeypatch, fails):
    write_folder(splits(test=5), Path("folder"))
    monkeypatch.setattr(Image, "open", lambda *_, **__: pytest.fail("an image was opened"))
    run = make_run()
    for command in (["predict", run, "folder/test"], ["submit", run, "--data", "folder"]):
        message = fails(*command)
        again = "python -m dfclib train attempt1 --scale quick --seed 0 --protocol published --data FOLDER --fresh"
        assert "has no weights" in message and again in message


def test_predict_refuses_what_holds_no_image(asked, fails):
    run = make_run()
    Path("one.png").write_text("no image")
    Path("two.png").touch()
    Path("empty/.hidden").mkdir(parents=True)
    Image.new("RGB", (24, 20)).save("empty/.hidden/a.png")
    Path("empty/a.gif").touch()
    message = fails("predict", run, "one.png", "two.png", "--out", "out.csv")
    assert "no image can be used" in message and "one.png: is not a PNG" in message and "two.png: the file" in message
    assert "nope.png does not exist" in fails("predict", run, "nope.png")
    assert "empty holds no image" in fails("predict", run, "empty")
    assert not asked and not Path("out.csv").exists()


@pytest.fixture
def locked(monkeypatch):
    """Files and folders called `locked` may not be read."""

    def guarded(original):
        def refuse(path, *args, **options):
            if Path(path).stem == "locked":
                raise PermissionError(13, "Permission denied", str(path))
            return original(path, *args, **options)

        return refuse

    monkeypatch.setattr(Image, "open", guarded(Image.open))
    monkeypatch.setattr(os, "scandir", guarded(os.scandir))


@pytest.mark.parametrize("out", [[], ["--out", "out.csv"]], ids=["table", "file"])
def test_predict_labels_what_it_can_and_names_the_rest(asked, locked, out, call):
    for name in ("below", "locked"):
        Path("folder", name).mkdir(parents=True)
    unprintable = os.fsdecode(b"caf\xe9.png")
    for name in ("a.png", "below/b.png", "cut.png", "locked.png", "small.png", unprintable):
        Image.new("RGB", (24, 20) if name != "small.png" else (5, 5), (1, 2, 3)).save(Path("folder", name))
    Path("folder/cut.png").write_bytes(Path("folder/a.png").read_bytes()[:50])
    for i in range(12):
        Path(f"folder/bad{i:02}.png").write_text("no image")
    Path("folder/empty.png").touch(), Path("folder/broken.png").symlink_to("gone")
    captured = call("predict", make_run(), "folder", *out, status=1)
    labelled = [f"folder/{name}" for name in ("a.png", "below/b.png", "small.png")]
    rows = read_csv("out.csv") if out else [line.split() for line in captured.out.splitlines()]
    assert [row[:2] for row in rows[1:]] == [[name, "2"] for name in labelled]
    assert "1 of 3 images were resized" in captured.err
    assert "error: 3 images are labelled; left out, 18:" in captured.err
    for line in (
        "folder/locked: cannot be read (permission denied)",
        "folder/empty.png: the file is empty",
        "folder/broken.png: cannot be read (no such file",
        "folder/locked.png: cannot be read (permission denied)",
        "folder/cut.png: cannot be decoded",
        f"{ascii(f'folder/{unprintable}')}: its name holds what is no printable UTF-8 text. Rename it",
        *(f"folder/bad{i:02}.png: is not a PNG" for i in range(12)),
    ):
        assert f"\n  {line}" in captured.err
    assert len(asked[0]) == 3 and (asked[0].images == (1, 2, 3)).all()


def test_predict_passes_over_what_is_hidden_and_names_other_images(asked, call):
    run = make_run()
    for name in ("a.png", ".b.png", "._a.png", ".cache/c.png", "__MACOSX/d.png", ".e.gif"):
        Path("folder", name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (24, 20)).save(Path("folder", name))
    for name in ("f.GIF", "g.bmp", "h.tif", "notes.txt"):
        Path("folder", name).touch()
    captured = call("predict", run, "folder", "folder/.b.png")  # named, it is not passed over
    assert asked[0].ids.tolist() == ["folder/a.png", "folder/.b.png"]
    assert "ignored, as not PNG, JPEG or WebP: folder/f.GIF, folder/g.bmp, folder/h.tif\n" in captured.err
    captured = call("predict", run, "folder/a.png", "folder/.e.gif", status=1)
    assert "folder/.e.gif: is not a PNG, JPEG or WebP image" in captured.err


def test_predict_turns_photographs_as_exif_says(asked, call):
    upright = np.zeros((20, 24, 3), np.uint8)
    upright[:10] = 200
    tags = Image.Exif()
    tags[274] = 6  # the camera was held upright: turn it clockwise
    Image.fromarray(np.rot90(upright)).save("photo.png", exif=tags)
    call("predict", make_run(), "photo.png")
    assert np.array_equal(asked[0].images[0], upright)


@pytest.mark.parametrize(("channels", "grey", "red"), [(3, [9, 9, 9], [255, 0, 0]), (1, [9], [76])])
def test_grey_and_colour_become_what_the_network_was_trained_on(channels, grey, red, asked, call):
    Image.new("RGB", (24, 20), (255, 0, 0)).save("red.png")
    Image.new("L", (24, 20), 9).save("grey.png")
    notices = call("predict", make_run(data={"channels": channels}), "grey.png", "red.png").err
    assert asked[0].images.shape == (2, 20, 24, channels)
    assert asked[0].images[:, 0, 0].tolist() == [grey, red]
    assert ("1 image(s) are in colour: they are read as grey" in notices) == (channels == 1)


def sample(folder, ids):
    """Replace the order of a folder's sample submission."""
    write_csv(Path(folder) / "sample_submission.csv", *(f"{id_},0" for id_ in ids))


@pytest.mark.parametrize("order", [(2, 0, 3, 1), (0, 1, 2)], ids=["all in another order", "some"])
def test_submit_takes_recorded_predictions_in_the_samples_order_and_opens_no_image(order, asked, call):
    """Not even images that are there, and neither train.csv nor a cache."""
    write_folder(splits(test=len(order)), Path("deepfake_data"))
    sample("deepfake_data", [f"test-{i}" for i in order])
    for name in ("train.csv", "validation.csv", "test/test-0.png"):
        Path("deepfake_data", name).unlink()
    assert "as recorded in the run for these ids; no image was opened" in call("submit", make_run()).out
    labels = ["0", "1", "2", "0"]
    assert read_csv("submission.csv") == [["image_id", "label"], *([f"test-{i}", labels[i]] for i in order)]
    assert not asked and not Path("deepfake_data/.dfclib-cache").exists()


def test_submit_decodes_the_test_split_alone_where_ids_are_not_recorded(asked, call, fails):
    other = splits(test=5)
    write_folder(other, Path("other"))
    Path("other/train/train-0.png").write_text("no image"), Path("other/validation/validation-0.png").unlink()
    sample("other", ["test-4", "test-0", "test-1", "test-2", "test-3"])
    captured = call("submit", make_run(), "--data", "other")
    assert np.array_equal(asked[0].images, other.test.images[[4, 0, 1, 2, 3]])
    assert read_csv("submission.csv")[1:] == [[f"test-{i}", "2"] for i in (4, 0, 1, 2, 3)]
    assert "has no predictions of all these ids: it labels 5 test images" in captured.err
    assert "made from the images in other" in captured.out
    assert not Path("other/.dfclib-cache").exists()
    Path("other/test/test-1.png").write_text("no image")
    assert "test/test-1.png (test.csv line 3): is not a PNG" in fails("submit", make_run(), "--data", "other")
    assert len(asked) == 1


def test_submit_brings_images_to_what_the_run_was_trained_on(asked, call):
    write_folder(splits(test=5), Path("other"))
    Image.new("L", (9, 9), 7).save("other/test/test-0.png")
    call("submit", make_run(), "--data", "other")
    assert asked[0].images.shape == (5, 20, 24, 3) and (asked[0].images[0] == 7).all()


def test_submit_asks_the_model_where_no_test_predictions_are_recorded_and_needs_test_images(asked, call, fails):
    write_folder(splits(), Path("deepfake_data"))
    run = make_run(parts={"validation": predictions("validation", [0], labels=[0])})
    call("submit", run)
    assert len(asked[0]) == 4
    Path("deepfake_data/test.csv").unlink()
    assert "deepfake_data has no test images" in fails("submit", run)


def test_submit_refuses_other_ids_and_other_classes(asked, fails):
    run = make_run()
    assert "sample_submission.csv does not exist" in fails("submit", run)
    write_folder(splits(), Path("deepfake_data"))
    sample("deepfake_data", ["test-0", "test-1"])
    assert "2 images have other ids (test-2, test-3)" in fails("submit", run)
    sample("deepfake_data", ["test-0", "test-1", "test-2", "strange"])
    message = fails("submit", run)
    assert "1 of its ids have no image (strange)" in message
    assert "1 images have other ids (test-3)" in message
    Path("deepfake_data/test.csv").write_text("id\ntest-0\n")
    assert "test.csv line 1: the columns are 'id'" in fails("submit", run)
    write_folder(splits(test=5), Path("other"))
    run = make_run(seed=1, data={"class_names": ["a", "b", "c"]})
    assert "knows the classes a, b, c, and other has 0, 1, 2" in fails("submit", run, "--data", "other")
    assert not asked and not Path("submission.csv").exists()


def test_submit_sends_only_when_asked(monkeypatch, call, fails):
    write_folder(splits(), Path("deepfake_data"))
    sent = []

    def send(path, message):
        sent.append((path, message))
        if not message:
            raise UserError("a submission needs a message")
        return "received"

    monkeypatch.setattr("dfclib.datasets.kaggle.submit", send)
    run = make_run()
    call("submit", run, "--out", "mine.csv")
    assert not sent
    assert call("submit", run, "--out", "mine.csv", "--send", "attempt 1").out.splitlines()[-1] == "received"
    assert sent == [(Path("mine.csv"), "attempt 1")]
    assert "needs a message" in fails("submit", run, "--send", "")


# ---- all together ----


def test_train_predict_and_submit_for_real(call, python, monkeypatch):
    call("data", "make", "made", "--train", 20, "--validation", 10, "--test", 5)
    command = ["train", "attempt1", "--data", "made", "--scale", "quick", "--epochs", 1]
    done = python("-m", "dfclib", *command)
    folder = done.stdout.splitlines()[-1]
    assert folder == str(Path("runs/attempt1-quick-1-epochs-made-published-seed0"))
    assert "oneDNN" not in done.stderr  # TensorFlow's own lines
    assert "finished already" in call(*command).out
    call("submit", folder, "--data", "made")
    hashed = []
    monkeypatch.setattr("dfclib.training.inference.sha256", lambda path: hashed.append(path) or sha256(path))
    call("predict", folder, "made/test", "--out", "labels.csv")
    assert hashed == [Path(folder) / "model.keras"]  # large weights are read once
    predicted = {Path(row[0]).stem: row[1] for row in read_csv("labels.csv")[1:]}
    assert predicted == dict(read_csv("submission.csv")[1:])
    assert len(predicted) == 5
