"""Tables in text, from runs written to disk as training writes them."""

from dataclasses import replace

import numpy as np
import pytest

from dfclib import report
from dfclib.errors import UserError
from dfclib.files import write_json
from dfclib.recipes import find
from dfclib.runs import Predictions, Run, find_runs, run_name, write_history, write_predictions_file

CLASSES = ("0", "1", "2", "3", "4")


def write_run(folder, recipe, correct, n=200, embedded=False, data="deepfake", epochs=2, test=None, weights=None):
    """A finished run of `recipe` with `correct` of `n` right answers on validation, and `test` of n on test."""
    path = folder / run_name(recipe, data)
    labels = np.arange(n) % 5
    predicted = np.where(np.arange(n) < correct, labels, (labels + 1) % 5)
    predictions = Predictions(np.array([f"image{i}" for i in range(n)]), predicted, CLASSES, labels=labels)
    contents = {
        "name": path.name,
        "recipe": recipe.to_dict(),
        "recipe_fingerprint": recipe.fingerprint,
        "data": {"name": data, "fingerprint": data, "class_names": list(CLASSES), "embedded": embedded},
        "environment": {
            "device": "CPU",
            "device_name": "a chip, 2 cores",
            "precision": "mixed_bfloat16",
            "tensorflow": "2.21.0",
            "keras": "3.15.1",
            "python": "3.11.7",
        },
    }
    if hasattr(recipe, "members"):
        contents["members"] = [run_name(member, data) for member in recipe.members]
    write_json(path / "recipe.json", contents)
    if not hasattr(recipe, "members"):
        row = {
            "loss": 1,
            "accuracy": 0.5,
            "val_loss": 1,
            "val_accuracy": 0.5,
            "learning_rate": 1e-3,
            "seconds": 1,
        }
        write_history(path, [{"epoch": epoch, **row} for epoch in range(1, epochs + 1)])
    splits = {"validation": predictions}
    if test is not None:
        said = np.where(np.arange(n) < test, labels, (labels + 1) % 5)
        sure = np.full((n, 5), 0.05, np.float32)
        sure[np.arange(n), said] = 0.8
        splits["test"] = Predictions(predictions.ids, said, CLASSES, sure, labels)
    write_predictions_file(path, splits)
    metrics = {name: {"n": n, "accuracy": p.accuracy} for name, p in splits.items()}
    write_json(path / "metrics.json", metrics | ({} if weights is None else {"weights": weights}))
    return Run(path)


def test_a_row_has_the_claim_our_figure_and_its_company(tmp_path):
    run = write_run(tmp_path, find("attempt2").compact(), correct=163)
    (row,) = report.attempt_rows([run])
    assert row["attempt"] == "2"
    assert row["author, public test"] == "82%"
    assert row["ours, validation (checkpoint chosen on it)"] == "81.5%"
    assert row["95% interval"] == "75.5% to 86.3%"  # Wilson, 163 of 200, by hand
    assert row["images"] == "200"
    assert row["scale"] == "compact"
    assert row["epochs"] == "2"
    assert (row["device"], row["precision"]) == ("CPU", "mixed_bfloat16")


def test_attempts_stand_in_the_storys_order_and_a_vote_names_its_voters(tmp_path):
    for name in ("attempt6-vote", "attempt1", "attempt3"):
        write_run(tmp_path, find(name).compact(), correct=150)
    rows = report.attempt_rows(find_runs(tmp_path))
    assert [row["attempt"] for row in rows] == ["1", "3 (vote)", "6 (vote)"]
    assert [row["epochs"] for row in rows] == ["2", "10 voters", "5 voters"]


def test_seeds_are_summed_up_where_there_are_several(tmp_path):
    recipe = find("attempt6").compact()
    write_run(tmp_path, recipe, correct=160)
    write_run(tmp_path, replace(recipe, seed=1), correct=170)
    write_run(tmp_path, find("attempt1").compact(), correct=150)
    first, last = report.attempt_rows(find_runs(tmp_path))
    assert (first["seeds"], first["mean over seeds"]) == ("1", "")
    assert (last["seeds"], last["mean over seeds"]) == ("2", "82.5% ± 3.5")  # of 80% and 85%, n - 1


