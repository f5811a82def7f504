"""Saved views: what a page shows, under a name."""

import pytest

from thrive.domain.errors import NotFound, UsageError
from thrive.domain.view import ViewPage
from thrive.operations import Context
from thrive.tracking import views


def test_a_view_is_the_address_of_a_page_under_a_name(context: Context) -> None:
    made = views.save(
        context, " best  of spring ", "?q=metrics.auc > 0.9&group=&order=params.lr ASC"
    )
    assert made.name == "best of spring"
    assert made.address == "/runs?q=metrics.auc+%3E+0.9&order=params.lr+ASC"
    views.save(context, "mine", "state=open", page=ViewPage.ALERTS)
    views.save(context, "mine", "state=closed", page=ViewPage.ALERTS)
    assert [view.name for view in views.saved(context)] == ["best of spring", "mine"]
    assert views.saved(context)[1].query == "state=closed"
    assert views.remove(context, "mine").query == "state=closed"
    with pytest.raises(NotFound, match="mine"):
        views.remove(context, "mine")


def test_a_view_says_only_what_its_page_knows(context: Context) -> None:
    with pytest.raises(UsageError, match="knows no 'done'"):
        views.save(context, "x", "q=1&done=runs-delete")
    with pytest.raises(UsageError, match="1 to 80"):
        views.save(context, "  ", "q=1")
    with pytest.raises(UsageError, match="The view has 9,004 characters"):
        views.save(context, "x", f"run={'a' * 9000}", page=ViewPage.COMPARE)
    assert views.saved(context) == []
