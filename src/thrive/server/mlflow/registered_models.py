"""Routes of registered models and their aliases."""

from typing import Any

import msgspec

from thrive.domain.actor import ANYONE, BUILDERS, RELEASERS
from thrive.domain.errors import NotFound, Refused
from thrive.domain.model import Model, ModelVersion
from thrive.flows.promote import start_release
from thrive.registry import telling
from thrive.registry.aliases import LONGEST as LONGEST_ALIAS
from thrive.registry.aliases import checked_alias, move_alias
from thrive.registry.removal import refuse_guarded
from thrive.registry.stages import CHAMPION
from thrive.registry.telling import PROMPT_TAG
from thrive.server.mlflow import pages
from thrive.server.mlflow.calls import Call, Route
from thrive.server.mlflow.given import Given
from thrive.server.mlflow.logged_keys import LONGEST_KEY
from thrive.server.mlflow.problems import MlflowError, invalid
from thrive.server.mlflow.registry_shapes import (
    Registered,
    checked_stage,
    latest_versions,
    model_shape,
    version_shape,
    with_versions,
)
from thrive.server.mlflow.shapes import MILLISECOND
from thrive.store import models
from thrive.store.database import Tx
from thrive.tracking.filters import Comparison, Fields, Kind, parse_filter, parse_order

LONGEST_NAME = 256
LONGEST_MODEL_TAG = 100_000
_FIELDS = Fields(
    attributes={
        "name": "text",
        "timestamp": "number",
        "last_updated_timestamp": "number",
        "creation_timestamp": "number",
    },
    kinds=frozenset({Kind.TAG}),
)


def model_name(given: Given, field: str = "name") -> str:
    """Return the name of a registered model.

    Raises:
        MlflowError: none was sent, or it cannot be one.
    """
    name = given.text(field, most=LONGEST_NAME)
    if "/" in name or ":" in name or "@" in name or any(ord(letter) < 32 for letter in name):
        raise invalid(f"Registered model name cannot contain '/', ':' or '@': '{name}'.")
    return name


def is_no_prompt(condition: Comparison) -> bool:
    """Tell whether a condition is the one with which clients leave prompts out."""
    return condition.kind is Kind.TAG and condition.key == PROMPT_TAG and condition.operator == "!="


def _create(call: Call) -> dict[str, Any]:
    given, ctx = call.given, call.ctx
    name = model_name(given)
    now = ctx.now()
    model = Model(
        name=name,
        owner=ctx.actor.name,
        purpose=given.maybe_text("description"),
        created_at=now,
        updated_at=now,
        tags=given.pairs("tags", key=LONGEST_KEY, value=LONGEST_MODEL_TAG) or None,
    )
    with ctx.write(f"model:{name}", created=True) as tx:
        if models.exists(tx, ctx.project_id, name):
            raise MlflowError(
                "RESOURCE_ALREADY_EXISTS", f"Registered Model (name={name}) already exists."
            )
        models.save(tx, ctx.project_id, model)
        telling.tell_model(tx, ctx.project_id, model)
    return {"registered_model": model_shape(Registered(model, (), ()))}


def found_model(tx: Tx, project_id: str, name: str) -> Registered:
    """Return a registered model with all that its shapes need."""
    return with_versions(tx, project_id, found_name(tx, project_id, name))


def found_name(tx: Tx, project_id: str, name: str) -> Model:
    """Return a registered model, or the protocol's word for there being none."""
    try:
        return models.get(tx, project_id, name)
    except NotFound:
        raise MlflowError(
            "RESOURCE_DOES_NOT_EXIST", f"Registered Model with name={name} not found"
        ) from None


def _get(call: Call) -> dict[str, Any]:
    with call.ctx.read() as tx:
        found = found_model(tx, call.ctx.project_id, model_name(call.given))
    return {"registered_model": model_shape(found)}


