"""Polars expressions that travel: written as JSON, read back only if every part of one is known.

Polars can carry pickled Python inside an expression. Nothing is handed to its reader before each
node was found in the closed lists below; a literal may hold plain values only.
"""

import io
import json
from typing import TYPE_CHECKING, Any

from thrive.domain.errors import UnsafeModel, UsageError

if TYPE_CHECKING:
    import polars as pl

MAX_BYTES = 65_536
_NODES = frozenset({"Alias", "BinaryExpr", "Cast", "Column", "Function", "Literal", "Ternary"})
_FUNCTIONS = frozenset(
    {"Boolean", "FillNull", "StringExpr", "TemporalExpr", "Abs", "Pow", "Round", "Clip", "Coalesce"}
    | {"Floor", "Ceil", "Log", "Log1p", "Exp", "Trigonometry", "Sign", "FillNullWithStrategy"}
    | {"MinHorizontal", "MaxHorizontal", "SumHorizontal", "MeanHorizontal", "Negate"}
)
_OF_MANY_ROWS = frozenset(
    {"All", "Any", "IsDuplicated", "IsUnique", "IsFirstDistinct", "IsLastDistinct", "IsEmpty"}
    | {"HasNulls", "ConcatVertical", "Forward", "Backward", "Mean", "Min", "Max"}
)
"""What these functions are called inside their family: their answer for a row reads other rows."""
_LITERALS = frozenset({"Dyn", "Scalar"})
_SCALARS = frozenset(
    {"Int", "Float", "Str", "String", "Boolean", "Null", "Date", "Duration", "Datetime"}
    | {"Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64"}
    | {"Float32", "Float64"}
)
_PLAIN = (str, int, float, bool, type(None))


def pack_expression(expression: "pl.Expr", name: str) -> str:
    """Return an expression as JSON that `unpack_expression` takes.

    Args:
        expression: reads columns of its own row.
        name: the feature it computes, for the error.

    Raises:
        UsageError: it calls Python, or something else that is not on the list.
    """
    text = expression.meta.serialize(format="json")
    try:
        _check(text)
    except UnsafeModel as error:
        raise UsageError(
            f"On-demand feature {name!r} cannot be served: {error.what}",
            "use arithmetic, comparisons, when/then, and the .dt and .str methods of polars",
        ) from None
    return text


def reads_its_row_alone(node: Any) -> bool:
    """Tell whether an expression, as decoded JSON, is made of the parts that are allowed here.

    What is not known here may do so all the same.
    """
    try:
        _check_node(node)
    except (UnsafeModel, ValueError, RecursionError, TypeError, KeyError, AttributeError):
        return False
    return True


def unpack_expression(text: str) -> "pl.Expr":
    """Return the expression in JSON that `pack_expression` wrote.

    Raises:
        UnsafeModel: a part of it is not on the list.
    """
    import polars as pl

    _check(text)
    try:
        return pl.Expr.deserialize(io.BytesIO(text.encode()), format="json")
    except (pl.exceptions.PolarsError, ValueError) as error:
        raise UnsafeModel(f"An expression cannot be read: {error}.", "register again") from None


def _check(text: str) -> None:
    if len(text) > MAX_BYTES:
        raise UnsafeModel(f"An expression has {len(text)} bytes.", f"at most {MAX_BYTES}")
    try:
        _check_node(json.loads(text))
    except (ValueError, RecursionError, TypeError, KeyError, AttributeError):
        raise UnsafeModel("An expression cannot be read.", "register again") from None


def _check_node(node: Any) -> None:
    """Walk one node of an expression and all below it."""
    kind, body = _only(node)
    if kind not in _NODES:
        raise UnsafeModel(f"{kind} is no part of an expression that is allowed here.", "")
    match kind:
        case "Column":
            _require_plain(body)
        case "Literal":
            _check_literal(body)
        case "Alias":
            inner, name = body
            _require_plain(name)
            _check_node(inner)
        case "BinaryExpr":
            _require_plain(body["op"])
            _check_node(body["left"])
            _check_node(body["right"])
        case "Cast":
            _check_type(body["dtype"])
            _require_plain(body["options"])
            _check_node(body["expr"])
        case "Ternary":
            for part in ("predicate", "truthy", "falsy"):
                _check_node(body[part])
        case _:
            _check_function(body)


def _check_function(body: dict[str, Any]) -> None:
    called = body["function"]
    name = called if isinstance(called, str) else _only(called)[0]
    if name not in _FUNCTIONS:
        raise UnsafeModel(f"The function {name} is not allowed here.", "")
    if not isinstance(called, str):
        _refuse_other_rows(_only(called)[1])
    _require_plain_tree(called)
    for node in body["input"]:
        _check_node(node)


def _refuse_other_rows(which: Any) -> None:
    called = _only(which)[0] if isinstance(which, dict) and len(which) == 1 else which
    if isinstance(called, str) and called in _OF_MANY_ROWS:
        raise UnsafeModel(f"{called} reads other rows than its own.", "")


def _check_literal(body: Any) -> None:
    kind, value = _only(body)
    if kind not in _LITERALS:
        raise UnsafeModel(f"A literal of the kind {kind} is not allowed here.", "")
    name = value if isinstance(value, str) else _only(value)[0]
    if name not in _SCALARS:
        raise UnsafeModel(f"A literal of the type {name} is not allowed here.", "")
    _require_plain_tree(value)


def _check_type(body: Any) -> None:
    kind, _ = _only(body)
    if kind != "Literal":
        raise UnsafeModel("A computed type is not allowed here.", "")
    _require_plain_tree(body)


def _only(node: Any) -> tuple[str, Any]:
    """Return the one name of a node and what it holds."""
    ((name, body),) = node.items()
    return name, body


def _require_plain(value: Any) -> None:
    if not isinstance(value, _PLAIN) and not (isinstance(value, dict) and len(value) == 1):
        raise UnsafeModel(f"A {type(value).__name__} is not allowed here.", "")


def _require_plain_tree(value: Any) -> None:
    """Let through names, numbers and texts in any nesting of objects; no lists of bytes."""
    if isinstance(value, dict):
        for each in value.values():
            _require_plain_tree(each)
    elif isinstance(value, list):
        if len(value) > 8 or not all(isinstance(each, _PLAIN) for each in value):
            raise UnsafeModel("A long list is not allowed here.", "")
    elif not isinstance(value, _PLAIN):
        raise UnsafeModel(f"A {type(value).__name__} is not allowed here.", "")
