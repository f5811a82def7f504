"""How much processor and memory this process uses, from the operating system's own counters."""

import resource
import sys
import time
from pathlib import Path

_STATM = Path("/proc/self/statm")
_MB = 1 << 20


class Vitals:
    """Looks at the process every few seconds.

    Args:
        every: seconds between two looks.
    """

    def __init__(self, every: float) -> None:
        self.looks = 0
        self._every = every
        self._at = time.monotonic()
        self._used = _processor_seconds()

    def look(self) -> dict[str, float]:
        """Return what was used since the look before, by metric; nothing before it is time.

        `system/cpu_percent` is 100 for one whole processor; `system/memory_mb` is resident.
        """
        now = time.monotonic()
        passed = now - self._at
        if passed < self._every:
            return {}
        used = _processor_seconds()
        percent = 100 * (used - self._used) / passed
        self._at, self._used, self.looks = now, used, self.looks + 1
        return {"system/cpu_percent": percent, "system/memory_mb": resident_mb()}


def _processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def resident_mb() -> float:
    """Return the resident memory of this process, or its peak where only that is told."""
    if _STATM.exists():
        return int(_STATM.read_text().split()[1]) * resource.getpagesize() / _MB
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (_MB if sys.platform == "darwin" else 1024)
