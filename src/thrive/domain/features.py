"""Feature views: what a user declared, and what became of it."""

from enum import StrEnum

import msgspec

VIEW_STATUS = "feature_status."
"""Beginning of the logged key that says what a view's values were worth."""


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
        inputs: the columns it reads, with the types they had in training.
        expression: the polars expression as JSON, of the closed list that serving evaluates.
        polars: the version of polars that wrote it.
    """

    name: str
    inputs: list[FeatureColumn]
    expression: str
    polars: str


class FeatureView(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a view: the first time its code, its times or its sources were seen so."""

    name: str
    version: int
    digest: str
    definition: ViewDefinition
    keys: list[FeatureColumn]
    columns: list[FeatureColumn]
    created_at: int
    actor: str

    def spec(self) -> "SpecView":
        """Return what serving needs of it."""
        return SpecView(
            name=self.name,
            digest=self.digest,
            keys=self.keys,
            columns=self.columns,
            ttl=self.definition.ttl,
        )


class Materialization(msgspec.Struct, frozen=True, kw_only=True):
    """What the online store holds of one version of a view.

    Attributes:
        view: the view.
        digest: of its definition.
        sources: dataset = digest of the version that was read.
        until: what could be known up to this moment was read.
        complete: whether the sources hold nothing that becomes known later.
        rows: keys that have a row.
        changed: rows that this reading wrote or removed.
        newest: the newest event time, None without rows or times.
        at: when.
        told_late: the newest event time when its owner was told that it is late, None for never.
    """

    view: str
    digest: str
    sources: dict[str, str]
    until: int
    complete: bool
    rows: int
    changed: int
    newest: int | None
    at: int
    told_late: int | None = None


class SpecView(msgspec.Struct, frozen=True, kw_only=True):
    """A view as a model version was trained on it."""

    name: str
    digest: str
    keys: list[FeatureColumn]
    columns: list[FeatureColumn]
    ttl: int = 0


class FeatureSpec(msgspec.Struct, frozen=True, kw_only=True):
    """The features of a model version: serving uses these and no others."""

    views: list[SpecView] = []
    on_demand: list[OnDemandDefinition] = []

    def names(self) -> set[str]:
        """Return the names of all features: no caller has to send them."""
        given = {column.name for view in self.views for column in view.columns}
        return given | {each.name for each in self.on_demand}

    def asked(self) -> list[FeatureColumn]:
        """Return what a caller sends for them: entities, and what is computed from, each once."""
        sent = [key for view in self.views for key in view.keys]
        sent += [column for each in self.on_demand for column in each.inputs]
        features = self.names()
        return list({each.name: each for each in sent if each.name not in features}.values())
