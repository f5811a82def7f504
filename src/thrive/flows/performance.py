"""Series of a model's windows: what sparklines and the timeline draw."""

from collections.abc import Sequence

import msgspec

from thrive.domain.monitoring import Window
from thrive.monitoring.findings import findings_of

_PREFERRED = ("accuracy", "mae", "roc_auc")


class Point(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One window's value of a signal; None where it could not be known."""

    at: int
    value: float | None


class Performance(msgspec.Struct, frozen=True, kw_only=True):
    """Performance over windows, estimated without labels and as it really was.

    Attributes:
        metric: e.g. `accuracy`, "" when no window has any.
        estimated: by window, oldest first.
        realised: by window, oldest first.
    """

    metric: str
    estimated: list[Point]
    realised: list[Point]

    def last(self, kind: str) -> float | None:
        """Return the newest known value of `estimated` or `realised`."""
        points: list[Point] = getattr(self, kind)
        return next((each.value for each in reversed(points) if each.value is not None), None)


def performance_of(windows: Sequence[Window], judged_by: str) -> Performance:
    """Return the performance over windows, in the metric that stands for the model.

    Args:
        windows: oldest first.
        judged_by: the metric by which the contract judges versions; it stands for the model where
            windows know it.
    """
    found = [(window, findings_of(window).performance) for window in windows]
    names = {
        signal.partition(" ")[2]
        for _, measured in found
        for signal, each in measured.items()
        if each.value is not None
    }
    metric = next((name for name in (judged_by, *_PREFERRED) if name in names), "")

    def line(kind: str) -> list[Point]:
        signal = f"{kind} {metric}"
        return [
            Point(at=window.start, value=measured[signal].value if signal in measured else None)
            for window, measured in found
        ]

    return Performance(metric=metric, estimated=line("estimated"), realised=line("realised"))
