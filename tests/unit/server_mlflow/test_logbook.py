"""What many callers log at once: few transactions, and each is told of its own error alone."""

import asyncio
import functools
import math
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from thrive.domain.actor import local_actor
from thrive.domain.errors import NotFound, UsageError
from thrive.domain.experiment import LoggedModel, LoggedState
from thrive.domain.run import MetricPoint, Run, RunState
from thrive.operations import Context
from thrive.server.mlflow.logbook import MOST_MIRRORED, Entry, Logbook, write_together
from thrive.server.threads import run_in
from thrive.store import logged_models, runs
from thrive.store.observations import MOST_KEYS, Observation


def run_of(number):
    return Run(
        run_id=f"{number:032x}", experiment="e", name="r", state=RunState.RUNNING, actor="a",
        started_at=0, params={"p": "1"}, tags={"t": "x"},
    )  # fmt: skip


def point(step, value=0.5, key="loss"):
    return MetricPoint(key=key, value=value, step=step, at=step)


@pytest.fixture
def context(home):
    with home.write() as tx:
        for number in range(20):
            runs.save(tx, home.project_id, run_of(number))
    return Context(home, local_actor("owner"))


def logged(context, work):
    """Run `work(write)` on an event loop, where `write(number, seen)` logs into a run."""
    with ThreadPoolExecutor(2) as pool:
        book = Logbook(functools.partial(run_in, pool))

        async def write(number, **seen):
            await book.write(context, Entry(f"{number:032x}", Observation(**seen)))

        return asyncio.run(work(write))


def seen_of(context, number):
    with context.read() as tx:
        return runs.get(tx, context.project_id, f"{number:032x}")


def test_callers_who_come_back_together_share_a_transaction(context):
    commits = []
    with context.read() as tx:
        engine = tx.engine
    sa.event.listen(engine, "commit", commits.append)

    async def work(write):
        async def caller(number):
            for step in range(5):
                await write(number, points=[point(step, step / 4)])

        await asyncio.gather(*map(caller, range(20)))

    logged(context, work)
    assert len(commits) == 5
    for number in range(20):
        run = seen_of(context, number)
        assert run.metrics == {"loss": 1.0}
        assert run.summaries["loss"].points == 5
        assert (run.params, run.tags, run.name) == ({"p": "1"}, {"t": "x"}, "r")
        with context.read() as tx:
            found = runs.metric_history(tx, context.project_id, run.run_id, "loss")
        assert [each.value for each in found] == [0.0, 0.25, 0.5, 0.75, 1.0]


def test_who_logs_something_wrong_is_told_alone(context):
    full = {f"k{place}": "x" for place in range(MOST_KEYS["tags"])}

    async def work(write):
        return await asyncio.gather(
            write(0, points=[point(1)]),
            write(99, points=[point(1)]),
            write(1, params={"q": "1"}),
            write(1, params={"q": "2"}, points=[point(1)]),
            write(1, points=[point(2, 0.1), point(2, 0.3), point(1, 9.0)], name="new"),
            write(2, tags=full),
            return_exceptions=True,
        )

    answers = logged(context, work)
    assert [type(each) for each in answers] == [
        type(None),
        NotFound,
        type(None),
        UsageError,
        type(None),
        UsageError,
    ]
    assert "Changing param values" in str(answers[3])
    assert "more than 10,000 tags" in str(answers[5])
    one = seen_of(context, 1)
    assert (one.params, one.metrics, one.name) == ({"p": "1", "q": "1"}, {"loss": 0.3}, "new")
    assert (one.summaries["loss"].low, one.summaries["loss"].high) == (0.1, 9.0)
    assert one.summaries["loss"].points == 3
    assert seen_of(context, 2).tags == {"t": "x"}


@pytest.mark.parametrize("value", [None, math.inf, -math.inf, 1e308, 5e-324, -0.0])
@pytest.mark.parametrize("key", ["loss", "fehlgröße", 'null "quoted"'])
def test_numbers_that_json_lacks_and_names_of_any_letters_are_read_as_they_were_logged(
    context, key, value
):
    async def work(write):
        await write(3, points=[point(1, value, key)])
        await write(3, points=[point(0, 1.0, key)], tags={key: key})

    logged(context, work)
    run = seen_of(context, 3)
    assert run.metrics == {key: value}
    assert run.tags == {"t": "x", key: key}
    low = 1.0 if value is None else min(value, 1.0)
    assert run.summaries[key].low == low


def test_a_logged_model_keeps_a_bounded_number_of_points_and_the_latest_of_each(context):
    model = LoggedModel(
        model_id="m-" + "1" * 32, experiment_id=0, name="net", state=LoggedState.PENDING,
        created_at=0, updated_at=0,
    )  # fmt: skip
    with context.home.write() as tx:
        logged_models.save(tx, context.project_id, model)

    def entry(key, steps):
        points = [
            {"key": key, "value": step / 2, "timestamp": step, "step": step, "run_id": "r"}
            for step in steps
        ]
        return Entry(f"{4:032x}", Observation(), {model.model_id: points})

    def kept():
        with context.read() as tx:
            return logged_models.get(tx, context.project_id, model.model_id).metrics

    write_together(context, [entry("auc", [7]), entry("loss", range(MOST_MIRRORED - 1))])
    write_together(context, [entry("loss", [3, 4])])
    assert len(kept()) == MOST_MIRRORED
    write_together(context, [entry("loss", [MOST_MIRRORED + 5, 5])])
    assert {point["key"]: point["step"] for point in kept()} == {
        "auc": 7,
        "loss": MOST_MIRRORED + 5,
    }
    assert len(kept()) == 2
