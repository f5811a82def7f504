"""Aliases: names for versions that move, one compare-and-set in one transaction with its reason."""

import msgspec

from thrive.domain.actor import BUILDERS, RELEASERS, Actor
from thrive.domain.errors import Conflict, NotFound, Refused, UsageError
from thrive.domain.model import Model
from thrive.domain.reference import parse_reference
from thrive.operations import Context, operation
from thrive.registry import telling
from thrive.registry.stages import CHAMPION
from thrive.store import models, releases
from thrive.store.database import Tx

LONGEST = 255


@operation("models alias", role=BUILDERS, writes=True, next_hint="thrive models show {name}")
def alias_model(
    ctx: Context,
    model: str,
    alias: str,
    *,
    remove: bool = False,
    expect: int | None = None,
    reason: str = "",
) -> Model:
    """Give a version a name that may move on later, or take the name away.

    Args:
        model: MODEL@VERSION; with --remove the model's name alone.
        alias: the name, e.g. candidate.
        remove: take the name away.
        expect: the version that has the name now, 0 for none: it moves only if that is so.
        reason: why, in a few words.

    Raises:
        NotFound: there is no such model or version, or no such alias to take away.
        Conflict: another version has the name than the one expected.
        Refused: the name is protected, and you may not release; or it follows the traffic.

    Examples:
        thrive models alias flight-delay@2 candidate --reason "to be compared in the field"
        thrive models alias flight-delay@3 candidate --expect 2
        thrive models alias flight-delay candidate --remove
    """
    name, number = parse_reference(model)
    if (number is None) != remove:
        raise UsageError(
            f"{model!r} is to name a version, or --remove is to be said.",
            f"thrive models alias {name}@1 {alias}",
        )
    checked_alias(alias)
    with ctx.write(f"model:{name}", alias=alias, version=number, reason=reason) as tx:
        return move_alias(tx, ctx, name, alias, number, expected=expect)


@operation("models protect", role=RELEASERS, writes=True, next_hint="thrive models show {name}")
def protect_alias(ctx: Context, model: str, alias: str, *, remove: bool = False) -> Model:
    """Keep an alias for those who may release: nobody else moves it or takes it away.

    Args:
        model: the model's name.
        alias: the alias, which need not name a version yet.
        remove: give it back to all who may register.

    Raises:
        NotFound: there is no such model.

    Examples:
        thrive models protect flight-delay candidate
    """
    name, _ = parse_reference(model)
    checked_alias(alias)
    with ctx.write(f"model:{name}", protected=alias, remove=remove) as tx:
        known = models.get(tx, ctx.project_id, name)
        kept = {*(known.protected or [])} - {alias} | (set() if remove else {alias})
        after = msgspec.structs.replace(known, protected=sorted(kept) or None)
        models.save(tx, ctx.project_id, after)
    return after


def checked_alias(alias: str) -> str:
    """Return a text that may be an alias.

    Raises:
        UsageError: it is empty, too long, or a word with a meaning of its own.
    """
    odd = any(ord(letter) < 32 or letter in "@:/" for letter in alias)
    if not alias or len(alias) > LONGEST or odd:
        raise UsageError(
            f"{alias[:60]!r} cannot be an alias.", f"1 to {LONGEST} characters, none of @ : /"
        )
    if alias.lower() == "latest" or (alias[:1].lower() == "v" and alias[1:].isdecimal()):
        raise UsageError(f"{alias!r} is reserved: it reads as a version.", "choose another name")
    return alias


def move_alias(
    tx: Tx,
    ctx: Context,
    name: str,
    alias: str,
    number: int | None,
    *,
    expected: int | None = None,
) -> Model:
    """Give an alias to a version, or take it away, in the transaction of whoever says why.

    Args:
        tx: an open writing transaction.
        ctx: who does it, and where.
        name: the model's name.
        alias: the alias.
        number: the version, None to take it away.
        expected: the version that has it now, 0 for none; None for whichever.

    Raises:
        NotFound: there is no such model or version.
        Conflict: another version has it than the one expected.
        Refused: it is protected, and the actor may not release; or it follows the traffic.
    """
    model = models.get(tx, ctx.project_id, name)
    _refuse_protected(model, alias, ctx.actor)
    if alias == CHAMPION and releases.current_routing(tx, ctx.project_id, name) is not None:
        raise Refused(
            f"{CHAMPION!r} of {name} is what serves: it moves with the traffic.",
            f"thrive releases start {name}",
        )
    aliases = dict(model.aliases or {})
    before = aliases.pop(alias, None)
    if expected is not None and (before or 0) != expected:
        raise Conflict(
            f"{alias!r} of {name} names {f'version {before}' if before else 'no version'}, "
            f"not {expected or 'none'}.",
            f"thrive models show {name}",
        )
    if number is not None:
        aliases[alias] = models.get_version(tx, ctx.project_id, name, number).version
    elif before is None:
        raise NotFound(f"{name} has no alias {alias!r}.", f"thrive models show {name}")
    after = msgspec.structs.replace(model, aliases=aliases or None)
    models.save(tx, ctx.project_id, after)
    telling.tell_alias(tx, ctx.project_id, after, alias, number)
    return after


def _refuse_protected(model: Model, alias: str, actor: Actor) -> None:
    if alias in (model.protected or []) and not RELEASERS & actor.roles:
        allowed = ", ".join(sorted(RELEASERS))
        raise Refused(
            f"{alias!r} of {model.name} is protected: {actor.name} may not move it.",
            f"ask one of: {allowed}",
        )
