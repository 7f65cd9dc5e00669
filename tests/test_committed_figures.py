"""images/ holds what the pages show and nothing else, each figure as the command draws it from today's runs."""

import importlib.metadata
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dfclib.cli.main import main

ROOT = Path(__file__).resolve().parents[1]
IMAGES = ROOT / "images"
LOCK = (ROOT / "requirements" / "lock.txt").read_text()


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        assert main(["figures", "--out", str(folder)]) == 0
    return folder


def shown() -> set[str]:
    """Names of the files of images/ that pages, the report and notebooks show."""
    pages = [ROOT / "README.md", ROOT / "report" / "README.md", *(ROOT / "notebooks").glob("[0-9]*.py")]
    found = {name for page in pages for name in re.findall(r"\bimages/([\w-]+\.\w+)", page.read_text(encoding="utf-8"))}
    report = (ROOT / "report" / "dfclib.typ").read_text(encoding="utf-8")
    return found | {f"{name}.png" for name in re.findall(r'#picture\("([\w-]+)"', report)}


def test_every_figure_is_shown_and_drawn_by_the_command(drawn):
    names = {path.name for path in IMAGES.iterdir()}
    assert names == shown()
    assert names == {path.name for path in drawn.iterdir()}


@pytest.mark.skipif(
    f"matplotlib=={importlib.metadata.version('matplotlib')}\n" not in LOCK,
    reason="another matplotlib than the lock's draws text a little differently",
)
def test_figures_are_those_of_the_recorded_runs(drawn):
    for path in drawn.iterdir():
        ours, theirs = (np.asarray(Image.open(p).convert("RGB"), np.int16) for p in (IMAGES / path.name, path))
        assert ours.shape == theirs.shape, f"{path.name}: run make figures"
        # the last bit of a sum may differ between processors, a digit or a mark elsewhere is black on white
        assert np.abs(ours - theirs).max() < 64, f"{path.name}: run make figures"
