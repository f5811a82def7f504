"""Requests nobody means well with, by the number of their case: 4xx, never 500, nothing done."""

from pathlib import Path
from types import MappingProxyType
from urllib.parse import urlencode

import pytest
from tests.rest import ask, make_app

from thrive.client.wire import is_local, is_post
from thrive.flows.catalogue import load_all
from thrive.operations import Kind
from thrive.store.home import create_home

CALLS = {
    name: operation
    for name, operation in load_all().items()
    if operation.kind is Kind.CALL and any(not is_local(each) for each in operation.parameters)
}
TEXTS = [
    "../../etc/passwd",  # 1
    "%2e%2e%2f%2e%2e%2fetc",  # 2
    "%252e%252e%252fetc",  # 3
    "..\\..\\windows",  # 4
    "C:\\x",
    "/etc/passwd",  # 5
    "//proc/self/root",
    "file:///etc/passwd",  # 6
    "http:///#/../../etc",  # 7
    "x;y=../..",  # 8
    "x?a=../..",  # 9
    "n" * 5000,  # 10
    "CON",
    "x.",
    "\uff0e\uff0e/x",
    "../../x@1",  # 11
    "' OR 1=1; DROP TABLE tokens; --",  # 57
    "%" * 200,  # 59
    "a" * 2000 + "!",  # 60
    "\x1b[31mred",  # 55
    "{{7*7}}",  # 28
    "<img src=x onerror=alert(1)>",  # 49
    "",
]
OWN_FILES = tuple(f".thrive/{name}" for name in ("thrive.db", "blobs", "log", "cache", "tmp"))
JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    folder = tmp_path_factory.mktemp("house")
    home = create_home(folder, "test")
    app = make_app(home)
    yield app, folder
    app.close()
    home.close()


def files(folder: Path) -> set[str]:
    """Return every file but those the home itself brings: its database, blobs, log, cache."""
    found = (str(path.relative_to(folder)) for path in folder.rglob("*"))
    return {name for name in found if not name.startswith(OWN_FILES)}


def send(app, operation, given):
    path = "/api/" + operation.name.replace(" ", "/")
    if is_post(operation):
        return ask(app, "POST", path, body=given)
    return ask(app, "GET", path, query=urlencode(given, doseq=True))


def filled(operation, text):
    given = {}
    for each in operation.parameters:
        if is_local(each):
            continue
        words = str(each.annotation)
        if each.annotation is str or "str" in words:
            given[each.name] = [text] if "list" in words else text
        elif each.required:
            given[each.name] = False if each.annotation is bool else 1
    return given


@pytest.mark.parametrize("name", sorted(CALLS))
def test_no_text_becomes_a_path_or_breaks_the_server(house, name):
    app, folder = house
    before = files(folder)
    for text in TEXTS:
        reply = send(app, CALLS[name], filled(CALLS[name], text))
        assert reply.status < 500, f"{text[:40]!r}: {reply.body[:300]!r}"
        assert b"root:" not in reply.body
    assert files(folder) == before


@pytest.mark.parametrize("name", sorted(CALLS))
def test_no_number_breaks_the_server(house, name):
    """Cases 63 and 64: numbers beyond a database's, pages beyond reason."""
    app, _ = house
    numbers = [each for each in CALLS[name].parameters if each.annotation in {int, float}]
    for parameter in numbers:
        for number in (2**63, -(2**63) - 1, 10**40, 2**63 - 1, -1, 0):
            given = filled(CALLS[name], "x") | {parameter.name: number}
            reply = send(app, CALLS[name], given)
            assert reply.status < 500, f"{parameter.name}={number}: {reply.body[:300]!r}"
            whole = parameter.annotation is int
            if (whole and abs(number) >= 2**63) or (parameter.name == "limit" and number != 1):
                assert reply.status == 422


def post(app, raw, **headers):
    return ask(app, "POST", "/api/jobs/cancel", raw=raw, headers=JSON | headers)


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"[" * 100_000, 422),
        (b'{"job_id":' + b"[" * 100_000 + b"]" * 100_000 + b"}", 422),
        (b'{"x":' + b'{"x":' * 100_000 + b"1" + b"}" * 100_001, 422),
        (b'{"job_id":1e400}', 422),
        (b'{"job_id":NaN}', 400),
        (b'{"job_id":"a","job_id":"b"}', 400),
        (b'{"job_id":"a\\u0000b"}', 422),
        (b'{"job_id":"\\ud800"}', 400),
        (b'{"job_id":"\xff"}', 400),
        (b'{"job_id":"a"} {"job_id":"b"}', 400),
        (b"\xef\xbb\xbf{}", 400),
        (b"null", 422),
        (b'"text"', 422),
        (b"\x00" * 1000, 400),
    ],
)
def test_case_63_bodies_that_are_no_honest_json(house, raw, status):
    reply = post(house[0], raw)
    assert (reply.status, reply.code) == (status, "UsageError")


