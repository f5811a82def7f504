"""Closing windows: measure what ended, and correct what late rows and outcomes changed."""

from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np

from thrive.domain.clock import DAY, MINUTE, ClockMode
from thrive.domain.model import LABEL, SCORE, ModelVersion
from thrive.domain.monitoring import Window
from thrive.monitoring import judge
from thrive.monitoring.accepted import Known, accepted_faults, without
from thrive.monitoring.baseline import Baseline, baseline_of, load_baseline
from thrive.monitoring.counters import Counters, pack, read, unpacked
from thrive.monitoring.faults import faults, label_faults
from thrive.monitoring.findings import Findings, findings_of
from thrive.monitoring.frames import DECISION, natural
from thrive.monitoring.grid import Span, ended_windows, main_version, spans
from thrive.monitoring.measure import Sketch, parted, segments, sketches
from thrive.monitoring.performance import estimated_only, performance
from thrive.monitoring.terms import YEAR, TermsInForce, terms_of
from thrive.operations import Context
from thrive.store import log_ends, models, monitoring, releases
from thrive.store.database import Tx
from thrive.store.monitoring import WindowMark, window_label
from thrive.store.prediction_frames import LogReader

if TYPE_CHECKING:
    import polars as pl

GRACE = 2 * MINUTE
"""How long after its end a window waits for sealed logs; a replay seals before it looks."""
REMEMBERED, REMEMBERED_TIME = 60, 45 * DAY
"""Windows back, and time back, in which late rows and outcomes still correct what was found."""
MATERIAL, SETTLED = 0.05, 7
"""Change of coverage that corrects a window at once; smaller ones wait so many windows."""
_MOST = 500
"""New windows a call, so that a tick stays short after a long silence."""
_TOGETHER = 64
"""Windows that are written in one transaction, at least, when many models are closed."""


class _Watched(msgspec.Struct, frozen=True, kw_only=True):
    """A version that is or was live, with what its windows are compared with."""

    version: ModelVersion
    terms: TermsInForce
    digest: str
    baseline: Baseline | None
    known: Mapping[str, Sketch]
    accepted: Known = frozenset()


class _Ended(NamedTuple):
    version: int
    start: int
    end: int


class _Look(msgspec.Struct, frozen=True, kw_only=True):
    """One look at a model: the log, the moment that all of it is seen at, and what it was left at.

    Attributes:
        ctx: the project.
        log: the sealed predictions.
        now: UTC microseconds.
        replay: whether the clock is one.
        live: when which version answered users, oldest first.
        versions: those of them that are known, by number.
        ends: when the last closed window of each ended.
        marks: the windows that late rows and outcomes still correct, oldest first.
    """

    ctx: Context
    log: LogReader
    now: int
    replay: bool
    live: list[Span] = []
    versions: dict[int, ModelVersion] = {}
    terms: dict[int, TermsInForce] = {}
    ends: dict[int, int] = {}
    marks: list[WindowMark] = []


def close_windows(ctx: Context, model: str, log: LogReader | None = None) -> list[Window]:
    """Close every window that has ended, and correct closed ones that look different now.

    A correction is a new revision of the window; nothing changes silently. Calling it twice
    changes nothing.

    Args:
        ctx: the project.
        model: whose windows.
        log: read by several models at once; one of its own if left out.

    Returns:
        The windows that were closed or corrected, oldest first.
    """
    closer = Closer(ctx, log or LogReader(ctx.home))
    closer.close(model)
    return sorted(closer.keep(), key=lambda window: window.start)


