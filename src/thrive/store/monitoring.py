"""Windows, alerts and decisions."""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from thrive.domain.errors import NotFound
from thrive.domain.monitoring import Alert, Decision, Window
from thrive.store import references
from thrive.store.database import Tx
from thrive.store.rows import batched, insert, many, mine, named, one, upsert
from thrive.store.tables.monitoring import alerts, decisions, windows

_KEPT = [each.name for each in windows.c if each.name not in {"project_id", "findings"}]


class WindowMark(msgspec.Struct, frozen=True, kw_only=True):
    """Which window it is, and what tells whether it must be looked at again.

    `evidence` is what was seen of outcomes, sealed files and rows, `baseline` the digest of what
    it was compared with.
    """

    version: int
    start: int
    end: int
    revision: int
    rows: int
    closed_at: int
    evidence: tuple[int, int, int]
    baseline: str


def window_label(window: Window) -> str:
    """Return the name of one revision of a window."""
    return f"{window.model}@{window.version}/{window.start}/{window.revision}"


def insert_window(tx: Tx, project_id: str, *made: Window) -> None:
    """Insert closed windows (or corrections of some), and the counters they keep alive."""
    insert(tx, project_id, windows, *made)
    used = ((window_label(each), each.sketches) for each in made)
    references.add_each(tx, project_id, "window", used)


def window_marks(
    tx: Tx, project_id: str, model: str, since: int, last: int | None = None
) -> list[WindowMark]:
    """Return the newest revision of each window of a model since a moment, oldest first.

    Args:
        tx: a transaction.
        project_id: the project.
        model: whose windows.
        since: the earliest start.
        last: only those of so many last starts.
    """
    found = windows.c.findings
    columns = (windows.c[name] for name in ("version", "start", "end", "revision", "rows"))
    wanted = [windows.c.model == model, windows.c.start >= since]
    if last is not None:
        wanted.append(windows.c.start >= _start_of_last(tx, project_id, wanted, last))
    query = (
        sa.select(*columns, windows.c.closed_at, found["evidence"], found["baseline"].as_string())
        .where(windows.c.project_id == project_id, *wanted)
        .order_by(windows.c.start, windows.c.version, windows.c.revision)
    )
    latest: dict[tuple[int, int], WindowMark] = {}
    for *plain, evidence, baseline in tx.execute(query):
        version, start, end, revision, rows, closed_at = plain
        outcomes, files, sealed = evidence or (0, 0, 0)
        latest[start, version] = WindowMark(
            version=version,
            start=start,
            end=end,
            revision=revision,
            rows=rows,
            closed_at=closed_at,
            evidence=(outcomes, files, sealed),
            baseline=baseline or "",
        )
    return list(latest.values())


def find_windows(
    tx: Tx,
    project_id: str,
    model: str,
    version: int | None = None,
    since: int = 0,
    *,
    last: int | None = None,
) -> list[Window]:
    """Return the newest revision of each window of a model (and version), oldest first.

    Args:
        tx: a transaction.
        project_id: the project.
        model: whose windows.
        version: only this version's.
        since: the earliest start.
        last: only those of so many last starts.
    """
    wanted = [windows.c.model == model, windows.c.start >= since]
    if version is not None:
        wanted.append(windows.c.version == version)
    if last is not None:
        wanted.append(windows.c.start >= _start_of_last(tx, project_id, wanted, last))
    query = mine(windows, project_id).where(*wanted)
    ordered = query.order_by(windows.c.start, windows.c.version, windows.c.revision)
    latest = {(item.start, item.version): item for item in many(tx, Window, ordered)}
    return list(latest.values())


def _start_of_last(
    tx: Tx, project_id: str, wanted: Sequence[sa.ColumnElement[bool]], last: int
) -> int:
    """Return the start from which there are so many; 0 where there are fewer."""
    query = (
        sa.select(windows.c.start)
        .where(windows.c.project_id == project_id, *wanted)
        .distinct()
        .order_by(windows.c.start.desc())
        .limit(1)
        .offset(last - 1)
    )
    return tx.execute(query).scalar() or 0


