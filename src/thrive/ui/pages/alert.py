"""One alert: what happened, how that is known, what can be done, what was decided."""

import msgspec

from thrive.contract.schema import ActionTerms
from thrive.domain.monitoring import Alert, AlertState, Attention, Decision, Window
from thrive.flows.contracts import find_contract
from thrive.monitoring.findings import Column, Findings, findings_of
from thrive.operations import Context
from thrive.store import models, monitoring
from thrive.ui.evidence import Block, blocks_of
from thrive.ui.pages.waiting import may_decide, muted_until
from thrive.ui.words import quoted

MEANINGS = {
    "retrain": "Train a new version on newer data; the gates then judge it against this one.",
    "rollback": "Give the traffic back to the version before.",
    "hold": "Change nothing in the model until the cause is mended; the alert stays in sight.",
    "review": "Let people look at the answers before anything is changed.",
    "fix data": "Have the data mended by its owner; the model is not at fault.",
    "accept": "Live with it: the reason is kept, the alert closes.",
    "retire": "Take the model out of use; its fallback answers.",
    "redesign": "The question or the inputs no longer fit; begin anew.",
}
"""What each action does, in one line."""


_SHOWN_APART = ("advice", "reasons", "against", "segments", "window", "series", "runbook")
NO_CHANGE = 0.1
"""An effect (PSI) below which a column is commonly said not to have moved."""
_IN_FINDINGS = ("drift", "faults")
"""What the findings of the last window show as well."""


class Option(msgspec.Struct, frozen=True, kw_only=True):
    """One action that can be taken, what it does, why it may be right, and what to type for it."""

    action: str
    meaning: str
    reason: str
    recommended: bool
    command: str


class AlertPage(msgspec.Struct, frozen=True, kw_only=True):
    """One alert with its evidence.

    Attributes:
        alert: the alert.
        attention: who is at it, and what else people did with it short of deciding.
        muted: until when nobody is paged for it, None where it is not muted.
        advice: why the recommended action is the right one, "" where nothing was said.
        evidence: the alert's own, without what is shown from the windows.
        signals: what the windows in question measured, those of one metric together.
        runbook: the page that says what to do, "" where the contract names none.
        decides: what the contract in force says about its cause, None where it names nothing.
        options: what can be done, the recommended first; empty once it is decided.
        decisions: what was decided, newest first.
        windows: the windows from the first bad one to the last, oldest first.
        may_decide: whoever looks may decide.
        findings: what was found in the last of them.
        moved: its columns: the drifted first, then by how much of what is usual they moved.
    """

    now: int
    alert: Alert
    attention: Attention
    muted: int | None
    advice: str
    evidence: list[Block]
    signals: list[str]
    runbook: str
    decides: ActionTerms | None
    options: list[Option]
    decisions: list[Decision]
    windows: list[Window]
    may_decide: bool
    findings: Findings | None
    moved: list[Column]


def load(ctx: Context, alert_id: str) -> AlertPage:
    """Return the page of an alert.

    Raises:
        NotFound: there is none of that id.
    """
    with ctx.read() as tx:
        alert = monitoring.get_alert(tx, ctx.project_id, alert_id)
        decisions = monitoring.find_decisions(tx, ctx.project_id, alert.alert_id)
        since = alert.first_bad if alert.first_bad is not None else alert.opened_at
        found = monitoring.find_windows(tx, ctx.project_id, alert.model, alert.version, since)
        known = models.versions(tx, ctx.project_id, alert.model, among=[alert.version])
        version = next(iter(known), None)
        contract = find_contract(tx, ctx.project_id, version) if version is not None else None
    until = alert.last_bad if alert.last_bad is not None else alert.opened_at
    windows = [window for window in found if window.start <= until]
    terms = contract.contract.model.get(alert.model) if contract is not None else None
    findings = findings_of(windows[-1]) if windows else None
    return AlertPage(
        now=ctx.now(),
        alert=alert,
        attention=alert.attention or Attention(),
        muted=muted_until(alert, ctx.now()),
        advice=str(alert.evidence.get("advice", "")),
        evidence=_evidence(alert, findings),
        signals=_signals(windows),
        runbook=str(alert.evidence.get("runbook", "")),
        decides=terms.actions.get(alert.cause) if terms is not None else None,
        options=_options(alert) if alert.state is AlertState.OPEN else [],
        decisions=decisions,
        windows=windows,
        may_decide=may_decide(ctx, alert),
        findings=findings,
        moved=sorted(findings.columns, key=_least_moved) if findings is not None else [],
    )


def _least_moved(column: Column) -> tuple[bool, float]:
    return not column.drifted, -(column.psi or 0.0) / max(column.usual, NO_CHANGE)


def _evidence(alert: Alert, findings: Findings | None) -> list[Block]:
    """Return the alert's own evidence, without what stands elsewhere on the page."""
    elsewhere = {*_SHOWN_APART, *(_IN_FINDINGS if findings is not None else ())}
    numbers = {k: v for k, v in alert.evidence.get("numbers", {}).items() if k not in elsewhere}
    own = {key: value for key, value in alert.evidence.items() if key not in elsewhere}
    return blocks_of({**own, "numbers": numbers})


def _signals(windows: list[Window]) -> list[str]:
    names = {name for window in windows for name in findings_of(window).performance}
    return sorted(names, key=lambda name: name.partition(" ")[::-1])


def _options(alert: Alert) -> list[Option]:
    reasons: dict[str, str] = alert.evidence.get("reasons", {})
    made = [
        Option(
            action=action,
            meaning=MEANINGS.get(action, ""),
            reason=reasons.get(action, ""),
            recommended=action == alert.recommended,
            command=f'thrive alerts decide {alert.alert_id} {quoted(action)} --reason "..."',
        )
        for action in alert.proposed
    ]
    return sorted(made, key=lambda option: not option.recommended)
