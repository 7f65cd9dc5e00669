"""The queue of `reproduce`: order, what it skips and goes on with, when it ends, and what it says."""

import fcntl
import shutil
import threading
import time
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from fakes import tiny_recipe

from dfclib import training
from dfclib.callbacks import OutOfTime, Pause, ResumableCheckpoint, TimeLimit
from dfclib.cli import main, output
from dfclib.datasets import sources
from dfclib.errors import UserError
from dfclib.files import read_json, write_json
from dfclib.recipes import find
from dfclib.recipes.recipe import FASHION_MNIST, EnsembleRecipe
from dfclib.recipes.schedules import ConstantRate
from dfclib.recording import record
from dfclib.runs import RUN_FILES, Run, run_name
from dfclib.training import queue, start, train
from dfclib.training.queue import PAUSE, QUEUE, Entry, Job, find_jobs, progress

A, B, C = (replace(tiny_recipe(), name=name, epochs=2) for name in ("a", "b", "c"))
VOTE = EnsembleRecipe("vote", "A vote", "S0", members=(A, replace(B, seed=1)))
TINY = {recipe.name: recipe for recipe in (A, B, C, VOTE)}


@pytest.fixture(autouse=True)
def tiny(splits, monkeypatch, tmp_path):
    """The queue's recipes and images are tiny; every test starts in an empty folder."""
    monkeypatch.setattr(queue, "find", TINY.__getitem__)
    monkeypatch.setattr(sources, "load", lambda folder: splits)
    monkeypatch.chdir(tmp_path)


def jobs(*names):
    return find_jobs("full", queue=[name if isinstance(name, Entry) else Entry(name) for name in names])


def look(todo) -> tuple[list[Job], queue.Images, Path, Path]:
    """The jobs with how far each is, their images, where runs are trained and where they are recorded."""
    places = queue.load_images(todo, Path("images")), Path("runs"), Path("kept")
    return progress(todo, *places), *places


def work(todo, **options) -> list:
    return list(queue.reproduce(*look(todo), **options))


def states(todo) -> dict[str, str]:
    return {job.recipe.name: job.state for job in look(todo)[0]}


def quietly(recipe, splits, runs_dir="runs", **options):
    return train(recipe, splits, runs_dir, progress=False, **options)


@pytest.fixture(scope="module")
def trained(splits, tmp_path_factory):
    """A folder with the finished runs of `a` and of `b`, seed 1: the vote's members."""
    folder = tmp_path_factory.mktemp("trained")
    for recipe in VOTE.members:
        quietly(recipe, splits, folder)
    return folder


@pytest.fixture
def recorded(trained):
    """The same, recorded in `kept`; runs/ was lost."""
    for path in trained.iterdir():
        record(Run(path), Path("kept"))


@pytest.fixture
def at_once(trained, monkeypatch):
    """A network is there at once, all around it is real; it fails for recipes whose names are put into the answer."""
    failing, source = set(), next(trained.glob("a-*"))

    def train_at_once(recipe, splits, path, *_):
        if recipe.name in failing:
            raise UserError(f"{recipe.name}: the loss became nan in epoch 2")
        own = {"name": path.name, "recipe": recipe.to_dict(), "recipe_fingerprint": recipe.fingerprint}
        write_json(path / "recipe.json", read_json(source / "recipe.json") | own)
        for name in RUN_FILES[1:]:
            shutil.copy(source / name, path)

    monkeypatch.setattr(start, "train_network", train_at_once)
    return failing


# ---- what is wanted ----


def test_members_stand_before_their_vote_and_nothing_twice():
    found = [(one.recipe.name, one.recipe.seed) for one in jobs("vote", "a", Entry("b", seed=1), "b", "vote")]
    assert found == [("a", 0), ("b", 1), ("vote", 0), ("b", 0)]


def test_an_entry_may_have_a_seed_a_protocol_a_scale_and_weights():
    (one, *others) = jobs(Entry("c", seed=3, protocol="held_out", weights=True), Entry("c"))
    assert (one.recipe.seed, one.recipe.protocol, one.weights) == (3, "held_out", True)
    assert [(other.recipe.seed, other.recipe.protocol, other.weights) for other in others] == [(0, "published", False)]


def test_only_takes_what_begins_so_and_the_members_of_a_vote():
    queue = [Entry("c"), Entry("b"), Entry("vote")]
    assert [one.recipe.name for one in find_jobs("full", ["vo"], queue)] == ["a", "b", "vote"]
    assert [one.recipe.seed for one in find_jobs("full", ["vo"], queue)] == [0, 1, 0]
    assert [one.recipe.name for one in find_jobs("full", ["c"], queue)] == ["c"]
    with pytest.raises(UserError, match="--only x: no recipe in the queue begins so; there are c, b, a, vote"):
        find_jobs("full", ["x"], queue)


