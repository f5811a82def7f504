"""Every page in a real Chromium: both sizes and themes, axe, no other host; and what people do.

The pages are served by `thrive ui`'s own code and, for roles and sign-in, by `thrive server`'s.
"""

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from playwright.sync_api import Browser, Page, expect
from tests.full.walking import (
    CHROMIUM,
    PATIENCE_MS,
    SIZES,
    Watched,
    chromium_browser,
    patient,
    walk,
)
from tests.rest import LOCAL_TOKEN, make_app, new_token
from tests.unit.ui.addresses import every_page, ids_of
from tests.unit.ui.filled_home import CANDIDATE, MODEL, OTHER, FilledHome

from thrive.domain.actor import local_actor
from thrive.operations import Context
from thrive.store.home import create_home, open_home
from thrive.ui.render import STATIC

expect.set_options(timeout=PATIENCE_MS)  # of a busy machine
pytestmark = [
    pytest.mark.full,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium"),
    pytest.mark.timeout(900),
]
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
ISLANDS = (STATIC / "app.js").is_file()
islands = pytest.mark.skipif(not ISLANDS, reason="the islands were built without Node")


class Served:
    """A filled home, the address of its pages, and the link that lets a browser act."""

    def __init__(self, folder: Path) -> None:
        home = create_home(folder, "flights")
        made = FilledHome(Context(home, local_actor("ana"), folder=folder, operation="test"))
        self.held, self.other = made.hold_release(), made.add_run()
        self.alert, self.notice, self.run = made.alert_id, made.notice_id, made.run_id
        self.pages = every_page(ids_of(made, self.held, self.other))
        home.close()
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVER, str(folder)], stderr=subprocess.PIPE, text=True
        )
        assert self.process.stderr is not None
        line = self.process.stderr.readline()
        self.enter = line.removeprefix("next: open ").partition(" (")[0]
        self.base = self.enter.partition("/enter/")[0]

    @property
    def paths(self) -> list[str]:
        """Every page, some of them in another state, and one that is not there."""
        smooth = next(path for path in self.pages if path.startswith("/compare"))
        return [*self.pages, f"{smooth}&smooth=0.6&log=1", "/lineage?of=data:flights", "/nowhere"]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    made = Served(tmp_path_factory.mktemp("served"))
    yield made
    made.process.send_signal(signal.SIGINT)
    assert made.process.wait(30) == 0


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with chromium_browser() as browser:
        yield browser


@pytest.fixture
def watched(served: Served, chromium: Browser) -> Iterator[Watched]:
    context = patient(chromium, viewport={"width": 1280, "height": 900})
    made = Watched(context)
    made.page.goto(served.enter)
    yield made
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", list(SIZES))
def test_every_page_is_drawn_for_everybody(
    served: Served, chromium: Browser, width: int, scheme: Any
) -> None:
    """No complaint, no other host, nothing wider than the screen, and axe finds nothing."""
    walk(chromium, served.enter, served.paths, width, scheme)


def test_every_page_stands_without_scripts(served: Served, chromium: Browser) -> None:
    context = patient(chromium, java_script_enabled=False)
    page = context.new_page()
    page.goto(served.enter)
    for path in served.paths:
        page.goto(served.base + path)
        assert page.locator("h1").count() == 1, path
    context.close()


def test_colours_follow_the_viewer_and_nothing_shifts(served: Served, chromium: Browser) -> None:
    grounds = set()
    for scheme in ("light", "dark"):
        context = patient(chromium, color_scheme=scheme)
        page = context.new_page()
        page.add_init_script(
            "window.shift = 0; new PerformanceObserver((list) => list.getEntries().forEach("
            "(e) => { if (!e.hadRecentInput) window.shift += e.value; }))"
            ".observe({type: 'layout-shift', buffered: true});"
        )
        page.goto(f"{served.base}/runs/{served.run}")
        page.wait_for_load_state("networkidle") if not ISLANDS else page.wait_for_timeout(500)
        grounds.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        assert page.evaluate("window.shift") < 0.1
        context.close()
    assert len(grounds) == 2


