"""Governance on either database: tampering is found, races count once, holds hold."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa
from tests.rest import new_token
from tests.serving_home import CONTRACT, MODEL, add_version, constant_package, with_model
from tests.verdicts import keep_verdict

from thrive.data.cleaning import gc
from thrive.domain.actor import Actor, Role, local_actor
from thrive.domain.duty import LegalHold
from thrive.domain.errors import Conflict, NotRight, Refused, ThriveError
from thrive.domain.identifiers import new_id
from thrive.domain.project import TeamContact
from thrive.domain.release import Release
from thrive.flows import promote
from thrive.flows.auditing import audit_seal, audit_verify
from thrive.flows.tokens import tokens_revoke
from thrive.operations import Context
from thrive.store import audit, holds, projects, releases
from thrive.store.home import Home
from thrive.store.rows import insert
from thrive.store.tables.project import audit as rows

LINKS = 8
TWO = CONTRACT.replace("fallback = 0.2", "fallback = 0.2\napprovals = { production = 2 }")


@pytest.fixture
def ctx(home: Home) -> Context:
    return Context(home, local_actor("keeper"), operation="test")


def test_an_edit_a_deletion_and_another_order_are_found(ctx: Context) -> None:
    for number in range(LINKS):
        with ctx.write(f"model:m{number}", share=number / 3):
            pass
    audit_seal(ctx)
    seq = rows.c.seq
    attacks = {
        4: [sa.update(rows).where(seq == 4).values(actor="nobody")],
        6: [sa.update(rows).where(seq == 6).values(detail={"share": 0.25})],
        3: [sa.delete(rows).where(seq == 2)],
        5: [sa.update(rows).where(seq == a).values(seq=b) for a, b in ((5, 99), (7, 5), (99, 7))],
        LINKS: [sa.delete(rows).where(seq == LINKS)],
    }
    with ctx.read() as tx:
        whole = audit.entries(tx, ctx.project_id)
    assert audit_verify(ctx).entries == len(whole) == LINKS
    for broken, attack in attacks.items():
        with ctx.home.write() as tx:
            for statement in attack:
                tx.execute(statement)
        with pytest.raises(NotRight, match=f"at entry {broken}"):
            audit_verify(ctx)
        with ctx.home.write() as tx:
            tx.execute(sa.delete(rows))
            insert(tx, ctx.project_id, rows, *whole)
    assert audit_verify(ctx).seals == 1


def judged(ctx: Context) -> None:
    """Register and judge a version of a model that two people must approve."""
    with_model(ctx.home, TWO)
    version = add_version(ctx.home, constant_package(), contract=TWO)
    with ctx.home.write() as tx:
        reached = TeamContact(team="desk", channel="mailto:desk@example.org", arrived_at=1)
        projects.add_contact(tx, ctx.project_id, reached)
    keep_verdict(ctx.home, version)


def person(ctx: Context, name: str) -> Context:
    return Context(
        ctx.home, Actor(name=name, roles=frozenset({Role.ML_ENGINEER})), operation="test"
    )


def test_racing_approvals_count_each_person_once_and_one_release_begins(ctx: Context) -> None:
    judged(ctx)
    together = threading.Barrier(4)

    def approve(name: str) -> None:
        together.wait()
        promote.approvals_give(person(ctx, name), MODEL, reason="read")

    def start(_: int) -> Release | ThriveError:
        together.wait()
        try:
            return promote.start_release(ctx, MODEL, phases=["shadow 1h", "full"])
        except (Refused, Conflict) as error:
            return error

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(approve, ["ana"] * 4))
        assert {str(each).count("1 of 2 approvals") for each in pool.map(start, range(4))} == {1}
        list(pool.map(approve, ["ana", "ben", "ben", "ada"]))
        answers = list(pool.map(start, range(4)))
    (begun,) = [each for each in answers if isinstance(each, Release)]
    assert sorted(begun.evidence["approvals"]) == ["ana", "ben"]
    assert sum(isinstance(each, Conflict) for each in answers) == 3
    with ctx.read() as tx:
        assert len(releases.routing_history(tx, ctx.project_id, MODEL)) == 1


def test_whoever_was_revoked_does_not_count_in_the_transaction_that_promotes(ctx: Context) -> None:
    judged(ctx)
    token = new_token(ctx, "ana", "ml-engineer").split("_")[1]
    for name in ("ana", "ben"):
        promote.approvals_give(person(ctx, name), MODEL, reason="read")
    promote.start_release(ctx, MODEL, phases=["shadow 1h", "full"])
    tokens_revoke(ctx, token)
    with pytest.raises(Refused, match="1 of 2 approvals"):
        promote.releases_promote(ctx, MODEL, reason="the shadow showed no fault")
    with ctx.read() as tx:
        (table,) = releases.routing_history(tx, ctx.project_id, MODEL)
    assert [(each.share, each.shadow) for each in table.variants] == [(1.0, True)]


def test_no_bytes_go_while_any_project_of_the_store_is_held(ctx: Context) -> None:
    digest = ctx.home.blobs.put(b"evidence")
    hold = LegalHold(
        hold_id=new_id(), subject="project", reason="order 17", actor="eve", placed_at=1
    )
    other = new_id()
    with ctx.home.write() as tx:
        holds.add_hold(tx, other, hold)
    with pytest.raises(Refused, match="Another project") as refused:
        gc(ctx, older_than="0s")
    assert "order 17" not in str(refused.value)
    assert ctx.home.blobs.get(digest) == b"evidence"
    with ctx.home.write() as tx:
        holds.lift_hold(tx, other, hold.hold_id, by="eve", reason="ended", at=2)
    assert gc(ctx, older_than="0s").removed == 1