def test_the_queue_itself_is_of_recipes_and_each_vote_comes_after_its_members(monkeypatch):
    monkeypatch.setattr(queue, "find", find)
    names = [run_name(one.recipe, "x") for one in find_jobs("compact")]
    assert len(set(names)) == len(names) > len(QUEUE)
    for one in find_jobs("compact"):
        if isinstance(one.recipe, EnsembleRecipe):
            place = names.index(run_name(one.recipe, "x"))
            assert all(names.index(run_name(member, "x")) < place for member in one.recipe.members)
    assert [one.recipe.scale for one in find_jobs("compact") if one.recipe.name == "attempt1"] == ["compact", "full"]


# ---- what is done ----


def test_each_is_trained_and_recorded_as_it_finishes_in_order(at_once, monkeypatch):
    seen = []
    work_on = queue.reproduce(*look(jobs("vote", Entry("c", weights=True))))
    for run in work_on:
        seen.append(run.recipe.name)
        assert sorted(path.name.partition("-")[0] for path in Path("kept").iterdir()) == sorted(seen)
    assert seen == ["a", "b", "vote", "c"]
    kept = {path.name.partition("-")[0]: path for path in Path("kept").iterdir()}
    assert {name for name, path in kept.items() if (path / "model.keras").exists()} == {"c"}
    assert set(states(jobs("vote", "c")).values()) == {"recorded"}
    monkeypatch.setattr(start, "train_network", lambda *_: pytest.fail("it trains again"))
    monkeypatch.setattr(start, "write_vote", lambda *_: pytest.fail("it trains again"))
    shutil.rmtree("runs")
    assert work(jobs("vote", "c")) == []


def test_states_tell_how_far_each_is(splits, trained, monkeypatch):
    monkeypatch.setattr("dfclib.recipes.recipe.measured", lambda what: {"b-full": 2.0, "c-full": 4.0})
    shutil.copytree(trained, "runs")
    assert states(jobs("vote", "c")) == {"a": "finished", "b": "finished", "vote": "to train", "c": "to train"}
    record(next(Run(path) for path in trained.glob("a-*")), Path("kept"))
    with pytest.raises(OutOfTime):
        quietly(C, splits, callbacks=[TimeLimit(lambda: True)])
    found = {job.recipe.name: job for job in look(jobs("vote", "c", "b"))[0]}
    assert {name: each.state for name, each in found.items()} == {
        "a": "recorded", "b": "to train", "vote": "to train", "c": "epoch 1 of 2",
    }  # fmt: skip
    seconds = Run(Path("runs") / run_name(C, "tiny")).history["seconds"].iloc[0]
    assert found["c"].minutes == pytest.approx(seconds / 60)  # one epoch is left
    assert found["b"].minutes == pytest.approx(2 * 60 / 2 / 60)  # 2 epochs of 60 images, 2 a second
    assert found["vote"].minutes == found["a"].minutes == 0


def test_another_recipe_or_other_data_are_not_taken_for_recorded(splits, trained, recorded, monkeypatch):
    assert states(jobs("a")) == {"a": "recorded"}
    with monkeypatch.context() as patch:
        patch.setattr(sources, "load", lambda folder: replace(splits, train=splits.train.take(np.arange(50))))
        assert states(jobs("a")) == {"a": "to train"}
    path = next(Path("kept").glob("a-*")) / "recipe.json"
    other = replace(A, batch_size=8)
    write_json(path, read_json(path) | {"recipe": other.to_dict(), "recipe_fingerprint": other.fingerprint})
    assert states(jobs("a")) == {"a": "to train"}


def test_members_that_are_recorded_are_brought_back_and_not_trained_again(trained, recorded, monkeypatch):
    monkeypatch.setattr(start, "train_network", lambda *_: pytest.fail("it trains a member again"))
    (run,) = work(jobs("vote"))
    assert run.is_finished and run.members == [run_name(member, "tiny") for member in VOTE.members]
    assert all((Path("runs") / name).is_dir() for name in run.members)


def test_a_recorded_member_takes_the_place_of_an_unfinished_one(trained, recorded, monkeypatch):
    shutil.copytree(trained, "runs")
    unfinished = Path("runs") / run_name(A, "tiny")
    (unfinished / "metrics.json").unlink()
    monkeypatch.setattr(start, "train_network", lambda *_: pytest.fail("it trains a member again"))
    (run,) = work(jobs("vote"))
    assert run.is_finished and Run(unfinished).is_finished


