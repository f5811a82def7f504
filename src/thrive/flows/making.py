"""The record of data that was made outside a pipeline: a run that read some versions and wrote one.

With it the version has its place in the lineage, and what was said of its sources holds for it.
"""

from collections.abc import Sequence

import msgspec

from thrive.domain.dataset import DatasetVersion
from thrive.domain.identifiers import new_id
from thrive.domain.run import Run, RunState, Use
from thrive.operations import Context
from thrive.store import datasets, runs


def record_making(
    ctx: Context, version: DatasetVersion, source: str, read: Sequence[Use], began: int
) -> None:
    """Record what a version was made from; one that was made before keeps its first making.

    Args:
        ctx: the project; its operation is the name of what was done.
        version: what was made.
        source: the same in words, kept with the version.
        read: what it was made from.
        began: when.
    """
    made = Run(
        run_id=new_id(),
        experiment=version.dataset,
        name=f"{version.dataset}@{version.version}",
        state=RunState.DONE,
        actor=ctx.actor.name,
        started_at=began,
        ended_at=ctx.now(),
        pipeline=ctx.operation,
    )
    written = Use(
        kind="dataset",
        name=version.dataset,
        digest=version.digest,
        direction="out",
        version=version.version,
    )
    named = msgspec.structs.replace(version, source=source, made_by=version.made_by or made.run_id)
    with ctx.write(f"dataset:{version.dataset}", source=source) as tx:
        runs.save(tx, ctx.project_id, made)
        for use in (*read, written):
            runs.add_use(tx, ctx.project_id, made.run_id, use)
        datasets.replace_version(tx, ctx.project_id, named)
