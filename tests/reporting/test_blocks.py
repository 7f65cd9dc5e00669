"""Tables in text, from runs written to disk as training writes them."""

from dataclasses import replace

import numpy as np
import pytest

from dfclib.errors import UserError
from dfclib.files import write_json
from dfclib.predictions import Predictions
from dfclib.recipes import SYSTEMS, EnsembleRecipe, find
from dfclib.reporting import readme
from dfclib.runs import Run, find_runs, run_name, write_history, write_predictions_file

CLASSES = ("0", "1", "2", "3", "4")


def write_run(
    folder,
    recipe,
    correct,
    n=200,
    embedded=False,
    data="deepfake",
    epochs=2,
    test=None,
    held_out=None,
    weights=None,
    metrics=None,
):
    """A finished run of `recipe` with `correct` of `n` right answers on validation, and `test` (`held_out`) of n."""
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
    if isinstance(recipe, EnsembleRecipe):
        contents["members"] = [run_name(member, data) for member in recipe.members]
    write_json(path / "recipe.json", contents)
    if not isinstance(recipe, EnsembleRecipe):
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
    for split, right in {"test": test, "held_out": held_out}.items():
        if right is None:
            continue
        said = np.where(np.arange(n) < right, labels, (labels + 1) % 5)
        sure = np.full((n, 5), 0.05, np.float32)
        sure[np.arange(n), said] = 0.8
        splits[split] = Predictions(predictions.ids, said, CLASSES, sure, labels)
    write_predictions_file(path, splits)
    figures = {name: {"n": n, "accuracy": p.accuracy} for name, p in splits.items()}
    given = ({} if weights is None else {"weights": weights}) | (metrics or {})
    write_json(path / "metrics.json", figures | given)
    return Run(path)


def test_a_row_has_the_claim_our_figure_and_its_company(tmp_path):
    run = write_run(tmp_path, find("attempt2").compact(), correct=163)
    (row,) = readme.attempt_rows([run])
    assert row["attempt"] == "2"
    assert row["author, public test"] == "82%"
    assert row["ours, validation"] == "81.5%"
    assert row["95% interval"] == "75.5% to 86.3%"  # Wilson, 163 of 200, by hand
    assert row["images"] == "200"
    assert row["scale"] == "compact"
    assert row["kept"] == "lowest loss on validation"
    assert row["epochs"] == "2"
    assert (row["device"], row["precision"]) == ("CPU", "mixed_bfloat16")


def test_attempts_stand_in_the_storys_order_and_a_vote_names_its_voters(tmp_path):
    for name in ("attempt6-vote", "attempt1", "attempt3"):
        write_run(tmp_path, find(name).compact(), correct=150)
    rows = readme.attempt_rows(find_runs(tmp_path))
    assert [row["attempt"] for row in rows] == ["1", "3 (vote)", "6 (vote)"]
    assert [row["epochs"] for row in rows] == ["2", "10 voters", "5 voters"]


def test_seeds_are_summed_up_where_there_are_several(tmp_path):
    recipe = find("attempt6").compact()
    write_run(tmp_path, recipe, correct=160)
    write_run(tmp_path, replace(recipe, seed=1), correct=170)
    write_run(tmp_path, find("attempt1").compact(), correct=150)
    first, last = readme.attempt_rows(find_runs(tmp_path))
    assert (first["seeds"], first["mean over seeds"]) == ("1", "")
    assert (last["seeds"], last["mean over seeds"]) == ("2", "82.5% ± 3.5")  # of 80% and 85%, n - 1


def test_markdown_and_plain_tables_hold_every_cell():
    rows = [{"attempt": "1", "a long heading indeed": "78%"}, {"attempt": "2", "a long heading indeed": ""}]
    markdown = "| attempt | a long heading indeed |\n| --- | --- |\n| 1 | 78% |\n| 2 |  |\n"
    assert readme.markdown_table(rows) == markdown
    assert readme.plain_table(rows) == "attempt  a long heading\n         indeed\n\n1        78%\n2\n"


