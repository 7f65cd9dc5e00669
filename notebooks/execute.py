"""Run notebooks: execute them in order, into build/, and end with the table of what was trained.

    python notebooks/execute.py story                              # 00 to 06, embedded data, quick: minutes
    python notebooks/execute.py systems                            # 07 to 11, likewise
    python notebooks/execute.py story --data path/to/competition   # real images, compact: hours on two cores
    python notebooks/execute.py story --data photos --image-size 128 128   # a folder with images of mixed sizes
    python notebooks/execute.py --in-place                         # authors: write outputs into the committed ones

Exit 0; 1 where a notebook fails or the data cannot be found; 2 for wrong arguments; 130 where interrupted.
Trainings are resumable: the same command goes on from the last finished epoch.
"""

import argparse
import base64
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

# before a kernel starts: no TensorFlow chatter, and `python3` is this Python, not one in the user's home
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("JUPYTER_PREFER_ENV_PATH", "1")
os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")  # the kernel's debugger warns in every notebook

import jupytext
import nbformat
import papermill
from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillExecutionError
from papermill.translators import PythonTranslator

from dfclib.datasets.folder.listing import read_listing
from dfclib.errors import UserError
from dfclib.training.devices import default_scale, device, resolve_precision
from dfclib.wording import duration, text_table

if TYPE_CHECKING:
    from dfclib.recipes import EnsembleRecipe, Recipe

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
BUILD = ROOT / "build"
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
VOLATILE = ("papermill", "execution", "lines_to_next_cell")
FIRST_SYSTEM = "07"  # before it the six attempts, from it on the other systems
FASHION = "10"  # has images of its own: those of --data are not for it


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    which = "names or first figures (04), story (00 to 06) or systems (the rest); default: all"
    parser.add_argument("notebooks", nargs="*", metavar="NOTEBOOK", help=which)
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="a competition's folder; default: embedded data")
    sizes = "height and width in pixels, for a folder with images of mixed sizes"
    parser.add_argument("--image-size", type=int, nargs=2, metavar=("H", "W"), help=sizes)
    scales = "default: quick; with --data full on a GPU, else compact"
    parser.add_argument("--scale", choices=("quick", "compact", "full"), help=scales)
    parser.add_argument("--epochs", type=int, metavar="N", help="fewer than the scale's, for whoever has half an hour")
    parser.add_argument("--seed", type=int, help="another seed than the notebooks' own")
    parser.add_argument("--runs", type=Path, metavar="DIR", help="where trainings are kept (default: runs)")
    parser.add_argument("--out", type=Path, default=BUILD / "notebooks", metavar="DIR", help="default: build/notebooks")
    parser.add_argument("--figures", type=Path, default=BUILD / "figures", metavar="DIR", help="default: build/figures")
    in_place = "write outputs into the committed notebooks, at default parameters"
    parser.add_argument("--in-place", action="store_true", help=in_place)
    options = parser.parse_args(arguments)
    own = (options.data, options.image_size, options.scale, options.epochs, options.runs, options.seed)
    if options.in_place and any(value is not None for value in own):
        given = "--data, --image-size, --scale, --epochs, --seed, --runs"
        parser.error(f"--in-place executes at the notebooks' own parameters: leave out {given}")
    if options.image_size and options.data is None:
        parser.error("--image-size is for a folder of images: name one with --data")
    if options.image_size and min(options.image_size) < 1:
        parser.error("--image-size takes height and width in pixels, received {} {}".format(*options.image_size))
    if options.epochs is not None and options.epochs < 1:
        parser.error(f"--epochs must be at least 1, received {options.epochs}")
    if options.seed is not None and options.seed < 0:
        parser.error(f"--seed must not be negative, received {options.seed}")
    return options


def choose_notebooks(names: list[str], folder: Path = HERE) -> list[Path]:
    """The notebooks called `names` (04, 04_x, notebooks/04_x.ipynb, story, systems), or all, in order.

    A notebook that so far has only its text (.py) counts as well. Raises UserError for a name that fits none.
    """
    paths = [*folder.glob("[0-9]*.ipynb"), *folder.glob("[0-9]*.py")]
    known = sorted({path.with_suffix(".ipynb") for path in paths})
    chosen = set() if names else set(known)
    for name in names:
        stem = Path(name).stem
        found = {path for path in known if stem in (path.stem, path.stem[:2], group_of(path))}
        if not found:
            raise UserError(f"no notebook is called {name!r}; there are {', '.join(path.stem for path in known)}")
        chosen |= found
    return sorted(chosen)


