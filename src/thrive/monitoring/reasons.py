"""Why each action that an alert proposes may be right, or what speaks against it."""

from collections.abc import Mapping
from typing import TypeAlias

from thrive.domain.monitoring import ActionKind, Cause
from thrive.monitoring.learnable import Learnable, Lesson

_ALWAYS = {
    ActionKind.HOLD: "a running release stays where it is while the data's owner looks",
    ActionKind.FIX_DATA: "the data's owner is told, and mends what is sent",
    ActionKind.REVIEW: "people answer the least certain cases, and what they say is an outcome",
    ActionKind.RETIRE: "nobody needs the answers any more",
    ActionKind.REDESIGN: "retraining has not helped, or cannot: other inputs or another aim can",
}
Said: TypeAlias = Mapping[ActionKind, str]
_CAUSES: dict[Cause, Said] = {
    Cause.SERVICE: {
        ActionKind.ROLLBACK: "what answered before the trouble answers again, at once",
        ActionKind.ACCEPT: "it is over, or was planned",
    },
    Cause.DATA_QUALITY: {
        ActionKind.ACCEPT: "the values are right: the feed changed on purpose",
    },
    Cause.OUTCOMES: {
        ActionKind.ACCEPT: "the outcomes are known to be late, and will come",
    },
    Cause.PERFORMANCE: {
        ActionKind.RETRAIN: "the world changed, and newer outcomes say how",
        ActionKind.ROLLBACK: "the version before did better, or users are hurt now",
        ActionKind.HOLD: "a running release stays where it is until the fall is understood",
        ActionKind.ACCEPT: "such a time was to be expected, and it is over",
    },
    Cause.BIAS: {
        ActionKind.RETRAIN: "the newer rows of the group can be learned from",
        ActionKind.ROLLBACK: "the version before kept the contract's limit",
        ActionKind.ACCEPT: "the difference is lawful and understood",
    },
    Cause.AGE: {
        ActionKind.RETRAIN: "a version of today's data answers for the time since",
        ActionKind.ACCEPT: "it is as good as ever: nothing but time has passed",
    },
    Cause.DRIFT: {
        ActionKind.ACCEPT: "the answers are as good as before: movement alone harms nobody",
        ActionKind.RETRAIN: "a version that knows the new rows does better on them",
    },
}
_NO_LESSON = "a model fitted on the newest outcomes does no better"
_NO_OLDER = "an older version knows these rows no better"
_SPENT = "its budget in the contract is spent"
_NO_TRAINING = {
    Cause.DATA_QUALITY: "a model trained on faulty rows learns the fault",
    Cause.OUTCOMES: "without true outcomes there is nothing to learn from",
}
"""Why retraining is no answer to a cause, whatever else is known."""


def reasons_for(
    cause: Cause,
    proposed: list[ActionKind],
    recommended: str,
    against: Mapping[ActionKind, str],
) -> dict[str, str]:
    """Return each proposed action with its reason: the recommended first, what is ruled out last.

    Args:
        cause: what was found.
        proposed: what can be done about it at all.
        recommended: "" where nothing is.
        against: what speaks against some of them.
    """
    said = {**_ALWAYS, **_CAUSES[cause]}
    said |= {each: f"not now: {words}" for each, words in against.items()}
    order = sorted(proposed, key=lambda each: (each.value != recommended, each in against))
    return {each.value: said.get(each, "") for each in order}


def objections(
    cause: Cause, recommended: str, *, lesson: Learnable | None, few: str, spent: bool
) -> dict[ActionKind, str]:
    """Return what speaks against actions, in words; whoever takes one all the same answers it.

    Args:
        cause: what was found.
        recommended: against this nothing is said.
        lesson: what a model fitted on the newest outcomes showed.
        few: says that there is too little to learn from; "" where there is enough.
        spent: whether the contract's budget of retrainings is used up.
    """
    found: dict[ActionKind, str] = {}
    if lesson is not None and lesson.lesson is not Lesson.GAIN:
        found = {ActionKind.RETRAIN: _NO_LESSON, ActionKind.ROLLBACK: _NO_OLDER}
    elif few:
        found = {ActionKind.RETRAIN: few}
    if spent:
        found[ActionKind.RETRAIN] = _SPENT
    if cause in _NO_TRAINING:
        found[ActionKind.RETRAIN] = _NO_TRAINING[cause]
    return {each: words for each, words in found.items() if each.value != recommended}
