import pytest
from tests.rest import LOCAL_TOKEN, ask, make_app, new_token

from thrive.domain.clock import machine_now
from thrive.domain.errors import Conflict, NotFound, UsageError
from thrive.flows.catalogue import load_all
from thrive.operations import find_operation, invoke
from thrive.server.keys import FAILURES
from thrive.store import audit, tokens

READ = "/api/jobs/list"


@pytest.fixture
def app(home):
    made = make_app(home)
    yield made
    made.close()


def call(context, operation, /, **arguments):
    load_all()
    return invoke(find_operation(operation), context, arguments)


def test_a_created_token_opens_its_project_under_its_own_name(app, context):
    token = new_token(context, "ana", "ml-engineer", "auditor")
    assert ask(app, "GET", READ, token=token).status == 200
    refused = ask(app, "GET", "/api/tokens/list", token=token)
    assert "ana may not `tokens list`" in refused.json()["error"]["what"]


def test_the_secret_is_stored_and_audited_nowhere(context, home):
    secret = new_token(context, "ana", "platform").split("_", 2)[2]
    with context.read() as tx:
        row = tokens.every(tx, context.project_id)[0]
        entry = audit.latest(tx, context.project_id)[0]
    assert secret not in str(row)
    assert secret not in str(entry)
    assert entry.detail == {"name": "ana", "roles": ["platform"]}
    assert secret.encode() not in (home.folder / "thrive.db").read_bytes()


def test_a_revoked_token_is_refused_at_the_next_request(app, context):
    token = new_token(context, "ana", "auditor")
    assert ask(app, "GET", READ, token=token).status == 200
    line = call(context, "tokens revoke", token_id=token.split("_")[1])
    assert (line.good, line.name) == (False, "ana")
    assert ask(app, "GET", READ, token=token).status == 401
    assert new_token(context, "ana", "auditor") != token


def test_an_expired_token_is_refused(app, context, monkeypatch):
    token = new_token(context, "ana", "auditor", expires="90 days")
    assert ask(app, "GET", READ, token=token).status == 200
    later = machine_now() + 90 * 86_400_000_000
    monkeypatch.setattr("thrive.flows.tokens.machine_now", lambda: later)
    assert ask(app, "GET", READ, token=token).status == 401


def test_two_people_cannot_share_a_name(context):
    new_token(context, "ana", "auditor")
    with pytest.raises(Conflict, match="'ana' already"):
        new_token(context, "ana", "platform")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"name": "ana", "role": []}, "needs a role"),
        ({"name": "ana", "role": ["king"]}, "king"),
        ({"name": "../ana", "role": ["ci"]}, "cannot name"),
        ({"name": "thrive-controller", "role": ["ci"]}, "Thrive itself"),
        ({"name": "ana", "role": ["ci"], "expires": "soon"}, "not a duration"),
    ],
)
def test_a_wrong_token_is_not_created(context, given, words):
    with pytest.raises(UsageError, match=words):
        call(context, "tokens create", **given)
    assert call(context, "tokens list") == []


def test_a_token_that_is_not_there_cannot_be_revoked(context):
    with pytest.raises(NotFound):
        call(context, "tokens revoke", token_id="0" * 32)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        f"Basic {LOCAL_TOKEN}",
        LOCAL_TOKEN,
        f"Bearer {LOCAL_TOKEN}x",
        "Bearer thrive_x_y",
        f"Bearer thrive_{'0' * 32}_",
        f"Bearer thrive_{'0' * 32}_\xff",
        "Bearer \xff\xfe",
    ],
)
def test_whatever_is_no_token_is_401(app, header):
    reply = ask(app, "GET", READ, token=None, headers={"authorization": header})
    assert (reply.status, reply.headers["www-authenticate"]) == (401, "Bearer")


def test_wrong_tokens_of_an_address_are_slowed_and_good_ones_pass(app, context):
    good = new_token(context, "ana", "auditor")
    fresh = new_token(context, "ben", "auditor")
    assert ask(app, "GET", READ, token=good).status == 200
    answers = [ask(app, "GET", READ, token=f"wrong{n}").status for n in range(FAILURES + 2)]
    assert answers == [401] * FAILURES + [429] * 2
    assert int(ask(app, "GET", READ, token="wrong").headers["retry-after"]) > 0
    assert ask(app, "GET", READ, token=fresh).status == 429
    assert ask(app, "GET", READ, token=fresh, address="10.0.0.9").status == 200
    assert ask(app, "GET", READ, token=good).status == 200
    assert ask(app, "GET", READ).status == 200
