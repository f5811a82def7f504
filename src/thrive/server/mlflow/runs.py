"""Routes of runs: create, read, update, delete, search, and what they used and made."""

from typing import Any

import msgspec

from thrive.domain.actor import ANYONE, BUILDERS
from thrive.domain.clock import ClockMode
from thrive.domain.errors import NotFound
from thrive.domain.identifiers import is_id, new_id
from thrive.domain.run import ModelUse, Run, RunState
from thrive.server.mlflow import pages
from thrive.server.mlflow.calls import Call, Route
from thrive.server.mlflow.experiments import (
    LONGEST_TAG,
    known_experiment,
    number_of,
    view_of,
)
from thrive.server.mlflow.given import Given
from thrive.server.mlflow.logged_keys import LONGEST_KEY
from thrive.server.mlflow.problems import MlflowError, invalid
from thrive.server.mlflow.shapes import (
    MILLISECOND,
    NAME_TAG,
    STATUSES,
    artifact_uri,
    run_shape,
    state_of,
)
from thrive.store import experiments, runs
from thrive.store.database import Tx
from thrive.tracking.filters import parse_filter, parse_order
from thrive.tracking.process import ELSEWHERE
from thrive.tracking.search import RUN_FIELDS, Query, View

LONGEST_NAME = 250
LONGEST_DATASET, LONGEST_DIGEST = 500, 36
MOST_RUNS = 50_000
EARLIEST, LATEST = -62_135_596_800_000, 253_402_300_799_999
"""The first and the last millisecond of a calendar: of the years 1 to 9999."""
_ENDED = frozenset({RunState.DONE, RunState.FAILED, RunState.INTERRUPTED})


def run_id_of(given: Given) -> str:
    """Return the run a request is about: `run_id`, or `run_uuid` of old clients.

    Raises:
        MlflowError: none is named, or it has no such form.
    """
    found = given.maybe_text("run_id") or given.maybe_text("run_uuid")
    if not found:
        raise invalid("Missing value for required parameter 'run_id'.")
    return checked_run_id(found)


def checked_run_id(text: str) -> str:
    """Return the id of a run.

    Raises:
        MlflowError: it has another form, so there is no such run.
    """
    if not is_id(text):
        raise MlflowError("RESOURCE_DOES_NOT_EXIST", f"Run with id={text[:80]} not found")
    return text


def moment_of(given: Given, name: str) -> int:
    """Return a time that was sent in milliseconds as the store's microseconds, 0 for none.

    Raises:
        MlflowError: it lies outside of the years that a calendar has.
    """
    at = given.integer(name, 0)
    if not EARLIEST <= at <= LATEST:
        raise invalid(
            f"Invalid value {at} for parameter '{name}' supplied: milliseconds since 1970, "
            "at most those of the year 9999."
        )
    return at * MILLISECOND


def get_run(tx: Tx, project_id: str, run_id: str) -> Run:
    """Return a run by its whole id."""
    found = runs.some(tx, project_id, [run_id])
    if not found:
        raise NotFound(f"Run with id={run_id} not found")
    return found[0]


def held_active(tx: Tx, project_id: str, run_id: str) -> Run:
    """Return a run that may be written, kept from other writers.

    Raises:
        MlflowError: it is deleted.
    """
    run = runs.hold(tx, project_id, run_id)[run_id]
    refuse_deleted(run)
    return run


def refuse_deleted(run: Run) -> None:
    """Refuse to write a deleted run."""
    if run.deleted_at is not None:
        raise invalid(
            f"The run {run.run_id} must be in the 'active' state. Current state is deleted."
        )


def numbers_of(tx: Tx, project_id: str) -> dict[str, int]:
    """Return the numbers of the experiments by name."""
    return {one.name: one.experiment_id for one in experiments.find(tx, project_id)}


def _create(call: Call) -> dict[str, Any]:
    given, ctx = call.given, call.ctx
    tags = given.pairs("tags", key=LONGEST_KEY, value=LONGEST_TAG)
    number = number_of(given.maybe_text("experiment_id") or "0")
    run_id = new_id()
    name = given.maybe_text("run_name", most=LONGEST_NAME) or tags.get(NAME_TAG, "")
    if user := given.maybe_text("user_id"):
        tags.setdefault("mlflow.user", user)
    now = ctx.now()
    started = moment_of(given, "start_time") or now
    with ctx.write(f"run:{run_id}", experiment=number) as tx:
        experiment = known_experiment(tx, ctx.project_id, number, now)
        if experiment.deleted_at is not None:
            raise invalid(f"The experiment {number} must be in the 'active' state.")
        run = Run(
            run_id=run_id,
            experiment=experiment.name,
            name=name or f"run-{run_id[-8:]}",
            state=RunState.RUNNING,
            actor=ctx.actor.name,
            started_at=started,
            tags=tags,
            process=ELSEWHERE,
            replay=ctx.home.clock().mode is ClockMode.REPLAY,
        )
        runs.save(tx, ctx.project_id, run)
    return {"run": run_shape(run, number)}


def _get(call: Call) -> dict[str, Any]:
    run_id = run_id_of(call.given)
    with call.ctx.read() as tx:
        run = get_run(tx, call.ctx.project_id, run_id)
        numbers = numbers_of(tx, call.ctx.project_id)
    return {"run": run_shape(run, numbers.get(run.experiment, 0))}


