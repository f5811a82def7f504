"""Every page in a real Chromium, served by `thrive ui`'s own code: wide and narrow, light and dark."""

import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.ui.filled_home import MODEL, FilledHome

from thrive.domain.actor import local_actor
from thrive.operations import Context
from thrive.store.home import create_home

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.full,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium"),
    pytest.mark.timeout(600),
]
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)
SERVER = """
import sys
from pathlib import Path
from thrive.domain.actor import local_actor
from thrive.operations import Context
from thrive.store.home import open_home
from thrive.ui.operations import ui
folder = Path(sys.argv[1])
ui(Context(open_home(folder), local_actor("ana"), folder=folder, operation="ui"), port=0)
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, list[str]]]:
    """The address of a server over a filled home, and the paths of its pages."""
    folder = tmp_path_factory.mktemp("served")
    home = create_home(folder, "flights")
    made = FilledHome(Context(home, local_actor("ana"), folder=folder, operation="test"))
    held = made.hold_release()
    home.close()
    paths = ["/", "/models", "/alerts", "/releases", "/runs", "/data", "/audit", "/nowhere"]
    paths += [f"/models/{MODEL}", f"/alerts/{made.alert_id}", f"/releases/{held}"]
    paths += [f"/runs/{made.run_id}", "/data/flights"]
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(folder)], stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    line = process.stderr.readline()
    try:
        yield line.removeprefix("next: open ").partition("/ (")[0], paths
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0


def run_chromium(folder: Path, url: str, *words: str) -> subprocess.CompletedProcess[str]:
    assert CHROMIUM is not None
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={folder / 'profile'}", *words, url]
    environment = {**os.environ, "HOME": str(folder)}
    return subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=True, env=environment
    )


def size_of(picture: Path) -> tuple[int, int]:
    data = picture.read_bytes()
    assert data.startswith(b"\x89PNG")
    return struct.unpack(">II", data[16:24])


@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize("scheme", [0, 1], ids=["dark", "light"])
def test_every_page_is_drawn(served, tmp_path: Path, width: int, scheme: int) -> None:
    base, paths = served
    pictures: set[bytes] = set()
    for number, path in enumerate(paths):
        picture = tmp_path / f"{number}.png"
        run_chromium(
            tmp_path,
            base + path,
            f"--screenshot={picture}",
            f"--window-size={width},1000",
            f"--blink-settings=preferredColorScheme={scheme}",
        )
        assert size_of(picture) == (width, 1000), path
        pictures.add(picture.read_bytes())
    assert len(pictures) == len(paths)


def test_light_and_dark_differ(served, tmp_path: Path) -> None:
    base, _ = served
    drawn = []
    for scheme in (0, 1):
        picture = tmp_path / f"{scheme}.png"
        run_chromium(
            tmp_path,
            base + "/",
            f"--screenshot={picture}",
            "--window-size=800,600",
            f"--blink-settings=preferredColorScheme={scheme}",
        )
        drawn.append(picture.read_bytes())
    assert drawn[0] != drawn[1]


def test_the_browser_complains_of_nothing_and_asks_no_other_host(served, tmp_path: Path) -> None:
    base, paths = served
    for path in paths:
        log = tmp_path / "net.json"
        answer = run_chromium(
            tmp_path, base + path, "--dump-dom", "--enable-logging=stderr", f"--log-net-log={log}"
        )
        complaints = [line for line in answer.stderr.splitlines() if "CONSOLE" in line]
        expected = ["status of 404"] if path == "/nowhere" else []
        assert [line for line in complaints if not any(e in line for e in expected)] == [], path
        assert "Content Security Policy" not in answer.stderr
        assert f"{base}/static/thrive.css" in _addresses(log), path
        outside = {url for url in _addresses(log) if not url.startswith((base, "data:"))}
        assert outside == set(), path


def _addresses(log: Path) -> set[str]:
    """Return the addresses of the requests that a page made, without their queries."""
    text = log.read_text()
    try:
        events = json.loads(text)["events"]
    except ValueError:  # a browser that was ended leaves the list open
        events = json.loads(text.rstrip().rstrip(",") + "]}")["events"]
    asked = (event.get("params", {}) for event in events)
    return {
        params["url"].partition("?")[0]
        for params in asked
        if isinstance(params, dict)
        and params.get("url", "").startswith(("http", "ws"))
        and params.get("initiator", "") not in {"", "not an origin"}
    }


def test_the_server_answers_json_beside_html(served) -> None:
    base, _ = served
    with urllib.request.urlopen(f"{base}/today.json") as answer:
        assert json.load(answer)["unhealthy"][0]["name"] == MODEL
