"""An alert as a person reads it in a terminal: what to do, and the evidence as plots of text."""

from collections.abc import Mapping, Sequence
from typing import Any

from thrive.domain.clock import format_moment, format_time
from thrive.domain.monitoring import Alert, AlertState
from thrive.domain.numbers import read_number
from thrive.monitoring import upstream
from thrive.monitoring.pictures import bars_of

_BAR, _MOST_POINTS, _MOST_ROWS = 24, 14, 10


def told(alert: Alert) -> str:
    """Return an alert's advice, its proposed actions with reasons, and its evidence."""
    evidence = alert.evidence
    parts = [
        [str(evidence.get("advice", ""))],
        _proposed(alert) if alert.state is AlertState.OPEN else [],
        _series(evidence.get("series") or {}),
        _bars(evidence),
        _upstream(evidence),
        _segments(evidence.get("segments") or []),
        [f"Runbook: {evidence['runbook']}"] if evidence.get("runbook") else [],
    ]
    return "\n\n".join("\n".join(lines) for lines in parts if any(lines))


def _proposed(alert: Alert) -> list[str]:
    reasons: Mapping[str, str] = alert.evidence.get("reasons", {})
    width = max((len(each) for each in alert.proposed), default=0)
    lines = [
        f"{'*' if each == alert.recommended else ' '} {each:<{width}}  {reasons.get(each, '')}"
        for each in alert.proposed
    ]
    return ["What can be done (* recommended):", *(line.rstrip() for line in lines)]


def _upstream(evidence: Mapping[str, Any]) -> list[str]:
    source = evidence.get("upstream")
    if not source:
        return []
    made = source.get("made_at")
    return [upstream.words(source, format_time(made) if made else "")]


def _series(series: Mapping[str, Any]) -> list[str]:
    points: Sequence[tuple[int, float]] = series.get("points", [])[-_MOST_POINTS:]
    if len(points) < 2:
        return []
    limit, bad = series.get("limit"), set(series.get("bad", []))
    values = [value for _, value in points] + ([] if limit is None else [limit])
    low, high = min(0.0, *values), max(values)
    said = f", limit {read_number(limit, 3)}" if limit is not None else ""
    lines = [
        f"{format_moment(at):<16}  {read_number(value, 4):>8}  "
        f"{_bar((value - low) / ((high - low) or 1.0))}"
        f"{'  beyond' if at in bad else ''}".rstrip()
        for at, value in points
    ]
    return [f"{str(series['name']).capitalize()} by window{said}:", *lines]


def _bars(evidence: Mapping[str, Any]) -> list[str]:
    found = bars_of(evidence)
    if found is None:
        return []
    title, rows = found
    width = min(34, max(len(name) for name, _, _ in rows))
    most = max(max(value, usual) for _, value, usual in rows) or 1.0
    lines = [
        f"{name[:width]:<{width}}  {read_number(value, 3):>8}  "
        f"usual {read_number(usual, 3):>8}  {_bar(value / most)}"
        for name, value, usual in rows
    ]
    return [f"{title}:", *(line.rstrip() for line in lines)]


def _segments(segments: Sequence[Mapping[str, Any]]) -> list[str]:
    rows = [each for each in segments if each.get("realised") is not None]
    rows = sorted(rows, key=lambda each: each["realised"])[:_MOST_ROWS]
    names = [f"{each['column']}={each['value']}" for each in rows]
    width = max((len(name) for name in names), default=0)
    lines = [
        f"{name:<{width}}  {each['rows']:>8,} rows  {each['realised']:.3g}"
        for name, each in zip(names, rows, strict=True)
    ]
    return ["Real performance by segment, lowest first:", *lines] if lines else []


def _bar(share: float) -> str:
    return "█" * round(_BAR * min(1.0, max(0.0, share)))
