"""Alarm limits from history: how far is far, for a budget of false alarms a year.

A monitored value (estimated accuracy of a day, corrected PSI of a day) varies from window to window
by more than its sampling error: weather, weekdays, campaigns. Its own history says by how much. The
limit is found in a model of that history: a Gaussian AR(1) series whose mean, spread and
autocorrelation are estimated, the tail widened to Student's t where the history's own tail is
heavier. The uncertainty of a short history is integrated over, so the budget holds on average over
histories, not only for the lucky ones. A false alarm is one episode, however long it lasts.

A history of n windows shows a tail of 1 / (n + 1) and no further. If the budget asks for rarer
alarms, the limit is that of the rarest budget the history supports, and the answer says so.
"""

import functools
import math

import msgspec
import numpy as np
from numpy.typing import ArrayLike

from thrive.domain.errors import CannotTell, UsageError
from thrive.statistics.arrays import Floats, floats
from thrive.statistics.distributions import (
    invert,
    normal_cdf,
    normal_quantile,
    normal_survival,
    student_quantile,
)

LEAST_WINDOWS = 8
"""Windows under which a history says nothing about its own spread."""
_PATH = 400_000
_BURN_IN = 1_000
_FARTHEST = 40.0
_SEED = 20_130_101
_HALF = 25.0  # effective windows at which the history's own shape counts for half


class AlarmRule(msgspec.Struct, frozen=True, kw_only=True):
    """An alarm fires when `needed` of the last `among` windows are beyond the limit."""

    needed: int = 1
    among: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.needed <= self.among <= 20:
            raise UsageError(
                f"{self.needed} of {self.among} windows is no rule", "try 2 of 3, at most of 20"
            )


