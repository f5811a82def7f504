"""A run's steps on a cluster: what the nodes are told, and where bytes come from and go to."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from thrive.domain.errors import NotFound, UsageError
from thrive.domain.run import CodeRecord
from thrive.flows import travel
from thrive.flows.order import PROGRAMS, Launched, Order, arguments_of, variables_of
from thrive.operations import Context
from thrive.settings import read_settings
from thrive.store.blobs import FolderBlobs
from thrive.tracking.entry import Form, find_file
from thrive.tracking.recorder import RunRecorder

if TYPE_CHECKING:
    from thrive.engines.ray.engine import RayEngine


def on_ray(
    ctx: Context,
    order: Order,
    launched: Launched,
    code: CodeRecord,
    recorder: RunRecorder,
) -> "RayEngine":
    """Return an engine that runs the steps of a run on a Ray cluster.

    Args:
        ctx: the context of the operation.
        order: what is run.
        launched: the process that has imported it here; the pipeline function stays in it.
        code: the recorded code, which nodes unpack.
        recorder: that of the run.

    Raises:
        UsageError: it is no pipeline, or Ray is not installed.
        InfrastructureError: there is no cluster at the address.
        Refused: the cluster has another Python.
    """
    from thrive.engines.ray.engine import Depot, RayEngine
    from thrive.engines.ray.node import Setup

    if launched.form is not Form.PIPELINE:
        raise UsageError(f"{order.target} has no steps to run on a cluster.", "declare a @pipeline")
    folder, environment = ctx.local_folder(), recorder.run.environment
    file = find_file(order.target, folder)
    cargo = travel.Cargo(
        code=code,
        file=str(file.resolve().relative_to(folder.resolve())),
        arguments=arguments_of(order, file),
        environment={**environment["variables"], **variables_of(order)},
    )
    setup = Setup(
        run=recorder.run.run_id,
        place=ctx.project_id,
        program=PROGRAMS[Form.PIPELINE],
        courier=travel.__name__,
        cargo=msgspec.to_builtins(cargo),
    )
    blobs, lent = ctx.home.blobs, FolderBlobs(recorder.scratch / "arguments", durable=False)

    def path(digest: str) -> Path:
        if lent.has(digest):
            return lent.local_path(digest)
        found = blobs.local_path(digest)
        if found is None:
            raise NotFound(f"There is no blob {digest} here.", "thrive doctor")
        return found

    def pack(work: dict[str, Any]) -> None:
        for name, digest in work["files"].items():
            if digest and not lent.has(digest):
                lent.put_file(folder / name)

    local = FolderBlobs(blobs.local.root)
    depot = Depot(
        path=path,
        keep=lambda digest, data: travel.keep_checked(local, digest, data),
        pack=pack,
    )
    address = order.address or read_settings().ray_address or "auto"
    return RayEngine(launched.engine, setup, depot, address=address, environment=environment)
