"""Fill the generated blocks of README, of the recipe files and of the notebooks from recorded runs.

    python -m dfclib.reporting.readme README.md           # fill the blocks between <!-- generated: NAME --> and its end
    python -m dfclib.reporting.readme --check README.md   # change nothing, exit 1 where a block differs from its runs

So no number in them is typed by hand, and a test fails when one differs from the run that it came from. In a notebook
the blocks stand in its cells of prose, and in its text behind `# `.
"""

import argparse
import json
import re
import sys
import textwrap
import tomllib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import ModuleType

from dfclib import validation_looks
from dfclib.errors import UserError
from dfclib.evaluation.metrics import summary
from dfclib.evaluation.published import published_results
from dfclib.files import read_json, write_text
from dfclib.recipes import SYSTEMS
from dfclib.reporting import captions, rows, speed, studies
from dfclib.reporting.answers import ANSWERS, Published, answer
from dfclib.reporting.findings import findings
from dfclib.runs import Run, find_runs
from dfclib.wording import duration, percent

BLOCK = re.compile(r"((?:# )?)<!-- generated: ([\w-]+) -->\n.*?<!-- end generated -->", re.DOTALL)
PROSE = 118  # letters per line of an answer
MEASURED = Path("benchmarks/results")  # what benchmarks wrote, in the repository
NOTHING = "*Nothing is recorded yet.*\n"


