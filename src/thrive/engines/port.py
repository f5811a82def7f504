"""What every engine can do for a run: the local one, and those of clusters."""

from collections.abc import Generator
from typing import Any, Protocol, Self

from thrive.engines.failures import Failure
from thrive.engines.local import Event, Message, Needs, Output


class Engine(Protocol):
    """Runs tasks of one program; leaving it as a context manager kills whatever still runs."""

    @property
    def depth(self) -> int:
        """How many small tasks of a fan-out it takes for each processor."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def ready(self) -> Generator[Output, None, dict[str, Any]]:
        """Wait until the program is imported; yield its output, return what `prepare` returned."""
        ...

    def fork(
        self, task: str, work: dict[str, Any], facts: dict[str, Any], needs: Needs = ...
    ) -> None:
        """Start a task."""
        ...

    def reply(self, message: Message, body: Any = None, failure: Failure | None = None) -> None:
        """Answer a request; a task that is gone meanwhile needs no answer."""
        ...

    def events(self, wait: float | None = None) -> list[Event]:
        """Return what happened, after `wait` seconds at most; an empty list when nothing did."""
        ...

    def capacity(self) -> float:
        """Return how many processors its tasks have."""
        ...

    def close(self) -> None:
        """Kill every task; closing twice is fine."""
        ...
