"""Fixtures of the command line's tests: a command in this process, and one in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dfclib.cli import main, output


@pytest.fixture
def call(capsys):
    """Runs a command, which has to end with `status`, and returns what it writes: out and err."""

    def run(*argv, status: int = 0):
        assert main.main([str(argument) for argument in argv]) == status, capsys.readouterr().err
        return capsys.readouterr()

    return run


@pytest.fixture
def fails(call):
    """Runs a command that has to end with 1, and returns its message."""

    def message_of(*argv) -> str:
        message = call(*argv, status=1).err
        assert "Traceback" not in message and "error: " in message
        return message

    return message_of


@pytest.fixture
def python():
    """Runs Python in a process of its own: its result, or the process itself where pipes are given."""

    def run(*arguments, encoding=None, **options):
        environment = os.environ | {"PYTHONPATH": str(Path(main.__file__).parents[2])}
        environment |= {"PYTHONIOENCODING": encoding} if encoding else {}
        command = [sys.executable, *map(str, arguments)]
        if "stdout" in options:
            return subprocess.Popen(command, env=environment, **options)
        options = {"text": not encoding, "timeout": 120} | options
        return subprocess.run(command, capture_output=True, env=environment, **options)

    return run


@pytest.fixture
def no_keras(monkeypatch):
    """Commands that would train or predict get here without Keras; the test replaces what they call."""
    monkeypatch.setattr(output, "import_keras", lambda arguments: None)
