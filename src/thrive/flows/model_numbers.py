"""What monitoring knows of each live model as numbers for Prometheus."""

from collections.abc import Iterator

from thrive.domain.clock import DAY
from thrive.domain.monitoring import AlertState, Window
from thrive.monitoring.findings import findings_of
from thrive.store import changes, monitoring
from thrive.store.database import Tx

_BACK = 45 * DAY
_OPEN = tuple(state.value for state in AlertState if state is not AlertState.CLOSED)


_KINDS = {"window", "alert"}
"""The kinds of changes after which the numbers are others."""


class ModelNumbers:
    """The gauges of the newest window of each version, and of the alerts not closed.

    They are read anew when a window or an alert changed, as the change feed tells: scrapes in
    between cost one look at the feed, however many models there are.
    """

    def __init__(self) -> None:
        self._seen = -1
        self._read_at = 0
        self._numbers: dict[str, float] = {}
        self._ends: dict[str, int] = {}

    def gauges(self, tx: Tx, project_id: str, now: int) -> dict[str, float]:
        """Return the gauges by name and labels.

        Args:
            tx: an open transaction.
            project_id: the project.
            now: its present moment, UTC microseconds; windows of the last 45 days count.
        """
        old, self._seen = self._is_old(tx, project_id, now), changes.head(tx, project_id)
        if old:
            self._read_at = now
            windows = monitoring.newest_windows(tx, project_id, now - _BACK)
            self._ends = {_labels(window): window.end for window in windows}
            self._numbers = dict(item for window in windows for item in _of_window(window))
            for alert in monitoring.find_alerts(tx, project_id, states=_OPEN, limit=None):
                labels = f'model="{_safe(alert.model)}",cause="{alert.cause}",level="{alert.level}"'
                name = f"thrive_alerts_open{{{labels}}}"
                self._numbers[name] = self._numbers.get(name, 0) + 1
        ages = {
            f"thrive_model_window_age_seconds{{{labels}}}": (now - end) / 1e6
            for labels, end in self._ends.items()
        }
        return self._numbers | ages

    def _is_old(self, tx: Tx, project_id: str, now: int) -> bool:
        if self._seen < 0 or not self._read_at <= now < self._read_at + DAY:
            return True
        return bool(_KINDS & changes.kinds_after(tx, project_id, self._seen))


def _labels(window: Window) -> str:
    return f'model="{_safe(window.model)}",version="{window.version}"'


def _of_window(window: Window) -> Iterator[tuple[str, float]]:
    findings = findings_of(window)
    labels = _labels(window)
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
