"""Pages asked with what nobody means well: odd words, other projects' ids, ways to elsewhere."""

import re
from urllib.parse import quote

import msgspec
import pytest
from tests.unit.ui.addresses import every_page, ids_of
from tests.unit.ui.browser import ask
from tests.unit.ui.filled_home import CANDIDATE, MODEL, OTHER, FilledHome

from thrive.domain.errors import StoreUnavailable
from thrive.operations import Context
from thrive.store import projects
from thrive.ui.app import pages_app
from thrive.ui.forms import local_target
from thrive.ui.live import BEHIND, begin_after
from thrive.ui.pages import today
from thrive.ui.routes import PAGES

SECRET = "of-this-browser"
COOKIE = {"cookie": f"thrive_ui_8200={SECRET}"}
ODD = (
    "<script>alert(1)</script>",
    "\0",
    "'\"`;--%_\\",
    "9" * 30,
    "\u0663",  # a digit of another script: `int` takes it
    "\u202e" + "\U0001f600" * 400,
)
READ = {
    "/": ("all",),
    "/search": ("q",),
    "/alerts": ("state", "model", "owner"),
    "/runs": ("experiment", "q", "order", "columns", "group", "view", "after"),
    "/compare": ("run", "metric", "smooth", "log"),
    "/gates": ("model", "after"),
    "/data/{name}": ("version",),
    "/data/{name}/diff": ("before", "after"),
    "/lineage": ("of",),
    "/documents/{digest}/diff": ("against",),
    "/audit": ("before",),
    "/models/{name}/drift": ("column", "window"),
    "/models/{name}/card": ("version",),
    "/act/{act}": ("alert", "action", "back", "nothing"),
}
"""The words that pages read of their addresses."""


@pytest.fixture(scope="module")
def app(filled: FilledHome):
    return pages_app(filled.context, SECRET)


def test_odd_words_get_an_answer_or_one_clear_error(app, filled: FilledHome) -> None:
    for page, path in zip(PAGES, addresses(filled), strict=True):
        for word in READ.get(page.path, ()):
            for text in ODD:
                mark = "&" if "?" in path else "?"
                answer = ask(app, f"{path}{mark}{word}={quote(text, safe='')}")
                assert answer.status in {200, 400, 404}, (path, word, text)
                assert "<script>alert" not in answer.text


def test_odd_words_to_what_charts_and_pictures_ask_for(app, filled: FilledHome) -> None:
    for path, words in (
        (f"/series/{filled.run_id}?key=log_loss", ("from", "to", "points")),
        (f"/artifacts/{filled.run_id}?", ("name",)),
    ):
        for word in words:
            for text in (*ODD, "nan", "-inf", "1e400"):
                answer = ask(app, f"{path}&{word}={quote(text, safe='')}", binary=True)
                assert answer.status in {200, 400, 404}, (path, word, text)


def test_odd_names_in_an_address_name_nothing(app) -> None:
    for page in PAGES:
        if "{" in page.path:
            for text in ODD[:-1]:
                path = re.sub(r"\{\w+\}", quote(text, safe=""), page.path)
                answer = ask(app, path)
                assert answer.status in {400, 404}, path
                assert "<script>alert" not in answer.text


def addresses(filled: FilledHome) -> list[str]:
    return every_page(ids_of(filled, filled.held, filled.other_run_id))


def test_another_project_of_the_database_sees_nothing_of_this_one(filled: FilledHome) -> None:
    home = filled.context.home
    with home.read() as tx:
        known = projects.find(tx, "others")
    if known is None:
        with home.write() as tx:
            known = projects.create(tx, "others")
    beside = Context(home.beside(known), filled.context.actor, operation="test")
    app = pages_app(beside, SECRET)
    ours = (MODEL, OTHER, CANDIDATE, "boosting", "data-platform", "a crew was sent home")
    for page, path in zip(PAGES, addresses(filled), strict=True):
        answer = ask(app, path, headers=COOKIE)
        lost = "{" in page.path or page.path in {"/compare", "/lineage"}
        assert answer.status == (404 if lost else 200), path
        seen = [name for name in ours if name in answer.text and name not in path]
        assert seen == [] or page.path == "/kit", path


@pytest.mark.parametrize(
    "back", ["javascript:alert(1)", "https://evil.example/", "//evil.example", "/\\evil.example"]
)
def test_an_act_leads_back_to_a_page_of_this_server_alone(app, filled, back: str) -> None:
    address = f"/act/runs-note?run={filled.run_id}&back={quote(back, safe='')}"
    text = ask(app, address, headers=COOKIE).text
    assert back not in text
    assert 'href="/">Back without doing it' in text
    assert local_target(f"/runs?q={quote('ä')}") == "/runs?q=%C3%A4"


def test_the_machines_own_failures_show_their_kind_alone(app, monkeypatch) -> None:
    def broken(*_words, **_named):
        raise StoreUnavailable("postgresql://thrive:secret@db/thrive does not answer")

    monkeypatch.setattr(today, "load", broken)
    for target in ("/", "/today.json"):
        answer = ask(app, target)
        assert answer.status == 503
        assert "secret" not in answer.text
        assert "thrive doctor" in answer.text


@pytest.mark.parametrize(
    ("asked", "head", "begin"),
    [("", 7, 7), ("3", 7, 3), ("9", 7, 7), ("-1", 7, 7), ("x", 7, 7), ("9" * 30, 7, 7),
     ("3", 5 * BEHIND, 4 * BEHIND)],
)  # fmt: skip
def test_an_open_page_is_told_what_came_since_it_was_made(asked, head, begin) -> None:
    assert begin_after(asked, head) == begin


def test_a_page_says_from_where_it_wants_to_be_told(app, filled: FilledHome) -> None:
    from thrive.store import changes

    with filled.context.read() as tx:
        head = changes.head(tx, filled.project)
    assert f'data-seq="{head}"' in ask(app, "/").text
    assert msgspec.json.decode(ask(app, "/runs.json").text)["now"]