def test_readme_shows_no_embedded_run_and_no_member_of_a_vote(tmp_path):
    write_run(tmp_path, find("attempt1").quick(), correct=199, embedded=True, data="embedded")
    write_run(tmp_path, find("attempt3-a").compact(), correct=180)
    assert readme.attempts_block(find_runs(tmp_path)) == readme.NOTHING
    write_run(tmp_path, find("attempt1").compact(), correct=150)
    block = readme.attempts_block(find_runs(tmp_path))
    assert block.count("75.0%") == 1 and "99.5%" not in block and "90.0%" not in block
    assert "a chip, 2 cores (TensorFlow 2.21.0, Keras 3.15.1, Python 3.11.7)" in block


def test_shortened_names_what_a_compact_run_leaves_out(tmp_path):
    full = find("attempt6")
    compact = full.compact()
    block = readme.shortened_block([write_run(tmp_path, compact, correct=150)])
    assert block.startswith("* attempt 6 alone (compact): ")
    assert f"{compact.epochs} epochs instead of {full.epochs}" in block
    size = "{}x{} pixels instead of {}x{}".format(*compact.image_size, *full.image_size)
    assert size in block
    assert "nearest instead of bilinear interpolation" in block
    assert "precision" not in block and "float" not in block  # it follows the device and shortens nothing


def test_a_full_run_is_not_shortened(tmp_path):
    assert readme.shortened_block([write_run(tmp_path, find("attempt1"), correct=150)]) == readme.NOTHING


def test_a_shortened_vote_tells_what_its_members_did(tmp_path):
    block = readme.shortened_block([write_run(tmp_path, find("attempt6-vote").compact(), correct=150)])
    assert block == (
        "* attempt 6 (vote) (compact): 12 epochs instead of 80, 100x100 pixels instead of 128x128, framing by crop "
        "instead of resize, nearest instead of bilinear interpolation\n"
    )
    both = find("s1-vote")
    both = replace(both, members=tuple(replace(m, epochs=e) for m, e in zip(both.members, (12, 8), strict=True)))
    (words,) = readme.shortened(write_run(tmp_path, both, correct=150))
    assert words == "12 epochs instead of 150 or 8 epochs instead of 150"


def test_what_is_shortened_alike_is_said_once(tmp_path):
    runs = [write_run(tmp_path, find(f"attempt{i}").compact(), correct=150) for i in (1, 2, 3, 5, 6)]
    pixels = "100x100 pixels instead of 128x128, framing by crop instead of resize"
    assert readme.shortened_block(runs) == (
        f"* attempt 1, attempt 2, attempt 3 (vote) (compact): {pixels}\n"
        f"* attempt 5, attempt 6 alone (compact): 12 epochs instead of 80, {pixels}, nearest instead of bilinear "
        "interpolation\n"
    )
    seeds = [write_run(tmp_path, find("attempt1").compact().with_options(seed=seed), 150) for seed in (0, 1)]
    assert readme.shortened_block(seeds) == f"* attempt 1 (compact): {pixels}\n"  # named once, too


def test_an_earlier_recipe_and_given_epochs_are_said_beside_the_scale(tmp_path):
    compact = find("attempt1").compact()
    earlier = write_run(tmp_path, replace(compact, epochs=3), correct=150)
    given = write_run(tmp_path, compact.with_options(epochs=3), correct=160)
    rows = readme.attempt_rows([earlier, given])
    assert {row["ours, validation"]: row["scale"] for row in rows} == {
        "75.0%": "compact, earlier recipe",
        "80.0%": "compact, 3 epochs",
    }
    block = readme.shortened_block([earlier, given])
    assert "* attempt 1 (compact, earlier recipe): 3 epochs instead of 10, " in block
    assert "* attempt 1 (compact, 3 epochs): 3 epochs instead of 10, " in block


def test_a_changed_run_changes_the_page(tmp_path):
    """The one that README's test leans on: the same page no longer fits when a run says something else."""
    page = "<!-- generated: attempts -->\n<!-- end generated -->\n"
    write_run(tmp_path, find("attempt1").compact(), correct=150)
    filled = readme.fill(page, find_runs(tmp_path))
    assert readme.fill(filled, find_runs(tmp_path)) == filled
    write_run(tmp_path, find("attempt1").compact(), correct=151)
    assert readme.fill(filled, find_runs(tmp_path)) != filled


