"""Every committed notebook: paired, executed in order, in the story's shape, and free of this machine."""

import ast
import json
import re
import tomllib
from pathlib import Path

import jupytext
import nbformat
import pytest
from fakes import make_run

from dfclib import runs
from dfclib.evaluation.metrics import wilson_interval
from dfclib.evaluation.published import published_results
from dfclib.recipes import find
from dfclib.reporting.readme import BLOCK, fill_notebook
from dfclib.runs import find_runs

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
ADDRESS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]["Repository"]
RUNS = find_runs(ROOT / "report" / "runs")
REPOSITORY = ADDRESS.removeprefix("https://github.com/")
SECTIONS = [
    "Question",
    "Answer",
    "Setup",
    "The evidence",
    "Data",
    "Recipe",
    "Train",
    "What happened here",
    "What next",
]
TRAINING = ("Recipe", "Train", "What happened here")
# an accuracy, a difference, a rate: in prose it would stay when the run that it came from is replaced
RESULT = re.compile(r"\d\s?(?:%|percent|points?\b)|\d\.\d|\d,\d{3}")
# what a checked output must not hold: it would differ on the next machine, or on the next day
MACHINE = re.compile(r"/work/|/root/|/home/|/tmp/|/usr/|\b\d+(\.\d+)? ?(s|ms|seconds|min|minutes) (left|elapsed)\b")