def test_markdown_and_plain_tables_hold_every_cell():
    rows = [{"attempt": "1", "a long heading indeed": "78%"}, {"attempt": "2", "a long heading indeed": ""}]
    markdown = "| attempt | a long heading indeed |\n| --- | --- |\n| 1 | 78% |\n| 2 |  |\n"
    assert report.markdown_table(rows) == markdown
    assert report.plain_table(rows) == "attempt  a long heading\n         indeed\n\n1        78%\n2\n"


def test_readme_shows_no_embedded_run_and_no_member_of_a_vote(tmp_path):
    write_run(tmp_path, find("attempt1").quick(), correct=199, embedded=True, data="embedded")
    write_run(tmp_path, find("attempt3-a").compact(), correct=180)
    assert report.attempts_block(find_runs(tmp_path)) == report.NOTHING
    write_run(tmp_path, find("attempt1").compact(), correct=150)
    block = report.attempts_block(find_runs(tmp_path))
    assert block.count("75.0%") == 1 and "99.5%" not in block and "90.0%" not in block
    assert "a chip, 2 cores (TensorFlow 2.21.0, Keras 3.15.1, Python 3.11.7)" in block


def test_shortened_names_what_a_compact_run_leaves_out(tmp_path):
    full = find("attempt6")
    compact = full.compact()
    block = report.shortened_block([write_run(tmp_path, compact, correct=150)])
    assert block.startswith("* attempt 6 alone (compact): ")
    assert f"{compact.epochs} epochs instead of {full.epochs}" in block
    size = "{}x{} pixels instead of {}x{}".format(*compact.image_size, *full.image_size)
    assert size in block
    assert f"{compact.precision} instead of {full.precision}" in block


def test_a_full_run_is_not_shortened(tmp_path):
    assert report.shortened_block([write_run(tmp_path, find("attempt1"), correct=150)]) == report.NOTHING


def test_a_shortened_vote_tells_what_its_members_did(tmp_path):
    block = report.shortened_block([write_run(tmp_path, find("attempt3").compact(), correct=150)])
    epochs = {find(name).compact().epochs for name in ("attempt3-a", "attempt3-j")}
    assert all(f"{count} epochs instead of 10" in block for count in epochs)


def test_a_changed_run_changes_the_page(tmp_path):
    """The one that README's test leans on: the same page no longer fits when a run says something else."""
    page = "<!-- generated: attempts -->\n<!-- end generated -->\n"
    write_run(tmp_path, find("attempt1").compact(), correct=150)
    filled = report.fill(page, find_runs(tmp_path))
    assert report.fill(filled, find_runs(tmp_path)) == filled
    write_run(tmp_path, find("attempt1").compact(), correct=151)
    assert report.fill(filled, find_runs(tmp_path)) != filled


@pytest.mark.parametrize("arguments", [["nowhere.md"], ["--runs", "x", "nowhere.md"]])
def test_a_missing_file_is_one_sentence(arguments, capsys):
    assert report.main(arguments) == 1
    assert capsys.readouterr().err == "error: nowhere.md does not exist\n"


def test_notebooks_are_listed_with_title_and_badge_from_the_address(tmp_path):
    (tmp_path / "pyproject.toml").write_text('[project.urls]\nRepository = "https://github.com/some/body"\n')
    (tmp_path / "notebooks").mkdir()
    page = "<!-- generated: notebooks -->\n<!-- end generated -->\n"
    assert "no notebooks yet" in report.fill(page, [], tmp_path)
    cells = [
        {"cell_type": "code", "source": ["# not this"]},
        {"cell_type": "markdown", "source": ["x\n", "# The title"]},
    ]
    write_json(tmp_path / "notebooks" / "03_name.ipynb", {"cells": cells})
    filled = report.fill(page, [], tmp_path)
    assert "| [The title](notebooks/03_name.ipynb) |" in filled
    assert "(https://colab.research.google.com/github/some/body/blob/main/notebooks/03_name.ipynb)" in filled


