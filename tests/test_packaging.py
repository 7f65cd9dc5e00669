"""The package's and the Makefile's promises: versions, files, and what a machine without Python is told."""

import ast
import email
import os
import platform
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

import dfclib

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def read_requirements(path: Path) -> dict[str, Requirement]:
    lines = (line.split("#")[0].strip() for line in path.read_text().splitlines())
    requirements = (Requirement(line) for line in lines if line)
    return {requirement.name.lower().replace("_", "-"): requirement for requirement in requirements}


EXTRAS = ("notebooks", "study", "report", "test")
RANGES = read_requirements(ROOT / "requirements.txt")
LOCK = read_requirements(ROOT / "requirements" / "lock.txt")
COLAB = read_requirements(ROOT / "requirements" / "colab.txt")


@pytest.mark.parametrize("name", RANGES)
def test_lock_pins_every_requirement_within_its_range(name):
    (pin,) = LOCK[name].specifier
    assert pin.operator == "=="
    assert RANGES[name].specifier.contains(pin.version)
    assert LOCK[name].marker is None, f"{name} would be missing on some Python"


def test_an_installed_dfclib_needs_what_requirements_name_and_extras_hold_the_rest():
    extras = PROJECT["optional-dependencies"]
    listed = [PROJECT["dependencies"], *(extras[name] for name in EXTRAS)]
    assert [str(Requirement(line)) for lines in listed for line in lines] == [str(r) for r in RANGES.values()]


def test_what_the_package_imports_is_what_it_depends_on():
    """Tools for tests and notebooks, or a library that is imported no more, are nothing to install for users."""
    imported = set()
    for path in (ROOT / "dfclib").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add(node.module.split(".")[0])
    imported -= set(sys.stdlib_module_names) | {"dfclib"}
    imported -= {"kagglesdk", "requests", "urllib3"}  # kaggle's own
    imported -= {"google", "jax", "torch", "psutil"}  # used where they are, as in Colab
    imported -= {
        Requirement(line).name for extra in ("study", "report") for line in PROJECT["optional-dependencies"][extra]
    }
    names = {"PIL": "pillow", "sklearn": "scikit-learn"}
    needed = {Requirement(line).name.lower() for line in PROJECT["dependencies"]}
    assert {names.get(name, name) for name in imported} == needed


