"""README, its neighbours and the report's tables are true: links exist, commands parse, numbers are the runs'."""

import importlib
import os
import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path

import nbformat
import pytest

from dfclib.cli.parser import build_parser
from dfclib.reporting import readme
from dfclib.runs import find_runs

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
REPORT = (ROOT / "report" / "README.md").read_text(encoding="utf-8")
PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "report/README.md")
ADDRESS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]["Repository"]
RECIPE_FILES = sorted(f"dfclib/recipes/{path.name}" for path in (ROOT / "dfclib" / "recipes").glob("*.py"))
BLOCKS = list(readme.blocks(ROOT))
HEADERS = [name for name in BLOCKS if name.startswith("recorded-")]
ANSWERS = [name for name in BLOCKS if name.startswith("answer-")]  # the notebooks'
STUDIES = [name for name in BLOCKS if name.startswith("study-")]  # the recipe files'
ON_README = {"start", "findings", "summary", "notebooks"}
REPOSITORY = ADDRESS.removeprefix("https://github.com/")
MAKEFILE = (ROOT / "Makefile").read_text()


def commands() -> list[str]:
    """Every command that the pages show: lines of sh fences, and code in backticks that starts like one."""
    pages = "\n".join((README, CONTRIBUTING, REPORT))
    fences = re.findall(r"^```sh\n(.*?)^```", pages, re.MULTILINE | re.DOTALL)
    lines = [line for fence in fences for line in fence.splitlines()]
    lines += re.findall(r"`((?:make|python|python3\.11|rm) [^`]+)`", pages)
    return sorted({shlex.join(shlex.split(line, comments=True)) for line in lines} - {""})


def starting_with(*words: str) -> list[str]:
    return [command for command in commands() if command.split()[: len(words)] == list(words)]


def links(page: str) -> list[str]:
    return re.findall(r"\]\(([^)\s]+)\)", (ROOT / page).read_text(encoding="utf-8"))


def slug(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES)
def test_relative_links_and_pictures_exist(page):
    headings = {slug(h) for h in re.findall(r"^#+ (.*)$", (ROOT / page).read_text(), re.MULTILINE)}
    relative = [link for link in links(page) if not link.startswith(("http://", "https://"))]
    folder = (ROOT / page).parent
    missing = [link for link in relative if not link.startswith("#") and not (folder / link.split("#")[0]).exists()]
    assert missing == []
    assert [link for link in relative if link.startswith("#") and link[1:] not in headings] == []


def test_the_top_of_readme_says_what_it_is_about():
    """The task, embedded pictures, where to start, findings, the ladder, the systems, and a reader's own folder."""
    lines = [line for line in README.splitlines() if not line.startswith("<!--")]
    top = "\n".join(lines[:45])
    parts = ("images/samples.png", "colab-badge.svg", "* **", "images/ladder.png", "| system |", "dfclib predict")
    places = [top.find(part) for part in parts]
    assert -1 not in places and places == sorted(places)
    assert README.count("colab-badge.svg") == 1


def tables(page: str) -> list[list[list[str]]]:
    """Every table of a page as rows of cells, the headings first."""
    found = re.findall(r"(?:^\|.*\|\n)+", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE)
    split = [[[cell.strip() for cell in line[1:-1].split(" | ")] for line in table.splitlines()] for table in found]
    return [[rows[0], *rows[2:]] for rows in split]


@pytest.mark.parametrize("page", PAGES)
def test_tables_are_narrow_and_no_column_says_the_same_everywhere(page):
    for headings, *rows in tables(page):
        assert len(headings) <= 7, headings
        columns = dict(zip(headings, zip(*rows, strict=True), strict=True))
        assert [heading for heading, cells in columns.items() if len(set(cells)) == 1 < len(cells)] == []


@pytest.mark.parametrize("command", starting_with("make"))
def test_make_commands_are_targets_with_known_variables(command):
    targets = set(re.search(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)[1].split())
    variables = set(re.findall(r"^([A-Z_]+) \?=", MAKEFILE, re.MULTILINE))
    target, *assignments = shlex.split(command)[1:]
    assert target in targets
    assert {assignment.split("=")[0] for assignment in assignments} <= variables


def test_every_target_has_its_row():
    targets = set(re.search(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)[1].split())
    rows = re.findall(r"^\| `make ([a-z-]+)[^`]*` \| (.+) \|$", CONTRIBUTING, re.MULTILINE)
    assert {target for target, _ in rows} == targets


@pytest.mark.parametrize("command", starting_with("python", "-m", "dfclib"))
def test_command_lines_parse(command):
    build_parser().parse_args(shlex.split(command)[3:])  # a wrong one exits with 2


