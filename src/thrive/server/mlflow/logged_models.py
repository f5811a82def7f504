"""Routes of logged models: files that a run made under an id, before anybody registers them."""

from typing import Any

import msgspec

from thrive.domain.actor import ANYONE, BUILDERS
from thrive.domain.experiment import LoggedModel, LoggedState
from thrive.domain.identifiers import new_id
from thrive.server.mlflow import pages
from thrive.server.mlflow.calls import Call, Route
from thrive.server.mlflow.experiments import (
    LONGEST_TAG,
    known_experiment,
    number_of,
)
from thrive.server.mlflow.logged_keys import LONGEST_KEY
from thrive.server.mlflow.logging import LONGEST_PARAM
from thrive.server.mlflow.problems import MlflowError, invalid
from thrive.server.mlflow.runs import checked_run_id
from thrive.server.mlflow.shapes import LOGGED, MILLISECOND, logged_model_shape
from thrive.store import logged_models, models
from thrive.store.database import Tx
from thrive.tracking.filters import Fields, Kind, Order, parse_filter

_STATES = {name: state for state, name in LOGGED.items()} | {
    name.removeprefix("LOGGED_MODEL_"): state for state, name in LOGGED.items()
}
_FIELDS = Fields(
    attributes={
        "name": "text",
        "model_id": "text",
        "model_type": "text",
        "status": "text",
        "source_run_id": "text",
        "creation_timestamp": "number",
        "creation_time": "number",
        "last_updated_timestamp": "number",
    },
    kinds=frozenset({Kind.METRIC, Kind.PARAM, Kind.TAG}),
    aliases={"creation_timestamp_ms": "creation_timestamp"},
)


def _shape(tx: Tx, project_id: str, model: LoggedModel) -> dict[str, Any]:
    registered = models.of_logged(tx, project_id, [model.model_id])
    return {"model": logged_model_shape(model, registered.get(model.model_id, ()))}


def _create(call: Call) -> dict[str, Any]:
    given, ctx = call.given, call.ctx
    number = number_of(given.text("experiment_id"))
    now = ctx.now()
    run_id = given.maybe_text("source_run_id")
    model = LoggedModel(
        model_id=f"m-{new_id()}",
        experiment_id=number,
        name=given.maybe_text("name", most=200) or "model",
        state=LoggedState.PENDING,
        kind=given.maybe_text("model_type", most=200),
        run_id=checked_run_id(run_id) if run_id else "",
        created_at=now,
        updated_at=now,
        params=given.pairs("params", key=LONGEST_KEY, value=LONGEST_PARAM),
        tags=given.pairs("tags", key=LONGEST_KEY, value=LONGEST_TAG),
    )
    with ctx.observe(f"logged-model:{model.model_id}") as tx:
        known_experiment(tx, ctx.project_id, number, now)
        logged_models.save(tx, ctx.project_id, model)
    return {"model": logged_model_shape(model)}


def _get(call: Call) -> dict[str, Any]:
    deleted = call.given.truth("allow_deleted")
    with call.ctx.read() as tx:
        project = call.ctx.project_id
        model = logged_models.get(tx, project, call.parts["model_id"], deleted=deleted)
        return _shape(tx, project, model)


def _change(call: Call, **changed: Any) -> dict[str, Any]:
    ctx, model_id = call.ctx, call.parts["model_id"]
    with ctx.observe(f"logged-model:{model_id}") as tx:
        model = logged_models.hold_one(tx, ctx.project_id, model_id)
        dicts = {
            name: {**getattr(model, name), **value}
            for name, value in changed.items()
            if isinstance(value, dict)
        }
        after = msgspec.structs.replace(model, updated_at=ctx.now(), **{**changed, **dicts})
        logged_models.save(tx, ctx.project_id, after)
        return _shape(tx, ctx.project_id, after)


def _finalize(call: Call) -> dict[str, Any]:
    status = call.given.text("status")
    if status not in _STATES:
        raise invalid(f"Invalid value \"{status}\" for parameter 'status' supplied.")
    return _change(call, state=_STATES[status])


