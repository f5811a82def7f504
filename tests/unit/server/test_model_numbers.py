"""The numbers of live models for Prometheus, and the dashboard that shows them."""

import json
import re
from pathlib import Path

from tests.streams import Stream

from thrive.domain.monitoring import Cause
from thrive.flows.model_numbers import model_numbers
from thrive.monitoring.closing import close_windows
from thrive.operations import Context

DASHBOARD = Path(__file__).parents[3] / "examples" / "deploy" / "grafana-thrive.json"


def test_the_newest_window_and_the_open_alerts_are_told_and_the_dashboard_asks_for_no_more(
    context: Context,
) -> None:
    from tests.unit.flows_act.test_act import opened

    stream = Stream(context)
    stream.live_day()
    close_windows(context, "m")
    stream.live_day(shift=1.5)
    close_windows(context, "m")
    opened(stream, Cause.PERFORMANCE)
    with context.read() as tx:
        found = model_numbers(tx, context.project_id, context.now())
    assert found['thrive_model_rows{model="m",version="1"}'] == 400
    assert found['thrive_model_inputs_drifted{model="m",version="1"}'] == 1
    assert found['thrive_alerts_open{model="m",cause="performance",level="alert"}'] == 1
    assert found['thrive_model_window_age_seconds{model="m",version="1"}'] == 0
    told = {name.partition("{")[0] for name in found} | {"thrive_jobs"}
    text = DASHBOARD.read_text()
    assert set(re.findall(r"thrive_\w+", text)) <= told
    panels = json.loads(text)["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels) == 10
