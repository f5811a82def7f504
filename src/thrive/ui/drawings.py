"""Larger drawings: curves of many runs, parallel coordinates, graphs, pairs of histograms."""

import math
from collections.abc import Iterable, Mapping, Sequence

import msgspec
from markupsafe import Markup, escape

from thrive.data.distributions import Distribution
from thrive.ui.charts import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Pair,
    chart,
    grid,
    line,
    safe,
    scale,
    spread,
    text,
)
from thrive.ui.pages.compare import Axis, Compared, CurveOf
from thrive.ui.pages.lineage import Edge, Node
from thrive.ui.words import known, number, percent

COLOURS = 8
"""Colours of series; beyond them the dashes change."""
NODE_HEIGHT, GAP_Y = 46, 18
_SIGNS = {"data": "▤", "run": "▸", "model": "◇", "live": "▲", "view": "≡", "step": "▸"}


def series_class(place: int) -> str:
    """Return the class that gives a series its colour and its dashes."""
    return f"s{place % COLOURS} d{place // COLOURS % 3}"


def overlay(curves: Sequence[CurveOf], runs: Sequence[Compared], *, log: bool) -> Markup:
    """Draw the histories of one metric of many runs over each other."""
    places = {run.run_id: place for place, run in enumerate(runs)}
    drawn: list[tuple[int, str, list[Pair], list[Pair]]] = []
    for curve in curves:
        raw = _pairs(curve.steps, curve.values, log=log)
        smooth = _pairs(curve.steps, curve.smoothed, log=log)
        place = places[curve.run_id]
        drawn.append((place, runs[place].name, raw, smooth))
    values = [value for _, _, raw, _ in drawn for _, value in raw if known(value)]
    if not values:
        return Markup("")
    steps = [at for _, _, raw, _ in drawn for at, _ in raw]
    x = scale(min(steps), max(steps), LEFT, WIDTH - RIGHT)
    low, high = spread(values)
    y = scale(low, high, HEIGHT - BOTTOM, TOP)
    body = grid(low, high, y, log=log)
    for place, name, raw, smooth in drawn:
        inside = line(raw, x, y, f"line {series_class(place)}{' pale' if smooth else ''}")
        inside += line(smooth, x, y, f"line {series_class(place)}") if smooth else ""
        body += f"<g><title>{escape(name)}</title>{inside}</g>"
    for at, anchor in ((min(steps), "start"), (max(steps), "end")):
        body += text(x(at), HEIGHT - 12, f"step {number(int(at))}", anchor)
    return chart(f"{len(drawn)} runs over steps", body)


def _pairs(steps: Iterable[int], values: Iterable[float | None], *, log: bool) -> list[Pair]:
    """Return points to draw; on a logarithmic scale those that are not positive are left out."""
    made: list[Pair] = []
    for step, value in zip(steps, values, strict=False):
        shown = value
        if log and value is not None:
            shown = math.log10(value) if value > 0 else None
        made.append((float(step), shown))
    return made


def parallel(axes: Sequence[Axis], runs: Sequence[Compared]) -> Markup:
    """Draw one line a run over axes that stand side by side."""
    if len(axes) < 2:
        return Markup("")
    top, bottom = 34, HEIGHT - 26
    x = scale(0, len(axes) - 1, 70, WIDTH - 70)
    y = scale(0, 1, bottom, top)
    body = ""
    for place, run in enumerate(runs):
        pairs = [
            (x(at), y(found) if (found := axis.places[place]) is not None else None)
            for at, axis in enumerate(axes)
        ]
        drawn = line(pairs, lambda at: at, lambda at: at, f"line {series_class(place)}")
        body += f"<g><title>{escape(run.name)}</title>{drawn}</g>"
    for at, axis in enumerate(axes):
        body += f'<line class="rule" x1="{x(at):.1f}" x2="{x(at):.1f}" y1="{top}" y2="{bottom}"/>'
        body += text(x(at), 14, axis.name[:22], "middle")
        body += text(x(at), top - 6, axis.high[:18], "middle")
        body += text(x(at), bottom + 16, axis.low[:18], "middle")
    return chart("Runs over their parameters", body)


