"""A release as it happens: what it is at whenever something is new, until it ends."""

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import msgspec

from thrive.contract.parse import parse
from thrive.contract.schema import ModelTerms
from thrive.domain.actor import ANYONE
from thrive.domain.errors import NotFound
from thrive.domain.release import PhaseKind, Release, ReleaseState
from thrive.operations import Context, Kind, operation
from thrive.release.evidence import Evidence
from thrive.release.guards import Reading, readings
from thrive.release.machine import ends_at, terms_of
from thrive.release.quality import Quality, Word
from thrive.store import projects, releases
from thrive.store.database import Tx

LOOK_EVERY_S = 0.25
_ENDED = frozenset({ReleaseState.DONE, ReleaseState.ROLLED_BACK})


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """A move of a release: when, into which phase, and why."""

    at: int
    phase: str
    state: str
    words: str


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """What a release is at, in words.

    Attributes:
        at: UTC microseconds of what is told.
        state: of the whole release.
        phase: with its share of the traffic.
        candidate: what the candidate did in this phase.
        production: what production did in the same time.
        agreement: a shadow's answers beside the live ones.
        why: what is waited for, or why it moved.
        until: when the phase has baked, UTC microseconds; None for one that has no end.
        guards: how each guard stands.
        moves: the road so far.
    """

    at: int
    state: ReleaseState
    phase: str
    candidate: str = ""
    production: str = ""
    agreement: str = ""
    why: str = ""
    until: int | None = None
    guards: list[Reading] = []
    moves: list[Stage] = []


@operation("releases look", role=ANYONE)
def releases_look(ctx: Context, model: str) -> Look:
    """Show what the newest release of a model is at: phase, traffic, evidence, decisions.

    Args:
        model: the model's name.

    Raises:
        NotFound: it was never released.

    Examples:
        thrive releases look flight-delay
    """
    with ctx.read() as tx:
        found = releases.find(tx, ctx.project_id, model, 1)
        if not found:
            raise NotFound(f"{model} was never released.", f"thrive releases start {model}")
        terms = _terms(tx, ctx.project_id, found[0])
    return look_at(found[0], ctx.now(), terms)


@operation("releases watch", kind=Kind.CLIENT, role=ANYONE, live=True)
def releases_watch(ctx: Context, model: str) -> Iterator[Look]:
    """Follow the newest release of a model until it ends: phase, traffic, evidence, decisions.

    What is seen follows the tick. A terminal shows the newest state in place, with each guard and
    the bounds that hold at every look; a pipe gets a line for each look that found something new.

    Args:
        model: the model's name.

    Examples:
        thrive releases watch flight-delay
    """
    return watched(partial(releases_look, ctx, model))


def watched(look: Callable[[], Look]) -> Iterator[Look]:
    """Yield what is new about a release, until it has ended.

    Args:
        look: asks for what it is at, here or on a server.
    """
    last: Look | None = None
    while True:
        seen = look()
        if last is None or msgspec.structs.replace(seen, at=last.at) != last:
            yield seen
            last = seen
        if seen.state in _ENDED:
            return
        time.sleep(LOOK_EVERY_S)


def _terms(tx: Tx, project_id: str, release: Release) -> ModelTerms:
    """Return what the release's contract says; the defaults where it is not kept."""
    stored = projects.find_contract(tx, project_id, release.contract)
    models = parse(stored.text).contract.model if stored is not None else {}
    return models.get(release.model, ModelTerms())


def look_at(release: Release, now: int, terms: ModelTerms) -> Look:
    """Return a release in words.

    Args:
        release: as it is stored.
        now: the project's present moment.
        terms: what the contract says about the model.
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
        until=ends_at(release, terms_of(terms)) if release.state is ReleaseState.RUNNING else None,
        guards=readings(msgspec.convert(seen, Evidence), terms.release.guard) if seen else [],
        moves=msgspec.convert(release.evidence.get("history", []), list[Stage]),
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
