"""Bringing a view online: all of it, or only what became known since the last time."""

from typing import TYPE_CHECKING, Any

import msgspec

from thrive.domain.features import FeatureView, Materialization
from thrive.features.declare import View
from thrive.features.join import IN_MEMORY
from thrive.features.rows import AT, NormalRows, newest_rows
from thrive.flows.feature_rows import (
    Sources,
    added_rows,
    growth_of,
    registered,
    rows_of,
    sources_of,
    windows_rows,
)
from thrive.operations import Context
from thrive.store import features
from thrive.store.online import OnlineTable, open_online

if TYPE_CHECKING:
    import polars as pl


class MaterializedLine(msgspec.Struct, frozen=True, kw_only=True):
    """One view that was brought online.

    `changed` counts the rows written or removed; `note` says where not all of the sources was read.
    """

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
        self._sources: Sources | None = None
        self._bringing: _Bringing | None = None

    def look(self) -> None:
        """Take the versions of the sources that are there now."""
        sources = sources_of(self._ctx, self._view)
        if self._sources is not None and self._sources.digests == sources.digests:
            return
        rows = rows_of(self._ctx, self._view, sources)
        held = msgspec.structs.replace(rows, frame=rows.frame.collect().lazy())
        self._sources = sources
        self._bringing = _Bringing(self._ctx, self._view, sources, held, held=True)

    def follow(self, until: int) -> MaterializedLine:
        """Bring what can be known up to a moment online; see `bring_online`."""
        if self._bringing is None:
            self.look()
        assert self._bringing is not None
        return self._bringing.bring(until)


def bring_online(ctx: Context, view: View, until: int) -> MaterializedLine:
    """Register a view's version, and write what differs online.

    Of sources that only grew, what was read before is not read again; windows of events are read
    back as far as they reach. Killed at any moment it is done with the next call: a store changes
    in one transaction, what is noted as read was written before, and where a writing began that
    did not end all is read again.

    Args:
        ctx: the project.
        view: as `features.py` declares it.
        until: what can be known up to this moment, in UTC microseconds.
    """
    sources = sources_of(ctx, view)
    return _Bringing(ctx, view, sources, rows_of(ctx, view, sources)).bring(until)


def stands(known: Materialization | None, sources: Sources, until: int) -> bool:
    """Tell whether reading these sources once more could change nothing."""
    if known is None or known.sources != sources.digests:
        return False
    return known.until == until or (known.complete and until >= known.until)


def online_of(tx: Any, ctx: Context, view: FeatureView) -> Materialization | None:
    """Return what is noted of a version of a view as being online."""
    return features.find_materialization(tx, ctx.project_id, view.name, view.digest)


