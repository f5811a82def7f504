"""The only door to live traffic: releases begin, move and end here, each step with its routing.

A step is one transaction: what allows it is read, the release's state is written, the routing
table moves from the revision that was read, and the audit row says who and why. A process that
dies between two steps leaves a release that the next look takes up again.
"""

from collections.abc import Callable

import msgspec

from thrive.contract.phases import parse_road
from thrive.contract.schema import ModelTerms
from thrive.domain.actor import APPROVERS, RELEASERS, STOPPERS
from thrive.domain.clock import ClockMode
from thrive.domain.errors import Conflict, NotFound, Refused, ThriveError, UsageError
from thrive.domain.gate import Answer, Approval
from thrive.domain.identifiers import new_id
from thrive.domain.reference import format_reference, parse_reference
from thrive.domain.release import MovedRouting, Release, ReleaseState, RoutingTable
from thrive.flows.contracts import contract_of
from thrive.flows.permission import (
    ApprovalStep,
    find_running,
    permission,
    refuse_unapproved,
    refuse_unasked,
)
from thrive.flows.traffic import (
    live_routing,
    persist,
    release_terms,
    roll_back,
    stop_model,
)
from thrive.governance.keeping import keep_all
from thrive.operations import Context, operation
from thrive.packaging.signature import Signature
from thrive.release import machine
from thrive.release.evidence import Evidence, collect
from thrive.release.machine import Step
from thrive.serving.sealing import seal_logs
from thrive.store import changes, gates, models, releases
from thrive.store.database import Tx
from thrive.store.kept_records import recorded


class Advanced(msgspec.Struct, frozen=True, kw_only=True):
    """What one look at a release came to."""

    release: Release
    words: str
    moved: bool


@operation(
    "releases start", role=RELEASERS, writes=True, next_hint="thrive releases show {release_id}"
)
def releases_start(ctx: Context, version: str, *, phases: list[str] | None = None) -> Release:
    """Send a version on its way to users: shadow, A/B or canary, full, as its contract says.

    Args:
        version: the version, as NAME@VERSION; NAME alone takes the newest.
        phases: other phases than the contract's, e.g. --phases full.

    Examples:
        thrive releases start flight-delay@2
        thrive releases start flight-delay@2 --phases full
    """
    name, number = parse_reference(version)
    return start_release(ctx, name, number, phases)


@operation("releases advance", role=RELEASERS, writes=True)
def releases_advance(ctx: Context, *, model: str | None = None) -> list[Advanced]:
    """Look at the evidence of every release now and take the steps it allows; as the tick does.

    Args:
        model: only this model's.

    Examples:
        thrive releases advance
    """
    seal_logs(ctx.home, force=True)
    return advance_releases(ctx, model)


@operation("releases hold", role=STOPPERS, writes=True)
def releases_hold(ctx: Context, model: str, *, reason: str) -> Release:
    """Keep a release where it is until somebody decides; its guards go on watching.

    Args:
        model: the model's name.
        reason: why, for those who read it later.

    Examples:
        thrive releases hold flight-delay --reason "the weather feed is missing"
    """
    return _decide(ctx, model, machine.hold, reason)


@operation("releases resume", role=RELEASERS, writes=True)
def releases_resume(ctx: Context, model: str, *, reason: str) -> Release:
    """Begin the phase of a held release again.

    Args:
        model: the model's name.
        reason: why, for those who read it later.

    Examples:
        thrive releases resume flight-delay --reason "the feed is back"
    """
    return _decide(ctx, model, machine.resume, reason)


@operation("releases promote", role=RELEASERS, writes=True)
def releases_promote(ctx: Context, model: str, *, reason: str) -> Release:
    """Take a release to its next phase though the evidence alone would not: a person's decision.

    Args:
        model: the model's name.
        reason: why, for those who read it later.

    Examples:
        thrive releases promote flight-delay --reason "a day of shadow showed no fault"
    """
    return _decide(ctx, model, machine.promote, reason)


@operation("releases rollback", role=RELEASERS, writes=True)
def releases_rollback(ctx: Context, model: str, *, reason: str, yes: bool = False) -> MovedRouting:
    """Go back to the version that served before, or to the fallback if there was none.

    It says who answers now. Where no version served before, the fallback answers users with `yes`
    alone; so does what served earlier still, where somebody rolled back just now. After
    `releases stop` the version that was stopped gets the traffic back.

    Args:
        model: the model's name.
        reason: why, for those who read it later.
        yes: go back though no version served before, or somebody did it just now.

    Raises:
        Conflict: nothing of the model is live.
        Refused: one of both is so, and `yes` is missing.

    Examples:
        thrive releases rollback flight-delay --reason "the desk reports wrong warnings"
    """
    said = _said(reason)
    with ctx.read() as tx:
        before = live_routing(tx, ctx, model, or_stopped=True)
    return _told(roll_back(ctx, model, said, sure=yes), before)


