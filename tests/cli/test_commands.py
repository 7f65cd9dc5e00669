"""The commands about data, recipes, trainings, runs and votes: what they do, what they say, and how they end."""

import json
import types
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dfclib import runs, validation_looks
from dfclib.cli import inputs
from dfclib.datasets.folder.loading import load_folder, write_folder
from dfclib.files import read_json, write_json, write_text
from dfclib.recipes import find
from dfclib.recipes.recipe import OURS
from dfclib.wording import duration

pytestmark = pytest.mark.usefixtures("empty_folder")


# ---- data, recipes ----


def test_made_folder_is_sound_and_as_large_as_asked(call):
    assert call("data", "make", "made", "--train", 15, "--validation", 10, "--test", 5, "--seed", 1).out == "made\n"
    assert "No problems found." in call("data", "check", "made").out
    loaded = load_folder("made")
    assert [len(loaded.train), len(loaded.validation), len(loaded.test)] == [15, 10, 5]


def test_traces_of_a_folder_and_of_the_embedded_images_are_recorded(call, small_splits):
    write_folder(small_splits(), Path("folder"))
    assert call("data", "traces", "folder", "--out", "measured").out == "measured/traces-folder.json\n"
    assert call("data", "traces", "--out", "measured").out == "measured/traces-embedded.json\n"
    found = {path.stem: read_json(path) for path in Path("measured").iterdir()}
    assert found["traces-embedded"]["embedded"] and not found["traces-folder"]["embedded"]
    assert found["traces-folder"]["images"] == small_splits().train.class_counts().tolist()


def test_checking_a_broken_folder_reports_and_ends_with_1(call, small_splits):
    write_folder(small_splits(), Path("folder"))
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
def trained(monkeypatch, no_keras, small_splits):
    """The arguments of each call of train, which returns a run whose folder is runs/the-run."""
    calls = []

    def fake(recipe, splits, runs_dir, fresh, callbacks=()):
        options = {"fresh": fresh, "callbacks": callbacks}
        calls.append(types.SimpleNamespace(recipe=recipe, splits=splits, runs_dir=runs_dir, **options))
        return runs.Run(Path(runs_dir) / "the-run")

    monkeypatch.setattr("dfclib.training.train", fake)
    monkeypatch.setattr("dfclib.training.missing", lambda recipe, *_, **options: list(recipe.members))
    monkeypatch.setattr("dfclib.datasets.generated.animals.make_splits", lambda: small_splits("embedded"))
    return calls


def test_train_announces_itself_and_prints_the_folder_last(trained, call, small_splits):
    write_folder(small_splits(), Path("folder"))
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


def test_only_what_is_left_is_counted(trained, monkeypatch, call):
    monkeypatch.setattr("dfclib.training.missing", lambda recipe, *_, **options: list(recipe.members[1:]))
    first, *others = find("s1-vote").quick().members
    assert f"epochs   at most {' + '.join(str(m.epochs) for m in others)}\n" in call("train", "s1-vote").out
    monkeypatch.setattr("dfclib.training.missing", lambda *_, **options: [])
    out = call("train", "s1-vote").out
    assert "epochs " not in out and "time " not in out and "device " not in out


def test_a_study_on_embedded_images_is_written_to_no_report(monkeypatch, no_keras, call, small_splits):
    asked = {"name": "one", "question": "Which?", "recipe": "attempt1", "variants": {"as it is": {}}}
    write_json(Path("study.json"), asked)
    written = []

    def fake(study, splits, runs_dir, out):
        written.append(out)
        return write_text(Path("table.md"), "# Which?")

    monkeypatch.setattr("dfclib.training.study.run_study", fake)
    monkeypatch.setattr("dfclib.datasets.generated.animals.make_splits", lambda: replace(small_splits(), embedded=True))
    write_folder(small_splits(), Path("folder"))
    call("study", "study.json")
    call("study", "study.json", "--data", "folder")
    call("study", "study.json", "--out", "mine")
    assert written == [Path("build/studies"), Path("report/studies"), Path("mine")]


def test_expected_time_is_said_before_the_start(trained, monkeypatch, call):
    monkeypatch.setattr("dfclib.recipes.recipe.measured", lambda what: {"attempt1-quick": 0.01})
    seconds = find("attempt1").quick().epochs * 9 / 0.01  # nine images, at 0.01 a second
    assert f"about {duration(seconds)} on two CPU cores" in call("train", "attempt1").out


@pytest.mark.parametrize(("gpu", "real"), [(False, "compact"), (True, "full")], ids=["CPU", "GPU"])
def test_defaults_of_data_and_scale(trained, monkeypatch, gpu, real, call, small_splits):
    monkeypatch.setattr("dfclib.training.devices.has_gpu", lambda: gpu)
    call("train", "attempt1")
    write_folder(small_splits(), Path("deepfake_data"))
    call("train", "attempt1")
    call("train", "attempt1", "--scale", "quick")
    assert [c.splits.name for c in trained] == ["embedded", "deepfake-data", "deepfake-data"]
    assert [c.recipe.scale for c in trained] == ["quick", real, "quick"]


