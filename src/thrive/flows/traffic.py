"""Live traffic, moved: by a step of a release, back to what served before, away from a model.

Whoever moves it writes the routing table in the transaction that it was read in, from the revision
that was read, with the change that others follow.
"""

import msgspec

from thrive.contract.schema import ModelTerms
from thrive.domain.clock import MINUTE, format_duration
from thrive.domain.errors import Conflict, Refused
from thrive.domain.reference import format_reference
from thrive.domain.release import Release, ReleaseState, RoutingTable, Variant
from thrive.flows.contracts import contract_of
from thrive.flows.permission import find_running
from thrive.operations import Context
from thrive.registry.stages import CHAMPION
from thrive.registry.telling import tell_alias
from thrive.release import machine
from thrive.release.machine import Place, Step
from thrive.store import changes, models, releases
from thrive.store.database import Tx

_JUST = 10 * MINUTE
"""How long after a roll back another one must be meant so."""


def roll_back(ctx: Context, model: str, reason: str, *, sure: bool = True) -> RoutingTable:
    """Go back to what served before: at once, without asking for evidence.

    A release on its way ends and production gets all traffic. Without one, the version that
    served before the present one takes over; was there none, the contract's fallback answers.

    Args:
        ctx: who does it, and where.
        model: the model's name.
        reason: why.
        sure: do it whatever speaks against it.

    Raises:
        Conflict: nothing of the model is live.
        Refused: something speaks against it.
    """
    now = ctx.now()
    with ctx.write(f"model:{model}", reason=reason) as tx:
        table = live_routing(tx, ctx, model, or_stopped=True)
        running = find_running(tx, ctx, model)
        if running is not None:
            step = machine.roll_back(running, now, reason)
            terms = release_terms(tx, ctx, running)
            return persist(tx, ctx, step, table, terms)
        against = "" if sure else against_rollback(tx, ctx, model)
        if against:
            raise Refused(against, "add --yes if that is what you want")
        _note_taken_back(tx, ctx, table, now, reason)
        wanted = _before(tx, ctx.project_id, table)
        return _move(tx, ctx, table, wanted, now=now, reason=reason)


def against_rollback(tx: Tx, ctx: Context, model: str) -> str:
    """Return in words what speaks against rolling a model back, or "".

    It would take the last version from the users, or somebody has done it just now: two who see
    the same fault and act at the same time would go back two versions.
    """
    table = releases.current_routing(tx, ctx.project_id, model)
    present = table.production() if table else None
    under_way = any(each.model == model for each in releases.find_running(tx, ctx.project_id))
    if table is None or present is None or under_way:
        return ""
    label = format_reference(model, present.version)
    before = _before(tx, ctx.project_id, table)
    if not before:
        answer = f"the fallback ({table.fallback})" if table.fallback is not None else "an error"
        return f"No version that could serve answered before {label}: callers would get {answer}."
    since = ctx.now() - table.at
    if since >= _JUST or not _was_taken_back(tx, ctx, table):
        return ""
    return (
        f"{table.actor} rolled {model} back {format_duration(since)} ago, and {label} answers: "
        f"this would go further back, to version {before[0].version}."
    )


def _was_taken_back(tx: Tx, ctx: Context, table: RoutingTable) -> bool:
    """Tell whether a routing table is what a roll back left."""
    if table.release_id is None:
        return False
    release = releases.get(tx, ctx.project_id, table.release_id)
    return release.state is ReleaseState.ROLLED_BACK


def try_stop(ctx: Context, model: str, reason: str) -> tuple[RoutingTable, RoutingTable]:
    """Stop a model as `releases stop` does, but leave its release; return what was and what is.

    Raises:
        Conflict: nothing of the model is live.
    """
    with ctx.write(f"model:{model}", reason=reason) as tx:
        table = live_routing(tx, ctx, model)
        return table, stop_model(tx, ctx, table, reason)


def end_stop(ctx: Context, before: RoutingTable, stopped: RoutingTable, reason: str) -> None:
    """Give the traffic back to what had it before `try_stop`.

    Raises:
        Conflict: somebody else moved it since.
    """
    with ctx.write(f"model:{before.model}", reason=reason) as tx:
        _move(tx, ctx, stopped, before.variants, now=ctx.now(), reason=reason)


