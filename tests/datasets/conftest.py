"""For the tests of Kaggle: no network, no token, and never a real one."""

import os

import pytest

from dfclib.datasets import kaggle_api


@pytest.fixture
def isolated(tmp_path_factory, monkeypatch):
    """An empty home, no Kaggle variable, no proxy, an empty working directory."""
    for name in [name for name in os.environ if name.startswith(("KAGGLE", "XDG_"))]:
        monkeypatch.delenv(name)
    home, work = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("work")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.chdir(work)
    return home


@pytest.fixture
def real_api(isolated, monkeypatch):
    """Kaggle's own class, which reads its places at import, pointed at the empty home."""
    api = kaggle_api.client_class()
    monkeypatch.setattr(api, "config_dir", str(isolated / ".kaggle"))
    monkeypatch.setattr(api, "config", str(isolated / ".kaggle" / "kaggle.json"))
    return api