def newest_windows(tx: Tx, project_id: str, since: int) -> list[Window]:
    """Return the newest window, in its newest revision, of each version that has one since then."""
    last = (
        sa.select(windows.c.model, windows.c.version, sa.func.max(windows.c.start).label("start"))
        .where(windows.c.project_id == project_id, windows.c.start >= since)
        .group_by(windows.c.model, windows.c.version)
        .subquery()
    )
    query = mine(windows, project_id).join(
        last,
        sa.and_(
            windows.c.model == last.c.model,
            windows.c.version == last.c.version,
            windows.c.start == last.c.start,
        ),
    )
    latest = {
        (item.model, item.version): item
        for item in many(tx, Window, query.order_by(windows.c.model, windows.c.revision))
    }
    return list(latest.values())


def performance_windows(
    tx: Tx, project_id: str, of: Sequence[str], *, since: int, last: int | None = None
) -> dict[str, list[Window]]:
    """Return the windows of many models since a moment, in their newest revision, oldest first.

    Of what was found they hold `performance` alone: all of it, of a thousand models, is too much.

    Args:
        tx: a transaction.
        project_id: the project.
        of: the models.
        since: the earliest start.
        last: only so many rows of each model, the newest.
    """
    performance = windows.c.findings["performance"].label("performance")
    query = sa.select(*(windows.c[name] for name in _KEPT), performance)
    query = query.where(windows.c.project_id == project_id, windows.c.start >= since)
    query = query.order_by(windows.c.start, windows.c.version, windows.c.revision)
    found: dict[str, dict[tuple[int, int], Window]] = {}
    for some in batched(of):
        for *values, measured in tx.execute(_newest_of(query, some, last)):
            known = dict(zip(_KEPT, values, strict=True))
            window = Window(**known, findings={"performance": measured or {}})
            found.setdefault(window.model, {})[window.start, window.version] = window
    return {model: list(latest.values()) for model, latest in found.items()}


def _newest_of(query: sa.Select[Any], of: Sequence[str], last: int | None) -> sa.Select[Any]:
    """Narrow a query of windows to some models and, if asked, to the last rows of each."""
    query = query.where(windows.c.model.in_(of))
    if last is None:
        return query
    newest = [windows.c[name].desc() for name in ("start", "version", "revision")]
    place = sa.func.row_number().over(partition_by=windows.c.model, order_by=newest)
    ranked = query.add_columns(place.label("place")).order_by(None).subquery()
    kept = [column for column in ranked.c if column.name != "place"]
    order = (ranked.c.start, ranked.c.version, ranked.c.revision)
    return sa.select(*kept).where(ranked.c.place <= last).order_by(*order)


def windows_at(
    tx: Tx, project_id: str, keys: Sequence[tuple[str, int, int, int]]
) -> Iterator[Window]:
    """Yield whole windows by (model, version, start, revision)."""
    key = sa.tuple_(windows.c.model, windows.c.version, windows.c.start, windows.c.revision)
    for some in batched(keys):
        yield from many(tx, Window, mine(windows, project_id).where(key.in_(some)))


def window_before(tx: Tx, project_id: str, model: str, version: int, start: int) -> Window | None:
    """Return the newest revision of the window that ended where one starts, None without any."""
    query = mine(windows, project_id).where(
        windows.c.model == model, windows.c.version == version, windows.c.start < start
    )
    newest = query.order_by(windows.c.start.desc(), windows.c.revision.desc()).limit(1)
    found = many(tx, Window, newest)
    return found[0] if found and found[0].end == start else None


