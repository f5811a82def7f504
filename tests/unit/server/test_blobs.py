"""The door for bytes: parts in order, digests that hold, walls between projects."""

import json
import os
import time

import msgspec
import pytest
from blake3 import blake3
from tests.rest import LOCAL_TOKEN, ask, make_app, new_token
from tests.serving_home import add_version, constant_package, make_home

from thrive.data.operations import add
from thrive.data.reading import find_version
from thrive.domain.actor import local_actor
from thrive.flows.personal_data import grants_give, grants_revoke
from thrive.operations import Context
from thrive.store import projects, references
from thrive.store.snapshots.manifest import read_snapshot
from thrive.store.uploads import KIND, Uploads, forget_expired

BYTES = {"content-type": "application/octet-stream"}


def digest_of(data):
    return blake3(data).hexdigest()


@pytest.fixture
def app(home):
    made = make_app(home)
    yield made
    made.close()


def missing(app, *digests, token=LOCAL_TOKEN):
    reply = ask(app, "POST", "/api/blobs/missing", body={"digests": list(digests)}, token=token)
    assert reply.status == 200, reply.body
    return {each["digest"]: each["received"] for each in reply.json()}


def put(app, name, data, query="", token=LOCAL_TOKEN):
    return ask(app, "PUT", f"/api/blobs/{name}", query=query, raw=data, headers=BYTES, token=token)


def get(app, digest, token=LOCAL_TOKEN, **headers):
    return ask(app, "GET", f"/api/blobs/{digest}", token=token, headers=headers)


def test_parts_make_a_blob_that_can_be_read_whole_and_in_ranges(app, home):
    data = os.urandom(1000)
    name = digest_of(data)
    assert missing(app, name) == {name: 0}
    assert put(app, name, data[:400], "offset=0&size=1000").json()["received"] == 400
    assert missing(app, name) == {name: 400}
    assert put(app, name, data[400:], "offset=400&size=1000").json()["received"] == 1000
    assert missing(app, name) == {}
    assert get(app, name).body == data
    assert get(app, name, range="bytes=400-").body == data[400:]
    assert ask(app, "HEAD", f"/api/blobs/{name}").headers["content-length"] == "1000"
    with home.read() as tx:
        assert references.kinds(tx, home.project_id, [name]) == {name: {KIND}}


def test_a_part_out_of_place_is_refused_and_the_rest_stays(app):
    data = os.urandom(100)
    name = digest_of(data)
    put(app, name, data[:60], "offset=0&size=100")
    again = put(app, name, data[:60], "offset=0&size=100")
    assert (again.status, again.code) == (409, "Conflict")
    assert put(app, name, data[50:], "offset=60&size=100").status == 422
    assert missing(app, name) == {name: 60}
    assert put(app, name, data[60:], "offset=60&size=100").status == 200


def test_bytes_that_are_not_what_they_are_named_are_dropped(app, home):
    name = digest_of(b"true")
    answer = put(app, name, b"fake", "offset=0&size=4")
    assert (answer.status, answer.code) == (500, "Damaged")
    assert missing(app, name) == {name: 0}
    assert not home.blobs.has(name)
    assert get(app, name).status == 404
    assert put(app, name, b"true", "offset=0&size=4").status == 200


def test_an_empty_blob_is_a_blob(app):
    assert put(app, digest_of(b""), b"", "offset=0&size=0").status == 200
    assert get(app, digest_of(b"")).body == b""


def test_small_blobs_go_together(app):
    blobs = [b"a", b"b", b"a"]
    answer = put(app, "small", msgspec.msgpack.encode(blobs))
    assert answer.json() == {"digests": [digest_of(each) for each in blobs]}
    assert missing(app, digest_of(b"a"), digest_of(b"c")) == {digest_of(b"c"): 0}


def test_another_projects_blob_is_neither_seen_nor_spared(app, home):
    home.blobs.put(b"secret")
    name = digest_of(b"secret")
    with home.write() as tx:
        other = projects.create(tx, "other")
        references.add(tx, other.project_id, "artifact", "x", name)
    assert missing(app, name) == {name: 0}
    assert get(app, name).status == 404
    assert put(app, name, b"secret", "offset=0&size=6").status == 200
    assert get(app, name).body == b"secret"


def test_a_blob_that_a_row_names_but_the_store_lost_is_sent_again(app, home):
    name = home.blobs.put(b"lost")
    with home.write() as tx:
        references.add(tx, home.project_id, "artifact", "x", name)
    assert missing(app, name) == {}
    home.blobs.delete(name)
    assert missing(app, name) == {name: 0}


