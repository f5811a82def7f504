"""Paths are relative to the folder a command is typed in."""

import pytest

from thrive.cli.here import from_here
from thrive.flows.catalogue import load_all


@pytest.fixture
def here(tmp_path):
    """A folder in a project: both have a file of their own."""
    inside = tmp_path / "sub"
    inside.mkdir()
    (inside / "train.py").touch()
    (inside / "rows.csv").touch()
    (tmp_path / "other.csv").touch()
    return inside


@pytest.mark.parametrize(
    ("command", "name", "typed", "meant"),
    [
        ("data add", "path", "rows.csv", "sub/rows.csv"),
        ("data add", "path", "*.csv", "sub/*.csv"),
        ("data add", "path", "../other.csv", "other.csv"),
        ("data add", "path", "other.csv", "other.csv"),
        ("data add", "path", "nowhere.csv", "sub/nowhere.csv"),
        ("data add", "path", "/tmp/rows.csv", "/tmp/rows.csv"),
        ("data add", "path", "s3://lake/rows.csv", "s3://lake/rows.csv"),
        ("data add", "path", "warehouse: select 1", "warehouse: select 1"),
        ("data add", "name", "rows.csv", "rows.csv"),
        ("run", "target", "train.py:main", "sub/train.py:main"),
        ("run", "target", "train", "sub/train"),
    ],
)
def test_a_text_that_names_something_here_means_it(here, command, name, typed, meant):
    operation = load_all()[command]
    assert from_here(operation, {name: typed}, here, here.parent) == {name: meant}
    assert from_here(operation, {name: typed}, here, here) == {name: typed}


def test_a_path_is_of_here_and_a_default_is_left(here):
    operation = load_all()["data checkout"]
    given = from_here(operation, {"name": "rows", "to": "out"}, here, here.parent)
    assert given == {"name": "rows", "to": here / "out"}
