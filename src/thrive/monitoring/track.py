"""The track record of estimates: how far they lay from real performance once outcomes came."""

import math
from collections.abc import Sequence

import msgspec
import numpy as np

from thrive.domain.monitoring import Window
from thrive.monitoring.findings import Measured, findings_of
from thrive.monitoring.judge import LEAST_COVERAGE
from thrive.monitoring.performance import ESTIMATED, REALISED
from thrive.statistics.intervals import critical_value

_CONFIDENCE = 0.95
_LEAST_PAIRS = 3


class TrackRecord(msgspec.Struct, frozen=True, kw_only=True):
    """How one estimate did in the windows whose outcomes came.

    Attributes:
        metric: e.g. accuracy.
        windows: with both the estimate and enough outcomes.
        mean_error: mean distance of the estimate from the real value.
        bias: mean of the estimate minus the real value.
        within: share of windows whose real value lay in the estimate's 95 % interval.
        correlation: of the two; None below three windows, or where one does not vary.
    """

    metric: str
    windows: int
    mean_error: float
    bias: float
    within: float
    correlation: float | None


def track_record(windows: Sequence[Window]) -> list[TrackRecord]:
    """Return the record of every metric that was both estimated and measured.

    Args:
        windows: closed windows of one version, in their newest revision.
    """
    pairs: dict[str, list[tuple[Measured, Measured]]] = {}
    for window in windows:
        found = findings_of(window)
        if (found.coverage or 0.0) < LEAST_COVERAGE or found.labels or found.left_out:
            continue
        for name, estimate in found.performance.items():
            kind, _, metric = name.partition(" ")
            real = found.performance.get(f"{REALISED} {metric}")
            if kind == ESTIMATED and real is not None:
                pairs.setdefault(metric, []).append((estimate, real))
    made = (_record(metric, each) for metric, each in sorted(pairs.items()))
    return [record for record in made if record is not None]


def _record(metric: str, pairs: Sequence[tuple[Measured, Measured]]) -> TrackRecord | None:
    told = [
        (estimate.value, real.value, estimate.error or 0.0)
        for estimate, real in pairs
        if estimate.value is not None and real.value is not None
    ]
    if not told:
        return None
    estimated, real, errors = (np.array(each) for each in zip(*told, strict=True))
    off = estimated - real
    half = critical_value(_CONFIDENCE) * errors
    varies = len(told) >= _LEAST_PAIRS and estimated.std() > 0.0 and real.std() > 0.0
    correlation = float(np.corrcoef(estimated, real)[0, 1]) if varies else math.nan
    return TrackRecord(
        metric=metric,
        windows=len(told),
        mean_error=float(np.abs(off).mean()),
        bias=float(off.mean()),
        within=float((np.abs(off) <= half).mean()),
        correlation=None if math.isnan(correlation) else correlation,
    )
