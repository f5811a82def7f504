"""The audit chain against somebody with the database file in their hands."""

from pathlib import Path

import msgspec
import pytest
import sqlalchemy as sa

from thrive.domain.clock import format_time
from thrive.domain.errors import NotRight, UsageError
from thrive.domain.project import AuditEntry
from thrive.flows.auditing import audit_export, audit_list, audit_seal, audit_verify, seal_daily
from thrive.store import audit, oversight
from thrive.store.tables.governance import audit_seals
from thrive.store.tables.project import audit as rows
from thrive.store.tables.project import audit_heads


@pytest.fixture
def chain(context):
    for number in range(6):
        with context.write(f"model:m{number}", share=number / 3, reason=f"nr {number}"):
            pass
    return context


def tamper(context, *statements):
    with context.home.write() as tx:
        for statement in statements:
            tx.execute(statement)


def swap(context, first, second):
    aside, at = 1000, rows.c.seq
    moves = ((first, aside), (second, first), (aside, second))
    tamper(context, *(sa.update(rows).where(at == a).values(seq=b) for a, b in moves))


@pytest.mark.parametrize(
    ("attack", "seq"),
    [
        (lambda c: tamper(c, sa.update(rows).where(rows.c.seq == 3).values(actor="nobody")), 3),
        (lambda c: tamper(c, sa.update(rows).where(rows.c.seq == 4).values(detail={"x": 1})), 4),
        (lambda c: tamper(c, sa.update(rows).where(rows.c.seq == 2).values(at=1)), 2),
        (lambda c: tamper(c, sa.delete(rows).where(rows.c.seq == 3)), 4),
        (lambda c: tamper(c, sa.delete(rows).where(rows.c.seq == 1)), 2),
        (lambda c: tamper(c, sa.delete(rows).where(rows.c.seq == 6)), 6),
        (lambda c: swap(c, 2, 5), 2),
    ],
    ids=["actor", "detail", "time", "deleted", "first deleted", "last deleted", "reordered"],
)
def test_an_edit_a_deletion_and_another_order_are_found(chain, attack, seq):
    assert audit_verify(chain).entries == 6
    attack(chain)
    with pytest.raises(NotRight, match=f"at entry {seq}"):
        audit_verify(chain)
    with pytest.raises(NotRight):
        audit_seal(chain)


def rewritten(context, upto):
    """Write the chain anew, shorter, with digests that hold: what a thorough forger would do."""
    with context.home.write() as tx:
        kept = audit.entries(tx, context.project_id)[:upto]
        tx.execute(sa.delete(rows))
        previous = audit.GENESIS
        for entry in kept:
            forged = msgspec.structs.replace(entry, actor="nobody", previous=previous)
            forged = msgspec.structs.replace(forged, digest=audit.link_digest(forged))
            tx.execute(
                sa.insert(rows).values(project_id=context.project_id, **msgspec.to_builtins(forged))
            )
            previous = forged.digest
        tx.execute(sa.update(audit_heads).values(seq=upto, digest=previous))


@pytest.mark.parametrize("upto", [6, 3])
def test_a_chain_written_anew_is_found_by_its_signed_head(chain, upto):
    seal = audit_seal(chain)
    assert (seal.seq, audit_verify(chain).seals) == (6, 1)
    rewritten(chain, upto)
    with chain.read() as tx:
        assert audit.first_broken(tx, chain.project_id) is None
    with pytest.raises(NotRight, match="written anew"):
        audit_verify(chain)


@pytest.mark.parametrize("upto", [6, 3])
def test_a_signed_head_that_left_the_database_is_still_in_the_home(chain, upto):
    audit_seal(chain)
    rewritten(chain, upto)
    tamper(chain, sa.delete(audit_seals))
    with pytest.raises(NotRight, match="written anew"):
        audit_verify(chain)


def test_a_head_that_was_removed_is_told(chain):
    tamper(chain, sa.delete(audit_heads))
    with pytest.raises(NotRight, match="was removed"):
        audit_verify(chain)
    with pytest.raises(NotRight, match="was removed"), chain.write("model:more"):
        pass


def test_a_signature_that_was_changed_does_not_hold(chain):
    seal = audit_seal(chain)
    tamper(chain, sa.update(audit_seals).values(at=seal.at + 1))
    with pytest.raises(NotRight, match="signature"):
        audit_verify(chain)


def test_the_head_is_signed_once_a_day_and_only_if_something_was_added(chain, monkeypatch):
    assert len(seal_daily(chain)) == 1
    assert seal_daily(chain) == []
    tamper(chain, sa.update(audit_seals).values(at=1))
    assert seal_daily(chain) == []
    with chain.write("model:more"):
        pass
    assert seal_daily(chain)[0].seq == 7
    with chain.read() as tx:
        assert [each.seq for each in oversight.find_seals(tx, chain.project_id)] == [7, 6]


def test_an_exported_chain_is_verified_without_the_project(chain, tmp_path):
    audit_seal(chain)
    done = audit_export(chain, to=Path("out.jsonl"))
    path = tmp_path / "out.jsonl"
    assert audit_verify(chain, file=Path("out.jsonl")) == audit_verify(chain)
    lines = path.read_bytes().splitlines()
    assert len(lines) == done.entries + 1 == 7
    entry = msgspec.json.decode(lines[3], type=AuditEntry)
    forged = msgspec.json.encode(msgspec.structs.replace(entry, subject="model:x"), order="sorted")
    for broken in (
        [*lines[:3], forged, *lines[4:]],
        [*lines[:3], *lines[4:]],
        [lines[0], lines[2], lines[1], *lines[3:]],
        lines[:-1],
        [b"no JSON"],
    ):
        path.write_bytes(b"\n".join(broken))
        with pytest.raises(NotRight):
            audit_verify(chain, file=Path("out.jsonl"))


def test_the_newest_entries_are_listed_first_page_by_page_and_by_whom(chain):
    with chain.acting(msgspec.structs.replace(chain.actor, name="eva"), "stop").write("model:m9"):
        pass
    first = audit_list(chain, limit=3)
    assert [each.seq for each in first.items] == [7, 6, 5]
    second = audit_list(chain, limit=3, after=first.next)
    assert [each.seq for each in second.items] == [4, 3, 2]
    assert audit_list(chain, limit=3, after=second.next).next is None
    assert [each.seq for each in audit_list(chain, oldest=True, after="5").items] == [6, 7]
    assert [each.subject for each in audit_list(chain, actor="eva").items] == ["model:m9"]
    assert [each.seq for each in audit_list(chain, subject="model:m2").items] == [3]
    since = format_time(first.items[-1].at)
    assert {5, 6, 7} <= {each.seq for each in audit_list(chain, since=since).items}
    assert audit_list(chain, since="2100-01-01").items == []
    with pytest.raises(UsageError, match="no seq"):
        audit_list(chain, after="-1")
