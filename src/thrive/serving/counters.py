"""What a worker counts, the state file in which it says so, and the Prometheus text of a host."""

import os
from bisect import bisect_left
from collections.abc import Iterable
from pathlib import Path

import msgspec

BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
"""Upper bounds of the latency histogram, in seconds."""

FOLDER = "workers"


class VariantCounts(msgspec.Struct, kw_only=True):
    """Answers of one variant: requests, rows, failures, and requests by latency bucket."""

    model: str
    version: int
    variant: str
    requests: int = 0
    rows: int = 0
    failures: int = 0
    seconds: float = 0.0
    buckets: list[int] = msgspec.field(default_factory=lambda: [0] * (len(BUCKETS_S) + 1))

    def add(self, rows: int, micros: int, *, failed: bool) -> None:
        """Count one request's rows."""
        self.requests += 1
        self.rows += rows
        self.failures += failed
        self.seconds += micros / 1e6
        self.buckets[bisect_left(BUCKETS_S, micros / 1e6)] += 1


class WorkerState(msgspec.Struct, kw_only=True):
    """One worker's last word: what it serves and what it counted since it started.

    Attributes:
        worker: number of the worker on its host.
        pid: its process.
        revisions: revision of the routing table in use, by model.
        answered: requests with an answer.
        failed: requests that no version could answer (with a fallback answer or none).
        dropped: prediction rows that the log had no room for.
        shadow_dropped: requests that a shadow did not see because it was too slow.
        responses: HTTP responses by status.
        variants: by `model/version/variant`.
    """

    worker: int
    pid: int = msgspec.field(default_factory=os.getpid)
    revisions: dict[str, int] = {}
    answered: int = 0
    failed: int = 0
    dropped: int = 0
    shadow_dropped: int = 0
    responses: dict[str, int] = {}
    variants: dict[str, VariantCounts] = {}

    def count(
        self, model: str, version: int, variant: str, *, rows: int, micros: int, failed: bool
    ) -> None:
        """Count one request's rows, answered or failed by a variant."""
        key = f"{model}/{version}/{variant}"
        counts = self.variants.get(key)
        if counts is None:
            counts = VariantCounts(model=model, version=version, variant=variant)
            self.variants[key] = counts
        counts.add(rows, micros, failed=failed)

    def count_response(self, status: int, responses: int = 1) -> None:
        """Count HTTP responses of one status."""
        name = str(status)
        self.responses[name] = self.responses.get(name, 0) + responses


def state_file(cache: Path, worker: int) -> Path:
    """Return the state file of a worker: as old as its last word."""
    return cache / FOLDER / f"{worker}.json"


def write_state(cache: Path, state: WorkerState) -> None:
    """Replace a worker's state file; a reader never sees half of it.

    Raises:
        OSError: the disk is full; what stands there is as new as this word all the same.
    """
    path = state_file(cache, state.worker)
    path.parent.mkdir(exist_ok=True)
    unfinished = path.with_name(f".{state.worker}.new")
    try:
        unfinished.write_bytes(msgspec.json.encode(state))
        unfinished.replace(path)
    except OSError:
        os.utime(path)
        raise


def read_states(cache: Path) -> list[WorkerState]:
    """Return the last word of each worker of this host, by number."""
    found: list[WorkerState] = []
    for path in sorted((cache / FOLDER).glob("*.json")):
        try:
            found.append(msgspec.json.decode(path.read_bytes(), type=WorkerState))
        except (FileNotFoundError, msgspec.DecodeError):
            continue
    return sorted(found, key=lambda state: state.worker)


def common_revisions(states: Iterable[WorkerState]) -> dict[str, int]:
    """Return, by model, the routing revision that every worker has at least reached."""
    states = list(states)
    models = {model for state in states for model in state.revisions}
    return {
        model: min(state.revisions.get(model, 0) for state in states) for model in sorted(models)
    }


def prometheus(states: Iterable[WorkerState], routing_age_s: float) -> str:
    """Return all counters of a host in the Prometheus text format, one series a worker."""
    states = list(states)
    lines = [
        "# HELP thrive_routing_age_seconds Time since the routes were compared with the store.",
        "# TYPE thrive_routing_age_seconds gauge",
        f"thrive_routing_age_seconds {routing_age_s:.3f}",
    ]
    for name, words in _TOTALS.items():
        lines += [f"# HELP thrive_{name}_total {words}", f"# TYPE thrive_{name}_total counter"]
        lines += [
            f'thrive_{name}_total{{worker="{each.worker}"}} {getattr(each, name)}'
            for each in states
        ]
    lines += _response_lines(states) + _variant_lines(states)
    return "\n".join(lines) + "\n"


_TOTALS = {
    "answered": "Requests with an answer.",
    "failed": "Requests that no version could answer.",
    "dropped": "Prediction rows that the log had no room for.",
    "shadow_dropped": "Requests that a shadow did not see because it was too slow.",
}


def _response_lines(states: list[WorkerState]) -> list[str]:
    lines = [
        "# HELP thrive_responses_total HTTP responses by status.",
        "# TYPE thrive_responses_total counter",
    ]
    for state in states:
        lines += [
            f'thrive_responses_total{{worker="{state.worker}",status="{status}"}} {count}'
            for status, count in sorted(state.responses.items())
        ]
    return lines


def _variant_lines(states: list[WorkerState]) -> list[str]:
    name = "thrive_prediction_seconds"
    lines = [f"# HELP {name} Time to answer by variant.", f"# TYPE {name} histogram"]
    failures = [
        "# HELP thrive_prediction_failures_total Requests a variant could not answer.",
        "# TYPE thrive_prediction_failures_total counter",
    ]
    for state in states:
        for counts in state.variants.values():
            labels = (
                f'worker="{state.worker}",model="{counts.model}",'
                f'version="{counts.version}",variant="{counts.variant}"'
            )
            lines += _histogram(name, labels, counts)
            failures.append(f"thrive_prediction_failures_total{{{labels}}} {counts.failures}")
    return lines + failures


def _histogram(name: str, labels: str, counts: VariantCounts) -> list[str]:
    lines: list[str] = []
    below = 0
    for bound, count in zip((*BUCKETS_S, "+Inf"), counts.buckets, strict=True):
        below += count
        lines.append(f'{name}_bucket{{{labels},le="{bound}"}} {below}')
    return [
        *lines,
        f"{name}_sum{{{labels}}} {counts.seconds:.6f}",
        f"{name}_count{{{labels}}} {counts.requests}",
    ]
