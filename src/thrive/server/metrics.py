"""What the server counts of itself, in the text format of Prometheus."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import groupby

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the latency histogram, in seconds."""
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """Requests by route and status, and how long they took; kept by the event loop alone."""

    def __init__(self) -> None:
        self._requests: Counter[tuple[str, str, int]] = Counter()
        self._buckets: dict[str, list[int]] = {}
        self._seconds: Counter[str] = Counter()

    def record(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one answered request; `route` comes from the route table, never from a caller."""
        self._requests[method, route, status] += 1
        buckets = self._buckets.setdefault(route, [0] * (len(BOUNDS) + 1))
        buckets[bisect_left(BOUNDS, seconds)] += 1
        self._seconds[route] += seconds  # pyright: ignore[reportArgumentType] - a Counter adds floats too

    def text(self, gauges: Mapping[str, float], counters: Mapping[str, float]) -> str:
        """Return everything counted, with further values read at this moment."""
        lines = ["# TYPE thrive_requests_total counter"]
        for (method, route, status), count in sorted(self._requests.items()):
            labels = f'method="{method}",route="{route}",status="{status}"'
            lines.append(f"thrive_requests_total{{{labels}}} {count}")
        lines.append("# TYPE thrive_request_seconds histogram")
        for route in sorted(self._buckets):
            lines.extend(self._histogram(route))
        for kind, values in (("gauge", gauges), ("counter", counters)):
            for base, series in groupby(sorted(values), key=lambda name: name.partition("{")[0]):
                lines.append(f"# TYPE {base} {kind}")
                lines += [f"{name} {_spelled(values[name])}" for name in series]
        return "\n".join(lines) + "\n"

    def _histogram(self, route: str) -> Iterator[str]:
        name, total = "thrive_request_seconds", 0
        for bound, count in zip((*BOUNDS, "+Inf"), self._buckets[route], strict=True):
            total += count
            yield f'{name}_bucket{{route="{route}",le="{bound}"}} {total}'
        yield f'{name}_sum{{route="{route}"}} {self._seconds[route]:.6f}'
        yield f'{name}_count{{route="{route}"}} {total}'


def _spelled(value: float) -> str:
    """Return a number with all its digits: a counter that is rounded seems to stand still."""
    return str(int(value)) if float(value).is_integer() else repr(float(value))
