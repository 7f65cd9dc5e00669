"""Studies: every variant is trained once on held-out images, and a killed study goes on."""

import json
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from dfclib.callbacks import OutOfTime
from dfclib.datasets.images import held_out_split
from dfclib.errors import UserError
from dfclib.files import read_json, write_json
from dfclib.reporting.studies import read_studies
from dfclib.runs import Run, find_runs
from dfclib.training import network, predict
from dfclib.training import study as studies
from dfclib.training.inference import load_network
from dfclib.training.study import Study, read_study, run_study, variant
from dfclib.training.study_results import RESULTS, Trained, read_outcomes, write_results

ROOT = Path(__file__).parents[2]
STUDIES = [path for path in ROOT.glob("report/studies/*.json") if not path.name.endswith(RESULTS)]
TINY = {
    **{"image_size": [16, 16], "framing": "resize", "epochs": 2, "batch_size": 16, "stopping": None, "keep": "last"},
    **{"arguments.filters": [4, 6, 8], "arguments.head": [[16, 0.2]], "precision": "float32"},
}
PLAIN = Study(
    "tiny", "Which rate?", "attempt2", changes=TINY, seeds=(0, 1), vary={"schedule.learning_rate": [1e-3, 1e-5]}
)


def silent(text):
    pass


def file(folder, **changes):
    values = {"name": "tiny", "question": "Which?", "recipe": "attempt2", "changes": TINY, "vary": {"epochs": [1, 2]}}
    return write_json(folder / "study.json", values | changes)


