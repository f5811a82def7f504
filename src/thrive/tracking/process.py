"""Which process drives a run, so that a dead one is noticed and a reused pid is not trusted."""

import os
import socket
import subprocess
import sys
from pathlib import Path

ELSEWHERE = "elsewhere/-/0/-"
"""Drives a run from afar: nobody here can tell whether it has ended."""
_BOOT = Path("/proc/sys/kernel/random/boot_id")


def own_identity() -> str:
    """Return `host/boot/pid/start` of this process."""
    pid = os.getpid()
    return f"{socket.gethostname()}/{_boot()}/{pid}/{_started(pid)}"


def is_gone(identity: str) -> bool:
    """Tell whether the process of an identity has certainly ended.

    One of another host is never judged; without an identity nobody drives the run.
    """
    if not identity:
        return True
    host, boot, pid, started = identity.rsplit("/", 3)
    if host != socket.gethostname():
        return False
    return boot != _boot() or _started(int(pid)) != started


def _boot() -> str:
    return _BOOT.read_text().strip() if _BOOT.exists() else "-"


def _started(pid: int) -> str:
    """Return when a process started, in any fixed unit; "" when there is none."""
    if sys.platform == "linux":
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return ""
        state, *fields = stat.rpartition(")")[2].split()
        return "" if state == "Z" else fields[18]
    command = ["ps", "-o", "lstart=", "-p", str(pid)]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
