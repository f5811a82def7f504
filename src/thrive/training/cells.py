"""The code of a notebook as cells, and the names that a run from top to bottom does not find."""

import builtins
import itertools
import json
import symtable
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec

from thrive.domain.errors import UsageError

FORMAT = 4
PARAMETERS_TAG = "parameters"
INJECTED_TAG = "injected-parameters"
SKIPPED_TAG = "skip-execution"
MAY_FAIL_TAG = "raises-exception"
_KNOWN = frozenset({*dir(builtins), "get_ipython", "display", "In", "Out", "_", "__", "___"})
_GIVEN = frozenset({"__file__", "__name__", "__doc__", "exit", "quit"})


class Missing(msgspec.Struct, frozen=True, kw_only=True):
    """A name that a cell uses and no cell before it binds.

    Attributes:
        name: the name.
        cell: the number of the cell that uses it first.
        later: the number of the first cell that binds it further down, 0 if none does.
    """

    name: str
    cell: int
    later: int

    def words(self) -> str:
        """Return it as a sentence without its full stop."""
        if self.later:
            return f"cell {self.cell} uses {self.name!r}, which only cell {self.later} makes"
        return f"cell {self.cell} uses {self.name!r}, which no cell makes any more"


def read_notebook(file: Path) -> dict[str, Any]:
    """Return a notebook as its file has it.

    Raises:
        UsageError: the file is no notebook of format 4.
    """
    try:
        book = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        raise UsageError(f"{file.name} is no notebook: it is not JSON.", "save it anew") from None
    if not isinstance(book, dict) or book.get("nbformat") != FORMAT or "cells" not in book:
        raise UsageError(f"{file.name} is no notebook of format 4.", "save it in Jupyter")
    return book


def code_cells(book: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the cells of a notebook that hold code."""
    return [cell for cell in book["cells"] if cell.get("cell_type") == "code"]


def cell_numbers(found: list[dict[str, Any]]) -> list[int]:
    """Return the number of each cell as its author counts: the cell of given parameters is 0."""
    numbers = itertools.count(1)
    return [0 if INJECTED_TAG in tags_of(cell) else next(numbers) for cell in found]


def source_of(cell: dict[str, Any]) -> str:
    """Return the text of a cell."""
    source = cell.get("source", "")
    return source if isinstance(source, str) else "".join(source)


def tags_of(cell: dict[str, Any]) -> list[str]:
    """Return the tags of a cell."""
    return cell.get("metadata", {}).get("tags", [])


def give_parameters(book: dict[str, Any], values: dict[str, Any]) -> None:
    """Put a cell with parameters after the one that is tagged `parameters`.

    Raises:
        UsageError: the notebook has no such cell.
    """
    book["cells"] = [cell for cell in book["cells"] if INJECTED_TAG not in tags_of(cell)]
    if not values:
        return
    tagged = [place for place, each in enumerate(book["cells"]) if PARAMETERS_TAG in tags_of(each)]
    bad = next((name for name in values if not name.replace("-", "_").isidentifier()), None)
    if not tagged or bad is not None:
        what = f"no cell tagged {PARAMETERS_TAG!r}" if not tagged else f"no parameter {bad!r}"
        raise UsageError(f"The notebook has {what}.", 'tag the cell with the defaults "parameters"')
    lines = [f"{name.replace('-', '_')} = {value!r}" for name, value in values.items()]
    cell: dict[str, Any] = {
        "cell_type": "code",
        "execution_count": None,
        "metadata": {"tags": [INJECTED_TAG]},
        "outputs": [],
        "source": "\n".join(lines),
    }
    if book.get("nbformat_minor", 0) >= 5:
        cell["id"] = INJECTED_TAG
    book["cells"].insert(tagged[0] + 1, cell)


def out_of_order(book: dict[str, Any]) -> bool:
    """Tell whether the outputs that were saved came from another order than top to bottom."""
    counts = [count for cell in code_cells(book) if (count := cell.get("execution_count"))]
    return counts != sorted(counts)


def missing_names(
    sources: Iterable[str], plain: Callable[[str], str], certain: str | None = None
) -> list[Missing]:
    """Return the names that cells use before any cell binds them, in the order of the cells.

    Args:
        sources: the text of each code cell.
        plain: turns the text of a cell into plain Python (magics become calls).
        certain: a name that was not found, so that a use inside of functions counts as well.
    """
    tables = [_table(plain(source)) for source in sources]
    bound = [_bound(table) if table else set[str]() for table in tables]
    somewhere = set[str]().union(*bound) - {certain}
    known: set[str] = set()
    found: dict[str, Missing] = {}
    for number, table in enumerate(tables, 1):
        if table is None:
            return []
        known |= bound[number - 1]
        asked = _looked_up(table) | (_looked_up_inside(table) - somewhere)
        for name in sorted(asked - known - _KNOWN - _GIVEN - found.keys()):
            after = (later for later, names in enumerate(bound, 1) if name in names)
            found[name] = Missing(name=name, cell=number, later=next(after, 0))
    return list(found.values())


def _table(source: str) -> symtable.SymbolTable | None:
    """Return the names of a cell; None if it cannot be read or binds names that nobody sees."""
    if "import *" in source:
        return None
    try:
        return symtable.symtable(source, "cell", "exec")
    except SyntaxError:
        return None


def _bound(table: symtable.SymbolTable) -> set[str]:
    inner = (child for child in _below(table) if child.get_type() == "function")
    declared = {each.get_name() for child in inner for each in _global_bindings(child)}
    names = {each.get_name() for each in table.get_symbols() if _binds(each)}
    return names | declared


def _global_bindings(table: symtable.SymbolTable) -> list[symtable.Symbol]:
    return [
        each for each in table.get_symbols() if each.is_declared_global() and each.is_assigned()
    ]


def _binds(symbol: symtable.Symbol) -> bool:
    return symbol.is_assigned() or symbol.is_imported() or symbol.is_namespace()


def _looked_up(table: symtable.SymbolTable) -> set[str]:
    return {each.get_name() for each in table.get_symbols() if each.is_referenced()}


def _looked_up_inside(table: symtable.SymbolTable) -> set[str]:
    """Return the names that functions and classes of a cell look up among those of the notebook.

    When they do is not known: a cell further down may bind them before the call.
    """
    return {
        each.get_name()
        for child in _below(table)
        for each in child.get_symbols()
        if each.is_global() and each.is_referenced()
    }


def _below(table: symtable.SymbolTable) -> list[symtable.SymbolTable]:
    found: list[symtable.SymbolTable] = []
    for child in table.get_children():
        found += [child, *_below(child)]
    return found
