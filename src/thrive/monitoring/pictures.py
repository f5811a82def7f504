"""The evidence of an alert as one picture, the same in its mail and on its page.

The drawing is SVG with its own colours and no script: it stands wherever it is put.
"""

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from thrive.domain.clock import format_time
from thrive.domain.monitoring import Cause, Window
from thrive.monitoring.findings import Findings

_WIDTH, _LEFT, _RIGHT = 640.0, 64.0, 16.0
_PLOT, _ROW = 180.0, 22.0
_INK, _QUIET, _LINE, _BAD, _GRID = "#1b1f24", "#59636e", "#2f5fa8", "#b3261e", "#d0d7de"
_MOST_BARS = 8


def picture(evidence: Mapping[str, Any]) -> str:
    """Return the picture of an alert's evidence as SVG; "" where there is nothing to draw.

    Args:
        evidence: of the alert: its `series` over the windows, its `drift` or its faults.
    """
    parts: list[str] = []
    height = 0.0
    series = evidence.get("series")
    if series and len(series["points"]) > 1:
        parts.append(_series(series))
        height += _PLOT
    bars = bars_of(evidence)
    if bars:
        title, rows = bars
        parts.append(_bars(title, rows, height, "{:.1%}" if as_share(evidence) else "{:.3g}"))
        height += _ROW * (len(rows) + 1) + 12.0
    if not parts:
        return ""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="evidence" role="img" '
        f'aria-label="The evidence as a picture" viewBox="0 0 {_WIDTH:g} {height:g}" '
        f'width="{_WIDTH:g}" height="{height:g}" font-family="sans-serif" font-size="12">'
        f'<rect width="{_WIDTH:g}" height="{height:g}" fill="#ffffff"/>{"".join(parts)}</svg>'
    )


def _text(x: float, y: float, words: str, *, anchor: str = "start", fill: str = _QUIET) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{fill}">{escape(words)}</text>'
    )


def _series(series: Mapping[str, Any]) -> str:
    """Draw a value over the windows, its limit, and the windows beyond it."""
    points: Sequence[tuple[int, float]] = series["points"]
    limit, bad = series.get("limit"), set(series.get("bad", []))
    values = [value for _, value in points] + ([] if limit is None else [limit])
    low, high = min(values), max(values)
    margin = (high - low) * 0.1 or abs(high) * 0.05 or 1.0
    low, high = low - margin, high + margin
    top, bottom = 28.0, _PLOT - 28.0
    first, last = points[0][0], points[-1][0]

    def x(at: int) -> float:
        return _LEFT + (at - first) / max(1, last - first) * (_WIDTH - _LEFT - _RIGHT)

    def y(value: float) -> float:
        return bottom - (value - low) / (high - low) * (bottom - top)

    said = "" if limit is None else f", limit {limit:.3g}"
    drawn = _text(8, 16, f"{series['name']}{said}", fill=_INK)
    for value in (low + margin, (low + high) / 2, high - margin):
        drawn += _rule(y(value), _GRID) + _text(
            _LEFT - 6, y(value) + 4, f"{value:.3g}", anchor="end"
        )
    if limit is not None:
        drawn += _rule(y(limit), _BAD, dashed=True)
    path = " ".join(f"{x(at):.1f},{y(value):.1f}" for at, value in points)
    drawn += f'<polyline points="{path}" fill="none" stroke="{_LINE}" stroke-width="1.5"/>'
    for at, value in points:
        if at in bad:
            drawn += f'<circle cx="{x(at):.1f}" cy="{y(value):.1f}" r="4" fill="{_BAD}"/>'
    drawn += _text(_LEFT, _PLOT - 8, format_time(first)[:10])
    return drawn + _text(_WIDTH - _RIGHT, _PLOT - 8, format_time(last)[:10], anchor="end")


def _rule(y: float, colour: str, *, dashed: bool = False) -> str:
    dashes = ' stroke-dasharray="5 4"' if dashed else ""
    return (
        f'<line x1="{_LEFT:g}" x2="{_WIDTH - _RIGHT:g}" y1="{y:.1f}" y2="{y:.1f}" '
        f'stroke="{colour}"{dashes}/>'
    )


def as_share(evidence: Mapping[str, Any]) -> bool:
    """Tell whether the bars of an evidence are shares of rows."""
    return bool(evidence.get("numbers", {}).get("faults"))


def bars_of(evidence: Mapping[str, Any]) -> tuple[str, list[tuple[str, float, float]]] | None:
    """Return what is drawn as bars: (name, value, what is usual), the worst first."""
    faults = evidence.get("numbers", {}).get("faults", [])
    if faults:
        rows = [
            (f"{each['column']}: {each['kind']}", each["share"], each["expected"])
            for each in faults
        ]
        return "Faulty rows, and the share that is usual", rows[:_MOST_BARS]
    drift = [each for each in evidence.get("drift", []) if each.get("psi") is not None]
    if drift:
        moved = [(str(each["name"]), each["psi"], each.get("usual") or 0.0) for each in drift]
        return "How far the inputs moved (PSI), and what is usual", moved[:_MOST_BARS]
    return None


def _bars(title: str, rows: Sequence[tuple[str, float, float]], top: float, written: str) -> str:
    begin, width = 220.0, _WIDTH - 220.0 - 70.0
    most = max(max(value, usual) for _, value, usual in rows) or 1.0
    drawn = _text(8, top + 16, title, fill=_INK)
    for place, (name, value, usual) in enumerate(rows, 1):
        middle = top + place * _ROW + 8.0
        length = width * max(0.0, value) / most
        at = begin + width * max(0.0, usual) / most
        drawn += _text(begin - 8, middle + 4, name[:34], anchor="end")
        drawn += (
            f'<rect x="{begin:g}" y="{middle - 6:.1f}" width="{length:.1f}" height="12" '
            f'fill="{_LINE}"/><line x1="{at:.1f}" x2="{at:.1f}" y1="{middle - 9:.1f}" '
            f'y2="{middle + 9:.1f}" stroke="{_BAD}"/>'
        )
        drawn += _text(begin + length + 6, middle + 4, written.format(value))
    return drawn


def series(
    found: Sequence[tuple[Window, Findings]], cause: Cause, numbers: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the value behind an alert over the windows that led to it; empty without one.

    Args:
        found: the windows and their findings, oldest first.
        cause: of the alert.
        numbers: of its verdict.
    """
    signal = str(numbers.get("signal", ""))
    values: list[float | None] = []
    name = {Cause.SERVICE: "share of answers that failed", Cause.OUTCOMES: "share with an outcome"}
    for window, item in found:
        if cause is Cause.PERFORMANCE:
            measured = item.performance.get(signal)
            values.append(None if measured is None else measured.value)
        elif cause is Cause.SERVICE:
            asked = sum(item.variants.values())
            values.append(item.errors / asked if asked else None)
        elif cause is Cause.OUTCOMES:
            values.append(window.outcomes / window.rows if window.rows else None)
    points = [
        (window.start, value)
        for (window, _), value in zip(found, values or [None] * len(found), strict=True)
        if value is not None and math.isfinite(value)
    ]
    if not points:
        return {}
    bad = [each["start"] for each in numbers.get("windows", [])]
    return {
        "name": signal or name[cause],
        "points": points,
        "limit": numbers.get("limit"),
        "bad": bad,
    }