@operation("releases stop", role=STOPPERS, writes=True)
def releases_stop(ctx: Context, model: str, *, reason: str) -> MovedRouting:
    """Stop a model at once: the contract's fallback answers, and a release on its way ends.

    `thrive releases rollback` gives the traffic back to the version that was stopped.

    Args:
        model: the model's name.
        reason: why, for those who read it later.

    Raises:
        Conflict: nothing of the model is live.

    Examples:
        thrive releases stop flight-delay --reason "warnings for every flight since noon"
    """
    said = _said(reason)
    with ctx.write(f"model:{model}", reason=said) as tx:
        table = live_routing(tx, ctx, model)
        running = find_running(tx, ctx, model)
        if running is not None:
            ended = machine.roll_back(running, ctx.now(), said).release
            releases.save(tx, ctx.project_id, ended)
            changes.append(tx, ctx.project_id, "release", ended.release_id)
        return _told(stop_model(tx, ctx, table, said), table)


@operation(
    "approvals give",
    role=APPROVERS,
    writes=True,
    next_hint="thrive releases start {model}@{version}",
)
def approvals_give(
    ctx: Context, version: str, *, reason: str, step: ApprovalStep = ApprovalStep.PRODUCTION
) -> Approval:
    """Consent that a version goes to production, or that its contract asks less than before.

    Args:
        version: the version, as NAME@VERSION; NAME alone takes the newest.
        reason: what you looked at and why it is good enough.
        step: what you consent to: production, or contract when a gate was loosened.

    Raises:
        Refused: the version failed its newest gate, or its contract asks others than you.

    Examples:
        thrive approvals give flight-delay@2 --reason "the gate passed; slices and bias were read"
        thrive approvals give flight-delay@2 --step contract --reason "JFK has too few rows"
    """
    name, number = parse_reference(version)
    with ctx.read() as tx:
        found = models.get_version(tx, ctx.project_id, name, number)
        judged = gates.find_verdicts(tx, ctx.project_id, name, found.version, limit=1)
        refuse_unasked(tx, ctx, found)
    if step is ApprovalStep.PRODUCTION and judged and judged[0].answer is Answer.FAIL:
        label = format_reference(name, found.version)
        raise Refused(
            f"The newest verdict on {label} is a failure: there is nothing to consent to.",
            f"thrive gates show {label}",
        )
    approval = Approval(
        approval_id=new_id(),
        model=name,
        version=found.version,
        step=step.value,
        actor=ctx.actor.name,
        reason=_said(reason),
        given_at=ctx.now(),
    )
    own = ctx.actor.name == found.actor
    subject = f"model:{format_reference(name, found.version)}"
    words = {"step": step.value, "reason": approval.reason, "own_work": own}
    with ctx.write(subject, **words, records=[recorded(approval)]) as tx:
        gates.insert_approval(tx, ctx.project_id, approval)
    return approval


def start_release(
    ctx: Context, model: str, version: int | None = None, phases: list[str] | None = None
) -> Release:
    """Begin the release of a version if everything that production asks for is there.

    Args:
        ctx: who starts it, and where.
        model: the model's name.
        version: the version's number, None for the newest.
        phases: spelled as in the contract; None for the contract's.

    Raises:
        NotFound: there is no such version, or its contract is not stored.
        Refused: no verdict allows it, it comes from a dirty tree, it is retired, or approvals
            are missing.
        ContractGap: the contract leaves a question open that production asks.
        Conflict: a release of the model is on its way, or the version serves already.
    """
    label = f"model:{model}" if version is None else f"model:{format_reference(model, version)}"
    now = ctx.now()
    replayed = ctx.home.clock().mode is ClockMode.REPLAY
    with ctx.write(label, phases=phases or "as the contract says") as tx:
        candidate = models.get_version(tx, ctx.project_id, model, version)
        candidate.packaged()
        contract = contract_of(tx, ctx.project_id, candidate)
        table = releases.current_routing(tx, ctx.project_id, model)
        allowed = permission(tx, ctx, candidate, contract, table)
        production = table.production() if table else None
        terms = contract.contract.model[model]
        release = Release(
            release_id=new_id(),
            model=model,
            candidate=candidate.version,
            production=production.version if production else None,
            phases=parse_road(phases) if phases else terms.release.parsed_phases(),
            position=0,
            state=ReleaseState.RUNNING,
            phase_started_at=now,
            started_at=now,
            actor=ctx.actor.name,
            verdict=allowed.verdict.verdict_id,
            contract=candidate.contract,
            evidence={
                "approvals": allowed.approvals,
                "own_approval": allowed.own_approval,
                "loosened": allowed.loosened,
                "excepted": allowed.excepted,
            },
            replay=replayed,
        )
        step = machine.begin(release, now)
        persist(tx, ctx, step, table, terms)
        keep_all(tx, ctx, allowed.records, release.release_id)
    return step.release