def test_an_alert_is_decided_from_today(served: Served, watched: Watched) -> None:
    page = watched.page
    page.goto(served.base)
    card = page.locator("article.card", has_text="columns drift").first
    card.get_by_role("link", name="Evidence").click()
    expect(page).to_have_url(f"{served.base}/alerts/{served.notice}")
    page.get_by_role("link", name="Accept").click()
    page.get_by_label("Reason").fill("the summer is like that")
    page.get_by_role("button", name="Decide").click()
    expect(page.get_by_role("status")).to_contain_text("The decision is recorded.")
    expect(page.locator("main")).to_contain_text("the summer is like that")
    page.goto(f"{served.base}/audit")
    expect(page.locator("tbody tr").first).to_contain_text("alerts decide")


def test_a_release_is_rolled_back(served: Served, watched: Watched) -> None:
    page = watched.page
    page.goto(f"{served.base}/releases/{served.held}")
    page.get_by_role("link", name="Roll back").click()
    page.get_by_label("Reason").fill("wrong warnings")
    page.get_by_role("button", name="Roll back").click()
    expect(page.get_by_role("status")).to_contain_text("moved back")
    expect(page.locator("h1")).to_contain_text("rolled back")
    page.goto(f"{served.base}/models/{OTHER}/release")
    expect(page.locator("main")).to_contain_text("wrong warnings")


def test_runs_are_filtered_chosen_and_compared(served: Served, watched: Watched) -> None:
    page = watched.page
    page.goto(f"{served.base}/runs")
    page.get_by_label("Filter").fill("params.learning_rate = '0.03'")
    page.get_by_role("button", name="Show").first.click()
    expect(page.locator("table.runs tbody tr")).to_have_count(1)
    assert "learning_rate" in page.url  # the view is its address
    page.reload()
    expect(page.locator("table.runs tbody tr")).to_have_count(1)
    page.goto(f"{served.base}/runs")
    for box in page.locator("table.runs input[type=checkbox]").all():
        box.check()
    page.get_by_role("button", name="Compare the chosen").click()
    expect(page.locator("h1")).to_contain_text("Compare")
    differing = page.locator("section[aria-labelledby=params] tbody tr")
    expect(differing).to_have_count(1)
    expect(differing.first).to_contain_text("learning_rate")
    assert page.locator("svg.chart polyline").count() >= 4


def test_a_view_is_saved_found_by_its_name_and_removed(served: Served, watched: Watched) -> None:
    page = watched.page
    page.goto(f"{served.base}/runs?q=params.learning_rate+%3D+%270.03%27")
    page.get_by_role("link", name="Save this view").click()
    page.get_by_label("Name").fill("slow learners")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status")).to_contain_text("The view is saved.")
    page.goto(f"{served.base}/runs")
    page.get_by_role("link", name="slow learners", exact=True).click()
    expect(page.locator("table.runs tbody tr")).to_have_count(1)
    page.get_by_role("link", name="Remove the view slow learners").click()
    page.get_by_role("button", name="Remove").click()
    expect(page.get_by_label("Saved views")).not_to_contain_text("slow learners")


def test_whoever_comes_second_is_told_and_nothing_is_done(
    served: Served, chromium: Browser
) -> None:
    context = patient(chromium)
    first, second = context.new_page(), context.new_page()
    first.goto(served.enter)
    address = f"{served.base}/act/runs-note?run={served.run}"
    for page in (first, second):
        page.goto(address)
        page.get_by_label("Text").fill(f"written by {'first' if page is first else 'second'}")
    first.get_by_role("button", name="Save").click()
    expect(first.get_by_role("status")).to_be_visible()
    second.get_by_role("button", name="Save").click()
    expect(second.locator("main")).to_contain_text("Somebody moved this first")
    first.reload()
    expect(first.locator("main")).to_contain_text("written by first")
    context.close()


def test_a_printed_page_is_its_content_alone(served: Served, watched: Watched) -> None:
    page = watched.page
    page.goto(f"{served.base}/models/{MODEL}/card")
    page.emulate_media(media="print")
    for part in ("header.top nav", "header.top .search", "nav.tabs", "footer"):
        assert page.locator(part).is_hidden(), part
    expect(page.locator("main h1")).to_be_visible()


