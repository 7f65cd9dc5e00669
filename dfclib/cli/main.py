"""`python -m dfclib`: the command line alone; what the commands do is in commands.py.

Exit status: 0; 1 with one message on standard error for what the user can mend (--debug adds the traceback);
2 where the command line itself is wrong; 130 after Ctrl-C and 143 after SIGTERM, both with a message.
"""

import argparse
import contextlib
import io
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from dfclib import __version__
from dfclib.cli import commands
from dfclib.cli.commands import PRECISIONS, SCALES
from dfclib.cli.inputs import DATA, RECORDED, RUNS
from dfclib.errors import UserError
from dfclib.recipes.recipe import LARGEST_SEED

PROGRAM = "python -m dfclib"
POSITIONAL = ("folder", "members", "names", "paths", "recipe", "run")
MOST_EPOCHS = 1_000_000  # steps are counted in 32 bits


class Terminated(KeyboardInterrupt):
    """SIGTERM: it stops what Ctrl-C stops, so that no half-written file stays and how to go on is said."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command in `argv` (default: the process's arguments) and return the exit status.

    argparse itself exits, with 2, where the command line is wrong.
    """
    _write_whatever_the_terminal_knows()
    arguments = _parser().parse_args(argv)
    try:
        with _told_by_sigterm():
            _check(arguments)
            arguments.function(arguments)
            sys.stdout.flush()
        return 0
    except BrokenPipeError:  # the reader (`| head`) has seen enough: nothing to say, and nobody to say it to
        _drop_output()
        return 1
    except (Exception, KeyboardInterrupt) as error:
        message = _message(error, arguments)
        if message is None:
            raise  # a mistake of ours: its traceback is what we need to see
        if arguments.debug:
            traceback.print_exc()
        try:
            sys.stdout.flush()
        except OSError:  # a full disk behind `>`: said once is enough
            _drop_output()
        print(message, file=sys.stderr)
        if isinstance(error, KeyboardInterrupt):
            return 128 + (signal.SIGTERM if isinstance(error, Terminated) else signal.SIGINT)
        return 1


def _write_whatever_the_terminal_knows() -> None:
    """Write \\xb1 for a ± that the terminal has no sign for, instead of ending in a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if not isinstance(stream, io.TextIOWrapper):
            continue
        # UTF-8 with surrogateescape has a sign for everything, names of files that are no UTF-8 included
        if stream.errors == "strict" or (stream.errors == "surrogateescape" and stream.encoding.lower() != "utf-8"):
            stream.reconfigure(errors="backslashreplace")


def _drop_output() -> None:
    """Send what is left to write, and what Python flushes at its end, nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextlib.contextmanager
def _told_by_sigterm() -> Iterator[None]:
    """Raise Terminated where the process is asked to end; only the main thread can arrange that."""

    def stop(*_: object) -> None:
        raise Terminated

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def _check(arguments: argparse.Namespace) -> None:
    """Raise UserError for values that no command can use, before one starts."""
    for name, value in vars(arguments).items():
        given = value if isinstance(value, list) else [value]
        if "" in given and name != "send":  # submit has a message of its own for that one
            option = name.upper() if name in POSITIONAL else f"--{name}"
            raise UserError(f"{option} is empty: give it a value, or leave it out")
        if name == "seed" and value is not None and not 0 <= value <= LARGEST_SEED:
            raise UserError(f"--seed must not be negative, and at most {LARGEST_SEED}; received {value}")
        if name in ("nice", "hours") and value is not None and value < 0:
            raise UserError(f"--{name} must not be negative, received {value}")
        if name == "epochs" and value is not None and value > MOST_EPOCHS:
            raise UserError(f"--epochs must be at most {MOST_EPOCHS}, received {value}")


def _path(text: str) -> Path | str:
    """A path; an empty one stays as it is for `_check`, since Path would make the current folder of it."""
    return Path(text) if text else text


def _message(error: BaseException, arguments: argparse.Namespace) -> str | None:
    """What to tell the user, or None for an error that is not theirs."""
    if isinstance(error, UserError):
        return f"error: {error}"
    if isinstance(error, KeyboardInterrupt):
        if arguments.function not in (commands.train, commands.fashion, commands.reproduce):
            return "stopped"
        without = " without --fresh" if getattr(arguments, "fresh", False) else ""
        return f"stopped; the same command{without} goes on from the last finished epoch"
    if isinstance(error, FileExistsError | NotADirectoryError) and error.filename is not None:
        return f"error: cannot write {error.filename}: a file stands where a folder is needed; name another place"
    if isinstance(error, OSError) and error.filename is not None:
        return f"error: cannot read or write {error.filename}: {error.strerror}"
    if isinstance(error, OSError) and error.errno is not None:  # of something without a name, such as standard output
        return f"error: {error.strerror}"
    if isinstance(error, MemoryError):
        return f"error: out of memory ({error}): close other programs, or take fewer or smaller images"
    if isinstance(error, ModuleNotFoundError) and error.name and not error.name.startswith("dfclib"):
        return f"error: this command needs {error.name}, which is not installed: pip install -r requirements.txt"
    return None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Train, vote and report image classifiers that attribute images to their generators.",
        epilog=f"example:\n  {PROGRAM} train attempt1\n\nCOMMAND --help shows an example of each.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"dfclib {__version__}")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    top = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_data_commands(top)
    _add_training_commands(top)
    _add_prediction_commands(top)
    _add_report_commands(top)
    return parser


