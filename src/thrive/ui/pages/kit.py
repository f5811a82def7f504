"""The kit: each component of the pages in each of its states, to look at them together."""

import math
from typing import Any

import msgspec

from thrive.data.distributions import Distribution
from thrive.domain.clock import DAY, HOUR, SECOND
from thrive.domain.run import MetricPoint, RunState
from thrive.domain.view import SavedView, ViewPage
from thrive.flows.health import Health
from thrive.flows.performance import Performance, Point
from thrive.operations import Context
from thrive.ui.pages.compare import Axis, Compared, CurveOf
from thrive.ui.pages.lineage import Edge, Node
from thrive.ui.pages.model import Mark, MarkKind, Timeline
from thrive.ui.saved import Views

STATES = (
    "ok", "watch", "unhealthy", "cannot tell", "pass", "fail", "done", "failed", "running",
    "held", "rolled back", "interrupted", "open", "decided", "closed", "alert", "notice",
    "decision", "approval", "release", "production", "staging", "dev", "retired", "cached",
    "waiting", "cancelled", "muted", "missing", "excepted", "met", "not worse", "worse",
    "exception", "incident", "data", "owner",
)  # fmt: skip
"""Every state that a badge is made for."""
ROAD = ("passed", "now", "to come", "ended here")
ANSWERS = ("pass", "fail", "cannot tell", "")
STEPS = 60


class Curves(msgspec.Struct, frozen=True, kw_only=True):
    """Runs and the histories of one metric of theirs, as they are and smoothed."""

    runs: list[Compared]
    plain: list[CurveOf]
    smoothed: list[CurveOf]
    axes: list[Axis]


class KitPage(msgspec.Struct, frozen=True, kw_only=True):
    """What the components are shown with; nothing of it is of the project."""

    now: int
    states: list[str]
    times: list[int | None]
    shares: list[float]
    road: list[str]
    healths: list[str]
    effects: list[float | None]
    performance: Performance
    silent: Performance
    timeline: Timeline
    history: list[MetricPoint]
    curves: Curves
    distribution: Distribution
    nodes: list[Node]
    edges: list[Edge]
    intervals: dict[str, Any]
    bins: list[dict[str, float]]
    series: dict[str, Any]
    faults: dict[str, Any]
    saved: Views
    unsaved: Views


def load(ctx: Context) -> KitPage:
    """Return examples of what components show; they are about nothing in the project."""
    now = ctx.now()
    points = [Point(at=now - day * DAY, value=0.9 - day % 7 / 100) for day in range(30, 0, -1)]
    gaps = [
        msgspec.structs.replace(point, value=None if place % 9 == 0 else point.value)
        for place, point in enumerate(points)
    ]
    performance = Performance(metric="accuracy", estimated=points, realised=gaps)
    view = SavedView(name="the best", page=ViewPage.RUNS, query="order=best", actor="", saved_at=0)
    return KitPage(
        now=now,
        states=list(STATES),
        times=[now, now - 40 * SECOND, now - 3 * HOUR, now - 9 * DAY, now + 2 * HOUR, None],
        shares=[0.0, 0.05, 0.5, 1.0],
        road=list(ROAD),
        healths=[each.value for each in Health],
        effects=[None, 0.0, 0.03, 0.07, 0.15, 0.3, 0.6],
        performance=performance,
        silent=Performance(metric="", estimated=[], realised=[]),
        timeline=_timeline(performance, now),
        history=[MetricPoint(key="", step=at, value=_wave(at, 0), at=0) for at in range(STEPS)],
        curves=_curves(now),
        distribution=_distribution(),
        nodes=_nodes(),
        edges=[Edge(source="data", target=each.key) for each in _nodes()[1:]],
        intervals=_intervals(),
        bins=[{"rows": 40, "score": at / 10, "share": at**2 / 100} for at in range(1, 10)],
        series={
            "series": {
                "name": "estimated accuracy",
                "points": [[each.at, each.value] for each in points],
                "limit": 0.85,
                "bad": [points[-1].at],
            }
        },
        faults={
            "numbers": {
                "faults": [
                    {"column": "wind_gust", "kind": "outside", "share": 0.4, "expected": 0.1}
                ]
            }
        },
        saved=Views(page=ViewPage.RUNS, query=view.query, saved=[view]),
        unsaved=Views(page=ViewPage.RUNS, query="order=newest", saved=[]),
    )


def _wave(at: int, run: int) -> float:
    return math.exp(-at / 20) * (1 + run / 4) + 0.05 * math.sin(at * 1.7 + run) + 0.1


def _timeline(performance: Performance, now: int) -> Timeline:
    kinds = [*MarkKind, MarkKind.ALERT, MarkKind.DECISION]
    ages = (27, 20, 15, 10, 4, 4)
    return Timeline(
        performance=performance,
        limit=[Point(at=each.at, value=0.85) for each in performance.estimated],
        marks=[
            Mark(at=now - age * DAY, kind=kind, what=f"a {kind.value}", link="#charts")
            for kind, age in zip(kinds, ages, strict=True)
        ],
    )


def _curves(now: int) -> Curves:
    runs = [
        Compared(
            run_id=str(place),
            name=f"run {place}",
            experiment="kit",
            state=RunState.DONE,
            started_at=now,
            took=None,
        )
        for place in range(10)
    ]
    steps = list(range(STEPS))
    values: list[list[float | None]] = [
        [_wave(at, place) for at in steps] for place in range(len(runs))
    ]
    smooth: list[list[float | None]] = [
        [math.exp(-at / 20) * (1 + place / 4) + 0.1 for at in steps] for place in range(len(runs))
    ]
    named = [(run.run_id, raw, calm) for run, raw, calm in zip(runs, values, smooth, strict=True)]
    return Curves(
        runs=runs,
        plain=[CurveOf(run_id=at, steps=steps, values=raw, smoothed=[]) for at, raw, _ in named],
        smoothed=[
            CurveOf(run_id=at, steps=steps, values=raw, smoothed=calm) for at, raw, calm in named
        ],
        axes=[
            Axis(name=name, places=[None, *(at * by % 9 / 8 for at in range(9))], low="0", high="8")
            for name, by in (("depth", 1), ("rate", 2), ("accuracy", 4))
        ],
    )


def _distribution() -> Distribution:
    return Distribution(
        column="carrier",
        moved=True,
        psi=0.2,
        p_value=0.0,
        distance=0.2,
        missing_before=0.0,
        missing_after=0.0,
        labels=["UA", "B6", "EV", "DL", "(other)"],
        before=[0.4, 0.3, 0.2, 0.1, 0.0],
        after=[0.2, 0.3, 0.2, 0.2, 0.1],
    )


def _nodes() -> list[Node]:
    states = ("done", "running", "failed", "cached", "held", "watch", "unhealthy", "ok")
    first = Node(key="data", kind="data", name="flights@1", said="9 rows", state="", link="#charts")
    return [
        first,
        *(
            Node(key=state, kind="step", name=state, said="", state=state, link="#charts")
            for state in states
        ),
    ]


def _intervals() -> dict[str, Any]:
    return {
        "margin": 0.02,
        "slices": [
            {"slice": answer or "not judged", "gain": gain, "low": gain - wide, "high": gain + wide}
            | {"answer": answer}
            for answer, gain, wide in zip(
                ANSWERS, (0.04, -0.06, -0.01, 0.0), (0.02, 0.02, 0.05, 0.01), strict=True
            )
        ],
    }
