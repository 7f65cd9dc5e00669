"""A sound folder for the tests to read and to break."""

from pathlib import Path

import pytest
from fakes import folder_splits

from dfclib.datasets.folder.loading import write_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The images of folder_splits() in Kaggle's layout."""
    write_folder(folder_splits(), tmp_path / "data")
    return tmp_path / "data"