class Closer:
    """Closes the windows of many models, and waits for the disk once for many of them.

    Args:
        ctx: the project.
        log: the sealed predictions, read once for all models.
    """

    def __init__(self, ctx: Context, log: LogReader) -> None:
        self._ctx, self._log = ctx, log
        self._made: list[tuple[Window, bytes]] = []

    def close(self, model: str) -> int:
        """Close or correct the windows of a model; return how many. `keep` makes them last."""
        look = _look(self._ctx, model, self._log)
        fresh = _fresh(look) if look.live else []
        marks = look.marks if fresh else look.marks[-3:]
        stale = _with_followers(_stale(look, marks), marks)
        if not fresh and not stale:
            return 0
        before = _before(look, model, stale)
        watched = _watched(look, fresh, {mark.version for mark in stale})
        if any(look.terms[each.version].counted for each in fresh):
            look.log.hold(fresh[0].start, max(each.end for each in fresh), look.now)
        count = len(self._made)
        for mark in stale:
            ended = _Ended(mark.version, mark.start, mark.end)
            self._add(look, watched[mark.version], ended, before[mark.version, mark.start])
        for ended in fresh:
            self._add(look, watched[ended.version], ended)
        added = len(self._made) - count
        if len(self._made) >= _TOGETHER:
            self.keep()
        return added

    def _add(
        self, look: _Look, watched: _Watched, ended: _Ended, before: Window | None = None
    ) -> None:
        earlier = self._counters_before(watched, ended.start)
        made = _close(look, watched, ended, before, earlier)
        if made is not None:
            self._made.append(made)

    def _counters_before(self, watched: _Watched, start: int) -> Mapping[str, Sketch]:
        """Return the counters of the window before one of the same baseline; empty without any."""
        if watched.baseline is None:
            return {}
        name, number = watched.version.model, watched.version.version
        for window, counters in reversed(self._made):
            if (window.model, window.version, window.end) == (name, number, start):
                same = counters and findings_of(window).baseline == watched.digest
                return unpacked(read(counters).whole, watched.baseline.kinds) if same else {}
        with self._ctx.read() as tx:
            window = monitoring.window_before(tx, self._ctx.project_id, name, number, start)
        if window is None or not window.sketches:
            return {}
        if findings_of(window).baseline != watched.digest:
            return {}
        return unpacked(load_counters(self._ctx, window).whole, watched.baseline.kinds)

    def keep(self) -> list[Window]:
        """Write what was closed since the last time; return it."""
        if not self._made:
            return []
        packed = [counters for _, counters in self._made]
        named = iter(self._ctx.home.blobs.put_many([each for each in packed if each]))
        kept = [
            msgspec.structs.replace(window, sketches=next(named) if counters else "")
            for window, counters in self._made
        ]
        subjects = [f"window:{window_label(window)}" for window in kept]
        with self._ctx.observe(*subjects) as tx:
            monitoring.insert_window(tx, self._ctx.project_id, *kept)
        self._made = []
        return kept


def _look(ctx: Context, model: str, log: LogReader) -> _Look:
    clock = ctx.home.clock()
    look = _Look(ctx=ctx, log=log, now=clock.now(), replay=clock.mode is ClockMode.REPLAY)
    with ctx.read() as tx:
        history = releases.routing_history(tx, ctx.project_id, model)
        answered = spans(history, look.now)
        among = {span.version for span in answered}
        found = models.versions(tx, ctx.project_id, model, among=among) if among else []
        versions = {item.version: item for item in found}
        terms = {number: terms_of(ctx, version) for number, version in versions.items()}
        marks = _marks(tx, look, model, terms.values()) if versions else []
        return msgspec.structs.replace(
            look,
            live=[span for span in answered if span.version in versions],
            versions=versions,
            terms=terms,
            ends=_ends(tx, look, model, versions, marks),
            marks=marks,
        )


def _ends(
    tx: Tx, look: _Look, model: str, versions: Collection[int], marks: Sequence[WindowMark]
) -> dict[int, int]:
    """Return when the last closed window of each version ended, as far as any is closed."""
    found = {mark.version: mark.end for mark in marks}
    if set(versions) <= found.keys():
        return found
    return monitoring.last_ends(tx, look.ctx.project_id, model) | found


