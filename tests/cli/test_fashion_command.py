"""S4's one command, trained for real on a few generated garments: the files, the table, and what it refuses."""

import contextlib
import csv
import io
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from dfclib.cli import inputs, main
from dfclib.datasets import fashion_mnist
from dfclib.datasets.generated import garments
from dfclib.errors import UserError
from dfclib.files import read_json, write_json
from dfclib.reporting import fashion, figures
from dfclib.runs import Run, find_runs

ROWS = ("s4-author", "s4-ours")
PICTURES = ("training_history.png", "confusion_matrix.png", "predictions.png")


def run_command(*argv) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main.main([str(argument) for argument in argv])
    return status, out.getvalue(), err.getvalue()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """What `fashion --generated` leaves behind, on 60 training images and in one epoch: a folder, a text, the runs."""
    folder = tmp_path_factory.mktemp("fashion")
    splits = garments.make_splits(train=60, validation=30, test=30)
    rows, names = fashion.recipes, ["--generated", "--out", folder / "out", "--runs", folder / "runs"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(garments, "make_splits", lambda: splits)
        patch.setattr(fashion, "recipes", lambda scale: [row.with_options(epochs=1) for row in rows(scale)])
        status, text, errors = run_command("fashion", *names)
        assert status == 0, errors
        again = run_command("fashion", *names)
    runs = {run.recipe.name: run for run in find_runs(folder / "runs")}
    return SimpleNamespace(folder=folder, splits=splits, text=text, again=again, runs=runs)


def cells(text: str) -> dict[str, list[str]]:
    """The table's cells by heading: one value per recipe."""
    lines = text[text.index("test accuracy") :].splitlines()
    return {parts[0]: parts[1:] for line in lines if len(parts := [p.strip() for p in line.split("  ") if p]) == 3}


def test_every_file_is_written_and_named(made):
    written = {str(path.relative_to(made.folder / "out")) for path in (made.folder / "out").rglob("*.*")}
    assert written == {"results.json", *(str(Path(row) / name) for row in ROWS for name in PICTURES)}
    for name in written:
        assert f"{made.folder / 'out' / name}\n" in made.text
    for path in (made.folder / "out").rglob("*.png"):
        with Image.open(path) as picture:
            assert min(picture.size) > 800
            assert len(np.unique(np.asarray(picture.convert("L")))) > 50


def test_table_and_results_are_those_of_the_runs(made):
    table = cells(made.text)
    results = {one["row"]: one for one in read_json(made.folder / "out" / "results.json")}
    assert list(results) == list(made.runs) == list(ROWS)
    for column, row in enumerate(ROWS):
        run, truth = made.runs[row], made.splits.test.labels
        predictions = run.predictions("test")
        right = predictions.correct
        loss = -np.log(predictions.probabilities[np.arange(len(truth)), truth]).mean()
        recalls = {name: right[truth == label].mean() for label, name in enumerate(made.splits.class_names)}
        assert results[row]["run"] == run.name
        assert table["test accuracy"][column] == f"{right.mean():.2%}"
        assert table["test loss, nats"][column] == f"{loss:.4f}"
        for heading, pick in (("best", max), ("worst", min)):
            expected = [name for name, recall in recalls.items() if recall == pick(recalls.values())]
            assert results[row][heading]["classes"] == expected
            shown = table[f"{heading} class, recall"][column]
            assert shown.startswith(expected[0]) and shown.endswith(f"{pick(recalls.values()):.1%}")
        low, high = (float(end.rstrip("%")) for end in table["95% interval"][column].split(" to "))
        assert low < 100 * right.mean() < high
        assert table["epochs"][column] == "1, epoch 1 kept"
        assert (table["device"][column], table["precision"][column]) == (run.environment["device"], "float32")
        assert table["seconds"][column] == f"{run.metrics['seconds']:,.0f}"


def test_generated_images_are_called_what_they_are(made):
    assert made.text.startswith("data     generated garments, not Fashion-MNIST")
    assert "say nothing about Fashion-MNIST" in made.text
    assert "author's accuracy" not in made.text and "85.1" not in made.text
    for one in read_json(made.folder / "out" / "results.json"):
        assert (one["author"], one["points"]) == (None, None)
        assert one["data"] == "generated garments, not Fashion-MNIST"


def test_finished_runs_are_not_trained_again(made):
    status, text, _ = made.again
    assert status == 0
    assert text.count("finished already, nothing to train") == 2
    assert cells(text) == cells(made.text)


def as_real(run: Run, folder: Path) -> Run:
    """The same run, as if it had been trained on Fashion-MNIST."""
    contents = read_json(run.path / "recipe.json")
    contents["data"] |= {"name": "fashion-mnist", "embedded": False}
    for name in ("history.csv", "metrics.json", "probabilities.npz"):
        (folder / name).write_bytes((run.path / name).read_bytes())
    write_json(folder / "recipe.json", contents)
    return Run(folder)


def test_authors_figures_stand_beside_those_on_real_images(made, tmp_path):
    one = fashion.result(as_real(made.runs["s4-ours"], tmp_path))
    assert one["author"] == {"test": 0.8510, "test_loss": 0.4581}
    assert one["points"] == pytest.approx(100 * (one["test"]["accuracy"] - 0.8510))
    shown = {row[""]: row["s4-ours"] for row in fashion.table([one]).rows}
    assert (shown["author's accuracy"], shown["author's test loss"]) == ("85.10%", "0.4581")
    difference = float(shown["difference, points"].replace("−", "-"))
    assert difference == pytest.approx(float(shown["test accuracy"].rstrip("%")) - 85.10, abs=0.011)
    note = fashion.table([one]).note
    assert "same 30 test images" in note and "generated" not in note


def test_page_shows_right_answers_as_right_and_wrong_ones_as_wrong(made, tmp_path, monkeypatch):
    drawn, test = {}, made.splits.test

    def record(name, function):
        monkeypatch.setattr(figures, name, lambda *given: drawn.setdefault(name, given) and function(*given))

    record("answers", figures.answers)
    record("confusion", figures.confusion)
    fashion.write_figures(made.runs["s4-ours"], test, tmp_path)
    truth = dict(zip(test.ids.tolist(), test.labels.tolist(), strict=True))
    images, (right, wrong), title = drawn["answers"][0], drawn["answers"][1].values(), drawn["answers"][2]
    assert images is test
    assert len(right) + len(wrong) > 18
    assert [truth[id_] for id_ in right.ids.tolist()] == right.predicted.tolist()
    assert not any(truth[id_] == said for id_, said in zip(wrong.ids.tolist(), wrong.predicted.tolist(), strict=True))
    predictions, matrix_title = drawn["confusion"]
    assert set(predictions.ids.tolist()) == set(truth)
    assert title == matrix_title and "test images" in title and "kept: highest accuracy on validation" in title


def test_run_can_be_evaluated_recorded_and_asked(made, tmp_path):
    run = made.runs["s4-author"]
    status, text, _ = run_command("evaluate", run.path)
    assert status == 0
    assert "data: generated garments, not Fashion-MNIST" in text
    assert f"test: accuracy {run.predictions('test').accuracy:.2%}" in text
    status, text, _ = run_command("record", run.path, "--to", tmp_path / "kept")
    assert status == 0 and (tmp_path / "kept" / run.name / "metrics.json").exists()
    for id_, image in zip(made.splits.test.ids[:4], made.splits.test.images[:4], strict=True):
        (tmp_path / "pictures").mkdir(exist_ok=True)
        Image.fromarray(image[..., 0]).save(tmp_path / "pictures" / f"{id_}.png")
    status, _, errors = run_command("predict", run.path, tmp_path / "pictures", "--out", tmp_path / "answers.csv")
    assert status == 0 and "resized" not in errors
    with (tmp_path / "answers.csv").open(newline="") as file:
        answers = {Path(row["image_id"]).stem: row for row in csv.DictReader(file)}
    recorded = run.predictions("test")
    for row in range(4):
        given = [float(answers[recorded.ids[row]][name]) for name in recorded.class_names]
        assert np.allclose(given, recorded.probabilities[row], atol=1e-5)


# ---- before anything is trained ----


@pytest.fixture
def untrained(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("dfclib.training.train", lambda *_, **__: pytest.fail("it trains"))
    monkeypatch.setattr("dfclib.cli.output.import_keras", lambda _: None)


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["--data", "nope"], "nope does not exist: name the folder that holds Fashion-MNIST's files"),
        (["--data", "empty"], "train-images-idx3-ubyte.gz: missing"),
        (["--generated", "--out", "file"], "cannot write file: a file stands where a folder is needed"),
    ],
    ids=" ".join,
)
def test_what_cannot_work_is_refused_before_training(argv, expected, untrained):
    Path("empty").mkdir()
    Path("file").touch()
    status, _, errors = run_command("fashion", *argv)
    assert status == 1 and expected in errors
    assert ("--generated" in errors) == ("--data" in argv)  # what to do instead
    assert not Path("build").exists()


