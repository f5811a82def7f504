"""What the nodes of a cluster have installed, and what Ray is to install for a run."""

from typing import Any

from thrive.engines.rebuild import OWN, PACKAGE
from thrive.version import __version__


def runtime_environment(
    record: dict[str, Any], nodes: list[dict[str, Any]]
) -> dict[str, Any] | None:
    """Return Ray's `runtime_env` for a run; None where every node has all that is here.

    Ray builds an environment once for a list of packages and keeps it, so runs share it.

    Args:
        record: the environment of the run, as it is recorded: its `libraries` are the lock.
        nodes: of each node `python`, `libraries` and the version of `thrive`, "" for none.
    """
    wanted: dict[str, Any] = {}
    lock = [line for line in record["libraries"] if line.partition("==")[0] != OWN]
    if any(set(lock) - set(node["libraries"]) for node in nodes):
        wanted["pip"] = {"packages": lock, "pip_check": False}
    if any(node["thrive"] != __version__ for node in nodes):
        wanted["py_modules"] = [str(PACKAGE)]
    return wanted or None


def other_pythons(record: dict[str, Any], nodes: list[dict[str, Any]]) -> list[str]:
    """Return the versions of Python on nodes that are not that of the run: nothing can mend it."""
    minor = record["python"].rpartition(".")[0]
    return sorted({each["python"] for each in nodes if each["python"].rpartition(".")[0] != minor})