def group_of(notebook: Path) -> str:
    return "story" if notebook.stem < FIRST_SYSTEM else "systems"


def count_training_images(folder: Path) -> int:
    """How many training images a folder lists; none is opened."""
    parts = read_listing(folder, ("train",)).parts
    return len(parts["train"].files) if "train" in parts else 0


def recipes_of(notebooks: list[Path]) -> list["Recipe | EnsembleRecipe"]:
    """The recipes that `notebooks` train."""
    from dfclib.recipes import cnn_and_mlp, fashion_mnist, flagship, seed_ensemble, six_attempts, soft_voting_pair

    by_number = {"07": soft_voting_pair.RECIPES, "08": cnn_and_mlp.RECIPES, "09": seed_ensemble.RECIPES}
    by_number |= {FASHION: fashion_mnist.RECIPES, "11": (flagship.sprint,)}
    lists = (by_number.get(path.stem[:2], six_attempts.RECIPES) for path in notebooks)
    return list({recipe.name: recipe for recipes in lists for recipe in recipes}.values())


def expected_minutes(
    scale: str, images: int, recipes: list["Recipe | EnsembleRecipe"], epochs: int | None = None
) -> tuple[float, list[str]]:
    """(minutes for every training of `recipes` at `scale` on `images`, names of those that nobody measured).

    A training that two recipes share (the vote's attempts 4 to 6) counts once, as it is done once. Fashion-MNIST's
    recipes have their own images, as many as they say.
    """
    from dfclib.recipes.recipe import COMPETITION

    trainings = {(m.name, m.seed, m.protocol): m for recipe in recipes for m in recipe.members}
    total, unknown = 0.0, []
    for training in trainings.values():
        shown = images if training.dataset == COMPETITION else training.dataset.images
        minutes = training.at_scale(scale).with_options(epochs=epochs).expected_minutes(shown)
        if minutes is None:
            unknown.append(training.name)
        else:
            total += minutes
    return total, unknown


def parameters_for(notebook: Path, options: argparse.Namespace) -> dict[str, Any]:
    """The notebook's parameters that the command line gives."""
    given = {name: getattr(options, name) for name in ("image_size", "epochs", "seed")}
    data = None if options.data is None else str(options.data)
    if is_fashion(notebook):  # it has images of its own, of one size
        given["image_size"] = None
        data = data and "fashion-mnist"
    parameters = {"data": data, "scale": options.scale, "runs_dir": str(options.runs)}
    return parameters | {name: value for name, value in given.items() if value is not None}


def is_fashion(notebook: Path) -> bool:
    return notebook.stem.startswith(FASHION)