class AlarmLimit(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of a monitored value, and what they cost.

    A side that is not watched is infinite. `expected_per_year` false alarms are to be expected: the
    asked budget, or `supported_per_year` where the history is too short for it; then
    `windows_needed` says how long it would have to be.
    """

    lower: float
    upper: float
    asked_per_year: float
    supported_per_year: float
    expected_per_year: float
    windows: int
    windows_needed: int
    effective_windows: float
    autocorrelation: float
    mean: float
    standard_deviation: float

    @property
    def supported(self) -> bool:
        """Whether the history supports the asked budget."""
        return self.supported_per_year <= self.asked_per_year


class _RateCurve(msgspec.Struct, frozen=True, eq=False):
    """False alarms a window as a function of the limit in standard deviations."""

    limits: Floats
    log_rates: Floats
    slope: float
    """of the log rate against the log tail probability, for limits beyond the table"""

    def rate(self, limits: Floats) -> Floats:
        """Alarms a window at each limit; the largest rate below the table."""
        inside = np.interp(limits, self.limits, self.log_rates)
        last = float(self.limits[-1])
        beyond = np.maximum(limits, last)
        # Mills: log of the normal tail, good from two standard deviations on
        log_tail = -0.5 * beyond**2 - np.log(beyond + 1.0 / beyond)
        end = -0.5 * last**2 - math.log(last + 1.0 / last)
        return np.exp(inside + self.slope * (log_tail - end))


def _series(autocorrelation: float) -> Floats:
    """A long Gaussian AR(1) series of variance 1, the same at every call."""
    noise = np.random.Generator(np.random.PCG64(_SEED)).normal(size=_PATH + _BURN_IN)
    if autocorrelation <= 0.0:
        return noise[_BURN_IN:]
    length = min(_BURN_IN, math.ceil(math.log(1e-6) / math.log(autocorrelation)))
    kernel = autocorrelation ** np.arange(length)
    path = np.convolve(noise, kernel)[_BURN_IN : _BURN_IN + _PATH]
    return path * math.sqrt(1.0 - autocorrelation**2)


@functools.lru_cache(maxsize=128)
def _rate_curve(needed: int, among: int, autocorrelation: float) -> _RateCurve:
    """Count, along the series, how often a rule starts to fire at each limit."""
    path = _series(autocorrelation)
    last = np.lib.stride_tricks.sliding_window_view(path, among)
    decisive = np.partition(last, among - needed, axis=1)[:, among - needed]
    starts = decisive[1:] > decisive[:-1]
    above, below = np.sort(decisive[1:][starts]), np.sort(decisive[:-1][starts])
    limits = np.linspace(-2.0, 5.0, 281)
    # an episode starts at a limit that lies between a window and the next higher one
    counts = np.searchsorted(below, limits, "right") - np.searchsorted(above, limits, "right")
    peak = int(np.argmax(counts))
    end = max(peak + 2, int(np.flatnonzero(counts >= 300)[-1]) + 1)
    limits, rates = limits[peak:end], np.log(counts[peak:end] / _PATH)
    tail = np.log([normal_survival(z) for z in limits[[-9, -1]].tolist()])
    slope = float((rates[-1] - rates[-9]) / (tail[1] - tail[0]))
    return _RateCurve(limits=limits, log_rates=rates, slope=slope)


def _estimation_grid(mean_windows: float, spread_windows: float) -> tuple[Floats, Floats]:
    """Where estimated mean and standard deviation fall around the true 0 and 1, equally likely."""
    shares = (np.arange(24) + 0.5) / 24
    z = np.array([normal_quantile(share) for share in shares.tolist()])
    degrees = max(1.0, spread_windows - 1.0)
    third = 1.0 - 2.0 / (9.0 * degrees) + z * math.sqrt(2.0 / (9.0 * degrees))
    spread = np.sqrt(np.maximum(third, 0.05) ** 3)  # Wilson and Hilferty's chi-square
    means, spreads = np.meshgrid(z / math.sqrt(mean_windows), spread)
    return means.ravel(), spreads.ravel()


def _autocorrelation(values: Floats) -> float:
    """Lag-one autocorrelation, corrected for its bias in short series (Kendall 1954), 0..0.9."""
    off = values - values.mean()
    squares = float(off @ off)
    if squares == 0.0:
        return 0.0
    raw = float(off[1:] @ off[:-1]) / squares
    corrected = raw + (1.0 + 3.0 * raw) / len(values)
    return round(min(0.9, max(0.0, corrected)), 2)


class _History(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    values: Floats
    autocorrelation: float
    mean_windows: float
    """independent windows that would know the mean as well"""
    spread_windows: float
    """independent windows that would know the spread as well"""
    mean: float
    deviation: float


def _summary(history: ArrayLike) -> _History:
    values = floats(history, "history")
    values = values[np.isfinite(values)]
    windows = len(values)
    if windows < LEAST_WINDOWS:
        raise CannotTell(
            f"{windows} reference windows do not show how much a value varies",
            f"wait for {LEAST_WINDOWS} windows, or score older data in windows",
        )
    r = _autocorrelation(values)
    mean_windows = max(2.0, windows * (1.0 - r) / (1.0 + r))
    deviation = float(values.std()) / math.sqrt(1.0 - 1.0 / mean_windows)
    return _History(
        values=values,
        autocorrelation=r,
        mean_windows=mean_windows,
        spread_windows=max(2.0, windows * (1.0 - r * r) / (1.0 + r * r)),
        mean=float(values.mean()),
        deviation=deviation,
    )


def _tail_shape(history: _History, sign: int) -> tuple[float, float]:
    """Spread and degrees of freedom of one side, drawn towards a Gaussian in short histories."""
    off = sign * (history.values - history.mean)
    side = off[off > 0.0]
    if not len(side) or history.deviation == 0.0:
        return history.deviation, math.inf
    weight = history.spread_windows / (history.spread_windows + _HALF)
    square = float(np.mean(side**2))
    shared = weight * square + (1.0 - weight) * history.deviation**2
    excess = weight * max(0.0, float(np.mean(side**4)) / square**2 - 3.0)
    degrees = 4.0 + 6.0 / excess if excess > 0.2 else math.inf
    return math.sqrt(max(shared, history.deviation**2)), degrees


def _widened(limit: float, degrees: float) -> float:
    """The t quantile (variance 1) as rare as the Gaussian limit; never narrower than it."""
    if math.isinf(degrees) or limit <= 0.0:
        return limit
    rare = min(limit, 6.0)
    quantile = student_quantile(normal_cdf(rare), degrees) * math.sqrt((degrees - 2.0) / degrees)
    return max(limit, quantile + limit - rare)


def alarm_limit(
    history: ArrayLike,
    windows_per_year: float,
    false_alarms_per_year: float,
    *,
    rule: AlarmRule | None = None,
    lower: bool = True,
    upper: bool = False,
) -> AlarmLimit:
    """Limits that a monitored value crosses falsely no more often than the budget.

    Args:
        history: the value in past windows in order of time, without known trouble; NaN is left out.
        windows_per_year: 365.25 for days, 52.18 for weeks.
        false_alarms_per_year: the budget of this monitor; split it over monitors beforehand. Two
            watched sides share it.
        rule: when an alarm fires; one window beyond the limit by default.
        lower: watch for values that are too small.
        upper: watch for values that are too large.

    Raises:
        CannotTell: if there are fewer than `LEAST_WINDOWS` windows.
        UsageError: if no side is watched or the budget is not positive.
    """
    sides = int(lower) + int(upper)
    if not sides or false_alarms_per_year <= 0.0 or windows_per_year <= 0.0:
        raise UsageError(
            f"budget {false_alarms_per_year} a year on {sides} sides",
            "give a budget above 0 and at least one side",
        )
    chosen = rule or AlarmRule()
    known = _summary(history)
    curve = _rate_curve(chosen.needed, chosen.among, known.autocorrelation)
    scale = sides * windows_per_year
    supported = float(curve.rate(np.array([_seen_limit(known.spread_windows)]))[0]) * scale
    expected = max(false_alarms_per_year, supported)
    limit = _limit(curve, known, expected / scale)
    ends = {sign: _end(known, limit, sign) for sign in (-1, 1)}
    return AlarmLimit(
        lower=ends[-1] if lower else -math.inf,
        upper=ends[1] if upper else math.inf,
        asked_per_year=false_alarms_per_year,
        supported_per_year=supported,
        expected_per_year=expected,
        windows=len(known.values),
        windows_needed=_windows_needed(curve, known, false_alarms_per_year / scale),
        effective_windows=known.mean_windows,
        autocorrelation=known.autocorrelation,
        mean=known.mean,
        standard_deviation=known.deviation,
    )


def _seen_limit(windows: float) -> float:
    return normal_quantile(windows / (windows + 1.0))


def _limit(curve: _RateCurve, known: _History, rate: float) -> float:
    """The limit in estimated deviations at which the rate holds, averaged over histories."""
    means, spreads = _estimation_grid(known.mean_windows, known.spread_windows)

    def missing(limit: float) -> float:
        return rate - float(curve.rate(means + limit * spreads).mean())

    return invert(missing, 0.0, _FARTHEST)


def _end(known: _History, limit: float, sign: int) -> float:
    deviation, degrees = _tail_shape(known, sign)
    return known.mean + sign * deviation * _widened(limit, degrees)


def _windows_needed(curve: _RateCurve, known: _History, rate: float) -> int:
    """History that would show a tail as rare as the budget asks, in windows of this series."""
    limit = invert(lambda z: rate - float(curve.rate(np.array([z]))[0]), 0.0, _FARTHEST)
    independent = 1.0 / max(normal_survival(limit), 1e-12) - 1.0
    return max(LEAST_WINDOWS, math.ceil(independent * len(known.values) / known.spread_windows))
