"""Charts as SVG, drawn by the server: colours come from the stylesheet's classes alone."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from markupsafe import Markup, escape

from thrive.domain.run import MetricPoint, StepRecord
from thrive.flows.performance import Performance, Point
from thrive.monitoring.pictures import picture
from thrive.ui.pages.alert import NO_CHANGE
from thrive.ui.pages.model import Mark, MarkKind, Timeline
from thrive.ui.words import day, exact, known, number

Pair = tuple[float, float | None]
Place = Callable[[float], float]

SPARK_WIDTH, SPARK_HEIGHT = 132, 30
WIDTH, HEIGHT = 900, 250
LEFT, RIGHT, TOP, BOTTOM = 52, 14, 26, 34
SIGN_WIDTH = 13
_SYMBOLS = {
    MarkKind.RELEASE: "▲",
    MarkKind.ALERT: "●",
    MarkKind.NOTICE: "○",
    MarkKind.DECISION: "◆",
}


def sparkline(performance: Performance) -> Markup:
    """Draw a model's performance as one small line each: estimated dashed, real solid."""
    lines = {
        "estimated": [(float(each.at), each.value) for each in performance.estimated],
        "realised": [(float(each.at), each.value) for each in performance.realised],
    }
    values = [value for pairs in lines.values() for _, value in pairs if known(value)]
    if not values:
        return Markup('<span class="none">-</span>')
    times = [at for pairs in lines.values() for at, _ in pairs]
    x = scale(min(times), max(times), 3, SPARK_WIDTH - 3)
    y = scale(*spread(values), SPARK_HEIGHT - 3, 3)
    body = "".join(line(pairs, x, y, f"line {name}") for name, pairs in lines.items())
    said = f"{performance.metric} over {len(performance.estimated)} windows"
    return safe(
        f'<svg class="spark" role="img" viewBox="0 0 {SPARK_WIDTH} {SPARK_HEIGHT}" '
        f'width="{SPARK_WIDTH}" height="{SPARK_HEIGHT}"><title>{escape(said)}</title>{body}</svg>'
    )


def timeline(shown: Timeline) -> Markup:
    """Draw performance over windows with the alarm limit, and a mark for all that happened."""
    performance = shown.performance
    lines = {
        "limit": _pairs(shown.limit),
        "estimated": _pairs(performance.estimated),
        "realised": _pairs(performance.realised),
    }
    values = [value for pairs in lines.values() for _, value in pairs if known(value)]
    if not values:
        return Markup("")
    times = [at for pairs in lines.values() for at, _ in pairs] + [
        float(mark.at) for mark in shown.marks
    ]
    x = scale(min(times), max(times), LEFT, WIDTH - RIGHT)
    low, high = spread(values)
    y = scale(low, high, HEIGHT - BOTTOM, TOP)
    body = grid(low, high, y) + _days(min(times), max(times), x)
    body += "".join(line(pairs, x, y, f"line {name}") for name, pairs in lines.items())
    body += _marks(shown.marks, x)
    said = f"{performance.metric} by window, with alerts, decisions and releases"
    return chart(said, body)


def history(points: Sequence[MetricPoint], name: str) -> Markup:
    """Draw the history of one metric of a run over its steps."""
    pairs: list[Pair] = [(float(each.step), each.value) for each in points]
    if pairs and all(at == pairs[0][0] for at, _ in pairs):
        pairs = [(float(index), value) for index, (_, value) in enumerate(pairs)]
    values = [value for _, value in pairs if known(value)]
    if not values:
        return Markup("")
    steps = [at for at, _ in pairs]
    x = scale(min(steps), max(steps), LEFT, WIDTH - RIGHT)
    low, high = spread(values)
    y = scale(low, high, HEIGHT - BOTTOM, TOP)
    body = grid(low, high, y) + line(pairs, x, y, "line realised")
    for at, anchor in ((min(steps), "start"), (max(steps), "end")):
        body += text(x(at), HEIGHT - 12, f"step {number(int(at))}", anchor)
    return chart(f"{name} over steps", body)


def bars(steps: Sequence[StepRecord], now: int) -> list[Markup]:
    """Draw one bar a step, on the common time of the run: where it began and how long it took."""
    if not steps:
        return []
    ends = [step.ended_at if step.ended_at is not None else now for step in steps]
    first, last = min(step.started_at for step in steps), max(ends)
    x = scale(first, last, 0, 300)
    return [
        safe(
            f'<svg class="bar" role="presentation" viewBox="0 0 300 12" '
            f'preserveAspectRatio="none"><rect class="track" width="300" height="12"/>'
            f'<rect class="step {step.state}" x="{x(step.started_at):.1f}" '
            f'width="{max(2.0, x(end) - x(step.started_at)):.1f}" height="12"/></svg>'
        )
        for step, end in zip(steps, ends, strict=True)
    ]