def _marks(tx: Tx, look: _Look, model: str, terms: Collection[TermsInForce]) -> list[WindowMark]:
    """Return the windows that late rows and outcomes still correct, oldest first."""
    length = max((each.window for each in terms if not each.counted), default=DAY)
    since = look.now // length * length - max(REMEMBERED * length, REMEMBERED_TIME)
    since = max(
        since, log_ends.get(tx, look.ctx.project_id, model).until
    )  # rows before it are gone
    last = _MOST if any(each.counted for each in terms) else None
    return monitoring.window_marks(tx, look.ctx.project_id, model, since, last)


def _before(look: _Look, model: str, stale: Sequence[WindowMark]) -> dict[tuple[int, int], Window]:
    """Return what is to be corrected, by version and start."""
    if not stale:
        return {}
    keys = [(model, mark.version, mark.start, mark.revision) for mark in stale]
    with look.ctx.read() as tx:
        found = monitoring.windows_at(tx, look.ctx.project_id, keys)
        return {(window.version, window.start): window for window in found}


def _watched(look: _Look, fresh: Sequence[_Ended], stale: set[int]) -> dict[int, _Watched]:
    """Return the versions whose windows are to be measured, with their baselines."""
    named = {mark.version: mark.baseline for mark in look.marks}
    rates = {number: _a_year(look.live, number, stretch) for number, *stretch in reversed(fresh)}
    numbers = {each.version for each in fresh} | stale
    watched = {
        number: _watch(look, number, named.get(number, ""), rates.get(number, 0.0))
        for number in numbers
    }
    name = next(iter(watched.values())).version.model
    with look.ctx.read() as tx:
        accepted = accepted_faults(tx, look.ctx.project_id, name)
    return {
        number: msgspec.structs.replace(each, accepted=accepted.get(number, frozenset()))
        for number, each in watched.items()
    }


def _fresh(look: _Look) -> list[_Ended]:
    """Return the windows that ended and are not closed yet, oldest first.

    They are closed in order, so that what starts before the end of the last closed one is closed.
    """
    until = look.now if look.replay else look.now - GRACE
    found: list[_Ended] = []
    for number, version in look.versions.items():
        mine = [span for span in look.live if span.version == number]
        length, after = look.terms[number].length, look.ends.get(number, 0)
        times: Any = ()
        if length.rows is not None and after < mine[-1].end:
            start = max(after, mine[0].start)
            times = look.log.answered(start, until, version.model, number, length.rows)
        for start, end in ended_windows(mine, length, until, after, times):
            if start >= after:
                found.append(_Ended(number, start, end))
    return sorted(found, key=lambda item: (item.start, item.version))[:_MOST]


def _a_year(live: Sequence[Span], number: int, stretch: Sequence[int]) -> float:
    """Return how many windows like this a year would have if its version answered everybody."""
    start, end = stretch
    shares = [span.share for span in live if span.version == number and span.start <= start]
    return YEAR / (end - start) / (shares[-1] if shares else 1.0)


def _watch(look: _Look, number: int, known: str, a_year: float) -> _Watched:
    version, terms = look.versions[number], look.terms[number]
    digest = baseline_of(look.ctx, version, terms, known, a_year if terms.counted else 0.0)
    baseline = load_baseline(look.ctx, digest) if digest else None
    return _Watched(
        version=version,
        terms=terms,
        digest=digest,
        baseline=baseline,
        known=baseline.sketches() if baseline is not None else {},
    )


Evidence = tuple[int, int, int]


def _evidence(look: _Look, stretches: list[tuple[int, int]]) -> list[Evidence]:
    """Return how many outcomes, sealed files and sealed rows each stretch of time has: it is cheap.

    Args:
        look: the project and the moment.
        stretches: (start, end) in UTC microseconds.
    """
    if not stretches:
        return []
    files = _files(look.log, stretches)
    return [(look.log.told(*stretch, look.now), *files[stretch][1:]) for stretch in stretches]


