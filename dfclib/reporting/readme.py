"""Tables in text, made from recorded runs: README's generated blocks and the table that ends the story.

    python -m dfclib.reporting.readme README.md           # fill the blocks between <!-- generated: NAME --> and its end
    python -m dfclib.reporting.readme --check README.md   # change nothing, exit 1 where a block differs from its runs

So no number in README is typed by hand, and a test fails when one differs from the run that it came from.
"""

import argparse
import re
import statistics
import sys
import textwrap
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType

from dfclib.errors import UserError
from dfclib.evaluation.metrics import AUTHOR, LADDER, OURS, WATCHED, author_figures, data_name, kept, ladder, summary
from dfclib.files import read_json, write_text
from dfclib.recipes import SYSTEMS, all_recipes, differences, find, resampling
from dfclib.runs import Run, find_runs

BLOCK = re.compile(r"(<!-- generated: ([\w-]+) -->\n).*?(<!-- end generated -->)", re.DOTALL)
# What a shorter scale may change, and how a reader calls it; the schedule follows from epochs.
SHORTENED = {
    "epochs": "{new} epochs instead of {old}",
    "image_size": "{new[0]}x{new[1]} pixels instead of {old[0]}x{old[1]}",
    "framing": "framing by {new} instead of {old}",
    "augmentation.interpolation": "{new} instead of {old} interpolation",
}
NOTHING = "*Nothing is recorded yet.*\n"


def attempt_rows(runs: Sequence[Run]) -> list[dict[str, str]]:
    """The ladder of the attempts as text, one dictionary a row, its keys the headings.

    The author's figure and ours come from different images: they stand side by side and are never subtracted.
    """
    table = ladder(runs).to_dict("records")
    several = any(row["seeds"] > 1 for row in table)
    rows = []
    for row in table:
        cells = {"attempt": row["attempt"], AUTHOR: _percent(row[AUTHOR], "g")}
        cells |= {heading: _percent(row[heading], ".1f") for heading in OURS.values() if heading in row}
        cells["95% interval"] = f"{_percent(row['low'], '.1f')} to {_percent(row['high'], '.1f')}"
        cells["images"] = f"{row['n']:,}"
        if several:
            mean, deviation = row["mean over seeds"], 100 * row["deviation over seeds"]
            cells["mean over seeds"] = "" if row["seeds"] == 1 else f"{_percent(mean, '.1f')} ± {deviation:.1f}"
            cells["seeds"] = str(row["seeds"])
        cells["scale"] = row["scale"]
        cells["image size"] = row["image size"]
        cells["epochs"] = f"{row['members']} voters" if row["members"] > 1 else str(row["epochs"])
        cells["kept"] = row["kept"]
        cells["data"] = row["data"]
        cells["device"] = row["device"] or ""
        cells["precision"] = row["precision"] or ""
        rows.append(cells)
    return rows