def test_roles_are_kept(tmp_path):
    home = make_home(tmp_path)
    version = add_version(home, constant_package(0.5))
    owner = Context(home, local_actor("owner"))
    serve, auditor = new_token(owner, "host", "serve"), new_token(owner, "eve", "auditor")
    table = home.blobs.put(b"rows of people")
    with home.write() as tx:
        references.add(tx, home.project_id, "dataset_version", "people@1", table)
    app = make_app(home)
    assert get(app, version.package, serve).status == 200
    assert get(app, table, serve).status == 404
    refused = get(app, table, auditor)
    assert (refused.status, refused.code) == (403, "Refused"), "an auditor reads all but rows"
    assert get(app, version.package, auditor).status == 200
    assert get(app, table, new_token(owner, "ada", "data-scientist")).status == 200
    assert put(app, digest_of(b"x"), b"x", "offset=0&size=1", auditor).status == 403
    assert put(app, digest_of(b"x"), b"x", "offset=0&size=1", serve).status == 200
    assert get(app, table, None).status == 401
    app.close()
    home.close()


@pytest.mark.parametrize(
    ("method", "path", "query", "status"),
    [
        ("GET", "/api/blobs/../../thrive.db", "", 404),
        ("GET", "/api/blobs/" + "A" * 64, "", 404),
        ("PUT", "/api/blobs/" + "a" * 64, "", 422),
        ("PUT", "/api/blobs/" + "a" * 64, "offset=-1&size=2", 422),
        ("PUT", "/api/blobs/" + "a" * 64, "offset=0&size=" + "9" * 30, 422),
        ("PUT", "/api/blobs/small", "", 422),
        ("DELETE", "/api/blobs/" + "a" * 64, "", 405),
        ("PUT", "/api/runs/list", "", 405),
        ("GET", "/api/blobs/missing", "", 405),
    ],
)
def test_wrong_requests_have_their_answer(app, method, path, query, status):
    headers = BYTES if method == "PUT" else {}
    answer = ask(app, method, path, query=query, raw=b"\xc1", headers=headers)
    assert answer.status == status, answer.body
    assert set(answer.json()["error"]) == {"code", "what", "hint"}


def test_what_is_asked_for_has_limits(app):
    many = {"digests": ["a" * 64] * 1001}
    assert ask(app, "POST", "/api/blobs/missing", body=many).status == 422
    assert ask(app, "POST", "/api/blobs/missing", body={"digests": ["../x"]}).status == 422
    assert ask(app, "POST", "/api/blobs/missing", body={"digest": []}).status == 422
    assert put(app, "small", json.dumps(["a"]).encode()).status == 422


def test_what_nobody_used_is_forgotten_after_a_day(home, monkeypatch):
    uploads = Uploads(home)
    used, unused, half = (digest_of(each) for each in (b"used", b"unused", b"half"))
    uploads.receive_small([b"used", b"unused"])
    uploads.receive(half, 0, 4, b"ha")
    with home.write() as tx:
        references.add(tx, home.project_id, "artifact", "x", used)
    assert forget_expired(home) == 0
    day = 24 * 3600 + 1
    real = time.time
    monkeypatch.setattr("thrive.store.uploads.time.time", lambda: real() + day)
    monkeypatch.setattr(
        "thrive.store.uploads.machine_now", lambda: round((real() + day) * 1_000_000)
    )
    assert forget_expired(home) == 3
    with home.read() as tx:
        known = references.kinds(tx, home.project_id, [used, unused])
    assert known == {used: {"artifact"}}
    assert uploads.missing([half]) == {half: 0}


def test_files_with_personal_columns_go_only_to_whom_it_was_granted(app, home, tmp_path):
    keeper = Context(home, local_actor("dana"), folder=tmp_path, operation="test")
    (tmp_path / "thrive.toml").write_text(
        'contract = 1\n[data.riders]\nsource = "riders.csv"\npersonal = { rider = "name" }\n'
    )
    (tmp_path / "riders.csv").write_text("rider\nann\n")
    add(keeper, name="riders")
    version = find_version(keeper, "riders")
    (file,) = read_snapshot(home.blobs, version.listed_in).digests
    token = new_token(keeper, "ana", "data-scientist")
    refused = get(app, file.hex(), token=token)
    assert (refused.status, refused.code) == (403, "Refused")
    assert "thrive grants give riders" in refused.json()["error"]["hint"]
    assert get(app, version.listed_in, token=token).status == 200
    given = {"dataset": "riders", "purpose": "audits", "reason": "r", "reader": "ana"}
    asked = ask(app, "POST", "/api/grants/give", body=given, token=token)
    assert (asked.status, asked.code) == (403, "Refused")
    grant = grants_give(keeper, "riders", purpose="audits", reason="a complaint", reader="ana")
    assert get(app, file.hex(), token=token).body == b"rider\nann\n"
    grants_revoke(keeper, grant.grant_id)
    assert get(app, file.hex(), token=token).status == 403