def _stale(look: _Look, windows: list[WindowMark]) -> list[WindowMark]:
    """Return the windows for which late rows came, or outcomes enough to matter."""
    if not windows or _is_unchanged(look, windows):
        return []
    now = _evidence(look, [(window.start, window.end) for window in windows])
    return [
        window
        for window, present in zip(windows, now, strict=True)
        if _is_stale(window, window.evidence, present, look.now)
    ]


def _is_unchanged(look: _Look, windows: list[WindowMark]) -> bool:
    """Tell by one count whether no outcome and no sealed file came since the windows were made."""
    seen = {(window.start, window.end): window.evidence for window in windows}
    if any(end > after for (_, end), (after, _) in pairwise(sorted(seen))):
        return False  # windows by count of two versions overlap: one count says nothing
    first, last = min(start for start, _ in seen), max(end for _, end in seen)
    if look.log.told(first, last, look.now) != sum(count for count, _, _ in seen.values()):
        return False
    files = _files(look.log, list(seen))
    return all(held[1:] == seen[stretch][1:] for stretch, held in files.items())


def _files(log: LogReader, stretches: list[tuple[int, int]]) -> dict[tuple[int, int], Evidence]:
    """Return how many sealed files and rows each stretch has; outcomes are not counted."""
    sealed = log.sealed(min(start for start, _ in stretches), max(end for _, end in stretches))
    held: dict[tuple[int, int], Evidence] = {}
    for start, end in stretches:
        rows = [item.rows for item in sealed if item.max_time >= start and item.min_time < end]
        held[start, end] = (0, len(rows), sum(rows))
    return held


def _with_followers(stale: list[WindowMark], known: list[WindowMark]) -> list[WindowMark]:
    """Return stale windows and those right after them: each is compared with the one before it."""
    touched = {(window.version, at) for window in stale for at in (window.start, window.end)}
    return [window for window in known if (window.version, window.start) in touched]


def _is_stale(window: WindowMark, seen: Evidence, present: Evidence, now: int) -> bool:
    return present[1:] != seen[1:] or _is_told(window, seen, present, now)


def _is_told(window: Window | WindowMark, seen: Evidence, present: Evidence, now: int) -> bool:
    """Tell whether outcomes enough came, or some and the window has stood for a while."""
    came = abs(present[0] - seen[0])
    settled = now - window.closed_at >= SETTLED * (window.end - window.start)
    return came >= max(1.0, MATERIAL * window.rows) or (came > 0 and settled)


def _close(
    look: _Look,
    watched: _Watched,
    ended: _Ended,
    before: Window | None,
    earlier: Mapping[str, Sketch],
) -> tuple[Window, bytes] | None:
    """Return a window as it is now, with its counters; None where a correction changes nothing."""
    start, end = ended.start, ended.end
    (evidence,) = _evidence(look, [(start, end)])
    frame = _rows(look, watched, start, end)
    counted, told = _counted(frame)
    findings, counters = _find(watched, frame, start, earlier)
    window = Window(
        model=watched.version.model,
        version=watched.version.version,
        start=start,
        end=end,
        revision=0 if before is None else before.revision + 1,
        rows=counted,
        outcomes=told,
        findings=msgspec.structs.replace(findings, evidence=evidence).to_json(),
        sketches="",
        closed_at=look.now,
        replay=look.replay,
    )
    if before is not None and not _differs(before, window):
        return None
    return window, counters


def _counted(frame: "pl.DataFrame") -> tuple[int, int]:
    """Return how many rows the version answered for users, and how many of them have an outcome."""
    import polars as pl

    mine = (pl.col("error") == "") & ~pl.col("variant").is_in(["shadow", "fallback"])
    return frame.select(
        mine.sum().alias("rows"), (mine & pl.col(LABEL).is_not_null()).sum().alias("told")
    ).row(0)


