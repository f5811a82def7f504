"""Charts of a verdict as SVG: intervals against a limit, calibration; colours are the sheet's."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from markupsafe import Markup, escape

from thrive.release.guards import Reading
from thrive.release.quality import Word
from thrive.ui.pages.release import Comparison
from thrive.ui.words import number, percent

WIDTH, ROW, LABELS, TOP, SIDE = 900, 22, 300, 8, 320
LETTER = 7
"""Width of a letter of a label at the most: labels take no more room than the longest needs."""
MOST = 40
"""Rows of a chart; the widest come first, the rest stand in the JSON."""


class Interval(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a chart: an estimate between two bounds, and how it was judged."""

    label: str
    value: float
    low: float
    high: float
    answer: str


def intervals_of(evidence: Mapping[str, Any]) -> list[Interval]:
    """Return what an evidence holds of slices, groups or latencies as lines of a chart."""
    for name, label, value in (
        ("slices", "slice", "gain"),
        ("groups", "group", "gap"),
        ("sizes", "rows", "ratio"),
    ):
        rows = evidence.get(name, [])
        found = [
            Interval(
                label=f"{row[label]} rows" if label == "rows" else str(row[label]),
                value=row[value],
                low=row["low"],
                high=row["high"],
                answer=str(row.get("answer", "")),
            )
            for row in rows
            if all(isinstance(row.get(key), int | float) for key in (value, "low", "high"))
        ]
        if found:
            return found[:MOST]
    if all(isinstance(evidence.get(key), int | float) for key in ("gain", "low", "high")):
        gain, low, high = evidence["gain"], evidence["low"], evidence["high"]
        label = f"gain of {evidence.get('metric', 'the metric')}"
        return [Interval(label=label, value=gain, low=low, high=high, answer="")]
    return []


def limits_of(evidence: Mapping[str, Any]) -> list[float]:
    """Return where the limits of a chart stand."""
    if "limits_of_gap" in evidence:
        return list(evidence["limits_of_gap"])
    if "margin" in evidence and ("slices" in evidence or "gain" in evidence):
        return [-evidence["margin"]]
    limit = evidence.get("limit")
    if not isinstance(limit, int | float):
        return []
    return [limit] if "sizes" in evidence else [-limit, limit]


def intervals(evidence: Mapping[str, Any]) -> Markup:
    """Draw the intervals of a check against its limits; nothing where there are none."""
    neutral = 1.0 if "sizes" in evidence else 0.0
    return against_limits(intervals_of(evidence), limits_of(evidence), neutral)


def guards(found: Sequence[Reading]) -> Markup:
    """Draw by how much more of the candidate's requests went wrong, and the line that stops it."""
    rows = [
        Interval(
            label=f"requests that {each.words}",
            value=each.difference,
            low=each.low,
            high=each.high,
            answer="pass" if each.high < each.margin else "cannot tell",
        )
        for each in found
        if each.difference is not None and each.low is not None and each.high is not None
    ]
    return against_limits(rows, sorted({each.margin for each in found}), 0.0, percent)


def outcomes(found: Sequence[Comparison]) -> Markup:
    """Draw the candidate's quality minus production's, and how much less is tolerated."""
    answers = {Word.NOT_WORSE.value: "pass", Word.WORSE.value: "fail"}
    rows = [
        Interval(
            label=f"{each.found.metric}, {each.name}",
            value=each.found.difference,
            low=each.found.low,
            high=each.found.high,
            answer=answers.get(each.answer, each.answer),
        )
        for each in found
        if each.found.low is not None and each.found.high is not None
    ]
    return against_limits(rows, sorted({-each.found.margin for each in found}), 0.0)


