"""Where each key of a TOML text stands: the scan that tomllib does not offer.

`tomllib` judges the text and gives the values; this scan only says where they are, so it may
rely on the text being valid TOML. Tests hold that both find the same keys.
"""

import bisect
import re
import tomllib
from collections.abc import Iterator

import msgspec

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_SCALAR = re.compile(r"[^,\]}\n#]+")
_STRINGS = (
    re.compile(r'"""(?:[^"\\]|\\.|"(?!""))*"{3,5}', re.DOTALL),
    re.compile(r"'''(?:[^']|'(?!''))*'{3,5}", re.DOTALL),
    re.compile(r'"(?:[^"\\\n]|\\.)*"'),
    re.compile(r"'[^'\n]*'"),
)


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where a key or an array item stands in a text.

    Attributes:
        line: the line of the key, from 1.
        start: the offset of the value's first character, or of the header's line.
        end: the offset after the value, or after the header.
        kind: "value", "inline" (an inline table) or "table" (a header, or implied by a key).
    """

    line: int
    start: int
    end: int
    kind: str = "value"


def path_of(*keys: str) -> str:
    """Return the path of nested keys as one would write it: `model."x.y".owner`."""
    return ".".join(key if _BARE.fullmatch(key) else quoted(key) for key in keys)


def quoted(text: str) -> str:
    """Return `text` as a TOML string: JSON's escapes are TOML's, which also forbids delete."""
    return msgspec.json.encode(text).decode().replace("\x7f", "\\u007f")


def key_places(text: str) -> dict[str, Place]:
    """Return the place of every table, key and array item of a valid TOML text, by path.

    Array items, and the tables of an array of tables, are written `path[0]`.
    """
    scan = _Scan(text)
    scan.document()
    return scan.places


def key_lines(text: str) -> dict[str, int]:
    """Return the line (from 1) of every table, key and array item of a valid TOML text."""
    return {path: place.line for path, place in key_places(text).items()}


def line_of(lines: dict[str, int], *keys: str) -> int:
    """Return the line of the nested `keys`, or of the nearest table that was written, or 1."""
    for depth in range(len(keys), 0, -1):
        line = lines.get(path_of(*keys[:depth]))
        if line is not None:
            return line
    return 1


def key_paths(value: object, path: str = "") -> Iterator[str]:
    """Yield the path of every key and array item inside a parsed TOML value."""
    if isinstance(value, dict):
        for key, inner in value.items():  # pyright: ignore[reportUnknownVariableType] - any TOML value
            inside = _joined(path, path_of(str(key)))  # pyright: ignore[reportUnknownArgumentType] - same
            yield inside
            yield from key_paths(inner, inside)
    elif isinstance(value, list):
        for index, inner in enumerate(value):  # pyright: ignore[reportUnknownVariableType] - any TOML value
            yield f"{path}[{index}]"
            yield from key_paths(inner, f"{path}[{index}]")


def _joined(path: str, inside: str) -> str:
    return f"{path}.{inside}" if path else inside


class _Scan:
    """One pass over a text; `at` is the offset of the next character."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.places: dict[str, Place] = {}
        self._arrays: dict[str, int] = {}
        self._starts = [0, *(found.end() for found in re.finditer("\n", text))]

    def document(self) -> None:
        table = ""
        self._skip(_BLANK)
        while self.at < len(self.text):
            if self.text[self.at] == "[":
                table = self._header()
            else:
                self._pair(table)
            self._skip(_BLANK)

    def _skip(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self.text, self.at)
        self.at = found.end() if found else self.at + 1
        return found[0] if found else ""

    def _keep(self, path: str, start: int, *, kind: str = "value", implied: bool = False) -> None:
        if implied and path in self.places:
            return
        line = bisect.bisect_right(self._starts, start)
        self.places[path] = Place(line=line, start=start, end=self.at, kind=kind)

    def _header(self) -> str:
        start = self.at
        many = self.text.startswith("[[", start)
        self.at += 2 if many else 1
        keys = self._keys()
        self.at += 2 if many else 1
        path = ""
        for key in keys[:-1]:
            path = self._latest(_joined(path, key))
            self._keep(path, start, kind="table", implied=True)
        path = _joined(path, keys[-1])
        if many:
            self._keep(path, start, kind="table", implied=True)
            self._arrays[path] = self._arrays.get(path, -1) + 1
        path = self._latest(path)
        self._keep(path, start, kind="table")
        return path

    def _latest(self, path: str) -> str:
        return f"{path}[{self._arrays[path]}]" if path in self._arrays else path

    def _keys(self) -> list[str]:
        keys: list[str] = []
        while True:
            self._skip(_SPACE)
            keys.append(self._key())
            self._skip(_SPACE)
            if not self.text.startswith(".", self.at):
                return keys
            self.at += 1

    def _key(self) -> str:
        if self.text[self.at] in "\"'":
            token = self._string()
            return path_of(tomllib.loads(f"key = {token}")["key"])
        return self._skip(_BARE)

    def _string(self) -> str:
        for pattern in _STRINGS:
            if pattern.match(self.text, self.at):
                return self._skip(pattern)
        return self._skip(_SCALAR)

    def _pair(self, table: str) -> None:
        start = self.at
        path = table
        keys = self._keys()
        for key in keys[:-1]:
            path = _joined(path, key)
            self._keep(path, start, kind="table", implied=True)
        path = _joined(path, keys[-1])
        self.at += 1  # the equals sign
        self._skip(_SPACE)
        self._value(path, start)

    def _value(self, path: str, key_start: int) -> None:
        start = self.at
        opener = self.text[start : start + 1]
        if opener == "[":
            self._array(path)
        elif opener == "{":
            self._inline_table(path)
        elif opener in {'"', "'"}:
            self._string()
        else:
            self.at = start + len(self._skip(_SCALAR).rstrip())
        line = bisect.bisect_right(self._starts, key_start)
        kind = "inline" if opener == "{" else "value"
        self.places[path] = Place(line=line, start=start, end=self.at, kind=kind)

    def _array(self, path: str) -> None:
        index = 0
        self.at += 1
        self._skip(_BLANK)
        while self.at < len(self.text) and self.text[self.at] != "]":
            self._value(f"{path}[{index}]", self.at)
            index += 1
            self._separator()
        self.at += 1

    def _inline_table(self, path: str) -> None:
        self.at += 1
        self._skip(_BLANK)
        while self.at < len(self.text) and self.text[self.at] != "}":
            self._pair(path)
            self._separator()
        self.at += 1

    def _separator(self) -> None:
        self._skip(_BLANK)
        if self.text.startswith(",", self.at):
            self.at += 1
            self._skip(_BLANK)
