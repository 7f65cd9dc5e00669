"""Every committed notebook: paired, executed in order, in the story's shape, and free of this machine."""

import ast
import re
import tomllib
from pathlib import Path

import jupytext
import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
ADDRESS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]["Repository"]
REPOSITORY = ADDRESS.removeprefix("https://github.com/")
SECTIONS = [
    "question",
    "setup",
    "data",
    "recipe",
    "train",
    "what happened",
    "the recorded full run",
    "what next",
]
# what a checked output must not hold: it would differ on the next machine, or on the next day
MACHINE = re.compile(r"/work/|/root/|/home/|/tmp/|/usr/|\b\d+(\.\d+)? ?(s|ms|seconds|min|minutes) (left|elapsed)\b")

every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def read(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


def code_cells(path: Path) -> list[nbformat.NotebookNode]:
    return [cell for cell in read(path).cells if cell.cell_type == "code"]


def tagged(path: Path, tag: str) -> list[nbformat.NotebookNode]:
    return [cell for cell in read(path).cells if tag in cell.metadata.get("tags", [])]


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
    if path.stem.startswith("00"):
        pytest.skip("the notebook on the data trains nothing")
    headings = [
        heading.strip().lower()
        for cell in read(path).cells
        if cell.cell_type == "markdown"
        for heading in re.findall(r"^## (.*)$", cell.source, re.MULTILINE)
    ]
    assert [heading for heading in headings if heading in SECTIONS] == SECTIONS, headings


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