def _search(call: Call) -> dict[str, Any]:
    given, project_id = call.given, call.ctx.project_id
    every = parse_filter(given.maybe_text("filter"), _FIELDS)
    conditions = [each for each in every if not is_no_prompt(each)]
    orders = parse_order(given.texts("order_by"), _FIELDS)
    limit = given.count("max_results", 100, 1000)
    with call.ctx.read() as tx:
        known = models.find(tx, project_id)
        if len(conditions) < len(every):
            known = [one for one in known if (one.tags or {}).get(PROMPT_TAG) != "true"]
        chosen = pages.ordered(pages.filtered(known, conditions, _value), orders, _value)
        found, after = pages.page(
            chosen, limit, given.maybe_text("page_token"), lambda model: model.name
        )
        shapes = [model_shape(with_versions(tx, project_id, model)) for model in found]
    return pages.answer("registered_models", shapes, after)


def _value(model: Model, kind: Kind, key: str) -> pages.Value:
    if kind is Kind.TAG:
        return (model.tags or {}).get(key)
    if key == "name":
        return model.name
    created = key == "creation_timestamp"
    at = model.created_at if created else model.updated_at or model.created_at
    return at // MILLISECOND


def _change(call: Call, what: str, **changed: Any) -> Registered:
    ctx, name = call.ctx, model_name(call.given)
    with ctx.write(f"model:{name}", what=what) as tx:
        found = found_model(tx, ctx.project_id, name)
        model = msgspec.structs.replace(found.model, updated_at=ctx.now(), **changed)
        models.save(tx, ctx.project_id, model)
    return msgspec.structs.replace(found, model=model)


def _update(call: Call) -> dict[str, Any]:
    described = call.given.maybe_text("description")
    return {"registered_model": model_shape(_change(call, "described", purpose=described))}


def _delete(call: Call) -> dict[str, Any]:
    ctx, name = call.ctx, model_name(call.given)
    with ctx.write(f"model:{name}", deleted=True) as tx:
        found = found_model(tx, ctx.project_id, name)
        _refuse_kept(found)
        models.delete(tx, ctx.project_id, name)
    return {}


def _refuse_kept(found: Registered) -> None:
    packaged = next((one for one in found.versions if one.package), None)
    if packaged is not None:
        raise Refused(
            f"{found.model.name} has versions that Thrive packaged, with verdicts and releases.",
            f"thrive models retire {found.model.name}@{packaged.version}",
        )
    refuse_guarded(found.model)


def _rename(call: Call) -> dict[str, Any]:
    ctx, name, new = call.ctx, model_name(call.given), model_name(call.given, "new_name")
    with ctx.write(f"model:{name}", new_name=new) as tx:
        found = found_model(tx, ctx.project_id, name)
        if new != name:
            _refuse_kept(found)
            if models.exists(tx, ctx.project_id, new):
                raise MlflowError(
                    "RESOURCE_ALREADY_EXISTS", f"Registered Model (name={new}) already exists."
                )
            models.rename(tx, ctx.project_id, name, new)
        return {"registered_model": model_shape(found_model(tx, ctx.project_id, new))}


def _set_tag(call: Call) -> dict[str, Any]:
    key = call.given.text("key", most=LONGEST_KEY)
    value = call.given.maybe_text("value", most=LONGEST_MODEL_TAG)
    _retag(call, {key: value}, "")
    return {}


def _delete_tag(call: Call) -> dict[str, Any]:
    _retag(call, {}, call.given.text("key"))
    return {}


def _retag(call: Call, added: dict[str, str], removed: str) -> None:
    ctx, name = call.ctx, model_name(call.given)
    with ctx.write(f"model:{name}", tags=sorted(added), removed=removed) as tx:
        model = found_model(tx, ctx.project_id, name).model
        kept = {key: text for key, text in (model.tags or {}).items() if key != removed}
        after = msgspec.structs.replace(model, tags={**kept, **added} or None, updated_at=ctx.now())
        models.save(tx, ctx.project_id, after)
        for key, value in [*added.items(), *([(removed, None)] if removed else [])]:
            telling.tell_model_tag(tx, ctx.project_id, after, key, value)