def markdown_table(rows: Sequence[dict[str, str]]) -> str:
    """Rows with the same headings, as a Markdown table."""
    lines = [list(rows[0]), ["---"] * len(rows[0]), *(list(row.values()) for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def plain_table(rows: Sequence[dict[str, str]]) -> str:
    """Rows with the same headings, as columns of text for a terminal; long headings take several lines."""
    heads = [textwrap.wrap(heading, 16) for heading in rows[0]]
    height = max(map(len, heads))
    columns = [
        [*head, *[""] * (height - len(head)), "", *(row[heading] for row in rows)]
        for head, heading in zip(heads, rows[0], strict=True)
    ]
    widths = [max(map(len, column)) for column in columns]
    lines = zip(*([cell.ljust(w) for cell in c] for c, w in zip(columns, widths, strict=True)), strict=True)
    return "".join("  ".join(line).rstrip() + "\n" for line in lines)


def attempts_block(runs: Sequence[Run]) -> str:
    """README's table of attempts on the competition's images, and what the figures were measured with."""
    real = _real(runs)
    if not real:
        return NOTHING
    rows = [{key: cell for key, cell in row.items() if key != "data"} for row in attempt_rows(real)]
    return markdown_table(rows) + _measured_block(real)


def system_runs(runs: Sequence[Run], embedded: bool = False) -> list[Run]:
    """The runs of the systems other than the six attempts on real images (or on those made on the spot), in the
    recipes' order, published first; without experiments, which are judged on held-out images."""
    order = [r.name for r in all_recipes() if not r.attempt and r.reported_split != "held_out"]
    real = [run for run in runs if run.data["embedded"] == embedded and run.recipe.name in order]
    return sorted(real, key=lambda run: (order.index(run.recipe.name), run.protocol == "held_out", run.name))


def system_rows(runs: Sequence[Run]) -> list[dict[str, str]]:
    """S1 to S4 as text, one dictionary a run, its keys the headings: author's figure and ours, on which images."""
    rows = []
    for run in runs:
        split = run.recipe.reported_split
        result = summary(run.predictions(split))
        loss = run.recipe.claims.get("test_loss")
        author = author_figures(run.recipe.claims) + ("" if loss is None else f", loss {loss:g}")
        if run.data["embedded"]:  # nobody's figures are of images made on the spot
            author = ""
        rows.append(
            {
                "system": run.recipe.system,
                "recipe": run.recipe.name,
                "author": author,
                "ours": f"{split} {_percent(result['accuracy'], '.1f')}",
                "95% interval": f"{_percent(result['low'], '.1f')} to {_percent(result['high'], '.1f')}",
                "loss": "" if split == "validation" else f"{result['log_loss']:.4f}",
                "images": f"{result['n']:,}",
                "data": data_name(run.data),
                "kept": _kept(run),
                "scale": run.scale_text,
                "epochs": f"{len(run.members)} voters" if run.members else str(len(run.history)),
                "device": run.environment["device"] or "",
                "precision": run.environment["precision"] or "",
            }
        )
    return rows


def systems_block(runs: Sequence[Run]) -> str:
    """README's table of S1 to S4 on the competition's images and on Fashion-MNIST."""
    real = system_runs(runs)
    if not real:
        return NOTHING
    notes = {f"* {run.recipe.name}: {run.recipe.claims_note}": None for run in real if run.recipe.claims_note}
    return markdown_table(system_rows(real)) + "\n" + "".join(f"{note}\n" for note in notes) + _measured_block(real)


def shortened_block(runs: Sequence[Run]) -> str:
    """What recorded attempts that are not at full scale have less than the full recipe, said once for all alike."""
    return _shortened_lines([(run, f"attempt {LADDER[run.recipe.name]}") for run in _real(runs)])


def systems_shortened_block(runs: Sequence[Run]) -> str:
    """The same for S1 to S4."""
    return _shortened_lines([(run, run.recipe.name) for run in system_runs(runs)])


def _shortened_lines(named: Sequence[tuple[Run, str]]) -> str:
    alike: dict[str, dict[str, None]] = {}
    for run, name in named:
        changes = shortened(run)
        if run.scale != "full" and changes:
            alike.setdefault(f"({run.scale_text}): {', '.join(changes)}", {})[name] = None
    return "".join(f"* {', '.join(names)} {changes}\n" for changes, names in alike.items()) or NOTHING


def shortened(run: Run) -> list[str]:
    """What `run` did less than its full recipe, in words; for a vote, what its members did."""
    full = find(run.recipe.name)
    pairs = zip(full.members, run.recipe.members, strict=True)
    found: dict[str, dict[str, None]] = {name: {} for name in SHORTENED}
    for before, after in pairs:
        for name, old, new in differences(before, after):
            if name in SHORTENED:
                found[name][SHORTENED[name].format(old=old, new=new)] = None
    return [" or ".join(texts) for texts in found.values() if texts]


def experiment_runs(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """The runs of the experiment on resampling on real images, by recipe in its order, seeds ascending."""
    groups = {recipe.name: [] for recipe in resampling.RECIPES}
    for run in sorted(runs, key=lambda run: run.seed):
        if run.recipe.name in groups and run.is_current and not run.data["embedded"]:
            groups[run.recipe.name].append(run)
    return {name: found for name, found in groups.items() if found}


def resampling_block(runs: Sequence[Run]) -> str:
    """README's table of what resampling is worth: mean and deviation over seeds on the held-out images."""
    groups = experiment_runs(runs)
    rows = []
    for found in groups.values():
        split = found[0].recipe.reported_split
        rows.append(
            {
                "training images": found[0].recipe.title,
                "held-out accuracy": _over_seeds([run.metrics[split]["accuracy"] for run in found]),
                "seeds": str(len(found)),
                "held-out images": f"{found[0].metrics[split]['n']:,}",
                "training accuracy": _over_seeds([run.metrics["train_accuracy"] for run in found]),
                "epochs": ", ".join(dict.fromkeys(str(run.metrics["epochs"]) for run in found)),
                "device": ", ".join(dict.fromkeys(run.environment["device"] for run in found)),
                "precision": ", ".join(dict.fromkeys(run.environment["precision"] for run in found)),
            }
        )
    return markdown_table(rows) + _measured_block([r for found in groups.values() for r in found]) if rows else NOTHING


def _over_seeds(shares: Sequence[float]) -> str:
    """`76.9% ± 0.4`: mean and standard deviation (of a sample); of one seed the figure alone."""
    mean = _percent(sum(shares) / len(shares), ".1f")
    return mean if len(shares) == 1 else f"{mean} ± {100 * statistics.stdev(shares):.1f}"


def notebooks_block(root: Path) -> str:
    """A row a notebook under `root`/notebooks: its title, and its badge from the address in pyproject."""
    address = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]["Repository"]
    repository = address.removeprefix("https://github.com/")
    rows = []
    for path in sorted((root / "notebooks").glob("[0-9]*.ipynb")):
        cells = read_json(path)["cells"]
        prose = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
        lines = prose.splitlines()
        title = next((line[2:].strip() for line in lines if line.startswith("# ")), path.stem)
        colab = f"https://colab.research.google.com/github/{repository}/blob/main/notebooks/{path.name}"
        link = f"[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]({colab})"
        rows.append({"notebook": f"[{title}](notebooks/{path.name})", "in Colab": link})
    return markdown_table(rows) if rows else "*There are no notebooks yet.*\n"


def recorded_block(module: ModuleType, runs: Sequence[Run]) -> str:
    """What is recorded of a recipe file's recipes, for its header: result, epochs, time and device, a line each."""
    names = {recipe.name: number for number, recipe in enumerate(module.RECIPES)}
    mine = [run for run in runs if run.recipe.name in names and not run.data["embedded"]]
    lines = []
    for run in sorted(mine, key=lambda run: (names[run.recipe.name], run.name)):
        split = run.recipe.reported_split
        result, where = summary(run.predictions(split)), run.environment
        epochs = f"{len(run.members)} voters" if run.members else f"{run.metrics['epochs']} epochs"
        low, high = (_percent(result[name], ".1f") for name in ("low", "high"))
        minutes = run.metrics["seconds"] / 60
        time = f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.1f} h"
        lines += [
            f"{run.recipe.name}, seed {run.seed}, {run.scale_text}, {run.protocol.replace('_', ' ')}: {split} "
            f"{_percent(result['accuracy'], '.1f')} [{low}, {high}], n = {result['n']:,},\n"
            f"    {epochs}, {time}, {where['device'] or 'several devices'}, "
            f"{where['precision'] or 'several precisions'}\n"
        ]
    return "".join(lines) or "Nothing is recorded yet.\n"


BLOCKS: dict[str, Callable[[Sequence[Run], Path], str]] = {
    "attempts": lambda runs, root: attempts_block(runs),
    "shortened": lambda runs, root: shortened_block(runs),
    "systems": lambda runs, root: systems_block(runs),
    "systems-shortened": lambda runs, root: systems_shortened_block(runs),
    "resampling": lambda runs, root: resampling_block(runs),
    "notebooks": lambda runs, root: notebooks_block(root),
    **{
        f"recorded-{system.__name__.rpartition('.')[2]}": lambda runs, root, system=system: recorded_block(system, runs)
        for system in SYSTEMS
    },
}


def fill(text: str, runs: Sequence[Run], root: Path = Path(".")) -> str:
    """`text` with every generated block made anew from `runs` and the repository at `root`.

    Raises UserError for a block that nobody makes or that has no end.
    """
    if text.count("<!-- generated: ") != len(BLOCK.findall(text)):
        raise UserError("a <!-- generated: NAME --> has no <!-- end generated --> of its own")

    def replace(match: re.Match) -> str:
        if match[2] not in BLOCKS:
            raise UserError(f"nobody generates {match[2]!r}; known are {', '.join(BLOCKS)}")
        return f"{match[1]}{BLOCKS[match[2]](runs, root)}{match[3]}"

    return BLOCK.sub(replace, text)


def main(arguments: list[str] | None = None) -> int:
    """Fill or check the files; 0, or 1 where a file differs (--check) or cannot be filled."""
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
            filled = fill(text, runs)
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


def _real(runs: Sequence[Run]) -> list[Run]:
    """The attempts on the competition's images, in the story's order; a vote's members are told with it."""
    order = list(LADDER)
    real = [run for run in runs if not run.data["embedded"] and run.recipe.name in LADDER]
    return sorted(real, key=lambda run: (order.index(run.recipe.name), run.name))


def _kept(run: Run) -> str:
    """Which epoch is kept, for a vote its voters', where the vote's weights are from; a second protocol is named."""
    text = kept(run.recipe)
    if run.protocol == "held_out" and WATCHED["held_out"] not in text:  # nothing was chosen on them
        text += ", a tenth held out"
    weights = run.metrics.get("weights")
    if weights is None:
        return text
    how = "searched there" if run.recipe.search_weights else "the author's"
    return f"{text}; weights {', '.join(f'{w:g}' for w in weights)} {how}"


def _measured_block(runs: Sequence[Run]) -> str:
    return "\nMeasured on " + "; ".join(sorted({_measured_on(run) for run in runs})) + ".\n"


def _measured_on(run: Run) -> str:
    where = run.environment
    device = where.get("device_name") or where["device"] or "several devices"
    versions = [f"{label} {where[key]}" for key, label in VERSIONS.items() if where.get(key)]
    return f"{device} ({', '.join(versions)})"


VERSIONS = {"tensorflow": "TensorFlow", "keras": "Keras", "python": "Python"}


def _percent(share: float, style: str) -> str:
    """78%, 85.7%, or nothing where there is no figure."""
    return "" if share is None or share != share else f"{round(100 * share, 6):{style}}%"


if __name__ == "__main__":
    sys.exit(main())
