"""A model that no version answers for: the fallback does, and that must not go on unseen."""

import msgspec

from thrive.domain.actor import CONTROLLER
from thrive.domain.clock import format_time
from thrive.domain.monitoring import ActionKind, Cause, Level
from thrive.domain.release import RoutingTable
from thrive.monitoring.grid import spans
from thrive.monitoring.policy import Policy
from thrive.monitoring.verdicts import Verdict

FALLBACK = "fallback"
"""The signal of the cause `service` that this is."""

_REASONS = {
    ActionKind.REVIEW.value: "people answer, or look at what the fallback says",
    ActionKind.ACCEPT.value: "the fallback is good enough for now",
    ActionKind.RETIRE.value: "nobody needs the model any more",
}


class Unserved(msgspec.Struct, frozen=True, kw_only=True):
    """That the fallback answers alone: what is to be told, and the version that served last."""

    verdict: Verdict
    version: int


def unserved(history: list[RoutingTable], now: int) -> Unserved | None:
    """Return that no version answers; None while one does, none ever did, or somebody stopped it.

    A stop says so itself, and is given back by whoever stopped.

    Args:
        history: the routing tables of one model, newest first.
        now: UTC microseconds.
    """
    if not history or history[0].production() is not None or history[0].stopped:
        return None
    served = spans(history, now)
    if not served:
        return None
    table, last = history[0], served[-1]
    verdict = Verdict(
        cause=Cause.SERVICE,
        title=f"No version of {table.model} answers since {format_time(table.at)}: "
        f"callers get the fallback ({table.fallback}).",
        first_bad=table.at,
        last_bad=table.at,
        numbers={"signal": FALLBACK, "moved_by": table.actor},
    )
    return Unserved(verdict=verdict, version=last.version)


def policy_without_version(policy: Policy, verdict: Verdict, model: str) -> Policy:
    """Return what is proposed while the fallback answers; nothing is done by itself.

    It pages where no person had a hand in it.
    """
    by_itself = verdict.numbers.get("moved_by") == CONTROLLER.name
    return msgspec.structs.replace(
        policy,
        level=Level.ALERT if by_itself else Level.NOTICE,
        proposed=list(_REASONS),
        reasons=_REASONS,
        against={
            ActionKind.RETRAIN.value: "no version answers: a new one is released, not trained"
        },
        recommended="",
        default_action=None,
        advice=f"Release a version that passes its gates: `thrive releases start {model}@VERSION`.",
    )