@pytest.mark.parametrize(
    "kind",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "",
        "json",
    ],
)
def test_case_42_only_json_is_read(house, kind):
    reply = ask(
        house[0], "POST", "/api/jobs/cancel", raw=b'{"job_id":"a"}', headers={"content-type": kind}
    )
    assert reply.status == 415


def test_case_67_a_compressed_body_is_not_unpacked(house):
    assert post(house[0], b"x", **{"content-encoding": "gzip"}).status == 415


def test_case_61_a_large_body_is_stopped_declared_or_not(house):
    app = house[0]
    assert post(app, b"{}", **{"content-length": str(10 << 30)}).status == 413
    assert post(app, b" " * ((16 << 20) + 1)).status == 413
    assert post(app, b"{}", **{"content-length": "-1"}).status == 400
    assert post(app, b"{}", **{"content-length": "1e3"}).status == 400


def test_a_slow_body_is_not_awaited_for_ever(house, monkeypatch):
    import asyncio

    from thrive.server import bodies

    monkeypatch.setattr(bodies, "BODY_SECONDS", 0.05)

    class Slow:
        scope = MappingProxyType({})

        async def stream(self):
            yield b"{"
            await asyncio.sleep(5)
            yield b"}"

    with pytest.raises(bodies.Problem) as slow:
        asyncio.run(bodies.read_body(Slow()))
    assert slow.value.status == 408


def test_a_long_url_and_long_headers_are_refused(house):
    app = house[0]
    assert ask(app, "GET", "/api/jobs/list", query="after=" + "a" * 9000).status == 414
    assert ask(app, "GET", "/" + "a" * 9000).status == 414
    assert ask(app, "GET", "/api/jobs/list", headers={"x": "a" * 40_000}).status == 431
    assert ask(app, "GET", "/api/jobs/list", query="a=1&" * 1000).status == 400


@pytest.mark.parametrize(
    "query", ["after=%ff", "after=%00", "limit=nan", "limit=1e9", "limit=%31%00"]
)
def test_queries_that_are_no_text_are_told(house, query):
    assert ask(house[0], "GET", "/api/jobs/list", query=query).status in {400, 422}


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8000", "localhost.evil.example", ""]
)
@pytest.mark.parametrize(
    "path", ["/", "/api/jobs/list", "/metrics", "/sign-in", "/static/thrive.css"]
)
def test_case_39_a_foreign_host_name_is_refused(house, host, path):
    reply = ask(house[0], "GET", path, headers={"host": host})
    assert (reply.status, reply.code) == (403, "Refused")


ORIGINS = [
    "null",
    "http://evil.example",
    "http://localhost:8001",
    "http://localhost",
    "https://localhost:80000",
    "http://localhost:8000.evil.example",
    "file://",
    "",
]


@pytest.mark.parametrize("origin", ORIGINS)
@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/api/jobs/cancel"), ("GET", "/api/jobs/list"), ("GET", "/"), ("POST", "/sign-in")],
)
def test_case_40_a_foreign_origin_is_refused(house, origin, method, path):
    form = {"content-type": "application/x-www-form-urlencoded"} if path == "/sign-in" else {}
    reply = ask(house[0], method, path, raw=b"", headers={"origin": origin} | form)
    assert (reply.status, reply.code) == (403, "Refused")
    assert "set-cookie" not in reply.headers
    assert "access-control-allow-origin" not in reply.headers


def test_our_own_origin_passes(house):
    headers = {"origin": "http://localhost:8000", "sec-fetch-site": "same-origin"}
    assert ask(house[0], "GET", "/api/jobs/list", headers=headers).status == 200


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_script_of_another_site_is_refused_and_a_link_leads_in(house, site):
    app = house[0]
    script = {"sec-fetch-site": site, "sec-fetch-mode": "no-cors"}
    link = {"sec-fetch-site": site, "sec-fetch-mode": "navigate"}
    assert ask(app, "GET", "/", headers=script).status == 403
    assert ask(app, "GET", "/api/jobs/list", headers=link).status == 403
    assert ask(app, "POST", "/api/jobs/cancel", body={"job_id": "a"}, headers=link).status == 403
    assert ask(app, "GET", "/", headers=link).status == 200


def test_case_45_no_page_can_be_framed(house):
    reply = ask(house[0], "GET", "/")
    assert reply.headers["x-frame-options"] == "DENY"
    assert "frame-ancestors 'none'" in reply.headers["content-security-policy"]


def test_case_65_a_forged_page_key_shows_nothing_more(house):
    for key in ("'; DROP TABLE jobs; --", "0" * 32, "zzz", "\U0001f600"):
        assert send(house[0], CALLS["jobs list"], {"after": key}).json()["items"] == []