def advance_releases(ctx: Context, model: str | None = None) -> list[Advanced]:
    """Look at every release on its way and take the step its evidence allows.

    Calling it again changes nothing: a step is taken once, as the release's state is read again
    in the transaction that moves it. A release whose evidence cannot be read stays as it is.

    Args:
        ctx: the controller's context.
        model: only this model's release.
    """
    with ctx.read() as tx:
        running = releases.find_running(tx, ctx.project_id)
    chosen = [each for each in running if model is None or each.model == model]
    if model is not None and not chosen:
        raise NotFound(f"No release of {model} is on its way.", f"thrive releases start {model}")
    return [_advance(ctx, release) for release in chosen]


def _advance(ctx: Context, release: Release) -> Advanced:
    now = ctx.now()
    try:
        evidence, terms = _evidence(ctx, release, now)
    except ThriveError as error:
        return Advanced(release=release, words=f"cannot be judged now: {error.what}", moved=False)
    step = machine.advance(release, evidence, now, machine.terms_of(terms))
    seen = msgspec.json.decode(msgspec.json.encode(evidence))
    known = {**step.release.evidence, "seen": seen, "words": step.words}
    after = msgspec.structs.replace(step.release, evidence=known)
    if not step.moved:
        if release.evidence.get("seen") != seen:
            _observe(ctx, release, after)
        return Advanced(release=after, words=step.words, moved=False)
    taken = Step(release=after, words=step.words, moved=True)
    try:
        _take(ctx, release, taken, terms)
    except Refused as error:
        return Advanced(release=release, words=f"cannot go on: {error.what}", moved=False)
    return Advanced(release=after, words=step.words, moved=True)


def _take(ctx: Context, release: Release, taken: Step, terms: ModelTerms) -> None:
    """Take a step of a release, if nobody else did and its approvals still count."""
    with ctx.write(f"release:{release.release_id}", words=taken.words) as tx:
        if releases.get(tx, ctx.project_id, release.release_id) != release:
            raise Conflict("Somebody else moved the release.", "look again")
        table = releases.current_routing(tx, ctx.project_id, release.model)
        _refuse_unapproved(tx, ctx, taken, table)
        persist(tx, ctx, taken, table, terms)


def _refuse_unapproved(tx: Tx, ctx: Context, step: Step, table: RoutingTable | None) -> None:
    """Look at the approvals again where a step gives the candidate more live traffic."""
    number = step.release.candidate
    wanted = [each for each in machine.placements(step.release) if each.version == number]
    present = [each for each in table.variants if each.version == number] if table else []
    more = sum(each.share for each in wanted if not each.shadow)
    if more > sum(each.share for each in present if not each.shadow):
        refuse_unapproved(tx, ctx, step.release)


def _observe(ctx: Context, before: Release, after: Release) -> None:
    """Keep what was seen without moving anything; lost if somebody moved the release meanwhile."""
    with ctx.observe(f"release:{before.release_id}") as tx:
        if releases.get(tx, ctx.project_id, before.release_id) == before:
            releases.save(tx, ctx.project_id, after)


def _evidence(ctx: Context, release: Release, now: int) -> tuple[Evidence, ModelTerms]:
    with ctx.read() as tx:
        terms = release_terms(tx, ctx, release)
        version = models.get_version(tx, ctx.project_id, release.model, release.candidate)
    output = msgspec.convert(version.signature, Signature).output
    return collect(ctx.home, release, now, terms, output), terms


Decide = Callable[[Release, int, str], Step]


def _decide(ctx: Context, model: str, decide: Decide, reason: str) -> Release:
    """Apply a person's decision to the release of a model that is on its way."""
    now = ctx.now()
    said = _said(reason)
    with ctx.write(f"model:{model}", reason=said) as tx:
        running = find_running(tx, ctx, model)
        if running is None:
            raise NotFound(f"No release of {model} is on its way.", "thrive releases list")
        step = decide(running, now, said)
        table = releases.current_routing(tx, ctx.project_id, model)
        _refuse_unapproved(tx, ctx, step, table)
        persist(tx, ctx, step, table, release_terms(tx, ctx, running))
    return step.release


def _told(table: RoutingTable, before: RoutingTable) -> MovedRouting:
    known = {name: getattr(table, name) for name in table.__struct_fields__}
    return MovedRouting(**known, answers=table.who_answers(), answered_before=before.who_answers())


def _said(reason: str) -> str:
    if not reason.strip():
        raise UsageError("The reason is empty.", 'say why, e.g. --reason "errors since noon"')
    return reason.strip()
