import pytest
from tests.unit.gates.registry import Registry, table, trees

from thrive.packaging.package import pack


@pytest.fixture
def registry(home):
    return Registry(home)


@pytest.fixture(scope="session")
def trained():
    """A sound model and the inputs it was trained on."""
    return trees(table(seed=1))


@pytest.fixture(scope="session")
def sound(trained):
    return pack(*trained, created=1)
