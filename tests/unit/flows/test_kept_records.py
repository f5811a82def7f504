"""Approvals, decisions, holds and the like against somebody with the database in their hands."""

import pytest
import sqlalchemy as sa
from tests.contract import nouns

from thrive.domain.dataset import Column
from thrive.domain.erasure import ERASED_TEXT, Erasure, ErasureState
from thrive.domain.errors import NotRight
from thrive.domain.monitoring import ActionKind
from thrive.flows.act import decide
from thrive.flows.auditing import audit_verify
from thrive.flows.oversight import holds_lift, holds_place, incidents_open, incidents_report
from thrive.flows.personal_data import grants_give, grants_revoke
from thrive.flows.promote import approvals_give
from thrive.governance.operations import exceptions_grant, exceptions_revoke
from thrive.store import datasets, erasures, gates, models, monitoring
from thrive.store.tables.gates import approvals
from thrive.store.tables.governance import data_grants, duty_exceptions
from thrive.store.tables.holds import legal_holds
from thrive.store.tables.monitoring import decisions

MODEL = nouns.model_version().model


@pytest.fixture
def kept(context):
    """Two or more records of each kind, written by their operations; some were ended again."""
    version = nouns.model_version()
    alert = nouns.alert(model=MODEL, version=version.version)
    with context.home.write() as tx:
        models.save(tx, context.project_id, nouns.model())
        models.insert_version(tx, context.project_id, version, [])
        monitoring.save_alert(tx, context.project_id, alert)
        datasets.save(tx, context.project_id, nouns.dataset())
        people = nouns.dataset_version(
            columns=[Column(name="who", dtype="String", personal="name")]
        )
        datasets.insert_version(tx, context.project_id, people)
    approvals_give(context, MODEL, reason="slices were read")
    decide(context, alert, ActionKind.ACCEPT, "the feed was mended")
    holds_lift(context, holds_place(context, "project", reason="order 1").hold_id, reason="over")
    holds_place(context, "project", reason="order 17")
    incident = incidents_open(context, MODEL, what="wrong answers")
    incidents_report(context, incident.incident_id, authority="DPC", cause="feed")
    for number in range(2):
        words = {"for_": "30 days", "reason": f"nr {number}"}
        exception = exceptions_grant(context, MODEL, "house-owned", **words)
        grant = grants_give(context, "flights", purpose="value", **words)
    exceptions_revoke(context, exception.exception_id)
    grants_revoke(context, grant.grant_id)
    return context


def tamper(context, *statements):
    with context.home.write() as tx:
        for each in statements:
            assert tx.execute(each).rowcount


def test_all_that_operations_wrote_holds(kept):
    assert audit_verify(kept).records == 9


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        (sa.update(approvals).values(actor="eva"), "approval .* changed since entry"),
        (sa.update(approvals).values(version=2), "approval .* changed since entry"),
        (sa.update(approvals).values(reason="x"), "approval .* changed since entry"),
        (sa.delete(approvals), "approval .* it is not there"),
        (sa.update(decisions).values(action="retrain"), "decision .* changed since entry"),
        (sa.delete(decisions), "decision .* it is not there"),
        (
            sa.update(legal_holds).where(legal_holds.c.lifted_at.is_(None)).values(lifted_at=5),
            "hold .* changed since entry",
        ),
        (
            sa.update(legal_holds).where(legal_holds.c.lifted_for == "over").values(lifted_at=None),
            "hold .* changed since entry",
        ),
        (sa.delete(legal_holds), "hold .* it is not there.* So are 2 more"),
        (sa.update(duty_exceptions).values(expires_at=1 << 60), "exception .* So are 1 more"),
        (sa.update(data_grants).values(reader="bob"), "grant .* So are 1 more"),
        (sa.update(data_grants).values(revoked_at=None), "grant .* changed since entry"),
    ],
)
def test_what_was_changed_or_removed_by_hand_is_found(kept, statement, what):
    tamper(kept, statement)
    with pytest.raises(NotRight, match=what):
        audit_verify(kept)


def test_what_was_added_by_hand_is_found(kept):
    with kept.home.write() as tx:
        gates.insert_approval(tx, kept.project_id, nouns.approval(model=MODEL))
    with pytest.raises(NotRight, match=r"approval .* no entry wrote it"):
        audit_verify(kept)


def test_what_was_written_before_entries_kept_records_is_known_by_who_and_why(kept):
    approval = nouns.approval(model=MODEL)
    ctx = kept.acting(kept.actor, "approvals give")
    with ctx.write(f"model:{MODEL}@1", reason=approval.reason):
        pass
    with kept.home.write() as tx:
        gates.insert_approval(tx, kept.project_id, approval)
    with pytest.raises(NotRight, match="no entry wrote it"):
        audit_verify(kept)  # somebody else gave it
    by_id = approvals.c.approval_id == approval.approval_id
    tamper(kept, sa.update(approvals).where(by_id).values(actor=kept.actor.name))
    assert audit_verify(kept).records == 10


def test_who_was_erased_from_a_record_is_no_edit(kept):
    tamper(kept, sa.update(approvals).values(reason=f"{ERASED_TEXT} was read"))
    with pytest.raises(NotRight):
        audit_verify(kept)
    gone = Erasure(
        erasure_id="e" * 32, state=ErasureState.DONE, reason="asked", legal_basis="", actor="ada",
        salt="", person="", scope={}, started_at=1,
    )  # fmt: skip
    with kept.home.write() as tx:
        erasures.save(tx, kept.project_id, gone)
    assert audit_verify(kept).records == 9
