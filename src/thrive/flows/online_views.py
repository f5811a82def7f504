"""Bringing a view online: all of it, or only what became known since the last time."""

from typing import TYPE_CHECKING, Any

import msgspec

from thrive.domain.features import FeatureView, Materialization
from thrive.features.declare import View
from thrive.features.rows import NormalRows, last_known, newest_rows
from thrive.flows.feature_rows import Sources, registered, rows_of, sources_of
from thrive.operations import Context
from thrive.store import features
from thrive.store.online import OnlineStore, OnlineTable, open_online

if TYPE_CHECKING:
    import polars as pl


class MaterializedLine(msgspec.Struct, frozen=True, kw_only=True):
    """One view that was brought online; `changed` counts the rows written or removed."""

    view: str
    version: int
    sources: list[str]
    rows: int
    changed: int
    newest_at: int | None
    note: str


class OnlineView:
    """A view that is brought online again and again.

    Its rows are computed once for each version of its sources.

    Args:
        ctx: the project.
        view: as `features.py` declares it.
    """

    def __init__(self, ctx: Context, view: View) -> None:
        self._ctx = ctx
        self._view = view
        self._read: tuple[dict[str, str], NormalRows] | None = None

    def follow(self, until: int) -> MaterializedLine:
        """Bring what can be known up to a moment online; see `bring_online`."""
        sources = sources_of(self._ctx, self._view)
        if self._read is None or self._read[0] != sources.digests:
            rows = rows_of(self._ctx, self._view, sources)
            held = msgspec.structs.replace(rows, frame=rows.frame.collect().lazy())
            self._read = sources.digests, held
        return _bring(self._ctx, sources, self._read[1], until)


def bring_online(ctx: Context, view: View, until: int) -> MaterializedLine:
    """Register a view's version, and write what differs online.

    Killed at any moment it is done with the next call: a store changes in one transaction, and
    what is noted as read was written before.

    Args:
        ctx: the project.
        view: as `features.py` declares it.
        until: what can be known up to this moment, in UTC microseconds.
    """
    sources = sources_of(ctx, view)
    return _bring(ctx, sources, rows_of(ctx, view, sources), until)


def stands(known: Materialization | None, sources: Sources, until: int) -> bool:
    """Tell whether reading these sources once more could change nothing."""
    if known is None or known.sources != sources.digests:
        return False
    return known.until == until or (known.complete and until >= known.until)


def online_of(tx: Any, ctx: Context, view: FeatureView) -> Materialization | None:
    """Return what is noted of a version of a view as being online."""
    return features.find_materialization(tx, ctx.project_id, view.name, view.digest)


def _bring(ctx: Context, sources: Sources, rows: NormalRows, until: int) -> MaterializedLine:
    version = registered(ctx, rows.definition, rows.spec())
    with ctx.read() as tx:
        known = online_of(tx, ctx, version)
    store = open_online(ctx.home.folder)
    if known is not None and not store.holds(version.digest):
        known = None
    if known is not None and stands(known, sources, until):
        return _line(version, sources, known, "nothing new")
    if known is not None and known.sources == sources.digests and known.until < until:
        made = _renew(ctx, store, version, rows, known, until)
        if made is None:
            return _line(version, sources, known, "nothing new")
    else:
        made = _replace(ctx, store, version, sources, rows, until, known)
    with ctx.write(f"feature_view:{version.name}", rows=made.rows, changed=made.changed) as tx:
        features.save_materialization(tx, ctx.project_id, made)
    return _line(version, sources, made, "")


def _replace(
    ctx: Context,
    store: OnlineStore,
    version: FeatureView,
    sources: Sources,
    rows: NormalRows,
    until: int,
    known: Materialization | None,
) -> Materialization:
    """Make the store hold the newest row of each key, from all that the sources hold."""
    newest, last = _collected(rows, newest_rows(rows, until))
    written = store.publish(_table(version), newest)
    return Materialization(
        view=version.name,
        digest=version.digest,
        sources=sources.digests,
        until=until,
        complete=last is None or last <= until,
        rows=written.rows,
        changed=written.changed + written.removed,
        newest=_latest(newest, rows),
        at=ctx.now(),
        told_late=known.told_late if known else None,
    )


def _renew(
    ctx: Context,
    store: OnlineStore,
    version: FeatureView,
    rows: NormalRows,
    known: Materialization,
    until: int,
) -> Materialization | None:
    """Write what became known since the same sources were read; None if nothing did.

    What becomes known later is never older in all times than what was known before it, so that a
    newer event time, or the same one, is enough to stand.
    """
    newer, last = _collected(rows, newest_rows(rows, until, since=known.until))
    if not newer.height:
        return None
    written = store.renew(_table(version), newer)
    return msgspec.structs.replace(
        known,
        until=until,
        complete=last is None or last <= until,
        rows=known.rows + written.added,
        changed=written.changed,
        newest=max(known.newest or 0, _latest(newer, rows) or 0),
        at=ctx.now(),
    )


def _collected(rows: NormalRows, newest: "pl.LazyFrame") -> tuple["pl.DataFrame", int | None]:
    """Return the newest rows, and the moment at which the last row of all becomes known."""
    import polars as pl

    found, last = pl.collect_all([newest, last_known(rows)])
    return found, last.item() if last.height else None


def _table(version: FeatureView) -> OnlineTable:
    return OnlineTable(digest=version.digest, keys=version.keys, columns=version.columns)


def _latest(newest: "pl.DataFrame", rows: NormalRows) -> Any:
    return newest["_at"].max() if rows.timed else None


def _line(
    view: FeatureView, sources: Sources, made: Materialization, note: str
) -> MaterializedLine:
    return MaterializedLine(
        view=view.name,
        version=view.version,
        sources=sources.labels,
        rows=made.rows,
        changed=0 if note else made.changed,
        newest_at=made.newest,
        note=note,
    )
