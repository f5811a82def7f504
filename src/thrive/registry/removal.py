"""Deleting a version that never answered anybody: of others, the record is relied on."""

import msgspec

from thrive.domain.actor import KEEPERS
from thrive.domain.errors import Refused, UsageError
from thrive.domain.model import Model, ModelVersion
from thrive.domain.reference import format_reference, parse_reference
from thrive.operations import Context, operation, permit_roles
from thrive.store import models, releases
from thrive.store.database import Tx


class DeletedVersion(msgspec.Struct, frozen=True, kw_only=True):
    """A version that is no more; its bytes go with `data gc` unless others hold them."""

    model: str
    version: int
    package: str


@operation("models delete", role=KEEPERS, writes=True, next_hint="thrive data gc")
def delete_model(ctx: Context, model: str, *, reason: str) -> DeletedVersion:
    """Delete a version that was never released: its record now, its bytes with `data gc`.

    Its number is not given again; the audit chain keeps that it was there, with its digest. A
    version that answered anybody cannot be deleted: retire it.

    Args:
        model: MODEL@VERSION.
        reason: why; part of the audit chain.

    Raises:
        NotFound: there is no such version.
        UsageError: no version or no reason is given.
        Refused: it was released, a legal hold is on it, or a protected alias names it.

    Examples:
        thrive models delete flight-delay@3 --reason "trained on the wrong table"
    """
    name, number = parse_reference(model)
    if number is None:
        raise UsageError(f"{model!r} names no version.", f"thrive models delete {model}@1")
    if not reason.strip():
        raise UsageError("A removal needs a reason.", '--reason "..."')
    version = delete_version(ctx, name, number, reason)
    return DeletedVersion(model=name, version=number, package=version.package)


def delete_version(ctx: Context, name: str, number: int, reason: str) -> ModelVersion:
    """Delete a version in one transaction; raises as `models delete`."""
    permit_roles("models delete", KEEPERS, ctx.actor)
    with ctx.read() as tx:
        digest = models.get_version(tx, ctx.project_id, name, number).package
    subject = f"model:{name}"
    with ctx.write(subject, version=number, deleted=True, package=digest, reason=reason) as tx:
        version = models.get_version(tx, ctx.project_id, name, number)
        _refuse_needed(tx, ctx, version)
        models.delete_version(tx, ctx.project_id, version)
        model = models.get(tx, ctx.project_id, name)
        kept = {alias: at for alias, at in (model.aliases or {}).items() if at != number}
        highest = max(model.last_version or 0, number)
        models.save(
            tx,
            ctx.project_id,
            msgspec.structs.replace(
                model, aliases=kept or None, last_version=highest, updated_at=ctx.now()
            ),
        )
    return version


def refuse_guarded(model: Model, number: int | None = None) -> None:
    """Refuse to take away what a protected alias names: a version, or with None the model.

    Raises:
        Refused: a protected alias names it.
    """
    for alias in model.protected or []:
        named = (model.aliases or {}).get(alias)
        if named is not None and number in {None, named}:
            raise Refused(
                f"The protected alias {alias!r} names {format_reference(model.name, named)}.",
                f"thrive models protect {model.name} {alias} --remove",
            )


def _refuse_needed(tx: Tx, ctx: Context, version: ModelVersion) -> None:
    name, number = version.model, version.version
    label = format_reference(name, number)
    history = releases.routing_history(tx, ctx.project_id, name)
    routed = any(each.version == number for table in history for each in table.variants)
    if routed or releases.was_candidate(tx, ctx.project_id, name, number):
        raise Refused(
            f"{label} was released: what it answered is explained by its record.",
            f"thrive models retire {label}",
        )
    refuse_guarded(models.get(tx, ctx.project_id, name), number)
