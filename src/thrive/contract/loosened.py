"""In which ways one contract asks less of a model than another: loosening needs approval."""

from collections.abc import Iterator

from thrive.contract.schema import (
    BiasGate,
    Contract,
    GateTerms,
    InputTerms,
    ModelTerms,
    MonitorTerms,
    QualityGate,
    ReleaseTerms,
    Risk,
    Unclear,
)
from thrive.contract.windows import parse_window
from thrive.domain.clock import format_duration, parse_duration, parse_rate
from thrive.domain.release import PhaseKind

_RISK_ORDER = [Risk.MINIMAL, Risk.LIMITED, Risk.UNDECIDED, Risk.HIGH, Risk.PROHIBITED]


def loosened(old: Contract, new: Contract, model: str) -> list[str]:
    """Return one sentence for each way in which `new` asks less of `model` than `old`.

    Judged are the risk class, what requests may hold, the gates, the approvals, the phases and
    guard of the release, the maximal age, the monitor and the actions. A model that `old` does not
    know loosens nothing.
    """
    before, after = old.model.get(model), new.model.get(model)
    if before is None:
        return []
    if after is None:
        return [f"model {model!r} has no terms any more: nothing is asked of it."]
    return [
        *_risk(before.risk, after.risk),
        *_inputs(before.inputs, after.inputs),
        *_gates(before.gates, after.gates),
        *_approvals(before.approvals, after.approvals),
        *_approvers(before, after),
        *_release(before.release, after.release),
        *_longer("sla.max_age", before.sla.max_age, after.sla.max_age),
        *_monitor(before.monitor, after.monitor),
        *_actions(before, after),
    ]


def _risk(before: Risk, after: Risk) -> Iterator[str]:
    if _RISK_ORDER.index(after) < _RISK_ORDER.index(before):
        yield f"risk: from {before.value} to {after.value}."


def _inputs(before: InputTerms, after: InputTerms) -> Iterator[str]:
    for name in before.refused:
        if name not in after.refused:
            yield f"inputs.{name}: such requests are answered and no longer refused."


def _gates(before: GateTerms, after: GateTerms) -> Iterator[str]:
    yield from _quality(before.quality, after.quality)
    if before.bias is not None:
        yield from _bias(before.bias, after.bias)
    yield from _raised("gates.speed.p50_ratio", before.speed.p50_ratio, after.speed.p50_ratio)
    if (before.on_unclear, after.on_unclear) == (Unclear.FAIL, Unclear.WARN):
        yield "gates.on_unclear: a check that cannot tell no longer refuses a version."


def _quality(before: QualityGate, after: QualityGate) -> Iterator[str]:
    if before.metric != after.metric:
        yield f"gates.quality.metric: judged by {after.metric} instead of {before.metric}."
    else:
        yield from _raised("gates.quality.margin", before.margin, after.margin)
    if before.baseline != after.baseline:
        old, new = before.baseline, after.baseline
        yield f"gates.quality.baseline: compared with {new} instead of {old}."
    yield from _dropped("gates.quality.slices", before.slices, after.slices)


def _bias(before: BiasGate, after: BiasGate | None) -> Iterator[str]:
    if after is None:
        yield "gates.bias: no longer judged."
        return
    yield from _dropped("gates.bias.groups", before.groups, after.groups)
    limits = after.limits()
    for measure, limit in before.limits().items():
        path, now = f"gates.bias.{measure}", limits.get(measure)
        if measure != "selection_ratio" or now is None:
            yield from _raised(path, limit, now)
        elif now < limit:  # here more is stricter
            yield f"{path}: {now:g} instead of {limit:g}."


def _approvals(before: dict[str, int], after: dict[str, int]) -> Iterator[str]:
    for stage, count in before.items():
        left = after.get(stage, 0)
        if left < count:
            yield f"approvals.{stage}: {left} instead of {count}."


