"""What a cause leads to: who decides, by when, what is proposed and what is not, and why."""

from typing import Any

import msgspec

from thrive.contract.schema import Do
from thrive.domain.clock import parse_duration, parse_rate
from thrive.domain.monitoring import ActionKind, Cause, Level
from thrive.monitoring.learnable import Learnable, Lesson
from thrive.monitoring.reasons import objections, reasons_for
from thrive.monitoring.terms import TermsInForce

PROPOSED: dict[Cause, list[ActionKind]] = {
    Cause.SERVICE: [ActionKind.ROLLBACK, ActionKind.HOLD, ActionKind.ACCEPT],
    Cause.DATA_QUALITY: [ActionKind.HOLD, ActionKind.FIX_DATA, ActionKind.ACCEPT],
    Cause.OUTCOMES: [ActionKind.FIX_DATA, ActionKind.HOLD, ActionKind.ACCEPT],
    Cause.PERFORMANCE: [
        ActionKind.RETRAIN,
        ActionKind.ROLLBACK,
        ActionKind.REVIEW,
        ActionKind.HOLD,
        ActionKind.ACCEPT,
        ActionKind.REDESIGN,
    ],
    Cause.BIAS: [ActionKind.REVIEW, ActionKind.RETRAIN, ActionKind.ROLLBACK, ActionKind.ACCEPT],
    Cause.AGE: [ActionKind.RETRAIN, ActionKind.ACCEPT, ActionKind.RETIRE],
    Cause.DRIFT: [ActionKind.ACCEPT, ActionKind.RETRAIN, ActionKind.REVIEW],
}

"""What can be done about each cause, before anything is known of it."""