@islands
def test_keys_copies_and_charts(served: Served, watched: Watched) -> None:
    page = watched.page
    page.goto(f"{served.base}/runs/{served.run}")
    expect(page.locator("line-chart canvas")).to_be_visible()
    page.keyboard.press("/")
    page.keyboard.type("gate-change")
    page.keyboard.press("Enter")
    expect(page.locator("main tbody th").first).to_contain_text("gate-change")
    page.goto(f"{served.base}/models")
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{served.base}/models/{OTHER}")


@islands
def test_an_open_page_follows_what_others_do(served: Served, chromium: Browser) -> None:
    context = patient(chromium)
    page, other = context.new_page(), context.new_page()
    page.goto(served.enter)
    page.goto(f"{served.base}/runs/{served.other}")
    with page.expect_response(lambda answer: "/live" in answer.url):
        page.reload()
    other.goto(f"{served.base}/act/runs-note?run={served.other}")
    other.get_by_label("Text").fill("seen by everybody at once")
    other.get_by_role("button", name="Save").click()
    page.bring_to_front()
    expect(page.locator("main")).to_contain_text("seen by everybody at once", timeout=30_000)
    context.close()


HIDE = """is => {
    Object.defineProperty(document, 'hidden', {configurable: true, get: () => is});
    document.dispatchEvent(new Event('visibilitychange'));
}"""


@islands
def test_a_page_that_is_renewed_keeps_the_focus_and_misses_nothing_in_the_background(
    served: Served, chromium: Browser
) -> None:
    context = patient(chromium)
    page, other = context.new_page(), context.new_page()
    page.goto(served.enter)

    def note(text: str) -> None:
        other.goto(f"{served.base}/act/runs-note?run={served.run}")
        other.get_by_label("Text").fill(text)
        other.get_by_role("button", name="Save").click()
        expect(other.get_by_role("status")).to_be_visible()

    page.goto(f"{served.base}/runs/{served.run}")
    expect(page.locator("line-chart canvas")).to_be_visible()
    page.evaluate("document.querySelector('line-chart').drawnOnce = true")
    page.locator("summary", has_text="libraries").click()
    link = page.get_by_role("link", name="calibration.png")
    link.focus()
    note("while it was looked at")
    expect(page.locator("main")).to_contain_text("while it was looked at")
    expect(link).to_be_focused()
    assert page.evaluate("document.querySelector('line-chart').drawnOnce")
    expect(page.get_by_role("region", name="Libraries")).to_be_visible()
    page.evaluate(HIDE, True)
    note("while nobody looked")
    page.evaluate(HIDE, False)
    expect(page.locator("main")).to_contain_text("while nobody looked")
    page.locator("svg.graph [data-node]").first.hover()
    expect(page.locator("svg.graph.traced")).to_be_visible()
    context.close()


LIVE = """
import time
from pathlib import Path
import thrive
for step, word in enumerate(("first", "second")):
    while not Path(word).exists():
        time.sleep(0.05)
    print(f"the {word} round is over", flush=True)
    thrive.log(loss=0.75 - step / 2, step=step)
while not Path("end").exists():
    time.sleep(0.05)
"""


@islands
def test_a_page_follows_the_log_and_the_metrics_of_a_run_while_it_runs(
    served: Served, watched: Watched
) -> None:
    folder = Path(str(served.process.args[-1]))  # type: ignore[index]
    (folder / "thrive.toml").write_text('contract = 1\n\n[project]\nname = "flights"\n')
    (folder / "live.py").write_text(LIVE)
    page = watched.page
    with subprocess.Popen([sys.executable, "-m", "thrive", "run", "live.py"], cwd=folder) as run:
        page.goto(f"{served.base}/runs")
        newest = page.locator("table.runs tbody tr").first
        expect(newest).to_contain_text("running")  # the table follows as well
        newest.locator("th a").click()
        expect(page.locator("h1")).to_contain_text("running")
        for word, loss in (("first", "0.75"), ("second", "0.25")):
            assert f"the {word} round" not in page.inner_text("main")
            (folder / word).touch()
            expect(page.locator("pre.log")).to_contain_text(f"the {word} round is over")
            expect(page.locator("section[aria-labelledby=metrics]")).to_contain_text(loss)
        expect(page.locator("line-chart canvas")).to_be_visible()
        (folder / "end").touch()
        expect(page.locator("h1")).to_contain_text("done")
    assert run.returncode == 0
    assert watched.complaints == []


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Context, FilledHome]]:
    """The application of `thrive server` over a filled home."""
    folder = tmp_path_factory.mktemp("team")
    home = create_home(folder, "flights")
    context = Context(home, local_actor("ana"), folder=folder, operation="test")
    made = FilledHome(context)
    made.held = made.hold_release()
    app = make_app(home)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        thread.join(0.05)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}", context, made
    app.drain()
    server.should_exit = True
    thread.join(30)
    app.close()
    home.close()