def _latest(call: Call) -> dict[str, Any]:
    stages = [checked_stage(text) for text in call.given.texts("stages")]
    with call.ctx.read() as tx:
        found = found_model(tx, call.ctx.project_id, model_name(call.given))
    versions = latest_versions(found, stages)
    return {"model_versions": [version_shape(found, version) for version in versions]}


def _alias(call: Call) -> str:
    return checked_alias(call.given.text("alias", most=LONGEST_ALIAS))


def version_number(given: Given, field: str = "version") -> int:
    """Return the number of a version.

    Raises:
        MlflowError: none was sent, or it is no number.
    """
    number = given.integer(field)
    if number < 1:
        raise invalid(f"Invalid value {number} for parameter '{field}' supplied.")
    return number


def found_version(found: Registered, number: int) -> ModelVersion:
    """Return a version of a model, or the protocol's word for there being none."""
    version = found.find(number)
    if version is None:
        raise MlflowError(
            "RESOURCE_DOES_NOT_EXIST",
            f"Model Version (name={found.model.name}, version={number}) not found",
        )
    return version


def _set_alias(call: Call) -> dict[str, Any]:
    ctx, name, alias = call.ctx, model_name(call.given), _alias(call)
    number = version_number(call.given)
    with ctx.read() as tx:
        found = found_model(tx, ctx.project_id, name)
    version = found_version(found, number)
    if alias == CHAMPION and (version.package or found.history):
        release(call, name, number, found)
        return {}
    with ctx.write(f"model:{name}", alias=alias, version=number) as tx:
        move_alias(tx, ctx, name, alias, number)
    return {}


def release(call: Call, name: str, number: int, found: Registered) -> None:
    """Send a version on its way to production by the one door there is, unless it is there.

    Raises:
        MlflowError: the caller may not release.
        ThriveError: of the promotion: no verdict, no approval, a gap in the contract, ...
    """
    if not RELEASERS & call.ctx.actor.roles:
        allowed = ", ".join(sorted(RELEASERS))
        raise MlflowError(
            "PERMISSION_DENIED",
            f"{call.ctx.actor.name} may not move the traffic of {name}; ask one of: {allowed}",
        )
    if found.aliases().get(CHAMPION) == number and found.history:
        return
    start_release(call.ctx, name, number)


def _delete_alias(call: Call) -> dict[str, Any]:
    ctx, name, alias = call.ctx, model_name(call.given), _alias(call)
    with ctx.write(f"model:{name}", alias=alias, version=None) as tx:
        found = found_model(tx, ctx.project_id, name)
        if alias in (found.model.aliases or {}) or alias in found.aliases():
            move_alias(tx, ctx, name, alias, None)
    return {}


def _get_alias(call: Call) -> dict[str, Any]:
    name, alias = model_name(call.given), _alias(call)
    with call.ctx.read() as tx:
        found = found_model(tx, call.ctx.project_id, name)
    number = found.aliases().get(alias)
    if number is None:
        raise invalid(f"Registered model alias {alias} not found.")
    return {"model_version": version_shape(found, found_version(found, number))}


ROUTES = (
    Route("POST", "registered-models/create", BUILDERS, _create),
    Route("GET", "registered-models/get", ANYONE, _get),
    Route("GET", "registered-models/search", ANYONE, _search),
    Route("PATCH", "registered-models/update", BUILDERS, _update),
    Route("DELETE", "registered-models/delete", BUILDERS, _delete),
    Route("POST", "registered-models/rename", BUILDERS, _rename),
    Route("POST", "registered-models/set-tag", BUILDERS, _set_tag),
    Route("DELETE", "registered-models/delete-tag", BUILDERS, _delete_tag),
    Route("GET", "registered-models/get-latest-versions", ANYONE, _latest),
    Route("POST", "registered-models/get-latest-versions", ANYONE, _latest),
    Route("POST", "registered-models/alias", BUILDERS, _set_alias),
    Route("GET", "registered-models/alias", ANYONE, _get_alias),
    Route("DELETE", "registered-models/alias", BUILDERS, _delete_alias),
)
