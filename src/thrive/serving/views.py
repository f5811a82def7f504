"""Feature views at inference: a request names its entities, the online store gives the rest.

A model version carries the views it was trained on, by digest, and reads these and no others. What
a caller sends is used as it is sent.
"""

import logging
from typing import TYPE_CHECKING, Any

from thrive.domain.clock import parse_time
from thrive.domain.errors import InfrastructureError, ThriveError, UsageError
from thrive.domain.features import FeatureSpec, ValueStatus
from thrive.packaging.expressions import unpack_expression
from thrive.packaging.rows import MAX_PROBLEMS, InvalidRows, Problem, is_whole, shown

if TYPE_CHECKING:
    from thrive.store.online import OnlineRows, OnlineStore

_logger = logging.getLogger(__name__)


class ViewReader:
    """Completes the rows of one model version.

    Args:
        spec: its views and its on-demand features.
        store: holds the views' rows.

    Raises:
        NotFound: the store does not hold a view in the version the model was trained on.
        UnsafeModel: an on-demand feature is none that is evaluated here.
    """

    def __init__(self, spec: FeatureSpec, store: "OnlineStore") -> None:
        from thrive.store.online import Lookup  # a worker without views starts without the store

        self._lookup = Lookup(store, spec.views)
        self._views = {view.name: [column.name for column in view.columns] for view in spec.views}
        self._kinds = {key.name: _key_kind(key.dtype) for view in spec.views for key in view.keys}
        self._on_demand = [(each, unpack_expression(each.expression)) for each in spec.on_demand]
        self.features = frozenset(
            [name for names in self._views.values() for name in names]
            + [each.name for each in spec.on_demand]
        )
        inputs = [field.name for each in spec.on_demand for field in each.inputs]
        asked = [name for name in inputs if name not in self.features]
        self.fields = list(dict.fromkeys([*self._lookup.keys, *asked]))
        """Request fields that it reads: entities, and what on-demand features take."""

    def complete(
        self, rows: list[dict[str, Any]], now: int
    ) -> tuple[list[dict[str, Any]], dict[str, list[str]]]:
        """Return the rows with their features, and for each view the status of each row.

        Raises:
            InvalidRows: a value names an entity, and is of another type than in the view.
            UsageError: an on-demand feature cannot be computed from what was sent.
        """
        self._refuse_keys(rows)
        found = self._found(rows, now)
        completed = [row.copy() for row in rows]
        for name, values in found.values.items():
            for row, value in zip(completed, values, strict=True):
                row.setdefault(name, value)
        if self._on_demand:
            self._compute(completed)
        return completed, found.status

    def view_of(self, feature: str) -> str:
        """Return the view, or the on-demand feature, that a value comes from."""
        return next((view for view, names in self._views.items() if feature in names), feature)

    def close(self) -> None:
        """Close the lookup."""
        self._lookup.close()

    def _refuse_keys(self, rows: list[dict[str, Any]]) -> None:
        problems: list[Problem] = []
        for name, (kinds, expected) in self._kinds.items():
            values = [row.get(name) for row in rows]
            if not kinds.issuperset(map(type, values)):
                problems += [
                    Problem(row=number, field=name, got=shown(value), expected=expected)
                    for number, value in enumerate(values)
                    if type(value) not in kinds and not (int in kinds and is_whole(value))
                ]
        if problems:
            raise InvalidRows(problems[:MAX_PROBLEMS], len(problems))

    def _found(self, rows: list[dict[str, Any]], now: int) -> "OnlineRows":
        """Return what the store has; nothing while it does not answer."""
        try:
            return self._lookup.read(rows, now)
        except InfrastructureError:
            _logger.exception("the online store does not answer")
            nothing = [None] * len(rows)
            missing = [ValueStatus.MISSING.value] * len(rows)
            from thrive.store.online import OnlineRows

            return OnlineRows(
                values={name: nothing for names in self._views.values() for name in names},
                status=dict.fromkeys(self._views, missing),
                at=dict.fromkeys(self._views, nothing),
            )

    def _compute(self, rows: list[dict[str, Any]]) -> None:
        """Add the on-demand features, each from the columns before it."""
        import polars as pl

        for definition, expression in self._on_demand:
            try:
                inputs = {
                    field.name: typed_column([row.get(field.name) for row in rows], field.dtype)
                    for field in definition.inputs
                }
                made = pl.DataFrame(inputs).select(expression.alias(definition.name))
            except (pl.exceptions.PolarsError, TypeError, ValueError, OverflowError) as error:
                raise UsageError(
                    f"{definition.name} cannot be computed from "
                    f"{', '.join(field.name for field in definition.inputs)}: {error}.",
                    "send values of the type the model was trained on",
                ) from None
            for row, value in zip(rows, made[definition.name].to_list(), strict=True):
                row.setdefault(definition.name, value)


def _key_kind(dtype: str) -> tuple[frozenset[type], str]:
    """Return the types that a value of an entity column has in a request, and their name."""
    from thrive.store.online.encoding import TEXT, kind_of

    if kind_of(dtype) == TEXT:
        found, words = str, "a string"
    elif dtype == "Boolean":
        found, words = bool, "true or false"
    elif dtype.startswith(("Float", "Decimal")):
        return frozenset({int, float, type(None)}), "a number"
    else:
        found, words = int, "UTC microseconds" if dtype.startswith("Date") else "an integer"
    return frozenset({found, type(None)}), words


def typed_column(values: list[Any], dtype: str) -> Any:
    """Return values of a request as a column of the type they had in training."""
    import polars as pl

    if dtype.startswith(("Datetime", "Date")):
        moments = [_moment(value) for value in values]
        zoned = pl.Series(moments, dtype=pl.Int64).cast(pl.Datetime("us", "UTC"))
        if dtype == "Date":
            return zoned.cast(pl.Date)
        return zoned if "time_zone='" in dtype else zoned.dt.replace_time_zone(None)
    kind = getattr(pl, dtype, pl.String)
    return pl.Series(values, dtype=kind, strict=not kind.is_numeric())


def _moment(value: Any) -> int | None:
    if value is None or type(value) is int:
        return value
    try:
        return parse_time(value)
    except ThriveError as error:
        raise ValueError(error.what) from None
