"""What an operation returned, as a person, a pipe or a program wants it.

On a terminal: tables and key-value lines, with short ids and readable times. In a pipe: tabs,
with whole values. With `--json`: JSON, one line a value. What is shown is told by the result's
fields alone, so that no operation needs a view of its own.
"""

import io
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import NoneType
from typing import Any, NamedTuple, TextIO, cast, get_args, get_origin

import msgspec

from thrive.cli.safe import printable
from thrive.cli.values import cell, plain, scalar
from thrive.domain.project import Page

Row = dict[str, Any]
_MARK = re.compile("[0-9a-f]{32,}")
_PLAIN = {str, bool, int, float, NoneType}
_ESCAPE = re.compile("\x1b\\[[0-9;]*m")
SENTENCE = 40
"""A text in a list that is longer than this has a line of its own."""
NARROW = 25
"""Words up to this length are never broken: times, short ids, names."""
DOCUMENT = "text"
"""The field that holds a document: it is printed as it is, below what is said of it."""
MANY = 60
"""More words in one list than these are counted for people."""
MANY_MARKS = 20
"""More digests under one name than these are counted for people."""
FEW = 3
"""So many numbers of one mapping are told to people in a cell."""
DEEP = 2
"""How many records inside another lie deep."""
PADDING = 3
"""What a table draws around a column."""


class Theirs(str):
    """A name that a user gave (a metric, a parameter): it is shown as it is."""

    __slots__ = ()


class Style(NamedTuple):
    """How to print: JSON, for people (tables, short values), with colour.

    `columns` are the fields of a list that people see; all of them if empty. `live` says that
    each value of a stream takes the place of the one before.
    """

    as_json: bool
    for_people: bool
    colour: bool
    columns: tuple[str, ...] = ()
    live: bool = False

    @classmethod
    def of(
        cls, stream: TextIO, *, as_json: bool, columns: tuple[str, ...] = (), live: bool = False
    ) -> "Style":
        """Return the style for a stream; NO_COLOR and FORCE_COLOR are obeyed."""
        terminal = stream.isatty()
        forced = bool(os.environ.get("FORCE_COLOR"))
        colour = (terminal or forced) and not os.environ.get("NO_COLOR")
        drawn = live and terminal and not as_json and os.environ.get("TERM") != "dumb"
        return cls(as_json, terminal or forced, colour, columns, drawn)


def render(
    result: Any, style: Style, stream: TextIO, before: Callable[[], None] = lambda: None
) -> None:
    """Print a result.

    Args:
        result: a struct, a list or page of structs, a mapping, a text, an iterator, or None.
        style: how.
        stream: where to.
        before: called before anything is printed, e.g. to remove a progress bar.
    """
    if isinstance(result, Iterator):
        place = Place(stream)
        for item in result:
            before()
            if style.live:
                drawn = io.StringIO()
                _render_value(item, style, drawn, nested=False)
                place.show(drawn.getvalue())
            else:
                _render_value(item, style, stream, nested=True)
            stream.flush()
        return
    before()
    _render_value(result, style, stream, nested=False)


def _render_value(result: Any, style: Style, stream: TextIO, *, nested: bool) -> None:
    if style.as_json:
        stream.write(msgspec.json.encode(result, enc_hook=plain).decode() + "\n")
    elif result is None:
        return
    elif isinstance(result, Page):
        _rows(result.items, style, stream, style.columns)
        if result.next and style.for_people:
            stream.write(f"more: --after {printable(result.next)}\n")
    elif isinstance(result, list | tuple):
        _rows(result, style, stream, style.columns)
    elif _is_record(result):
        _record(_row(result), style, stream, one_line=nested)
    else:
        stream.write(printable(str(result), lines=True) + "\n")


