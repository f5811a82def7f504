"""Whoever a contract names and is gone is known: no good token any more, or no message arrives."""

import pytest
from tests.serving_home import (
    CONTRACT,
    MODEL,
    add_version,
    constant_package,
    live,
    make_home,
    route,
)

from thrive.domain.actor import Role, Token, local_actor
from thrive.domain.clock import DAY, machine_now
from thrive.domain.project import Job, JobState, TeamContact
from thrive.flows.fleet import every_model
from thrive.governance.checks.registry import CHECKS
from thrive.governance.law import duties
from thrive.governance.records import read_records
from thrive.operations import Context
from thrive.store import jobs, projects, tokens
from thrive.ui.pages.waiting import Waiting, all_that_waits

NAMED = CONTRACT.replace("users =", 'deputy = "eva"\napprovers = ["eva", "bob", "desk"]\nusers =')
CHANNEL = "mailto:desk@example.org"


@pytest.fixture
def ctx(tmp_path):
    home = make_home(tmp_path, NAMED)
    route(home, live(add_version(home, constant_package(0.3), contract=NAMED)))
    yield Context(home, local_actor("ada"), folder=tmp_path, operation="test")
    home.close()


def give(ctx, name, **changed):
    made = Token(
        project_id=ctx.project_id,
        token_id=f"{name}{len(changed)}".ljust(32, "0"),
        name=name,
        roles=[Role.ML_ENGINEER],
        digest="d" * 64,
        created_at=1,
        **changed,
    )
    with ctx.home.write() as tx:
        tokens.add(tx, made)


def message(ctx, number, state):
    job = Job(
        job_id=f"{number:032x}",
        operation=jobs.MESSAGES,
        arguments={"channel": CHANNEL},
        state=state,
        actor="thrive-controller",
        run_at=1,
        created_at=1,
        finished_at=number * DAY,
    )
    with ctx.home.write() as tx:
        jobs.add(tx, ctx.project_id, job)


def seen(ctx):
    """Return who is gone, as the duty of the model and as Today say it."""
    (owned,) = (each for each in duties() if each.id == "house-owned")
    owed = CHECKS[owned.check](read_records(ctx, MODEL), owned)
    duty = {each.what for each in owed if "any more" in each.what}
    today = [each for each in all_that_waits(ctx, every_model(ctx)) if each.kind is Waiting.OWNER]
    assert {each.title.removeprefix("Name another: ") for each in today} == duty
    assert all(each.deadline == each.since + 7 * DAY for each in today)
    return duty, [each.owner for each in today]


def test_a_person_without_a_good_token_has_left(ctx):
    give(ctx, "bob")
    assert seen(ctx) == (set(), [])  # nobody else ever had one: alone, nobody needs one
    give(ctx, "eva", revoked_at=machine_now() - DAY)
    (what,), (owner,) = seen(ctx)
    assert what.startswith("eva (deputy, approver) has no rights any more")
    assert owner == "desk"
    give(ctx, "eva", revoked_at=None, expires_at=machine_now() + DAY)
    assert seen(ctx) == (set(), [])


def test_a_team_whose_last_message_failed_is_not_reached(ctx):
    message(ctx, 1, JobState.FAILED)
    message(ctx, 2, JobState.DONE)
    assert seen(ctx) == (set(), [])
    message(ctx, 3, JobState.FAILED)
    (what,), (owner,) = seen(ctx)
    assert what.startswith("desk (owner, approver) is not reached any more")
    assert owner == "eva"
    with ctx.home.write() as tx:
        contact = TeamContact(team="desk", channel=CHANNEL, arrived_at=4 * DAY)
        projects.add_contact(tx, ctx.project_id, contact)
    assert seen(ctx) == (set(), [])
