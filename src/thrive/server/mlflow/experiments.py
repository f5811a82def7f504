"""Routes of experiments."""

from typing import Any

import msgspec

from thrive.domain.actor import ANYONE, BUILDERS
from thrive.domain.errors import NotFound
from thrive.domain.experiment import Experiment
from thrive.server.mlflow import pages
from thrive.server.mlflow.calls import Call, Route
from thrive.server.mlflow.logged_keys import LONGEST_KEY
from thrive.server.mlflow.problems import MlflowError, invalid
from thrive.server.mlflow.shapes import MILLISECOND, experiment_shape
from thrive.store import experiments, holds
from thrive.store.database import Tx
from thrive.tracking.filters import Fields, Kind, parse_filter, parse_order
from thrive.tracking.search import View

LONGEST_NAME = 500
LONGEST_TAG = 8000
_FIELDS = Fields(
    attributes={
        "name": "text",
        "experiment_id": "text",
        "creation_time": "number",
        "last_update_time": "number",
    },
    kinds=frozenset({Kind.TAG}),
)
VIEWS = {"ACTIVE_ONLY": View.ACTIVE, "DELETED_ONLY": View.DELETED, "ALL": View.ALL}


def number_of(text: str, field: str = "experiment_id") -> int:
    """Return the number an experiment's id spells.

    Raises:
        MlflowError: it spells none.
    """
    if not text:
        raise invalid(f"Missing value for required parameter '{field}'.")
    if not (text.isascii() and text.isdecimal() and len(text) < 19):
        raise MlflowError("RESOURCE_DOES_NOT_EXIST", f"No Experiment with id={text[:80]} exists")
    return int(text)


def known_experiment(tx: Tx, project_id: str, experiment_id: int, now: int) -> Experiment:
    """Return an experiment that a run can be of; that of number 0 is there from the beginning."""
    if experiment_id == experiments.DEFAULT.experiment_id:
        try:
            return experiments.get(tx, project_id, experiment_id)
        except NotFound:
            return experiments.ensure(tx, project_id, experiments.DEFAULT.name, now)
    return experiments.get(tx, project_id, experiment_id)


def _held(tx: Tx, project_id: str, experiment_id: int, now: int) -> Experiment:
    """Return an experiment that is about to change, kept from other writers."""
    known_experiment(tx, project_id, experiment_id, now)
    return experiments.hold(tx, project_id, experiment_id)


def view_of(text: str) -> View:
    """Return which of the active and the deleted are asked for.

    Raises:
        MlflowError: there is no such view.
    """
    found = VIEWS.get(text or "ACTIVE_ONLY")
    if found is None:
        raise invalid(f"Invalid value \"{text}\" for parameter 'view_type' supplied.")
    return found


def _create(call: Call) -> dict[str, Any]:
    name = call.given.text("name", most=LONGEST_NAME)
    tags = call.given.pairs("tags", key=LONGEST_KEY, value=LONGEST_TAG)
    ctx = call.ctx
    with ctx.write(f"experiment:{name}"[:200]) as tx:
        made = experiments.create(tx, ctx.project_id, name, ctx.now(), tags)
    return {"experiment_id": str(made.experiment_id)}


def _get(call: Call) -> dict[str, Any]:
    number = number_of(call.given.text("experiment_id"))
    if number == experiments.DEFAULT.experiment_id:
        _ensure_default(call)
    with call.ctx.read() as tx:
        return {"experiment": experiment_shape(experiments.get(tx, call.ctx.project_id, number))}


def _ensure_default(call: Call) -> None:
    """Create the experiment that every MLflow server has, when it is first looked for."""
    ctx = call.ctx
    with ctx.read() as tx:
        if experiments.named(tx, ctx.project_id, experiments.DEFAULT.name) is not None:
            return
    with ctx.observe("experiment:0") as tx:
        experiments.ensure(tx, ctx.project_id, experiments.DEFAULT.name, ctx.now())


def _get_by_name(call: Call) -> dict[str, Any]:
    name = call.given.text("experiment_name")
    if name == experiments.DEFAULT.name:
        _ensure_default(call)
    with call.ctx.read() as tx:
        found = experiments.named(tx, call.ctx.project_id, name)
    if found is None:
        raise MlflowError(
            "RESOURCE_DOES_NOT_EXIST", f"Could not find experiment with name '{name}'"
        )
    return {"experiment": experiment_shape(found)}


