"""Lineage as OpenLineage events: what catalogues of data read.

Format: https://openlineage.io/spec/2-0-2/OpenLineage.json; one START and one end event a run.
"""

from typing import Any
from uuid import UUID

from thrive.domain.clock import format_time
from thrive.domain.dataset import DatasetVersion
from thrive.domain.run import Run, RunState, Use
from thrive.operations import Context
from thrive.store import datasets, runs
from thrive.store.database import Tx
from thrive.version import __version__

SPEC = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
_SCHEMA_FACET = "https://openlineage.io/spec/facets/1-1-1/SchemaDatasetFacet.json"
_VERSION_FACET = "https://openlineage.io/spec/facets/1-0-1/DatasetVersionDatasetFacet.json"
_OWNER_FACET = "https://openlineage.io/spec/facets/1-0-1/OwnershipDatasetFacet.json"
PRODUCER = f"thrive://release/{__version__}"
_ENDS = {RunState.DONE: "COMPLETE", RunState.FAILED: "FAIL", RunState.INTERRUPTED: "ABORT"}


def run_events(tx: Tx, ctx: Context, run_id: str) -> list[dict[str, Any]]:
    """Return the events of a run: START, and how it ended if it did."""
    run = runs.get(tx, ctx.project_id, run_id)
    uses = runs.find_uses(tx, ctx.project_id, run_id)
    sides = {
        "inputs": [_dataset(tx, ctx, use) for use in uses if use.direction == "in"],
        "outputs": [_dataset(tx, ctx, use) for use in uses if use.direction == "out"],
    }
    events = [_event(ctx, run, "START", run.started_at, {})]
    if run.state in _ENDS:
        events.append(_event(ctx, run, _ENDS[run.state], run.ended_at or run.started_at, sides))
    return events


def _event(
    ctx: Context, run: Run, kind: str, at: int, sides: dict[str, list[dict[str, Any]]]
) -> dict[str, Any]:
    return {
        "eventType": kind,
        "eventTime": format_time(at),
        "producer": PRODUCER,
        "schemaURL": SPEC,
        "run": {"runId": str(UUID(run.run_id))},
        "job": {"namespace": _namespace(ctx), "name": run.pipeline or run.name},
        "inputs": sides.get("inputs", []),
        "outputs": sides.get("outputs", []),
    }


def _namespace(ctx: Context) -> str:
    return f"thrive://{ctx.home.project.name}"


def _dataset(tx: Tx, ctx: Context, use: Use) -> dict[str, Any]:
    facets: dict[str, Any] = {"version": _facet(_VERSION_FACET, datasetVersion=use.digest)}
    version = _known(tx, ctx, use)
    if version is not None:
        read = [
            {"name": column.name, "type": column.dtype}
            for column in version.columns
            if use.columns is None or column.name in use.columns
        ]
        facets["schema"] = _facet(_SCHEMA_FACET, fields=read)
        owner = datasets.get(tx, ctx.project_id, use.name).owner
        if owner:
            owners = [{"name": owner, "type": "OWNER"}]
            facets["ownership"] = _facet(_OWNER_FACET, owners=owners)
    return {"namespace": _namespace(ctx), "name": f"{use.kind}/{use.name}", "facets": facets}


def _known(tx: Tx, ctx: Context, use: Use) -> DatasetVersion | None:
    """Return the version that was used; None for a model, or for one that is gone by now."""
    if use.kind != "dataset":
        return None
    found = datasets.find_by_digest(tx, ctx.project_id, use.digest)
    return next((each for each in found if each.dataset == use.name), None)


def _facet(schema: str, **fields: Any) -> dict[str, Any]:
    return {"_producer": PRODUCER, "_schemaURL": schema, **fields}
