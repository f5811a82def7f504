"""The numbers of live models for Prometheus, and the dashboard that shows them."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
from tests.streams import Stream

from thrive.domain.monitoring import Cause
from thrive.flows.model_numbers import ModelNumbers
from thrive.monitoring.closing import close_windows
from thrive.operations import Context

DASHBOARD = Path(__file__).parents[3] / "examples" / "deploy" / "grafana-thrive.json"


def gauges(numbers: ModelNumbers, context: Context) -> dict[str, float]:
    with context.read() as tx:
        return numbers.gauges(tx, context.project_id, context.now())


@contextmanager
def counted_statements(context: Context, asked: list[str]) -> Iterator[None]:
    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        asked.append(statement)

    with context.read() as tx:
        engine = tx.engine
    sa.event.listen(engine, "before_cursor_execute", note)
    try:
        yield
    finally:
        sa.event.remove(engine, "before_cursor_execute", note)


def test_the_newest_window_and_the_open_alerts_are_told_and_the_dashboard_asks_for_no_more(
    context: Context,
) -> None:
    from tests.unit.flows_act.test_act import opened

    stream = Stream(context)
    stream.live_day()
    close_windows(context, "m")
    stream.live_day(shift=1.5)
    close_windows(context, "m")
    numbers = ModelNumbers()
    before = gauges(numbers, context)
    stream.advance(0.5)
    asked: list[str] = []
    with counted_statements(context, asked):
        later = gauges(numbers, context)
    assert [one for one in asked if " windows" in one] == []
    age = 'thrive_model_window_age_seconds{model="m",version="1"}'
    assert (later.pop(age), before.pop(age)) == (43_200, 0)
    assert later == before
    stream.advance(-0.5)
    opened(stream, Cause.PERFORMANCE)
    found = gauges(numbers, context)
    assert found['thrive_model_rows{model="m",version="1"}'] == 400
    assert found['thrive_model_inputs_drifted{model="m",version="1"}'] == 1
    assert found['thrive_alerts_open{model="m",cause="performance",level="alert"}'] == 1
    assert found['thrive_model_window_age_seconds{model="m",version="1"}'] == 0
    told = {name.partition("{")[0] for name in found} | {"thrive_jobs"}
    text = DASHBOARD.read_text()
    assert set(re.findall(r"thrive_\w+", text)) <= told
    panels = json.loads(text)["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels) == 10