@pytest.mark.parametrize("arguments", [["nowhere.md"], ["--runs", "x", "nowhere.md"]])
def test_a_missing_file_is_one_sentence(arguments, capsys):
    assert readme.main(arguments) == 1
    assert capsys.readouterr().err == "error: nowhere.md does not exist\n"


def test_notebooks_are_listed_with_title_and_badge_from_the_address(tmp_path):
    (tmp_path / "pyproject.toml").write_text('[project.urls]\nRepository = "https://github.com/some/body"\n')
    (tmp_path / "notebooks").mkdir()
    page = "<!-- generated: notebooks -->\n<!-- end generated -->\n"
    assert "no notebooks yet" in readme.fill(page, [], tmp_path)
    cells = [
        {"cell_type": "code", "source": ["# not this"]},
        {"cell_type": "markdown", "source": ["x\n", "# The title"]},
    ]
    write_json(tmp_path / "notebooks" / "03_name.ipynb", {"cells": cells})
    filled = readme.fill(page, [], tmp_path)
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
    rows = readme.system_rows(readme.system_runs(runs))
    assert [row["recipe"] for row in rows] == ["s1-v1", "s1-v1", "s2-cnn", "s4-author"]
    assert [row["ours"] for row in rows] == ["validation 81.5%", "validation 75.0%", "validation 85.0%", "test 90.0%"]
    assert rows[0]["author"] == rows[1]["author"] == "validation 92.08%"
    assert rows[2]["author"] == "validation 88.88%, Kaggle 90.00%"
    assert rows[3]["author"] == "test 85.10%, loss 0.4581"
    # 180 of 200 right with probability .8, the others with .05: -(.9 ln .8 + .1 ln .05)
    assert rows[3]["loss"] == "0.5004"
    assert rows[0]["95% interval"] == "75.5% to 86.3%"  # Wilson, 163 of 200, by hand
    assert [row["kept"] for row in rows[:3]] == [
        "highest accuracy on validation",
        "highest accuracy on held-out images",
        "last epoch",
    ]
    assert readme.systems_shortened_block(runs) == readme.NOTHING  # as their authors have them
    shorter = write_run(tmp_path, find("s3-base").compact(), correct=170)
    assert readme.systems_shortened_block([*runs, shorter]) == "* s3-base (compact): 20 epochs instead of 160\n"
    (made,) = readme.system_rows(readme.system_runs(runs, embedded=True))
    assert (made["recipe"], made["author"]) == ("s3-base", "")
    garments = write_run(tmp_path, author.at_scale("compact"), 1, test=1, embedded=True, data="garments")
    assert readme.system_rows([garments])[0]["author"] == ""  # no author has measured on these


def test_a_vote_says_its_weights_and_who_chose_them(tmp_path):
    runs = [
        write_run(tmp_path, find("s1-vote").compact(), correct=163, weights=[0.45, 0.55]),
        write_run(tmp_path, find("s1-vote-searched").compact(), correct=163, weights=[0.3, 0.7]),
        write_run(tmp_path, find("s3-vote").compact(), correct=163),
    ]
    rows = readme.system_rows(readme.system_runs(runs))
    assert [row["kept"] for row in rows] == [
        "highest accuracy on validation; weights 0.45, 0.55 the author's",
        "highest accuracy on held-out images; weights 0.3, 0.7 searched there",
        "highest accuracy on validation",
    ]
    assert [row["epochs"] for row in rows] == ["2 voters", "2 voters", "4 voters"]
    assert [row["author"] for row in rows] == ["validation 93.28%", "", "validation 92.68%"]


def test_a_second_protocol_is_named_where_nothing_is_chosen_by_it(tmp_path):
    """Else two rows of one recipe would differ in their figures alone."""
    both = [find("s2-cnn").with_options(protocol=protocol) for protocol in ("published", "held_out")]
    rows = readme.system_rows([write_run(tmp_path, recipe, correct=163) for recipe in both])
    assert [row["kept"] for row in rows] == ["last epoch", "last epoch, a tenth held out"]