def shown(path: Path) -> Path:
    """`path` as short as it can be given from here."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def announce(options: argparse.Namespace, notebooks: list[Path]) -> None:
    """Say what comes and how long it takes, before it starts."""
    recipes = recipes_of(notebooks)
    members = [member.at_scale(options.scale) for recipe in recipes for member in recipe.members]
    precisions = sorted({resolve_precision(member.precision) for member in members})
    where = f"scale {options.scale}" + (f", {options.epochs} epochs" if options.epochs else "")
    where += f"; {device()['name']}, {' and '.join(precisions)}"
    if options.data is None:
        print(f"{len(notebooks)} notebooks, embedded data (not the competition's images), {where}")
        return
    images = count_training_images(options.data)
    print(f"{len(notebooks)} notebooks, {options.data} ({images:,} training images), {where}")
    if not images:  # the first notebook says what is wrong with the folder
        return
    minutes, unknown = expected_minutes(options.scale, images, recipes, options.epochs)
    missing = f", and in addition {', '.join(sorted(set(unknown)))}, which nobody has measured" if unknown else ""
    print(
        f"expected: about {duration(minutes * 60)} of training on two cores if nothing stops early{missing}. "
        "Finished trainings are taken as they are; an interrupted one goes on from its last epoch."
    )


def read_source(path: Path) -> nbformat.NotebookNode:
    """The notebook at `path`, or, where only its text exists, that."""
    return jupytext.read(path if path.exists() else path.with_suffix(".py"))


def execute(
    notebook: nbformat.NotebookNode, target: Path, parameters: dict[str, Any], title: str
) -> nbformat.NotebookNode:
    """Execute `notebook` into `target`, telling the terminal which cell runs and what it prints.

    Raises UserError for a parameter that the notebook has not, PapermillExecutionError for a cell that fails.
    """
    unknown = parameters.keys() - parameter_names(notebook)
    if unknown:
        raise UserError(f"{target.name} has no parameter {min(unknown)!r} in its cell tagged `parameters`")
    notebook.metadata["kernelspec"] = KERNEL
    target.parent.mkdir(parents=True, exist_ok=True)
    start, section, done = time.monotonic(), "", 0
    code_cells = sum(cell.cell_type == "code" for cell in notebook.cells)

    def tell(cell: nbformat.NotebookNode, cell_index: int) -> None:
        nonlocal section, done
        if cell.cell_type == "markdown" and cell.source.startswith("#"):
            section = cell.source.splitlines()[0].lstrip("# ")
        if cell.cell_type == "code" and "injected-parameters" not in cell.metadata.get("tags", []):
            done += 1
            elapsed = duration(time.monotonic() - start)
            print(f"[{title}] {elapsed:>6} · cell {done} of {code_cells} · {section}", flush=True)

    return papermill.execute_notebook(
        notebook,
        target,
        parameters=parameters,
        kernel_name="python3",
        cwd=HERE,  # as in Jupyter and under nbval
        progress_bar=False,
        stdout_file=sys.stdout,
        extra_arguments=["--log-level=ERROR"],  # or ipykernel warns of TCP on this very machine each time
        on_cell_start=tell,
    )


def parameter_names(notebook: nbformat.NotebookNode) -> set[str]:
    """The names that the cell tagged `parameters` assigns."""
    cells = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    return {parameter.name for cell in cells for parameter in PythonTranslator.inspect(cell)}


def extract_figures(notebook: nbformat.NotebookNode, stem: str, folder: Path) -> list[Path]:
    """Write every PNG among the outputs to folder/<stem>-<counter>.png, replacing an earlier execution's."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob(f"{stem}-[0-9][0-9].png"):
        old.unlink()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    pictures = [output.data["image/png"] for output in outputs if "image/png" in output.get("data", {})]
    paths = [folder / f"{stem}-{number:02}.png" for number in range(1, len(pictures) + 1)]
    for path, picture in zip(paths, pictures, strict=True):
        path.write_bytes(base64.b64decode(picture))
    return paths


def write_pair(executed: nbformat.NotebookNode, path: Path) -> None:
    """Write an executed notebook to `path` and its text beside it, without what differs each time."""
    notebook = nbformat.v4.new_notebook()
    notebook.metadata["jupytext"] = {"formats": "ipynb,py:percent"}
    notebook.metadata["kernelspec"] = KERNEL
    notebook.metadata["language_info"] = {"name": "python"}
    for number, cell in enumerate(executed.cells):
        metadata = {k: v for k, v in cell.metadata.items() if v and k not in VOLATILE}
        notebook.cells.append(nbformat.from_dict({**cell, "metadata": metadata, "id": f"cell-{number:02}"}))
    join_streams(notebook)
    nbformat.validate(notebook)
    nbformat.write(notebook, path)
    path.with_suffix(".py").write_text(jupytext.writes(notebook, fmt="py:percent"), encoding="utf-8")


def join_streams(notebook: nbformat.NotebookNode) -> None:
    """Put a stream's consecutive pieces together: where they were cut depends on timing alone."""
    for cell in notebook.cells:
        joined: list[Any] = []
        for output in cell.get("outputs", []):
            last = joined[-1] if joined else None
            if last and last.output_type == output.output_type == "stream" and last.name == output.name:
                last.text += output.text
            else:
                joined.append(output)
        if cell.cell_type == "code":
            cell.outputs = joined


