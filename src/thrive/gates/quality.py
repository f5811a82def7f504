"""Is the candidate as good as its rival on all rows, and do its scores mean what they say?"""

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from thrive.domain.errors import UsageError
from thrive.domain.gate import Answer, CheckResult
from thrive.gates.case import GateCase, clusters_of
from thrive.gates.comparison import DRAWS, SEED, Comparison, compare, compare_rankings, too_small
from thrive.gates.metric import NDCG, metric_of, pair_for
from thrive.packaging.signature import OutputKind
from thrive.statistics.metrics import Metric, ece, ece_by_chance, score_bins

GROUP = "quality"
LEVEL = 0.05
MOST_ECE = 0.05
"""Expected calibration error up to which scores mean about what they say."""
SURE = 1.645
"""Standard deviations of a one-sided bound at 95 %."""


def check_quality(case: GateCase) -> CheckResult:
    """Judge non-inferiority to the rival, or, against a baseline, superiority."""
    metric = metric_of(case)
    reason = not_judged(case, metric)
    if metric is None or reason:
        return _unclear("quality", reason, {**case.facts, "rows": case.rows})
    mask = np.ones(case.rows, dtype=np.bool_)
    comparison, why, units = compare_rows(case, metric, mask)
    evidence = _evidence(case, comparison, units)
    if comparison is None:
        return _unclear("quality", why, evidence)
    against_baseline = case.against is None
    answer = comparison.better() if against_baseline else comparison.answer(case.margin)
    small = too_small(case.labels, binary=metric.task == "binary")
    if small and not _same_package(case):
        answer = Answer.CANNOT_TELL
    words = _words(case, comparison, answer, small)
    return CheckResult(
        check="quality",
        group=GROUP,
        answer=answer,
        summary=words,
        evidence=evidence,
        more_rows=comparison.more(case.margin) if answer is Answer.CANNOT_TELL else None,
        smallest_visible=comparison.visible(),
    )


def not_judged(case: GateCase, metric: Metric | None) -> str:
    """Return why there is nothing to compare, or nothing."""
    if metric is None:
        name = case.terms.gates.quality.metric
        return f"the metric {name!r} does not fit a model that answers a {case.kind.value}"
    query = case.terms.gates.quality.query
    if metric is NDCG and query not in case.frame.columns:
        return f"the evaluation table has no column {query!r}"
    if not case.rows:
        return str(case.facts.get("reason", "no row has a label"))
    if case.candidate is None or case.other is None:
        who = "the candidate" if case.candidate is None else case.rival_words
        return f"{who} does not answer these rows"
    return ""


def compare_rows(
    case: GateCase, metric: Metric, mask: NDArray[np.bool_]
) -> tuple[Comparison | None, str, str]:
    """Compare on some rows; returns the comparison, or why there is none, and what was a unit."""
    frame = case.frame.filter(mask)
    truth, other = pair_for(case, metric, case.other, mask)
    _, candidate = pair_for(case, metric, case.candidate, mask)
    try:
        if metric is NDCG:
            query = case.terms.gates.quality.query
            return compare_rankings(truth, other, candidate, frame[query].to_numpy()), "", query
        clusters, unit = clusters_of(frame, case.terms.entity)
        found = compare(metric, truth, other, candidate, clusters)
    except UsageError as error:
        return None, error.what, "row"
    return found, "", unit


def _same_package(case: GateCase) -> bool:
    return case.against is not None and case.against.package == case.version.package


def _evidence(case: GateCase, comparison: Comparison | None, unit: str) -> dict[str, Any]:
    evidence: dict[str, Any] = {**case.facts, "margin": case.margin, "unit": unit}
    if comparison is not None:
        evidence |= msgspec.structs.asdict(comparison)
        evidence["needed_rows"] = comparison.needed(case.margin)
        evidence["smallest_visible_loss"] = comparison.visible()
        if comparison.method == "paired bootstrap":
            evidence |= {"draws": DRAWS, "seed": SEED}
    return evidence


