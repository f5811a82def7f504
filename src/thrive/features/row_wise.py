"""Whether a view makes each of its rows from one row of its source alone, or from windows of them.

Where it does, new rows of a source make new rows of the view and change few others, so that only
they must be read. Seen from the plan that Polars makes of the function, over an empty table.
"""

import json
import warnings
from typing import TYPE_CHECKING, Any

from thrive.features.declare import View
from thrive.features.windows import asked_windows
from thrive.packaging.expressions import reads_its_row_alone

if TYPE_CHECKING:
    import polars as pl

Step = tuple[str, Any]
"""One step of a plan: its kind, its body."""


def is_row_wise(view: View, schema: "pl.Schema") -> bool:
    """Tell whether rows of a view's one source can be read apart from each other.

    Args:
        view: its function is called on an empty table.
        schema: the columns of its source.

    Returns:
        False as well where the plan has a part that is not known here.
    """
    import polars as pl

    if len(view.definition.sources) != 1:
        return False
    return _steps(view(pl.LazyFrame(schema=schema))) is not None


def is_windows(view: View, schema: "pl.Schema") -> bool:
    """Tell whether a view is windows of events, each event made from one row of its one source.

    What it makes of the windows' rows may look at one row at a time, leave none out, and keep the
    key and the times as they are.

    Args:
        view: its function is called on an empty table.
        schema: the columns of its source.
    """
    import polars as pl

    defined = view.definition
    if len(defined.sources) != 1:
        return False
    seen, rows = asked_windows(view, pl.LazyFrame(schema=schema))
    if len(seen) != 1 or _steps(seen[0].events) is None:
        return False
    (asked,) = seen
    steps = _steps(rows)
    if steps is None or any(kind == "Filter" for kind, _ in steps):
        return False
    names = {name: name for name in (*asked.keys, asked.time, asked.recorded)}
    for kind, body in steps:
        names = _renamed(names, body) if kind == "MapFunction" else _selected(names, kind, body)
    return (
        sorted(names.get(key, "") for key in defined.entity) == sorted(asked.keys)
        and names.get(defined.event_time) == asked.time
        and names.get(defined.recorded_time, "") == asked.recorded
    )


def _renamed(names: dict[str, str], body: Any) -> dict[str, str]:
    """Return names = the columns they were before, after a renaming."""
    said = body["function"]["Rename"]
    new = dict(zip(said["existing"], said["new"], strict=True))
    return {new.get(name, name): before for name, before in names.items()}


def _selected(names: dict[str, str], kind: str, body: Any) -> dict[str, str]:
    """Return names = the columns they were before, after a selection or an addition."""
    expressions = body["expr" if kind == "Select" else "exprs"]
    found = dict(names) if kind == "HStack" else {}
    for each in expressions:
        if "Selector" in each:
            found |= names
            continue
        source, name = _passed(each)
        if name is None:
            return {}
        if source in names:
            found[name] = names[source]
        else:
            found.pop(name, None)
    return found


def _passed(expression: Any) -> tuple[str | None, str | None]:
    """Return the column that an expression passes on as it is, None if none; its own name."""
    import polars as pl

    match expression:
        case {"Column": str(source)}:
            return source, source
        case {"Alias": [{"Column": str(source)}, str(name)]}:
            return source, name
        case _:
            made = pl.Expr.deserialize(json.dumps(expression).encode(), format="json")
            return None, made.meta.output_name(raise_if_undetermined=False)


def _steps(rows: "pl.LazyFrame") -> list[Step] | None:
    """Return the steps from the table that a plan begins with; None where one is not plain."""
    import polars as pl

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # no other form than JSON can be walked
        try:
            text = rows.serialize(format="json")
        except (pl.exceptions.PolarsError, TypeError, ValueError):  # the function calls Python
            return None
    plan, found = json.loads(text), []
    while isinstance(plan, dict) and len(plan) == 1:
        ((kind, body),) = plan.items()
        if kind == "DataFrameScan":
            return found[::-1]
        if kind == "IR":  # a plan whose columns were asked for before
            plan = body["dsl"]
            continue
        if not _is_plain(kind, body):
            return None
        found.append((kind, body))
        plan = body["input"]
    return None


def _is_plain(kind: str, body: Any) -> bool:
    match kind:
        case "Select":
            return all(_is_known(each) for each in body["expr"])
        case "HStack":
            return all(_is_known(each) for each in body["exprs"])
        case "Filter":
            return _is_known(body["predicate"])
        case "MapFunction":
            return "Rename" in body["function"]
        case _:
            return False


def _is_known(expression: Any) -> bool:
    return "Selector" in expression or reads_its_row_alone(expression)