def test_what_must_be_said_of_a_claim_stands_once_below_the_systems(tmp_path):
    runs = [
        write_run(tmp_path, find("s2-cnn"), correct=163),
        write_run(tmp_path, find("s2-cnn").with_options(seed=1), correct=163),
        write_run(tmp_path, find("s1-v1"), correct=163),
    ]
    lines = readme.systems_block(runs).splitlines()
    note = f"* s2-cnn: {find('s2-cnn').claims_note}"
    assert [line for line in lines if line.startswith("*")] == [note]
    assert lines.index(note) > max(i for i, line in enumerate(lines) if line.startswith("| S2"))


def test_experiments_are_no_systems(tmp_path):
    """They are judged on held-out images, and nobody claims anything of them."""
    run = write_run(tmp_path, find("resampling-nearest"), correct=100, held_out=163)
    assert readme.system_runs([run]) == []
    assert readme.systems_block([run]) == readme.NOTHING


def test_a_recipe_files_header_tells_what_is_recorded_of_its_recipes(tmp_path):
    attempts, *_ = SYSTEMS
    epochs = {"metrics": {"epochs": 2, "seconds": 90.0}}
    runs = [
        write_run(tmp_path, find("attempt2").compact(), correct=150, metrics={"epochs": 2, "seconds": 90.0}),
        write_run(tmp_path, find("attempt1").with_options(seed=3), correct=163, **epochs),
        write_run(tmp_path, find("attempt3"), correct=170, metrics={"seconds": 9000.0}),
        write_run(tmp_path, find("attempt1").quick(), correct=1, embedded=True, data="embedded", **epochs),
        write_run(tmp_path, find("s1-v1"), correct=1, **epochs),
    ]
    assert readme.recorded_block(attempts, runs) == (
        "attempt1, seed 3, full, published: validation 81.5% [75.5%, 86.3%], n = 200,\n"
        "    2 epochs, 2 min, CPU, mixed_bfloat16\n"
        "attempt2, seed 0, compact, published: validation 75.0% [68.6%, 80.5%], n = 200,\n"
        "    2 epochs, 2 min, CPU, mixed_bfloat16\n"
        "attempt3, seed 0, full, published: validation 85.0% [79.4%, 89.3%], n = 200,\n"
        "    10 voters, 2.5 h, CPU, mixed_bfloat16\n"
    )
    fashion = next(system for system in SYSTEMS if system.__name__.endswith("fashion_mnist"))
    assert readme.recorded_block(fashion, runs) == "Nothing is recorded yet.\n"
    tested = write_run(tmp_path, find("s4-author"), 190, test=180, data="fashion-mnist", metrics=epochs["metrics"])
    assert readme.recorded_block(fashion, [tested]).startswith("s4-author, seed 0, full, published: test 90.0% [")
    experiments = next(system for system in SYSTEMS if system.__name__.endswith("resampling"))
    judged = write_run(tmp_path, find("resampling-nearest"), correct=100, held_out=163, **epochs)
    assert "held out: held_out 81.5% [" in readme.recorded_block(experiments, [judged])


def test_a_vote_over_several_devices_is_told_everywhere(tmp_path):
    """It has no device or precision of its own: None in recipe.json."""
    runs = [write_run(tmp_path, find(name), correct=163, metrics={"seconds": 1.0}) for name in ("attempt3", "s3-vote")]
    for run in runs:
        none = dict.fromkeys(("device", "device_name", "precision"))
        write_json(run.path / "recipe.json", run.recipe_file | {"environment": run.environment | none})
    attempt, system = (Run(run.path) for run in runs)
    for block in (readme.attempts_block([attempt]), readme.systems_block([system])):
        assert "81.5%" in block and "None" not in block and "Measured on several devices (TensorFlow" in block
    assert "several devices, several precisions" in readme.recorded_block(SYSTEMS[0], [attempt])


def test_systems_drawn_are_the_runs(tmp_path):
    from dfclib.reporting import figures

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
    with pytest.raises(UserError, match="none of the 1 runs is of a system other than the six attempts"):
        figures.systems([write_run(tmp_path, find("attempt1"), correct=1)])
