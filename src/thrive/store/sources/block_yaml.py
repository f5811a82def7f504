"""The part of YAML that DVC writes: block mappings and sequences of plain or quoted scalars."""

import json
import re
from pathlib import Path
from typing import Any

from thrive.domain.errors import UsageError

_ENTRY = re.compile(
    r"(?P<key>\"(?:[^\"\\]|\\.)*\"|'(?:[^']|'')*'|[^\s:#][^:]*?)\s*:(?:\s+(?P<value>.*))?$"
)
_Line = tuple[int, str]


def read_yaml(text: str, file: Path) -> Any:
    """Return a document of nested dicts, lists and scalars.

    Raises:
        UsageError: it uses what DVC does not write.
    """
    lines = [
        (len(line) - len(line.lstrip()), line.strip())
        for line in text.splitlines()
        if line.strip() and not line.lstrip().startswith("#") and line.strip() != "---"
    ]
    document, rest = _block(lines, file) if lines else ({}, [])
    if rest:
        raise UsageError(f"{file} cannot be read at {rest[0][1][:60]!r}.", "is it a file of DVC?")
    return document


def _block(lines: list[_Line], file: Path) -> tuple[Any, list[_Line]]:
    depth, first = lines[0]
    return (_sequence if first.startswith("- ") else _mapping)(lines, depth, file)


def _sequence(lines: list[_Line], depth: int, file: Path) -> tuple[list[Any], list[_Line]]:
    items: list[Any] = []
    while lines and lines[0][0] == depth and lines[0][1].startswith("- "):
        inner = lines[0][1][2:].lstrip()
        place = depth + len(lines[0][1]) - len(inner)
        if _ENTRY.match(inner):
            item, lines = _mapping([(place, inner), *lines[1:]], place, file)
        else:
            item, lines = _scalar(inner), lines[1:]
        items.append(item)
    return items, lines


def _mapping(lines: list[_Line], depth: int, file: Path) -> tuple[dict[str, Any], list[_Line]]:
    found: dict[str, Any] = {}
    while lines and lines[0][0] == depth and not lines[0][1].startswith("- "):
        entry = _ENTRY.match(lines[0][1])
        if entry is None:
            raise UsageError(
                f"{file} cannot be read at {lines[0][1][:60]!r}.", "is it a file of DVC?"
            )
        lines, value = lines[1:], entry["value"]
        deeper = bool(lines) and (
            lines[0][0] > depth or (lines[0][0] == depth and lines[0][1].startswith("- "))
        )
        if not value and deeper:
            found[str(_scalar(entry["key"]))], lines = _block(lines, file)
            continue
        words, lines = _continued(value or "", lines, depth)
        found[str(_scalar(entry["key"]))] = _scalar(words)
    return found, lines


def _continued(words: str, lines: list[_Line], depth: int) -> tuple[str, list[_Line]]:
    """Return a scalar with the deeper lines that go on with it: long commands are folded so."""
    kept = [] if words[:1] in ("|", ">") else [words]
    while lines and lines[0][0] > depth:
        kept.append(lines[0][1])
        lines = lines[1:]
    return " ".join(kept), lines


def _scalar(text: str) -> Any:
    text = text.strip()
    if len(text) > 1 and text[0] == text[-1] == '"':
        return json.loads(text.replace("\\ ", " "))
    if text.startswith("'"):
        return text[1:-1].replace("''", "'")
    if re.fullmatch(r"-?\d+", text) and len(text) < 19:
        return int(text)
    return {"true": True, "false": False, "null": None, "": None}.get(text, text)