class Place:
    """A place on a terminal in which one text follows the other.

    Args:
        stream: the terminal.
        width: its columns; as wide as it is if not said.
    """

    def __init__(self, stream: TextIO, width: int | None = None) -> None:
        self._stream = stream
        self._width = width
        self._rows = 0

    def show(self, text: str) -> None:
        """Write whole lines over those of the last time."""
        if self._rows:
            self._stream.write(f"\x1b[{self._rows}F\x1b[J")
        self._stream.write(text)
        width = self._width or shutil.get_terminal_size().columns
        lengths = [len(_ESCAPE.sub("", line)) for line in text.splitlines()]
        self._rows = sum(max(1, -(-length // width)) for length in lengths)


def _is_record(value: Any) -> bool:
    return isinstance(value, msgspec.Struct | dict)


def _row(record: Any) -> Row:
    if isinstance(record, dict):
        return {str(key): value for key, value in record.items()}
    return {name: getattr(record, name) for name in record.__struct_fields__}


def _rows(
    items: Sequence[Any], style: Style, stream: TextIO, columns: tuple[str, ...] = ()
) -> None:
    if _are_sentences(items):
        mark = "- " if style.for_people else ""
        stream.writelines(f"{mark}{printable(item)}\n" for item in items)
        return
    rows = [_row(item) if _is_record(item) else {"value": item} for item in items]
    if not rows:
        if style.for_people:
            stream.write("none\n")
        return
    if columns and style.for_people:
        rows = [{name: flat.get(name) for name in columns} for flat in map(_flatly, rows)]
    elif not style.for_people:
        rows = [_with_fields_of_records(row) for row in rows]
    for name in _measured(type(items[0])) & {*rows[0]}:
        told = [_told(cast("Row", row[name]), people=style.for_people) for row in rows]
        rows = [{**row, name: text} for row, text in zip(rows, told, strict=True)]
    wanted = list(rows[0])
    names = [name for name in wanted if _shown(name, rows, style)]
    cells = [[cell(name, row.get(name), people=style.for_people) for name in names] for row in rows]
    if style.for_people:
        _draw(names, cells, style, stream)
    else:
        stream.writelines("\t".join(line) + "\n" for line in (names, *cells))


def _are_sentences(items: Sequence[Any]) -> bool:
    """Tell whether a list is of sentences, each of which needs a line of its own."""
    texts = [item for item in items if isinstance(item, str)]
    return len(texts) == len(items) and any(len(text) > SENTENCE and " " in text for text in texts)


def _with_fields_of_records(row: Row) -> Row:
    """Return a row with the fields of the records inside it as `outer.inner`.

    Texts of several lines stay out: a row of a table is one line.
    """
    found: Row = {}
    for name, value in row.items():
        inside = _row(value) if isinstance(value, msgspec.Struct) else None
        if inside is None:
            found[name] = value
            continue
        lines = {key: each for key, each in inside.items() if "\n" not in str(each)}
        found |= {f"{name}.{key}": each for key, each in lines.items()}
    return found


def _measured(kind: type[Any]) -> set[str]:
    """Return the fields of a record that map names to numbers, as the metrics of a run.

    Texts may be among them, as in the columns that name a group.
    """
    found: dict[str, Any] = getattr(kind, "__annotations__", {})
    values = {name: get_args(each)[1] for name, each in found.items() if get_origin(each) is dict}
    kinds = {name: {*(get_args(each) or (each,))} for name, each in values.items()}
    return {name for name, each in kinds.items() if each <= _PLAIN and each & {int, float}}


def _told(values: Mapping[str, Any], *, people: bool) -> str:
    """Return numbers by name as one text; people are told of the first."""
    told = [f"{key} {cell(key, each, people=people)}" for key, each in values.items()]
    more = people and len(told) > FEW
    return ", ".join([*told[:FEW], "..."] if more else told)


def _flatly(row: Row) -> Row:
    return dict(_flat(row, people=True))


def _shown(name: str, rows: list[Row], style: Style) -> bool:
    values = [row.get(name) for row in rows]
    if not all(scalar(value) for value in values):
        return False
    nothing = (None, "") if style.columns else (None, "", False)
    return not style.for_people or any(value not in nothing for value in values)


def _draw(names: list[str], cells: list[list[str]], style: Style, stream: TextIO) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    table = RichTable(box=SIMPLE_HEAD, pad_edge=False, header_style="bold")
    console = Console(
        file=stream, no_color=not style.colour, highlight=False, force_terminal=style.colour
    )
    columns = list(zip(*cells, strict=True))
    least = [_least_width(name, column) for name, column in zip(names, columns, strict=True)]
    console.width = max(console.width, sum(least) + PADDING * len(names))
    room = console.width - PADDING * len(names)
    widths = _widths(least, [_widest(*each) for each in zip(names, columns, strict=True)], room)
    for name, width in zip(names, widths, strict=True):
        table.add_column(_heading(name), overflow="fold", width=width)
    for line in cells:
        table.add_row(*(Text(value) for value in line))
    console.print(table)


def _heading(name: str) -> str:
    return name.rpartition(".")[2].replace("_", " ")


def _widest(name: str, column: tuple[str, ...]) -> int:
    from rich.cells import cell_len

    return max(cell_len(line) for value in (*column, _heading(name)) for line in value.split("\n"))


def _widths(least: list[int], widest: list[int], room: int) -> list[int]:
    """Return how wide each column is: none below its least, the narrow ones as wide as they like.

    What room is left goes to the others, evenly.
    """
    low, high = 0, max(widest)
    while low < high:
        cap = (low + high + 1) // 2
        taken = sum(min(most, max(few, cap)) for few, most in zip(least, widest, strict=True))
        low, high = (cap, high) if taken <= room else (low, cap - 1)
    return [min(most, max(few, low)) for few, most in zip(least, widest, strict=True)]


def _least_width(name: str, column: tuple[str, ...]) -> int:
    """Return the width a column cannot go below: words up to NARROW are never broken."""
    words = [word for value in (*column, _heading(name)) for word in value.split(" ")]
    return max(min(len(word), NARROW) for word in words)


def _record(row: Row, style: Style, stream: TextIO, *, one_line: bool) -> None:
    """Print scalars as lines of key and value, then lists of records as tables, then a document.

    People read ids and digests below the tables: they are looked up, what is said is read.
    """
    said = _flat(row, people=style.for_people)
    flat = {name: value for name, value in said if value not in (None, "", [], {})}
    flat.pop("next_hint", None)  # it is printed after the result, on standard error
    whole = not one_line and (style.for_people or "\n" in str(flat.get(DOCUMENT, "")))
    document = str(flat.pop(DOCUMENT, "")) if whole else ""
    if document and style.for_people:  # it says in words what lies deep
        flat = {name: value for name, value in flat.items() if name.count(".") < DEEP}
    lines = {name: value for name, value in flat.items() if scalar(value)}
    texts = {name: cell(name, value, people=style.for_people) for name, value in lines.items()}
    if one_line:
        stream.write("\t".join(texts.values()) + "\n")
        return
    tables = {name: value for name, value in flat.items() if name not in lines}
    marks = {name for name, value in lines.items() if tables and style.for_people and _mark(value)}
    _lines({name: text for name, text in texts.items() if name not in marks}, style, stream)
    for name, value in tables.items():
        stream.write(f"\n{printable(name.replace('_', ' '))}:\n")
        _rows(value, style, stream)
    if marks:
        stream.write("\n")
        _lines({name: text for name, text in texts.items() if name in marks}, style, stream)
    if document:
        stream.write(f"\n{printable(document, lines=True)}\n")


def _lines(texts: dict[str, str], style: Style, stream: TextIO) -> None:
    width = max((len(name) for name in texts), default=0)
    for name, text in texts.items():
        plain_words = style.for_people and not isinstance(name, Theirs)
        shown = printable(name.replace("_", " ") if plain_words else name)
        stream.write(f"{shown:<{width}}  {text}\n" if style.for_people else f"{shown}\t{text}\n")


def _mark(value: Any) -> bool:
    """Tell whether a value is an id, a digest or a signature."""
    return isinstance(value, str) and _MARK.fullmatch(value) is not None


def _word(value: Any) -> bool:
    return isinstance(value, str)


def _is_a_list_of_marks(row: Row) -> bool:
    """Tell whether a mapping is of many digests, which nobody reads one by one."""
    return len(row) > MANY_MARKS and all(_mark(value) for value in row.values())


def _flat(
    row: Row, prefix: str = "", *, people: bool, named: type[str] = str
) -> Iterator[tuple[str, Any]]:
    """Yield the fields of a record; those of records inside it as `outer.inner`."""
    for own, value in row.items():
        name = named(f"{prefix}{own}")
        if people and isinstance(value, dict) and _is_a_list_of_marks(cast("Row", value)):
            yield name, f"{len(value)} digests (--json lists them)"
        elif _is_record(value):
            inner = Theirs if isinstance(value, dict) else named
            yield from _flat(_row(value), f"{name}.", people=people, named=inner)
        elif isinstance(value, list) and _are_sentences(cast("list[Any]", value)):
            yield name, value
        elif people and isinstance(value, list) and len(value) > MANY and all(map(_word, value)):
            yield name, f"{len(value)} (--json lists them)"
        elif isinstance(value, list | tuple) and not any(_is_record(item) for item in value):
            yield name, ", ".join(plain_text(item) for item in value)
        else:
            yield name, value


def plain_text(value: Any) -> str:
    """Return one item of a list as text."""
    return value if isinstance(value, str) else msgspec.json.encode(value, enc_hook=plain).decode()
