"""The saved views of a page, and the address of what it shows now."""

from collections.abc import Mapping

import msgspec

from thrive.domain.view import SavedView, ViewPage
from thrive.operations import Context
from thrive.store import views
from thrive.tracking.views import query_of


class Views(msgspec.Struct, frozen=True, kw_only=True):
    """What is saved for a page.

    Attributes:
        page: the page.
        query: what it shows now, as the query of its address; "" for all.
        saved: the views of this page, by name.
    """

    page: ViewPage
    query: str
    saved: list[SavedView]

    @property
    def address(self) -> str:
        """The address of what the page shows now."""
        return f"/{self.page}?{self.query}" if self.query else f"/{self.page}"


def views_of(ctx: Context, page: ViewPage, words: Mapping[str, str]) -> Views:
    """Return the saved views of a page that was asked for with some words."""
    with ctx.read() as tx:
        every = views.find(tx, ctx.project_id)
    return Views(
        page=page,
        query=query_of(page, words),
        saved=[view for view in every if view.page is page],
    )
