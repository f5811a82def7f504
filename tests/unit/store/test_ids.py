"""Ids as people type them: the beginning of one is enough, where it means one."""

import pytest

from thrive.domain.actor import local_actor
from thrive.domain.duty import LegalHold
from thrive.domain.errors import NotFound, UsageError
from thrive.flows import oversight
from thrive.operations import Context
from thrive.store import holds

FIRST = "01a229e042b47ab3817c9d0db13d4ba1"
SECOND = "01a229e03b477f2b96d1d3040159408b"


@pytest.fixture
def ctx(home):
    with home.write() as tx:
        for hold_id in (FIRST, SECOND):
            hold = LegalHold(
                hold_id=hold_id, subject="project", reason="order", actor="ada", placed_at=0
            )
            holds.add_hold(tx, home.project_id, hold)
    return Context(home, local_actor("ada"), operation="holds lift")


def test_the_digits_that_a_list_shows_are_enough_and_the_record_has_them_all(ctx):
    lifted = oversight.holds_lift(ctx, FIRST[:12], reason="over")
    assert lifted.hold_id == FIRST
    with ctx.read() as tx:
        assert [each.hold_id for each in holds.find_holds(tx, ctx.project_id)] == [SECOND]


def test_digits_that_several_share_name_them(ctx):
    with pytest.raises(UsageError, match="begins the ids of several holds") as failed:
        oversight.holds_lift(ctx, FIRST[:8], reason="over")
    assert FIRST[:16] in failed.value.what
    assert SECOND[:16] in failed.value.what


@pytest.mark.parametrize("given", [FIRST[:7], "", "%", FIRST.upper(), f"{FIRST}0"])
def test_what_is_no_beginning_of_an_id_finds_nothing(ctx, given):
    with pytest.raises(NotFound, match="There is no hold") as failed:
        oversight.holds_lift(ctx, given, reason="over")
    assert ("8 digits or more" in failed.value.hint) == (len(given) < 8)