def _search(call: Call) -> dict[str, Any]:
    given = call.given
    conditions = parse_filter(given.maybe_text("filter"), _FIELDS)
    orders = parse_order(given.texts("order_by"), _FIELDS)
    limit = given.count("max_results", 1000, 50_000)
    view = view_of(given.maybe_text("view_type"))
    _ensure_default(call)
    with call.ctx.read() as tx:
        every = experiments.find(tx, call.ctx.project_id)
    newest = sorted(every, key=lambda one: (-one.created_at, one.experiment_id))
    seen = [one for one in newest if _is_in(one, view)]
    chosen = pages.ordered(pages.filtered(seen, conditions, _value), orders, _value)
    found, after = pages.page(
        chosen, limit, given.maybe_text("page_token"), lambda one: str(one.experiment_id)
    )
    return pages.answer("experiments", [experiment_shape(one) for one in found], after)


def _is_in(experiment: Experiment, view: View) -> bool:
    return view is View.ALL or (experiment.deleted_at is not None) == (view is View.DELETED)


def _value(experiment: Experiment, kind: Kind, key: str) -> pages.Value:
    if kind is Kind.TAG:
        return experiment.tags.get(key)
    return {
        "name": experiment.name,
        "experiment_id": str(experiment.experiment_id),
        "creation_time": experiment.created_at // MILLISECOND,
        "last_update_time": experiment.updated_at // MILLISECOND,
    }[key]


def _change(call: Call, what: str, **changed: Any) -> None:
    """Write other values of an experiment, with its audit row.

    Raises:
        Refused: it would be taken away while a legal hold is on the project.
    """
    ctx = call.ctx
    number = number_of(call.given.text("experiment_id"))
    with ctx.write(f"experiment:{number}", what=what) as tx:
        now = ctx.now()
        found = _held(tx, ctx.project_id, number, now)
        if changed.get("deleted_at") is not None:
            holds.refuse_held(tx, ctx.project_id)
        experiments.save(
            tx, ctx.project_id, msgspec.structs.replace(found, updated_at=now, **changed)
        )


def _delete(call: Call) -> dict[str, Any]:
    _change(call, "deleted", deleted_at=call.ctx.now())
    return {}


def _restore(call: Call) -> dict[str, Any]:
    _change(call, "restored", deleted_at=None)
    return {}


def _update(call: Call) -> dict[str, Any]:
    number = number_of(call.given.text("experiment_id"))
    name = call.given.maybe_text("new_name", most=LONGEST_NAME)
    ctx = call.ctx
    with ctx.write(f"experiment:{number}", new_name=name) as tx:
        now = ctx.now()
        found = _held(tx, ctx.project_id, number, now)
        if found.deleted_at is not None:
            raise invalid(f"The experiment {number} must be in the 'active' lifecycle_stage.")
        if name and name != found.name:
            moved = msgspec.structs.replace(found, updated_at=now)
            experiments.rename(tx, ctx.project_id, moved, name)
    return {}


def _set_tag(call: Call) -> dict[str, Any]:
    key = call.given.text("key", most=LONGEST_KEY)
    value = call.given.maybe_text("value", most=LONGEST_TAG)
    _retag(call, {key: value}, ())
    return {}


def _delete_tag(call: Call) -> dict[str, Any]:
    _retag(call, {}, (call.given.text("key"),))
    return {}


def _retag(call: Call, added: dict[str, str], removed: tuple[str, ...]) -> None:
    ctx = call.ctx
    number = number_of(call.given.text("experiment_id"))
    with ctx.observe(f"experiment-tags:{number}") as tx:
        found = _held(tx, ctx.project_id, number, ctx.now())
        for key in removed:
            if key not in found.tags:
                raise MlflowError(
                    "RESOURCE_DOES_NOT_EXIST", f"No tag with name: {key} in experiment {number}"
                )
        kept = {key: value for key, value in found.tags.items() if key not in removed}
        tagged = msgspec.structs.replace(found, tags={**kept, **added})
        experiments.save(tx, ctx.project_id, tagged)


ROUTES = (
    Route("POST", "experiments/create", BUILDERS, _create),
    Route("GET", "experiments/get", ANYONE, _get),
    Route("GET", "experiments/get-by-name", ANYONE, _get_by_name),
    Route("POST", "experiments/search", ANYONE, _search),
    Route("GET", "experiments/search", ANYONE, _search),
    Route("POST", "experiments/delete", BUILDERS, _delete),
    Route("POST", "experiments/restore", BUILDERS, _restore),
    Route("POST", "experiments/update", BUILDERS, _update),
    Route("POST", "experiments/set-experiment-tag", BUILDERS, _set_tag),
    Route("DELETE", "experiments/delete-experiment-tag", BUILDERS, _delete_tag),
)
