"""A verdict that anybody changed lets nothing through, on either database: it is checked inside the
transaction that would move the traffic."""

from collections.abc import Callable

import msgspec
import pytest
import sqlalchemy as sa
from tests.serving_home import CONTRACT, MODEL, add_version, constant_package, with_model
from tests.verdicts import SECRET, keep_verdict

from thrive.domain.actor import local_actor
from thrive.domain.errors import Refused
from thrive.domain.gate import Answer, Verdict
from thrive.domain.model import ModelVersion
from thrive.domain.project import TeamContact
from thrive.domain.release import ReleaseState
from thrive.flows import promote
from thrive.gates.operations import verify_verdict
from thrive.gates.verdict import signed
from thrive.operations import Context
from thrive.store import gates, projects, releases
from thrive.store.home import Home
from thrive.store.tables.gates import verdicts

STRANGER = b"s" * 32
SHOWN = [{"check": "quality", "group": "quality", "answer": "pass", "summary": "Better by far."}]


@pytest.fixture
def ctx(home: Home) -> Context:
    with_model(home, CONTRACT)
    with home.write() as tx:
        reached = TeamContact(team="desk", channel="mailto:desk@example.org", arrived_at=1)
        projects.add_contact(tx, home.project_id, reached)
    return Context(home, local_actor("grace"), operation="test")


def approved(ctx: Context) -> ModelVersion:
    version = add_version(ctx.home, constant_package(), contract=CONTRACT)
    promote.approvals_give(ctx, MODEL, reason="read")
    return version


def change(ctx: Context, found: Verdict, **columns: object) -> None:
    with ctx.home.write() as tx:
        its = verdicts.c.verdict_id == found.verdict_id
        assert tx.execute(sa.update(verdicts).where(its).values(**columns)).rowcount == 1


def resigned(ctx: Context, found: Verdict, **changes: object) -> None:
    """Let a stranger sign what they made of a verdict."""
    made = signed(msgspec.structs.replace(found, **changes), STRANGER)
    said = {name: getattr(made, name) for name in (*changes, "signature", "signed_by")}
    change(ctx, found, **{name: getattr(value, "value", value) for name, value in said.items()})


ATTACKS: dict[str, tuple[Answer, Callable[[Context, Verdict], None], str]] = {
    "another answer": (
        Answer.FAIL,
        lambda ctx, found: change(ctx, found, answer="pass"),
        "the signature is not of this verdict",
    ),
    "other words than were signed": (
        Answer.PASS,
        lambda ctx, found: change(ctx, found, results=SHOWN),
        "the results differ from those of the record",
    ),
    "another record": (
        Answer.PASS,
        lambda ctx, found: change(ctx, found, record=ctx.home.blobs.put(b"{}")),
        "the signature is not of this verdict",
    ),
    "other measurements": (
        Answer.PASS,
        lambda ctx, found: change(ctx, found, measured=ctx.home.blobs.put(b"{}")),
        "the signature is not of this verdict",
    ),
    "no signature": (
        Answer.PASS,
        lambda ctx, found: change(ctx, found, signature=""),
        "is not signed",
    ),
    "an answer that a stranger signed": (
        Answer.FAIL,
        lambda ctx, found: resigned(ctx, found, answer=Answer.PASS),
        "does not follow from the checks",
    ),
    "a record that is gone": (
        Answer.PASS,
        lambda ctx, found: resigned(ctx, found, record="ab" * 32),
        "abab",
    ),
}


def test_a_changed_verdict_moves_no_traffic(ctx: Context) -> None:
    version = approved(ctx)
    for attack, (answer, made, words) in ATTACKS.items():
        made(ctx, keep_verdict(ctx.home, version, answer))
        with pytest.raises(Refused, match=words):
            promote.start_release(ctx, MODEL, phases=["full"])
        with ctx.read() as tx:
            assert releases.current_routing(tx, ctx.project_id, MODEL) is None, attack
            assert releases.find(tx, ctx.project_id) == [], attack


def test_a_verdict_that_nobody_changed_lets_its_version_through(
    ctx: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = keep_verdict(ctx.home, approved(ctx))
    monkeypatch.setenv("THRIVE_GATE_KEYS", "ab" * 32)
    with pytest.raises(Refused, match="no trusted key"):
        promote.start_release(ctx, MODEL, phases=["full"])
    monkeypatch.setenv("THRIVE_GATE_KEYS", f"{'ab' * 32} {found.signed_by}")
    assert verify_verdict(ctx, found.verdict_id).holds
    with ctx.read() as tx:
        assert gates.get_verdict(tx, ctx.project_id, found.verdict_id) == found
    assert signed(found, SECRET) == found
    release = promote.start_release(ctx, MODEL, phases=["full"])
    assert release.state is ReleaseState.DONE
