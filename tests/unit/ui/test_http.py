"""Pages over HTTP: every address, escaping, headers, hosts, errors."""

import json
from html.parser import HTMLParser

import pytest
from tests.unit.ui.addresses import every_page, ids_of
from tests.unit.ui.browser import ask
from tests.unit.ui.filled_home import EVIL, FilledHome

from thrive.domain.errors import InfrastructureError, Refused, UsageError
from thrive.operations import Context
from thrive.ui.app import pages_app
from thrive.ui.guard import host_name
from thrive.ui.operations import ui
from thrive.ui.pages import today

SECRET = "only this browser knows it"
SIGNED_IN = {"cookie": f"thrive_ui_8200={SECRET.replace(' ', '%20')}"}
VOID = {"meta", "link", "br", "img", "input", "hr"}


class Reader(HTMLParser):
    """Collects tags, attributes and ids; notices tags that are not closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag) -> None:
        assert self.open.pop() == tag

    def all(self, name: str) -> list[str]:
        return [
            value or "" for _, attrs in self.tags for key, value in attrs.items() if key == name
        ]


def addresses(filled: FilledHome) -> list[str]:
    return every_page(ids_of(filled, filled.held, filled.other_run_id))


@pytest.fixture(scope="module")
def app(filled: FilledHome):
    return pages_app(filled.context, SECRET)


def test_every_page_is_well_formed_and_safe(app, filled: FilledHome) -> None:
    for path in addresses(filled):
        answer = ask(app, path)
        assert answer.status == 200, path
        reader = Reader(answer.text)
        tags = {tag for tag, _ in reader.tags}
        assert not tags & {"iframe", "object", "base", "style"}, path
        scripts = [attrs for tag, attrs in reader.tags if tag == "script"]
        assert all((each["src"] or "").startswith("/static/app.js?v=") for each in scripts), path
        forms = [attrs for tag, attrs in reader.tags if tag == "form"]
        assert all((each["action"] or "").startswith("/") for each in forms), path
        assert reader.all("style") == [], path
        assert not [key for _, attrs in reader.tags for key in attrs if key.startswith("on")], path
        outside = [
            value
            for value in (*reader.all("href"), *reader.all("src"))
            if not value.startswith(("/", "#", "?", "data:image/svg+xml,"))
        ]
        assert outside == [], path
        ids = reader.all("id")
        assert len(ids) == len(set(ids)), path
        assert len([tag for tag, _ in reader.tags if tag == "h1"]) == 1, path


def test_names_that_would_run_are_shown_as_text(app, filled: FilledHome) -> None:
    shown = 0
    for path in addresses(filled):
        text = ask(app, path).text
        assert EVIL not in text, path
        shown += text.count("&lt;img src=x onerror=alert(1)&gt;")
    assert shown > 15


def test_every_page_is_also_json(app, filled: FilledHome) -> None:
    for path in addresses(filled):
        bare, mark, query = path.partition("?")
        target = "/today.json" if path == "/" else f"{bare}.json{mark}{query}"
        answer = ask(app, target)
        assert answer.status == 200, target
        assert answer.headers["content-type"] == "application/json"
        assert json.loads(answer.text)["now"]
    page = today.load(filled.context)
    assert json.loads(ask(app, "/today.json").text)["decide"][0]["link"] == page.decide[0].link


def test_every_link_of_every_page_leads_somewhere(app, filled: FilledHome) -> None:
    seen: set[str] = set()
    waiting = addresses(filled)
    while waiting:
        target = waiting.pop()
        path, _, anchor = target.partition("#")
        path = path.replace("&amp;", "&")
        if path in seen or path.startswith("/runs?"):  # the table's links are endless
            continue
        seen.add(path)
        answer = ask(app, path)
        assert answer.status == 200, target
        if answer.headers["content-type"].startswith("text/html"):
            for link in Reader(answer.text).all("href"):
                absolute = path.partition("?")[0] + link if link.startswith("?") else link
                if absolute.startswith(("/artifacts/", "/series/")):
                    continue  # the filled home holds no bytes of them
                if absolute.startswith("/"):
                    waiting.append(absolute)
        assert not anchor or f'id="{anchor}"' in answer.text, target
    assert len(seen) > 30


def test_every_answer_carries_the_security_headers(app) -> None:
    for target in ("/", "/today.json", "/nothing", "/static/thrive.css"):
        headers = ask(app, target).headers
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; style-src 'self'; img-src 'self' data:")
        assert "script-src 'self';" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"
    assert ask(app, "/").headers["cache-control"] == "no-store"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:8200", "[::1]:8200", "LOCALHOST"])
def test_the_machines_own_names_are_answered(app, host: str) -> None:
    assert ask(app, "/", headers={"host": host}).status == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "10.0.0.7:8200", "", "[::2]", "localhost."]
)
def test_other_names_are_not(app, host: str) -> None:
    answer = ask(app, "/", headers={"host": host})
    assert answer.status == 421
    assert "flights" not in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_host_names_lose_port_and_brackets() -> None:
    assert host_name("[::1]:8200") == "::1"
    assert host_name("LocalHost:1") == "localhost"


def test_pages_are_only_read(app) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        answer = ask(app, "/", method=method)
        assert answer.status == 405
        assert "This is only read." in answer.text
    assert ask(app, "/", method="HEAD").status == 200


def test_errors_are_pages_that_say_what_to_type(app) -> None:
    lost = ask(app, "/models/nothing")
    assert lost.status == 404
    assert "There is no model &#39;nothing&#39;." in lost.text
    assert "thrive models list" in lost.text
    assert ask(app, "/nowhere").status == 404
    wrong = ask(app, "/alerts?state=bad")
    assert wrong.status == 400
    told = json.loads(ask(app, "/models/nothing.json").text)
    assert told["error"] == "NotFound"
    assert told["next"] == "thrive models list"
    assert ask(app, "/static/../app.py").status == 404


def test_a_failure_shows_no_traceback(app, monkeypatch) -> None:
    def broken(*_words, **_named):
        raise RuntimeError("the secret reason")

    async def logging_server(scope, receive, send) -> None:
        with pytest.raises(RuntimeError):  # it reaches the server's log once the page is sent
            await app(scope, receive, send)

    monkeypatch.setattr(today, "load", broken)
    answer = ask(logging_server, "/")
    assert answer.status == 500
    assert "secret" not in answer.text
    assert "thrive doctor" in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_an_empty_project_shows_the_commands_that_fill_it(context: Context) -> None:
    app = pages_app(context)
    for path, command in (
        ("/", "thrive run train.py"),
        ("/models", "thrive run train.py"),
        ("/alerts", "thrive tick"),
        ("/releases", "thrive releases start MODEL@VERSION"),
        ("/runs", "thrive run train.py"),
        ("/data", "thrive data add"),
        ("/audit", "thrive data add"),
    ):
        answer = ask(app, path)
        assert answer.status == 200
        assert command in answer.text, path
        Reader(answer.text)


def test_ui_serves_only_this_machine(context: Context) -> None:
    for host in ("0.0.0.0", "192.168.1.4", "example.org", ""):
        with pytest.raises(Refused):
            ui(context, host=host)
    with pytest.raises(UsageError, match="no port"):
        ui(context, port=70000)


def test_a_taken_port_is_told(context: Context) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(InfrastructureError, match="cannot be used"):
            ui(context, port=taken.getsockname()[1])
