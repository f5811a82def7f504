"""Sign-in with an identity provider, against a small one that speaks HTTP."""

import base64
import hashlib
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest
from tests.rest import ask, make_app
from tests.rsa import public_key, signed

from thrive.domain.actor import Role
from thrive.domain.errors import UsageError
from thrive.server.provider import name_of, read_grants
from thrive.store import projects


class SmallProvider:
    """Gives out codes for whoever it is told, and checks what a client proves."""

    def __init__(self):
        self.codes, self.claims, self.redeemed = {}, {"email": "ada@example.org"}, []
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.answer(200, provider.documents()[self.path])

            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"])).decode()
                form = {key: values[0] for key, values in parse_qs(body).items()}
                self.answer(*provider.token(form, self.headers.get("authorization", "")))

            def answer(self, status, value):
                content = json.dumps(value).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_):
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def documents(self):
        return {
            "/.well-known/openid-configuration": {
                "issuer": self.url,
                "authorization_endpoint": self.url + "/authorize?tenant=1",
                "token_endpoint": self.url + "/token",
                "jwks_uri": self.url + "/keys",
            },
            "/keys": {"keys": [public_key()]},
        }

    def token(self, form, authorization):
        self.redeemed.append((form, authorization))
        asked = self.codes.pop(form["code"], None)
        proof = hashlib.sha256(form["code_verifier"].encode()).digest()
        challenge = base64.urlsafe_b64encode(proof).rstrip(b"=").decode()
        if asked is None or asked["code_challenge"] != challenge:
            return 400, {"error": "invalid_grant"}
        now = int(time.time())
        claims = {"iss": self.url, "aud": "thrive", "sub": "7", "nonce": asked["nonce"]}
        claims |= {"iat": now, "exp": now + 60, "email_verified": True, **self.claims}
        return 200, {"id_token": signed(claims), "access_token": "a", "token_type": "Bearer"}

    def visit(self, address):
        """Sign in as a person does; return the query with which the browser is sent back."""
        asked = {key: values[0] for key, values in parse_qs(urlsplit(address).query).items()}
        assert asked["response_type"] == "code"
        assert asked["code_challenge_method"] == "S256"
        assert asked["tenant"] == "1"
        code = f"code-{len(self.codes)}-{len(self.redeemed)}"
        self.codes[code] = asked
        return f"code={code}&state={asked['state']}"


@pytest.fixture
def provider(monkeypatch):
    made = SmallProvider()
    monkeypatch.setenv("THRIVE_OIDC_ISSUER", made.url)
    monkeypatch.setenv("THRIVE_OIDC_CLIENT", "thrive")
    monkeypatch.setenv("THRIVE_OIDC_SECRET", "our secret")
    monkeypatch.setenv("THRIVE_OIDC_ROLES", "ml=ml-engineer ml=data-scientist far=second/auditor")
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def app(home, provider):
    made = make_app(home)
    yield made
    made.close()


def get(app, path, query="", cookie="", **headers):
    more = {"cookie": cookie} if cookie else {}
    return ask(app, "GET", path, query=query, token=None, headers=more | headers)


def cookie_of(reply):
    return reply.headers["set-cookie"].partition(";")[0]


def begin(app, provider, query="next=/models"):
    """Go to the provider; return the cookie and the way back."""
    away = get(app, "/sign-in/provider", query)
    assert away.status == 303
    flags = away.headers["set-cookie"].lower()
    assert "httponly" in flags
    assert "samesite=lax" in flags
    return cookie_of(away), provider.visit(away.headers["location"])


def come_back(app, kept, query):
    return get(
        app,
        "/sign-in/callback",
        query,
        kept,
        **{"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"},
    )


def test_whoever_the_provider_names_gets_the_roles_of_its_groups(app, home, provider):
    provider.claims["groups"] = ["ml", "others"]
    assert b"/sign-in/provider?next=/models" in get(app, "/sign-in", "next=/models").body
    kept, query = begin(app, provider)
    inside = come_back(app, kept, query)
    assert inside.status == 200
    assert inside.headers["refresh"] == "0; url=/models"
    form, authorization = provider.redeemed[0]
    assert authorization == "Basic " + base64.b64encode(b"thrive:our%20secret").decode()
    assert form["redirect_uri"] == "http://localhost:8000/sign-in/callback"
    with home.read() as tx:
        (session,) = sessions_of(tx)
    assert session.actor["name"] == "ada@example.org"
    assert sorted(session.actor["roles"]) == ["data-scientist", "ml-engineer"]


def sessions_of(tx):
    from thrive.store.tables.project import sessions

    return tx.execute(sessions.select()).all()


