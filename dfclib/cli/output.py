"""Output of the commands: characters that a terminal lacks, closed pipes, JSON, and TensorFlow's own lines."""

import argparse
import io
import json
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from dfclib.files import is_stream


def escape_unknown_characters() -> None:
    """Write \\xb1 for a ± that the terminal cannot show, instead of ending in a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if not isinstance(stream, io.TextIOWrapper):
            continue
        # UTF-8 with surrogateescape has a sign for everything, names of files that are no UTF-8 included
        if stream.errors == "strict" or (stream.errors == "surrogateescape" and stream.encoding.lower() != "utf-8"):
            stream.reconfigure(errors="backslashreplace")


def drop_output() -> None:
    """Send nowhere what is left to write, and what Python flushes at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def printer(out: Path) -> Callable[[object], None]:
    """`print`, to standard error where the predictions themselves go to /dev/stdout or a pipe."""
    return partial(print, file=sys.stderr) if is_stream(out) else print


def print_json(value: Any) -> None:
    """Print indented JSON, with escapes where the terminal cannot show a character."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(value, indent=2)
    print(text)


def import_keras(arguments: argparse.Namespace) -> None:
    """Import Keras, hiding what TensorFlow logs as it starts; with --debug leave the import to who needs it."""
    if not arguments.debug:
        from dfclib.training import quiet

        quiet.import_keras()
