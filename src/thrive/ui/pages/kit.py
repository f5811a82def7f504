"""The kit: each component of the pages in each of its states, to look at them together."""

import msgspec

from thrive.domain.clock import DAY, HOUR, SECOND
from thrive.flows.performance import Performance, Point
from thrive.operations import Context

STATES = (
    "ok", "watch", "unhealthy", "cannot tell", "pass", "fail", "done", "failed", "running",
    "held", "rolled back", "interrupted", "open", "decided", "closed", "alert", "notice",
    "decision", "approval", "release", "production", "staging", "dev", "retired", "cached",
    "waiting", "cancelled", "muted", "missing", "excepted", "met", "not worse", "worse",
)  # fmt: skip
"""Every state that a badge is made for."""


class KitPage(msgspec.Struct, frozen=True, kw_only=True):
    """What the components are shown with."""

    now: int
    states: list[str]
    times: list[int | None]
    shares: list[float]
    effects: list[float | None]
    performance: Performance
    silent: Performance


def load(ctx: Context) -> KitPage:
    """Return examples of what components show; they are about nothing in the project."""
    now = ctx.now()
    points = [Point(at=now - day * DAY, value=0.9 - day % 7 / 100) for day in range(30, 0, -1)]
    gaps = [
        msgspec.structs.replace(point, value=None if place % 9 == 0 else point.value)
        for place, point in enumerate(points)
    ]
    return KitPage(
        now=now,
        states=list(STATES),
        times=[now, now - 40 * SECOND, now - 3 * HOUR, now - 9 * DAY, now + 2 * HOUR, None],
        shares=[0.0, 0.05, 0.5, 1.0],
        effects=[None, 0.0, 0.03, 0.07, 0.15, 0.3, 0.6],
        performance=Performance(metric="accuracy", estimated=points, realised=gaps),
        silent=Performance(metric="", estimated=[], realised=[]),
    )