every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def read(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


def code_cells(path: Path) -> list[nbformat.NotebookNode]:
    return [cell for cell in read(path).cells if cell.cell_type == "code"]


def tagged(path: Path, tag: str) -> list[nbformat.NotebookNode]:
    return [cell for cell in read(path).cells if tag in cell.metadata.get("tags", [])]


def prose(path: Path) -> list[str]:
    return [cell.source for cell in read(path).cells if cell.cell_type == "markdown"]


def without_header(text: str) -> str:
    """A pair's text without its YAML header, which names the version of Jupytext that wrote it."""
    return re.sub(r"\A# ---\n.*?^# ---\n", "", text, flags=re.DOTALL | re.MULTILINE)


def output_text(cell: nbformat.NotebookNode) -> str:
    parts = [output.get("text", "") for output in cell.outputs]
    parts += [text for output in cell.outputs for kind, text in output.get("data", {}).items() if "text" in kind]
    return "\n".join(parts)


def test_the_story_is_complete():
    assert [path.stem[:3] for path in NOTEBOOKS] == [f"{number:02}_" for number in range(len(NOTEBOOKS))]
    assert len(NOTEBOOKS) >= 7
    assert sorted(path.stem for path in FOLDER.glob("[0-9]*.py")) == [path.stem for path in NOTEBOOKS]


@every_notebook
def test_the_pair_agrees_cell_by_cell(path):
    """Whatever the files' times say: what Jupytext would write for the notebook is the text beside it."""
    text = path.with_suffix(".py").read_text(encoding="utf-8")
    as_text = jupytext.reads(text, fmt="py:percent")
    cells = [(cell.cell_type, cell.source, cell.metadata.get("tags", [])) for cell in read(path).cells]
    pair = [(cell.cell_type, cell.source, cell.metadata.get("tags", [])) for cell in as_text.cells]
    for number, (cell, other) in enumerate(zip(cells, pair, strict=False)):
        assert cell == other, f"cell {number}; make notebooks executes the text and writes the notebook anew"
    assert len(cells) == len(pair)
    assert without_header(jupytext.writes(jupytext.read(path), fmt="py:percent")) == without_header(text)


@every_notebook
def test_every_code_cell_was_executed_in_order(path):
    cells = code_cells(path)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert [cell.source for cell in cells if not cell.source.strip()] == []


@every_notebook
def test_no_output_is_an_error(path):
    errors = [output for cell in code_cells(path) for output in cell.outputs if output.output_type == "error"]
    assert errors == []
    warnings = [output.text for cell in code_cells(path) for output in cell.outputs if output.get("name") == "stderr"]
    assert warnings == []


@every_notebook
def test_sections_stand_in_order(path):
    headings = [heading.strip() for text in prose(path) for heading in re.findall(r"^## (.*)$", text, re.MULTILINE)]
    trains = not path.stem.startswith("00")  # the notebook on the data trains nothing
    assert headings == [section for section in SECTIONS if trains or section not in TRAINING]


@every_notebook
def test_one_answer_stands_below_the_question_as_the_recorded_runs_give_it(path):
    """The check that README has: filled again, the notebook is the same."""
    text = path.read_text(encoding="utf-8")
    assert json.loads(fill_notebook(text, RUNS, ROOT)) == json.loads(text), f"python -m dfclib.reporting.readme {path}"
    sections = re.split(r"^## ", "\n".join(prose(path)), flags=re.MULTILINE)
    (answer,) = (section for section in sections if section.startswith("Answer\n"))
    (block,) = BLOCK.findall("\n".join(prose(path)))
    assert block[1].startswith("answer-")
    found = BLOCK.search(answer)
    assert found is not None and "No answer yet" not in found[0] and "%" in found[0]
    assert "".join(BLOCK.split(answer)[:: BLOCK.groups + 1]).split() == ["Answer"], "nothing else in this section"


@every_notebook
def test_prose_holds_no_typed_result(path):
    """Numbers of results stand in generated blocks and in the outputs of cells."""
    for text in prose(path):
        plain = re.sub(r"`[^`]*`|\]\([^)]*\)", "", BLOCK.sub("", text))  # no code, no addresses
        assert RESULT.findall(plain) == [], text


def test_typed_results_are_found():
    for text in ("reaches 72.6%", "is 5 points better", "0.45 of it", "on 6,320 images", "83 percent"):
        assert RESULT.search(text), text
    for text in ("attempt 4 shows class 4 twice", "epochs 1 to 3", "48x48 pixels"):
        assert not RESULT.search(text), text


def test_what_the_prose_says_of_the_authors_class_4_is_so():
    """Notebooks 04 and 06: no more of it is found where it is shown more often, and more where it is not."""
    published = published_results(ROOT / "report" / "published")
    attempts = {number: find(f"attempt{number}") for number in (2, 4, 5, 6)}
    shown = {number: recipe.class_repeats.get("4", recipe.repeats) for number, recipe in attempts.items()}
    more_often = {number for number, recipe in attempts.items() if shown[number] > recipe.repeats}
    found = {number: published[f"attempt{number}"].matrix[4, 4] for number in attempts}
    low, high = wilson_interval(found[2], 250)
    assert more_often == {4, 5} and all(low < found[number] / 250 < high for number in more_often)
    assert found[6] / 250 > high
    directions = {number: attempts[number].schedule.factor > 1 for number in (4, 5, 6)}
    assert directions == {4: True, 5: True, 6: False}
    assert attempts[5].schedule.factor > attempts[4].schedule.factor and attempts[5].repeats == attempts[4].repeats


def cells_below(path: Path, heading: str) -> list[str]:
    """The code below a heading of the second level, as far as the next one."""
    found, below = [], False
    for cell in read(path).cells:
        if cell.cell_type == "markdown" and re.match("## ", cell.source):
            below = cell.source.splitlines()[0] == f"## {heading}"
        elif cell.cell_type == "code" and below:
            found.append(cell.source)
    return found


@pytest.mark.parametrize("accuracies", [(), (0.94,), (0.93, 0.94, 0.95)])
def test_our_own_notebook_shows_as_many_runs_as_are_recorded(accuracies, tmp_path, monkeypatch, capsys):
    """Its evidence without a run, with one and with three seeds: the committed outputs show one of these cases."""
    path = FOLDER / "11_sprint.ipynb"
    monkeypatch.chdir(ROOT)
    made = [make_run(tmp_path, find("sprint").with_options(seed=i), share) for i, share in enumerate(accuracies)]
    monkeypatch.setattr(runs, "find_runs", lambda folder: made)
    *_, imports = cells_below(path, "Setup")
    names: dict = {}
    for source in [imports, *cells_below(path, "The evidence")]:
        exec(compile(source, path.name, "exec"), names)
    printed = capsys.readouterr().out
    assert ("No run of ours" in printed) == (not made)
    assert [name for name, *_ in names["networks"]] == ["s1-vote, the author's", *["sprint"] * len(made)]
    assert [one.seed for one in names["ours"]] == list(range(len(made)))
    assert list(names["groups"]) == ["s1-vote,\nits author", *(["sprint"] if made else [])]


@every_notebook
def test_one_cell_holds_the_parameters(path):
    (cell,) = tagged(path, "parameters")
    statements = ast.parse(cell.source).body
    names = [target.id for statement in statements if isinstance(statement, ast.Assign) for target in statement.targets]
    fixed = path.stem.startswith("10")  # Fashion-MNIST's images have one size
    assert names == ["data", *([] if fixed else ["image_size"]), "scale", "epochs", "runs_dir", "seed"]
    assert [statement for statement in statements if not isinstance(statement, ast.Assign)] == []


@every_notebook
def test_the_images_are_loaded_at_the_size_asked_for(path):
    calls = [line for cell in code_cells(path) for line in cell.source.splitlines() if line.startswith("splits = ")]
    assert calls == ["splits = load_fashion(data)" if path.stem.startswith("10") else "splits = load(data, image_size)"]


@every_notebook
def test_notebooks_define_nothing(path):
    for cell in code_cells(path):
        code = "\n".join("pass" if line.lstrip().startswith(("%", "!")) else line for line in cell.source.splitlines())
        kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        assert [ast.unparse(node) for node in ast.walk(ast.parse(code)) if isinstance(node, kinds)] == []


@every_notebook
def test_badge_opens_this_notebook_in_colab(path):
    first = read(path).cells[0]
    assert first.cell_type == "markdown"
    assert f"https://colab.research.google.com/github/{REPOSITORY}/blob/main/notebooks/{path.name}" in first.source


def test_the_setup_cell_comes_first_and_is_the_same_everywhere():
    setups = {code_cells(path)[0].source for path in NOTEBOOKS}
    assert len(setups) == 1
    (setup,) = setups
    assert f"{ADDRESS}" in setup
    # Colab's own TensorFlow, numpy and Keras stay: nothing may be resolved anew there
    assert all("--no-deps" in line for line in setup.splitlines() if "pip" in line and "install" in line)


@every_notebook
def test_outputs_that_must_hold_are_checked(path):
    checked = tagged(path, "nbval-check-output")
    assert len(checked) >= 2
    assert [cell.source for cell in checked if not output_text(cell).strip()] == [], "nothing printed to compare"


@every_notebook
def test_checked_outputs_know_neither_machine_nor_clock(path):
    for cell in tagged(path, "nbval-check-output"):
        assert MACHINE.findall(output_text(cell)) == [], cell.source


@every_notebook
def test_no_output_names_a_folder_of_the_authors_machine(path):
    for cell in code_cells(path):
        assert re.findall(r"(?:/work|/root|/home)/\S*", output_text(cell)) == [], cell.source


@every_notebook
def test_papermill_left_nothing_behind(path):
    notebook = read(path)
    assert "papermill" not in notebook.metadata
    assert [cell.source for cell in notebook.cells if "papermill" in cell.metadata] == []
    assert tagged(path, "injected-parameters") == []


@every_notebook
def test_notebooks_are_small(path):
    assert path.stat().st_size < 2_000_000