@pytest.fixture(scope="module")
def finished(splits, tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    path = run_study(PLAIN, splits, folder / "runs", folder / "out", silent)
    return folder, path


def test_every_combination_is_trained_with_every_seed_on_held_out_images_alone(finished, splits):
    folder, _ = finished
    runs = find_runs(folder / "runs")
    found = sorted((run.recipe.schedule.learning_rate, run.seed) for run in runs)
    assert found == [(1e-5, 0), (1e-5, 1), (1e-3, 0), (1e-3, 1)]
    held_out = held_out_split(splits.train)[1].ids.tolist()
    for run in runs:
        assert run.splits == ("held_out",)
        assert run.predictions("held_out").ids.tolist() == held_out
        assert "validation" not in run.metrics


def test_the_table_is_what_the_runs_say(finished):
    folder, path = finished
    results = read_json(folder / "out" / "tiny.results.json")["results"]
    for row in results:
        runs = [Run(folder / "runs" / one["run"]) for one in row["trained"]]
        accuracies = [run.metrics["held_out"]["accuracy"] for run in runs]
        assert row["by_seed"] == accuracies
        assert row["accuracy"] == pytest.approx(np.mean(accuracies))
        assert row["low"] <= row["accuracy"] <= row["high"]
        assert row["variant"] == f"schedule.learning_rate {runs[0].recipe.schedule.learning_rate}"
    assert [row["accuracy"] for row in results] == sorted((row["accuracy"] for row in results), reverse=True)
    first, other = sorted(results, key=lambda row: row["difference"] != 0)
    assert first["difference"] == 0
    assert other["difference"] == pytest.approx(other["accuracy"] - first["accuracy"])
    assert other["difference_low"] <= other["difference"] <= other["difference_high"]
    text = path.read_text()
    assert text.startswith("# Which rate?")
    assert all(f"{100 * row['accuracy']:.2f}%" in text for row in results)


def test_a_finished_study_trains_nothing(finished, splits, monkeypatch):
    folder, path = finished
    before = path.read_text()
    monkeypatch.setattr("dfclib.training.study._train_seeds", None)
    assert run_study(PLAIN, splits, folder / "runs", folder / "out", silent) == path
    assert path.read_text() == before


def test_a_study_that_was_stopped_or_killed_goes_on_with_the_variant_at_hand(finished, splits, tmp_path, monkeypatch):
    folder, path = finished
    original, calls = studies._train_seeds, []

    def breaks(study, trial, changes, *rest):
        calls.append(changes["schedule.learning_rate"])
        if len(calls) == 1:
            raise OutOfTime("1 of 2 epochs trained")
        if len(calls) == 3:
            raise KeyboardInterrupt
        return original(study, trial, changes, *rest)

    monkeypatch.setattr(studies, "_train_seeds", breaks)
    run_study(PLAIN, splits, tmp_path / "runs", tmp_path / "out", silent)
    assert read_json(tmp_path / "out" / "tiny.results.json")["results"] == []
    with pytest.raises(KeyboardInterrupt):
        run_study(PLAIN, splits, tmp_path / "runs", tmp_path / "out", silent)
    run_study(PLAIN, splits, tmp_path / "runs", tmp_path / "out", silent)
    assert calls == [1e-3, 1e-3, 1e-5, 1e-5]
    after, in_one_go = (read_json(f / "out" / "tiny.results.json")["results"] for f in (tmp_path, folder))
    assert [(row["variant"], row["by_seed"]) for row in after] == [
        (row["variant"], row["by_seed"]) for row in in_one_go
    ]


def test_results_are_enough_to_go_on_from_without_the_runs(finished, splits, tmp_path, monkeypatch):
    folder, path = finished
    monkeypatch.setattr(studies, "_train_seeds", None)
    for name in ("tiny.results.json", "tiny.md"):
        (tmp_path / name).write_bytes((folder / "out" / name).read_bytes())
    for _ in range(2):
        run_study(PLAIN, splits, tmp_path / "runs", tmp_path, silent)
        for name in ("tiny.results.json", "tiny.md"):
            assert (tmp_path / name).read_text() == (folder / "out" / name).read_text()


def test_a_grid_that_waited_trains_nothing_that_a_results_file_has_brought_since(
    finished, splits, tmp_path, monkeypatch
):
    folder, _ = finished
    run_study(replace(PLAIN, minutes=1e-9), splits, tmp_path / "runs", tmp_path, silent)  # every combination waits
    for name in ("tiny.results.json", "tiny.md"):
        (tmp_path / name).write_bytes((folder / "out" / name).read_bytes())
    monkeypatch.setattr(studies, "_train_seeds", None)
    run_study(PLAIN, splits, tmp_path / "runs", tmp_path, silent)
    assert (tmp_path / "tiny.md").read_text() == (folder / "out" / "tiny.md").read_text()


def test_results_with_a_variant_fewer_have_it_trained(finished, splits, tmp_path, monkeypatch):
    folder, path = finished
    values = read_json(folder / "out" / "tiny.results.json")
    for row in values["results"]:
        if row["variant"] != values["against"]:
            kept = values | {"results": [other for other in values["results"] if other is not row]}
    write_json(tmp_path / "tiny.results.json", kept)
    original, calls = studies._train_seeds, []
    monkeypatch.setattr(studies, "_train_seeds", lambda *given: calls.append(given[2]) or original(*given))
    run_study(PLAIN, splits, folder / "runs-again", tmp_path, silent)
    assert calls == [{"schedule.learning_rate": 1e-5}]
    again = read_json(tmp_path / "tiny.results.json")
    for one, other in zip(again["results"], values["results"], strict=True):
        assert {k: v for k, v in one.items() if k not in ("seconds", "trained")} == {
            k: v for k, v in other.items() if k not in ("seconds", "trained")
        }


@pytest.mark.parametrize(
    "other", [{"data_fingerprint": "another"}, {"recipe": "attempt2-0123abcd"}, {"seeds": [0, 1, 2]}], ids=str
)
def test_results_of_something_else_are_left_alone(other, finished, splits, tmp_path):
    folder, _ = finished
    values = read_json(folder / "out" / "tiny.results.json")
    part = values["study" if "seeds" in other else "about"]
    part |= other
    before = write_json(tmp_path / "tiny.results.json", values).read_bytes()
    with pytest.raises(UserError, match="tiny.results.json holds results of another study"):
        run_study(PLAIN, splits, tmp_path / "runs", tmp_path, silent)
    assert (tmp_path / "tiny.results.json").read_bytes() == before


def test_time_that_is_over_begins_no_training(splits, tmp_path):
    path = run_study(replace(PLAIN, minutes=1e-9), splits, tmp_path / "runs", tmp_path / "out", silent)
    assert not find_runs(tmp_path / "runs")
    assert path.exists()


def test_time_that_is_over_begins_no_second_seed(splits, tmp_path, monkeypatch):
    now, original = [0.0], network.train_network

    def an_hour(*arguments):
        original(*arguments)
        now[0] += 3600

    monkeypatch.setattr("dfclib.training.start.train_network", an_hour)
    monkeypatch.setattr(studies.time, "monotonic", lambda: now[0])
    # a limit that stops inside the first training, after its last epoch, would hide what is asked here
    monkeypatch.setattr("dfclib.callbacks.TimeLimit", lambda is_over: keras.callbacks.Callback())
    said = []
    run_study(replace(PLAIN, minutes=30), splits, tmp_path / "runs", tmp_path / "out", said.append)
    assert [run.seed for run in find_runs(tmp_path / "runs")] == [0]
    assert "1 of 2 seeds trained" in said[-1]


@pytest.mark.parametrize("kind", ["vary", "variants"])
def test_a_variant_whose_loss_is_no_number_is_named_and_left_out_and_the_others_are_trained(
    kind, splits, tmp_path, monkeypatch
):
    rates = [1e30, 1e-3]
    what = {"vary": {"schedule.learning_rate": rates}, "variants": {}}
    if kind == "variants":
        what = {"vary": {}, "variants": {f"rate {rate:g}": {"schedule.learning_rate": rate} for rate in rates}}
    asked = replace(PLAIN, **what, seeds=(0,), changes=TINY | {"epochs": 1})
    for _ in range(2):
        path = run_study(asked, splits, tmp_path / "runs", tmp_path / "out", silent)
        (row,) = read_json(tmp_path / "out" / "tiny.results.json")["results"]
        assert "0.001" in row["variant"]
        name = "schedule.learning_rate" if kind == "vary" else "rate"
        assert path.read_text().endswith(f"no number: {name} 1e+30.\n")
        monkeypatch.setattr(studies, "_train_seeds", None)  # once is enough


def test_results_on_embedded_images_say_so_and_are_no_study_of_the_report(splits, tmp_path):
    asked = replace(PLAIN, vary={}, variants={"as it is": {}}, seeds=(0,), changes=TINY | {"epochs": 1})
    embedded = replace(splits, embedded=True)
    path = run_study(asked, embedded, tmp_path / "runs", tmp_path / "embedded", silent)
    assert "not the competition's" in path.read_text()
    assert read_studies(tmp_path / "embedded") == {}
    path = run_study(asked, splits, tmp_path / "other runs", tmp_path / "real", silent)
    assert "not the competition's" not in path.read_text()
    assert list(read_studies(tmp_path / "real")) == ["tiny"]


def test_tpe_draws_as_many_trials_as_asked_for_within_the_ranges(splits, tmp_path):
    vary = {
        "schedule.learning_rate": {"low": 1e-5, "high": 1e-2, "log": True},
        "arguments.filters": [[4, 6, 8], [3, 4, 5]],
        "batch_size": {"low": 8, "high": 30},
    }
    asked = replace(PLAIN, vary=vary, sampler="tpe", trials=3, seeds=(0,), changes=TINY | {"epochs": 1})
    run_study(asked, splits, tmp_path / "runs", tmp_path / "out", silent)
    recipes = [run.recipe for run in find_runs(tmp_path / "runs")]
    assert len(recipes) == 3
    assert all(1e-5 <= recipe.schedule.learning_rate <= 1e-2 for recipe in recipes)
    assert all(isinstance(recipe.batch_size, int) and 8 <= recipe.batch_size <= 30 for recipe in recipes)
    assert {tuple(recipe.arguments["filters"]) for recipe in recipes} <= {(4, 6, 8), (3, 4, 5)}


def test_variants_keep_their_names_and_order_and_share_runs_with_other_studies(finished, splits, monkeypatch):
    folder, _ = finished
    monkeypatch.setattr("dfclib.training.start.train_network", None)  # trained already
    variants = {"slow": {"schedule.learning_rate": 1e-5}, "fast": {"schedule.learning_rate": 1e-3}}
    asked = replace(PLAIN, name="named", vary={}, variants=variants)
    run_study(asked, splits, folder / "runs", folder / "out", silent)
    results = read_json(folder / "out" / "named.results.json")["results"]
    assert [row["variant"] for row in results] == ["slow", "fast"]


@pytest.mark.parametrize("without", ["runs/studies.db", "out/named.results.json", None])
def test_variants_may_come_and_may_go_while_they_wait(without, finished, splits, tmp_path, monkeypatch):
    folder, _ = finished
    original, trained = studies._train_seeds, []

    def from_runs(study, trial, changes, splits, runs_dir, end):
        if changes == {"epochs": 9}:
            raise KeyboardInterrupt
        trained.append(changes)
        return original(study, trial, changes, splits, folder / "runs", end)

    monkeypatch.setattr(studies, "_train_seeds", from_runs)
    monkeypatch.setattr("dfclib.training.start.train_network", None)  # trained already
    slow, fast, long = {"schedule.learning_rate": 1e-5}, {"schedule.learning_rate": 1e-3}, {"epochs": 9}
    asked = replace(PLAIN, name="named", vary={}, variants={"slow": slow, "long": long})
    with pytest.raises(KeyboardInterrupt):
        run_study(asked, splits, tmp_path / "runs", tmp_path / "out", silent)
    if without:
        (tmp_path / without).unlink()
    more = replace(asked, variants={"fast": fast, "slow": slow})
    run_study(more, splits, tmp_path / "runs", tmp_path / "out", silent)
    assert trained == [slow, fast]
    results = read_json(tmp_path / "out" / "named.results.json")["results"]
    assert [row["variant"] for row in results] == ["slow", "fast"]
    # said with other words, as where the recipe itself has changed since and `changes` say what it was
    run_study(replace(more, changes=TINY | {"momentum": 0.0}), splits, tmp_path / "runs", tmp_path / "out", silent)
    assert trained == [slow, fast]
    for lacking in ({"fast": fast}, {"fast": fast, "slow": long}):
        with pytest.raises(UserError, match="variant 'slow' of study named was trained as"):
            run_study(replace(more, variants=lacking), splits, tmp_path / "runs", tmp_path / "out", silent)


def test_another_way_to_predict_needs_no_training(splits, tmp_path, monkeypatch):
    variants = {"as it is": {}, "mirror averaged": {"mirror_averaged": True}}
    asked = replace(PLAIN, vary={}, variants=variants, seeds=(3,))
    original, trained = network.train_network, []

    def counted(recipe, *rest):
        trained.append(recipe.name)
        original(recipe, *rest)

    monkeypatch.setattr("dfclib.training.start.train_network", counted)
    run_study(asked, splits, tmp_path / "runs", tmp_path / "out", silent)
    assert len(trained) == 1
    results = read_json(tmp_path / "out" / "tiny.results.json")["results"]
    plain, averaged = (Run(tmp_path / "runs" / row["trained"][0]["run"]) for row in results)
    assert (plain.recipe.mirror_averaged, averaged.recipe.mirror_averaged) == (False, True)
    assert (
        averaged.recipe_file["recipe_fingerprint"]
        == variant(asked, variants["mirror averaged"]).with_options(seed=3).fingerprint
    )
    assert averaged.history.equals(plain.history)
    one, both = (run.predictions("held_out") for run in (plain, averaged))
    assert one.ids.tolist() == both.ids.tolist()
    held_out = held_out_split(splits.train)[1]
    expected = predict(load_network(plain), held_out, averaged.recipe)
    assert np.array_equal(both.probabilities, expected.probabilities)
    assert not np.array_equal(one.probabilities, both.probabilities)
    assert averaged.metrics["held_out"]["accuracy"] == both.accuracy


def test_another_study_of_the_same_name_is_refused(finished, splits):
    folder, _ = finished
    with pytest.raises(UserError, match="another study called tiny"):
        run_study(replace(PLAIN, seeds=(0,)), splits, folder / "runs", folder / "out", silent)


def test_what_was_right_survives_being_written():
    for n in (1, 7, 8, 1250):
        one = Trained("a-run", 1.5, np.random.default_rng(n).random(n) < 0.8)
        again = Trained.from_json(json.loads(json.dumps(one.to_json())))
        assert (again.run, again.seconds) == (one.run, one.seconds)
        assert np.array_equal(again.correct, one.correct)


def test_a_study_file_is_read(tmp_path):
    assert read_study(file(tmp_path)) == Study("tiny", "Which?", "attempt2", changes=TINY, vary={"epochs": [1, 2]})
    recipe = variant(read_study(file(tmp_path)), {"epochs": 1})
    assert (recipe.protocol, recipe.reported_split, recipe.epochs) == ("held_out", "held_out", 1)
    assert recipe.name.startswith("attempt2-")


def test_tpe_s_values_are_checked_without_building_every_combination(tmp_path):
    names = ("epochs", "batch_size", "label_smoothing", "weight_decay", "momentum", "schedule.learning_rate")
    vary = {name: [n + 1 for n in range(30)] for name in names[:2]}
    vary |= {name: [n / 100 for n in range(1, 31)] for name in names[2:]}
    asked = {"sampler": "tpe", "trials": 2, "vary": vary, "changes": TINY | {"optimizer": "sgd"}}
    assert read_study(file(tmp_path, **asked)).trials == 2  # of 700 million
    vary["momentum"][-1] = "much"
    with pytest.raises(UserError, match="momentum: expected a number"):
        read_study(file(tmp_path, **asked))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": "No!"}, "study name must be lower-case"),
        ({"seed": 1}, "unknown field 'seed'"),
        ({"seeds": []}, "one or more different numbers"),
        ({"seeds": [1, 1]}, "one or more different numbers"),
        ({"vary": {}}, "give variants or vary"),
        ({"variants": {"a": {}}}, "give variants or vary"),
        ({"vary": {"epochs": []}}, "vary.epochs must be a list"),
        ({"vary": {"epochs": {"low": 1, "high": 2}}}, "vary.epochs must be a list"),
        ({"vary": {"epochs": {"low": 1}}, "sampler": "tpe", "trials": 2}, "field 'high' is missing"),
        (
            {"vary": {"epochs": {"low": 2, "high": 2}}, "sampler": "tpe", "trials": 2},
            "low must be below high, received",
        ),
        ({"vary": {"momentum": {"low": 0, "high": 1, "log": True}}, "sampler": "tpe", "trials": 2}, "and above 0"),
        ({"sampler": "tpe"}, "needs a number of trials"),
        ({"trials": 3}, "grid takes none"),
        ({"vary": {"epoch": [1]}}, "unknown field 'epoch'"),
        ({"vary": {"epochs": [1, "two"]}}, "epochs: expected a whole number"),
        ({"vary": {"epochs.number": [1]}}, "has no field epochs.number"),
        ({"vary": {}, "variants": {"a": 1}}, "a variant is an object of changes"),
        ({"recipe": "attempt3"}, "attempt3 is a vote"),
        ({"recipe": "attempt0"}, "no recipe is called 'attempt0'"),
    ],
)
def test_what_is_wrong_in_a_study_is_named_before_anything_is_trained(tmp_path, changes, words):
    with pytest.raises(UserError, match=words):
        read_study(file(tmp_path, **changes))


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_a_committed_study_can_be_read_and_its_table_is_made_of_its_results(path, tmp_path):
    study, results = read_study(path), path.with_suffix(RESULTS)
    assert study.name == path.stem
    if results.exists():
        values = read_json(results)
        write_results(study, read_outcomes(values), values["about"], tmp_path)
        for written in (results, path.with_suffix(".md")):
            assert (tmp_path / written.name).read_text() == written.read_text()
