"""Fixtures every test may use."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from thrive.domain.actor import local_actor
from thrive.operations import Context
from thrive.store.home import Home, create_home

# The quick suite tries the same examples each time; `make full` looks for new ones.
settings.register_profile("quick", max_examples=30, derandomize=True, deadline=None)
settings.register_profile("deep", max_examples=400, deadline=None)
settings.load_profile("quick")


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """A new home in a folder."""
    made = create_home(tmp_path, "test")
    yield made
    made.close()


@pytest.fixture
def context(home: Home, tmp_path: Path) -> Context:
    """A context of the folder's owner."""
    return Context(home, local_actor("tester"), folder=tmp_path, operation="test")