def test_a_finished_run_is_recorded_without_training(trained, monkeypatch):
    shutil.copytree(trained, "runs")
    monkeypatch.setattr(start, "train_network", lambda *_: pytest.fail("it trains again"))
    (run,) = work(jobs("a"))
    assert run.path.parent == Path("kept") and run.is_finished


# ---- when it ends ----


def clock(monkeypatch, per_epoch):
    """Hours go by in epochs alone: every epoch takes `per_epoch` of them."""
    now = [0.0]
    monkeypatch.setattr(queue.time, "monotonic", lambda: now[0])
    original = ResumableCheckpoint.on_epoch_end

    def later(self, *arguments):
        original(self, *arguments)
        now[0] += 3600 * per_epoch

    monkeypatch.setattr(ResumableCheckpoint, "on_epoch_end", later)


def test_hours_end_after_the_epoch_at_hand_and_the_next_time_goes_on_to_the_same_end(splits, monkeypatch, capsys):
    """Dropout, Adam, best weights and their counters: the end is that of a training that was never stopped."""
    long = tiny_recipe(epochs=6, keep="best_val_loss", schedule=ConstantRate(3e-3))
    monkeypatch.setitem(TINY, "a", replace(long, name="a"))
    expected = quietly(TINY["a"], splits, "uninterrupted")
    with monkeypatch.context() as patch:
        clock(patch, per_epoch=1)
        assert work(jobs("a", "c"), hours=2.5) == []
    name = expected.name
    unfinished = Run(Path("runs") / name)
    assert len(unfinished.history) == 3 and not unfinished.is_finished
    assert not Path("kept").exists()
    assert f"{name}: 3 of 6 epochs trained; the rest is for another time" in capsys.readouterr().out
    assert states(jobs("a", "c")) == {"a": "epoch 3 of 6", "c": "to train"}
    (run,) = work(jobs("a"))
    assert "going on after epoch 3" in capsys.readouterr().out
    columns = [column for column in expected.history if column != "seconds"]
    assert run.history[columns].equals(expected.history[columns])
    for split in expected.splits:
        one, other = expected.predictions(split), run.predictions(split)
        assert one.probabilities.tobytes() == other.probabilities.tobytes()
    models = [keras.saving.load_model(path / "model.keras") for path in (expected.path, Path("runs") / name)]
    for before, after in zip(*(model.get_weights() for model in models), strict=True):
        assert np.array_equal(before, after)


