"""Governance on either database: tampering is found, races count once, holds hold."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import pytest
import sqlalchemy as sa
from tests.contract import nouns
from tests.rest import new_token
from tests.serving_home import (
    CONTRACT,
    MODEL,
    add_version,
    constant_package,
    live,
    route,
    with_model,
)
from tests.verdicts import keep_verdict

from thrive.data.cleaning import gc
from thrive.domain.actor import Actor, Role, local_actor
from thrive.domain.duty import LegalHold
from thrive.domain.errors import Conflict, ContractGap, NotRight, Refused, StoreBusy, ThriveError
from thrive.domain.identifiers import new_id
from thrive.domain.project import TeamContact
from thrive.domain.release import Release
from thrive.flows import promote
from thrive.flows.auditing import audit_seal, audit_verify
from thrive.flows.tokens import tokens_revoke
from thrive.flows.workspace import Workspace
from thrive.governance.document import DocumentKind, make_document, read_document
from thrive.governance.keeping import queue_nightly
from thrive.governance.law import Blocks
from thrive.governance.operations import documents_keep, duties_list
from thrive.governance.records import read_records
from thrive.operations import Context
from thrive.serving.home_plane import routes_of
from thrive.store import audit, datasets, holds, models, projects, releases
from thrive.store.home import Home, made
from thrive.store.pseudonym_keys import pseudonym_key
from thrive.store.rows import insert
from thrive.store.tables.gates import approvals, verdicts
from thrive.store.tables.project import audit as rows
from thrive.store.tables.project import contracts

T = TypeVar("T")
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


def judged(ctx: Context, contract: str = TWO, **changed: Any) -> None:
    """Register and judge a version of a model, by default one that two people must approve."""
    with_model(ctx.home, contract)
    version = add_version(ctx.home, constant_package(), contract=contract, **changed)
    with ctx.home.write() as tx:
        reached = TeamContact(team="desk", channel="mailto:desk@example.org", arrived_at=1)
        projects.add_contact(tx, ctx.project_id, reached)
    keep_verdict(ctx.home, version)


def person(ctx: Context, name: str) -> Context:
    return Context(
        ctx.home, Actor(name=name, roles=frozenset({Role.ML_ENGINEER})), operation="test"
    )


def patiently(act: Callable[[], T]) -> T:
    """Act, again while the store is busy: on a slow machine a turn to write may not come."""
    while True:
        try:
            return act()
        except StoreBusy:
            time.sleep(0.1)


def test_racing_approvals_count_each_person_once_and_one_release_begins(ctx: Context) -> None:
    judged(ctx)
    together = threading.Barrier(4)

    def approve(name: str) -> None:
        together.wait()
        patiently(lambda: promote.approvals_give(person(ctx, name), MODEL, reason="read"))

    def start(_: int) -> Release | ThriveError:
        together.wait()
        try:
            return patiently(
                lambda: promote.start_release(ctx, MODEL, phases=["shadow 1h", "full"])
            )
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


def test_in_a_folder_that_joined_a_team_own_work_counts_as_little_as_on_a_server(
    ctx: Context, tmp_path: Path
) -> None:
    judged(ctx, CONTRACT)
    folder = Workspace(Context(ctx.home, local_actor("ada"), folder=tmp_path))
    folder.approvals.give(f"{MODEL}@1", reason="I trained it")
    if ctx.home.database.is_sqlite:
        begun = folder.releases.start(f"{MODEL}@1", phases=["shadow 1h", "full"])
        assert begun.evidence["own_approval"] is True
        return
    with pytest.raises(Refused, match="0 of 1 approvals"):
        folder.releases.start(f"{MODEL}@1")
    colleague = Workspace(Context(ctx.home, local_actor("ben"), folder=tmp_path))
    colleague.approvals.give(f"{MODEL}@1", reason="read")
    begun = folder.releases.start(f"{MODEL}@1", phases=["shadow 1h", "full"])
    assert (begun.evidence["approvals"], begun.evidence["own_approval"]) == (["ben"], False)
    with pytest.raises(Refused, match="ada may not grant themselves"):
        folder.grants.give("riders", purpose="warn", reason="mine")


def test_hosts_that_need_the_key_of_pseudonyms_at_once_make_one(
    ctx: Context, tmp_path: Path
) -> None:
    hosts = [
        Home(ctx.home.project, ctx.home.database, ctx.home.blobs, made(tmp_path / name))
        for name in ("edge-1", "edge-2", "edge-3")
    ]
    together = threading.Barrier(len(hosts))

    def need(home: Home) -> bytes:
        together.wait()
        return patiently(lambda: pseudonym_key(home, "keeper"))

    with ThreadPoolExecutor(len(hosts)) as pool:
        keys = set(pool.map(need, hosts))
    assert len(keys) == 1
    with ctx.read() as tx:
        rows = audit.entries(tx, ctx.project_id)
    assert [each.operation for each in rows].count("pseudonym key") == 1


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


def said(ctx: Context, what: str) -> set[str | None]:
    """Return what the technical file says of something."""
    file = make_document(read_records(ctx, MODEL), DocumentKind.TECHNICAL_FILE)
    return {fact.value for each in file.sections for fact in each.facts if fact.what == what}


def test_a_record_that_is_deleted_turns_its_sentence_into_missing(ctx: Context) -> None:
    judged(ctx)
    promote.approvals_give(person(ctx, "ana"), MODEL, reason="read")
    assert said(ctx, "Verdict") == {"pass"}
    assert said(ctx, "Who approved") == {"ana"}
    assert said(ctx, "Users") == {"desk board"}
    with ctx.home.write() as tx:
        for table in (verdicts, approvals, contracts):
            tx.execute(sa.delete(table))
    for what in ("Verdict", "Who approved", "Users"):
        assert said(ctx, what) == {None}, what


DATA = """
[data.flights]
source = "flights"
owner = "desk"
why = "Past departures."
personal = { origin = "none" }
legal_basis = "none needed: no personal data"
licence = "CC0-1.0"
retention = "1 day"
"""


def test_data_past_its_retention_is_refused_by_the_transaction_that_promotes(ctx: Context) -> None:
    text = CONTRACT + DATA
    version = nouns.dataset_version()
    judged(ctx, text, training={version.dataset: version.digest})
    with ctx.home.write() as tx:
        datasets.save(tx, ctx.project_id, nouns.dataset())
        datasets.insert_version(tx, ctx.project_id, version, [])
    promote.approvals_give(person(ctx, "ana"), MODEL, reason="read")
    with pytest.raises(ContractGap, match=r"thrive.toml:\d+: flights@1 was to be kept for 1 day"):
        promote.start_release(ctx, MODEL)
    with ctx.read() as tx:
        assert releases.routing_history(tx, ctx.project_id, MODEL) == []


def test_what_is_live_is_recorded_nightly_with_its_data_basis_users_and_end(ctx: Context) -> None:
    text = CONTRACT + DATA
    data = nouns.dataset_version()
    judged(ctx, text, training={data.dataset: data.digest})
    with ctx.home.write() as tx:
        datasets.save(tx, ctx.project_id, nouns.dataset())
        datasets.insert_version(tx, ctx.project_id, data, [])
    assert queue_nightly(ctx) == [], "nothing is live"
    with ctx.read() as tx:
        version = models.get_version(tx, ctx.project_id, MODEL)
    route(ctx.home, live(version))
    (job,) = queue_nightly(ctx)
    assert job.operation == "documents keep"
    (kept,) = documents_keep(ctx)
    record = read_document(ctx.home.blobs.get(kept.digest))
    told = {fact.what: fact.value for each in record.sections for fact in each.facts}
    assert all(each.title.startswith("delay@1: ") for each in record.sections)
    assert told["Recipients"] == "desk board"
    assert told["flights: columns"] == "origin (String)"
    assert told["flights: why it is kept"] == "Past departures."
    assert told["flights: legal basis"] == "none needed: no personal data"
    assert (told["flights: kept for"] or "").startswith("1 day, until 1970-01-02")
    assert queue_nightly(ctx) == [], "a day is not over"


def test_a_model_of_high_risk_whose_answers_are_not_logged_is_not_served(ctx: Context) -> None:
    high = CONTRACT.replace('"minimal"', '"high"').replace("fallback", "log.sample = 0.5\nfallback")
    judged(ctx, high)
    state = next(each for each in duties_list(ctx, MODEL) if each.id == "ai-12-19-26-logs")
    assert (state.blocks, state.owner) == (Blocks.SERVING, "desk")
    assert "only 50% of the answers of delay are logged" in state.what
    assert state.where == f"thrive.toml:{high.split(chr(10)).index('log.sample = 0.5') + 1}"
    with ctx.read() as tx:
        version = models.get_version(tx, ctx.project_id, MODEL)
    route(ctx.home, live(version))
    routes = routes_of(ctx.home)
    with pytest.raises(Refused, match=r"delay is of high risk, and only 50% .* art. 12") as told:
        routes.refuse_unlogged()
    assert "log = { sample = 1.0 } in [model.delay]" in told.value.hint


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
