"""`make demo` as a newcomer runs it, with a home of one folder and with a team's home."""

import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.full.walking import CHROMIUM, SIZES, chromium_browser, pages_of_demo, project_pages, walk
from tests.servers import free_ports

pytestmark = [pytest.mark.full, pytest.mark.timeout(1500)]

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "examples/flights/demo.py"
CHAPTERS = (
    "an alert (performance)",
    "Judge version 2",
    "an alert (data_quality)",
    "Where it stands",
)


@pytest.mark.parametrize("home", ["embedded", "team"])
def test_the_demo_tells_its_story_to_the_end(tmp_path, home):
    said = tmp_path / "said.txt"
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    words = ["--home", home, "--folder", str(tmp_path / "flights"), "--port", str(free_ports(1)[0])]
    words += ["--then", shlex.join([sys.executable, "-m", "tests.full.auditor", "flight-delay"])]
    with said.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, DEMO, *words],
            env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code = process.wait(1400)
        finally:
            signal_group(process.pid)
    text = said.read_text()
    assert code == 0, text[-3000:]
    places = [text.index(chapter) for chapter in CHAPTERS]
    assert places == sorted(places)
    assert "Traceback" not in text
    assert "An auditor read its file" in text
    if home == "embedded" and CHROMIUM is not None:  # a team's stores went with the story
        look_at_every_page(tmp_path / "flights" / "project")


def look_at_every_page(project: Path) -> None:
    """Walk the pages of the demo's project in both sizes and themes."""
    with project_pages(project) as enter, chromium_browser() as browser:
        paths = pages_of_demo(enter)
        for width in SIZES:
            for scheme in ("light", "dark"):
                walk(browser, enter, paths, width, scheme)


def signal_group(leader: int) -> None:
    """End what a story that was cut off left behind."""
    try:
        os.killpg(leader, signal.SIGTERM)
    except ProcessLookupError:
        return