def _add_data_commands(top: Any) -> None:
    data = top.add_parser(
        "data",
        help="check, download or make a folder of images",
        epilog=f"example:\n  {PROGRAM} data check {DATA}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    group = data.add_subparsers(title="commands", metavar="COMMAND", required=True)

    summary = "report what is wrong with a folder of images, and what is in it"
    p = _add(group, "check", commands.data_check, summary, f"{DATA}")
    p.add_argument("folder", type=_path, metavar="FOLDER")

    summary = "fetch the competition from Kaggle; given again, go on where it stopped"
    p = _add(group, "download", commands.data_download, summary, f"--to {DATA}")
    p.add_argument("--to", type=_path, default=DATA, metavar="FOLDER", help=f"default {DATA}")

    summary = "write the embedded images as a competition's folder"
    p = _add(group, "make", commands.data_make, summary, "small_folder --train 500 --seed 1")
    p.add_argument("folder", type=_path, metavar="FOLDER", help="empty, or not there yet")
    for name in ("train", "validation", "test"):
        p.add_argument(f"--{name}", type=int, metavar="N", help=f"how many {name} images")
    p.add_argument("--seed", type=int, metavar="S", help="another seed makes other images (default 0)")


def _add_training_commands(top: Any) -> None:
    summary = "list every recipe: the author's claim, image size, parameters, times"
    p = _add(top, "recipes", commands.recipes, summary, "--json")
    p.add_argument("--json", action="store_true", help="everything that is known, as JSON")

    summary = "train a recipe; given again, go on where it stopped or return the finished run"
    p = _add(top, "train", commands.train, summary, f"attempt1 --data {DATA} --scale compact")
    p.add_argument("recipe", metavar="RECIPE", help=f"a name that `{PROGRAM} recipes` lists, or a recipe.json")
    text = f"a folder of images (default: {DATA} where it exists, else images made on the spot); for S4's recipes "
    _add_data(p, text + "fashion-mnist, to find or fetch it, or a folder with its four files")
    default = "default: quick on images made on the spot; on a folder full with a GPU, compact without"
    p.add_argument("--scale", choices=SCALES, help=default)
    p.add_argument("--precision", choices=PRECISIONS, help="default: what suits the device")
    p.add_argument("--protocol", choices=("published", "held_out"), help="what the checkpoint is chosen on")
    p.add_argument("--seed", type=int, metavar="N", help="default: the recipe's, 0")
    p.add_argument("--epochs", type=int, metavar="N", help="default: the recipe's")
    p.add_argument("--fresh", action="store_true", help="remove what there is of this run, and train anew")
    sizes = "height and width in pixels, for a folder with images of mixed sizes"
    p.add_argument("--image-size", type=int, nargs=2, metavar=("H", "W"), help=sizes)
    _add_runs(p)

    summary = "train and record everything that the report shows, in order of worth; given again, go on"
    p = _add(top, "reproduce", commands.reproduce, summary, f"--data {DATA} --hours 2.5")
    _add_data(p, f"the competition's folder (default {DATA}); Fashion-MNIST is found, or fetched")
    p.add_argument("--hours", type=float, metavar="H", help="end after the epoch at hand when so many are over")
    p.add_argument("--scale", choices=SCALES, help="default: full with a GPU, compact without")
    p.add_argument("--only", nargs="+", default=(), metavar="NAME", help="recipes whose names begin so")
    p.add_argument("--nice", type=int, default=0, metavar="N", help="lower the process's priority by N, up to 19")
    p.add_argument("--record", type=_path, default=RECORDED, metavar="DIR", help=f"default {RECORDED}")
    act = p.add_mutually_exclusive_group()
    act.add_argument("--list", action="store_true", help="print what is done, what is left and how long it takes")
    act.add_argument("--pause", action="store_true", help="let the queue that is running wait, at once")
    act.add_argument("--resume", action="store_true", help="let it go on")
    _add_runs(p)

    summary = "all of S4: find or fetch Fashion-MNIST, train both networks, write every figure"
    p = _add(top, "fashion", commands.fashion, summary, "--generated")
    data = p.add_mutually_exclusive_group()
    _add_data(data, "holds Fashion-MNIST's four files (default: found on this machine, or fetched)")
    data.add_argument("--generated", action="store_true", help="train on generated images instead: nothing to fetch")
    default = "default: quick on generated images; else full with a GPU, compact without"
    p.add_argument("--scale", choices=SCALES, help=default)
    p.add_argument("--fresh", action="store_true", help="remove what there is of these runs, and train anew")
    default = Path("build/fashion")
    p.add_argument("--out", type=_path, default=default, metavar="DIR", help=f"default {default}")
    _add_runs(p)


def _add_prediction_commands(top: Any) -> None:
    summary = "let runs and files of predictions vote"
    p = _add(top, "vote", commands.vote, summary, "RUN RUN predictions.csv --out votes.csv")
    members = "a run, or a CSV file: image_id,label and perhaps a column of probabilities a class"
    p.add_argument("members", nargs="+", metavar="RUN_OR_CSV", help=members)
    p.set_defaults(kind="hard")
    kinds = p.add_mutually_exclusive_group()
    soft, geometric = "average probabilities instead of counting labels", "take their geometric mean"
    kinds.add_argument("--soft", action="store_const", dest="kind", const="soft", help=soft)
    kinds.add_argument("--geometric", action="store_const", dest="kind", const="geometric", help=geometric)
    p.add_argument("--weights", type=float, nargs="+", metavar="W", help="one a member, not for a hard vote")
    splits = "which predictions of the runs (default: test where all have it, else validation)"
    p.add_argument("--split", choices=("held_out", "validation", "test"), help=splits)
    p.add_argument("--seed", type=int, default=0, metavar="N", help="draws the ties that nothing else decides")
    shares = (
        "write the share of the votes that each class got, too; without it image_id,label alone, as Kaggle takes it"
    )
    p.add_argument("--shares", action="store_true", help=shares)
    p.add_argument("--out", type=_path, required=True, metavar="FILE", help="the CSV file to write")
    _add_runs(p)

    summary = "show accuracy with its interval and a table a class"
    p = _add(top, "evaluate", commands.evaluate, summary, "RUN")
    _add_run(p)
    p.add_argument("--json", action="store_true", help="the same as JSON")

    summary = "label images with a run: the class and a probability a class"
    p = _add(top, "predict", commands.predict, summary, "RUN photo.png folder/ --out predictions.csv")
    _add_run(p)
    p.add_argument("paths", type=_path, nargs="+", metavar="PATH", help="an image, or a folder of images")
    p.add_argument("--out", type=_path, metavar="FILE", help="write a CSV file instead of a table")

    summary = "write predictions as sample_submission.csv asks for them, and perhaps send them"
    p = _add(top, "submit", commands.submit, summary, f'RUN --data {DATA} --out submission.csv --send "a vote"')
    _add_run(p)
    _add_data(p, f"the competition's folder (default {DATA})")
    default = Path("submission.csv")
    p.add_argument("--out", type=_path, default=default, metavar="FILE", help=f"default {default}")
    p.add_argument("--send", metavar="MESSAGE", help="send the file to Kaggle with this message")


def _add_report_commands(top: Any) -> None:
    p = _add(top, "figures", commands.figures, "draw the figures of runs", "--out images")
    p.add_argument("names", nargs="*", metavar="RUN", help=f"its own figures alone; default: all of {RECORDED}")
    p.add_argument("--out", type=_path, default=Path("images"), metavar="DIR", help="default images")
    _add_runs(p)

    summary = "copy finished runs to where they are kept, without weights above 12 MB"
    p = _add(top, "record", commands.record, summary, "RUN")
    p.add_argument("names", nargs="+", metavar="RUN")
    p.add_argument("--to", type=_path, default=RECORDED, metavar="DIR", help=f"default {RECORDED}")
    p.add_argument("--no-weights", action="store_true", help="leave small weights out as well")
    _add_runs(p)


def _add(
    group: Any, name: str, function: Callable[[argparse.Namespace], None], summary: str, example: str
) -> argparse.ArgumentParser:
    full_name = function.__name__.replace("_", " ")  # data_check: data check
    parser = group.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.",
        epilog=f"example:\n  {PROGRAM} {full_name} {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    # suppressed: a default would undo the --debug that stands before the command
    debug = {"action": "store_true", "default": argparse.SUPPRESS, "help": "show the traceback of an error"}
    parser.add_argument("--debug", **debug)
    parser.set_defaults(function=function)
    return parser


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help=f"a run's folder, its name in --runs or {RECORDED}, or its recipe's")
    _add_runs(parser)


def _add_runs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--runs", type=_path, default=RUNS, metavar="DIR", help=f"where runs lie (default {RUNS})")


def _add_data(parser: Any, text: str) -> None:
    parser.add_argument("--data", type=_path, metavar="FOLDER", help=text)
