"""Lineage as OpenLineage events: what catalogues of data read.

Format: https://openlineage.io/spec/2-0-2/OpenLineage.json; one START and one end event a run.
"""

import json
import urllib.request
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec

from thrive.data.lineage import uses_of
from thrive.data.reading import find_version
from thrive.domain.actor import BUILDERS
from thrive.domain.clock import format_time
from thrive.domain.dataset import DatasetVersion
from thrive.domain.errors import NotFound, StoreUnavailable, UsageError
from thrive.domain.run import Run, RunState, Use
from thrive.operations import Context, Kind, operation
from thrive.settings import read_settings
from thrive.store import datasets, runs
from thrive.store.database import Tx
from thrive.version import __version__

SPEC = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
_SCHEMA_FACET = "https://openlineage.io/spec/facets/1-1-1/SchemaDatasetFacet.json"
_VERSION_FACET = "https://openlineage.io/spec/facets/1-0-1/DatasetVersionDatasetFacet.json"
_OWNER_FACET = "https://openlineage.io/spec/facets/1-0-1/OwnershipDatasetFacet.json"
PRODUCER = f"thrive://release/{__version__}"
_TIMEOUT_S = 20
_ENDS = {RunState.DONE: "COMPLETE", RunState.FAILED: "FAIL", RunState.INTERRUPTED: "ABORT"}


class Emitted(msgspec.Struct, frozen=True, kw_only=True):
    """How many events went where."""

    events: int
    runs: int
    target: str


@operation("data openlineage", role=BUILDERS, kind=Kind.CLIENT)
def emit(ctx: Context, name: str, *, to: str = "") -> Emitted:
    """Write the runs that read or made a version as OpenLineage events.

    Args:
        name: the dataset, or one version of it as NAME@VERSION.
        to: a file, one event a line; or the http(s):// address that takes events one by one.
            Without it, what the setting THRIVE_OPENLINEAGE names.

    Raises:
        UsageError: no place is named, or one that takes no events.
        NotFound: there is no such version, or no run has read it.
        StoreUnavailable: the address did not take an event.

    Examples:
        thrive data openlineage flights --to events.jsonl
        thrive data openlineage flights@2 --to http://localhost:5000/api/v1/lineage
    """
    target = _target(to or read_settings().openlineage)
    version = find_version(ctx, name)
    with ctx.read() as tx:
        ids = list(dict.fromkeys(run_id for run_id, _ in uses_of(tx, ctx, version)))
        events = [event for run_id in ids for event in run_events(tx, ctx, run_id)]
    if not events:
        raise NotFound(f"No run has read {version.dataset}@{version.version}.", "thrive run FILE")
    if _is_address(target):
        for event in events:
            _post(target, event)
    else:
        lines = "".join(json.dumps(event, sort_keys=True) + "\n" for event in events)
        _write(ctx.local_folder() / target, lines)
    return Emitted(events=len(events), runs=len(ids), target=target)


def _target(to: str) -> str:
    if not to:
        raise UsageError(
            "Nothing says where events go.",
            "thrive data openlineage NAME --to events.jsonl, or set THRIVE_OPENLINEAGE",
        )
    if "://" in to and not _is_address(to):
        raise UsageError(f"{to[:80]!r} takes no events.", "give a file or an http(s):// address")
    return to


def _is_address(target: str) -> bool:
    return target.startswith(("http://", "https://"))


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written: {error.strerror}.", "give a file in a folder that exists"
        ) from error


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


def _post(url: str, event: dict[str, Any]) -> None:
    request = urllib.request.Request(  # noqa: S310 - the scheme was checked by the caller
        url,
        data=json.dumps(event).encode(),
        headers={"Content-Type": "application/json"},
        method="POST",
    )
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:  # noqa: S310 - same
            answer.read(1)
    except OSError as error:
        raise StoreUnavailable(f"{url} did not take the event: {error}.", "try again") from error
