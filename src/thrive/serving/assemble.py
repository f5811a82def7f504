"""The one place where a request's rows become a model's typed columns and the log's keys."""

from typing import Any

import msgspec
import numpy as np

from thrive.domain.clock import machine_now
from thrive.domain.errors import InfrastructureError
from thrive.domain.features import VIEW_STATUS
from thrive.packaging.rows import InvalidRows, Problem, RowReader, shown
from thrive.packaging.signature import Columns, Field, FieldKind, Signature
from thrive.serving.views import ViewReader

_SCALARS = frozenset({str, int, float, bool, type(None)})
_BITS = 1 << 63


class Assembled(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Rows of one request.

    Attributes:
        rows: how many.
        columns: the inputs as the model takes them.
        keys: the declared request fields by name, a value a row, None where not sent.
        inputs: the rows with what the feature views gave; nothing else than inputs in them.
        status: feature view = whether its values are present, stale or missing, a row.
        fields: what the columns are.
    """

    rows: int
    columns: Columns
    keys: dict[str, list[Any]]
    inputs: list[dict[str, Any]] = []
    status: dict[str, list[str]] = {}
    fields: tuple[Field, ...] = ()

    def logged(self, mask: frozenset[str]) -> dict[str, Any]:
        """Return the inputs as the log keeps them: plain values, times as UTC microseconds."""
        return {
            field.name: _plain(field.kind, self.columns[field.name])
            for field in self.fields
            if field.name not in mask
        }


class FeaturesMissing(InfrastructureError):
    """A model needs a value that a view does not have for a row.

    Args:
        view: the view.
        assembled: the rows' keys, to be logged.
    """

    def __init__(self, view: str, assembled: Assembled) -> None:
        super().__init__(f"View {view} has no value.", "thrive features list")
        self.view = view
        self.assembled = assembled


class RowAssembler:
    """Builds the rows of one signature from requests.

    Args:
        signature: the inputs.
        keys: request fields beside the inputs that are kept: entity and segments.
        others: request fields that another variant of the model takes; accepted and left out.
        views: completes rows from feature views; None for a model without any.
    """

    def __init__(
        self,
        signature: Signature,
        keys: list[str],
        others: frozenset[str] = frozenset(),
        views: ViewReader | None = None,
    ) -> None:
        self.signature = signature
        self._reader = RowReader(signature)
        self._views = views
        self.keys = list(dict.fromkeys([*keys, *(views.fields if views else ())]))
        more = views.features if views else frozenset[str]()
        self.plain = views is None
        """Whether rows are what was sent, without feature views."""
        self.foreign = tuple((others | set(self.keys) | more) - set(signature.names))
        self._given = (
            [field.name for field in signature.inputs if field.name in more and not field.nullable]
            if views
            else []
        )

    def read(self, rows: list[dict[str, Any]], now: int = 0) -> Assembled:
        """Return the typed columns and the keys of `rows`.

        Args:
            rows: as they were sent.
            now: the moment of asking: it decides whether a view's value is too old.

        Raises:
            InvalidRows: a value, also one that names an entity, is missing, unknown or of another
                kind; names row and field.
            UsageError: there is no row.
            FeaturesMissing: a view has no value that the model cannot do without.
        """
        if set(map(type, rows)) != {dict}:
            return self._assembled(rows, self._reader.read(rows), {}, [], {})
        keys = read_keys(rows, self.keys)
        status: dict[str, list[str]] = {}
        inputs = rows
        if self._views is not None:
            inputs, status = self._views.complete(rows, now or machine_now())
            keys |= {f"{VIEW_STATUS}{view}": list(states) for view, states in status.items()}
            self._require(inputs, keys, status)
        if self.foreign:
            inputs = self._inputs(inputs)
        columns = self._reader.read(inputs)
        return self._assembled(rows, columns, keys, inputs, status)

    def _assembled(
        self,
        rows: list[dict[str, Any]],
        columns: Columns,
        keys: dict[str, list[Any]],
        inputs: list[dict[str, Any]],
        status: dict[str, list[str]],
    ) -> Assembled:
        return Assembled(
            rows=len(rows),
            columns=columns,
            keys=keys,
            inputs=inputs,
            status=status,
            fields=self.signature.inputs,
        )

    def _require(
        self,
        rows: list[dict[str, Any]],
        keys: dict[str, list[Any]],
        status: dict[str, list[str]],
    ) -> None:
        for name in self._given:
            if any(row.get(name) is None for row in rows):
                assert self._views is not None
                view = self._views.view_of(name)
                known = Assembled(rows=len(rows), columns={}, keys=keys, status=status)
                raise FeaturesMissing(view, known)

    def _inputs(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        inputs = [row.copy() for row in rows]
        for name in self.foreign:
            for row in inputs:
                row.pop(name, None)
        return inputs


def read_keys(rows: list[dict[str, Any]], names: list[str]) -> dict[str, list[Any]]:
    """Return the values of the declared request fields, None where a row has none.

    Raises:
        InvalidRows: a value is a list or an object, or an integer of more than 64 bits.
    """
    keys = {name: [row.get(name) for row in rows] for name in names}
    for name, values in keys.items():
        kinds = set(map(type, values))
        if not kinds <= _SCALARS or (int in kinds and not all(map(_is_plain, values))):
            _refuse_key(name, values)
    return keys


def _is_plain(value: Any) -> bool:
    """Tell whether the log can keep a value."""
    return type(value) in _SCALARS and (type(value) is not int or -_BITS <= value < _BITS)


def _refuse_key(name: str, values: list[Any]) -> None:
    wrong = [row for row, value in enumerate(values) if not _is_plain(value)]
    problems = [
        Problem(
            row=row,
            field=name,
            got=shown(values[row]),
            expected="one plain value, an integer of at most 64 bits",
        )
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
