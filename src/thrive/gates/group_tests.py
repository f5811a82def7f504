"""One group against the rest (or against itself before): its gap, interval and both p-values."""

import math
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from thrive.domain.gate import Answer
from thrive.gates.case import Floats, GateCase
from thrive.gates.counting import Cells, largest
from thrive.gates.slices import MAX_SLICES, group_values, largest_groups
from thrive.statistics.arrays import Booleans
from thrive.statistics.distributions import normal_survival
from thrive.statistics.fairness import CountTable, Rate, area, gaps, ratios
from thrive.statistics.intervals import critical_value
from thrive.statistics.paired import smallest_visible_loss

MOST_AREAS = 50
"""Groups of a column whose area is tested: each needs all rows sorted."""
MIN_ROWS, MIN_EVENTS = 30, 10
"""Groups with fewer rows, or fewer of what is counted, are never green."""
CONFIDENCE = 0.90
"""Of the shown interval; two-sided, so that each end is a one-sided bound at 95 %."""


class Tested(msgspec.Struct, frozen=True, kw_only=True):
    """What one group's test gave.

    Attributes:
        group: its name, `column=value`, joined by `&` for an intersection.
        measure: what is compared.
        rows: how many rows it has; `trials`: how many of them the measure counts.
        value: the measure in the group; `rest`: in what it is compared with.
        gap: their difference, between `low` and `high`.
        error: standard error of the gap.
        distance: from no gap to the limit, in the unit of `error`.
        small: too few rows for any answer.
        p: of "the gap is within the limit"; small means it is not.
        p_within: of "the gap is beyond the limit"; small means it is not.
        change: the value minus that of the rival on the same rows, None without a rival.
    """

    group: str
    measure: str
    rows: int
    trials: int
    value: float | None
    rest: float | None
    gap: float | None
    low: float
    high: float
    error: float
    distance: float
    small: bool
    p: float
    p_within: float
    crossed: bool = False
    change: float | None = None
    p_adjusted: float | None = None
    answer: Answer = Answer.CANNOT_TELL

    @property
    def visible(self) -> float | None:
        """The smallest gap that these rows can show with 80 % power."""
        return smallest_visible_loss(self.error**2, 1) if math.isfinite(self.error) else None

    @property
    def times_needed(self) -> float:
        """How many times as many rows would settle it: with no gap, or else with the gap seen."""
        least = max(MIN_ROWS / max(self.rows, 1), MIN_EVENTS / max(self.trials, 1))
        seen = self.visible
        if seen is None:
            return least
        times = (seen / self.distance) ** 2
        left = abs(self.distance - abs(self.gap or 0.0))
        if times <= 1.0 and left > 0.0:
            times = (seen / left) ** 2
        return max(least, times)

    def judged(self, adjusted: float | None, level: float) -> "Tested":
        """Return the test with its answer at a level, given its corrected p-value."""
        answer = Answer.CANNOT_TELL
        if adjusted is not None and adjusted < level:
            answer = Answer.FAIL
        elif not self.small and self.p_within < level:
            answer = Answer.PASS
        return msgspec.structs.replace(self, p_adjusted=adjusted, answer=answer)

    def told(self) -> str:
        """Return the gap in words."""
        value, rest = self.value or 0.0, self.rest or 0.0
        return (
            f"{self.group} {self.measure.replace('_', ' ')} {value:.3f}, against {rest:.3f} "
            f"(gap {self.gap or 0.0:+.3f}, between {self.low:+.3f} and {self.high:+.3f})"
        )

    def shown(self) -> dict[str, Any]:
        """Return it as plain values for the evidence."""
        return {**msgspec.to_builtins(self), "times_needed": self.times_needed}


