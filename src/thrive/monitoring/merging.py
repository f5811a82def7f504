"""Windows put together: a month from its days, by their counters alone; no prediction is read."""

from collections import Counter

import msgspec

from thrive.domain.actor import ANYONE
from thrive.domain.clock import parse_time
from thrive.domain.errors import CannotTell
from thrive.domain.monitoring import Window
from thrive.monitoring.baseline import load_baseline
from thrive.monitoring.closing import load_sketches
from thrive.monitoring.findings import Column, findings_of
from thrive.monitoring.judge import columns
from thrive.monitoring.measure import Sketch
from thrive.operations import Context, operation
from thrive.store import models, monitoring


class MergedWindow(msgspec.Struct, frozen=True, kw_only=True):
    """Many windows of one version as if they were one.

    Attributes:
        model: whose.
        version: which.
        start: of the first window, UTC microseconds.
        end: of the last window.
        windows: how many were put together.
        skipped: windows in between without counters, or compared with another baseline.
        rows: answered rows of all.
        outcomes: those of them with an outcome.
        errors: rows without an answer.
        variants: rows by variant, shadows included.
        columns: each input and the score of all rows together, against the reference.
    """

    model: str
    version: int
    start: int
    end: int
    windows: int
    skipped: int
    rows: int
    outcomes: int
    errors: int
    variants: dict[str, int]
    columns: list[Column]


@operation("windows merge", role=ANYONE, next_hint="thrive windows list {model}")
def windows_merge(
    ctx: Context, model: str, *, version: int | None = None, since: str = "", until: str = ""
) -> MergedWindow:
    """Put the closed windows of a version together: what moved over the whole of a month.

    Args:
        model: whose windows.
        version: the newest that has any, if left out.
        since: only windows that start then or later, e.g. 2013-05-01.
        until: only windows that start before then.

    Raises:
        CannotTell: no such window was compared with a reference.

    Examples:
        thrive windows merge flight-delay --since 2013-05-01 --until 2013-06-01
    """
    start, end = parse_time(since) if since else 0, parse_time(until) if until else None
    with ctx.read() as tx:
        models.get(tx, ctx.project_id, model)
        found = monitoring.find_windows(tx, ctx.project_id, model, version, start)
    wanted = [each for each in found if end is None or each.start < end]
    chosen = max((each.version for each in wanted if each.sketches), default=None)
    mine = [each for each in wanted if each.version == chosen]
    if not mine:
        raise CannotTell(
            f"No window of {model} in that time was compared with a reference.",
            f"thrive windows list {model}",
        )
    return _merged(ctx, mine)


def _merged(ctx: Context, windows: list[Window]) -> MergedWindow:
    digest = findings_of(next(each for each in reversed(windows) if each.sketches)).baseline
    baseline = load_baseline(ctx, digest)
    known = baseline.sketches()
    alike = [each for each in windows if each.sketches and findings_of(each).baseline == digest]
    total: dict[str, Sketch] = {}
    for window in alike:
        seen = load_sketches(ctx, window, known)
        total = {name: total[name] + seen[name] if total else seen[name] for name in seen}  # type: ignore[operator]
    found = [findings_of(each) for each in alike]
    variants: Counter[str] = Counter()
    for item in found:
        variants.update(item.variants)
    return MergedWindow(
        model=windows[0].model,
        version=windows[0].version,
        start=alike[0].start,
        end=alike[-1].end,
        windows=len(alike),
        skipped=len(windows) - len(alike),
        rows=sum(each.rows for each in alike),
        outcomes=sum(each.outcomes for each in alike),
        errors=sum(item.errors for item in found),
        variants=dict(variants),
        columns=columns(baseline, known, total, alike[0].start),
    )