def histogram_pair(found: Distribution, *, small: bool = False) -> Markup:
    """Draw the shares of each bin in the reference (behind) and in the window (before it).

    Args:
        found: one column in both.
        small: half as wide, for charts that stand side by side.
    """
    most = max([*found.before, *found.after, 0.0])
    if not found.labels or not most:
        return Markup("")
    width, rules, named = (WIDTH // 2, 2, 5) if small else (WIDTH, 4, 12)
    y = scale(0, most, HEIGHT - BOTTOM, TOP)
    wide = (width - LEFT - RIGHT) / len(found.labels)
    body = "".join(
        f'<line class="grid" x1="{LEFT}" x2="{width - RIGHT}" y1="{y(most * part / rules):.1f}" '
        f'y2="{y(most * part / rules):.1f}"/>'
        + text(LEFT - 8, y(most * part / rules) + 4, percent(most * part / rules), "end")
        for part in range(rules + 1)
    )
    every = max(1, math.ceil(len(found.labels) / named))
    for place, name in enumerate(found.labels):
        left = LEFT + place * wide
        for shares, kind, shift in ((found.before, "reference", 0.08), (found.after, "live", 0.5)):
            share = shares[place] if place < len(shares) else 0.0
            body += (
                f'<rect class="bin {kind}" x="{left + wide * shift:.1f}" y="{y(share):.1f}" '
                f'width="{wide * 0.42:.1f}" height="{HEIGHT - BOTTOM - y(share):.1f}">'
                f"<title>{escape(name)}: {escape(percent(share))}</title></rect>"
            )
        if place % every == 0:
            body += text(left + wide / 2, HEIGHT - 14, name[:14], "middle")
    return chart(f"{found.column}: reference and window", body, width)


class Measures(msgspec.Struct, frozen=True):
    """The size of a node and the gap between columns, in pixels, and the letters that fit."""

    width: int = 190
    gap: int = 64
    letters: int = 22


NARROW = Measures(136, 34, 15)


def graph(
    nodes: Sequence[Node], edges: Sequence[Edge], chosen: str = "", *, narrow: bool = False
) -> Markup:
    """Draw things from left to right, each behind all that it was made from.

    The layers are those of Sugiyama et al. 1981: a node stands one layer behind the farthest of
    its sources; within a layer nodes lie by the middle of their neighbours, looked at twice.
    """
    if not nodes:
        return Markup("")
    size = NARROW if narrow else Measures()
    columns = _layers(nodes, edges)
    place: dict[str, tuple[float, float]] = {}
    tallest = max(len(column) for column in columns)
    height = tallest * (NODE_HEIGHT + GAP_Y) + GAP_Y
    for at, column in enumerate(columns):
        free = height - len(column) * (NODE_HEIGHT + GAP_Y)
        for row, node in enumerate(column):
            left = 2 + at * (size.width + size.gap)
            place[node.key] = (left, free / 2 + GAP_Y / 2 + row * (NODE_HEIGHT + GAP_Y))
    width = 4 + len(columns) * (size.width + size.gap) - size.gap
    body = "".join(_edge(edge, place[edge.source], place[edge.target], size) for edge in edges)
    body += "".join(
        _node(node, *place[node.key], size, chosen=node.key == chosen) for node in nodes
    )
    return safe(
        f'<svg class="graph" role="group" aria-label="{len(nodes)} things and what they were made '
        f'from" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" '
        f'height="{height:.0f}">{body}</svg>'
    )


def _layers(nodes: Sequence[Node], edges: Sequence[Edge]) -> list[list[Node]]:
    sources: dict[str, list[str]] = {node.key: [] for node in nodes}
    targets: dict[str, list[str]] = {node.key: [] for node in nodes}
    for edge in edges:
        sources[edge.target].append(edge.source)
        targets[edge.source].append(edge.target)
    depth: dict[str, int] = {}

    def deep(key: str, above: frozenset[str]) -> int:
        if key not in depth:
            before = [each for each in sources[key] if each not in above]
            depth[key] = max((deep(each, above | {key}) + 1 for each in before), default=0)
        return depth[key]

    for node in nodes:
        deep(node.key, frozenset())
    columns: list[list[Node]] = [[] for _ in range(max(depth.values()) + 1)]
    for node in nodes:
        columns[depth[node.key]].append(node)
    for neighbours, order in ((sources, columns), (targets, columns[::-1])) * 2:
        _straighten(order, neighbours)
    return columns


def _straighten(columns: list[list[Node]], neighbours: Mapping[str, list[str]]) -> None:
    rows = {node.key: row for column in columns for row, node in enumerate(column)}
    for column in columns:

        def middle(node: Node) -> float:
            near = [rows[each] for each in neighbours[node.key]]
            return sum(near) / len(near) if near else rows[node.key]

        column.sort(key=middle)
        rows.update({node.key: row for row, node in enumerate(column)})


def _edge(
    edge: Edge, source: tuple[float, float], target: tuple[float, float], size: Measures
) -> str:
    x1, y1 = source[0] + size.width, source[1] + NODE_HEIGHT / 2
    x2, y2 = target[0], target[1] + NODE_HEIGHT / 2
    bend = max(12.0, (x2 - x1) / 2)
    return (
        f'<path class="edge" data-from="{escape(edge.source)}" data-to="{escape(edge.target)}" '
        f'd="M{x1:.0f} {y1:.0f}C{x1 + bend:.0f} {y1:.0f} '
        f'{x2 - bend:.0f} {y2:.0f} {x2:.0f} {y2:.0f}"/>'
    )


def _node(node: Node, x: float, y: float, size: Measures, *, chosen: bool) -> str:
    state = node.state.replace(" ", "-") or "none"
    name = escape(_short(node.name, size.letters))
    sign = _SIGNS.get(node.kind, "·")
    said = f"{node.said} · {node.state}" if node.state and node.said else node.said or node.state
    kind = f"node n-{escape(state)}{' chosen' if chosen else ''}"
    return (
        f'<a href="{escape(node.link)}" class="{kind}" data-node="{escape(node.key)}">'
        f"<title>{escape(node.kind)} {escape(node.name)} {escape(said)}</title>"
        f'<rect x="{x:.0f}" y="{y:.0f}" width="{size.width}" height="{NODE_HEIGHT}" rx="7"/>'
        f'<text x="{x + 12:.0f}" y="{y + 19:.0f}">{sign} {name}</text>'
        f'<text class="said" x="{x + 12:.0f}" y="{y + 36:.0f}">'
        f"{escape(_short(said, size.letters + 6))}</text></a>"
    )


def _short(words: str, most: int) -> str:
    return words if len(words) <= most else f"{words[: most - 1]}…"
