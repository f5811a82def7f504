"""Sign-in against two identity providers that others wrote: one of them is certified."""

import http.client
import json
import re
import shutil
import socket
import subprocess
import sys
import time
from html import unescape
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit

import pytest
from tests.rest import make_app, running

pytestmark = pytest.mark.full

CACHE = Path("~/.cache/thrive-bench").expanduser()
MOCK = "oidc-provider-mock==0.3.4"
CERTIFIED = "oidc-provider@9.13.3"
ADA = {"sub": "7", "email": "ada@example.org", "email_verified": True, "groups": ["ml"]}


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


class Browser:
    """Follows redirects, fills forms, and keeps cookies by host and port."""

    def __init__(self):
        self.jar: dict[str, dict[str, str]] = {}

    def ask(self, method, address, form=None):
        """Return the address arrived at, its status, its headers and its page."""
        for _ in range(20):
            parts = urlsplit(address)
            cookies = self.jar.setdefault(parts.netloc, {})
            headers = {"Cookie": "; ".join(f"{k}={v}" for k, v in cookies.items())}
            body = None
            if form is not None:
                body = urlencode(form)
                headers["Content-Type"] = "application/x-www-form-urlencoded"
            line = http.client.HTTPConnection(parts.netloc, timeout=30)
            target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            line.request(method, target, body, headers)
            answer = line.getresponse()
            page = answer.read().decode()
            for name, value in answer.getheaders():
                if name.lower() == "set-cookie":
                    key, _, kept = value.partition(";")[0].partition("=")
                    cookies[key] = kept
            line.close()
            if answer.status not in {302, 303, 307}:
                return address, answer.status, answer, page
            address, method, form = urljoin(address, answer.headers["location"]), "GET", None
        raise AssertionError("it leads on without end")

    def submit(self, address, page, **typed):
        """Send the first form of a page with what is typed in it."""
        found = re.search(r"<form[^>]*>", page)
        assert found, page
        action = re.search(r'action="([^"]*)"', found[0])
        hidden = re.findall(r'<input[^>]*type="hidden"[^>]*>', page)
        form = {
            re.search(r'name="([^"]*)"', each)[1]: re.search(r'value="([^"]*)"', each)[1]
            for each in hidden
        }
        place = urljoin(address, unescape(action[1]) if action else address)
        return self.ask("POST", place, form | typed)


def wait_for(process, address, output):
    until = time.monotonic() + 60
    while time.monotonic() < until:
        assert process.poll() is None, output.read_text()
        parts = urlsplit(address)
        try:
            socket.create_connection((parts.hostname, parts.port), 1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError(output.read_text())


def started(command, issuer, folder):
    output = folder / "provider.log"
    with output.open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
    wait_for(process, issuer, output)
    return process


@pytest.fixture
def mock(tmp_path):
    place = CACHE / MOCK.replace("==", "-")
    if not (place / "bin/oidc-provider-mock").exists():
        subprocess.run([sys.executable, "-m", "venv", place], check=True)
        subprocess.run([place / "bin/pip", "install", "-q", MOCK], check=True)
    port = free_port()
    issuer = f"http://127.0.0.1:{port}"
    command = [place / "bin/oidc-provider-mock", "--port", str(port), "--require-nonce", "true"]
    people = [{"sub": "8", "groups": ["others"]}, ADA]
    claims = [word for each in people for word in ("--user-claims", json.dumps(each))]
    process = started([*command, *claims], issuer, tmp_path)
    yield issuer
    process.terminate()
    process.wait()


@pytest.fixture
def certified(tmp_path):
    npm = shutil.which("npm")
    assert npm, "the certified provider runs on Node"
    place = CACHE / CERTIFIED.replace("@", "-")
    if not (place / "node_modules/oidc-provider").exists():
        place.mkdir(parents=True, exist_ok=True)
        (place / "package.json").write_text("{}")
        words = ["--ignore-scripts", "--no-audit", "--no-fund", CERTIFIED]
        subprocess.run([npm, "install", *words], cwd=place, check=True)
    (tmp_path / "node_modules").symlink_to(place / "node_modules")
    shutil.copy(Path(__file__).with_name("oidc-provider.mjs"), tmp_path)
    processes = []

    def start(redirect):
        issuer = f"http://127.0.0.1:{free_port()}"
        command = ["node", "oidc-provider.mjs", issuer, redirect]
        processes.append(started(command, issuer, tmp_path))
        return issuer

    yield start
    for process in processes:
        process.terminate()
        process.wait()


def settings(monkeypatch, issuer):
    monkeypatch.setenv("THRIVE_OIDC_ISSUER", issuer)
    monkeypatch.setenv("THRIVE_OIDC_CLIENT", "thrive")
    monkeypatch.setenv("THRIVE_OIDC_SECRET", "our secret, of the test")
    monkeypatch.setenv("THRIVE_OIDC_ROLES", "ml=ml-engineer")


def arrives(browser, url, landed):
    """Check that the browser came back to us, and that the session opens pages."""
    address, status, answer, page = landed
    assert status == 200, page
    assert urlsplit(address).path == "/sign-in/callback"
    assert answer.headers["refresh"] == "0; url=/models"
    _, status, _, page = browser.ask("GET", url + "/models")
    assert status == 200
    assert "ada@example.org" in page


def test_the_mock_of_pypi(home, mock, monkeypatch):
    settings(monkeypatch, mock)
    with running(make_app(home)) as url:
        browser = Browser()
        place, status, _, page = browser.ask("GET", url + "/sign-in/provider?next=/models")
        assert status == 200, page
        arrives(browser, url, browser.ask("POST", place, {"sub": "7"}))
        other = Browser()
        place, *_ = other.ask("GET", url + "/sign-in/provider")
        _, status, _, page = other.ask("POST", place, {"sub": "8"})
        assert status == 403
        assert "None of your groups" in page
        denied = Browser()
        place, *_ = denied.ask("GET", url + "/sign-in/provider")
        _, status, _, page = denied.ask("POST", place, {"action": "deny"})
        assert status == 403


def test_the_certified_provider_of_npm(home, certified, monkeypatch, tmp_path):
    port = free_port()
    issuer = certified(f"http://127.0.0.1:{port}/sign-in/callback")
    settings(monkeypatch, issuer)
    monkeypatch.setattr("tests.rest.bind", lambda host, _: bind_to(host, port))
    with running(make_app(home)) as url:
        browser = Browser()
        place, status, _, page = browser.ask("GET", url + "/sign-in/provider?next=/models")
        assert status == 200, page
        place, status, _, page = browser.submit(place, page, login="ada", password="x")
        assert status == 200, page
        arrives(browser, url, browser.submit(place, page))
        stolen = dict(parse_qsl(urlsplit(browser_way(url)).query))
        assert len(stolen["code_challenge"]) == 43
        assert stolen["code_challenge_method"] == "S256"


def browser_way(url):
    """Return the address that a fresh browser is sent to."""
    parts = urlsplit(url)
    line = http.client.HTTPConnection(parts.netloc, timeout=30)
    line.request("GET", "/sign-in/provider")
    return line.getresponse().headers["location"]


def bind_to(host, port):
    from thrive.server.process import bind

    return bind(host, port)