def test_systems_stand_beside_their_authors_figures_on_the_same_images(tmp_path):
    author = find("s4-author").compact()
    runs = [
        write_run(tmp_path, author, correct=190, test=180, data="fashion-mnist"),
        write_run(tmp_path, find("s1-v1").compact(), correct=163),
        write_run(tmp_path, find("s1-v1").compact().with_options(protocol="held_out"), correct=150),
        write_run(tmp_path, find("s2-cnn").compact(), correct=170),
        write_run(tmp_path, find("attempt1"), correct=1),
        write_run(tmp_path, find("s3-base").quick(), correct=1, embedded=True),
    ]
    rows = report.system_rows(report.system_runs(runs))
    assert [row["recipe"] for row in rows] == ["s1-v1", "s1-v1", "s2-cnn", "s4-author"]
    assert [row["ours"] for row in rows] == ["validation 81.5%", "validation 75.0%", "validation 85.0%", "test 90.0%"]
    assert rows[0]["author"] == rows[1]["author"] == "validation 92.08%"
    assert rows[2]["author"] == "validation 88.88%, Kaggle 90.00%"
    assert rows[3]["author"] == "test 85.10%, loss 0.4581"
    # 180 of 200 right with probability .8, the others with .05: -(.9 ln .8 + .1 ln .05)
    assert rows[3]["loss"] == "0.5004"
    assert rows[0]["95% interval"] == "75.5% to 86.3%"  # Wilson, 163 of 200, by hand
    assert [row["checkpoint chosen on"] for row in rows[:3]] == [
        "validation",
        "held-out training images",
        "none: last epoch",
    ]
    assert "s1-v1 (compact): 12 epochs instead of 150" in report.systems_shortened_block(runs)
    (made,) = report.system_rows(report.system_runs(runs, embedded=True))
    assert (made["recipe"], made["author"]) == ("s3-base", "")
    garments = write_run(tmp_path, author.at_scale("compact"), 1, test=1, embedded=True, data="garments")
    assert report.system_rows([garments])[0]["author"] == ""  # no author has measured on these


def test_a_vote_says_its_weights_and_who_chose_them(tmp_path):
    runs = [
        write_run(tmp_path, find("s1-vote").compact(), correct=163, weights=[0.45, 0.55]),
        write_run(tmp_path, find("s1-vote-searched").compact(), correct=163, weights=[0.3, 0.7]),
        write_run(tmp_path, find("s3-vote").compact(), correct=163),
    ]
    rows = report.system_rows(report.system_runs(runs))
    assert [row["checkpoint chosen on"] for row in rows] == [
        "validation; weights 0.45, 0.55 the author's",
        "held-out training images; weights 0.3, 0.7 searched there",
        "none: last epoch",
    ]
    assert [row["epochs"] for row in rows] == ["2 voters", "2 voters", "4 voters"]
    assert [row["author"] for row in rows] == ["validation 93.28%", "", "validation 92.68%"]


def test_systems_drawn_are_the_runs(tmp_path):
    from dfclib import figures

    runs = [
        write_run(tmp_path, find("s1-v1").compact(), correct=163),
        write_run(tmp_path, find("s1-v1").compact().with_options(protocol="held_out"), correct=150),
        write_run(tmp_path, find("s4-author").compact(), correct=190, test=180, data="fashion-mnist"),
    ]
    axes = figures.systems(runs).axes[0]
    assert [text.get_text() for text in axes.texts] == ["81.5", "75.0", "90.0"]
    assert [text.get_text() for text in axes.get_yticklabels()] == [
        "s1-v1\nvalidation, n = 200",
        "s4-author\ntest, n = 200",
    ]
    diamonds = [line.get_xdata()[0] for line in axes.lines if line.get_marker() == "D"]
    assert diamonds == [pytest.approx(92.08), pytest.approx(85.10)]
    with pytest.raises(UserError, match="none of the 1 runs is of S1 to S4"):
        figures.systems([write_run(tmp_path, find("attempt1"), correct=1)])