def test_a_wheel_holds_the_package_and_asks_for_no_tools(tmp_path):
    pytest.importorskip("setuptools")
    source = tmp_path / "source"
    shutil.copytree(ROOT / "dfclib", source / "dfclib", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "tests" / "notebooks", source / "tests" / "notebooks")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, "-w", str(tmp_path), str(source)], check=True)
    (wheel,) = tmp_path.glob("dfclib-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        files = {name for name in archive.namelist() if ".dist-info/" not in name}
        (about,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        metadata = email.message_from_bytes(archive.read(about))
    assert files == {str(p.relative_to(source).as_posix()) for p in (source / "dfclib").rglob("*") if p.is_file()}
    assert metadata["Version"] == dfclib.__version__
    assert set(metadata.get_all("Provides-Extra")) == set(EXTRAS)
    plain = [Requirement(line) for line in metadata.get_all("Requires-Dist")]
    plain = {requirement.name.lower() for requirement in plain if requirement.marker is None}
    assert plain == {Requirement(line).name.lower() for line in PROJECT["dependencies"]}
    assert not plain & {"pytest", "ruff", "nbval", "papermill", "jupytext", "ipykernel", "nbformat", "typst", "optuna"}


def test_every_line_of_the_lock_is_an_exact_version():
    assert {str(r) for r in LOCK.values() if [s.operator for s in r.specifier] != ["=="]} == set()


@pytest.mark.parametrize("name", COLAB)
def test_colab_is_within_our_ranges(name):
    (pin,) = COLAB[name].specifier
    assert RANGES[name].specifier.contains(pin.version)


def test_ranges_reach_from_colab_to_the_newest():
    """TensorFlow 2.20 with Keras 3.13.2 (Colab) and 2.21 with 3.15 (the lock) are both allowed."""
    tensorflow, keras = RANGES["tensorflow"].specifier, RANGES["keras"].specifier
    assert all(tensorflow.contains(v) for v in ("2.20.0", "2.21.0")) and not tensorflow.contains("2.22.0")
    assert all(keras.contains(v) for v in ("3.13.2", "3.15.1")) and not keras.contains("3.13.1")


def test_this_python_is_supported_and_the_edges_are_as_stated():
    supported = SpecifierSet(PROJECT["requires-python"])
    assert all(supported.contains(v) for v in ("3.11.0", "3.12.1", "3.13.9", platform.python_version()))
    assert not supported.contains("3.10.13") and not supported.contains("3.14.0")


def test_version_is_the_same_everywhere():
    assert f"version: {dfclib.__version__}\n" in (ROOT / "CITATION.cff").read_text()
    changes = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert changes[0] == dfclib.__version__


def test_every_folder_with_modules_is_a_package():
    """A folder without __init__.py would be missing from an installed dfclib."""
    folders = {path.parent for path in (ROOT / "dfclib").rglob("*.py")}
    assert [folder for folder in folders if not (folder / "__init__.py").exists()] == []


def test_data_files_of_the_package_are_installed():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    for path in (ROOT / "dfclib").rglob("*"):
        if path.is_file() and path.suffix not in (".py", ".pyc"):
            package = ".".join(path.parent.relative_to(ROOT).parts)
            assert any(path.match(pattern) for pattern in declared.get(package, [])), path


def test_console_script_leads_to_the_command_line():
    from dfclib.cli import main

    assert PROJECT["scripts"]["dfclib"] == "dfclib.cli.main:main"
    assert callable(main.main)


def test_report_starts_without_tensorflow():
    code = "import sys, dfclib.reporting.readme; sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


# the Makefile

MAKE = shutil.which("make")
# without what a make around this test (make test DATA=...) hands down to its children
PLAIN = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME")}
needs_make = pytest.mark.skipif(MAKE is None, reason="make is not installed")


def targets() -> set[str]:
    """Names that the Makefile declares as commands."""
    return set(re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[1].split())


@needs_make
def test_help_is_the_default_and_lists_every_target():
    listed = subprocess.run([MAKE], cwd=ROOT, env=PLAIN, capture_output=True, text=True, check=True).stdout
    assert set(re.findall(r"^  make ([a-z-]+) ", listed, re.MULTILINE)) == targets()


def make_elsewhere(folder: Path, pythons: dict[str, str], *arguments: str) -> subprocess.CompletedProcess:
    """Run make in a copy of the project's skeleton, where the only Pythons are the given shell scripts."""
    (folder / "requirements").mkdir(parents=True)
    for name in ("Makefile", "pyproject.toml", "requirements.txt", "requirements/lock.txt"):
        shutil.copy(ROOT / name, folder / name)
    commands = folder.parent / "bin"
    commands.mkdir()
    for tool in ("sh", "make", "rm", "touch", "mkdir", "awk"):
        (commands / tool).symlink_to(shutil.which(tool))
    for name, script in pythons.items():
        (commands / name).write_text(f"#!/bin/sh\n{script}\n")
        (commands / name).chmod(0o755)
    environment = {"PATH": str(commands), "HOME": str(folder)}
    command = [str(commands / "make"), *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


@needs_make
@pytest.mark.parametrize(
    ("script", "arguments", "expected"),
    [
        (
            None,
            [],
            ["dfclib needs Python 3.11, 3.12 or 3.13", "python3: not there", "sudo apt install python3 python3-venv"],
        ),
        ("echo 3.10", [], ["python3: is Python 3.10"]),
        ('case "$2" in *ensurepip*) exit 1;; *) echo 3.12;; esac', [], ["sudo apt install python3.12-venv"]),
        ("echo 3.12", ["PYTHON=/no such/python"], ["/no such/python: not there"]),  # the chosen one alone is tried
    ],
    ids=["no Python", "too old", "without venv", "chosen"],
)
def test_without_a_usable_python_make_says_what_to_install(script, arguments, expected, tmp_path):
    pythons = {} if script is None else {"python3": script}
    result = make_elsewhere(tmp_path / "a folder", pythons, "venv", *arguments)
    assert result.returncode != 0
    assert [words for words in expected if words not in result.stderr] == []
    assert not arguments or "  python3:" not in result.stderr
    assert not (tmp_path / "a folder" / ".venv").exists()


@needs_make
def test_the_first_usable_python_makes_the_environment_and_the_lock_is_installed(tmp_path):
    """python3 is too new here, python3.13 will do; in a folder whose name has a space."""
    log = tmp_path / "log"
    # stands for a Python 3.13: tells its version, and "creates" an environment that logs its arguments
    script = f"""
case "$*" in
    *"print("*) echo 3.13;;
    *"-m venv"*)
        mkdir -p .venv/bin
        printf '#!/bin/sh\\necho "$@" >> "{log}"\\n' > .venv/bin/python
        {shutil.which("chmod")} +x .venv/bin/python;;
esac"""
    pythons = {"python3": "echo 3.14", "python3.13": script}
    result = make_elsewhere(tmp_path / "a folder", pythons, "venv")
    assert result.returncode == 0, result.stderr
    assert "creating .venv with python3.13" in result.stdout
    assert "install -r requirements/lock.txt" in log.read_text()
    assert "--no-deps --no-build-isolation -e ." in log.read_text()
    assert (tmp_path / "a folder" / ".venv" / ".installed").exists()


@needs_make
@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ([], "notebooks/execute.py story"),
        (["DATA=my data", "SCALE=full"], 'notebooks/execute.py story --data "my data" --scale "full"'),
        (["SEED=3"], 'notebooks/execute.py story --seed "3"'),
        (["DATA=a b", "IMAGE_SIZE=96 128"], 'notebooks/execute.py story --data "a b" --image-size 96 128'),
    ],
)
def test_story_and_systems_hand_their_variables_on(variables, expected):
    """`make -n` prints the command, whether or not .venv is there."""
    for target in ("story", "systems"):
        command = [MAKE, "-n", target, *variables]
        printed = subprocess.run(command, cwd=ROOT, env=PLAIN, capture_output=True, text=True, check=True).stdout
        wanted = f".venv/bin/python {expected.replace('story', target)}"
        assert " ".join(printed.splitlines()[-1].split()) == wanted


def test_ci_calls_make_test():
    script = ROOT / ".ci" / "run"
    assert "make test" in script.read_text()
    assert os.access(script, os.X_OK)
