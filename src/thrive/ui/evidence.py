"""The evidence of an alert as a page shows it: lines of facts and flat tables, nothing nested.

Evidence is stored as JSON whose keys differ by cause. What every key of a kind means is said here
once: a share is a percentage, the beginning of a window is told to the minute.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from thrive.domain.clock import format_moment
from thrive.ui import words

HEADINGS = {
    "psi": "PSI",
    "p_value": "p, corrected",
    "usual": "Usual at most",
    "value": "Found",
    "error": "Give or take",
    "expected": "Usual",
    "explained": "Explained by harder rows",
    "coverage": "Outcomes known",
    "windows": "Windows beyond the limit",
    "performance": "All signals of the last window",
    "windows_drifted": "Windows in which a column drifted",
    "moved_in": "Columns that moved, by segment",
    "upstream": "The data behind the faulty inputs",
    "changed_data": "Data that changed meanwhile",
    "drift": "Columns that drifted",
    "faults": "Faults of the data",
    "error_budget": "Budget of errors",
    "gaps": "Gaps between groups",
    "shares": "Shares of the answers",
    "start": "Window",
    "latency_us": "Latency",
    "against": "What spoke against it",
}
_NAMED = frozenset({"windows_drifted", "moved_in", "shares", "usual", "within"})
"""Parts whose keys are names of the data: they are shown as they are."""
_SHARES = frozenset({"share", "expected", "explained", "coverage", "missing"})


class Block(msgspec.Struct, frozen=True, kw_only=True):
    """A titled piece of evidence: single facts, or a table of texts.

    Attributes:
        title: what it is about, "" for the facts of the alert itself.
        facts: pairs of a label and a value.
        head: the headings of the table, empty without one.
        numeric: for each column, whether it holds numbers.
        rows: the cells.
    """

    title: str
    facts: list[tuple[str, str]] = []
    head: list[str] = []
    numeric: list[bool] = []
    rows: list[list[str]] = []


def blocks_of(evidence: Mapping[str, Any]) -> list[Block]:
    """Return evidence as blocks: the plain facts first, then a block for each larger part."""
    flat = {**evidence.get("numbers", {}), **{k: v for k, v in evidence.items() if k != "numbers"}}
    plain = {key: value for key, value in flat.items() if not _is_part(value)}
    facts = facts_of(plain)
    parts = [_part(key, flat[key]) for key in flat if _is_part(flat[key]) and flat[key]]
    return [*([Block(title="", facts=facts)] if facts else []), *parts]


def facts_of(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what a record holds as pairs of a label and a text, without what is empty."""
    return [
        (heading(key), said(key, value)) for key, value in record.items() if value or value == 0
    ]


def heading(key: str) -> str:
    """Return how a key is called."""
    if key in HEADINGS or not key.isidentifier():
        return HEADINGS.get(key, key)
    plain = key.replace("_", " ")
    return plain[:1].upper() + plain[1:]


def said(key: str, value: Any) -> str:
    """Return a value as text, by what its key means."""
    if value is None or isinstance(value, str | bool):
        return words.DASH if value in {None, ""} else str(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {said(str(name), inner)}" for name, inner in value.items())
    if isinstance(value, Sequence):
        return ", ".join(said(key, each) for each in value) or words.DASH
    if words.is_moment(value, key):
        return format_moment(value) if key in words.WINDOW_ENDS else words.exact(value)
    if key.endswith("_us"):
        return words.milliseconds(value)
    return words.percent(value) if key in _SHARES else words.number(value)


def _is_part(value: Any) -> bool:
    """Tell whether a value is more than one fact: a table, or something with names."""
    is_table = isinstance(value, list) and any(isinstance(each, Mapping) for each in value)
    return is_table or isinstance(value, Mapping)


def _part(key: str, value: Any) -> Block:
    if isinstance(value, list):
        return _table(heading(key), value)
    if all(isinstance(each, Mapping) for each in value.values()):
        return _table(heading(key), [{"": name, **each} for name, each in value.items()])
    if any(isinstance(each, list) for each in value.values()):
        rows = [[str(name), said(str(name), each)] for name, each in value.items()]
        head = ["Segment", "Columns"] if key == "moved_in" else ["", ""]
        return Block(title=heading(key), head=head, numeric=[False, False], rows=rows)
    if key in _NAMED:
        return Block(title=heading(key), facts=[(str(k), said(key, v)) for k, v in value.items()])
    return Block(title=heading(key), facts=facts_of(value))


def _table(title: str, rows: Sequence[Mapping[str, Any]]) -> Block:
    keys = list(dict.fromkeys(key for row in rows for key in row))
    return Block(
        title=title,
        head=[heading(key) for key in keys],
        numeric=[all(_is_number(key, row.get(key)) for row in rows) for key in keys],
        rows=[[said(key, row.get(key)) for key in keys] for row in rows],
    )


def _is_number(key: str, value: Any) -> bool:
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    return (value is None or plain) and not words.is_moment(value, key)
