"""Importing a pipeline puts its folder first on the path, which is right in a run's own process."""

import sys

import pytest


@pytest.fixture(autouse=True)
def _path_as_it_was(monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