class _Bringing:
    """One view over some versions of its sources; `held` if its rows are in memory already."""

    def __init__(
        self, ctx: Context, view: View, sources: Sources, rows: NormalRows, *, held: bool = False
    ) -> None:
        self._ctx = ctx
        self._view = view
        self._sources = sources
        self._rows = rows
        self._held = held
        self._store = open_online(ctx.home.folder)
        self._version = registered(ctx, rows.definition, rows.spec())
        self._table = OnlineTable(
            digest=self._version.digest, keys=self._version.keys, columns=self._version.columns
        )
        self._is_there = self._store.holds(self._version.digest)
        self._last: Materialization | None = None

    def bring(self, until: int) -> MaterializedLine:
        """Write what differs at a moment, and note it."""
        if self._last is not None and stands(self._last, self._sources, until):
            return self._line(self._last, "nothing new")
        with self._ctx.read() as tx:
            known = online_of(tx, self._ctx, self._version)
        there = known is not None and self._is_there
        if known is not None and there and stands(known, self._sources, until):
            self._last = self._declared_again(known)
            return self._line(known, "nothing new")
        made = self._renewed(known, until) if known is not None and there else None
        note = "" if made is None else "read what is new"
        if made is None:
            made = self._replaced(known, until)
            self._is_there = True
        if made is known:
            return self._line(self._declared_again(made), "nothing new")
        words = {"rows": made.rows, "changed": made.changed}
        with self._ctx.write(f"feature_view:{self._version.name}", **words) as tx:
            features.save_materialization(tx, self._ctx.project_id, made)
        return self._line(made, note)

    def _declared_again(self, known: Materialization) -> Materialization:
        """Note that this version is the view's again, where another was brought online since."""
        with self._ctx.read() as tx:
            last = features.get(tx, self._ctx.project_id, self._version.name)
            other = None if last == self._version else online_of(tx, self._ctx, last)
        if other is None:
            return known
        made = msgspec.structs.replace(known, at=max(self._ctx.now(), other.at + 1))
        words = {"version": self._version.version, "rows": made.rows}
        with self._ctx.write(f"feature_view:{self._version.name}", **words) as tx:
            features.save_materialization(tx, self._ctx.project_id, made)
        return made

    def _renewed(self, known: Materialization, until: int) -> Materialization | None:
        """Write what is new since the last reading; None where all must be read again."""
        if known.until > until:
            return None
        found = self._newer(known, until)
        if found is None:
            return None
        newer, last = found
        if known.sources == self._sources.digests and not newer.height:
            return known
        self._begin(known)
        written = self._store.renew(self._table, newer)
        return msgspec.structs.replace(
            known,
            sources=self._sources.digests,
            until=until,
            complete=last is None or last <= until,
            rows=known.rows + written.added,
            changed=written.changed,
            newest=_later(known.newest, self._latest(newer)),
            at=self._ctx.now(),
        )

    def _newer(
        self, known: Materialization, until: int
    ) -> "tuple[pl.DataFrame, int | None] | None":
        """Return the newest rows among those that are new; None where all must be read again.

        Of the same sources that is what became known since. It is never older in all its times
        than what was known before, so that an equal event time is enough for it to hold.
        """
        same = known.sources == self._sources.digests
        growth = None if same and self._held else growth_of(self._ctx, self._sources, known)
        if growth is not None:
            windows = windows_rows(self._ctx, self._view, growth, known, until)
            if windows is not None:
                return newest_rows(windows.rows, until)[0], windows.last
        if same:
            return self._newest(self._rows, until, since=known.until)
        added = None if growth is None else added_rows(self._ctx, self._view, growth, known)
        return None if added is None else self._newest(added, until)

    def _begin(self, known: Materialization) -> None:
        """Note that the store is being written: killed in between, all is read again.

        A replay does so each hour of its time, over sources that stay: it need not wait for the
        disk.
        """
        with self._ctx.observe(durable=not self._held) as tx:
            begun = msgspec.structs.replace(known, sources={})
            features.save_materialization(tx, self._ctx.project_id, begun)

    def _replaced(self, known: Materialization | None, until: int) -> Materialization:
        """Make the store hold the newest row of each key, from all that the sources hold."""
        newest, last = self._newest(self._rows, until)
        if known is not None:
            self._begin(known)
        written = self._store.publish(self._table, newest)
        return Materialization(
            view=self._version.name,
            digest=self._version.digest,
            sources=self._sources.digests,
            until=until,
            complete=last is None or last <= until,
            rows=written.rows,
            changed=written.changed + written.removed,
            newest=self._latest(newest),
            at=self._ctx.now(),
            told_late=known.told_late if known else None,
        )

    def _newest(
        self, rows: NormalRows, until: int, since: int | None = None
    ) -> tuple["pl.DataFrame", int | None]:
        fits = self._sources.cells <= IN_MEMORY
        return newest_rows(rows, until, since=since, in_memory=fits)

    def _latest(self, newest: "pl.DataFrame") -> Any:
        return newest[AT].max() if self._rows.timed else None

    def _line(self, made: Materialization, note: str) -> MaterializedLine:
        return MaterializedLine(
            view=made.view,
            version=self._version.version,
            sources=self._sources.labels,
            rows=made.rows,
            changed=0 if note == "nothing new" else made.changed,
            newest_at=made.newest,
            note=note,
        )


def _later(one: int | None, other: int | None) -> int | None:
    return max((each for each in (one, other) if each is not None), default=None)
