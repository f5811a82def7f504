"""One release: go on, hold, or back?"""

import msgspec

from thrive.domain.gate import Approval, Verdict
from thrive.domain.release import Phase, Release, ReleaseState, RoutingTable
from thrive.operations import Context
from thrive.store import gates, releases


class PhaseRow(msgspec.Struct, frozen=True, kw_only=True):
    """One phase of the road: `state` is passed, now or ahead; `until` is the end of its bake."""

    phase: Phase
    state: str
    until: int | None


class ReleasePage(msgspec.Struct, frozen=True, kw_only=True):
    """One release: what let it begin, its road, its evidence, its traffic, and what to type."""

    now: int
    release: Release
    phases: list[PhaseRow]
    verdict: Verdict | None
    approvals: list[Approval]
    moves: list[RoutingTable]
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
    return ReleasePage(
        now=ctx.now(),
        release=release,
        phases=[_phase(release, position) for position in range(len(release.phases))],
        verdict=verdict,
        approvals=approvals,
        moves=[table for table in history if table.release_id == release.release_id],
        commands=[
            f'thrive releases {verb} {release.model} --reason "..."' for verb in verbs_of(release)
        ],
        verbs=verbs_of(release),
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