def test_most_commands_of_the_program_are_shown():
    shown = {command.split()[3] for command in starting_with("python", "-m", "dfclib")}
    assert {"data", "recipes", "train", "vote", "evaluate", "predict", "submit", "figures"} <= shown


PLAIN = [
    "story",
    "systems",
    "fashion",
    "test",
    "test-units",
    "test-story",
    "test-systems",
    "notebooks",
    "figures",
    "readme",
    "report",
    "lint",
    "format",
    "lock",
    "clean",
]


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
@pytest.mark.parametrize("target", PLAIN)
def test_plain_commands_are_what_make_runs(target):
    """The commands beside a target in CONTRIBUTING are those of its recipe, .venv's Python aside."""
    row = re.search(rf"^\| `make {target}` \| (.+) \|$", CONTRIBUTING, re.MULTILINE)
    shown = re.findall(r"`((?:python|python3\.11|rm) [^`]+)`", row[1])
    # without what a make around this test hands down, which changes what is printed
    environment = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME")}
    command = ["make", "-n", target]
    printed = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout
    made = [" ".join(line.removeprefix(".venv/bin/").split()) for line in printed.splitlines()]
    assert shown
    assert [command for command in shown if command not in made] == []


@pytest.fixture(scope="module")
def recorded():
    return find_runs(ROOT / "report" / "runs")


@pytest.mark.parametrize("page", ["README.md", "report/README.md", *RECIPE_FILES])
def test_generated_blocks_are_the_recorded_runs(page, recorded):
    text = (ROOT / page).read_text(encoding="utf-8")
    assert readme.fill(text, recorded, ROOT) == text, "run: make readme"


def test_all_generated_blocks_are_there_each_in_its_file():
    blocks = {page: [match[2] for match in readme.BLOCK.finditer((ROOT / page).read_text())] for page in RECIPE_FILES}
    headers = {f"dfclib/recipes/{name.removeprefix('recorded-')}.py": [name] for name in HEADERS}
    recorded = {page: [name for name in names if name not in STUDIES] for page, names in blocks.items()}
    assert {page: names for page, names in recorded.items() if names} == headers
    assert {name for names in blocks.values() for name in names} == {*HEADERS, *STUDIES}
    assert {match[2] for match in readme.BLOCK.finditer(README)} == ON_README
    on_report = {match[2] for match in readme.BLOCK.finditer(REPORT)}
    assert on_report == set(BLOCKS) - {*HEADERS, *STUDIES, *ANSWERS, *ON_README}


def test_a_recipe_files_block_is_in_its_header():
    """Where a reader of the module, and help(), finds it."""
    for name in HEADERS:
        module = importlib.import_module(f"dfclib.recipes.{name.removeprefix('recorded-')}")
        assert f"<!-- generated: {name} -->" in module.__doc__


def test_no_accuracy_is_typed_by_hand():
    """Percentages stand in generated blocks alone."""
    for page in (README, REPORT):
        assert re.findall(r"\d+(?:\.\d+)? ?%", readme.BLOCK.sub("", page)) == []


def test_the_address_stands_once():
    """In pyproject.toml; clone cells and badges, which need it, are compared with it below."""
    folders = [ROOT / name for name in ("dfclib", "tests", "benchmarks", "requirements", ".ci")]
    paths = [path for folder in folders for path in folder.rglob("*")] + list(ROOT.glob("*"))
    found = {path.name for path in paths if path.is_file() and ADDRESS.encode() in path.read_bytes()}
    assert found == {"pyproject.toml"}
    assert (ROOT / "pyproject.toml").read_text().count(ADDRESS) == 1


def badge_targets(text: str) -> list[str]:
    return re.findall(r"https://colab\.research\.google\.com/github/([^)\s\"\\]+)", text)


def test_readme_links_every_notebook_to_colab():
    notebooks = sorted((ROOT / "notebooks").glob("*.ipynb"))
    assert notebooks
    first, *others = [f"{REPOSITORY}/blob/main/notebooks/{notebook.name}" for notebook in notebooks]
    assert badge_targets(README) == [first, first, *others]  # the badge, then the list


def test_notebooks_clone_from_the_address():
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        text = "\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells)
        addresses = re.findall(r"https://github\.com/[\w.-]+/[\w-]+", text)
        assert ADDRESS in addresses, path.name
        clones = re.findall(r"clone[^\n]*?(https://[^\s\"']+)", text)
        assert all(address.removesuffix(".git") == ADDRESS for address in clones), path.name
