"""Whether a view makes each of its rows from one row of its source alone.

Where it does, new rows of a source make new rows of the view and change no other, so that only
they must be read. Seen from the plan that Polars makes of the function, over an empty table.
"""

import json
import warnings
from typing import TYPE_CHECKING, Any

from thrive.features.declare import View
from thrive.packaging.expressions import reads_its_row_alone

if TYPE_CHECKING:
    import polars as pl


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
    rows = view(pl.LazyFrame(schema=schema))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # no other form than JSON can be walked
        try:
            text = rows.serialize(format="json")
        except (pl.exceptions.PolarsError, TypeError, ValueError):  # the function calls Python
            return False
    return _is_plain(json.loads(text))


def _is_plain(plan: Any) -> bool:
    """Walk a plan down to the table it begins with."""
    while True:
        if not isinstance(plan, dict) or len(plan) != 1:
            return False
        ((kind, body),) = plan.items()
        match kind:
            case "DataFrameScan":
                return True
            case "Select":
                known = all(_is_known(each) for each in body["expr"])
            case "HStack":
                known = all(_is_known(each) for each in body["exprs"])
            case "Filter":
                known = _is_known(body["predicate"])
            case "MapFunction":
                known = "Rename" in body["function"]
            case _:
                return False
        if not known:
            return False
        plan = body["input"]


def _is_known(expression: Any) -> bool:
    return "Selector" in expression or reads_its_row_alone(expression)
