"""One release: go on, hold, or back?"""

from typing import Any

import msgspec

from thrive.contract.schema import ReleaseTerms
from thrive.domain.errors import NotFound
from thrive.domain.gate import Approval, Verdict
from thrive.domain.release import Phase, Release, ReleaseState, RoutingTable
from thrive.flows.contracts import find_contract
from thrive.operations import Context
from thrive.release.evidence import Agreement, Counts, Evidence
from thrive.release.guards import Reading, readings
from thrive.release.quality import Quality
from thrive.store import gates, models, releases
from thrive.store.database import Tx


class PhaseRow(msgspec.Struct, frozen=True, kw_only=True):
    """One phase of the road: `state` is passed, now or ahead; `until` is the end of its bake."""

    phase: Phase
    state: str
    until: int | None


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """One side of the comparison: `share` of the traffic it answers users with now, 0..1."""

    name: str
    version: int | None
    share: float
    counts: Counts


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Outcomes of both versions: `answer` is `not worse`, `worse` or `cannot tell`."""

    name: str
    answer: str
    found: Quality


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """A step of the road that was taken, in words."""

    at: int
    phase: str
    state: str
    words: str


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """What the present phase showed until the last look.

    Attributes:
        sides: production, then the candidate.
        guards: how each guard stands.
        comparisons: of the same rows, and of each one's own.
        agreement: the shadow's answers beside the live ones.
        disagreement: the share of other decisions that the contract allows, None for any.
    """

    sides: list[Side]
    guards: list[Reading]
    comparisons: list[Comparison]
    agreement: Agreement | None
    disagreement: float | None


class ReleasePage(msgspec.Struct, frozen=True, kw_only=True):
    """One release: what let it begin, its road, its evidence, its traffic, and what to type.

    Attributes:
        shown: its evidence; None before the first look.
        told: the steps of its road, newest first.
        rest: what else was kept of it.
    """

    now: int
    release: Release
    phases: list[PhaseRow]
    verdict: Verdict | None
    approvals: list[Approval]
    moves: list[RoutingTable]
    shown: Shown | None
    told: list[Told]
    rest: dict[str, Any]
    commands: list[str]
    verbs: list[str]


def load(ctx: Context, release_id: str) -> ReleasePage:
    """Return the page of a release.

    Raises:
        NotFound: there is none of that id.
    """
    project = ctx.project_id
    with ctx.read() as tx:
        release = releases.get(tx, project, release_id)
        history = releases.routing_history(tx, project, release.model)
        approvals = gates.find_approvals(tx, project, release.model, release.candidate)
        verdict = gates.get_verdict(tx, project, release.verdict) if release.verdict else None
        terms = _terms(tx, project, release)
        current = releases.current_routing(tx, project, release.model)
    return ReleasePage(
        now=ctx.now(),
        release=release,
        phases=[_phase(release, position) for position in range(len(release.phases))],
        verdict=verdict,
        approvals=approvals,
        moves=[table for table in history if table.release_id == release.release_id],
        shown=_shown(release, terms, current),
        told=_told(release),
        rest={key: found for key, found in release.evidence.items() if key not in _SHOWN},
        commands=[
            f'thrive releases {verb} {release.model} --reason "..."' for verb in verbs_of(release)
        ],
        verbs=verbs_of(release),
    )


def _told(release: Release) -> list[Told]:
    """Return the steps of its road, newest first; their words do not repeat the phase."""
    steps = msgspec.convert(release.evidence.get("history", [])[::-1], list[Told])
    return [
        msgspec.structs.replace(each, words=each.words.removeprefix(f"{each.phase}: "))
        for each in steps
    ]


_SHOWN = ("history", "seen", "words")


def _terms(tx: Tx, project: str, release: Release) -> ReleaseTerms:
    """Return what the contract of the candidate says; the defaults where it is not kept."""
    try:
        version = models.get_version(tx, project, release.model, release.candidate)
    except NotFound:  # the version was deleted; its release is still history
        return ReleaseTerms()
    parsed = find_contract(tx, project, version)
    terms = parsed.contract.model.get(release.model) if parsed is not None else None
    return terms.release if terms is not None else ReleaseTerms()


def _shown(release: Release, terms: ReleaseTerms, routing: RoutingTable | None) -> Shown | None:
    if "seen" not in release.evidence:
        return None
    found = msgspec.convert(release.evidence["seen"], Evidence)
    shares = (
        {each.version: each.share for each in routing.variants if not each.shadow}
        if routing
        else {}
    )
    sides = (
        ("production", release.production, found.production),
        ("candidate", release.candidate, found.candidate),
    )
    compared = (("the same rows", found.quality), ("each one's own rows", found.groups))
    return Shown(
        sides=[
            Side(name=name, version=version, share=shares.get(version or 0, 0.0), counts=counts)
            for name, version, counts in sides
        ],
        guards=readings(found, terms.guard),
        comparisons=[
            Comparison(name=name, answer=quality.word.value, found=quality)
            for name, quality in compared
            if quality is not None
        ],
        agreement=found.agreement,
        disagreement=terms.guard.disagreement,
    )


def verbs_of(release: Release) -> list[str]:
    """Return what can be done about a release that is on its way, what it waits for first."""
    verbs = {ReleaseState.HELD: ["resume", "promote", "rollback"]}
    verbs[ReleaseState.RUNNING] = ["promote", "hold", "rollback"]
    return verbs.get(release.state, [])


def _phase(release: Release, position: int) -> PhaseRow:
    phase = release.phases[position]
    under_way = release.state in (ReleaseState.RUNNING, ReleaseState.HELD)
    if release.state is ReleaseState.DONE or position < release.position:
        return PhaseRow(phase=phase, state="passed", until=None)
    if position > release.position:
        return PhaseRow(phase=phase, state="ahead" if under_way else "not reached", until=None)
    until = release.phase_started_at + phase.bake if under_way else None
    return PhaseRow(phase=phase, state="now" if under_way else "ended here", until=until)
