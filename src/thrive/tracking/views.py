"""Saved views: a filter, an order, columns or a comparison under a name, for the whole project.

A view is the address of a page and nothing else: who opens it sees what is there by then.
"""

from collections.abc import Mapping
from urllib.parse import parse_qsl, urlencode

from thrive.domain.actor import ANYONE, PEOPLE
from thrive.domain.errors import UsageError
from thrive.domain.view import SavedView, ViewPage
from thrive.operations import Context, operation
from thrive.store import views

WORDS = {
    ViewPage.RUNS: ("experiment", "q", "order", "columns", "group", "view"),
    ViewPage.COMPARE: ("run", "metric", "smooth", "log"),
    ViewPage.ALERTS: ("state", "model", "owner"),
}
"""What the address of each page may say."""
LONGEST_NAME, LONGEST_QUERY = 80, 8000


@operation("views save", role=PEOPLE, writes=True, next_hint="thrive views list")
def save(ctx: Context, name: str, query: str, *, page: ViewPage = ViewPage.RUNS) -> SavedView:
    """Keep what a page shows under a name; saving under the same name renews it.

    Args:
        ctx: the context of the call.
        name: how it is found again, e.g. `best of spring`.
        query: what stands behind the ? of the page's address.
        page: the page.

    Raises:
        UsageError: the name is empty or too long, or the page does not know a word of the query.

    Examples:
        thrive views save "best of spring" "q=metrics.auc > 0.9&order=metrics.auc DESC"
    """
    called = " ".join(name.split())
    if not called or len(called) > LONGEST_NAME:
        raise UsageError(f"A name has 1 to {LONGEST_NAME} characters.", "give it another one")
    view = SavedView(
        name=called,
        page=page,
        query=normal_query(page, query),
        actor=ctx.actor.name,
        saved_at=ctx.now(),
    )
    with ctx.write(f"view:{called}", page=page.value) as tx:
        views.save(tx, ctx.project_id, view)
    return view


def normal_query(page: ViewPage, query: str) -> str:
    """Return the words of an address in their order, those without a value left out.

    Raises:
        UsageError: a word is not one of the page's, or the query is too long.
    """
    said = dict(parse_qsl(query.removeprefix("?")))
    unknown = sorted(said.keys() - set(WORDS[page]))
    if unknown:
        known = ", ".join(WORDS[page])
        raise UsageError(f"The page {page} knows no {unknown[0][:40]!r}.", f"say some of: {known}")
    made = query_of(page, said)
    if len(made) > LONGEST_QUERY:
        raise UsageError(f"The view has {len(made):,} characters.", "choose less")
    return made


def query_of(page: ViewPage, words: Mapping[str, str]) -> str:
    """Return those words that say what a page shows, as the query of its address."""
    return urlencode({word: words[word] for word in WORDS[page] if words.get(word)})


@operation("views list", role=ANYONE)
def saved(ctx: Context) -> list[SavedView]:
    """List the saved views, by name.

    Examples:
        thrive views list
    """
    with ctx.read() as tx:
        return views.find(tx, ctx.project_id)


@operation("views remove", role=PEOPLE, writes=True, next_hint="thrive views list")
def remove(ctx: Context, name: str) -> SavedView:
    """Remove a saved view; what it showed stays.

    Args:
        ctx: the context of the call.
        name: its name.

    Raises:
        NotFound: there is none of that name.

    Examples:
        thrive views remove "best of spring"
    """
    with ctx.write(f"view:{name[:80]}") as tx:
        found = views.get(tx, ctx.project_id, name)
        views.remove(tx, ctx.project_id, name)
    return found