def rate_tests(
    cells: Cells, columns: Sequence[str], rate: Rate, limit: float, *, before: bool
) -> list[Tested]:
    """Test each group's rate against the rest's, by an absolute limit.

    Args:
        cells: the joint counts.
        columns: one column, or several for their intersections.
        rate: which rate.
        limit: the gap that is accepted.
        before: whether the rival's rate is known.
    """
    table = cells.table(columns)
    earlier = _shares(cells.table(columns, rival=True), rate) if before else {}
    sizes, values = _sizes(table), _shares(table, rate)
    kept = largest(table, MAX_SLICES)
    found: list[Tested] = []
    for one in gaps(table, rate, limit, CONFIDENCE):
        if one.group not in kept or len(table.groups) < 2:
            continue
        value, change = values[one.group], None
        if one.group in earlier:
            change = _known(value - earlier[one.group])
        found.append(
            Tested(
                group=one.group,
                measure=rate.value,
                rows=sizes[one.group],
                trials=one.rows,
                value=_known(value),
                rest=_known(value - one.gap.estimate),
                gap=_known(one.gap.estimate),
                low=one.gap.low,
                high=one.gap.high,
                error=_spread(value, one.rows, value - one.gap.estimate, one.rest_rows),
                distance=limit,
                small=_small(sizes[one.group], min(one.rows, one.rest_rows)),
                p=one.p_exceeds,
                p_within=one.p_within,
                crossed=len(columns) > 1,
                change=change,
            )
        )
    return found


def ratio_tests(cells: Cells, columns: Sequence[str], least: float) -> list[Tested]:
    """Test each group's selection rate against the rest's, by the least ratio (four fifths)."""
    table = cells.table(columns)
    hits, trials = table.of(Rate.SELECTION)
    sizes, kept = _sizes(table), largest(table, MAX_SLICES)
    found: list[Tested] = []
    for index, one in enumerate(ratios(table, Rate.SELECTION, least, CONFIDENCE)):
        rest_trials = int(trials.sum() - trials[index])
        if one.group not in kept or not rest_trials:
            continue
        value = float(hits[index] / trials[index])
        rest = float((hits.sum() - hits[index]) / rest_trials)
        error = _spread(value, int(trials[index]), rest, rest_trials)
        log_error = error / max(value, rest) if max(value, rest) else math.nan
        found.append(
            Tested(
                group=one.group,
                measure="selection_rate",
                rows=sizes[one.group],
                trials=int(trials[index]),
                value=value,
                rest=rest,
                gap=_known(one.ratio - 1.0),
                low=one.low - 1.0,
                high=one.high - 1.0,
                error=log_error,
                distance=1.0 - least,
                small=_small(sizes[one.group], min(int(hits[index]), int(hits.sum()))),
                p=one.p_below,
                p_within=one.p_above,
                crossed=len(columns) > 1,
            )
        )
    return found


def mean_tests(
    case: GateCase, column: str, measure: str, values: Floats, limit: float
) -> list[Tested]:
    """Test the mean of a value in each group against the rest's: a difference of means.

    Calibration is judged so, in the large (outcome minus score): the expected calibration error is
    no difference of means, and in few rows large by chance alone. Errors of numbers are as well.

    Args:
        case: whose rows.
        column: of the groups.
        measure: what the value is called.
        values: one a row.
        limit: the difference that is accepted, in the value's unit.
    """
    import polars as pl

    left = pl.Series("_left", values)
    frame = pl.DataFrame([group_values(case, column), left])
    lines = frame.group_by(column).agg(
        pl.len(), pl.col("_left").sum().alias("sum"), (pl.col("_left") ** 2).sum().alias("square")
    )
    kept = lines.sort(["len", column], descending=[True, False]).head(MAX_SLICES).sort(column)
    n, total, square = len(left), float(values.sum()), float((values**2).sum())
    return [
        _mean_test(f"{column}={name}", measure, ((rows, part, squares), (n, total, square)), limit)
        for name, rows, part, squares in kept.rows()
        if rows < n
    ]


def auc_tests(case: GateCase, column: str, limit: float) -> list[Tested]:
    """Test the area under the ROC curve within each group against that within the rest."""
    values = group_values(case, column)
    found: list[Tested] = []
    for name in largest_groups(values, column)[:MOST_AREAS]:
        mask = (values == name).to_numpy()
        if not mask.all():
            found.append(_auc_test(case, f"{column}={name}", mask, limit))
    return found


def _auc_test(case: GateCase, group: str, mask: Booleans, limit: float) -> Tested:
    (value, variance), (rest, rest_variance) = (
        area(case.labels[rows], case.candidate[rows]) for rows in (mask, ~mask)
    )
    rarer = [min(int(part.sum()), int((1 - part).sum())) for part in _labels_of(case, mask)]
    known = math.isfinite(value) and math.isfinite(rest)
    gap, error = value - rest, math.sqrt(variance + rest_variance) if known else math.nan
    return Tested(
        group=group,
        measure="area under the ROC curve",
        rows=int(mask.sum()),
        trials=rarer[0],
        value=_known(value),
        rest=_known(rest),
        gap=_known(gap),
        small=_small(int(mask.sum()), min(rarer)),
        **_two_sided(gap, error, limit),
    )