def test_folder_and_generated_exclude_each_other(untrained):
    with pytest.raises(SystemExit) as stopped:
        run_command("fashion", "--data", "here", "--generated")
    assert stopped.value.code == 2


@pytest.mark.parametrize(
    ("argv", "scale"), [([], "compact"), (["--generated"], "quick"), (["--generated", "--scale", "full"], "full")]
)
def test_scale_and_expected_time_are_said_first(argv, scale, untrained, monkeypatch):
    def refuse(*_, **__):
        raise UserError("enough")

    monkeypatch.setattr("dfclib.training.train", refuse)
    speeds = {f"s4-author-{scale}": 1.0, f"s4-ours-{scale}": 0.5}
    monkeypatch.setattr("dfclib.recipes.recipe.measured", lambda what: speeds)
    few = garments.make_splits(train=60, validation=30, test=30)
    monkeypatch.setattr("dfclib.datasets.sources.load_fashion", lambda data=None: replace(few, embedded=data is None))
    status, text, errors = run_command("fashion", *argv)
    assert (status, errors) == (1, "error: enough\n")
    for recipe, speed in zip(fashion.recipes(scale), (1.0, 0.5), strict=True):
        announced = text[text.index(f"recipe   {recipe.name} ") :].splitlines()
        assert f"{scale} scale" in announced[0]
        assert announced[2] == f"time     about {recipe.epochs * 60 / speed / 60:.0f} min on two CPU cores"


def test_where_the_images_were_found_is_said(monkeypatch, tmp_path):
    asked = []
    real = replace(garments.make_splits(train=60, validation=30, test=30), name="fashion-mnist", embedded=False)
    monkeypatch.setattr("dfclib.datasets.sources.load_fashion", lambda data=None: asked.append(data) or real)
    monkeypatch.setattr(fashion_mnist, "DEBIAN", tmp_path / "debian")
    monkeypatch.chdir(tmp_path)
    assert inputs.load_fashion(None, generated=False) == (real, "Fashion-MNIST, verified, from Keras's cache")
    (tmp_path / "debian").mkdir()
    assert inputs.load_fashion(None, generated=False) == (real, f"Fashion-MNIST, verified, from {tmp_path / 'debian'}")
    (tmp_path / "mine").mkdir()
    assert inputs.load_fashion(Path("mine"), generated=False) == (real, "Fashion-MNIST, verified, from mine")
    assert asked == ["fashion-mnist", "fashion-mnist", Path("mine")]