def _delete(call: Call) -> dict[str, Any]:
    _change(call, deleted_at=call.ctx.now())
    return {}


def _log_params(call: Call) -> dict[str, Any]:
    _change(call, params=call.given.pairs("params", key=LONGEST_KEY, value=LONGEST_PARAM))
    return {}


def _set_tags(call: Call) -> dict[str, Any]:
    return _change(call, tags=call.given.pairs("tags", key=LONGEST_KEY, value=LONGEST_TAG))


def _delete_tag(call: Call) -> dict[str, Any]:
    ctx, model_id, key = call.ctx, call.parts["model_id"], call.parts["key"]
    with ctx.observe(f"logged-model:{model_id}") as tx:
        model = logged_models.hold_one(tx, ctx.project_id, model_id)
        if key not in model.tags:
            raise MlflowError("RESOURCE_DOES_NOT_EXIST", f"No tag with key {key!r} found.")
        kept = {name: value for name, value in model.tags.items() if name != key}
        after = msgspec.structs.replace(model, tags=kept, updated_at=ctx.now())
        logged_models.save(tx, ctx.project_id, after)
    return {}


def _search(call: Call) -> dict[str, Any]:
    given, project_id = call.given, call.ctx.project_id
    conditions = parse_filter(given.maybe_text("filter"), _FIELDS)
    orders = [
        _order(each.text("field_name"), ascending=each.truth("ascending"))
        for each in given.objects("order_by")
    ]
    limit = given.count("max_results", 100, 1000)
    wanted = [number_of(text) for text in given.texts("experiment_ids")]
    if not wanted:
        raise invalid("Missing value for required parameter 'experiment_ids'.")
    with call.ctx.read() as tx:
        every = logged_models.find(tx, project_id, wanted)
        chosen = pages.ordered(pages.filtered(every, conditions, _value), orders, _value)
        found, after = pages.page(
            chosen, limit, given.maybe_text("page_token"), lambda model: model.model_id
        )
        known = models.of_logged(tx, project_id, [model.model_id for model in found])
    shapes = [logged_model_shape(model, known.get(model.model_id, ())) for model in found]
    return pages.answer("models", shapes, after)


def _order(field: str, *, ascending: bool) -> Order:
    kind, dot, key = field.partition(".")
    if dot and kind == "metrics":
        return Order(Kind.METRIC, key, not ascending)
    return Order(Kind.ATTRIBUTE, _FIELDS.attribute(field), not ascending)


def _value(model: LoggedModel, kind: Kind, key: str) -> pages.Value:
    if kind is Kind.METRIC:
        values = [each["value"] for each in model.metrics if each["key"] == key]
        return values[-1] if values and isinstance(values[-1], int | float) else None
    if kind is Kind.PARAM:
        return model.params.get(key)
    if kind is Kind.TAG:
        return model.tags.get(key)
    return {
        "name": model.name,
        "model_id": model.model_id,
        "model_type": model.kind,
        "status": LOGGED[model.state].removeprefix("LOGGED_MODEL_"),
        "source_run_id": model.run_id,
        "creation_timestamp": model.created_at // MILLISECOND,
        "creation_time": model.created_at // MILLISECOND,
        "last_updated_timestamp": model.updated_at // MILLISECOND,
    }[key]


ROUTES = (
    Route("POST", "logged-models", BUILDERS, _create),
    Route("POST", "logged-models/search", ANYONE, _search),
    Route("GET", "logged-models/{model_id}", ANYONE, _get),
    Route("PATCH", "logged-models/{model_id}", BUILDERS, _finalize),
    Route("DELETE", "logged-models/{model_id}", BUILDERS, _delete),
    Route("POST", "logged-models/{model_id}/params", BUILDERS, _log_params),
    Route("PATCH", "logged-models/{model_id}/tags", BUILDERS, _set_tags),
    Route("DELETE", "logged-models/{model_id}/tags/{key}", BUILDERS, _delete_tag),
)
