"""Generated blocks, from runs written to disk as training writes them."""

from dataclasses import replace

import pytest
from fakes import EMBEDDED, make_run

from dfclib.errors import UserError
from dfclib.files import write_json
from dfclib.recipes import SYSTEMS, find
from dfclib.reporting import readme
from dfclib.runs import find_runs

PAGE = "<!-- generated: attempts -->\n<!-- end generated -->\n"
VERSIONS = {"device_name": "a chip, 2 cores", "tensorflow": "2.21.0", "keras": "3.15.1", "python": "3.11.7"}


def test_a_markdown_table_holds_every_cell():
    rows = [{"attempt": "1", "a long heading indeed": "78%"}, {"attempt": "2", "a long heading indeed": ""}]
    markdown = "| attempt | a long heading indeed |\n| --- | --- |\n| 1 | 78% |\n| 2 |  |\n"
    assert readme.markdown_table(rows) == markdown


def test_readme_shows_no_embedded_run_and_no_member_of_a_vote(tmp_path):
    make_run(tmp_path, find("attempt1").quick(), 0.995, data=EMBEDDED)
    make_run(tmp_path, "attempt3-a", 0.9)
    assert readme.NOTHING in readme.fill(PAGE, find_runs(tmp_path))
    make_run(tmp_path, "attempt1", 0.75, environment=VERSIONS)
    block = readme.fill(PAGE, find_runs(tmp_path))
    assert block.count("75.0%") == 1 and "99.5%" not in block and "90.0%" not in block
    assert "Measured on a chip, 2 cores (TensorFlow 2.21.0, Keras 3.15.1, Python 3.11.7)." in block


def test_shortened_names_what_a_scale_leaves_out_once_for_all_alike(tmp_path):
    runs = [make_run(tmp_path, f"attempt{i}") for i in (1, 2, 3, 5, 6)]
    pixels = "100x100 pixels instead of 128x128, framing by crop instead of resize"
    assert readme.shortened_block(runs) == (
        f"* attempt 1, attempt 2, attempt 3 (vote) (compact): {pixels}\n"
        f"* attempt 5, attempt 6 alone (compact): 12 epochs instead of 80, {pixels}, nearest instead of bilinear "
        "interpolation\n"
    )
    compact = find("attempt1").compact()
    seeds = [make_run(tmp_path, compact.with_options(seed=seed)) for seed in (0, 1)]
    assert readme.shortened_block(seeds) == f"* attempt 1 (compact): {pixels}\n"  # named once, too
    assert readme.shortened_block([make_run(tmp_path, find("attempt1"))]) == readme.NOTHING
    others = [make_run(tmp_path, "s2-cnn"), make_run(tmp_path, "s3-base")]  # S2 as its author has it
    assert readme.shortened_block(others) == "* s3-base (compact): 20 epochs instead of 160\n"


def test_an_earlier_recipe_and_given_epochs_are_said_beside_the_scale(tmp_path):
    compact = find("attempt1").compact()
    runs = [make_run(tmp_path, recipe) for recipe in (replace(compact, epochs=3), compact.with_options(epochs=3))]
    block = readme.shortened_block(runs)
    assert "* attempt 1 (compact, earlier recipe): 3 epochs instead of 10, " in block
    assert "* attempt 1 (compact, 3 epochs): 3 epochs instead of 10, " in block


def test_what_must_be_said_of_a_claim_stands_once_below_the_systems(tmp_path):
    recipes = (find("s2-cnn"), find("s2-cnn").with_options(seed=1), find("s1-v1"))
    lines = readme.systems_block([make_run(tmp_path, recipe) for recipe in recipes]).splitlines()
    note = f"* s2-cnn: {find('s2-cnn').claims_note}"
    assert [line for line in lines if line.startswith("*")] == [note]
    assert lines.index(note) > max(i for i, line in enumerate(lines) if line.startswith("| s2-cnn"))


def test_nothing_recorded_is_said(tmp_path):
    experiment = make_run(tmp_path, "resampling-nearest")
    assert readme.systems_block([experiment]) == readme.NOTHING
    assert readme.experiment_block([make_run(tmp_path, "attempt1")]) == readme.NOTHING
    assert readme.experiment_block([experiment]).startswith("| training images | ")


