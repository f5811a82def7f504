"""Feature views: what a user declared, and what became of it."""

from enum import StrEnum

import msgspec


class ValueStatus(StrEnum):
    """What a value of a view is worth at the moment it is asked for."""

    PRESENT = "present"
    STALE = "stale"
    MISSING = "missing"


class FeatureColumn(msgspec.Struct, frozen=True, kw_only=True):
    """One column of a view: its name and the name of its polars type."""

    name: str
    dtype: str


class ViewDefinition(msgspec.Struct, frozen=True, kw_only=True):
    """What a `@feature_view` says; equal definitions have equal digests.

    Attributes:
        name: the view.
        entity: the columns that name what the values are about.
        event_time: the column of the time from which a value holds; empty for values without time.
        recorded_time: the column of the time at which a row was recorded; empty if it was at once.
        sources: the datasets that its function reads, in the order of its parameters.
        ttl: microseconds after its event time during which a value may be used; 0 for ever.
        delay: microseconds between event time and the moment a value can be known.
        freshness: microseconds that the newest value may be old; 0 if nobody promised any.
        owner: the team that answers for it.
        why: what it tells a model.
        code: the text of its function and of what that uses.
        digest: BLAKE3 of all that decides its values.
    """

    name: str
    entity: list[str]
    event_time: str
    recorded_time: str
    sources: list[str]
    ttl: int
    delay: int
    freshness: int
    owner: str
    why: str
    code: str
    digest: str


class OnDemandDefinition(msgspec.Struct, frozen=True, kw_only=True):
    """What an `@on_demand` function computes from a request and from values of views.

    Attributes:
        name: the feature.
        inputs: the columns it reads, its parameters.
        expression: the polars expression as JSON, of the closed list that serving evaluates.
        polars: the version of polars that wrote it.
    """

    name: str
    inputs: list[str]
    expression: str
    polars: str