def load_counters(ctx: Context, window: Window) -> Counters:
    """Return the counters of a closed window that was compared with a baseline.

    Raises:
        Damaged: the bytes are none.
    """
    return read(ctx.home.blobs.get(window.sketches))


def _differs(before: Window, now: Window) -> bool:
    """Tell whether the rows changed, or enough outcomes came or were corrected."""
    had, has = findings_of(before), findings_of(now)
    told = _is_told(before, had.evidence, has.evidence, now.closed_at)
    changed = (before.outcomes, had.performance) != (now.outcomes, has.performance)
    if had.quality != has.quality:
        return True
    return before.rows != now.rows or (told and changed)


def _rows(look: _Look, watched: _Watched, start: int, end: int) -> "pl.DataFrame":
    """Return the version's rows of a window; answers without a version count as the main one's."""
    import polars as pl

    number = watched.version.version
    mine = pl.col("version") == number
    if main_version(look.live, start) == number:
        mine |= (pl.col("version") == 0) | (pl.col("variant") == "fallback")
    return natural(look.log.rows(start, end, watched.version.model, mine, look.now))


def _find(
    watched: _Watched, frame: "pl.DataFrame", start: int, before: Mapping[str, Sketch]
) -> tuple[Findings, bytes]:
    """Return what is found in a window, and its counters; b"" where nothing was compared."""
    import polars as pl

    terms = watched.terms.model
    counted = frame["variant"].value_counts()
    variants = dict(zip(counted["variant"].to_list(), counted["count"].to_list(), strict=True))
    nothing_live = (pl.col("variant") == "fallback") & (pl.col("error") == "")
    live = frame.filter((pl.col("variant") != "shadow") & ~nothing_live)
    failed = pl.col("error") != ""
    answer = pl.col(SCORE).is_not_null() | pl.col(DECISION).is_not_null()
    answered = live.filter(~failed & answer)
    errors = int(live.select(failed.sum()).item())
    latency = live["latency_us"].drop_nulls().to_numpy().astype(np.float64)
    p50, p99 = np.quantile(latency, [0.5, 0.99]).tolist() if len(latency) else (None, None)
    found = Findings(
        variants=variants,
        errors=errors,
        latency_us=(p50, p99),
        failing=judge.failing(errors, live.height, terms) if live.height else "",
        slow=judge.slow(latency, terms),
        baseline=watched.digest,
    )
    if watched.baseline is None or not answered.height:
        return found, b""
    return _compare(watched, watched.baseline, answered, found, start, before)


def _compare(
    watched: _Watched,
    baseline: Baseline,
    answered: "pl.DataFrame",
    found: Findings,
    start: int,
    before: Mapping[str, Sketch],
) -> tuple[Findings, bytes]:
    """Compare the answered rows of a window with the baseline."""
    terms = watched.terms.model
    seen = sketches(answered, baseline.kinds, watched.known)
    measured = performance(answered, baseline.yardstick)
    coverage = 1.0 - answered[LABEL].null_count() / answered.height
    relation = baseline.relations.change(answered) if baseline.relations is not None else None
    quality = faults(answered, baseline, watched.known, seen, before)
    labels = label_faults(measured, baseline, coverage)
    left_out = "the service failed" if found.failing else ""
    if without(quality, watched.accepted):
        left_out = left_out or "faults of the data"
    early = coverage < judge.LEAST_COVERAGE or bool(labels)
    judged = estimated_only(measured) if labels else measured
    made = msgspec.structs.replace(
        found,
        columns=judge.columns(baseline, watched.known, seen, start, relation),
        performance=measured,
        coverage=coverage,
        segments=segments(answered, terms.segments, baseline.yardstick),
        quality=quality,
        labels=labels,
        breaches=[] if left_out else judge.breaches(judged, coverage, baseline.limits),
        gaps=[] if left_out or early else judge.group_gaps(answered, terms, baseline.yardstick),
        left_out=left_out,
    )
    return made, pack(seen, parted(answered, terms.segments, baseline.kinds, watched.known))
