"""Windows put together: a month from its days, by their counters alone; no prediction is read."""

from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec

from thrive.domain.actor import ANYONE
from thrive.domain.clock import parse_time
from thrive.domain.errors import CannotTell, NotFound
from thrive.domain.model import SCORE
from thrive.domain.monitoring import Window
from thrive.monitoring.baseline import Baseline, load_baseline
from thrive.monitoring.closing import load_counters
from thrive.monitoring.counters import Packed, unpacked
from thrive.monitoring.findings import Column, findings_of
from thrive.monitoring.judge import columns
from thrive.monitoring.measure import merge
from thrive.operations import Context, operation
from thrive.statistics.sketch import NumericSketch
from thrive.store import models, monitoring


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """The rows of one value of a segment, against the same value's rows in the reference.

    Attributes:
        column: the segment; `variant` for who answered.
        value: of the segment.
        rows: answered rows.
        moved: inputs that moved away from the reference there, the largest effect first.
    """

    column: str
    value: str
    rows: int
    moved: str


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
        part: the part that was asked for, "" for all rows.
        columns: each input and the score of those rows together, against the reference.
        parts: each value of each declared segment, and each variant where there are several.
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
    part: str
    columns: list[Column]
    parts: list[Part] = []


@operation("windows merge", role=ANYONE, next_hint="thrive windows list {model}")
def windows_merge(
    ctx: Context,
    model: str,
    *,
    version: int | None = None,
    since: str = "",
    until: str = "",
    part: str = "",
) -> MergedWindow:
    """Put the closed windows of a version together: what moved over the whole of a month.

    Args:
        model: whose windows.
        version: the newest that has any, if left out.
        since: only windows that start then or later, e.g. 2013-05-01.
        until: only windows that start before then.
        part: only the rows of one value of a segment, e.g. carrier=UA or variant=canary.

    Raises:
        CannotTell: no such window was compared with a reference.
        NotFound: no window has that part.

    Examples:
        thrive windows merge flight-delay --since 2013-05-01 --until 2013-06-01
        thrive windows merge flight-delay --part carrier=UA
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
    return _merged(ctx, mine, part)


def _merged(ctx: Context, windows: list[Window], part: str) -> MergedWindow:
    digest = findings_of(next(each for each in reversed(windows) if each.sketches)).baseline
    baseline = load_baseline(ctx, digest)
    alike = [each for each in windows if each.sketches and findings_of(each).baseline == digest]
    counters = [load_counters(ctx, each) for each in alike]
    parts = [each.parts for each in counters]
    found = [findings_of(each) for each in alike]
    variants: Counter[str] = Counter()
    for item in found:
        variants.update(item.variants)
    start = alike[0].start
    compared = (
        _compared_part(baseline, parts, part, start)
        if part
        else _compared(baseline, baseline.counters, [each.whole for each in counters], start)
    )
    return MergedWindow(
        model=windows[0].model,
        version=windows[0].version,
        start=start,
        end=alike[-1].end,
        windows=len(alike),
        skipped=len(windows) - len(alike),
        rows=sum(each.rows for each in alike),
        outcomes=sum(each.outcomes for each in alike),
        errors=sum(item.errors for item in found),
        variants=dict(variants),
        part=part,
        columns=compared,
        parts=parts_of(baseline, parts, start),
    )


def _compared_part(
    baseline: Baseline, packed: Sequence[Packed], part: str, start: int
) -> list[Column]:
    column, _, value = part.partition("=")
    counted = [parts[column][value] for parts in packed if value in parts.get(column, {})]
    if not counted:
        known = [
            f"{name}={each}" for parts in packed[-1:] for name in parts for each in parts[name]
        ]
        raise NotFound(
            f"No window has a part {part!r}.",
            f"write one of {', '.join(known[:6])}" if known else "name segments in the contract",
        )
    return _compared(baseline, _reference_of(baseline, column, value), counted, start)


def _reference_of(baseline: Baseline, column: str, value: str) -> Mapping[str, bytes]:
    """Return the counters of a part in the reference; of all its rows where it has no such part."""
    return baseline.parts.get(column, {}).get(value, baseline.counters)


def _compared(
    baseline: Baseline,
    known: Mapping[str, bytes],
    packed: Sequence[Mapping[str, bytes]],
    start: int,
) -> list[Column]:
    """Compare the counters of many windows, added up, with those of the reference."""
    each = [unpacked(counted, baseline.kinds) for counted in packed]
    total = {name: merge([counted[name] for counted in each]) for name in each[0]}
    return columns(baseline, unpacked(known, baseline.kinds), total, start)


def parts_of(baseline: Baseline, packed: Sequence[Packed], start: int) -> list[Part]:
    """Return the parts of some windows, added up: by segment, most rows first.

    Args:
        baseline: what they were compared with; a value its reference lacks is compared with all.
        packed: the counters of the parts of each window.
        start: of the first window.
    """
    named = dict.fromkeys(
        (column, value) for parts in packed for column in parts for value in parts[column]
    )
    found: list[Part] = []
    for column, value in named:
        counted = [parts[column][value] for parts in packed if value in parts.get(column, {})]
        compared = _compared(baseline, _reference_of(baseline, column, value), counted, start)
        moved = sorted(
            (each for each in compared if each.drifted), key=lambda each: -(each.psi or 0.0)
        )
        scores = [NumericSketch.from_bytes(each[SCORE]) for each in counted]
        found.append(
            Part(
                column=column,
                value=value,
                rows=sum(each.rows for each in scores),
                moved=", ".join(each.name for each in moved),
            )
        )
    order = {column: place for place, (column, _) in reversed(list(enumerate(named)))}
    return sorted(found, key=lambda each: (order[each.column], -each.rows, each.value))
