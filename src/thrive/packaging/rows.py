"""Requests read by a signature: JSON-decoded rows to typed columns, or precisely what is wrong."""

import json
import math
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from thrive.domain.errors import UsageError
from thrive.packaging.signature import NUMERIC, Columns, Field, FieldKind, Signature


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """One wrong value of a request: where it stands, what it is, what was expected."""

    row: int
    field: str
    got: str
    expected: str


class InvalidRows(UsageError):
    """Rows of a request do not fit the signature.

    Args:
        problems: the first problems found, in the order of fields.
        total: how many there are in all.
    """

    def __init__(self, problems: list[Problem], total: int) -> None:
        first = problems[0]
        place = f"field {first.field!r}" if first.field else "the row"
        more = f" ({total - 1} more)" if total > 1 else ""
        super().__init__(
            f"Row {first.row}: {place} is {first.got}, expected {first.expected}{more}.",
            "send the fields of the model's signature",
        )
        self.problems = tuple(problems)
        self.total = total

    @property
    def details(self) -> dict[str, Any]:
        """The problems as plain values, for the body of a 422 answer."""
        return {"problems": msgspec.to_builtins(self.problems), "total": self.total}


MAX_PROBLEMS = 20
INTEGER_BITS = 64
LONGEST_SHOWN = 60
_NONE = type(None)
_FAST_TYPES: dict[FieldKind, frozenset[type]] = {
    FieldKind.NUMBER: frozenset({float, int}),
    FieldKind.INTEGER: frozenset({int}),
    FieldKind.BOOLEAN: frozenset({bool}),
    FieldKind.CATEGORY: frozenset({str}),
    FieldKind.TEXT: frozenset({str}),
    FieldKind.TIME: frozenset[type](),
}
_EXPECTED = {
    FieldKind.NUMBER: "a number",
    FieldKind.INTEGER: "an integer",
    FieldKind.BOOLEAN: "true or false",
    FieldKind.CATEGORY: "a string",
    FieldKind.TEXT: "a string",
    FieldKind.TIME: "an ISO 8601 time or UTC microseconds",
}
_ABSENT: Any = object()
LARGEST = 2.0**INTEGER_BITS
"""Integers of requests are smaller, either way."""
_TOO_LARGE = f"an integer of at most {INTEGER_BITS} bits"


class RowReader:
    """Reads rows of one signature; compiled once, used for each request.

    Args:
        signature: what the rows must fit.
    """

    def __init__(self, signature: Signature) -> None:
        self.signature = signature
        self._fields = signature.inputs
        self._names = signature.names
        self._known = frozenset(self._names)
        self._fast = [
            _FAST_TYPES[f.kind] | ({_NONE} if f.nullable else set[type]()) for f in self._fields
        ]

    def read(self, rows: list[dict[str, Any]] | dict[str, Any]) -> Columns:
        """Return typed columns of `rows`: a list of row objects, or an object of columns.

        Raises:
            InvalidRows: values are missing, unknown, of another kind, or outside a strict field.
        """
        problems = _Problems()
        values = self._columns(rows, problems)
        columns = {
            field.name: self._column(field, fast, column, problems)
            for field, fast, column in zip(self._fields, self._fast, values, strict=True)
        }
        problems.settle()
        return columns

    def _columns(
        self, rows: list[dict[str, Any]] | dict[str, Any], problems: "_Problems"
    ) -> list[list[Any]]:
        if isinstance(rows, dict):
            return self._given_columns(rows, problems)
        if set(map(type, rows)) != {dict}:
            _refuse_rows(rows)
        if set(map(len, rows)) != {len(self._names)}:
            return self._loose_columns(rows, problems)
        try:
            return [[row[name] for row in rows] for name in self._names]
        except KeyError:
            return self._loose_columns(rows, problems)

    def _loose_columns(self, rows: list[dict[str, Any]], problems: "_Problems") -> list[list[Any]]:
        for number, row in enumerate(rows):
            for name in row.keys() - self._known:
                problems.add(number, name, "unknown", "a field of the signature")
        return [[row.get(name, _ABSENT) for row in rows] for name in self._names]

    def _given_columns(self, given: dict[str, Any], problems: "_Problems") -> list[list[Any]]:
        for name in given.keys() - self._known:
            problems.add(0, name, "unknown", "a field of the signature")
        columns = {
            name: values.tolist() if isinstance(values, np.ndarray) else values
            for name, values in given.items()
        }
        for name, values in columns.items():
            if not isinstance(values, list):
                problems.add(0, name, shown(values), "a list of values")
        lengths = {len(values) for values in columns.values() if isinstance(values, list)}
        problems.settle()
        if len(lengths) != 1 or lengths == {0}:
            raise UsageError(
                f"The columns have lengths {sorted(lengths)}.",
                "send columns of one length, with at least one row",
            )
        absent = [_ABSENT] * lengths.pop()
        return [columns.get(name, absent) for name in self._names]

    def _column(
        self, field: Field, fast: frozenset[type], values: list[Any], problems: "_Problems"
    ) -> NDArray[Any]:
        if not fast.issuperset(map(type, values)) or not fast:
            values = _read_slowly(field, values, problems)
        if field.kind in NUMERIC:
            column = _floats(field, values, problems)
        elif field.kind is FieldKind.TIME:
            column = np.array(values, dtype="datetime64[us]")
        else:
            column = np.empty(len(values), dtype=object)
            column[:] = values
        if field.strict:
            _check_strict(field, column, problems)
        return column