def test_hours_end_between_two_trainings(at_once, monkeypatch):
    now, train_at_once = [0.0], training.train

    def later(*arguments, **options):
        now[0] += 2 * 3600
        return train_at_once(*arguments, **options)

    monkeypatch.setattr(queue.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(training, "train", later)
    assert [run.recipe.name for run in work(jobs("a", "c"), hours=1.5)] == ["a"]
    assert states(jobs("a", "c")) == {"a": "recorded", "c": "to train"}


def test_no_hours_left_train_nothing(monkeypatch):
    monkeypatch.setattr(training, "train", lambda *_, **__: pytest.fail("it trains"))
    monkeypatch.setattr(queue.time, "monotonic", iter([0.0, *[1.0] * 9]).__next__)
    assert work(jobs("a"), hours=0) == []


def test_a_training_that_fails_does_not_stop_the_others(at_once):
    """A vote over it fails with it."""
    at_once.add("b")
    first, failed, vote, last = work(jobs("vote", "c"))
    assert [run.recipe.name for run in (first, last)] == ["a", "c"]
    assert str(failed) == str(vote) == "b: the loss became nan in epoch 2"
    assert sorted(path.name.partition("-")[0] for path in Path("kept").iterdir()) == ["a", "c"]


def test_a_second_one_in_the_same_folder_is_refused(monkeypatch):
    monkeypatch.setattr(training, "train", lambda *_, **__: pytest.fail("it trains"))
    Path("runs").mkdir()
    with Path("runs/.reproduce.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(UserError, match="another `reproduce` works in runs"):
            work(jobs("a"))


@pytest.fixture
def no_fashion(monkeypatch):
    """Recipe b is for Fashion-MNIST, which cannot be had."""

    def refuse(name):
        raise UserError("nothing to fetch")

    monkeypatch.setattr(sources, "load_fashion", refuse)
    monkeypatch.setitem(TINY, "b", replace(B, dataset=FASHION_MNIST))


def test_no_images_no_training(at_once, no_fashion):
    found, *_ = look(jobs("b", "a"))
    assert [(job.state, job.is_open) for job in found] == [("no data", False), ("to train", True)]
    assert [run.recipe.name for run in work(jobs("b", "a"))] == ["a"]


def test_a_paused_queue_says_so_waits_after_its_batch_and_the_seconds_do_not_count(monkeypatch, trained, capsys):
    """Paused in the middle of an epoch, for two seconds; the figures are those of one that never was."""
    paused, waits, pause = threading.Event(), [], Path("runs") / PAUSE
    sleep = time.sleep

    def waiting(seconds):
        waits.append(seconds)
        if len(waits) == 2:
            pause.unlink()
        sleep(seconds)

    original = Pause.on_epoch_begin

    def pausing(self, epoch, logs=None):
        original(self, epoch, logs)
        if epoch == 1:
            pause.touch()
            paused.set()

    monkeypatch.setattr(queue.time, "sleep", waiting)
    monkeypatch.setattr(Pause, "on_epoch_begin", pausing)
    started = time.monotonic()
    (run,) = work(jobs("a"))
    whole = time.monotonic() - started
    expected = next(Run(path) for path in trained.glob("a-*"))
    assert paused.is_set() and waits == [1, 1]
    assert f"waits while {pause} exists; go on with `python -m dfclib reproduce --resume`" in capsys.readouterr().out
    assert run.history["seconds"].sum() < whole - 2
    assert run.predictions("validation").probabilities.tobytes() == (
        expected.predictions("validation").probabilities.tobytes()
    )


# ---- the command ----


@pytest.fixture
def command(capsys, monkeypatch):
    """Runs `reproduce` with a queue of `a` and `b` and images that are there: its status, output and errors."""
    Path("images").mkdir()
    original = queue.find_jobs
    monkeypatch.setattr(queue, "find_jobs", lambda scale, only: original(scale, only, [Entry("a"), Entry("b")]))

    def run(*argv: str) -> tuple[int, str, str]:
        return main.main(["reproduce", *argv]), *capsys.readouterr()

    return run


PLACES = ("--scale", "full", "--data", "images", "--runs", "runs", "--record", "kept")


def test_the_command_trains_records_and_tells(command, at_once):
    status, text, errors = command(*PLACES)
    assert (status, errors) == (0, "")
    names = [run_name(recipe, "tiny") for recipe in (A, B)]
    assert [line for line in text.splitlines() if line.startswith("recorded")] == [f"recorded kept/{n}" for n in names]
    assert "0 of 2 recorded" in text.split("device")[0] and "2 of 2 recorded" in text.split("device")[1]
    at_once |= {"a", "b"}  # trained again, they would fail
    assert command(*PLACES)[0] == 0


def test_the_command_ends_with_1_where_a_training_failed_and_does_the_others(command, at_once):
    at_once.add("a")
    status, text, errors = command(*PLACES)
    assert status == 1
    assert f"recorded kept/{run_name(B, 'tiny')}" in text
    assert errors == (
        "error: a: the loss became nan in epoch 2\n"
        "error: 1 of the trainings failed, for the reasons above; the others are recorded\n"
    )


def test_pause_and_resume_are_a_file(command):
    assert command("--pause")[:2] == (0, f"runs/{PAUSE}: the queue waits after its current batch\n")
    assert (Path("runs") / PAUSE).exists()
    assert command("--resume")[0] == 0
    assert not (Path("runs") / PAUSE).exists()
    assert command("--resume")[0] == 0  # it went on already


def test_list_trains_nothing(command, monkeypatch):
    monkeypatch.setattr(output, "import_keras", lambda _: pytest.fail("Keras is imported"))
    status, text, _ = command(*PLACES, "--list")
    assert status == 0 and "0 of 2 recorded" in text
    assert not Path("runs").exists() and not Path("kept").exists()


def test_what_has_no_data_is_not_called_done_and_why_is_said(command, no_fashion):
    status, text, errors = command(*PLACES, "--list")
    assert status == 0 and "no data" in text and "0 of 2 recorded" in text
    assert errors == "no data: fashion-mnist: nothing to fetch\n"


def test_what_takes_no_image_of_the_competition_needs_no_folder_of_it(command, at_once, splits, monkeypatch):
    monkeypatch.setattr(sources, "load_fashion", lambda name: splits)
    monkeypatch.setitem(TINY, "b", replace(B, dataset=FASHION_MNIST))
    status, text, _ = command("--scale", "full", "--runs", "runs", "--record", "kept", "--only", "b")
    assert status == 0 and f"recorded kept/{run_name(B, 'tiny')}" in text


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["--data", "nowhere"], "nowhere is not a folder"),
        ([], "deepfake_data is not a folder"),
        (["--hours", "-1"], "--hours must not be negative"),
        (["--nice", "-1"], "--nice must not be negative"),
        (["--data", "images", "--only", "x"], "--only x: no recipe in the queue begins so"),
    ],
    ids=" ".join,
)
def test_what_cannot_work_is_refused(command, argv, expected):
    status, _, errors = command(*argv)
    assert status == 1 and expected in errors
    assert not Path("runs").exists()
