"""Judging a measured window: service, performance, groups, drift.

Everything here looks at one window alone; persistence over windows belongs to `alerts`.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from thrive.contract.schema import ModelTerms
from thrive.domain.model import LABEL, SCORE
from thrive.monitoring.baseline import Baseline
from thrive.monitoring.encoding import RELATION
from thrive.monitoring.findings import Breach, Column, Gap, Measured, finite
from thrive.monitoring.frames import NUMERIC, TEXT, VECTOR, truth
from thrive.monitoring.limits import Limit
from thrive.monitoring.measure import Sketch
from thrive.monitoring.performance import Yardstick
from thrive.statistics.distributions import binomial_survival
from thrive.statistics.drift import chi2, ks, psi
from thrive.statistics.intervals import difference_of_proportions, quantile_interval
from thrive.statistics.multiplicity import benjamini_hochberg
from thrive.statistics.relations import RelationChange
from thrive.statistics.sketch import NumericSketch

if TYPE_CHECKING:
    import polars as pl

MOST_DRIFT_P = 0.01
LEAST_DRIFT_PSI = 0.01
LEAST_RELATION = 0.1
"""Change of a correlation below which it is negligible."""
LEAST_GROUP = 50
LEAST_COVERAGE = 0.5
"""Share of answered rows with an outcome from which real performance is judged."""


def columns(
    baseline: Baseline,
    known: Mapping[str, Sketch],
    seen: Mapping[str, Sketch],
    start: int,
    relation: RelationChange | None = None,
) -> list[Column]:
    """Compare each input and the score with the reference (Benjamini-Hochberg over all).

    Args:
        baseline: with the floors of drift.
        known: the counters of the reference.
        seen: those of the window.
        start: of the window, UTC microseconds.
        relation: the pair of inputs whose relation changed most surely in the window.
    """
    names = list(known)
    effects = [psi(known[name], seen[name]).effect for name in names]
    chances = [_p_value(known[name], seen[name]) for name in names]
    adjusted = benjamini_hochberg(
        [*chances, *([] if relation is None else [relation.p_value])]
    ).tolist()
    made = [
        Column(
            name=name,
            psi=finite(effect),
            p_value=p_value,
            usual=baseline.floor(name, start),
            missing=seen[name].missing / max(1, seen[name].rows),
            drifted=_drifted(effect, LEAST_DRIFT_PSI, baseline.floor(name, start), p_value),
            measure=_MEASURES.get(baseline.kinds.get(name, NUMERIC), "value"),
        )
        for name, effect, p_value in zip(names, effects, adjusted, strict=False)
    ]
    if relation is not None and baseline.relations is not None:
        usual = baseline.floor(RELATION, start)
        made.append(
            Column(
                name=baseline.relations.names(relation),
                psi=relation.effect,
                p_value=adjusted[-1],
                usual=usual,
                missing=0.0,
                drifted=_drifted(relation.effect, LEAST_RELATION, usual, adjusted[-1]),
                measure="relation",
            )
        )
    return made


_MEASURES = {TEXT: "length", VECTOR: "norm"}


def _drifted(effect: float, least: float, usual: float, p_value: float) -> bool:
    return bool(effect > max(least, usual) and p_value < MOST_DRIFT_P)


def _p_value(known: Sketch, seen: Sketch) -> float:
    if isinstance(known, NumericSketch) and isinstance(seen, NumericSketch):
        return ks(known, seen).p_value
    return chi2(known, seen).p_value


def breaches(
    found: Mapping[str, Measured], coverage: float | None, known: list[Limit]
) -> list[Breach]:
    """Return the signals of performance beyond their limits."""
    judged = {
        name: item
        for name, item in found.items()
        if name.startswith("estimated") or (coverage or 0.0) >= LEAST_COVERAGE
    }
    made = (limit.breach(judged.get(limit.signal)) for limit in known)
    per_year = sum(limit.expected or 0.0 for limit in known)
    means = {limit.signal: limit.mean for limit in known if limit.value is not None}
    return [
        msgspec.structs.replace(
            breach, per_year=per_year, explained=_explained(breach.signal, found, means)
        )
        for breach in made
        if breach is not None
    ]


def _explained(
    signal: str, found: Mapping[str, Measured], means: Mapping[str, float]
) -> float | None:
    """Return the share of a fall that the estimate of the same metric saw as well."""
    metric = signal.rpartition(" ")[2]
    pair = [f"estimated {metric}", f"realised {metric}"]
    values = [found[name].value if name in found else None for name in pair]
    if None in values or any(name not in means for name in pair):
        return None
    falls = [(value or 0.0) - means[name] for value, name in zip(values, pair, strict=True)]
    return min(1.0, max(0.0, falls[0] / falls[1])) if falls[1] else None


def failing(errors: int, rows: int, terms: ModelTerms) -> str:
    """Say that more rows went unanswered than the SLA allows, "" when they did not."""
    if terms.sla.availability is None or errors < 5:
        return ""
    allowed = 1.0 - terms.sla.availability / 100.0
    if errors / rows <= allowed or binomial_survival(errors, rows, allowed) > 1e-3:
        return ""
    return f"{errors} of {rows} answers failed ({errors / rows:.2%}); the SLA allows {allowed:.2%}"


def slow(latency_us: "np.ndarray[tuple[int], np.dtype[np.float64]]", terms: ModelTerms) -> str:
    """Say that answers were slower than the SLA allows, "" when they were not."""
    if terms.sla.p99_ms is None or len(latency_us) < 100:
        return ""
    p99 = quantile_interval(latency_us / 1000.0, 0.99, 0.99)
    if p99.low <= terms.sla.p99_ms:
        return ""
    allowed = f"the SLA allows {terms.sla.p99_ms:g} ms"
    return f"the 99th percentile of latency is {p99.estimate:.1f} ms; {allowed}"


def group_gaps(frame: "pl.DataFrame", terms: ModelTerms, yardstick: Yardstick) -> list[Gap]:
    """Return the groups whose gap to the rest is surely beyond the contract's limit (99.9 %)."""
    import polars as pl

    bias = terms.gates.bias
    if bias is None or not yardstick.binary or LABEL not in frame.columns:
        return []
    rated = frame.filter(pl.col(LABEL).is_not_null() & pl.col(SCORE).is_not_null())
    if not rated.height:
        return []
    chosen = rated[SCORE].to_numpy() >= yardstick.threshold
    positive = truth(rated[LABEL], yardstick.positive)
    within = {"equal_opportunity": positive, "demographic_parity": np.ones_like(positive)}
    found: list[Gap] = []
    for measure, limit in bias.limits().items():
        if measure not in within:
            continue
        for name in (name for name in bias.groups if name in rated.columns):
            values = rated[name].cast(pl.String).to_numpy()[within[measure]]
            found += _gaps(name, measure, limit, values, chosen[within[measure]])
    return found


def _gaps(
    name: str,
    measure: str,
    limit: float,
    values: "np.ndarray[tuple[int], np.dtype[np.object_]]",
    chosen: "np.ndarray[tuple[int], np.dtype[np.bool_]]",
) -> list[Gap]:
    made: list[Gap] = []
    for value in sorted({value for value in values.tolist() if value is not None}):
        inside = values == value
        rows, rest = int(inside.sum()), int((~inside).sum())
        if min(rows, rest) < LEAST_GROUP:
            continue
        mine, theirs = int(chosen[inside].sum()), int(chosen[~inside].sum())
        gap = difference_of_proportions(theirs, rest, mine, rows, 0.999)
        least = max(gap.low, -gap.high)
        if least > limit:
            made.append(
                Gap(
                    column=name,
                    group=value,
                    measure=measure,
                    gap=gap.estimate,
                    least=least,
                    limit=limit,
                    rows=rows,
                )
            )
    return made
