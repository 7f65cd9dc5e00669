"""The command line of `python -m dfclib`: every command with its options, their defaults and an example."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

from dfclib import __version__
from dfclib.cli.commands import data, predictions, runs, training
from dfclib.cli.inputs import DATA, RECORDED, RUNS, SCALES
from dfclib.errors import UserError
from dfclib.recipes.recipe import LARGEST_SEED, PrecisionName, Protocol

PROGRAM = "python -m dfclib"
POSITIONAL = ("file", "folder", "members", "names", "paths", "recipe", "run")
MOST_EPOCHS = 1_000_000  # steps are counted in 32 bits
FORMAT = argparse.RawDescriptionHelpFormatter  # keeps the lines of an example apart


def build_parser() -> argparse.ArgumentParser:
    """The parser; its results have `function`, the command, and `resumable`: whether that goes on when given again."""
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Train, vote and report image classifiers that attribute images to their generators.",
        epilog=f"example:\n  {PROGRAM} train attempt1\n\nCOMMAND --help shows an example of each.",
        formatter_class=FORMAT,
    )
    parser.add_argument("--version", action="version", version=f"dfclib {__version__}")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    group = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_data_commands(group)
    _add_training_commands(group)
    _add_prediction_commands(group)
    _add_run_commands(group)
    return parser


def check_values(arguments: argparse.Namespace) -> None:
    """Raise UserError for values that no command can use, before one starts."""
    for name, value in vars(arguments).items():
        if "" in (value if isinstance(value, list) else [value]) and name != "send":  # submit has its own message
            option = name.upper() if name in POSITIONAL else f"--{name}"
            raise UserError(f"{option} is empty: give it a value, or leave it out")
        if name == "seed" and value is not None and not 0 <= value <= LARGEST_SEED:
            raise UserError(f"--seed must not be negative, and at most {LARGEST_SEED}; received {value}")
        if name in ("nice", "hours") and value is not None and value < 0:
            raise UserError(f"--{name} must not be negative, received {value}")
        if name == "epochs" and value is not None and value > MOST_EPOCHS:
            raise UserError(f"--epochs must be at most {MOST_EPOCHS}, received {value}")


def _add_data_commands(top: Any) -> None:
    parser = top.add_parser(
        "data",
        help="check, download or make a folder of images",
        epilog=f"example:\n  {PROGRAM} data check {DATA}",
        formatter_class=FORMAT,
    )
    group = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    p = _add(group, data.data_check, str(DATA))
    p.add_argument("folder", type=_path, metavar="FOLDER")

    p = _add(group, data.data_download, f"--to {DATA}")
    p.add_argument("--to", type=_path, default=DATA, metavar="FOLDER", help=f"default {DATA}")

    p = _add(group, data.data_make, "small_folder --train 500 --seed 1")
    p.add_argument("folder", type=_path, metavar="FOLDER", help="empty, or not there yet")
    for name in ("train", "validation", "test"):
        p.add_argument(f"--{name}", type=int, metavar="N", help=f"how many {name} images")
    p.add_argument("--seed", type=int, metavar="S", help="another seed makes other images (default 0)")

    p = _add(group, data.data_traces, f"{DATA} --out report/data")
    p.add_argument("folder", type=_path, nargs="?", metavar="FOLDER", help="default: the embedded images")
    p.add_argument("--out", type=_path, default=Path("report/data"), metavar="DIR", help="default report/data")


def _add_training_commands(top: Any) -> None:
    p = _add(top, training.recipes, "--json")
    p.add_argument("--json", action="store_true", help="everything that is known, as JSON")

    p = _add(top, training.train, f"attempt1 --data {DATA} --scale compact", resumable=True)
    p.add_argument("recipe", metavar="RECIPE", help=f"a name that `{PROGRAM} recipes` lists, or a recipe.json")
    text = f"a folder of images (default: {DATA} where it exists, else images made on the spot); for S4's recipes "
    _add_data(p, text + "fashion-mnist, to find or fetch it, or a folder with its four files")
    default = "default: quick on images made on the spot; on a folder full with a GPU, compact without"
    p.add_argument("--scale", choices=SCALES, help=default)
    p.add_argument("--precision", choices=get_args(PrecisionName), help="default: what suits the device")
    p.add_argument("--protocol", choices=get_args(Protocol), help="which images are watched and chosen on")
    p.add_argument("--seed", type=int, metavar="N", help="default: the recipe's, 0")
    p.add_argument("--epochs", type=int, metavar="N", help="default: the recipe's")
    logs = "write logs for TensorBoard, a sub-folder per run; it must be installed (pip install tensorboard)"
    p.add_argument("--tensorboard", type=_path, metavar="DIR", help=logs)
    p.add_argument("--fresh", action="store_true", help="remove what there is of this run, and train anew")
    sizes = "height and width in pixels, for a folder with images of mixed sizes"
    p.add_argument("--image-size", type=int, nargs=2, metavar=("H", "W"), help=sizes)
    _add_runs(p)

    p = _add(top, training.fashion, "--generated", resumable=True)
    choice = p.add_mutually_exclusive_group()
    _add_data(choice, "holds Fashion-MNIST's four files (default: found on this machine, or fetched)")
    choice.add_argument("--generated", action="store_true", help="train on generated images instead: nothing to fetch")
    default = "default: quick on generated images; else full with a GPU, compact without"
    p.add_argument("--scale", choices=SCALES, help=default)
    p.add_argument("--fresh", action="store_true", help="remove what there is of these runs, and train anew")
    _add_folder(p, "--out", Path("build/fashion"))
    _add_runs(p)

    p = _add(top, training.reproduce, f"--data {DATA} --hours 2.5", resumable=True)
    _add_data(p, f"the competition's folder (default {DATA}); Fashion-MNIST is found, or fetched")
    p.add_argument("--hours", type=float, metavar="H", help="after H hours, finish the current epoch and end")
    p.add_argument("--scale", choices=SCALES, help="default: full with a GPU, compact without")
    p.add_argument("--only", nargs="+", default=(), metavar="NAME", help="only recipes whose names begin so")
    p.add_argument("--nice", type=int, default=0, metavar="N", help="lower the process's priority by N, up to 19")
    _add_folder(p, "--record", RECORDED)
    action = p.add_mutually_exclusive_group()
    action.add_argument("--list", action="store_true", help="print what is done, what is left and how long it takes")
    action.add_argument("--pause", action="store_true", help="let the queue that is running wait, at once")
    action.add_argument("--resume", action="store_true", help="let it go on")
    _add_runs(p)

    p = _add(top, training.study, f"report/studies/sprint-ingredients.json --data {DATA}", resumable=True)
    p.add_argument("file", type=_path, metavar="FILE", help="a study: recipe, variants, seeds, minutes")
    _add_data(p, f"a folder of images (default: {DATA} where it exists, else images made on the spot)")
    p.add_argument("--nice", type=int, default=0, metavar="N", help="lower the process's priority by N, up to 19")
    out = f"default {training.STUDIES}; {training.DRAWN_STUDIES} for images made on the spot"
    p.add_argument("--out", type=_path, metavar="DIR", help=out)
    _add_runs(p)


def _add_prediction_commands(top: Any) -> None:
    p = _add(top, predictions.vote, "RUN RUN predictions.csv --out votes.csv")
    members = "a run, or a CSV file: image_id,label and perhaps one probability column per class"
    p.add_argument("members", nargs="+", metavar="RUN_OR_CSV", help=members)
    p.set_defaults(kind="hard")
    kinds = p.add_mutually_exclusive_group()
    soft, geometric = "average probabilities instead of counting labels", "take their geometric mean"
    kinds.add_argument("--soft", action="store_const", dest="kind", const="soft", help=soft)
    kinds.add_argument("--geometric", action="store_const", dest="kind", const="geometric", help=geometric)
    p.add_argument("--weights", type=float, nargs="+", metavar="W", help="one per member, not for a hard vote")
    splits = "which predictions of the runs (default: test where all have it, else validation)"
    p.add_argument("--split", choices=("held_out", "validation", "test"), help=splits)
    p.add_argument("--seed", type=int, default=0, metavar="N", help="draws the ties that nothing else decides")
    shares = "also write each class's share of the votes; without it image_id,label alone, as Kaggle takes it"
    p.add_argument("--shares", action="store_true", help=shares)
    p.add_argument("--out", type=_path, required=True, metavar="FILE", help="the CSV file to write")
    _add_runs(p)

    p = _add(top, predictions.predict, "RUN photo.png folder/ --out predictions.csv")
    first = f"a run's folder, its name in --runs or {RECORDED}, or its recipe's; left out, weights that come with this"
    p.add_argument("run", metavar="RUN", nargs="?", help=f"{first} repository label the images")
    p.add_argument("paths", type=_path, nargs="+", metavar="PATH", help="an image, or a folder of images")
    _add_runs(p)
    mirror = "average over each image and its mirror image, or do not (default: as the run's recipe says)"
    p.add_argument("--mirror", action=argparse.BooleanOptionalAction, help=mirror)
    p.add_argument("--out", type=_path, metavar="FILE", help="write a CSV file instead of a table")

    p = _add(top, predictions.submit, f'RUN --data {DATA} --out submission.csv --send "a vote"')
    _add_run(p)
    _add_data(p, f"the competition's folder (default {DATA})")
    _add_folder(p, "--out", Path("submission.csv"), metavar="FILE")
    p.add_argument("--send", metavar="MESSAGE", help="send the file to Kaggle with this message")


def _add_run_commands(top: Any) -> None:
    p = _add(top, runs.evaluate, "RUN")
    _add_run(p)
    p.add_argument("--json", action="store_true", help="the same as JSON")

    p = _add(top, runs.figures, "--out images")
    p.add_argument(
        "names", nargs="*", metavar="RUN", help=f"its own figures; default: what README shows, from all of {RECORDED}"
    )
    _add_folder(p, "--out", Path("images"))
    _add_runs(p)

    p = _add(top, runs.record, "RUN")
    p.add_argument("names", nargs="+", metavar="RUN")
    _add_folder(p, "--to", RECORDED)
    p.add_argument("--no-weights", action="store_true", help="leave small weights out as well")
    _add_runs(p)


def _add(group: Any, function: Callable, example: str, resumable: bool = False) -> argparse.ArgumentParser:
    """A command named and described as its function: `data check` is data_check in the group `data`."""
    full_name, summary = function.__name__.replace("_", " "), function.__doc__.splitlines()[0]
    parser = group.add_parser(
        full_name.split()[-1],
        help=summary[0].lower() + summary[1:].rstrip("."),
        description=summary,
        epilog=f"example:\n  {PROGRAM} {full_name} {example}",
        formatter_class=FORMAT,
    )
    # suppressed: a default would undo the --debug that stands before the command
    debug = {"action": "store_true", "default": argparse.SUPPRESS, "help": "show the traceback of an error"}
    parser.add_argument("--debug", **debug)
    parser.set_defaults(function=function, resumable=resumable)
    return parser


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help=f"a run's folder, its name in --runs or {RECORDED}, or its recipe's")
    _add_runs(parser)


def _add_runs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--runs", type=_path, default=RUNS, metavar="DIR", help=f"where runs lie (default {RUNS})")


def _add_data(parser: Any, text: str) -> None:
    parser.add_argument("--data", type=_path, metavar="FOLDER", help=text)


def _add_folder(parser: argparse.ArgumentParser, option: str, default: Path, metavar: str = "DIR") -> None:
    parser.add_argument(option, type=_path, default=default, metavar=metavar, help=f"default {default}")


def _path(text: str) -> Path | str:
    """A path; an empty one stays as it is for `check_values`, since Path would make the current folder of it."""
    return Path(text) if text else text
