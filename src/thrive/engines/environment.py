"""What a process computes with: Python, platform, libraries, threads, chosen variables."""

import importlib.metadata
import os
import platform
import sys
from pathlib import Path
from typing import Any

CHOSEN_VARIABLES = (
    "CUDA_VISIBLE_DEVICES",
    "LANG",
    "LC_ALL",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "OMP_NUM_THREADS",
    "OMP_WAIT_POLICY",
    "OMP_WAIT_POLICY",
    "OPENBLAS_CORETYPE",
    "OPENBLAS_NUM_THREADS",
    "POLARS_MAX_THREADS",
    "PYTHONHASHSEED",
    "TZ",
)
"""Variables that change numbers; no other is ever recorded, so no secret can be."""

PATIENT_THREADS = {"OMP_WAIT_POLICY": "PASSIVE"}
"""What a task gets unless the user says otherwise: OpenMP threads that spin while they wait make
a fit on a busy machine many times slower (measured: 66 s against 4.5 s), and gain little alone."""


def record_environment() -> dict[str, Any]:
    """Return the environment of this process as plain values."""
    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cpu": _cpu(),
        "cpus": _cpus(),
        "libraries": _libraries(),
        "threads": thread_pools(),
        "variables": {name: os.environ[name] for name in CHOSEN_VARIABLES if name in os.environ},
    }


def _libraries() -> list[str]:
    found = {
        (distribution.name or "").lower(): distribution.version
        for distribution in importlib.metadata.distributions()
    }
    return [f"{name}=={version}" for name, version in sorted(found.items()) if name]


def _cpu() -> str:
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


def _cpus() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def thread_pools() -> list[dict[str, Any]]:
    """Return the thread pools of the numeric libraries loaded so far, with their kernels."""
    try:
        import threadpoolctl
    except ImportError:
        return []
    wanted = ("user_api", "internal_api", "num_threads", "version", "architecture")
    pools = threadpoolctl.threadpool_info()
    return [{key: pool[key] for key in wanted if key in pool} for pool in pools]


def thread_names() -> list[str]:
    """Return the names of this process's threads, as the kernel knows them; Linux alone tells."""
    tasks = Path("/proc/self/task")
    if not tasks.is_dir():
        return []
    return [(task / "comm").read_text().strip() for task in tasks.iterdir()]
