"""A release as it happens: one line whenever something is new, until it ends."""

import time
from collections.abc import Iterator
from typing import Any

import msgspec

from thrive.domain.actor import ANYONE
from thrive.domain.errors import NotFound
from thrive.domain.release import PhaseKind, Release, ReleaseState
from thrive.operations import Context, Kind, operation
from thrive.release.quality import Quality, Word
from thrive.store import releases

LOOK_EVERY_S = 0.25
_ENDED = frozenset({ReleaseState.DONE, ReleaseState.ROLLED_BACK})


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """What a release is at, in words of one line.

    Attributes:
        at: UTC microseconds of what is told.
        state: of the whole release.
        phase: with its share of the traffic.
        candidate: what the candidate did in this phase.
        production: what production did in the same time.
        agreement: a shadow's answers beside the live ones.
        why: what is waited for, or why it moved.
    """

    at: int
    state: ReleaseState
    phase: str
    candidate: str = ""
    production: str = ""
    agreement: str = ""
    why: str = ""


@operation("releases watch", kind=Kind.STREAM, role=ANYONE)
def releases_watch(ctx: Context, model: str) -> Iterator[Look]:
    """Follow the newest release of a model until it ends: phase, traffic, evidence, decisions.

    What is seen follows the tick: each look of `thrive tick` or of a server adds a line.

    Args:
        model: the model's name.

    Examples:
        thrive releases watch flight-delay
    """
    last: Look | None = None
    while True:
        with ctx.read() as tx:
            found = releases.find(tx, ctx.project_id, model, 1)
        if not found:
            raise NotFound(f"{model} was never released.", f"thrive releases start {model}")
        look = look_at(found[0], ctx.now())
        if last is None or msgspec.structs.replace(look, at=last.at) != last:
            yield look
            last = look
        if look.state in _ENDED:
            return
        time.sleep(LOOK_EVERY_S)


def look_at(release: Release, now: int) -> Look:
    """Return a release in words.

    Args:
        release: as it is stored.
        now: the project's present moment.
    """
    phase = release.phases[release.position]
    seen: dict[str, Any] = release.evidence.get("seen") or {}
    share = "" if phase.kind is PhaseKind.FULL else f" {phase.share:.0%}"
    return Look(
        at=release.ended_at or now,
        state=release.state,
        phase=f"{phase.kind}{share}",
        candidate=f"v{release.candidate}: {_counted(seen.get('candidate'))}",
        production=""
        if release.production is None
        else f"v{release.production}: {_counted(seen.get('production'))}",
        agreement=_agreement(seen.get("agreement")),
        why=str(release.evidence.get("words") or release.reason),
    )


def speaks_against(release: Release) -> str:
    """Return in words that the outcomes of a release came out worse for its candidate, or "".

    Surely or not: who goes on with it takes a risk that nothing promises to be worth it.

    Args:
        release: as it is stored.
    """
    seen: dict[str, Any] = release.evidence.get("seen") or {}
    for name, where in (("quality", "on the same rows"), ("groups", "between two groups")):
        found = seen.get(name)
        if found and found["difference"] < 0.0 and not _is_not_worse(found):
            worse = f"{-found['difference']:.3f} worse than production's"
            return f"the candidate's {found['metric']} is {worse} {where}"
    return ""


def _is_not_worse(found: dict[str, Any]) -> bool:
    return msgspec.convert(found, Quality).word is Word.NOT_WORSE


def _counted(counts: dict[str, Any] | None) -> str:
    if not counts or not counts.get("requests"):
        return "no requests yet"
    requests, errors, slow = counts["requests"], counts.get("errors", 0), counts.get("slow", 0)
    words = f"{requests:,} requests, {errors:,} failed ({errors / requests:.2%})"
    return f"{words}, {slow:,} slow" if slow else words


def _agreement(found: dict[str, Any] | None) -> str:
    if not found:
        return ""
    words = f"{found['other_decisions']:.1%} of {found['rows']:,} rows decided otherwise"
    shift = found.get("score_shift")
    return words if shift is None else f"{words}, score {shift:+.3f}"