def browser(app, provider, **query):
    """Sign in and return the session's cookie, as a browser keeps it."""
    kept, back = begin(app, provider, **query)
    inside = come_back(app, kept, back)
    assert inside.status == 200
    cookies = inside.headers["set-cookie"].splitlines()
    return next(each for each in cookies if each.startswith("thrive_session=")).partition(";")[0]


def test_the_session_opens_pages_under_that_name_until_it_is_left(app, provider):
    provider.claims["groups"] = "ml"
    session = browser(app, provider)
    page = get(app, "/models", cookie=session)
    assert page.status == 200
    assert b"ada@example.org" in page.body
    assert get(app, "/api/jobs/list", cookie=session).status == 401
    form = {"content-type": "application/x-www-form-urlencoded", "cookie": session}
    ask(app, "POST", "/sign-out", token=None, raw=b"", headers=form)
    assert get(app, "/models", cookie=session).status == 303


def test_rights_are_of_one_project(app, home, provider):
    with home.write() as tx:
        projects.create(tx, "second")
    provider.claims["groups"] = ["far"]
    page = get(app, "/", cookie=browser(app, provider))
    assert b"second" in page.body
    kept, query = begin(app, provider, f"project={home.project.name}")
    assert come_back(app, kept, query).status == 403


@pytest.mark.parametrize("claims", [{}, {"groups": ["others"]}, {"groups": 5}, {"roles": [["ml"]]}])
def test_whoever_has_no_group_stays_outside(app, home, provider, claims):
    provider.claims |= claims
    kept, query = begin(app, provider)
    refused = come_back(app, kept, query)
    assert refused.status == 403
    assert "thrive_session" not in refused.headers.get("set-cookie", "")
    with home.read() as tx:
        assert sessions_of(tx) == []


def test_an_answer_that_this_browser_did_not_ask_for_is_refused(app, provider):
    provider.claims["groups"] = ["ml"]
    kept, query = begin(app, provider)
    others, _ = begin(app, provider)
    assert come_back(app, "", query).status == 403
    assert come_back(app, others, query).status == 403
    assert come_back(app, "thrive_sign_in=broken", query).status == 403
    assert come_back(app, kept, query.replace("state=", "state=x")).status == 403
    assert come_back(app, kept, "error=access_denied&" + query.partition("&")[2]).status == 403
    assert provider.redeemed == []
    assert come_back(app, kept, query).status == 200


def test_a_code_is_taken_once_and_failures_are_counted(app, provider):
    provider.claims["groups"] = ["ml"]
    kept, query = begin(app, provider)
    assert come_back(app, kept, query).status == 200
    statuses = [come_back(app, kept, query).status for _ in range(40)]
    assert statuses[0] == 403
    assert statuses[-1] == 429


def test_a_token_for_another_request_is_refused(app, provider):
    provider.claims |= {"groups": ["ml"], "nonce": "of another"}
    kept, query = begin(app, provider)
    assert come_back(app, kept, query).status == 403


def test_the_page_to_go_on_to_is_one_of_ours(app, provider):
    provider.claims["groups"] = ["ml"]
    kept, query = begin(app, provider, "next=//evil.example.org/")
    assert come_back(app, kept, query).headers["refresh"] == "0; url=/"


def test_behind_a_gateway_the_address_is_the_public_one(home, provider, monkeypatch):
    monkeypatch.setenv("THRIVE_PUBLIC_URL", "https://thrive.example.org/")
    app = make_app(home)
    away = get(app, "/sign-in/provider")
    asked = parse_qs(urlsplit(away.headers["location"]).query)
    assert asked["redirect_uri"] == ["https://thrive.example.org/sign-in/callback"]
    assert "secure" in away.headers["set-cookie"].lower()
    app.close()


def test_without_a_provider_there_is_no_such_page(home):
    app = make_app(home)
    assert get(app, "/sign-in/provider").headers["location"].startswith("/sign-in?")
    app.close()


def test_settings_that_give_nothing_are_refused(home, provider, monkeypatch):
    for wrong in ("", "ml", "ml=king", "=auditor"):
        with pytest.raises(UsageError):
            read_grants(wrong)
    assert read_grants("a=b=auditor")[0].group == "a=b"
    assert read_grants("x=second/serve")[0].role is Role.SERVE
    monkeypatch.setenv("THRIVE_OIDC_ISSUER", "http://issuer.example.org")
    with pytest.raises(UsageError, match="identity provider"):
        make_app(home)


def test_an_unverified_address_is_nobodys_name():
    assert (
        name_of({"sub": "7", "email": "ada@example.org", "email_verified": True})
        == "ada@example.org"
    )
    assert name_of({"sub": "7", "email": "ada@example.org"}) == "oidc:7"
