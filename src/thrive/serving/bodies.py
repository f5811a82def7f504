"""What request bodies mean: rows in our own form and in that of MLflow, and the answers' forms."""

import io
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import msgspec

from thrive.domain.features import ValueStatus
from thrive.packaging.compiled import CompiledReader
from thrive.serving.answering import prediction_ids
from thrive.serving.answers import Answer, Part
from thrive.serving.asgi import JSON, Headers, HttpError, decode_json
from thrive.serving.quick import Reading

CSV = b"text/csv"
_FORMS = "dataframe_records, dataframe_split, instances or inputs"


def native_rows(body: Any) -> list[dict[str, Any]]:
    """Return the rows of `{"rows": [...]}` or of one row object.

    Raises:
        HttpError: 422, it is neither.
    """
    if type(body) is dict:
        if "rows" not in body:
            return [cast("dict[str, Any]", body)]
        return _checked(body["rows"], "rows")
    raise _no_rows(f"The body is {_kind(body)}, not an object.")


def mlflow_rows(body: Any) -> list[dict[str, Any]]:
    """Return the rows of an MLflow scoring body.

    Raises:
        HttpError: 422, it has another form.
    """
    if type(body) is not dict:
        raise _no_rows(f"The body is {_kind(body)}, not an object.")
    given = [name for name in _FORMS.replace(" or", ",").split(", ") if name in body]
    if len(given) != 1:
        raise HttpError(422, "InvalidRows", f"The body has {len(given)} of {_FORMS}.", "send one")
    found: Any = body[given[0]]
    if given[0] == "dataframe_split":
        return _split(found)
    if type(found) is dict and given[0] != "dataframe_records":
        return _columns(found, given[0])
    return _checked(found, given[0])


def _split(found: Any) -> list[dict[str, Any]]:
    columns, data = (found.get("columns"), found.get("data")) if type(found) is dict else (0, 0)
    if type(columns) is not list or type(data) is not list:
        raise _no_rows("dataframe_split has no lists `columns` and `data`.")
    width = len(columns)
    if not all(type(name) is str for name in columns):
        raise _no_rows("dataframe_split.columns holds something else than names.")
    if not all(type(values) is list and len(values) == width for values in data):
        raise _no_rows(f"A row of dataframe_split.data does not have {width} values.")
    return _checked([dict(zip(columns, values, strict=True)) for values in data], "data")


def _columns(found: dict[str, Any], name: str) -> list[dict[str, Any]]:
    lists = [values for values in found.values() if type(values) is list]
    if not lists:
        return [found]
    lengths = {len(values) for values in lists}
    if len(lists) != len(found) or len(lengths) != 1:
        raise _no_rows(f"The columns of {name} are not lists of one length.")
    rows = [dict(zip(found, values, strict=True)) for values in zip(*lists, strict=True)]
    return _checked(rows, name)


def _checked(rows: Any, name: str) -> list[dict[str, Any]]:
    if type(rows) is not list or not rows:
        raise _no_rows(f"{name} is {_kind(rows)}, not a list of row objects.")
    for number, row in enumerate(rows):
        if type(row) is not dict:
            raise _no_rows(f"Row {number} is {_kind(row)}, not an object of fields.")
    return cast("list[dict[str, Any]]", rows)


def _no_rows(message: str) -> HttpError:
    return HttpError(422, "InvalidRows", message, 'send e.g. {"rows": [{"field": 1}]}')


def _kind(value: Any) -> str:
    if value == []:
        return "empty"
    names = {dict: "an object", list: "a list", str: "a text", bool: "a truth value"}
    return "null" if value is None else names.get(type(value), "a number")


class _Prediction(msgspec.Struct, gc=False):
    """One row of an answer."""

    id: str | None
    score: float | None
    decision: Any


class _Whole(msgspec.Struct, gc=False):
    """The answer of one version to a whole request."""

    model: str
    version: int
    variant: str
    predictions: list[_Prediction]


_encode = msgspec.json.Encoder().encode


def native_answer(parts: list[Part]) -> bytes:
    """Return the JSON of an answer in our own form.

    `version` and `variant` stand once when one version answered every row, else with each row.
    """
    first = parts[0].answer
    if len(parts) == 1 and not first.features:
        values = zip(prediction_ids(first), first.scores, first.decisions, strict=True)
        plain = [_Prediction(*each) for each in values]
        return _encode(_Whole(first.model, first.version, first.variant, plain))
    head: dict[str, Any] = {"model": first.model}
    if len(parts) == 1:
        head |= {"version": first.version, "variant": first.variant}
    rows = in_order(parts, [_rows(part.answer, alone=len(parts) == 1) for part in parts])
    return msgspec.json.encode({**head, "predictions": rows})


def _rows(answer: Answer, *, alone: bool) -> list[dict[str, Any]]:
    who = {} if alone else {"version": answer.version, "variant": answer.variant}
    values = zip(prediction_ids(answer), answer.scores, answer.decisions, strict=True)
    rows: list[dict[str, Any]] = [
        {"id": one, "score": score, "decision": made, **who} for one, score, made in values
    ]
    for view, states in answer.features.items():
        for row, state in zip(rows, states, strict=True):
            if state != ValueStatus.PRESENT:
                row.setdefault("features", {})[view] = state
    return rows


def mlflow_answer(parts: list[Part]) -> bytes:
    """Return the JSON of an answer as MLflow gives it: scores, or decisions without scores."""
    plain = [
        [
            decision if score is None else score
            for score, decision in zip(part.answer.scores, part.answer.decisions, strict=True)
        ]
        for part in parts
    ]
    return msgspec.json.encode({"predictions": in_order(parts, plain)})


def in_order(parts: list[Part], values: Sequence[list[Any]]) -> list[Any]:
    """Return the parts' values in the order of the request's rows."""
    if len(parts) == 1:
        return values[0]
    placed = {
        place: value
        for part, group in zip(parts, values, strict=True)
        for place, value in zip(part.places, group, strict=True)
    }
    return [placed[place] for place in sorted(placed)]


def decode_rows(body: bytes, headers: Headers) -> Any:
    """Return what a body in JSON says, or the rows of one in CSV as `dataframe_records`.

    Raises:
        HttpError: 400, it is broken.
    """
    if not headers.get(b"content-type", b"").startswith(CSV):
        return decode_json(body)
    import csv

    try:
        lines = csv.reader(io.StringIO(body.decode()), strict=True)
        names = next(lines, [])
        rows = [dict(zip(names, map(_cell, line), strict=True)) for line in lines if line]
    except (ValueError, csv.Error) as error:
        raise HttpError(
            400, "BadCsv", f"The body is no CSV: {error}.", "send a line of names, then the rows"
        ) from None
    return {"dataframe_records": rows}


def _cell(text: str) -> Any:
    """Return the value of a cell: what JSON would say of it, else the text itself."""
    if not text:
        return None
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, ValueError):
        return {"True": True, "False": False}.get(text, text)
    return value if isinstance(value, (int, float, bool)) else text


def _decode(body: bytes, _: Headers) -> Any:
    return decode_json(body)


class Form(NamedTuple):
    """A form of requests: read quickly, read precisely, and how its answer is written."""

    quick: Reading
    decode: Callable[[bytes, Headers], Any]
    rows: Callable[[Any], list[dict[str, Any]]]
    render: Callable[[list[Part]], bytes]
    content_types: tuple[bytes, ...]


NATIVE = Form(CompiledReader.native, _decode, native_rows, native_answer, (JSON,))
MLFLOW = Form(CompiledReader.mlflow, decode_rows, mlflow_rows, mlflow_answer, (JSON, CSV))
