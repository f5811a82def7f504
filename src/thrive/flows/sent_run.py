"""Running a pipeline whose code was sent: the second half of `run` from afar."""

import tempfile
from pathlib import Path
from typing import Any

from thrive.domain.actor import BUILDERS
from thrive.domain.run import CodeRecord
from thrive.flows.order import CachePolicy, Order, RunResult
from thrive.flows.run import judged, parse_share
from thrive.flows.train import execute_and_tell
from thrive.operations import Context, Kind, operation
from thrive.store import uploads
from thrive.tracking.code import CodeFacts, unpack_code


@operation("runs start", role=BUILDERS, kind=Kind.JOB, writes=True)
def start(
    ctx: Context,
    target: str,
    bundle: str,
    params: list[str] | None = None,
    *,
    experiment: str = "",
    values: dict[str, Any] | None = None,
    options: dict[str, dict[str, Any]] | None = None,
    no_cache: bool = False,
    verify_cache: str = "",
    commit: str = "",
    branch: str = "",
    dirty: bool = False,
    diff: str = "",
    untracked: list[str] | None = None,
    left_out: list[str] | None = None,
    lost: str = "",
    gates: bool = False,
) -> RunResult:
    """Run a pipeline from code that was sent by digest; a worker executes it.

    Its data are the versions that the code's `thrive.lock` names, else the newest.

    Args:
        target: FILE or FILE:PIPELINE, inside the bundle.
        bundle: the digest of the project's files, as they were sent.
        params: parameters of the pipeline, as name=value.
        experiment: the name to compare the run under.
        values: parameters as plain values; `params` come before them.
        options: options of steps, by step.
        no_cache: execute every step.
        verify_cache: the share of known results to execute again and compare, e.g. 5%.
        commit: git's commit, empty without one.
        branch: git's branch.
        dirty: whether files differ from the commit.
        diff: how they differ.
        untracked: files that git does not know.
        left_out: files that were too large to be sent.
        lost: what the record of the code lacks, in words.
        gates: have the gates judge what it registered, against what is in production.

    Raises:
        NotFound: the bundle was not sent, or a day has passed since.
        NotRight: a step failed.

    Examples:
        thrive runs start train.py DIGEST
    """
    uploads.refuse_unsent(ctx.home, [bundle])
    record = CodeRecord(
        entry=target, bundle=bundle, commit=commit, branch=branch, dirty=dirty, diff=diff
    )
    code = CodeFacts(record=record, untracked=untracked or [], left_out=left_out or [], lost=lost)
    with tempfile.TemporaryDirectory(dir=ctx.home.temporary_folder, prefix="run-") as place:
        folder = Path(place)
        unpack_code(record, folder, ctx.home.blobs, with_lock=True)
        order = Order(
            target=target,
            params=params or [],
            values=values or {},
            options=options or {},
            experiment=experiment,
            policy=CachePolicy(use=not no_cache, verify=parse_share(verify_cache)),
            code=code,
        )
        found = execute_and_tell(ctx.inside(folder), order, ctx.show)
    return judged(ctx, found) if gates else found
