"""The index of runs, read many at once, against the one that took them one after the other."""

import random
import statistics
from collections.abc import Iterator

import pytest

from thrive.domain.run import Run, RunState
from thrive.operations import Context
from thrive.store import experiments, runs
from thrive.tracking.filters import Comparison, Kind, Order
from thrive.tracking.search import Query, RunIndex

COUNT = 60


def made() -> Iterator[Run]:
    """Yield runs of which no two need have the same metrics, parameters or tags."""
    dice = random.Random(7)
    for number in range(COUNT):
        metrics = {f"m{i}": dice.choice([None, 0.5, dice.random()]) for i in range(4)}
        params = {f"p{i}": dice.choice(["x", "y", 3, True]) for i in range(3)}
        tags = {"mlflow.user": "bo"} if number % 3 else {}
        yield Run(
            run_id=f"{dice.getrandbits(128):032x}",
            experiment=dice.choice(["a", "b"]),
            name=f"run-{number % 7}",
            state=dice.choice([RunState.DONE, RunState.FAILED]),
            actor="ana",
            started_at=number // 4 * 1_000_000,
            ended_at=None if number % 5 == 0 else number * 1_000_000,
            deleted_at=1 if number % 11 == 0 else None,
            metrics={key: metrics[key] for key in dice.sample(sorted(metrics), 2 + number % 3)},
            params=dict(list(params.items())[: number % 4]),
            tags=tags,
            inputs=[{"dataset": {"name": f"d{number % 2}"}}] if number % 4 == 0 else None,
        )


@pytest.fixture
def indexes(context: Context) -> tuple[RunIndex, RunIndex]:
    """Return an index that saw every run come, and one that reads them all at its first look."""
    several = RunIndex(context.project_id)
    one = RunIndex(context.project_id)
    with context.home.write() as tx:
        for name in ("a", "b"):
            experiments.ensure(tx, context.project_id, name, 0)
    with context.read() as tx:
        one.warm(tx)
    for run in made():
        with context.observe(f"run:{run.run_id}") as tx:
            runs.save(tx, context.project_id, run)
    return one, several


QUERIES = (
    Query(experiments=None, order=[Order(Kind.METRIC, "m1", descending=True)], limit=25),
    Query(experiments=["b"], order=[Order(Kind.PARAM, "p0", descending=False)], limit=100),
    Query(experiments=None, conditions=[Comparison(Kind.METRIC, "m0", ">", 0.4)]),
    Query(experiments=None, conditions=[Comparison(Kind.PARAM, "p0", "=", "3")]),
    Query(experiments=None, conditions=[Comparison(Kind.TAG, "mlflow.user", "IS NULL", "")]),
    Query(experiments=None, conditions=[Comparison(Kind.DATASET, "name", "=", "d0")]),
    Query(experiments=None, conditions=[Comparison(Kind.ATTRIBUTE, "user_id", "=", "ana")]),
    Query(experiments=None, conditions=[Comparison(Kind.ATTRIBUTE, "end_time", ">", 20_000.0)]),
)


@pytest.mark.parametrize("query", QUERIES)
def test_runs_read_at_once_are_found_as_those_that_came(context, indexes, query):
    found = []
    for index in indexes:
        with context.read() as tx:
            page, after = index.search(tx, query)
            survey = index.survey(tx, query)
        found.append(([run.run_id for run in page], after, survey))
    assert found[0] == found[1]
    assert found[0][0]


def test_another_name_of_an_experiment_is_no_reason_to_read_every_run(
    context, indexes, monkeypatch
):
    for index in indexes:
        with context.read() as tx:
            before, _ = index.search(tx, Query(experiments=["a"]))
    with context.observe("experiment-tags:1") as tx:
        known = experiments.named(tx, context.project_id, "a")
        assert known is not None
        experiments.rename(tx, context.project_id, known, "c")
        experiments.create(tx, context.project_id, "d", 0)
    monkeypatch.setattr(runs, "search_rows", None)
    for index in indexes:
        with context.read() as tx:
            after, _ = index.search(tx, Query(experiments=["c"]))
            assert [run.run_id for run in after] == [run.run_id for run in before]
            assert index.search(tx, Query(experiments=["a"]))[0] == []


def test_groups_have_the_number_and_the_spread_of_their_runs(context, indexes):
    for query in (Query(experiments=None), Query(experiments=["b"])):
        groups: dict[str, list[Run]] = {}
        for run in made():
            wanted = query.experiments is None or run.experiment in query.experiments
            if run.deleted_at is None and "p0" in run.params and wanted:
                groups.setdefault(str(run.params["p0"]), []).append(run)
        with context.read() as tx:
            found = indexes[0].grouped(tx, query, Kind.PARAM, "p0", ["m1", "none"], 3)
        assert len(found) == 3
        assert [each.runs for each in found] == sorted(map(len, groups.values()), reverse=True)[:3]
        for each in found:
            known = [
                value for run in groups[each.value] if (value := run.metrics.get("m1")) is not None
            ]
            assert each.runs == len(groups[each.value])
            assert each.spreads == [(min(known), statistics.median(known), max(known)), None]
