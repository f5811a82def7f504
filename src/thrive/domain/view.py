"""Saved views: a page as somebody wants to find it again."""

from enum import StrEnum

import msgspec


class ViewPage(StrEnum):
    """A page whose address says all that it shows."""

    RUNS = "runs"
    COMPARE = "compare"
    ALERTS = "alerts"


class SavedView(msgspec.Struct, frozen=True, kw_only=True):
    """A page with a choice of what it shows, under a name that the whole project sees.

    Attributes:
        name: e.g. `best of spring`.
        page: where it is.
        query: the words of its address, as `q=metrics.auc+%3E+0.9&order=metrics.auc+DESC`.
        actor: who saved it last.
        saved_at: the project's moment.
    """

    name: str
    page: ViewPage
    query: str
    actor: str
    saved_at: int

    @property
    def address(self) -> str:
        """Where it is, under the server's own address."""
        return f"/{self.page}?{self.query}" if self.query else f"/{self.page}"
