"""The health of a model: the worst of its parts, each with one sentence that says why.

A part follows the alert of its cause until that is closed; without one it follows the newest
closed window, the verdict and the contract. Nothing is judged here that monitoring, gates and the
contract have not judged already.
"""

from collections.abc import Callable
from enum import StrEnum

import msgspec

from thrive.contract.schema import Where
from thrive.domain.clock import format_duration, parse_duration
from thrive.domain.gate import Answer
from thrive.domain.monitoring import Alert, AlertState, Cause, Level
from thrive.flows.facts import ModelFacts
from thrive.monitoring.alerts import is_over
from thrive.monitoring.findings import Findings
from thrive.monitoring.verdicts import fault_words


class Health(StrEnum):
    """How something is, from best to worst."""

    OK = "ok"
    UNKNOWN = "cannot tell"
    WATCH = "watch"
    BAD = "unhealthy"


ORDER = {health: rank for rank, health in enumerate(Health)}
"""The rank of each, the worst highest."""


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One part of a model's health: which, how it is, and why in one sentence."""

    name: str
    health: Health
    why: str
    link: str = ""


def worst(parts: list[Part]) -> Part | None:
    """Return the part that decides the health of the whole, None without any."""
    return max(parts, key=lambda part: ORDER[part.health], default=None)


def assess(facts: ModelFacts) -> list[Part]:
    """Return the parts of the health of a model in production, in the order of causes."""
    made = [_part(facts, name, cause, judge, facts.found) for name, cause, judge in _BY_CAUSE]
    return [*(part for part in made if part is not None), _gates(facts), _contract(facts)]


_Said = tuple[Health, str]
_Judge = Callable[[ModelFacts, Findings | None], _Said | None]


def _part(
    facts: ModelFacts, name: str, cause: Cause, judge: _Judge, findings: Findings | None
) -> Part | None:
    alert = facts.active_alert(cause)
    if alert is not None:
        return _alerted(name, alert)
    said = judge(facts, findings)
    return None if said is None else Part(name=name, health=said[0], why=said[1])


def _alerted(name: str, alert: Alert) -> Part:
    """Follow an alert: what was done about it is watched until the alert closes."""
    pages = alert.level is Level.ALERT and alert.state is not AlertState.DONE
    pages = pages and not is_over(alert)
    why = alert.title.rstrip(".") + "."
    if is_over(alert):
        why += " It ended by itself, and waits for a decision."
    if alert.state is AlertState.DECIDED:
        why += " A decision is being carried out."
    if alert.state is AlertState.DONE:
        why += " Something was done; whether it helped is being watched."
    health = Health.BAD if pages else Health.WATCH
    return Part(name=name, health=health, why=why, link=f"/alerts/{alert.alert_id}")


_NO_WINDOW = (Health.UNKNOWN, "No window of predictions has closed yet.")
_NO_REFERENCE = (Health.UNKNOWN, "There is no reference to compare with.")


def _service(facts: ModelFacts, findings: Findings | None) -> _Said:
    asked = facts.terms.model.where in (None, Where.HTTP) and not facts.replay
    if asked and facts.servers_up == 0:
        silent = "No server is up: nothing answers." if facts.servers else "No server ever spoke."
        return (Health.BAD if facts.servers else Health.UNKNOWN), silent
    if findings is None:
        return _NO_WINDOW
    if findings.failing or findings.slow:
        said = "; ".join(each for each in (findings.failing, findings.slow) if each)
        return Health.BAD, said[0].upper() + said[1:] + "."
    live = live_rows(findings)
    if not live:
        return Health.UNKNOWN, "Nobody asked in the last window."
    return Health.OK, f"{findings.errors:,} of {live:,} answers failed in the last window."


def _data_quality(_facts: ModelFacts, findings: Findings | None) -> _Said:
    if findings is None:
        return _NO_WINDOW
    if findings.quality:
        fault = findings.quality[0]
        many = f" (and {len(findings.quality) - 1} more)" if len(findings.quality) > 1 else ""
        return Health.BAD, f"{fault.column} {fault_words(fault)}{many}."
    if not findings.columns:
        return _NO_REFERENCE
    return Health.OK, f"All {len(findings.columns)} columns are whole."


