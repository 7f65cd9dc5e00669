"""Copying finished runs: nothing but their own files, whole at any moment, and never over another training."""

import contextlib
import os
import shutil
from pathlib import Path

import pytest

from dfclib import recording
from dfclib.errors import UserError
from dfclib.files import read_json, write_json
from dfclib.recording import record
from dfclib.runs import RUN_FILES, Run, find_runs


@pytest.fixture
def run(finished, tmp_path) -> Run:
    """A copy of the finished run that a test may break."""
    return Run(Path(shutil.copytree(finished.path, tmp_path / "runs" / finished.name)))


def edit(run, recipe: str, data: str | None = None) -> Run:
    """The run with another fingerprint of its recipe, and perhaps of its data."""
    contents = read_json(run.path / "recipe.json")
    contents["data"]["fingerprint"] = data or contents["data"]["fingerprint"]
    write_json(run.path / "recipe.json", contents | {"recipe_fingerprint": recipe})
    return Run(run.path)


def contents(folder):
    """The bytes of a run's files, without the lock that a training leaves."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != ".lock"}


def test_record_copies_a_runs_own_files_and_nothing_else(run, tmp_path):
    (run.path / "checkpoint").mkdir()
    (run.path / "checkpoint" / "epoch-0001.npz").write_bytes(b"x")
    (run.path / ".history.csv.123.tmp").write_bytes(b"x")
    (run.path / "__init__.py").write_text("raise SystemExit('code from a run')")
    (run.path / "secret.txt").symlink_to("/etc/hostname")
    recorded = record(run, tmp_path / "report")
    assert recorded.path == tmp_path / "report" / run.name
    assert contents(recorded.path) == {name: (run.path / name).read_bytes() for name in RUN_FILES}


def test_record_leaves_weights_out_where_they_are_large_or_when_asked(run, tmp_path, monkeypatch):
    size = run.model_path.stat().st_size
    assert not record(run, tmp_path / "c", weights=False).model_path.exists()
    monkeypatch.setattr(recording, "LARGEST_RECORDED_MODEL", size - 1)
    assert not record(run, tmp_path / "a").model_path.exists()
    monkeypatch.setattr(recording, "LARGEST_RECORDED_MODEL", size)
    assert record(run, tmp_path / "b").model_path.exists()


def test_record_twice_is_well_and_another_training_is_refused(run, tmp_path):
    record(run, tmp_path / "report")
    record(run, tmp_path / "report")
    other = edit(run, "0" * 16)
    with pytest.raises(UserError, match="recipe_fingerprint differs"):
        record(other, tmp_path / "report")
    other = edit(run, run.recipe.fingerprint, data="0" * 16)
    with pytest.raises(UserError, match="data differs"):
        record(other, tmp_path / "report")
    (run.path / "metrics.json").unlink()
    with pytest.raises(UserError, match="not finished"):
        record(run, tmp_path / "elsewhere")


@pytest.mark.parametrize("name", RUN_FILES)
@pytest.mark.parametrize("kind", ["link", "dangling link", "folder", "pipe"])
def test_record_follows_no_link_and_copies_no_folder(run, tmp_path, name, kind):
    path = run.path / name
    kept = path.rename(tmp_path / name)
    if kind == "link":
        path.symlink_to(kept)
    elif kind == "dangling link":
        path.symlink_to(tmp_path / "nowhere")
    elif kind == "folder":
        path.mkdir()
    else:
        os.mkfifo(path)  # opened, it would wait for a writer
    with pytest.raises(UserError):
        record(Run(run.path), tmp_path / "report")
    assert not (tmp_path / "report").exists()


def test_record_leaves_a_link_and_a_strangers_file_where_a_run_would_go(run, tmp_path):
    to, elsewhere = tmp_path / "report", tmp_path / "elsewhere"
    to.mkdir(), elsewhere.mkdir()
    (to / run.name).symlink_to(elsewhere)
    with pytest.raises(UserError, match="is a link or a file"):
        record(run, to)
    assert not list(elsewhere.iterdir())
    (to / run.name).unlink()
    recorded = record(run, to)
    (recorded.path / "notes.md").write_text("mine")
    with pytest.raises(UserError, match="holds notes.md"):
        record(run, to)
    assert (recorded.path / "notes.md").read_text() == "mine"


def test_an_unfinished_training_is_not_taken_for_an_interrupted_copy(run, tmp_path):
    training = tmp_path / "others" / run.name
    shutil.copytree(run.path, training)
    (training / "metrics.json").unlink()
    (training / ".lock").unlink()
    (training / "checkpoint").mkdir()
    with pytest.raises(UserError, match="holds checkpoint"):
        record(run, training.parent)
    assert (training / "checkpoint").is_dir()


def test_recording_a_run_onto_itself_changes_nothing(run):
    (run.path / "checkpoint").mkdir()
    assert record(run, run.path.parent, weights=False).path == run.path
    assert (run.path / "checkpoint").is_dir() and run.model_path.exists()


@pytest.mark.parametrize("left", [["recipe.json"], ["recipe.json", "probabilities.npz"], ["history.csv"], []])
def test_a_half_copy_of_an_earlier_version_is_completed(run, tmp_path, left):
    target = tmp_path / "report" / run.name
    target.mkdir(parents=True)
    for name in left:
        shutil.copy(run.path / name, target)
    (target / ".model.keras.123-abcd.tmp").write_bytes(b"half")
    assert contents(record(run, tmp_path / "report").path) == contents(run.path)


class Killed(BaseException):
    """Stands for kill -9: nothing catches it."""


def steps_until_killed(monkeypatch, step):
    """Die before the file operation number `step` (from 1); what has been counted."""
    count = [0]

    def dying(operation):
        def counted(*args, **options):
            count[0] += 1
            if count[0] == step:
                raise Killed
            return operation(*args, **options)

        return counted

    monkeypatch.setattr(recording.os, "rename", dying(os.rename))
    monkeypatch.setattr(recording.shutil, "rmtree", dying(shutil.rmtree))
    monkeypatch.setattr(recording.shutil, "copyfileobj", dying(shutil.copyfileobj))
    return count


@pytest.mark.parametrize("recorded_before", [False, True])
def test_a_recording_killed_at_any_step_loses_nothing_and_is_completed(run, tmp_path, monkeypatch, recorded_before):
    step = 0
    while True:
        step += 1
        to = tmp_path / f"report-{step}"
        before = {}
        if recorded_before:
            before = contents(record(run, to, weights=False).path)
        with monkeypatch.context() as patch:
            count = steps_until_killed(patch, step)
            with contextlib.suppress(Killed):
                record(run, to)
        whole = [path for path in to.iterdir() if (path / "metrics.json").exists()]
        for found in find_runs(to):
            assert contents(found.path) in (before, contents(run.path))
        if recorded_before:
            assert any(contents(path) in (before, contents(run.path)) for path in whole)
        assert contents(record(run, to).path) == contents(run.path)
        assert [path.name for path in to.iterdir()] == [run.name]
        if count[0] < step:
            break
    assert step > 6  # five files and a rename


def test_an_earlier_recipes_run_is_replaced_by_the_current_ones_and_never_the_other_way(run, tmp_path, monkeypatch):
    recorded = record(run, tmp_path / "report", weights=False)
    before = contents(recorded.path)
    newer = edit(run, "0" * 16)
    current = set()
    monkeypatch.setattr(Run, "is_current", property(lambda run: run.path in current))
    for standing in (set(), {recorded.path}, {recorded.path, newer.path}):
        current = standing
        with pytest.raises(UserError, match="recipe_fingerprint differs"):
            record(newer, tmp_path / "report")
        assert contents(recorded.path) == before
    current = {newer.path}
    assert contents(record(newer, tmp_path / "report").path) == contents(newer.path)
    other_data = edit(newer, "2" * 16, data="1" * 16)
    with pytest.raises(UserError, match="another training"):
        record(other_data, tmp_path / "report")