def _labels_of(case: GateCase, mask: Booleans) -> tuple[Floats, Floats]:
    return case.labels[mask], case.labels[~mask]


def _two_sided(gap: float, error: float, limit: float) -> dict[str, Any]:
    """Return the interval of a gap and both p-values of its limit, either way."""
    if math.isnan(error):
        unknown = {"low": -math.inf, "high": math.inf, "error": math.nan}
        return {**unknown, "distance": limit, "p": 1.0, "p_within": 1.0}
    half = critical_value(CONFIDENCE) * error
    return {
        "low": gap - half,
        "high": gap + half,
        "error": error,
        "distance": limit,
        "p": min(1.0, 2.0 * _beyond(abs(gap) - limit, error)),
        "p_within": _beyond(limit - abs(gap), error),
    }


Sums = tuple[int, float, float]
"""Rows, sum and sum of squares."""


def _mean_test(group: str, measure: str, sums: tuple[Sums, Sums], limit: float) -> Tested:
    """Test a group's mean against the rest's, given the sums of the group and of all rows."""
    own, whole = sums
    rest = tuple(every - part for every, part in zip(whole, own, strict=True))
    (value, variance), (other, rest_variance) = _mean_of(*own), _mean_of(*rest)
    gap = value - other
    return Tested(
        group=group,
        measure=measure,
        rows=own[0],
        trials=own[0],
        value=value,
        rest=other,
        gap=gap,
        small=_small(own[0], min(own[0], int(rest[0]))),
        **_two_sided(gap, math.sqrt(variance + rest_variance), limit),
    )


def _mean_of(n: float, total: float, square: float) -> tuple[float, float]:
    mean = total / n
    return mean, max(square / n - mean**2, 0.0) / max(n - 1.0, 1.0)


def change_tests(cells: Cells, columns: Sequence[str], limit: float) -> list[Tested]:
    """Test that no group's share of right decisions fell by more than a limit, on its own rows.

    Paired: only rows on which the two decide otherwise count (Bonett and Price 2012).
    """
    kept = largest(cells.table(columns), MAX_SLICES)
    found: list[Tested] = []
    for group, (rows, own, other) in cells.discordant(columns).items():
        if group not in kept:
            continue
        share_own, share_other = (own + 1) / (rows + 2), (other + 1) / (rows + 2)
        gap = share_own - share_other
        error = math.sqrt((share_own + share_other - gap**2) / (rows + 2))
        half = critical_value(CONFIDENCE) * error
        found.append(
            Tested(
                group=group,
                measure="right decisions gained",
                rows=rows,
                trials=rows,
                value=own / rows,
                rest=other / rows,
                gap=(own - other) / rows,
                low=gap - half,
                high=gap + half,
                error=error,
                distance=limit,
                small=rows < MIN_ROWS,
                p=_beyond(-limit - gap, error),
                p_within=_beyond(gap + limit, error),
                crossed=len(columns) > 1,
            )
        )
    return found


def _beyond(distance: float, error: float) -> float:
    if error > 0.0:
        return normal_survival(distance / error)
    return 0.0 if distance > 0.0 else 1.0


def _small(rows: int, events: int) -> bool:
    return rows < MIN_ROWS or events < MIN_EVENTS


def _sizes(table: CountTable) -> dict[str, int]:
    return dict(zip(table.groups, table.counts.sum(axis=(1, 2)).tolist(), strict=True))


def _shares(table: CountTable, rate: Rate) -> dict[str, float]:
    hits, trials = table.of(rate)
    shares = np.where(trials > 0, hits / np.maximum(trials, 1), np.nan)
    return dict(zip(table.groups, shares.tolist(), strict=True))


def _spread(value: float, trials: int, rest: float, rest_trials: int) -> float:
    """Return the standard error of a difference of shares, with a success and a failure added."""
    if not trials or not rest_trials:
        return math.nan
    total = 0.0
    for share, n in ((value, trials), (rest, rest_trials)):
        added = (share * n + 1.0) / (n + 2.0)
        total += added * (1.0 - added) / (n + 2.0)
    return math.sqrt(total)


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
