"""How often one caller may ask: a token bucket for each token, or address where none is sent.

A limit that nobody meets by working, however many clients log at once, and that keeps one caller
in a loop from taking the server from the others. Each process counts by itself.
"""

import math
from collections.abc import Hashable

BURST_S = 2.0
"""How many seconds' worth of requests may come at once."""
REMEMBERED = 10_000


class Pace:
    """Tells who asks too often, by the generic cell rate algorithm (ITU-T I.371).

    It is a token bucket of which one number is kept: when it will be full again.

    Args:
        rate: requests a second that a caller may send for long; 0 for no limit.
    """

    def __init__(self, rate: float) -> None:
        self._each = 1.0 / rate if rate > 0 else 0.0
        self._full: dict[Hashable, float] = {}

    def wait(self, caller: Hashable, now: float) -> float:
        """Count one request; return for how many seconds it came too early, 0 where it may pass.

        What came too early is not counted.

        Args:
            caller: who asks.
            now: seconds of a clock that never goes back.
        """
        full = self._full.get(caller, now)
        ahead = full - now
        if ahead > BURST_S:
            return ahead - BURST_S
        self._full[caller] = (full if ahead > 0.0 else now) + self._each
        if len(self._full) > REMEMBERED:
            self._forget(now)
        return 0.0

    def _forget(self, now: float) -> None:
        """Forget whose bucket is full; everybody, where that does not make room."""
        kept = {caller: full for caller, full in self._full.items() if full > now}
        self._full = kept if len(kept) < REMEMBERED // 2 else {}


def whole_seconds(wait: float) -> int:
    """Return a wait as `Retry-After` says it."""
    return max(1, math.ceil(wait))