def _approvers(before: ModelTerms, after: ModelTerms) -> Iterator[str]:
    more = sorted(set(after.approvers) - set(before.approvers))
    if before.approvers and (more or not after.approvers):
        yield f"approvers: {', '.join(more) or 'anybody'} may consent as well."
    if before.business_owner and before.business_owner != after.business_owner:
        now = after.business_owner or "nobody"
        yield f"business_owner: {now} instead of {before.business_owner}."


def _release(before: ReleaseTerms, after: ReleaseTerms) -> Iterator[str]:
    for kind in PhaseKind:
        old, new = _baked(before, kind), _baked(after, kind)
        if new < old:
            shown = format_duration(new) if new else "none"
            yield f"release.phases: {kind.value} for {shown} instead of {format_duration(old)}."
    yield from _raised("release.guard.error_rate", before.guard.error_rate, after.guard.error_rate)
    if before.guard.p99_ms is not None:
        yield from _raised("release.guard.p99_ms", before.guard.p99_ms, after.guard.p99_ms)
    if before.guard.disagreement is not None:
        old, new = before.guard.disagreement, after.guard.disagreement
        yield from _raised("release.guard.disagreement", old, new)
    yield from _raised("release.guard.margin", before.guard.margin, after.guard.margin)


def _baked(terms: ReleaseTerms, kind: PhaseKind) -> int:
    return sum(phase.bake for phase in terms.parsed_phases() if phase.kind is kind)


def _monitor(before: MonitorTerms, after: MonitorTerms) -> Iterator[str]:
    """Yield what makes alerts come later: fewer false alarms are bought with wider limits."""
    yield from _windows(before.window, after.window)
    yield from _more_often("monitor.retrainings", before.retrainings, after.retrainings)
    old, new = before.false_alarms_per_year, after.false_alarms_per_year
    if new < old:
        yield f"monitor.false_alarms_per_year: {new:g} instead of {old:g}, so alerts come later."


def _windows(before: str, after: str) -> Iterator[str]:
    """Yield that windows take longer, or need more rows, or are cut in another way."""
    old, new = parse_window(before), parse_window(after)
    longer = new.lasts > old.lasts
    more = old.rows is not None and new.rows is not None and new.rows > old.rows
    if longer or more or (old.rows is None) != (new.rows is None):
        yield f"monitor.window: {after} instead of {before}."


def _more_often(path: str, before: str, after: str) -> Iterator[str]:
    """Yield that more may happen by itself, in any stretch of time, than the old rate allowed."""
    (old, each), (new, every) = parse_rate(before), parse_rate(after)
    if new > old or new * each > old * every:
        yield f"{path}: {after} instead of {before}."


def _actions(before: ModelTerms, after: ModelTerms) -> Iterator[str]:
    for cause, old in before.actions.items():
        path, new = f"actions.{cause.value}", after.actions.get(cause)
        if new is None:
            yield f"{path}: no action any more."
            continue
        if old.do.action is not None and new.do.action is None:
            yield f"{path}.do: {new.do.value} instead of {old.do.value}."
        yield from _longer(f"{path}.within", old.within, new.within)
        if old.default is not None and new.default != old.default:
            instead = new.default.value if new.default else "nothing"
            yield f"{path}.default: {instead} happens instead of {old.default.value}."


def _raised(path: str, before: float, after: float | None) -> Iterator[str]:
    if after is None:
        yield f"{path}: no limit instead of {before:g}."
    elif after > before:
        yield f"{path}: {after:g} instead of {before:g}."


def _longer(path: str, before: str, after: str) -> Iterator[str]:
    if before and not after:
        yield f"{path}: no limit instead of {before}."
    elif before and parse_duration(after) > parse_duration(before):
        yield f"{path}: {after} instead of {before}."


def _dropped(path: str, before: list[str], after: list[str]) -> Iterator[str]:
    gone = [name for name in before if name not in after]
    if gone:
        yield f"{path}: {', '.join(gone)} no longer judged."
