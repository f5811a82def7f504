import pytest
from tests.rest import LOCAL_TOKEN, ask, make_app, new_token

from thrive.operations import find_operation, invoke
from thrive.server.sign_in import local_target

FORM = {"content-type": "application/x-www-form-urlencoded"}


@pytest.fixture
def app(home):
    made = make_app(home)
    yield made
    made.close()


def sign_in(app, token=LOCAL_TOKEN, query="", **headers):
    body = f"token={token}".encode()
    return ask(app, "POST", "/sign-in", query=query, token=None, raw=body, headers=FORM | headers)


def cookie(reply):
    return reply.headers["set-cookie"].partition(";")[0]


def page(app, given, path="/"):
    return ask(app, "GET", path, token=None, headers={"cookie": given})


def test_a_page_sends_to_the_form_and_a_token_opens_it(app):
    away = ask(app, "GET", "/models", token=None)
    assert (away.status, away.headers["location"]) == (303, "/sign-in?next=/models")
    assert ask(app, "GET", "/models.json", token=None).status == 401
    assert b"<form" in ask(app, "GET", "/sign-in", query="next=/models", token=None).body
    inside = sign_in(app, query="next=/models")
    assert (inside.status, inside.headers["location"]) == (303, "/models")
    flags = inside.headers["set-cookie"].lower()
    assert "httponly" in flags
    assert "samesite=strict" in flags
    assert LOCAL_TOKEN not in inside.headers["set-cookie"]
    assert page(app, cookie(inside), "/models").status == 200


def test_the_cookie_is_secure_behind_tls(app):
    headers = {"origin": "https://localhost:8000"}
    assert "secure" in sign_in(app, **headers).headers["set-cookie"].lower()


def test_the_cookie_opens_no_api(app):
    given = cookie(sign_in(app))
    reply = ask(app, "GET", "/api/jobs/list", token=None, headers={"cookie": given})
    assert reply.status == 401


def test_a_wrong_token_opens_nothing(app):
    reply = sign_in(app, "wrong")
    assert reply.status == 401
    assert "set-cookie" not in reply.headers
    assert page(app, "thrive_session=guess").status == 303


def test_each_sign_in_is_a_new_session_and_a_sign_out_ends_it(app):
    first, second = cookie(sign_in(app)), cookie(sign_in(app))
    assert first != second
    out = ask(app, "POST", "/sign-out", token=None, headers=FORM | {"cookie": first})
    assert out.status == 303
    assert page(app, first).status == 303
    assert page(app, second).status == 200


def test_a_revoked_token_ends_its_sessions(app, context):
    token = new_token(context, "ana", "auditor")
    given = cookie(sign_in(app, token))
    assert page(app, given).status == 200
    invoke(find_operation("tokens revoke"), context, {"token_id": token.split("_")[1]})
    assert page(app, given).status == 303


@pytest.mark.parametrize(
    "target",
    [
        "//evil.example",
        "https://evil.example",
        "/\\evil",
        "\\\\evil",
        "/a\nb",
        "evil",
        "",
        "/\u2028",
    ],
)
def test_nobody_is_led_away_after_sign_in(target):
    assert local_target(target) == "/"


def test_the_form_quotes_what_it_is_given(app):
    reply = ask(app, "GET", "/sign-in", query="next=/%22%3E%3Cscript%3E", token=None)
    assert b"<script>" not in reply.body
