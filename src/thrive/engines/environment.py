"""What a process computes with: Python, platform, libraries, threads, chosen variables."""

import os
import platform
import sys
from pathlib import Path
from typing import Any

from thrive.engines.installed import installed

CHOSEN_VARIABLES = (
    "CUDA_VISIBLE_DEVICES",
    "LANG",
    "LC_ALL",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "OMP_NUM_THREADS",
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

_INSTALL_FOLDERS = {"site-packages", "dist-packages"}


def record_environment() -> dict[str, Any]:
    """Return the environment of this process as plain values."""
    libraries = installed(_library_paths())
    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "platform": _platform(),
        "machine": os.uname().machine if hasattr(os, "uname") else platform.machine(),
        "cpu": _cpu(),
        "cpus": _cpus(),
        "libraries": [f"{name}=={each.version}" for name, each in libraries.items()],
        "contents": {name: each.digest for name, each in libraries.items() if each.digest},
        "threads": thread_pools(),
        "variables": {name: os.environ[name] for name in CHOSEN_VARIABLES if name in os.environ},
    }


def _library_paths() -> list[str]:
    """Return where imports look, without what a package carries inside itself.

    Ray and setuptools put copies of other libraries on the path when they are imported: those
    are part of them, and no installer could put them there.
    """
    return [
        path
        for path in sys.path
        if not _INSTALL_FOLDERS.intersection(p.name for p in Path(path).parents)
    ]


def _platform() -> str:
    """Return what `platform.platform` says, which on Linux starts a process to say it."""
    if sys.platform != "linux":
        return platform.platform()
    name = os.uname()
    libc = "".join(platform.libc_ver())
    return "-".join(filter(None, (name.sysname, name.release, name.machine, "with", libc)))


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


_COMPUTING = ("numpy", "scipy", "sklearn", "lightgbm", "xgboost", "catboost", "torch", "numba")


def computing() -> frozenset[str]:
    """Return which libraries that bring thread pools are loaded in this process."""
    return frozenset(name for name in _COMPUTING if name in sys.modules)


def thread_names() -> list[str]:
    """Return the names of this process's threads, as the kernel knows them; Linux alone tells."""
    tasks = Path("/proc/self/task")
    if not tasks.is_dir():
        return []
    return [(task / "comm").read_text().strip() for task in tasks.iterdir()]