def validate_rows(signature: Signature, rows: list[dict[str, Any]] | dict[str, Any]) -> Columns:
    """Read rows once; a caller with many requests keeps a `RowReader`.

    Raises:
        InvalidRows: as `RowReader.read`.
    """
    return RowReader(signature).read(rows)


class _Problems:
    """Collects what is wrong, keeps the first few, raises once."""

    def __init__(self) -> None:
        self.kept: list[Problem] = []
        self.total = 0

    def add(self, row: int, field: str, got: str, expected: str) -> None:
        self.total += 1
        if len(self.kept) < MAX_PROBLEMS:
            self.kept.append(Problem(row=row, field=field, got=got, expected=expected))

    def settle(self) -> None:
        if self.kept:
            raise InvalidRows(self.kept, self.total)


def _refuse_rows(rows: list[Any]) -> None:
    if not rows:
        raise UsageError("The request holds no row.", "send at least one row")
    for number, row in enumerate(rows):
        if type(row) is not dict:
            found = Problem(row=number, field="", got=shown(row), expected="an object of fields")
            raise InvalidRows([found], 1)


def shown(value: Any) -> str:
    """Return a value of a request in the words of JSON, cut where it is long."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list | tuple):
        return "a list"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, str) else str(value)
    cut = text if len(text) <= LONGEST_SHOWN else f"{text[: LONGEST_SHOWN - 3]}..."
    return f"the text {cut}" if isinstance(value, str) else cut


def is_whole(value: Any) -> bool:
    """Tell whether a value is an integer that was written with a decimal point."""
    return isinstance(value, float) and value.is_integer()


def _read_slowly(field: Field, values: list[Any], problems: _Problems) -> list[Any]:
    read: list[Any] = []
    for number, value in enumerate(values):
        found = _read_value(field, value)
        if found is _ABSENT:
            got = "absent" if value is _ABSENT else shown(value)
            problems.add(number, field.name, got, _EXPECTED[field.kind])
            found = None
        read.append(found)
    return read


def _read_value(field: Field, value: Any) -> Any:
    """Return the value in the form of its kind, None if rightly missing, _ABSENT if wrong."""
    if value is _ABSENT:
        return _ABSENT if field.required else None
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None if field.nullable else _ABSENT
    if type(value) in _FAST_TYPES[field.kind]:
        return value
    if field.kind is FieldKind.INTEGER and is_whole(value):
        return value
    if field.kind is FieldKind.TIME:
        return _read_time(value)
    return _ABSENT


def _read_time(value: Any) -> Any:
    from datetime import UTC, datetime

    if type(value) is int:
        return np.datetime64(value, "us") if abs(value) < 1 << 62 else _ABSENT
    if not isinstance(value, str):
        return _ABSENT
    try:
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is not None:
            moment = moment.astimezone(UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):  # no time, or one that is none in UTC
        return _ABSENT
    return np.datetime64(moment, "us")


def _floats(field: Field, values: list[Any], problems: _Problems) -> NDArray[np.float64]:
    try:
        column = np.array(values, dtype=np.float64)
    except OverflowError:
        for number, value in enumerate(values):
            if isinstance(value, int) and abs(value) > 1 << 1000:
                problems.add(number, field.name, "too large", _EXPECTED[field.kind])
        return np.zeros(len(values))
    if field.kind is FieldKind.INTEGER:
        for number in np.flatnonzero(np.abs(column) >= LARGEST).tolist():
            problems.add(number, field.name, shown(values[number]), _TOO_LARGE)
    return column


def _check_strict(field: Field, column: NDArray[Any], problems: _Problems) -> None:
    if field.categories and column.dtype == object:
        allowed = {*field.categories, None}
        wrong = [number for number, value in enumerate(column.tolist()) if value not in allowed]
        expected = f"one of the {len(field.categories)} known categories"
    elif column.dtype == np.float64:
        low = -math.inf if field.low is None else field.low
        high = math.inf if field.high is None else field.high
        wrong = np.flatnonzero((column < low) | (column > high)).tolist()
        expected = f"a value from {low:g} to {high:g}"
    else:
        return
    for number in wrong:
        problems.add(
            number,
            field.name,
            shown(column[number].item() if column.dtype != object else column[number]),
            expected,
        )