def _words(case: GateCase, found: Comparison, answer: Answer, small: str) -> str:
    """Return the comparison in a sentence or two."""
    bound = "above 0" if case.against is None else f"at or above {-case.margin:+.4g}"
    said = (
        f"{found.metric} {found.candidate:.4f}, {case.rival_words} {found.rival:.4f} on "
        f"{found.rows:,} rows; gain {found.gain:+.4f}, between {found.low:+.4f} and "
        f"{found.high:+.4f}"
    )
    if answer is Answer.PASS:
        better = ", better" if found.low > 0.0 else ", not worse"
        return f"{said}{better}: the lower end must be {bound}."
    if answer is Answer.FAIL:
        return f"{said}: worse than what is accepted ({bound})."
    return f"{said}{f' ({small})' if small else ''}: the lower end must be {bound}. " + _settled(
        found, case.margin
    )


def _settled(found: Comparison, margin: float) -> str:
    more = found.more(margin)
    visible = found.visible()
    parts: list[str] = []
    if more:
        parts.append(
            f"About {more:,} more rows would settle it{_otherwise(found, margin, more)} "
            f"(here: {found.rows:,})."
        )
    if visible is not None:
        parts.append(f"These rows cannot show a loss under {visible:.4f}.")
    return " ".join(parts) or "More rows would settle it."


def _otherwise(found: Comparison, margin: float, more: int) -> str:
    """Return how many it takes if the models differ as seen, where that is far more."""
    seen = found.more_as_seen(margin)
    if not margin or seen is None or seen < 1.5 * more:
        return ""
    return f" if the two are equally good, about {seen:,} if they differ as seen"


def check_calibration(case: GateCase) -> CheckResult | None:
    """Tell whether scores mean the shares they promise, but for chance; informs, never blocks."""
    if case.kind is not OutputKind.PROBABILITY or case.candidate is None or not case.rows:
        return None
    own, (chance, spread) = ece(case.labels, case.candidate), ece_by_chance(case.candidate)
    evidence: dict[str, Any] = {
        "ece": own,
        "ece_by_chance": chance,
        "ece_most": MOST_ECE,
        "mean_score": float(case.candidate.mean()),
        "share_positive": float(case.labels.mean()),
        "bins": _calibration_bins(case),
    }
    words = f"Expected calibration error {own:.4f} ({chance:.4f} by chance alone)"
    if case.against is not None and case.other is not None:
        evidence["ece_rival"] = ece(case.labels, case.other)
        words += f", {case.rival_words} {evidence['ece_rival']:.4f}"
    answer = Answer.PASS
    if own - chance > MOST_ECE + SURE * spread:
        answer = Answer.FAIL
    elif chance + SURE * spread > MOST_ECE:
        answer = Answer.CANNOT_TELL
    return CheckResult(
        check="calibration",
        group=GROUP,
        answer=answer,
        summary=f"{words}; {MOST_ECE:g} is little.",
        evidence=evidence,
        advisory=True,
    )


def _calibration_bins(case: GateCase) -> list[dict[str, float]]:
    """Return, of each tenth of the scores that has rows, its rows, mean score and mean label."""
    place = score_bins(case.candidate)
    rows = np.bincount(place, minlength=10)
    scores, labels = (
        np.bincount(place, weights=each, minlength=10) for each in (case.candidate, case.labels)
    )
    return [
        {
            "rows": int(rows[at]),
            "score": float(scores[at] / rows[at]),
            "share": float(labels[at] / rows[at]),
        }
        for at in np.flatnonzero(rows)
    ]


def _unclear(check: str, why: str, evidence: dict[str, Any]) -> CheckResult:
    summary = f"{why[:1].upper()}{why[1:].rstrip('.')}."
    return CheckResult(
        check=check, group=GROUP, answer=Answer.CANNOT_TELL, summary=summary, evidence=evidence
    )