def execute_in_place(path: Path, target: Path, title: str) -> nbformat.NotebookNode:
    """Execute a committed notebook at its own parameters and write outputs and text back.

    The text (.py) is the source where there is one; an .ipynb that says otherwise is kept beside `target`.
    """
    text = path.with_suffix(".py")
    notebook = jupytext.read(text if text.exists() else path)
    if path.exists() and sources(jupytext.read(path)) != sources(notebook):
        kept = target.with_name(f"replaced-{path.name}")
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_bytes(path.read_bytes())
        print(f"{path.name} differs from {text.name}: the text is executed, the old notebook is {kept}")
    executed = execute(notebook, target, {}, title)
    write_pair(executed, path)
    return executed


def sources(notebook: nbformat.NotebookNode) -> list[tuple[str, str, Any]]:
    return [(cell.cell_type, cell.source, cell.metadata.get("tags", [])) for cell in notebook.cells]


def print_results(options: argparse.Namespace, recipes: list["Recipe | EnsembleRecipe"]) -> None:
    """Print the tables of the attempts and of the other systems, from the runs of these notebooks alone."""
    from dfclib.reporting.rows import attempt_rows, system_rows, system_runs
    from dfclib.runs import find_runs

    embedded = options.data is None
    runs = [r for r in find_runs(options.runs) if r.scale == options.scale and r.data["embedded"] == embedded]
    # notebook 08 trains on shuffled pixels as well, to make a point
    names = {recipe.name for recipe in recipes}
    runs = [run for run in runs if run.recipe.name in names and run.data["name"] != "shuffled"]
    if not runs:
        print(f"no finished runs at scale {options.scale} in {options.runs}")
        return
    print()
    if embedded:
        print("Made on the spot: these are not the authors' images, nor their numbers.")
    tables = (attempt_rows(runs), system_rows(system_runs(runs)))
    print("\n\n".join(text_table(rows, heading_width=16) for rows in tables if rows))


def main(arguments: list[str] | None = None) -> int:
    options = parse_arguments(arguments)
    if options.data is not None:
        options.data = options.data.expanduser().resolve()
    options.scale = options.scale or default_scale(embedded=options.data is None)
    options.runs = (options.runs or ROOT / "runs").expanduser().resolve()
    options.out = options.out.expanduser().resolve()
    target = options.out
    try:
        if options.data is not None and not options.data.is_dir():
            raise UserError(f"--data: {options.data} is not a folder. Give the folder that holds train.csv.")
        notebooks = choose_notebooks(options.notebooks)
        if options.image_size and all(map(is_fashion, notebooks)):
            raise UserError("--image-size: Fashion-MNIST's images have one size; leave it out")
        if not options.in_place:
            announce(options, notebooks)
        start = time.monotonic()
        for number, path in enumerate(notebooks, 1):
            title = f"{number}/{len(notebooks)} {path.stem}"
            target = options.out / path.name
            if options.in_place:
                executed = execute_in_place(path, target, title)
            else:
                executed = execute(read_source(path), target, parameters_for(path, options), title)
            extract_figures(executed, path.stem, options.figures)
        print(f"\nall {len(notebooks)} notebooks executed in {duration(time.monotonic() - start)}")
        print(f"executed notebooks: {shown(HERE if options.in_place else options.out)}")
        print(f"figures:            {shown(options.figures.resolve())}")
        if not options.in_place:
            print(f"trainings:          {shown(options.runs)}")
            print_results(options, recipes_of(notebooks))
        return 0
    except UserError as error:
        message = str(error)
    except PapermillExecutionError as error:
        number = error.exec_count - (not options.in_place)  # papermill put a cell of parameters in
        print("\n".join(error.traceback), file=sys.stderr)
        message = f"{target.name} failed in code cell {number}: {error.ename}: {error.evalue}\n"
        message += f"what was executed so far: {shown(target)}"
    except DeadKernelError:
        message = (
            f"the Python that executed {target.name} died, most often for lack of memory. Close other programs or "
            "choose a smaller --scale, and run the same command again: it goes on from the last epoch.\n"
            f"what was executed so far: {shown(target)}"
        )
    except KeyboardInterrupt:
        print("\ninterrupted; the same command goes on from the last finished epoch", file=sys.stderr)
        return 130
    print(f"error: {message}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
