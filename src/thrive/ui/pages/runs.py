"""Runs: what was tried, newest first."""

import msgspec

from thrive.domain.run import Run
from thrive.operations import Context
from thrive.store import runs
from thrive.tracking.recovery import as_seen

ROWS = 50
"""Runs on one page."""
METRICS = 6
"""Metric columns; those that most of the page's runs have."""


class Experiment(msgspec.Struct, frozen=True, kw_only=True):
    """A name under which runs are compared, with how many there are."""

    name: str
    runs: int


class RunsPage(msgspec.Struct, frozen=True, kw_only=True):
    """One page of runs; `next` is the id to ask the next page with, None at the end."""

    now: int
    experiment: str
    experiments: list[Experiment]
    metrics: list[str]
    runs: list[Run]
    next: str | None


def load(ctx: Context, experiment: str = "", after: str = "") -> RunsPage:
    """Return the runs of an experiment (of all without one) that are older than the id `after`."""
    with ctx.read() as tx:
        found = runs.find(
            tx, ctx.project_id, experiment=experiment or None, limit=ROWS + 1, after=after or None
        )
        counted = runs.experiments(tx, ctx.project_id)
    shown = [as_seen(run) for run in found[:ROWS]]
    return RunsPage(
        now=ctx.now(),
        experiment=experiment,
        experiments=[Experiment(name=name, runs=count) for name, count in counted],
        metrics=_metrics(shown),
        runs=shown,
        next=shown[-1].run_id if len(found) > ROWS else None,
    )


def _metrics(shown: list[Run]) -> list[str]:
    counts: dict[str, int] = {}
    for run in shown:
        for name in run.metrics:
            counts[name] = counts.get(name, 0) + 1
    return sorted(counts, key=lambda name: (-counts[name], name))[:METRICS]