def signed_in(chromium: Browser, base: str, token: str) -> Page:
    page = patient(chromium).new_page()
    page.goto(base)
    page.get_by_label("Token").fill(token)
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator("h1")).to_contain_text("Today")
    return page


def test_a_colleague_signs_in_approves_and_another_starts_the_release(team, chromium) -> None:
    base, context, _ = team
    scientist = signed_in(chromium, base, new_token(context, "ben", "data-scientist"))
    scientist.goto(f"{base}/models/{CANDIDATE}/versions")
    assert scientist.get_by_role("link", name="Release", exact=True).count() == 1  # the tab alone
    scientist.get_by_role("link", name="Approve").click()
    scientist.get_by_label("Reason").fill("read the evidence")
    scientist.get_by_role("button", name="Approve").click()
    expect(scientist.get_by_role("status")).to_contain_text("The approval is recorded.")
    expect(scientist.locator("main")).to_contain_text("read the evidence")
    scientist.goto(f"{base}/act/approvals-give?version={OTHER}@2&step=production")
    scientist.get_by_label("Reason").fill("no loss in two days")
    scientist.get_by_role("button", name="Approve").click()
    expect(scientist.get_by_role("status")).to_contain_text("The approval is recorded.")
    engineer = signed_in(chromium, base, new_token(context, "cleo", "ml-engineer"))
    engineer.goto(f"{base}/releases/{team[2].held}")
    engineer.get_by_role("link", name="Promote").click()
    engineer.get_by_label("Reason").fill("two days without a fault")
    engineer.get_by_role("button", name="Promote").click()
    expect(engineer.get_by_role("status")).to_contain_text("The release went on.")


@pytest.mark.parametrize("role", ["auditor", "ci", "data-engineer", "serve"])
def test_a_role_sees_no_button_it_may_not_use_and_is_refused(team, chromium, role: str) -> None:
    base, context, _ = team
    page = signed_in(chromium, base, new_token(context, f"{role}-one", role))
    page.goto(f"{base}/models/{MODEL}/release")
    assert page.get_by_role("link", name="Roll back").count() == 0
    answer = page.goto(f"{base}/act/releases-rollback?model={MODEL}")
    assert answer is not None
    expect(page.locator("main")).to_contain_text("may not do this")
    page.goto(f"{base}/admin")
    expect(page.locator("main")).to_contain_text("Tokens are shown to the platform role alone.")


def test_a_keeper_sees_tokens_and_may_stop_but_moves_no_traffic(team, chromium) -> None:
    base, context, _ = team
    page = signed_in(chromium, base, new_token(context, "platform-one", "platform"))
    page.goto(f"{base}/models/{MODEL}/release")
    expect(page.get_by_role("link", name="Stop")).to_be_visible()
    assert page.get_by_role("link", name="Roll back").count() == 0
    page.goto(f"{base}/admin")
    expect(page.locator("section[aria-labelledby=people]")).to_contain_text("platform-one")


def test_the_owner_signs_in_with_the_servers_own_token(team, chromium) -> None:
    page = signed_in(chromium, team[0], LOCAL_TOKEN)
    page.goto(f"{team[0]}/admin")
    expect(page.locator("main")).to_contain_text("People and tokens")


def test_a_home_that_was_acted_on_is_whole(served: Served, tmp_path: Path) -> None:
    del tmp_path
    from thrive.store import audit

    home = open_home(Path(served.process.args[-1]))  # type: ignore[index]
    with home.read() as tx:
        assert audit.first_broken(tx, home.project_id) is None
    home.close()
