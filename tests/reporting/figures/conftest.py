"""Runs of the six attempts that several tests draw."""

import pytest
from fakes import EMBEDDED, make_run

from dfclib.recipes import find
from dfclib.reporting.rows import LADDER

ATTEMPTS = dict(zip(LADDER, (0.752, 0.78, 0.81, 0.79, 0.83, 0.861, 0.884), strict=True))


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """One run per attempt, by name of the recipe."""
    folder = tmp_path_factory.mktemp("runs")
    return {name: make_run(folder, name, accuracy) for name, accuracy in ATTEMPTS.items()}


@pytest.fixture(scope="session")
def embedded(tmp_path_factory):
    """The same on embedded data, at quick scale."""
    folder = tmp_path_factory.mktemp("embedded")
    return {n: make_run(folder, find(n).quick(), a - 0.1, data=EMBEDDED, n=250) for n, a in ATTEMPTS.items()}