def _update(call: Call) -> dict[str, Any]:
    given, ctx = call.given, call.ctx
    run_id = run_id_of(given)
    status, name = given.maybe_text("status"), given.maybe_text("run_name", most=LONGEST_NAME)
    ended = moment_of(given, "end_time")
    with ctx.write(f"run:{run_id}", status=status) as tx:
        run = held_active(tx, ctx.project_id, run_id)
        state = state_of(status) if status else run.state
        ended_at = ended or (run.ended_at or ctx.now() if state in _ENDED else None)
        changed = msgspec.structs.replace(
            run, state=state, name=name or run.name, ended_at=ended_at
        )
        if name:
            changed = msgspec.structs.replace(changed, tags={**changed.tags, NAME_TAG: name})
        runs.save(tx, ctx.project_id, changed)
        if state in _ENDED:
            runs.compact(tx, ctx.project_id, run_id)
        number = numbers_of(tx, ctx.project_id).get(run.experiment, 0)
    return {"run_info": run_shape(changed, number)["info"]}


def _delete(call: Call) -> dict[str, Any]:
    ctx, run_id = call.ctx, run_id_of(call.given)
    with ctx.write(f"run:{run_id}", deleted=True) as tx:
        runs.take_out(tx, ctx.project_id, run_id, ctx.now())
    return {}


def _restore(call: Call) -> dict[str, Any]:
    ctx, run_id = call.ctx, run_id_of(call.given)
    with ctx.write(f"run:{run_id}", deleted=False) as tx:
        runs.put_back(tx, ctx.project_id, run_id)
    return {}


def _search(call: Call) -> dict[str, Any]:
    given, project_id = call.given, call.ctx.project_id
    conditions = parse_filter(given.maybe_text("filter"), RUN_FIELDS)
    orders = parse_order(given.texts("order_by"), RUN_FIELDS)
    limit = given.count("max_results", 1000, MOST_RUNS)
    view = view_of(given.maybe_text("run_view_type"))
    wanted = {number_of(text) for text in given.texts("experiment_ids")}
    with call.ctx.read() as tx:
        numbers = numbers_of(tx, project_id)
        query = _query(numbers, wanted, view)
        found, after = call.index.search(
            tx,
            msgspec.structs.replace(
                query,
                conditions=conditions,
                order=orders,
                limit=limit,
                after=given.maybe_text("page_token"),
            ),
        )
    return pages.answer("runs", [run_shape(run, numbers[run.experiment]) for run in found], after)


def _query(numbers: dict[str, int], wanted: set[int], view: View) -> Query:
    """Return a search in some experiments that spells attributes as the protocol does."""

    def spelled(attribute: str, word: str) -> str:
        if attribute == "status":
            return STATUSES[RunState(word)]
        return str(numbers.get(word, "")) if attribute == "experiment_id" else word

    return Query(
        experiments=[name for name, number in numbers.items() if number in wanted],
        view=view,
        spell=spelled,
        uri=lambda run_id, experiment: artifact_uri(numbers.get(experiment, 0), run_id),
    )


def _log_inputs(call: Call) -> dict[str, Any]:
    ctx, run_id = call.ctx, run_id_of(call.given)
    added = [_checked_input(each) for each in call.given.objects("datasets")]
    models = [ModelUse(each.text("model_id"), "in") for each in call.given.objects("models")]
    with ctx.observe(f"run:{run_id}") as tx:
        run = held_active(tx, ctx.project_id, run_id)
        known = [each for each in run.inputs or [] if not _is_among(each, added)]
        runs.save(
            tx,
            ctx.project_id,
            msgspec.structs.replace(
                run, inputs=[*known, *added] or None, logged_models=_together(run, models)
            ),
        )
    return {}


def _checked_input(given: Given) -> dict[str, Any]:
    """Return a dataset that a run read as it was sent, with its tags.

    Raises:
        MlflowError: it is no dataset with a name and a digest, or a tag is none.
    """
    whole = given.whole()
    dataset = given.inner("dataset")
    dataset.text("name", most=LONGEST_DATASET)
    dataset.text("digest", most=LONGEST_DIGEST)
    for name in ("source_type", "source", "schema", "profile"):
        dataset.maybe_text(name)
    for tag in given.objects("tags"):
        tag.text("key", most=LONGEST_KEY)
        tag.maybe_text("value")
    return whole


def _is_among(known: dict[str, Any], added: list[dict[str, Any]]) -> bool:
    """Tell whether a dataset of a run is logged anew."""

    def name(given: dict[str, Any]) -> tuple[Any, Any]:
        dataset = given.get("dataset") or {}
        return dataset.get("name"), dataset.get("digest")

    return name(known) in {name(each) for each in added}


def _together(run: Run, added: list[ModelUse]) -> list[ModelUse] | None:
    known = run.logged_models or []
    return [*known, *(each for each in added if each not in known)] or None


def _log_outputs(call: Call) -> dict[str, Any]:
    ctx, run_id = call.ctx, run_id_of(call.given)
    models = [
        ModelUse(each.text("model_id"), "out", each.integer("step", 0))
        for each in call.given.objects("models")
    ]
    with ctx.observe(f"run:{run_id}") as tx:
        run = held_active(tx, ctx.project_id, run_id)
        logged = msgspec.structs.replace(run, logged_models=_together(run, models))
        runs.save(tx, ctx.project_id, logged)
    return {}


ROUTES = (
    Route("POST", "runs/create", BUILDERS, _create),
    Route("GET", "runs/get", ANYONE, _get),
    Route("POST", "runs/update", BUILDERS, _update),
    Route("POST", "runs/delete", BUILDERS, _delete),
    Route("POST", "runs/restore", BUILDERS, _restore),
    Route("POST", "runs/search", ANYONE, _search),
    Route("POST", "runs/log-inputs", BUILDERS, _log_inputs),
    Route("POST", "runs/outputs", BUILDERS, _log_outputs),
)