def against_limits(
    rows: Sequence[Interval],
    limits: Sequence[float],
    neutral: float,
    say: Callable[[float], str] = number,
) -> Markup:
    """Draw intervals one below the other, with the limits and the value that means no difference.

    Args:
        rows: the intervals; without any nothing is drawn.
        limits: where the limits stand.
        neutral: the value that means no difference.
        say: writes a value below its line.
    """
    if not rows:
        return Markup("")
    ends = [each for row in rows for each in (row.low, row.high)] + [*limits, neutral]
    low, high = min(ends), max(ends)
    left = min(LABELS, 40 + LETTER * max(len(row.label) for row in rows))
    scale = (WIDTH - left - 40) / ((high - low) or 1.0)
    height = TOP + ROW * len(rows) + 30

    def x(value: float) -> float:
        return left + (value - low) * scale

    end = height - 24
    lines = sorted([(neutral, "grid"), *((each, "line limit") for each in limits)])
    anchors = _anchors([x(at) for at, _ in lines], max(len(say(at)) for at, _ in lines))
    body = "".join(
        f'<line class="{kind}" x1="{x(at):.1f}" x2="{x(at):.1f}" y1="{TOP}" y2="{end}"/>'
        + _axis(x(at), height - 8, say(at), anchor)
        for (at, kind), anchor in zip(lines, anchors, strict=True)
    )
    body += "".join(_row(row, TOP + ROW * at + ROW / 2, left, x) for at, row in enumerate(rows))
    return _chart("intervals against the limit", body, height)


def _anchors(places: Sequence[float], letters: int) -> list[str]:
    """Return how rising labels hang at their places so that two near ones stand side by side."""
    anchors = ["middle"] * len(places)
    for at in range(len(places) - 1):
        if places[at + 1] - places[at] < LETTER * (letters + 1):
            anchors[at], anchors[at + 1] = "end", "start"
    return anchors


def _row(row: Interval, y: float, left: float, x: Any) -> str:
    kind = row.answer.replace(" ", "-") or "measured"
    said = f"{row.label}: {number(row.value)}, between {number(row.low)} and {number(row.high)}"
    label = row.label if len(row.label) <= 44 else f"{row.label[:43]}…"
    return (
        f'<g class="interval {escape(kind)}"><title>{escape(said)}</title>'
        f'<text class="axis" x="{left - 10:g}" y="{y + 4:.1f}" text-anchor="end">'
        f"{escape(label)}</text>"
        f'<line x1="{x(row.low):.1f}" x2="{x(row.high):.1f}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<circle cx="{x(row.value):.1f}" cy="{y:.1f}" r="4"/></g>'
    )


def calibration(bins: Sequence[Mapping[str, float]]) -> Markup:
    """Draw the share of positives over the mean score of each tenth: honest scores lie level."""
    if not bins:
        return Markup("")
    left, size = 60, SIDE - 60
    body = f'<line class="grid" x1="{left}" x2="{left + size}" y1="{TOP + size}" y2="{TOP}"/>'
    for each in bins:
        x, y = left + each["score"] * size, TOP + (1.0 - each["share"]) * size
        score, share = number(each["score"]), number(each["share"])
        said = f"{each['rows']:,} rows: score {score}, share {share}"
        body += (
            f'<g class="interval measured"><title>{escape(said)}</title>'
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5"/></g>'
        )
    for at in (0.0, 0.5, 1.0):
        body += _axis(left + at * size, TOP + size + 18, f"{at:g}")
        body += _axis(left - 8, TOP + (1.0 - at) * size + 4, f"{at:g}", "end")
    body += _axis(left + size / 2, TOP + size + 36, "mean score")
    return _chart("share of positives over mean score", body, SIDE + 20, "chart square", SIDE + 40)


def _axis(x: float, y: float, words: str, anchor: str = "middle") -> str:
    return (
        f'<text class="axis" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'
    )


def _chart(
    title: str, body: str, height: float, kind: str = "chart", width: float = WIDTH
) -> Markup:
    return Markup(  # noqa: S704 - every word that comes from outside was escaped on its way in
        f'<svg class="{kind}" role="img" aria-label="{escape(title)}" '
        f'viewBox="0 0 {width:g} {height:g}">{body}</svg>'
    )