def test_fashion_recipes_never_take_the_competition(trained, monkeypatch, call, fails, small_splits):
    asked = []
    monkeypatch.setattr("dfclib.training.devices.has_gpu", lambda: False)
    monkeypatch.setattr(
        "dfclib.datasets.sources.load_fashion", lambda data: asked.append(data) or small_splits("clothes")
    )
    write_folder(small_splits(), Path("deepfake_data"))
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
    assert [member.seed for member in recipe.members] == [5, 5, 15, 16, 17]


def test_precision_is_every_members_and_no_other_recipe(trained, call):
    command = ["train", "s1-vote", "--scale", "full"]
    call(*command)
    assert "; mixed_bfloat16\n" in call(*command, "--precision", "mixed_bfloat16").out
    plain, given = (calls.recipe for calls in trained)
    assert {member.precision for member in given.members} == {"mixed_bfloat16"}
    assert given.fingerprint == plain.fingerprint


def test_recipe_file_of_a_run_or_alone(trained, call, make_run, small_splits):
    file = make_run(seed=7, folder="recorded") / "recipe.json"
    call("train", file)
    write_json(Path("alone.json"), read_json(file)["recipe"])
    write_folder(small_splits(), Path("folder"))
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
def test_edited_recipe_is_refused_before_data_is_read(change, options, expected, monkeypatch, fails, make_run):
    monkeypatch.setattr(inputs, "load_splits", lambda *_: pytest.fail("data was read"))
    values = read_json(make_run() / "recipe.json")
    values["recipe"] |= change
    write_json(Path("edited.json"), values)
    assert expected in fails("train", "edited.json", *options)


def test_mixed_sizes_need_an_image_size(trained, call, fails, small_splits):
    write_folder(small_splits(), Path("folder"))
    Image.new("RGB", (50, 40)).save("folder/train/train-0.png")
    message = fails("train", "attempt1", "--data", "folder")
    assert "2 sizes" in message and "--image-size HEIGHT WIDTH" in message
    call("train", "attempt1", "--data", "folder", "--image-size", 16, 18)
    assert trained[0].splits.train.size == (16, 18)


# ---- runs: evaluate, figures, record ----


def test_evaluate_by_name_and_by_folder(call, make_run):
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


def test_runs_take_precedence_over_recorded_ones(call, make_run, predictions):
    make_run(folder="report/runs")
    wrong = {"validation": predictions("validation", [1, 2, 0], labels=[0, 1, 2])}
    assert "accuracy 0.00%" in call("evaluate", make_run(parts=wrong, folder="mine").name, "--runs", "mine").out


def test_a_recipe_s_name_stands_for_its_only_finished_run(call, fails, make_run):
    recorded = make_run(seed=1, folder="report/runs")
    assert call("evaluate", "attempt1").out.startswith(f"{recorded.name}\n")
    (make_run(seed=2) / "metrics.json").unlink()  # unfinished: does not count
    mine = make_run(seed=3)
    assert call("evaluate", "attempt1").out.startswith(f"{mine.name}\n")
    other = make_run(seed=4)
    message = fails("evaluate", "attempt1")
    assert message == f"error: attempt1 has 2 finished runs in runs; name one of them:\n  {mine.name}\n  {other.name}\n"


def test_a_recipe_s_name_is_not_its_variant_s(call, make_run):
    """attempt1-a is another recipe than attempt1, and data may be called as strangely as anybody likes."""
    for name in ("attempt1-quick-x-compact-small-published-seed0", "attempt1-a-quick-unibuc-published-seed0"):
        path = make_run(folder="report/runs")
        write_json(path / "recipe.json", read_json(path / "recipe.json") | {"name": name})
        path.rename(path.with_name(name))
        recipe = name.split("-quick")[0]
        assert call("evaluate", recipe).out.startswith(f"{name}\n")
    call("evaluate", "attempt1")


def test_a_broken_run_stands_in_no_other_s_way(call, fails, make_run):
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
def test_a_wrong_name_comes_with_near_ones(name, expected, fails, make_run):
    make_run(folder="report/runs")
    assert expected in fails("evaluate", name)


def test_figures_without_a_name_are_the_overviews_of_recorded_runs(monkeypatch, call, make_run):
    make_run(folder="report/runs"), make_run(seed=1, folder="report/runs"), make_run(seed=2)

    def draw_overviews(runs, out):
        assert [run.seed for run in runs] == [0, 1]
        return [out / "a.png"]

    monkeypatch.setattr("dfclib.reporting.figures.draw_overviews", draw_overviews)
    assert call("figures", "--out", "there").out == f"{Path('there/a.png')}\n"


