"""One request, as whoever answers it sees it."""

import time
from typing import Any

import msgspec


class Asked(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One request: the rows, the key of its assignment, its event time, and when it came.

    `rows` are the row objects, none where the rows were read another way; `count` says how many
    there are. `key` is None when the caller named none: then each row's entity is used, or
    chance. `variant` is the one that the caller chose, `trace` its trace id, if it sent one;
    `sync` asks that the answer is logged whatever the sample, and on the disk before it is sent.
    `began` is `time.perf_counter_ns()`.
    """

    rows: list[dict[str, Any]]
    count: int
    at: int
    key: str | None = None
    variant: str | None = None
    trace: str = ""
    sync: bool = False
    began: int = msgspec.field(default_factory=time.perf_counter_ns)

    def micros(self) -> int:
        """Return how long ago it came."""
        return (time.perf_counter_ns() - self.began) // 1000