def test_a_recipe_files_header_tells_what_is_recorded_of_its_recipes(tmp_path):
    def make(recipe, *args, **options):
        return make_run(tmp_path, recipe, *args, n=200, **options)

    runs = [
        make("attempt2", 0.75),
        make(find("attempt1").with_options(seed=3), 0.815),
        make(find("attempt3"), 0.85, metrics={"seconds": 9000.0}),
        make(find("s1-v1"), 0.1),
    ]
    attempts, *_ = SYSTEMS
    assert readme.recorded_block(attempts, runs) == (
        "attempt1, seed 3, full, published: validation 81.5% [75.5%, 86.3%], n = 200,\n"
        "    7 epochs, 2 min, CPU, float32\n"
        "attempt2, seed 0, compact, published: validation 75.0% [68.6%, 80.5%], n = 200,\n"
        "    7 epochs, 2 min, CPU, float32\n"
        "attempt3, seed 0, full, published: validation 85.0% [79.4%, 89.3%], n = 200,\n"
        "    10 voters, 2.5 h, CPU, float32\n"
    )
    by_name = {system.__name__.rpartition(".")[2]: system for system in SYSTEMS}
    assert readme.recorded_block(by_name["fashion_mnist"], runs) == "Nothing is recorded yet.\n"
    tested = make(find("s4-author"), 0.95, test=0.9, data={"name": "fashion-mnist"})
    assert readme.recorded_block(by_name["fashion_mnist"], [tested]).startswith(
        "s4-author, seed 0, full, published: test 90.0% ["
    )
    judged = make(find("resampling-nearest"), 0.5, held_out=0.815)
    assert "held out: held_out 81.5% [" in readme.recorded_block(by_name["resampling"], [judged])


def test_a_vote_over_several_devices_is_told_everywhere(tmp_path):
    several = VERSIONS | dict.fromkeys(("device", "device_name", "precision"))
    attempt, system = (make_run(tmp_path, find(name), 0.815, environment=several) for name in ("attempt3", "s3-vote"))
    for block in (readme.attempts_block([attempt], {}), readme.systems_block([system])):
        assert "81.5%" in block and "None" not in block and "Measured on several devices (TensorFlow" in block
    assert "several devices, several precisions" in readme.recorded_block(SYSTEMS[0], [attempt])


def test_notebooks_are_listed_and_the_first_has_a_badge_by_the_address(tmp_path):
    (tmp_path / "pyproject.toml").write_text('[project.urls]\nRepository = "https://github.com/some/body"\n')
    (tmp_path / "notebooks").mkdir()
    assert "no notebooks yet" in readme.notebooks_block(tmp_path)
    cells = [
        {"cell_type": "code", "source": ["# not this"]},
        {"cell_type": "markdown", "source": ["x\n", "# The title"]},
    ]
    for name in ("04_other", "03_name"):
        write_json(tmp_path / "notebooks" / f"{name}.ipynb", {"cells": cells})
    colab = "https://colab.research.google.com/github/some/body/blob/main/notebooks"
    assert readme.notebooks_block(tmp_path) == (
        f"* [The title](notebooks/03_name.ipynb), [in Colab]({colab}/03_name.ipynb)\n"
        f"* [The title](notebooks/04_other.ipynb), [in Colab]({colab}/04_other.ipynb)\n"
    )
    assert readme.start_block(tmp_path).endswith(f"colab-badge.svg)]({colab}/03_name.ipynb)\n")


# ---- filling and checking a page ----


def test_fill_replaces_a_block_and_nothing_else():
    text = PAGE.replace("-->\n<", "-->\nold\n<")
    assert readme.fill(f"before\n{text}after\n", []) == f"before\n{text}after\n".replace("old\n", readme.NOTHING)


def test_a_changed_run_changes_the_page(tmp_path):
    make_run(tmp_path, "attempt1", 0.75)
    filled = readme.fill(PAGE, find_runs(tmp_path))
    assert readme.fill(filled, find_runs(tmp_path)) == filled
    make_run(tmp_path, "attempt1", 0.76)
    assert readme.fill(filled, find_runs(tmp_path)) != filled


@pytest.mark.parametrize(
    "text",
    [
        "<!-- generated: weather -->\n<!-- end generated -->\n",
        "<!-- generated: attempts -->\nno end\n",
        "<!-- generated: attempts -->\n<!-- generated: shortened -->\n<!-- end generated -->\n",
    ],
)
def test_fill_refuses_what_it_cannot_make(text):
    with pytest.raises(UserError):
        readme.fill(text, [])


def test_check_fails_for_a_changed_number(tmp_path, capsys):
    """The same file passes filled and fails once a character of its block is changed."""
    page, runs = tmp_path / "page.md", str(tmp_path / "none")
    page.write_text(PAGE.replace("-->\n<", "-->\n1%\n<"))
    assert readme.main(["--check", "--runs", runs, str(page)]) == 1
    assert readme.main(["--runs", runs, str(page)]) == 0
    assert readme.main(["--check", "--runs", runs, str(page)]) == 0
    assert "differs" in capsys.readouterr().err


def test_a_missing_file_is_one_sentence(capsys):
    assert readme.main(["nowhere.md"]) == 1
    assert capsys.readouterr().err == "error: nowhere.md does not exist\n"