LEAST_NEW_LABELS = 500
"""Labelled rows since the version was made, below which retraining has nothing new to learn."""


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of the contract to one cause.

    `proposed` is ranked: the recommended action first, what the evidence rules out last; `reasons`
    says why, of each; `against` what speaks against an action, proposed or not. `advice` says in a
    sentence or two why the recommended action is the right one, and why not retraining where that
    would be wrong.
    """

    level: Level
    owner: str
    deputy: str
    deadline: int
    proposed: list[str]
    recommended: str
    default_action: str | None
    advice: str
    reasons: dict[str, str] = {}
    against: dict[str, str] = {}


def policy_of(
    terms: TermsInForce,
    cause: Cause,
    now: int,
    *,
    new_labels: int,
    flipped: bool = False,
    doubt: str = "",
    explained: float | None = None,
    lesson: Learnable | None = None,
    retrained: int = 0,
) -> Policy:
    """Return what the contract says about a cause, with what the evidence adds to it.

    Args:
        terms: of the version the cause was found in.
        cause: what was found.
        now: UTC microseconds.
        new_labels: labelled live rows since the version was made.
        flipped: the outcomes are wrong, not only late.
        doubt: what may stand behind a fault of the data, where the values alone do not tell.
        explained: the share of a fall of performance that harder rows explain.
        lesson: what a model fitted on the newest labelled rows showed.
        retrained: how often the model was trained again within the contract's stretch.
    """
    action = terms.model.actions[cause]
    owner = action.decide or terms.model.owner
    deputy = terms.model.deputy if owner != terms.model.deputy else terms.model.owner
    recommended, advice = _advice(cause, action.do, new_labels)
    if flipped:
        recommended, advice = ActionKind.FIX_DATA.value, _FLIPPED
    elif doubt and cause is Cause.DATA_QUALITY:
        advice = _LOOK.format(doubt=doubt)
    elif cause is Cause.PERFORMANCE and lesson is not None:
        recommended, advice = _learned(recommended, lesson, explained)
    rate = terms.model.monitor.retrainings
    spent = retrained >= parse_rate(rate)[0]
    if recommended == ActionKind.RETRAIN.value and spent:
        recommended, advice = ActionKind.REVIEW.value, _SPENT.format(times=retrained, rate=rate)
    default = _default(terms, cause, lesson)
    proposed = list(
        dict.fromkeys([*map(ActionKind, filter(None, [recommended])), *PROPOSED[cause]])
    )
    few = _FEW.format(labels=new_labels, least=LEAST_NEW_LABELS)
    against = objections(
        cause,
        recommended,
        lesson=lesson,
        few=few if new_labels < LEAST_NEW_LABELS else "",
        spent=spent,
    )
    reasons = reasons_for(cause, proposed, recommended, against)
    return Policy(
        level=Level.NOTICE if cause is Cause.DRIFT else Level.ALERT,
        owner=owner,
        deputy=deputy,
        deadline=now + parse_duration(action.within),
        proposed=list(reasons),
        reasons=reasons,
        against={each.value: words for each, words in against.items()},
        recommended=recommended,
        default_action=default.value if default is not None else None,
        advice=advice,
    )


def _default(terms: TermsInForce, cause: Cause, lesson: Learnable | None) -> ActionKind | None:
    """Return what is done when nobody decides.

    That is what the contract says. Where it is silent, an older version is no answer to rows that
    became harder or tell nothing any more: then people look.
    """
    default = terms.model.actions[cause].default
    helpless = lesson is not None and lesson.lesson is not Lesson.GAIN
    if default is ActionKind.ROLLBACK and helpless and cause not in terms.said:
        return ActionKind.REVIEW
    return default


_FEW = "{labels} labelled rows are new, {least} are needed"
_SPENT = (
    "It was trained again {times} times lately, as often as the contract allows ({rate}): another "
    "retraining would not do what those did not. Let people look at what has changed."
)


_HOLD = (
    "Hold, and let the data's owner mend the feed. Do not retrain: the world has not changed, and "
    "a model trained on faulty rows learns the fault."
)
_LOOK = (
    "Hold until the data's owner has looked: it is {doubt}. Do not retrain before: a model trained "
    "on faulty rows learns the fault. If the values are right, accept."
)
_MEND_OUTCOMES = (
    "Mend the delivery of outcomes. Do not retrain: without outcomes there is nothing new to "
    "learn from."
)
_TOO_FEW = (
    "Only {labels} labelled rows are new, too few to retrain on ({least} are needed): let people "
    "look until more outcomes are in."
)
_WATCH = "The inputs moved; by itself that harms nobody. Watch the performance."


_FLIPPED = (
    "Mend the outcomes and send them again as corrections. Do not retrain: a model trained on "
    "exchanged outcomes learns the opposite."
)
_GAIN = (
    "A small model fitted on the newer outcomes ranks better ({fitted:.2f}) than what is served "
    "({served:.2f}) on {rows} rows neither has seen: there is something to learn."
)
_LOST = (
    "Do not retrain: on {rows} new rows neither the scores ({served:.2f}) nor a model fitted on "
    "the newest outcomes ({fitted:.2f}) rank better than chance. The inputs do not tell the "
    "outcome any more: design the model anew."
)
_NO_GAIN = (
    "Do not retrain: a model fitted on the newest outcomes ranks no better ({fitted:.2f}) than "
    "what is served ({served:.2f}) on {rows} new rows.{harder} Let people look at the answers "
    "until it passes."
)
_HARDER = " The rows became harder to tell: that explains {explained:.0%} of the fall."


def _learned(wanted: str, lesson: Learnable, explained: float | None) -> tuple[str, str]:
    """Return what to do, and why, where a model was fitted on the newest outcomes."""
    told = {"fitted": lesson.fitted, "served": lesson.served, "rows": lesson.rows}
    retrain = wanted in {ActionKind.RETRAIN.value, ActionKind.REVIEW.value}
    if lesson.lesson is Lesson.LOST:
        return ActionKind.REDESIGN.value, _LOST.format(**told)
    if lesson.lesson is Lesson.GAIN:
        return (ActionKind.RETRAIN.value if retrain else wanted), _GAIN.format(**told)
    harder = _HARDER.format(explained=explained) if (explained or 0.0) >= 0.3 else ""
    return (ActionKind.REVIEW.value if retrain else wanted), _NO_GAIN.format(**told, harder=harder)


def _advice(cause: Cause, do: Do, new_labels: int) -> tuple[str, str]:
    wanted = do.action.value if do.action is not None else ""
    retrain = wanted == ActionKind.RETRAIN.value
    if cause is Cause.DATA_QUALITY:
        return ActionKind.HOLD.value if retrain else wanted, _HOLD
    if cause is Cause.OUTCOMES:
        return ActionKind.FIX_DATA.value if retrain else wanted, _MEND_OUTCOMES
    if retrain and new_labels < LEAST_NEW_LABELS:
        advice = _TOO_FEW.format(labels=new_labels, least=LEAST_NEW_LABELS)
        return ActionKind.REVIEW.value, advice
    if retrain:
        return wanted, f"{new_labels} labelled rows are new: a version trained on them may do well."
    return wanted, _WATCH if cause is Cause.DRIFT else ""


def ranked(columns: list[dict[str, Any]], importance: dict[str, float]) -> list[dict[str, Any]]:
    """Return drifted inputs ranked by importance times effect; effect alone without importances."""
    rated = [
        {**column, "importance": importance.get(column["name"], 0.0 if importance else 1.0)}
        for column in columns
    ]
    return sorted(rated, key=lambda column: -column["importance"] * (column["psi"] or 0.0))
