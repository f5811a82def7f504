"""Takes the pictures of the README and the docs from the pages of a real project.

`python scripts/generate_screenshots.py [FOLDER]`, after `make demo`, whose project it is without a
folder. It opens `thrive ui` on a copy of the home, so that nothing of the project changes, and
needs Chromium. What is shown is found through the pages' own JSON: the newest alert, release, run.
"""

import json
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from playwright.sync_api import Browser, sync_playwright

ROOT = Path(__file__).parents[1]
PICTURES = ROOT / "docs" / "pictures"
DEMO = ROOT / ".demo" / "flights" / "project"
MOST = 150_000
"""Bytes of a picture: a page of the docs is still read over a slow line."""
WIDTH, HEIGHT = 1280, 740
PHONE_WIDTH, PHONE_HEIGHT = 390, 844
FLAGS = ["--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
Scheme = Literal["light", "dark"]


class Pages:
    """The address of the pages, and their JSON."""

    def __init__(self, enter: str) -> None:
        self.enter = enter
        self.base = enter.partition("/enter/")[0]

    def json(self, path: str) -> Any:
        """Return a page's model."""
        with urllib.request.urlopen(f"{self.base}{path}", timeout=60) as answer:
            return json.load(answer)


@contextmanager
def served(folder: Path) -> Iterator[Pages]:
    """Run `thrive ui` on a copy of a project."""
    with tempfile.TemporaryDirectory() as place:
        copy = Path(place) / "project"
        shutil.copytree(folder, copy)
        process = subprocess.Popen(
            [sys.executable, "-m", "thrive", "ui", "--port", "0"],
            cwd=copy,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stderr is not None
        line = process.stderr.readline()
        yield Pages(line.removeprefix("next: open ").partition(" (")[0])
        process.terminate()
        process.wait(30)


def addresses(pages: Pages) -> dict[str, tuple[str, Scheme]]:
    """Return what is taken, by the name of its file."""
    model = pages.json("/models.json")["models"][0]["name"]
    runs = [run["run_id"] for run in pages.json("/runs.json")["runs"]]
    releases = pages.json("/releases.json")["releases"]
    alerts = pages.json("/alerts.json")["alerts"]
    found: dict[str, tuple[str, Scheme]] = {
        "today": ("/", "light"),
        "today-dark": ("/", "dark"),
        "model": (f"/models/{model}", "light"),
        "drift": (f"/models/{model}/drift", "light"),
        "gates": ("/gates", "light"),
        "lineage": (f"/lineage?of=model:{model}", "dark"),
    }
    if releases:
        found["release"] = (f"/releases/{releases[0]['release_id']}", "light")
    if alerts:
        found["alert"] = (f"/alerts/{alerts[0]['alert_id']}", "dark")
    if runs:
        found["run"] = (f"/runs/{runs[0]}", "light")
    return found


def take(browser: Browser, pages: Pages, name: str, path: str, scheme: Scheme) -> None:
    """Take one picture of the top of a page.

    Raises:
        SystemExit: it is too large.
    """
    phone = name.endswith("-phone")
    width, height = (PHONE_WIDTH, PHONE_HEIGHT) if phone else (WIDTH, HEIGHT)
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme, reduced_motion="reduce"
    )
    page = context.new_page()
    page.goto(pages.enter)
    page.goto(pages.base + path)
    page.wait_for_timeout(500)
    file = PICTURES / f"{name}.png"
    full = page.evaluate("document.documentElement.scrollHeight")
    clip = {"x": 0, "y": 0, "width": width, "height": min(height, full)}
    size = len(page.screenshot(path=file, clip=clip))
    context.close()
    if size > MOST:
        raise SystemExit(f"{file.name} has {size:,} bytes; at most {MOST:,} are kept in the docs.")
    print(f"{file.relative_to(ROOT)}  {size:,} bytes")


def main() -> None:
    """Take all pictures."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else DEMO
    if not (folder / ".thrive").is_dir():
        raise SystemExit(f"{folder} holds no project: make demo")
    PICTURES.mkdir(exist_ok=True)
    with served(folder) as pages, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        for name, (path, scheme) in addresses(pages).items():
            take(browser, pages, name, path, scheme)
        take(browser, pages, "today-phone", "/", "light")
        browser.close()


if __name__ == "__main__":
    main()
