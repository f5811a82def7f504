"""Monitoring: windows, alerts, decisions and their actions."""

from enum import StrEnum
from typing import Any

import msgspec


class Cause(StrEnum):
    """Why something needs attention, from the highest cause to the lowest.

    A higher cause inhibits the lower ones of the same model and window.
    """

    SERVICE = "service"
    DATA_QUALITY = "data_quality"
    OUTCOMES = "outcomes"
    PERFORMANCE = "performance"
    BIAS = "bias"
    AGE = "age"
    DRIFT = "drift"


CAUSE_ORDER = list(Cause)


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """One closed window of a model version's predictions, with what was found in it.

    `revision` counts corrections: late data re-opens a window, it never changes silently.
    `sketches` is the digest of the window's counters per feature.
    """

    model: str
    version: int
    start: int
    end: int
    revision: int
    rows: int
    outcomes: int
    findings: dict[str, Any]
    sketches: str
    closed_at: int
    replay: bool = False


class Level(StrEnum):
    """An alert pages somebody; a notice waits in Today and the digest."""

    ALERT = "alert"
    NOTICE = "notice"


class AlertState(StrEnum):
    """The life of an alert."""

    OPEN = "open"
    DECIDED = "decided"
    DONE = "done"
    CLOSED = "closed"


class Alarm(StrEnum):
    """What people say of an alert afterwards."""

    RIGHT = "right"
    WRONG = "wrong"


class Attention(msgspec.Struct, frozen=True, kw_only=True):
    """What people did with an alert short of deciding it.

    Attributes:
        seen_at: when somebody first or last said so.
        seen_by: who looks after it.
        muted_until: until then its deadline is not enforced.
        muted_why: why it may wait.
        escalated: its deputy was asked, as its owner did not answer.
        alarm: right or wrong, once somebody said so.
        judged_by: who did.
    """

    seen_at: int | None = None
    seen_by: str = ""
    muted_until: int | None = None
    muted_why: str = ""
    escalated: bool = False
    alarm: Alarm | None = None
    judged_by: str = ""


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """Something that needs a decision: one per (model, cause), with owner and deadline."""

    alert_id: str
    model: str
    version: int
    cause: Cause
    level: Level
    state: AlertState
    title: str
    owner: str
    deputy: str
    opened_at: int
    deadline: int
    evidence: dict[str, Any]
    proposed: list[str]
    recommended: str
    default_action: str | None = None
    first_bad: int | None = None
    last_bad: int | None = None
    closed_at: int | None = None
    closing: str = ""
    replay: bool = False
    attention: Attention | None = None


class ActionKind(StrEnum):
    """The closed list of what can be done about an alert."""

    RETRAIN = "retrain"
    ROLLBACK = "rollback"
    HOLD = "hold"
    REVIEW = "review"
    FIX_DATA = "fix data"
    ACCEPT = "accept"
    RETIRE = "retire"
    REDESIGN = "redesign"


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """Who decided what about an alert, why, and what came of it."""

    decision_id: str
    alert_id: str
    action: ActionKind
    actor: str
    reason: str
    decided_at: int
    state: str
    result: dict[str, Any] = {}
    worked: bool | None = None
