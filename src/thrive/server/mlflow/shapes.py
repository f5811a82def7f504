"""Nouns of the store in the shapes that MLflow's clients read; absent fields are left out."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from thrive.domain.experiment import Experiment, LoggedModel, LoggedState
from thrive.domain.run import ModelUse, Run, RunState
from thrive.server.mlflow.problems import invalid
from thrive.tracking.search import USER_TAG

NAME_TAG = "mlflow.runName"
STATUSES = {
    RunState.SCHEDULED: "SCHEDULED",
    RunState.RUNNING: "RUNNING",
    RunState.DONE: "FINISHED",
    RunState.FAILED: "FAILED",
    RunState.INTERRUPTED: "KILLED",
}
STATES = {status: state for state, status in STATUSES.items()}
LOGGED = {
    LoggedState.PENDING: "LOGGED_MODEL_PENDING",
    LoggedState.READY: "LOGGED_MODEL_READY",
    LoggedState.FAILED: "LOGGED_MODEL_UPLOAD_FAILED",
}
MILLISECOND = 1000
"""In the microseconds that the store keeps."""


def state_of(status: str) -> RunState:
    """Return the state that a status names.

    Raises:
        MlflowError: there is no such status.
    """
    if status not in STATES:
        raise invalid(
            f"Invalid value \"{status}\" for parameter 'status' supplied: "
            f"it must be one of {', '.join(STATES)}."
        )
    return STATES[status]


def pairs(values: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return a dict as the list of keys and values that the protocol has."""
    return [{"key": key, "value": str(value)} for key, value in values.items()]


def real(value: float | None) -> float | str:
    """Return a number as JSON has it; None is NaN."""
    return "NaN" if value is None else value


def experiment_shape(experiment: Experiment) -> dict[str, Any]:
    """Return an experiment."""
    return {
        "experiment_id": str(experiment.experiment_id),
        "name": experiment.name,
        "artifact_location": f"mlflow-artifacts:/{experiment.experiment_id}",
        "lifecycle_stage": "active" if experiment.deleted_at is None else "deleted",
        "creation_time": experiment.created_at // MILLISECOND,
        "last_update_time": experiment.updated_at // MILLISECOND,
        "tags": pairs(experiment.tags),
    }


def artifact_uri(experiment_id: int, run_id: str) -> str:
    """Return where a client finds the artifacts of a run."""
    return f"mlflow-artifacts:/{experiment_id}/{run_id}/artifacts"


def run_shape(run: Run, experiment_id: int) -> dict[str, Any]:
    """Return a run with its data, inputs and outputs."""
    shape: dict[str, Any] = {
        "info": _info(run, experiment_id),
        "data": {
            "metrics": latest_metrics(run),
            "params": _pairs(run.params),
            "tags": _pairs({**run.tags, NAME_TAG: run.name}),
        },
        "inputs": _inputs(run),
    }
    written = [each for each in run.logged_models or () if each.direction == "out"]
    if written:
        shape["outputs"] = {"model_outputs": [_use(each) for each in written]}
    return shape


def _info(run: Run, experiment_id: int) -> dict[str, Any]:
    info: dict[str, Any] = {
        "run_id": run.run_id,
        "run_uuid": run.run_id,
        "run_name": run.name,
        "experiment_id": str(experiment_id),
        "user_id": run.tags.get(USER_TAG) or run.actor,
        "status": STATUSES[run.state],
        "start_time": run.started_at // MILLISECOND,
        "artifact_uri": artifact_uri(experiment_id, run.run_id),
        "lifecycle_stage": "active" if run.deleted_at is None else "deleted",
    }
    if run.ended_at is not None:
        info["end_time"] = run.ended_at // MILLISECOND
    return info


class MetricShape(msgspec.Struct, gc=False):
    """A point of a metric; of a page of runs there are thousands, and a dict is slower."""

    key: str
    value: float | str
    timestamp: int
    step: int


class PairShape(msgspec.Struct, gc=False):
    """A parameter or a tag."""

    key: str
    value: str


def latest_metrics(run: Run) -> list[MetricShape]:
    """Return the latest point of each metric of a run."""
    summaries = run.summaries or {}
    found: list[MetricShape] = []
    for key, value in run.metrics.items():
        summary = summaries.get(key)
        step, at = (summary.step, summary.at) if summary else (0, run.started_at)
        found.append(MetricShape(key, real(value), at // MILLISECOND, step))
    return found


def _pairs(values: Mapping[str, Any]) -> list[PairShape]:
    return [PairShape(key, str(value)) for key, value in values.items()]


def _inputs(run: Run) -> dict[str, Any]:
    inputs: dict[str, Any] = {"dataset_inputs": run.inputs or []}
    read = [each for each in run.logged_models or () if each.direction == "in"]
    if read:
        inputs["model_inputs"] = [{"model_id": each.model_id} for each in read]
    return inputs


def _use(use: ModelUse) -> dict[str, Any]:
    return {"model_id": use.model_id, "step": use.step}


def logged_model_uri(model: LoggedModel) -> str:
    """Return where a client finds the files of a logged model."""
    return f"mlflow-artifacts:/{model.experiment_id}/models/{model.model_id}/artifacts"


def logged_model_shape(
    model: LoggedModel, registrations: Iterable[tuple[str, int]] = ()
) -> dict[str, Any]:
    """Return a logged model, with the (name, version) under which it is registered."""
    info: dict[str, Any] = {
        "model_id": model.model_id,
        "experiment_id": str(model.experiment_id),
        "name": model.name,
        "creation_timestamp_ms": model.created_at // MILLISECOND,
        "last_updated_timestamp_ms": model.updated_at // MILLISECOND,
        "artifact_uri": logged_model_uri(model),
        "status": LOGGED[model.state],
        "tags": pairs(model.tags),
        "registrations": [
            {"name": name, "version": str(version)} for name, version in registrations
        ],
    }
    optional = {
        "model_type": model.kind,
        "source_run_id": model.run_id,
        "status_message": model.message,
    }
    info |= {name: text for name, text in optional.items() if text}
    return {"info": info, "data": {"params": pairs(model.params), "metrics": model.metrics}}
