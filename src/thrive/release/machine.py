"""The state machine of a release: pure functions from state, evidence and time to the next state.

    running --(phase baked, enough seen, not worse)--> next phase ... full = done
    running --(harm, or outcomes show it worse)--> rolled back
    running --(too little seen, cannot tell twice, keys not drawn as planned)--> held
    held --(resumed)--> running;  held --(harm)--> rolled back
    done --(its version is taken from its users)--> rolled back

Held keeps its traffic and waits for its owner; the guards go on watching.
"""

from typing import Any

import msgspec

from thrive.contract.schema import Guard, ModelTerms
from thrive.domain.clock import DAY, format_duration, parse_duration
from thrive.domain.errors import Conflict
from thrive.domain.release import Phase, PhaseKind, Release, ReleaseState
from thrive.release.evidence import Evidence
from thrive.release.guards import enough, find_harm, find_mismatch, find_unproven
from thrive.release.quality import Quality, Word

FEWEST_ROWS = 100
"""Predictions that each side must have made before a phase may end."""
PATIENCE = 3
"""A phase with too little traffic waits for this many times its length, at least a day."""


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What the contract says about judging a release.

    Attributes:
        guard: what the candidate may do and how sure one is to be of it.
        outcomes_within: microseconds after which an outcome is known.
        fewest_rows: predictions each side needs before a phase ends.
    """

    guard: Guard = Guard()
    outcomes_within: int = 0
    fewest_rows: int = FEWEST_ROWS


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where a version stands in the routing table."""

    version: int
    share: float
    shadow: bool = False


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """The next state of a release and why; `moved` says that it is another one than before."""

    release: Release
    words: str
    moved: bool


def terms_of(model: ModelTerms) -> Terms:
    """Return the terms of a release from the contract's words about the model."""
    within = model.sla.outcomes_within
    return Terms(
        guard=model.release.guard,
        outcomes_within=parse_duration(within) if within else 0,
    )


def placements(release: Release) -> list[Place]:
    """Return who gets which traffic in a release's state, production first.

    The live shares add up to 1, or to nothing when no version is left and the fallback answers.
    In an A/B phase the candidate also answers production's requests in the shadow: the same rows
    answered by both settle a difference with a fraction of the traffic that two groups need.
    """
    before = release.production
    held = [Place(version=before, share=1.0)] if before is not None else []
    if release.state is ReleaseState.ROLLED_BACK:
        return held
    phase = release.phases[release.position]
    if phase.kind is PhaseKind.FULL:
        return [Place(version=release.candidate, share=1.0)]
    if phase.kind is PhaseKind.SHADOW:
        return [*held, Place(version=release.candidate, share=phase.share, shadow=True)]
    if before is None:
        raise AssertionError(f"a {phase.kind} needs a version in production")
    split = [
        Place(version=before, share=round(1.0 - phase.share, 6)),
        Place(version=release.candidate, share=phase.share),
    ]
    if phase.kind is PhaseKind.CANARY:
        return split
    return [*split, Place(version=release.candidate, share=1.0, shadow=True)]


def begin(release: Release, now: int) -> Step:
    """Return a release in its first phase that has a meaning."""
    return _enter(release, 0, now, "it starts")


def advance(release: Release, evidence: Evidence, now: int, terms: Terms) -> Step:
    """Return the next state of a release; the same one while there is nothing to decide.

    Args:
        release: the present state.
        evidence: all that the present phase showed.
        now: the project's present moment.
        terms: what the contract says.
    """
    if release.state in (ReleaseState.DONE, ReleaseState.ROLLED_BACK):
        return _stay(release, "it has ended")
    harm = find_harm(evidence, terms.guard)
    if harm is not None:
        return roll_back(release, now, f"guard {harm.guard}: {harm.words}")
    if release.state is ReleaseState.HELD:
        return _stay(release, release.reason or "held")
    phase = release.phases[release.position]
    left = ends_at(release, terms) - now
    if left > 0:
        return _stay(release, f"{phase.kind}: {format_duration(left)} to go")
    return _judge(release, phase, evidence, now, terms)


