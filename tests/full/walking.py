"""Walks pages in a real Chromium: nothing complains, nobody else is asked, axe finds nothing."""

import json
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from tests.unit.ui.addresses import every_page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SIZES = {1280: 900, 390: 844}
Scheme = Literal["light", "dark"]
PATIENCE_MS = 180_000
"""How long a busy machine is waited for."""


class Watched:
    """A page, with what the browser complained of and where it asked."""

    def __init__(self, context: BrowserContext) -> None:
        self.page: Page = context.new_page()
        self.page.set_default_timeout(PATIENCE_MS)
        self.complaints: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))


@contextmanager
def chromium_browser() -> Iterator[Browser]:
    """Run Debian's Chromium."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


def patient(browser: Browser, **options: Any) -> BrowserContext:
    """Return a context of the browser that waits for a busy machine."""
    context = browser.new_context(**options)
    context.set_default_timeout(PATIENCE_MS)
    return context


def walk(browser: Browser, enter: str, paths: Sequence[str], width: int, scheme: Scheme) -> None:
    """Look at every page in one size and theme.

    Args:
        browser: the browser.
        enter: the link that `thrive ui` printed.
        paths: of the pages; `/nowhere` is expected to be missing.
        width: of the window, one of `SIZES`.
        scheme: the theme.
    """
    base = enter.partition("/enter/")[0]
    context = browser.new_context(
        viewport={"width": width, "height": SIZES[width]}, color_scheme=scheme, bypass_csp=True
    )
    made = Watched(context)
    made.page.goto(enter)
    for path in paths:
        made.complaints.clear()
        made.page.goto(base + path)
        wider = made.page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert wider <= 0, path
        found = Axe().run(made.page).response["violations"]
        assert [(each["id"], each["nodes"][0]["html"][:200]) for each in found] == [], path
        expected = ["404"] if path == "/nowhere" else []
        said = [line for line in made.complaints if not any(word in line for word in expected)]
        assert said == [], path
    outside = {url for url in made.asked if not url.startswith((base, "data:"))}
    assert outside == set()
    context.close()


@contextmanager
def project_pages(folder: Path) -> Iterator[str]:
    """Run `thrive ui` in a project, and return the link it prints."""
    process = subprocess.Popen(
        [sys.executable, "-m", "thrive", "ui", "--port", "0"],
        cwd=folder,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        yield process.stderr.readline().removeprefix("next: open ").partition(" (")[0]
    finally:
        process.terminate()
        process.wait(60)


def pages_of_demo(enter: str) -> list[str]:
    """Return an address of every page of the demo's project, found through the pages' own JSON."""
    base = enter.partition("/enter/")[0]

    def asked(page: str) -> Any:
        with urllib.request.urlopen(f"{base}/{page}.json", timeout=60) as answer:
            return json.load(answer)

    newest, other = (each["run_id"] for each in asked("runs")["runs"][:2])
    return every_page(
        {
            "alert": asked("alerts")["alerts"][0]["alert_id"],
            "document": asked("governance")["documents"][0]["digest"],
            "held": asked("releases")["releases"][0]["release_id"],
            "run": newest,
            "other": other,
            "verdict": asked("gates")["matrices"][0]["verdicts"][0]["verdict_id"],
        }
    )
