"""What a process used of the machine."""

import resource
import sys

_PEAK_UNIT = 1 if sys.platform == "darwin" else 1024


def used(*counted: resource.struct_rusage) -> dict[str, float | int]:
    """Return `cpu` in seconds and `peak`, the most memory that any of them held, in bytes."""
    return {
        "cpu": sum(each.ru_utime + each.ru_stime for each in counted),
        "peak": max(each.ru_maxrss for each in counted) * _PEAK_UNIT,
    }


def used_here() -> dict[str, float | int]:
    """Return what this process used, and those it waited for."""
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return used(*(resource.getrusage(kind) for kind in kinds))
