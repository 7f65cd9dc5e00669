"""What `sources.load` refuses."""

import pytest

from dfclib.datasets.sources import load
from dfclib.errors import UserError


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(UserError):
        load(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"image_size \(128, 96\) is for a folder of images"):
        load(None, [128, 96])
