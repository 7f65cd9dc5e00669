"""Import Keras without what TensorFlow's C++ writes to standard error before it can be told not to."""

import contextlib
import gc
import os
import sys
import tempfile
from collections.abc import Iterator


def import_keras() -> None:
    """Import Keras and its backend in silence; where that fails, everything that was written is shown.

    TF_CPP_MIN_LOG_LEVEL is read too late for TensorFlow's first lines, which otherwise stand in a notebook's outputs.
    """
    if "keras" in sys.modules:
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # heeded once TensorFlow is there
    with _hidden_unless_it_fails():
        import keras  # noqa: F401
    gc.freeze()  # its 400,000 objects stay: the collection after each training need not look through them


@contextlib.contextmanager
def _hidden_unless_it_fails() -> Iterator[None]:
    """Send what is written to file descriptor 2 into a file, and back where the body raises."""
    try:
        if sys.stderr is not None:
            sys.stderr.flush()
        kept = os.dup(2)
    except (OSError, ValueError):  # closed, or a Windows program without a console: nothing is hidden
        yield
        return
    with tempfile.TemporaryFile() as hidden:
        os.dup2(hidden.fileno(), 2)
        try:
            yield
        except Exception:  # Ctrl-C has nothing to explain
            os.dup2(kept, 2)
            hidden.seek(0)
            os.write(2, hidden.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)