def _outcomes(facts: ModelFacts, _findings: Findings | None) -> _Said:
    within = facts.terms.model.sla.outcomes_within
    delay = parse_duration(within) if within else 0
    until = facts.now - delay
    rated = [each for each in facts.production_counts() if each.end <= until and each.rows]
    if not rated:
        return Health.UNKNOWN, "No outcome is due yet."
    last = rated[-1]
    share = last.outcomes / last.rows
    said = f"{share:.0%} of the last window that is due has its outcome."
    if not any(window.outcomes for window in rated):
        return Health.UNKNOWN, "No outcome has arrived: real performance is not known."
    return (Health.OK if last.outcomes else Health.WATCH), said


def _performance(_facts: ModelFacts, findings: Findings | None) -> _Said:
    if findings is None:
        return _NO_WINDOW
    if findings.breaches:
        breach = findings.breaches[0]
        said = f"{breach.signal} is {breach.value:.3f}, beyond its limit {breach.limit:.3f}"
        return Health.WATCH, f"{said[0].upper()}{said[1:]}, in one window so far."
    if findings.left_out:
        return Health.UNKNOWN, f"Not judged in the last window: {findings.left_out}."
    if not findings.performance:
        return Health.UNKNOWN, "Too few rows, or no reference, to state performance."
    return Health.OK, "Every signal is within what history explains."


def _bias(facts: ModelFacts, findings: Findings | None) -> _Said | None:
    if facts.terms.model.gates.bias is None:
        return None
    if findings is None:
        return _NO_WINDOW
    if findings.gaps:
        gap = findings.gaps[0]
        said = f"{gap.column} = {gap.group}: gap {gap.gap:.3f} in {gap.measure.replace('_', ' ')}"
        return Health.WATCH, f"{said}, the limit is {gap.limit:g}."
    if findings.left_out:
        return Health.UNKNOWN, f"Not judged in the last window: {findings.left_out}."
    return Health.OK, "No group is treated otherwise beyond the contract's limit."


def _age(facts: ModelFacts, _findings: Findings | None) -> _Said | None:
    limit = facts.terms.model.sla.max_age
    if not limit or facts.production is None:
        return None
    age = facts.now - facts.production.created_at
    said = f"The version is {format_duration(age)} old; the contract allows {limit}."
    return (Health.WATCH if age > parse_duration(limit) else Health.OK), said


def _drift(_facts: ModelFacts, findings: Findings | None) -> _Said:
    if findings is None:
        return _NO_WINDOW
    if not findings.columns:
        return _NO_REFERENCE
    moved = len(findings.drifted())
    return Health.OK, f"{moved} of {len(findings.columns)} columns moved; drift alone is no alarm."


_BY_CAUSE: tuple[tuple[str, Cause, _Judge], ...] = (
    ("Serving", Cause.SERVICE, _service),
    ("Data quality", Cause.DATA_QUALITY, _data_quality),
    ("Outcomes", Cause.OUTCOMES, _outcomes),
    ("Performance", Cause.PERFORMANCE, _performance),
    ("Bias", Cause.BIAS, _bias),
    ("Age", Cause.AGE, _age),
    ("Drift", Cause.DRIFT, _drift),
)


def _gates(facts: ModelFacts) -> Part:
    verdict = facts.verdict
    if verdict is None:
        return Part(name="Gates", health=Health.WATCH, why="No gate judged this version.")
    health = {Answer.PASS: Health.OK, Answer.CANNOT_TELL: Health.UNKNOWN}.get(
        verdict.answer, Health.BAD
    )
    said = f"{len(verdict.results)} checks, the verdict is {verdict.answer}"
    for answer in (Answer.FAIL, Answer.CANNOT_TELL):
        named = list(dict.fromkeys(each.check for each in verdict.results if each.answer is answer))
        if named:
            said += f"; {answer}: {', '.join(named[:3])}"
    return Part(name="Gates", health=health, why=f"{said}.")


def _contract(facts: ModelFacts) -> Part:
    if not facts.gaps:
        said = "Every answer that production asks for is given."
        return Part(name="Contract", health=Health.OK, why=said)
    noun = "answer is" if len(facts.gaps) == 1 else "answers are"
    said = f"{len(facts.gaps)} {noun} missing: {facts.gaps[0].what}"
    return Part(name="Contract", health=Health.WATCH, why=said)


def live_rows(findings: Findings) -> int:
    """Return the rows of a window that users saw: shadows answer nobody."""
    return sum(rows for variant, rows in findings.variants.items() if variant != "shadow")


def error_share(findings: Findings) -> float | None:
    """Return the share of a window's live rows without an answer of the version."""
    live = live_rows(findings)
    return findings.errors / live if live else None
