"""Values of views by key, at a moment: what is too old is missing, and says so."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from thrive.domain.errors import UsageError
from thrive.domain.features import SpecView, ValueStatus
from thrive.store.online.port import OnlineStore, OnlineTable

_PRESENT, _STALE, _MISSING = (
    ValueStatus.PRESENT.value,
    ValueStatus.STALE.value,
    ValueStatus.MISSING.value,
)


class OnlineRows(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Values of some views for some keys.

    Attributes:
        values: for each feature a value a key; None where it is missing or stale.
        status: for each view `present`, `stale` or `missing` a key.
        at: for each view the event time of the row found, in UTC microseconds; None without one.
    """

    values: dict[str, Sequence[Any]]
    status: dict[str, list[str]]
    at: dict[str, Sequence[int | None]]


class Lookup:
    """Reads the values of some views, by key.

    Args:
        store: holds their rows.
        views: which, in which version.

    Raises:
        NotFound: the store does not hold one of them in this version.
        UsageError: two of them have a feature of the same name.
    """

    def __init__(self, store: OnlineStore, views: Sequence[SpecView]) -> None:
        self._views = [(v.name, [column.name for column in v.columns], v.ttl) for v in views]
        names = [name for _, columns, _ in self._views for name in columns]
        self._names = names
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise UsageError(f"Two of the views have a feature {twice!r}.", "ask for one of them")
        self.keys = list(dict.fromkeys(key.name for view in views for key in view.keys))
        self._reader = store.reader(
            [OnlineTable(digest=v.digest, keys=v.keys, columns=v.columns) for v in views]
        )

    def read(self, keys: Sequence[Mapping[str, Any]], now: int) -> OnlineRows:
        """Return the values for keys, in their order.

        Args:
            keys: for each row asked for, the values of the entity columns by name.
            now: the moment of asking, in UTC microseconds.
        """
        raw = self._reader.read(keys)
        values = dict(zip(self._names, raw.cells, strict=True))
        status: dict[str, list[str]] = {}
        for (name, columns, ttl), times in zip(self._views, raw.at, strict=True):
            states = _states(times, now - ttl if ttl else None)
            if ttl and _STALE in states:
                values |= {column: _fresh(values[column], states) for column in columns}
            status[name] = states
        at = {view[0]: times for view, times in zip(self._views, raw.at, strict=True)}
        return OnlineRows(values=values, status=status, at=at)

    def close(self) -> None:
        """Close the reader."""
        self._reader.close()


def _states(times: Sequence[int | None], oldest: int | None) -> list[str]:
    if oldest is None:
        return [_MISSING if at is None else _PRESENT for at in times]
    return [_MISSING if at is None else _PRESENT if at >= oldest else _STALE for at in times]


def _fresh(column: Sequence[Any], states: list[str]) -> list[Any]:
    return [
        value if state == _PRESENT else None for value, state in zip(column, states, strict=True)
    ]
