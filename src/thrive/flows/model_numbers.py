"""What monitoring knows of each live model as numbers for Prometheus."""

from collections.abc import Iterator

from thrive.domain.clock import DAY
from thrive.domain.monitoring import AlertState, Window
from thrive.monitoring.findings import findings_of
from thrive.store import monitoring
from thrive.store.database import Tx

_BACK = 45 * DAY
_OPEN = tuple(state.value for state in AlertState if state is not AlertState.CLOSED)


def model_numbers(tx: Tx, project_id: str, now: int) -> dict[str, float]:
    """Return the gauges of the newest window of each version, and of the alerts not closed.

    Args:
        tx: an open transaction.
        project_id: the project.
        now: its present moment, UTC microseconds; windows of the last 45 days count.
    """
    found: dict[str, float] = {}
    for window in monitoring.newest_windows(tx, project_id, now - _BACK):
        found |= dict(_of_window(window, now))
    for alert in monitoring.find_alerts(tx, project_id, states=_OPEN):
        labels = f'model="{_safe(alert.model)}",cause="{alert.cause}",level="{alert.level}"'
        name = f"thrive_alerts_open{{{labels}}}"
        found[name] = found.get(name, 0) + 1
    return found


def _of_window(window: Window, now: int) -> Iterator[tuple[str, float]]:
    findings = findings_of(window)
    labels = f'model="{_safe(window.model)}",version="{window.version}"'
    yield f"thrive_model_window_age_seconds{{{labels}}}", (now - window.end) / 1e6
    yield f"thrive_model_rows{{{labels}}}", window.rows
    yield f"thrive_model_outcomes{{{labels}}}", window.outcomes
    yield f"thrive_model_errors{{{labels}}}", findings.errors
    yield f"thrive_model_inputs_drifted{{{labels}}}", len(findings.drifted())
    yield f"thrive_model_inputs_faulty{{{labels}}}", len(findings.quality)
    for signal, measured in findings.performance.items():
        if measured.value is not None:
            named = f'{labels},signal="{_safe(signal)}"'
            yield f"thrive_model_performance{{{named}}}", measured.value
    for column in findings.columns:
        if column.psi is not None and column.measure != "relation":
            yield f'thrive_model_drift_psi{{{labels},input="{_safe(column.name)}"}}', column.psi


def _safe(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
