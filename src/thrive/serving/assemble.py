"""The one place where a request's rows become a model's typed columns and the log's keys."""

from typing import Any

import msgspec
import numpy as np

from thrive.packaging.rows import InvalidRows, Problem, RowReader
from thrive.packaging.signature import Columns, FieldKind, Signature

_SCALARS = frozenset({str, int, float, bool, type(None)})


class Assembled(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Rows of one request.

    Attributes:
        rows: how many.
        columns: the inputs as the model takes them.
        keys: the declared request fields by name, a value a row, None where not sent.
    """

    rows: int
    columns: Columns
    keys: dict[str, list[Any]]


class RowAssembler:
    """Builds the rows of one signature from requests.

    Args:
        signature: the inputs.
        keys: request fields beside the inputs that are kept: entity and segments.
        others: request fields that another variant of the model takes; accepted and left out.
    """

    def __init__(
        self, signature: Signature, keys: list[str], others: frozenset[str] = frozenset()
    ) -> None:
        self.signature = signature
        self._reader = RowReader(signature)
        self._keys = keys
        self._foreign = tuple((others | set(keys)) - set(signature.names))

    def read(self, rows: list[dict[str, Any]]) -> Assembled:
        """Return the typed columns and the keys of `rows`.

        Raises:
            InvalidRows: a value is missing, unknown or of another kind; names row and field.
            UsageError: there is no row.
        """
        if set(map(type, rows)) == {dict}:
            keys = read_keys(rows, self._keys)
            inputs = self._inputs(rows) if self._foreign else rows
        else:
            keys, inputs = {}, rows
        return Assembled(rows=len(rows), columns=self._reader.read(inputs), keys=keys)

    def _inputs(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        inputs = [row.copy() for row in rows]
        for name in self._foreign:
            for row in inputs:
                row.pop(name, None)
        return inputs

    def logged(self, columns: Columns, mask: frozenset[str]) -> dict[str, list[Any]]:
        """Return the columns as the log keeps them: plain values, times as UTC microseconds."""
        return {
            field.name: _plain(field.kind, columns[field.name])
            for field in self.signature.inputs
            if field.name not in mask
        }


def read_keys(rows: list[dict[str, Any]], names: list[str]) -> dict[str, list[Any]]:
    """Return the values of the declared request fields, None where a row has none.

    Raises:
        InvalidRows: a value is a list or an object.
    """
    keys = {name: [row.get(name) for row in rows] for name in names}
    for name, values in keys.items():
        if not _SCALARS.issuperset(map(type, values)):
            _refuse_key(name, values)
    return keys


def _refuse_key(name: str, values: list[Any]) -> None:
    wrong = [row for row, value in enumerate(values) if type(value) not in _SCALARS]
    problems = [
        Problem(row=row, field=name, got=type(values[row]).__name__, expected="one plain value")
        for row in wrong[:20]
    ]
    raise InvalidRows(problems, len(wrong))


def _plain(kind: FieldKind, column: np.ndarray[Any, Any]) -> list[Any]:
    if kind is FieldKind.BOOLEAN:
        return [None if value != value else value == 1.0 for value in column.tolist()]  # noqa: PLR0124 - NaN
    if kind is FieldKind.TIME:
        missing = np.isnat(column)
        moments = column.astype("datetime64[us]").astype(np.int64).tolist()
        return [None if gone else at for at, gone in zip(moments, missing.tolist(), strict=True)]
    return column.tolist()
