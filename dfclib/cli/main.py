"""`python -m dfclib`: runs a command, and says how it ended.

Exit status: 0; 1 with one message on standard error for what the user can mend (--debug adds the traceback);
2 where the command line itself is wrong; 130 after Ctrl-C and 143 after SIGTERM, both with a message.
"""

import argparse
import signal
import sys
import traceback
from collections.abc import Sequence

from dfclib.cli import output
from dfclib.cli.parser import build_parser, check_values
from dfclib.errors import UserError


class Terminated(KeyboardInterrupt):
    """SIGTERM: it stops what Ctrl-C stops, so that no half-written file stays and how to go on is said."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command in `argv` (default: the process's arguments) and return the exit status, or exit as argparse."""
    output.escape_unknown_characters()
    arguments = build_parser().parse_args(argv)
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        check_values(arguments)
        arguments.function(arguments)
        sys.stdout.flush()
        return 0
    except BrokenPipeError:  # the reader (`| head`) has seen enough: there is nothing to tell
        output.drop_output()
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
            output.drop_output()
        print(message, file=sys.stderr)
        if isinstance(error, KeyboardInterrupt):
            return 128 + (signal.SIGTERM if isinstance(error, Terminated) else signal.SIGINT)
        return 1
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def _terminate(*_: object) -> None:
    raise Terminated


def _message(error: BaseException, arguments: argparse.Namespace) -> str | None:
    """The message for the user, or None for an error that is not theirs."""
    if isinstance(error, UserError):
        return f"error: {error}"
    if isinstance(error, KeyboardInterrupt):
        if not arguments.resumable:
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