def roll_back(release: Release, now: int, reason: str) -> Step:
    """Return a release that ended with production as it was before.

    One that was done is rolled back too: its version was taken from its users after all.
    """
    return _end(release, ReleaseState.ROLLED_BACK, now, reason)


def hold(release: Release, now: int, reason: str) -> Step:
    """Return a release that stays where it is until somebody decides.

    Raises:
        Conflict: it has ended, or is held.
    """
    _require(release, ReleaseState.RUNNING)
    return _moved(release, now, reason, state=ReleaseState.HELD)


def resume(release: Release, now: int, reason: str) -> Step:
    """Return a held release that begins its phase again.

    Raises:
        Conflict: it is not held.
    """
    _require(release, ReleaseState.HELD)
    again = _with(release, extended=False)
    return _moved(again, now, reason, state=ReleaseState.RUNNING, phase_started_at=now)


def promote(release: Release, now: int, reason: str) -> Step:
    """Return a release in its next phase because somebody decided so.

    Raises:
        Conflict: it has ended.
    """
    _require(release, ReleaseState.RUNNING, ReleaseState.HELD)
    return _enter(release, release.position + 1, now, reason)


def _judge(release: Release, phase: Phase, evidence: Evidence, now: int, terms: Terms) -> Step:
    """Decide at the end of a phase."""
    mismatch = find_mismatch(evidence, phase.share)
    if mismatch is not None:
        return hold(release, now, f"{phase.kind}: {mismatch}; find out why before going on")
    few = _too_few(release, phase, evidence, terms)
    bounded = _is_bounded(release)
    if not few and bounded:
        few = find_unproven(evidence, terms.guard)
    if few:
        patience = max(PATIENCE * phase.bake, DAY)
        if now - release.phase_started_at < patience:
            return _stay(release, f"{phase.kind}: waits for traffic; {few}")
        return hold(release, now, f"{phase.kind}: inconclusive, too little traffic; {few}")
    found = [each for each in (evidence.quality, evidence.groups) if each is not None]
    for each in found:
        if each.word is Word.WORSE:
            return roll_back(release, now, f"{phase.kind}: {_said(each)}")
    shown = next((each for each in found if each.word is Word.NOT_WORSE), None)
    if phase.kind is PhaseKind.AB and shown is None:
        return _unclear(release, phase, found[0] if found else None, now)
    said = [_said(shown)] if shown else []
    said.append(_guarded(release, evidence, terms.guard))
    return _enter(release, release.position + 1, now, f"{phase.kind}: {'; '.join(said)}")


def _is_bounded(release: Release) -> bool:
    """Tell whether a phase ends only once failed and late requests are shown to be no more.

    A canary, and a shadow before all users. An A/B phase shows by outcomes that its candidate is
    not worse; a shadow before either leaves it to them.
    """
    here, after = release.phases[release.position : release.position + 2]
    last_shadow = here.kind is PhaseKind.SHADOW and after.kind is PhaseKind.FULL
    return (here.kind is PhaseKind.CANARY or last_shadow) and release.production is not None


def _guarded(release: Release, evidence: Evidence, guard: Guard) -> str:
    """Return in words what the guards said of a phase, and what they did not."""
    seen = f"no guard was hurt in {evidence.candidate.requests:,} requests"
    if _is_bounded(release):
        return f"{seen}, failed and late ones at most {guard.margin:.1%} more than production's"
    if release.production is None:
        return f"{seen}, with nothing in production to compare with"
    if release.phases[release.position].kind is PhaseKind.SHADOW:
        return f"{seen}; whether it is not worse is for the next phase to show"
    return seen