def share_bar(share: float, kind: str = "") -> Markup:
    """Draw a share (0..1) as a bar."""
    filled = min(max(share, 0.0), 1.0) * 100
    return safe(
        f'<svg class="share" role="presentation" viewBox="0 0 100 8" preserveAspectRatio="none">'
        f'<rect class="track" width="100" height="8"/>'
        f'<rect class="fill {escape(kind)}" width="{filled:.1f}" height="8"/></svg>'
    )


def heat(psi: float | None, usual: float) -> str:
    """Return the class that colours an effect (PSI) by what history explains of it.

    Args:
        psi: the effect.
        usual: the effect that the reference's own windows show at most; below 0.1 it is taken for
            0.1, under which a PSI is commonly called no change.

    Returns:
        `heat-0` (less than a quarter of the usual) to `heat-5` (half more than the usual and on).
    """
    if psi is None:
        return "heat-none"
    part = psi / max(usual, NO_CHANGE)
    return f"heat-{sum(part >= edge for edge in (0.25, 0.5, 0.75, 1.0, 1.5))}"


def _pairs(points: Sequence[Point]) -> list[Pair]:
    return [(float(each.at), each.value) for each in points]


def scale(low: float, high: float, start: float, end: float) -> Place:
    """Return what places values of a range (low, high) between two coordinates."""
    if high == low:
        return lambda _value: (start + end) / 2
    return lambda value: start + (value - low) / (high - low) * (end - start)


def spread(values: Sequence[float | None]) -> tuple[float, float]:
    """Return the range of the known values with a margin, so that no line lies on the frame."""
    present = [value for value in values if value is not None]
    low, high = min(present), max(present)
    margin = (high - low) * 0.08 or abs(high) * 0.05 or 1.0
    return low - margin, high + margin


def line(pairs: Sequence[Pair], x: Place, y: Place, kind: str) -> str:
    """Draw a line that breaks where a value is not known; a lone value is a dot."""
    pieces: list[list[tuple[float, float]]] = [[]]
    for at, value in pairs:
        if value is not None and known(value):
            pieces[-1].append((x(at), y(value)))
        elif pieces[-1]:
            pieces.append([])
    drawn = ""
    for piece in pieces:
        if len(piece) == 1:
            drawn += (
                f'<circle class="{kind} dot" cx="{piece[0][0]:.1f}" cy="{piece[0][1]:.1f}" r="2"/>'
            )
        elif piece:
            path = " ".join(f"{px:.1f},{py:.1f}" for px, py in piece)
            drawn += f'<polyline class="{kind}" points="{path}"/>'
    return drawn


def grid(low: float, high: float, y: Place, *, log: bool = False) -> str:
    """Draw five lines with their values; on a logarithmic scale these are powers of ten."""
    drawn = ""
    for index in range(5):
        value = low + (high - low) * index / 4
        drawn += f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(value):.1f}" '
        drawn += f'y2="{y(value):.1f}"/>' + text(
            LEFT - 8, y(value) + 4, f"{10**value if log else value:.3g}", "end"
        )
    return drawn


def _days(first: float, last: float, x: Place) -> str:
    marks = [first + (last - first) * index / 5 for index in range(6)] if last > first else [first]
    anchors = {0: "start", len(marks) - 1: "end"} if len(marks) > 1 else {}
    return "".join(
        text(x(at), HEIGHT - 12, day(int(at)), anchors.get(index, "middle"))
        for index, at in enumerate(marks)
    )


def _marks(marks: Sequence[Mark], x: Place) -> str:
    """Draw what happened; signs that would lie on each other stand side by side."""
    body, last = "", float("-inf")
    for each in marks:
        last = min(max(x(each.at), last + SIGN_WIDTH), WIDTH - SIGN_WIDTH / 2)
        body += _mark(each.at, each.kind, each.what, each.link, x, last)
    return body


def _mark(at: int, kind: MarkKind, what: str, link: str, x: Place, sign: float) -> str:
    place = f"{x(at):.1f}"
    return (
        f'<a href="{escape(link)}" class="mark {kind}" aria-label="{escape(what)}">'
        f"<title>{escape(what)}, {exact(at)}</title>"
        f'<line x1="{place}" x2="{place}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>'
        f'<text x="{sign:.1f}" y="{TOP - 8}" text-anchor="middle">{_SYMBOLS[kind]}</text></a>'
    )


def text(x: float, y: float, words: str, anchor: str) -> str:
    """Draw a few words; `anchor` is start, middle or end."""
    return (
        f'<text class="axis" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'
    )


def chart(title: str, body: str, width: int = WIDTH) -> Markup:
    """Return a chart of the common height with a name for those who do not see it."""
    return safe(
        f'<svg class="chart" role="group" aria-label="{escape(title)}" '
        f'viewBox="0 0 {width} {HEIGHT}">{body}</svg>'
    )


def evidence(found: Mapping[str, Any]) -> Markup:
    """Draw the evidence of an alert, as its mail shows it; nothing where there is none."""
    return safe(picture(found))


def safe(svg: str) -> Markup:
    """Return a drawing as HTML."""
    return Markup(svg)  # noqa: S704 - every word that comes from outside was escaped on its way in
