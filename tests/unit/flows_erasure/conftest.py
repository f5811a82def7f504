"""A project in which one person stands in data, models, predictions and outcomes."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.planted import OTHERS, PERSON, answer, plant_data, plant_model, tell_outcomes

from thrive.domain.actor import local_actor
from thrive.operations import Context
from thrive.store.eventlog import SegmentWriter
from thrive.store.home import create_home, open_home


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project, made once: each test gets a copy."""
    folder = tmp_path_factory.mktemp("planted")
    home = create_home(folder, "shop")
    ctx = Context(home, local_actor("tester"), folder=folder, operation="test")
    plant_data(ctx, folder)
    plant_model(ctx, "orders@1")
    plant_model(ctx, "weather@1")
    with SegmentWriter(home.log_folder, 0) as writer:
        first = answer(writer, [OTHERS[0], PERSON])
        second = answer(writer, [PERSON])
        third = answer(writer, [OTHERS[1]])
    tell_outcomes(ctx, second, third, first)
    home.close()
    return folder


@pytest.fixture
def planted(template: Path, tmp_path: Path) -> Iterator[Context]:
    """The project; its prediction log is not sealed yet."""
    shutil.copytree(template, tmp_path, dirs_exist_ok=True)
    home = open_home(tmp_path)
    yield Context(home, local_actor("tester"), folder=tmp_path, operation="test")
    home.close()
