"""Which runs are found: recorded ones of several recipes, and runs that can be compared with one."""

from dataclasses import replace

from fakes import EMBEDDED, make_run

from dfclib.recipes import find
from dfclib.runs import find_alike, find_alike_or_recorded, find_recorded


def test_recorded_runs_of_one_protocol(tmp_path):
    make_run(tmp_path, "s1-v1")
    make_run(tmp_path, find("s1-v1").compact().with_options(protocol="held_out"))
    assert [run.protocol for run in find_recorded("s1-v1", folder=tmp_path)] == ["published"]
    assert [run.protocol for run in find_recorded("s1-v1", protocol="held_out", folder=tmp_path)] == ["held_out"]
    assert find_recorded("s1-v2", protocol="held_out", folder=tmp_path) == []


def test_a_current_run_is_taken_before_an_earlier_recipes_of_a_larger_scale(tmp_path):
    full = find("attempt1")
    make_run(tmp_path, replace(full, batch_size=7))
    assert [run.scale for run in find_recorded("attempt1", folder=tmp_path)] == ["full"]  # better than none
    make_run(tmp_path, full.compact().with_options(seed=4))
    assert [(run.scale, run.seed) for run in find_recorded("attempt1", folder=tmp_path)] == [("compact", 4)]
    make_run(tmp_path, full.with_options(seed=5))
    assert [(run.scale, run.seed) for run in find_recorded("attempt1", folder=tmp_path)] == [("full", 5)]


def test_recorded_runs_are_real_the_largest_scale_and_the_lowest_seed(tmp_path):
    full = find("attempt1")
    assert find_recorded("attempt1", folder=tmp_path) == []
    for recipe in (full.compact(), full.with_options(seed=3), full.with_options(seed=2), full.quick()):
        make_run(tmp_path, recipe)
    make_run(tmp_path, full, data=EMBEDDED)
    make_run(tmp_path, "attempt2")
    found = find_recorded("attempt2", "attempt4", "attempt1", folder=tmp_path)
    assert [(run.recipe.name, run.scale, run.seed) for run in found] == [
        ("attempt2", "compact", 0),
        ("attempt1", "full", 2),
    ]


def test_alike_means_same_data_scale_and_seed(tmp_path):
    run = make_run(tmp_path, find("attempt2"))
    make_run(tmp_path, find("attempt1"))
    make_run(tmp_path, find("attempt4").quick())
    make_run(tmp_path, find("attempt5").with_options(seed=1))
    make_run(tmp_path, find("attempt6"), data={"fingerprint": "other"})
    found = find_alike(run, "attempt6", "attempt5", "attempt4", "attempt2", "attempt1")
    assert [other.recipe.name for other in found] == ["attempt2", "attempt1"]


def test_what_was_not_trained_here_comes_from_the_recorded_runs(tmp_path):
    here, recorded = tmp_path / "here", tmp_path / "recorded"
    run = make_run(here, find("attempt4").quick(), data=EMBEDDED)
    beside = make_run(here, find("attempt2").quick(), data=EMBEDDED)
    make_run(recorded, "attempt1"), make_run(recorded, "attempt2")
    found = find_alike_or_recorded(run, "attempt1", "attempt2", "attempt3", folder=recorded)
    assert [(other.path.parent, other.recipe.name) for other in found] == [(recorded, "attempt1"), (here, "attempt2")]
    assert found[1].name == beside.name
