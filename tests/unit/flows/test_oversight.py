"""Incidents with their clock, and holds that deletion respects."""

import pytest
from tests.serving_home import MODEL, add_version, constant_package, make_home

from thrive.data.cleaning import gc
from thrive.domain.actor import Actor, Role, local_actor
from thrive.domain.clock import DAY, HOUR, format_time
from thrive.domain.duty import IncidentKind
from thrive.domain.errors import Conflict, NotFound, Refused, UsageError
from thrive.flows import oversight as flow
from thrive.governance.records import read_records
from thrive.operations import Context


@pytest.fixture
def ctx(tmp_path):
    home = make_home(tmp_path)
    add_version(home, constant_package(0.7))
    yield Context(home, local_actor("grace"), folder=tmp_path, operation="test")
    home.close()


@pytest.mark.parametrize(
    ("kind", "time"),
    [
        (IncidentKind.SERIOUS, 15 * DAY),
        (IncidentKind.DEATH, 10 * DAY),
        (IncidentKind.WIDESPREAD, 2 * DAY),
        (IncidentKind.BREACH, 72 * HOUR),
    ],
)
def test_the_clock_runs_from_when_somebody_was_aware(ctx, kind, time):
    past = format_time(ctx.now() - 3 * DAY)
    made = flow.incidents_open(ctx, MODEL, what="w", kind=kind, aware=past)
    assert made.due_at - made.aware_at == time
    assert read_records(ctx, MODEL).incidents == [made]


def test_an_open_incident_holds_deletion_until_it_is_reported(ctx):
    made = flow.incidents_open(ctx, MODEL, what="crew was sent home")
    with pytest.raises(Refused, match="incident"):
        gc(ctx)
    assert gc(ctx, dry_run=True).removed == 0
    (hold,) = flow.holds_list(ctx)
    with pytest.raises(Refused, match="keeps the evidence of the incident") as refused:
        flow.holds_lift(ctx, hold.hold_id, reason="in the way")
    assert refused.value.hint.startswith(f"thrive incidents report {made.incident_id}")
    with pytest.raises(UsageError, match="Nobody can be aware"):
        flow.incidents_open(ctx, MODEL, what="w", aware=format_time(ctx.now() + DAY))
    with pytest.raises(UsageError):
        flow.incidents_report(ctx, made.incident_id, authority="DPC", cause=" ")
    done = flow.incidents_report(ctx, made.incident_id, authority="DPC", cause="stale feed")
    assert (done.authority, done.reported_by) == ("DPC", "grace")
    assert flow.holds_list(ctx) == []
    gc(ctx)
    with pytest.raises(Conflict, match="DPC"):
        flow.incidents_report(ctx, made.incident_id, authority="DPC", cause="again")


def test_a_hold_stays_until_somebody_lifts_it_with_a_reason(ctx):
    hold = flow.holds_place(ctx, "project", reason="order 17")
    with pytest.raises(Refused, match="order 17"):
        gc(ctx)
    lifted = flow.holds_lift(ctx, hold.hold_id, reason="order 17 ended")
    assert lifted.lifted_by == "grace"
    gc(ctx)
    assert flow.holds_list(ctx, lifted=True) == [lifted]
    for wrong in ("flights", "dataset:", "everything"):
        with pytest.raises(UsageError):
            flow.holds_place(ctx, wrong, reason="r")
    for slip in ("dataset:flihgts", "model:dealy", f"model:{MODEL}@9"):
        with pytest.raises(NotFound):
            flow.holds_place(ctx, slip, reason="order 17")
    assert flow.holds_list(ctx) == []


def test_on_a_server_the_platform_team_lifts_its_holds_by_two(ctx):
    pat, kim = (
        Context(ctx.home, Actor(name=name, roles=frozenset({Role.PLATFORM})), operation="test")
        for name in ("pat", "kim")
    )
    hold = flow.holds_place(pat, "project", reason="order 17")
    with pytest.raises(Refused, match="somebody else must lift it"):
        flow.holds_lift(pat, hold.hold_id, reason="over")
    assert flow.holds_lift(kim, hold.hold_id, reason="over").lifted_by == "kim"
