"""Filtering, sorting and paging of nouns that a project has few of."""

import base64
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec

from thrive.server.mlflow.problems import invalid
from thrive.tracking.filters import Comparison, Kind, Order, holds

T = TypeVar("T")
Value = str | float | None
Get = Callable[[Any, Kind, str], Value]


def filtered(items: Sequence[T], conditions: Sequence[Comparison], get: Get) -> list[T]:
    """Return the items of which every condition holds.

    Args:
        items: the nouns.
        conditions: of a filter.
        get: returns what an item has under a kind and a key, None for nothing.
    """
    return [
        item
        for item in items
        if all(holds(each, get(item, each.kind, each.key)) for each in conditions)
    ]


def ordered(items: Sequence[T], orders: Sequence[Order], get: Get) -> list[T]:
    """Return the items sorted; those without a value come last, ties stay as they are."""
    found = list(items)
    for order in reversed(orders):
        there = [item for item in found if get(item, order.kind, order.key) is not None]
        lacking = [item for item in found if get(item, order.kind, order.key) is None]
        there.sort(
            key=lambda item, order=order: get(item, order.kind, order.key),  # pyright: ignore[reportArgumentType] - all of one type
            reverse=order.descending,
        )
        found = [*there, *lacking]
    return found


def page(
    items: Sequence[T], limit: int, after: str, name: Callable[[T], str]
) -> tuple[list[T], str]:
    """Return one page and the token of the next, empty at the end.

    A page goes on behind the last item of the one before; where that is gone, at its place.

    Raises:
        MlflowError: the token is of no page.
    """
    begin = 0
    if after:
        last, begin = _token_parts(after)
        begin = next((at + 1 for at, item in enumerate(items) if name(item) == last), begin)
    chosen = list(items[begin : begin + limit])
    end = begin + len(chosen)
    if end >= len(items) or not chosen:
        return chosen, ""
    return chosen, token(name(chosen[-1]), end)


def token(last: str, end: int) -> str:
    """Return what the next page is asked with."""
    return base64.urlsafe_b64encode(msgspec.json.encode((last, end))).decode()


def _token_parts(after: str) -> tuple[str, int]:
    try:
        last, end = msgspec.json.decode(
            base64.urlsafe_b64decode(after.encode()), type=tuple[str, int]
        )
    except (ValueError, msgspec.MsgspecError):
        raise invalid(f"Invalid page token '{after[:40]}'.") from None
    return last, max(end, 0)


def offset_of(after: str) -> int:
    """Return where a page of a list that only grows begins.

    Raises:
        MlflowError: the token is of no page.
    """
    return _token_parts(after)[1] if after else 0


def answer(field: str, shapes: Sequence[Any], after: str) -> dict[str, Any]:
    """Return a page as the object that is answered."""
    return {field: shapes, **({"next_page_token": after} if after else {})}
