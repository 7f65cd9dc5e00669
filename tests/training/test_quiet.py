"""What TensorFlow says as it starts is hidden, unless its import fails; and never is the import itself in danger."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dfclib.training import quiet

ROOT = Path(__file__).parents[2]


def test_what_is_written_to_descriptor_2_is_hidden(capfd):
    with quiet._hidden_unless_it_fails():
        os.write(2, b"oneDNN custom operations are on")
    os.write(2, b"after")
    assert capfd.readouterr().err == "after"


def test_it_is_shown_where_the_import_fails(capfd):
    with pytest.raises(ImportError), quiet._hidden_unless_it_fails():
        os.write(2, b"the reason")
        raise ImportError
    assert capfd.readouterr().err == "the reason"


@pytest.mark.parametrize("absent", ["descriptor", "stream"])
def test_without_standard_error_the_body_runs_all_the_same(absent, monkeypatch):
    """Windows programs without a console have neither; dup fails there as it does on a closed descriptor."""

    def fail(descriptor):
        raise OSError(9, "Bad file descriptor")

    if absent == "descriptor":
        monkeypatch.setattr(os, "dup", fail)
    else:
        monkeypatch.setattr(sys, "stderr", None)
    ran = []
    with quiet._hidden_unless_it_fails():
        ran.append(True)
    with pytest.raises(KeyError), quiet._hidden_unless_it_fails():
        raise KeyError
    assert ran == [True]


def test_standard_error_that_is_really_closed():
    code = (
        "import os; os.close(2)\nfrom dfclib.training import quiet\nwith quiet._hidden_unless_it_fails(): print('ran')"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "ran\n")