def _unclear(release: Release, phase: Phase, quality: Quality | None, now: int) -> Step:
    """Extend once; after that it is for the owner to say."""
    said = _said(quality) if quality else "no comparable outcomes have arrived"
    if not release.evidence.get("extended", False):
        words = f"{phase.kind}: extended by {format_duration(phase.bake)}, as {said}"
        return _moved(_with(release, extended=True), now, words)
    if quality and quality.needed:
        said += f"; about {quality.needed:,} labelled rows would settle it"
    else:
        said += "; report outcomes with `thrive outcomes add`"
    return hold(release, now, f"{phase.kind}: {said}")


def _said(quality: Quality) -> str:
    low = "-inf" if quality.low is None else f"{quality.low:+.4f}"
    high = "+inf" if quality.high is None else f"{quality.high:+.4f}"
    return (
        f"{quality.metric} on {'the same rows' if quality.paired else 'two groups'} "
        f"{quality.word}: {quality.difference:+.4f} "
        f"(95% from {low} to {high}, margin {quality.margin:g}) on "
        f"{quality.rows_candidate:,} against {quality.rows_production:,} rows"
    )


def _too_few(release: Release, phase: Phase, evidence: Evidence, terms: Terms) -> str:
    least = terms.fewest_rows
    sides = [("the candidate", evidence.candidate)]
    if release.production is not None and phase.kind is not PhaseKind.SHADOW:
        sides.append(("production", evidence.production))
    lacking = [
        f"{name} made {side.rows} of {least} predictions"
        for name, side in sides
        if not enough(side, least)
    ]
    return ", ".join(lacking)


def ends_at(release: Release, terms: Terms) -> int:
    """Return when the present phase has baked; one judged by outcomes waits for its last ones."""
    phase = release.phases[release.position]
    bake = phase.bake * (2 if release.evidence.get("extended", False) else 1)
    late = terms.outcomes_within if phase.kind is PhaseKind.AB else 0
    return release.phase_started_at + bake + late


def _enter(release: Release, position: int, now: int, why: str) -> Step:
    """Return a release in the first phase from `position` on that its production allows."""
    words = [why]
    while release.production is None and release.phases[position].kind in (
        PhaseKind.AB,
        PhaseKind.CANARY,
    ):
        kind = release.phases[position].kind
        words.append(f"{kind} is skipped: nothing in production to compare with")
        position += 1
    phase = release.phases[position]
    if phase.kind is PhaseKind.FULL:
        at_end = msgspec.structs.replace(release, position=position)
        words.append(f"version {release.candidate} serves all traffic")
        return _end(at_end, ReleaseState.DONE, now, "; ".join(words))
    words.append(f"{phase.kind} {phase.share:.0%} for {format_duration(phase.bake)}")
    return _moved(
        _with(release, extended=False),
        now,
        "; ".join(words),
        state=ReleaseState.RUNNING,
        position=position,
        phase_started_at=now,
    )


def _end(release: Release, state: ReleaseState, now: int, reason: str) -> Step:
    return _moved(release, now, reason, state=state, ended_at=now)


def _moved(release: Release, now: int, words: str, **changes: Any) -> Step:
    """Return a changed release with one more line in its history."""
    after = msgspec.structs.replace(release, reason=words, **changes)
    phase = after.phases[after.position].kind.value
    line = {"at": now, "phase": phase, "state": after.state.value, "words": words}
    history = [*release.evidence.get("history", []), line]
    return Step(release=_with(after, history=history, words=words), words=words, moved=True)


def _stay(release: Release, words: str) -> Step:
    return Step(release=release, words=words, moved=False)


def _with(release: Release, **known: Any) -> Release:
    return msgspec.structs.replace(release, evidence={**release.evidence, **known})


def _require(release: Release, *states: ReleaseState) -> None:
    if release.state not in states:
        wanted = " or ".join(states)
        raise Conflict(
            f"The release of {release.model}@{release.candidate} is {release.state}, not {wanted}.",
            f"thrive releases show {release.release_id}",
        )
