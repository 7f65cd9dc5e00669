"""What several tests share: five trivially different classes of tiny images, and a recipe that learns them."""

import gc
import os
import signal
from dataclasses import replace

from fakes import tiny_images, tiny_recipe

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before anything imports TensorFlow

import pytest  # noqa: E402

from dfclib.datasets.images import Splits  # noqa: E402

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # a shell that starts the tests in the background has them ignore Ctrl-C, and the processes that they start, too
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish() -> None:
    """Keep what the imports made out of the collections after each training, as `import_keras` does."""
    gc.freeze()


@pytest.fixture(scope="session")
def splits() -> Splits:
    """60 training, 30 validation and 10 test images, 16x16."""
    test = replace(tiny_images(2, 2, "test"), labels=None)
    return Splits("tiny", tiny_images(12, 0, "train"), tiny_images(6, 1, "validation"), test)


@pytest.fixture(scope="session")
def finished(splits, tmp_path_factory):
    """A finished run of tiny_recipe(). Shared: tests that change files copy it first."""
    from dfclib.training import train

    return train(tiny_recipe(), splits, tmp_path_factory.mktemp("runs"), progress=False)