def last_ends(tx: Tx, project_id: str, model: str) -> dict[int, int]:
    """Return when the last closed window of each version of a model ended."""
    last = (
        sa.select(windows.c.version, sa.func.max(windows.c.start).label("start"))
        .where(windows.c.project_id == project_id, windows.c.model == model)
        .group_by(windows.c.version)
        .subquery()
    )
    query = (
        sa.select(windows.c.version, windows.c.end)
        .join(last, sa.and_(windows.c.version == last.c.version, windows.c.start == last.c.start))
        .where(windows.c.project_id == project_id, windows.c.model == model)
    )
    return {row.version: row.end for row in tx.execute(query)}


def save_alert(tx: Tx, project_id: str, alert: Alert) -> None:
    """Insert an alert, or write its present state."""
    upsert(tx, project_id, alerts, alert)


def get_alert(tx: Tx, project_id: str, alert_id: str) -> Alert:
    """Return an alert by its id, or by the beginning of it (8 digits or more).

    Raises:
        NotFound: there is none.
        UsageError: the beginning fits several.
    """
    return named(tx, project_id, Alert, alerts.c.alert_id, alert_id, "alert")


def find_alerts(
    tx: Tx,
    project_id: str,
    *,
    model: str | None = None,
    states: tuple[str, ...] = (),
    cause: str | None = None,
    limit: int | None = 200,
) -> list[Alert]:
    """Return alerts and notices, newest first."""
    query = mine(alerts, project_id).order_by(alerts.c.alert_id.desc()).limit(limit)
    if model is not None:
        query = query.where(alerts.c.model == model)
    if states:
        query = query.where(alerts.c.state.in_(states))
    if cause is not None:
        query = query.where(alerts.c.cause == cause)
    return many(tx, Alert, query)


def save_decision(tx: Tx, project_id: str, decision: Decision) -> None:
    """Insert a decision, or write what came of it."""
    upsert(tx, project_id, decisions, decision)


def newest_decisions(tx: Tx, project_id: str, alert_ids: Sequence[str]) -> dict[str, Decision]:
    """Return the newest decision about each of some alerts, by alert."""
    found: dict[str, Decision] = {}
    for some in batched(alert_ids):
        query = mine(decisions, project_id).where(decisions.c.alert_id.in_(some))
        for each in many(tx, Decision, query.order_by(decisions.c.decision_id)):
            found[each.alert_id] = each
    return found


def find_decisions(tx: Tx, project_id: str, alert_id: str | None = None) -> list[Decision]:
    """Return decisions (of one alert), newest first."""
    query = mine(decisions, project_id).order_by(decisions.c.decision_id.desc())
    if alert_id is not None:
        query = query.where(decisions.c.alert_id == alert_id)
    return many(tx, Decision, query)


def decisions_about(tx: Tx, project_id: str, alert_ids: Sequence[str]) -> list[Decision]:
    """Return every decision about some alerts."""
    found: list[Decision] = []
    for some in batched(alert_ids):
        found += many(
            tx, Decision, mine(decisions, project_id).where(decisions.c.alert_id.in_(some))
        )
    return found


def count_decisions(tx: Tx, project_id: str, model: str, action: str, *, since: int) -> int:
    """Return how many decisions for an action, about a model's alerts, were made since a moment.

    One whose action failed does not count.
    """
    query = (
        sa.select(sa.func.count())
        .select_from(decisions)
        .join(
            alerts,
            sa.and_(
                alerts.c.project_id == decisions.c.project_id,
                alerts.c.alert_id == decisions.c.alert_id,
            ),
        )
        .where(
            decisions.c.project_id == project_id,
            alerts.c.model == model,
            decisions.c.action == action,
            decisions.c.state != "failed",
            decisions.c.decided_at > since,
        )
    )
    return tx.execute(query).scalar() or 0


def get_decision(tx: Tx, project_id: str, decision_id: str) -> Decision:
    """Return a decision.

    Raises:
        NotFound: there is none of that id.
    """
    query = mine(decisions, project_id).where(decisions.c.decision_id == decision_id)
    decision = one(tx, Decision, query)
    if decision is None:
        raise NotFound(f"There is no decision {decision_id}.", "thrive alerts list")
    return decision
