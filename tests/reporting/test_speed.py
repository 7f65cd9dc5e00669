"""The benchmarks' results in the report, from files as benchmarks write them."""

import pytest

from dfclib.files import write_json
from dfclib.reporting import readme, speed

ENVIRONMENT = {"environment": {"device_name": "a chip, 2 cores"}}
SUMMARY = {"n": 5, "median": 1234.5, "min": 1200.0, "max": 1300.0}


def results(folder, name, **values):
    return write_json(folder / "benchmarks" / "results" / f"{name}.json", ENVIRONMENT | values)


def test_nothing_measured_is_said(tmp_path):
    assert readme.speed_block(tmp_path) == readme.NOTHING


def test_throughput_and_loading_are_rows_with_their_numbers_and_ratios_below(tmp_path):
    results(tmp_path, "throughput", images_per_second={"ours": SUMMARY}, ours_times_as_fast_as={"pytorch": 1.07})
    seconds = {"decode": SUMMARY | {"median": 2.5, "min": 2.0}}
    results(tmp_path, "loading", images={"decode": 6500}, seconds=seconds, labelling_per_decoding=3.2)
    head, _, trained, decoded, empty, shared, _, *notes = readme.speed_block(tmp_path).splitlines()
    assert head == "| measured | median | range |"
    assert shared == "In all rows: 5 measurements, on a chip, 2 cores."
    cells = "1,234.5 images/s | 1,200.0 to 1,300.0 |"
    assert trained == f"| training sprint's network, data included: ours | {cells}"
    assert decoded.startswith("| decode, 6,500 images | 2.5 s | ")
    assert empty == ""
    assert [note.split(" (")[0] for note in notes] == [
        "* Ours trains sprint's network 1.07 times as fast as plain PyTorch, channels last",
        "* Labelling files by sprint's network takes 3.2 times as long as decoding them.",
    ]


@pytest.mark.parametrize(
    ("steepest", "words"), [(1.1, "nothing grows more"), (1.29, "votes with classes (power 1.29)")]
)
def test_growth_names_what_is_more_than_linear(steepest, words, tmp_path):
    growth = {"votes": {"images": {"exponent": 1.0}, "classes": {"exponent": steepest}}}
    results(tmp_path, "growth", growth=growth)
    (note,) = speed.speed_notes(tmp_path / "benchmarks" / "results")
    assert note.startswith("Of 2 ways") and words in note
    assert readme.speed_block(tmp_path).startswith(readme.NOTHING)


def test_a_time_that_was_told_from_steps_says_so(tmp_path):
    sprint = {"seconds": {"trained to its end": 600.0, "by its steps": 480.0}}
    s1 = {"seconds_per_epoch": {"s1-v1": 100.0, "s1-v2": 200.0}, "seconds": None}
    results(tmp_path, "time_to_accuracy", images_per_second={}, s1=s1, sprint=sprint, s1_takes_times_as_long=None)
    (note,) = speed.speed_notes(tmp_path / "benchmarks" / "results")
    assert note.endswith("all of sprint's 8 min, by its steps (its start and its predictions not counted).")


@pytest.mark.parametrize("epochs", [None, 70])
def test_s1_s_time_is_told_where_its_epochs_are_known(epochs, tmp_path):
    s1 = {"seconds_per_epoch": {"s1-v1": 100.0, "s1-v2": 200.0}, "seconds": epochs and 300 * epochs}
    sprint = {"seconds": {"by its steps": 500.0, "trained to its end": 600.0}}
    ratio = epochs and 300 * epochs / 600
    results(tmp_path, "time_to_accuracy", images_per_second={}, s1=s1, sprint=sprint, s1_takes_times_as_long=ratio)
    first, *rest = speed.speed_notes(tmp_path / "benchmarks" / "results")
    assert first == "One epoch of S1's pair takes 5 min in S1's own way, all of sprint's 10 min, trained to its end."
    assert bool(rest) == bool(epochs)
    assert not rest or rest[0].endswith("S1's way would need 5.8 h, 35.0 times as long as sprint.")
    told = speed.times_as_long(tmp_path / "benchmarks" / "results")
    assert bool(told) == bool(epochs)
    assert not told or "would take 35 times as long as sprint (about 5.8 h on a chip, 2 cores" in told
