"""Erasing on every kind of home: the rows, the answers and the objects of a bucket."""

from pathlib import Path

import pytest
from tests.decoding import decoded, needles
from tests.planted import OTHERS, PERSON, answer, plant_data, tell_outcomes
from tests.rest import new_token

from thrive.data.reading import find_version, scan_version
from thrive.domain.actor import Actor, Role, local_actor
from thrive.domain.errors import Conflict, Refused
from thrive.flows.erasure.consent import approve_erasure
from thrive.flows.erasure.erasing import erase
from thrive.flows.erasure.records import list_erasures
from thrive.flows.tokens import tokens_revoke
from thrive.operations import Context
from thrive.store import audit, personal_text, runs
from thrive.store.blobs import ObjectOptions, open_blobs
from thrive.store.eventlog import SegmentWriter
from thrive.store.home import Home, connect_home
from thrive.store.place import FOLDER
from thrive.store.prediction_frames import predictions_between

WHY = "request 17"


def plant(home: Home, folder: Path) -> Context:
    ctx = Context(home, local_actor("ann"), folder=folder, operation="test")
    plant_data(ctx, folder)
    with SegmentWriter(home.log_folder, 0) as writer:
        ids = [answer(writer, [OTHERS[0], PERSON]), answer(writer, [OTHERS[1]])]
    tell_outcomes(ctx, *ids)
    return ctx


def approved(ctx: Context) -> None:
    """On a team's home nothing is erased on one person's word: have a second one approve it."""
    asked = erase(ctx, PERSON, reason=WHY, yes=True)
    assert (asked.state, asked.exit_code, asked.rows, asked.predictions) == ("asked", 6, 5, 1)
    assert scan_version(find_version(ctx, "orders@2"), ctx.home.blobs).collect().height > 7
    with pytest.raises(Refused, match="ann asked for this erasure: somebody else must"):
        approve_erasure(ctx, asked.erasure_id, reason="read")
    token = new_token(ctx, "eve", "data-engineer").split("_")[1]
    eve, bob = (person(ctx, name) for name in ("eve", "bob"))
    approve_erasure(eve, asked.erasure_id, reason="the request was read")
    with pytest.raises(Conflict, match="eve approved it already"):
        approve_erasure(bob, asked.erasure_id, reason="read")
    tokens_revoke(ctx, token)
    assert erase(ctx, PERSON, reason=WHY, yes=True).state == "asked", "revoked people do not count"
    approve_erasure(bob, asked.erasure_id[:13], reason="the request was read")
    assert erase(ctx, PERSON, reason=WHY).state == "planned"


def person(ctx: Context, name: str) -> Context:
    return Context(ctx.home, Actor(name=name, roles=frozenset({Role.PLATFORM})), operation="test")


def check(ctx: Context) -> None:
    if not ctx.home.database.is_sqlite:
        approved(ctx)
    report = erase(ctx, PERSON, reason=WHY, yes=True)
    assert (report.state, report.left) == ("done", [])
    done = list_erasures(ctx)[0]
    assert done.approved_by == ("" if ctx.home.database.is_sqlite else "bob")
    with pytest.raises(Conflict, match="it waits for nobody"):
        approve_erasure(person(ctx, "eve"), done.erasure_id, reason="late")
    with ctx.read() as tx:
        assert personal_text.places_of(tx, ctx.project_id, PERSON) == []
        assert audit.first_broken(tx, ctx.project_id) is None
    rows = scan_version(find_version(ctx, "orders@2"), ctx.home.blobs).collect()
    assert rows.height == 7
    answered = predictions_between(ctx.home, 0, 1 << 62)["k.customer"].to_list()
    assert sorted(answered) == sorted(OTHERS[:2])


def test_a_person_is_erased_on_either_database(home: Home, tmp_path: Path) -> None:
    ctx = plant(home, tmp_path)
    with ctx.observe("run") as tx:
        assert runs.find(tx, ctx.project_id) == []
    check(ctx)


def holding(home: Home, bucket: str, value: str) -> list[str]:
    """Return the objects of a bucket that hold a value, decoded; no cache answers for it."""
    fresh = open_blobs(bucket, ObjectOptions(endpoint=home.object_endpoint()))
    return [
        digest
        for digest in fresh.digests()
        if any(needle in part for part in decoded(fresh.get(digest)) for needle in needles(value))
    ]


@pytest.mark.full
def test_a_person_is_erased_from_a_bucket(database_url: str, bucket: str, tmp_path: Path) -> None:
    home = connect_home(database_url, bucket, "test", tmp_path / FOLDER, create=True)
    try:
        ctx = plant(home, tmp_path)
        assert holding(home, bucket, PERSON)
        check(ctx)
        assert not holding(home, bucket, PERSON)
        assert holding(home, bucket, OTHERS[0])
    finally:
        home.close()