def live_routing(tx: Tx, ctx: Context, model: str, *, or_stopped: bool = False) -> RoutingTable:
    """Return what is live; with `or_stopped` also a table that a stop left empty.

    Raises:
        Conflict: nothing is.
    """
    table = releases.current_routing(tx, ctx.project_id, model)
    if table is None or not (table.variants or (or_stopped and table.stopped)):
        raise Conflict(f"Nothing of {model} is live.", f"thrive releases start {model}")
    return table


def persist(
    tx: Tx, ctx: Context, step: Step, table: RoutingTable | None, terms: ModelTerms
) -> RoutingTable:
    """Write a release's state and move the routing table to what it says."""
    release = step.release
    releases.save(tx, ctx.project_id, release)
    changes.append(tx, ctx.project_id, "release", release.release_id)
    wanted = [_variant(tx, ctx, release.model, place) for place in machine.placements(release)]
    if table is not None and table.variants == wanted:
        return table
    before = table or _nothing_live(release.model, terms)
    salt = before.salt if table and table.release_id == release.release_id else release.release_id
    now = release.ended_at or release.phase_started_at
    placed = msgspec.structs.replace(
        before, salt=salt, release_id=release.release_id, fallback=terms.fallback
    )
    return _move(tx, ctx, placed, wanted, now=now, reason=step.words)


def stop_model(tx: Tx, ctx: Context, table: RoutingTable, reason: str) -> RoutingTable:
    """Take the traffic from whoever has it; what only answered in the shadow was not stopped."""
    served = table.production() is not None
    return _move(tx, ctx, table, [], now=ctx.now(), reason=reason, stopped=served)


def _move(
    tx: Tx,
    ctx: Context,
    before: RoutingTable,
    variants: list[Variant],
    *,
    now: int,
    reason: str,
    stopped: bool = False,
) -> RoutingTable:
    table = msgspec.structs.replace(
        before,
        revision=before.revision + 1,
        variants=variants,
        at=now,
        reason=reason,
        actor=ctx.actor.name,
        stopped=stopped,
    )
    releases.move_routing(tx, ctx.project_id, table, before.revision)
    changes.append(tx, ctx.project_id, "routing", before.model)
    _tell_champion(tx, ctx, before, table)
    return table


def _tell_champion(tx: Tx, ctx: Context, before: RoutingTable, after: RoutingTable) -> None:
    """Tell webhooks where the version in production is another one now."""
    was, is_now = before.production(), after.production()
    if (was and was.version) == (is_now and is_now.version):
        return
    model = models.get(tx, ctx.project_id, after.model)
    tell_alias(tx, ctx.project_id, model, CHAMPION, is_now.version if is_now else None)


def _nothing_live(model: str, terms: ModelTerms) -> RoutingTable:
    return RoutingTable(
        model=model,
        revision=0,
        variants=[],
        fallback=terms.fallback,
        salt="",
        at=0,
        reason="",
        actor="",
    )


def _variant(tx: Tx, ctx: Context, model: str, place: Place) -> Variant:
    version = models.get_version(tx, ctx.project_id, model, place.version)
    return Variant(
        version=place.version,
        package=version.package,
        share=place.share,
        shadow=place.shadow,
        seal=version.seal,
    )


def _note_taken_back(tx: Tx, ctx: Context, table: RoutingTable, now: int, reason: str) -> None:
    """Have the release that brought the present version to its users say that it was undone."""
    present = table.production()
    done = present and releases.find_done(tx, ctx.project_id, table.model, present.version)
    if done:
        releases.save(tx, ctx.project_id, machine.roll_back(done, now, reason).release)
        changes.append(tx, ctx.project_id, "release", done.release_id)


def _before(tx: Tx, project_id: str, table: RoutingTable) -> list[Variant]:
    """Return what served before the present version first did; a retired one never again."""
    present = table.production()
    number = present.version if present else None
    found: Variant | None = None
    for past in reversed(releases.routing_history(tx, project_id, table.model)):
        served = past.production()
        if served is None:
            continue
        if served.version == number:
            break
        version = models.get_version(tx, project_id, table.model, served.version)
        if version.retired_at is None:
            found = served
    return [msgspec.structs.replace(found, share=1.0, shadow=False)] if found else []


def release_terms(tx: Tx, ctx: Context, release: Release) -> ModelTerms:
    """Return the terms of a release's model, as the contract of its candidate says them."""
    version = models.get_version(tx, ctx.project_id, release.model, release.candidate)
    contract = contract_of(tx, ctx.project_id, version).contract
    return contract.model.get(release.model, ModelTerms())
