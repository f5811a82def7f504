"""Whether the process lives, whether its stores answer, and what it has counted."""

import time
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

from thrive.domain.errors import ThriveError
from thrive.server.metrics import CONTENT_TYPE, Metrics
from thrive.server.problems import Problem, json_response
from thrive.server.threads import Run
from thrive.store import jobs
from thrive.store.home import Home
from thrive.version import __version__

if TYPE_CHECKING:
    from thrive.flows.model_numbers import ModelNumbers

HEALTH, READY, METRICS = "/health", "/ready", "/metrics"
LOOK_EVERY_S = 1.0
"""How often the stores are asked, however often probes ask."""
_ABSENT = "0" * 64


class Health:
    """Answers probes and Prometheus.

    Args:
        home: the home whose stores are asked.
        metrics: what was counted.
        counters: returns further counters by metric name.
        run: calls a function in a thread.

    Attributes:
        opened: whether all that a server offers can be asked for; probes can before.
        draining: whether it takes its last requests.
    """

    def __init__(
        self,
        home: Home,
        metrics: Metrics,
        counters: Callable[[], Mapping[str, float]],
        run: Run,
    ) -> None:
        self.opened = False
        self.draining = False
        self._home = home
        self._metrics = metrics
        self._counters = counters
        self._run = run
        self._asked = 0.0
        self._stores: dict[str, str] = {}

    def alive(self) -> Response:
        """Answer that the process lives; nothing else is asked."""
        return json_response({"status": "ok", "version": __version__})

    async def ready(self) -> Response:
        """Answer 200 while every store answers and nothing opens or drains, else 503."""
        if not self.opened:
            return json_response({"status": "starting"}, 503)
        if time.monotonic() - self._asked > LOOK_EVERY_S:
            self._asked = time.monotonic()
            self._stores = await self._run(self._ask)
        good = not self.draining and set(self._stores.values()) == {"ok"}
        status = "draining" if self.draining else "ready" if good else "not ready"
        return json_response({"status": status, **self._stores}, 200 if good else 503)

    async def metrics(self) -> Response:
        """Answer with everything counted."""
        gauges = await self._run(self._gauges)
        return Response(self._metrics.text(gauges, self._counters()), media_type=CONTENT_TYPE)

    def _ask(self) -> dict[str, str]:
        return {"database": _answers(self._home.now), "blobs": _answers(self._has_blob)}

    def _has_blob(self) -> None:
        self._home.blobs.has(_ABSENT)

    @cached_property
    def _models(self) -> "ModelNumbers":
        from thrive.flows.model_numbers import ModelNumbers  # probes need none of it

        return ModelNumbers()

    def _gauges(self) -> dict[str, float]:
        now = self._home.now()
        with self._home.read() as tx:
            counted = jobs.unfinished(tx, self._home.project_id)
            models = self._models.gauges(tx, self._home.project_id, now)
        waiting = {f'thrive_jobs{{state="{state}"}}': count for state, count in counted.items()}
        return waiting | models


def refuse_writing(request: Request) -> None:
    """Refuse whatever does not read.

    Raises:
        Problem: 405.
    """
    if request.method not in {"GET", "HEAD"}:
        path = request.scope["path"]
        raise Problem(405, "UsageError", f"{path} is read.", headers={"Allow": "GET, HEAD"})


def _answers(ask: Callable[[], object]) -> str:
    try:
        ask()
    except (ThriveError, OSError):
        return "does not answer"
    return "ok"