def test_figures_of_named_runs_leave_the_overviews_alone(call, make_run):
    run = make_run(folder="report/runs")
    Path("images").mkdir()
    for name in ("ladder.png", "systems.png"):
        Path("images", name).write_text("of all recorded runs")
    drawn = {f"{run.name}-{kind}.png" for kind in ("curves", "confusion", "per-class")}
    assert {Path(line).name for line in call("figures", run.name).out.splitlines()} == drawn
    assert {path.name for path in Path("images").iterdir()} == drawn | {"ladder.png", "systems.png"}
    assert Path("images/ladder.png").read_text() == Path("images/systems.png").read_text() == "of all recorded runs"


def test_record_copies_several_runs_or_none(call, fails, make_run):
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


def test_no_command_writes_outside_for_a_name_in_recipe_json(fails, make_run):
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


def test_train_writes_outside_for_no_ensembles_name(monkeypatch, no_keras, fails, small_splits):
    monkeypatch.setattr(inputs, "load_splits", lambda *_: small_splits())
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
        ("train nope.json", "nope.json does not exist"),
        ("vote nope.csv --out vote.csv", "nope.csv does not exist"),
        ("vote a.csv b.csv --out vote.csv", "only in a.csv: y"),
        ("vote a.csv a.csv --weights 1 2 --out vote.csv", "add --soft"),
        ("vote a.csv a.csv --soft --out vote.csv", "has labels only"),
        ("vote a.csv --out full", "full"),
        ("vote a.csv --out a.csv/votes.csv", "a.csv is no folder"),
    ],
    ids=str,
)
def test_what_the_user_can_mend_is_said_in_words(line, expected, fails, make_run, write_csv):
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


def test_vote_over_files(call, write_csv, read_csv):
    write_csv("a.csv", "x,0", "y,1", "z,2")
    write_csv("b.csv", "z,2", "y,1", "x,1")
    write_csv("c.csv", "x,0", "z,1", "y,0")
    assert "accuracy" not in call("vote", "a.csv", "b.csv", "c.csv", "--out", "vote.csv").out
    assert read_csv("vote.csv")[1:] == [["x", "0"], ["y", "1"], ["z", "2"]]


def test_a_hard_vote_writes_what_kaggle_takes_and_shares_when_asked(call, fails, make_run, write_csv, read_csv):
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


def test_vote_over_runs_takes_test_where_all_have_it(call, make_run, predictions):
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
def test_weights_and_the_kind_of_mean_decide_a_vote(
    first_class, options, winner, call, make_run, predictions, read_csv
):
    members = []
    for seed, first in enumerate(first_class):
        shares = np.float32([[first, 1 - first - 0.001, 0.001]])
        part = replace(predictions("test", [int(first < 0.5)]), probabilities=shares)
        members.append(make_run(seed, {"test": part}))
    call("vote", *members, *options, "--out", "vote.csv")
    assert read_csv("vote.csv")[1][1] == winner


def test_run_and_file_vote_together(call, make_run, predictions, write_csv, read_csv):
    write_csv("mine.csv", *(f"test-{i},1" for i in range(4)))
    both = [make_run(), make_run(seed=1, parts={"test": predictions("test", [1, 1, 1, 0])})]
    call("vote", *both, "mine.csv", "--out", "vote.csv")
    assert [row[1] for row in read_csv("vote.csv")[1:]] == ["1", "1", "1", "0"]


def test_a_vote_over_runs_of_ours_on_validation_is_noted_as_a_look_at_it(call, make_run):
    runs_ = [make_run(), make_run(seed=1)]
    command = ["vote", *runs_, "--soft", "--weights", 1, 2, "--split", "validation", "--out", "vote.csv"]
    call(*command)
    assert validation_looks.read("runs") == []  # those of an author
    for run in runs_:
        values = read_json(run / "recipe.json")
        values["recipe"]["system"] = OURS
        write_json(run / "recipe.json", values)
    call("vote", *runs_, "--soft", "--out", "vote.csv")
    assert validation_looks.read("runs") == []  # the test images
    call(*command)
    (row,) = validation_looks.read("runs")
    assert row["run"] == f"soft vote of {runs_[0]} + {runs_[1]}, weights 1.0 2.0"
    assert (row["correct"], row["n"]) == ("5", "6")


def test_tensorboard_that_is_not_installed_is_said_before_anything_is_read(monkeypatch, fails):
    monkeypatch.setattr("dfclib.cli.commands.training.find_spec", lambda name: None)
    assert "pip install tensorboard" in fails("train", "attempt1", "--tensorboard", "logs")


def test_tensorboard_has_a_sub_folder_per_run(trained, monkeypatch, call):
    monkeypatch.setattr("dfclib.cli.commands.training.find_spec", lambda name: name)
    monkeypatch.setattr("keras.callbacks.TensorBoard", lambda folder: folder)
    call("train", "attempt3", "--tensorboard", "logs")
    make = trained[0].callbacks
    assert [make(name) for name in ("a", "b")] == [[Path("logs/a")], [Path("logs/b")]]
