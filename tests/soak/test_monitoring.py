"""Drift on many references and many windows: the promise holds beyond one lucky seed."""

import numpy as np
import pytest
from tests.full.test_monitoring_proof import flagged, reference, rows

pytestmark = [pytest.mark.soak, pytest.mark.timeout(2 * 3600)]

REFERENCES = 5
MOST = 66
"""The 99 % bound of a binomial with 5,000 windows and a chance of 1 %."""


@pytest.mark.parametrize(("count", "windows"), [(1_000, 60), (10_000, 30)])
def test_windows_without_drift_are_flagged_as_often_as_promised_on_any_reference(
    count: int, windows: int
) -> None:
    flags, powers = 0, []
    for seed in range(REFERENCES):
        rng = np.random.default_rng([seed, count])
        baseline = reference(rng, count, windows)
        for _ in range(10):
            flags += flagged(baseline, [rows(rng, count) for _ in range(102)]).any(axis=1).sum()
        moved = flagged(baseline, [rows(rng, count, 0.25) for _ in range(22)])
        powers.append(moved[:, :8].mean())
    print(f"{count} rows: {flags} of {REFERENCES}000 windows flagged, power {powers}")
    assert flags <= MOST
    assert min(powers) >= (0.85 if count == 1_000 else 0.95)