def markdown_table(table: Sequence[dict[str, str]]) -> str:
    """Rows with the same headings as a Markdown table."""
    lines = [list(table[0]), ["---"] * len(table[0]), *(list(row.values()) for row in table)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def findings_block(runs: Sequence[Run], published: Published, root: Path) -> str:
    """What the report found, one item of a list each."""
    items = (f"* **{subject}.** {text}" for subject, text in findings(runs, published, root / MEASURED))
    return "\n".join(textwrap.fill(item, PROSE, subsequent_indent="  ") for item in items) + "\n"


def summary_block(runs: Sequence[Run], published: Published) -> str:
    """One row per system: its author and ours on the same images."""
    table = rows.headline_rows(runs, published)
    return markdown_table(table) if table else NOTHING


def comparison_block(runs: Sequence[Run], published: Published) -> str:
    """Every network whose author published its confusion matrix, beside ours."""
    table = rows.comparison_rows(runs, published)
    return markdown_table(table) if table else NOTHING


def attempts_block(runs: Sequence[Run], published: Published) -> str:
    """The attempts on the competition's images, and the devices and versions that they were measured with."""
    attempts = rows.attempt_runs(runs)
    table, shared = rows.narrow_attempt_rows(attempts, published)
    return markdown_table(table) + _in_all_rows(shared) + measured_on(attempts) if table else NOTHING


def systems_block(runs: Sequence[Run]) -> str:
    """The other systems on the competition's images and on Fashion-MNIST, with notes on their authors' figures."""
    found = rows.system_runs(runs)
    if not found:
        return NOTHING
    table, shared = rows.narrow_system_rows(found)
    notes = "".join(f"* {note}\n" for note in rows.claims_notes(found))
    return f"{markdown_table(table)}\n{notes}{_in_all_rows(shared)}{measured_on(found)}"


def experiment_block(runs: Sequence[Run]) -> str:
    """The experiment on resampling: held-out and training accuracy over seeds."""
    table, shared = rows.narrow_experiment_rows(runs)
    measured = [run for found in rows.experiment_runs(runs).values() for run in found]
    return markdown_table(table) + _in_all_rows(shared) + measured_on(measured) if table else NOTHING


def shortened_block(runs: Sequence[Run]) -> str:
    """A list of what was shortened in runs below full scale, one line for all that were shortened alike."""
    return "".join(f"* {line}\n" for line in rows.shortened_lines(runs)) or NOTHING


def notebooks_block(root: Path) -> str:
    """The notebooks under `root`, one line each: title, and where Colab opens it, by the address in pyproject.toml."""
    lines = []
    for path in sorted((root / "notebooks").glob("[0-9]*.ipynb")):
        cells = read_json(path)["cells"]
        prose = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
        title = next((line[2:].strip() for line in prose.splitlines() if line.startswith("# ")), path.stem)
        lines.append(f"* [{title}](notebooks/{path.name}), [in Colab]({_colab(root, path)})\n")
    return "".join(lines) or "*There are no notebooks yet.*\n"


def start_block(root: Path) -> str:
    """The badge that opens the first notebook under `root` in Colab."""
    first = min((root / "notebooks").glob("[0-9]*.ipynb"))
    badge = "https://colab.research.google.com/assets/colab-badge.svg"
    return f"[![Open the first notebook in Colab]({badge})]({_colab(root, first)})\n"


def recorded_block(module: ModuleType, runs: Sequence[Run]) -> str:
    """The recorded runs of a recipe file, for its header: result, epochs, time and device of each."""
    names = [recipe.name for recipe in module.RECIPES]
    mine = [run for run in runs if run.recipe.name in names]
    lines = []
    for run in sorted(mine, key=lambda run: (names.index(run.recipe.name), run.name)):
        split = run.recipe.reported_split
        result = summary(run.predictions(split))
        accuracy, low, high = (percent(result[name]) for name in ("accuracy", "low", "high"))
        epochs, time = captions.epochs(run) + ("" if run.members else " epochs"), duration(run.metrics["seconds"])
        what = f"{run.recipe.name}, seed {run.seed}, {run.scale_text}, {run.protocol.replace('_', ' ')}: {split}"
        lines.append(f"{what} {accuracy} [{low}, {high}], n = {result['n']:,},\n")
        where = ", ".join(captions.measured_in(run, key) for key in ("device", "precision"))
        lines.append(f"    {epochs}, {time}, {where}\n")
    return "".join(lines) or "Nothing is recorded yet.\n"


def studies_block(root: Path) -> str:
    """The studies under `root`, one row each."""
    table = studies.study_rows(studies.read_studies(root / "report" / "studies"))
    return markdown_table(table) if table else NOTHING


def study_block(name: str, root: Path) -> str:
    """What each variant of a study gave, for a recipe's header; it says so where none is trained."""
    found = studies.read_studies(root / "report" / "studies").get(name)
    first, *lines = studies.variant_lines(found) if found else ["No variant is trained yet."]
    return "".join(f"{line}\n" for line in [*textwrap.wrap(first, PROSE), *(f"    {line}" for line in lines)])


def looks_block(root: Path) -> str:
    """Every look at the validation images by a recipe of ours."""
    table = studies.look_rows(validation_looks.read(root / "report" / "runs"))
    return markdown_table(table) if table else "No recipe of ours has been measured on the validation images yet.\n"


def speed_block(root: Path) -> str:
    """What the benchmarks measured, and what follows from it."""
    folder = root / MEASURED
    (table, shared), notes = rows.narrow(speed.speed_rows(folder)), speed.speed_notes(folder)
    listed = "\n" + "".join(f"* {note}\n" for note in notes) if notes else ""
    return (markdown_table(table) + _in_all_rows(shared) if table else NOTHING) + listed


def answer_block(name: str, published: Published, runs: Sequence[Run]) -> str:
    """The answer of one notebook, as `answers` words it."""
    return textwrap.fill(answer(name, runs, published), PROSE) + "\n"


def blocks(root: Path) -> dict[str, Callable[[Sequence[Run]], str]]:
    """Every block by name: a function of the recorded runs that returns its text. root: the repository."""
    headers = {f"recorded-{system.__name__.rpartition('.')[2]}": partial(recorded_block, system) for system in SYSTEMS}
    published = published_results(root / "report" / "published")
    answers = {f"answer-{name}": partial(answer_block, name, published) for name in ANSWERS}
    asked = [path.stem for path in (root / "report" / "studies").glob("*.json") if "." not in path.stem]
    variants = {f"study-{name}": lambda _, name=name: study_block(name, root) for name in asked}
    return (
        headers
        | answers
        | variants
        | {
            "findings": partial(findings_block, published=published, root=root),
            "summary": partial(summary_block, published=published),
            "comparison": partial(comparison_block, published=published),
            "attempts": partial(attempts_block, published=published),
            "shortened": lambda runs: shortened_block(rows.attempt_runs(runs)),
            "systems": systems_block,
            "systems-shortened": lambda runs: shortened_block(rows.system_runs(runs)),
            "resampling": experiment_block,
            "studies": lambda _: studies_block(root),
            "looks": lambda _: looks_block(root),
            "speed": lambda _: speed_block(root),
            "notebooks": lambda _: notebooks_block(root),
            "start": lambda _: start_block(root),
        }
    )


def fill(text: str, runs: Sequence[Run], root: Path = Path(".")) -> str:
    """The page `text` with every generated block filled from `runs` on real images and the repository at `root`."""
    runs = [run for run in runs if not run.data["embedded"]]
    if text.count("<!-- generated: ") != len(BLOCK.findall(text)):
        raise UserError("a <!-- generated: NAME --> has no <!-- end generated --> of its own")
    known = blocks(root)

    def replace(match: re.Match) -> str:
        if match[2] not in known:
            raise UserError(f"unknown block {match[2]!r}; known are {', '.join(known)}")
        prefix, name = match.groups()
        lines = [f"<!-- generated: {name} -->", *known[name](runs).splitlines(), "<!-- end generated -->"]
        return "\n".join(f"{prefix}{line}".rstrip() for line in lines)

    return BLOCK.sub(replace, text)


def fill_notebook(text: str, runs: Sequence[Run], root: Path = Path(".")) -> str:
    """The notebook `text` (JSON) with the blocks of its cells of prose filled as `fill` does."""
    notebook = json.loads(text)
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            cell["source"] = fill("".join(cell["source"]), runs, root).splitlines(keepends=True)
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Fill or check the files: 0, or 1 where a file differs (--check) or cannot be filled."""
    parser = argparse.ArgumentParser(prog="python -m dfclib.reporting.readme", description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--runs", type=Path, default=Path("report/runs"), help="recorded runs (default: report/runs)")
    parser.add_argument("--check", action="store_true", help="change nothing, exit 1 where a block is out of date")
    options = parser.parse_args(arguments)
    stale = False
    try:
        runs = find_runs(options.runs)
        for path in options.files:
            if not path.is_file():
                raise UserError(f"{path} does not exist")
            text = path.read_text(encoding="utf-8")
            filled = (fill_notebook if path.suffix == ".ipynb" else fill)(text, runs)
            if options.check and filled != text:
                stale = True
                print(f"{path} differs from {options.runs}: python -m dfclib.reporting.readme {path}", file=sys.stderr)
            elif filled != text:
                write_text(path, filled)
                print(f"{path}: generated blocks written from {len(runs)} runs in {options.runs}")
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return int(stale)


def measured_on(runs: Sequence[Run]) -> str:
    """The devices and the versions of libraries that `runs` were measured with."""

    def one(run: Run) -> str:
        known = {name: run.environment.get(name.lower()) for name in ("TensorFlow", "Keras", "Python")}
        versions = [f"{name} {version}" for name, version in known.items() if version]
        return f"{captions.device_name(run)} ({', '.join(versions)})"

    return f"\nMeasured on {'; '.join(sorted(set(map(one, runs))))}.\n"


def _in_all_rows(shared: Mapping[str, str]) -> str:
    """What all rows of a table share, as a paragraph below it."""
    text = rows.in_all_rows(shared)
    return f"\n{text}\n" if text else ""


def _colab(root: Path, notebook: Path) -> str:
    """Where Colab opens a notebook, by the repository's address in pyproject.toml."""
    address = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]["Repository"]
    repository = address.removeprefix("https://github.com/")
    return f"https://colab.research.google.com/github/{repository}/blob/main/notebooks/{notebook.name}"


if __name__ == "__main__":
    sys.exit(main())
