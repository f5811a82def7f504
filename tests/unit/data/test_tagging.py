"""A tag is a name for a version: in commands, in code, and against removal."""

import pytest
from tests.unit.data.conftest import ROWS

from thrive.data.cleaning import rm
from thrive.data.operations import add, log
from thrive.data.reading import find_version, resolve
from thrive.data.tagging import tag
from thrive.domain.errors import Conflict, NotFound, Refused, UsageError


@pytest.fixture
def two(project, added, write):
    write(*ROWS, "4,zoe,30,")
    add(project, name="trips")
    return project


def test_a_tag_stands_for_its_version_until_it_is_moved(two):
    made = tag(two, "trips@1", "spring")
    assert (made.version, made.before) == (1, 0)
    assert find_version(two, "trips@spring").version == 1
    assert resolve(two, "trips@spring").version == 1
    with pytest.raises(Conflict, match=r"'spring' names trips@1"):
        tag(two, "trips@2", "spring")
    assert tag(two, "trips@2", "spring", move=True).before == 1
    assert find_version(two, "trips@spring").version == 2
    assert [each.tags for each in log(two, "trips")] == [["spring"], []]


def test_a_tagged_version_stays_until_the_tag_goes(two):
    tag(two, "trips@1", "spring")
    with pytest.raises(Refused, match="tagged 'spring'"):
        rm(two, "trips@1", reason="old")
    with pytest.raises(NotFound, match=r"trips@2 has no tag 'spring'"):
        tag(two, "trips@2", "spring", remove=True)
    assert tag(two, "trips@spring", "spring", remove=True).before == 1
    with pytest.raises(NotFound, match="no tag 'spring'"):
        find_version(two, "trips@spring")
    assert rm(two, "trips@1", reason="old").version == 1


@pytest.mark.parametrize("name", ["3", "v3", "Spring", "a b", "../up"])
def test_what_would_read_as_something_else_is_no_tag(two, name):
    with pytest.raises(UsageError):
        tag(two, "trips@1", name)
