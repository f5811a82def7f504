"""A cluster as it is found: reaching it, and what its nodes have installed."""

import importlib
import socket
from collections.abc import Mapping
from typing import Any

from thrive.domain.errors import InfrastructureError, Refused, UsageError
from thrive.engines.ray.surroundings import other_pythons

CONNECT_SECONDS = 10.0


def import_ray() -> Any:
    """Return Ray.

    Raises:
        UsageError: it is not installed.
    """
    try:
        return importlib.import_module("ray")
    except ImportError:
        raise UsageError("Ray is not installed.", "pip install 'thrive[ray]'") from None


def at_node(node: str, *, soft: bool) -> Any:
    """Return Ray's word for: on this node; `soft`: or elsewhere if it is gone."""
    strategies = importlib.import_module("ray.util.scheduling_strategies")
    return strategies.NodeAffinitySchedulingStrategy(node, soft=soft)


def connect(ray: Any, address: str) -> bool:
    """Connect this process to a cluster; tell whether it was not connected before.

    Raises:
        InfrastructureError: there is none at the address.
    """
    if ray.is_initialized():
        return False
    try:
        _reach(address)
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except Exception as error:  # noqa: BLE001 - Ray raises many kinds
        raise InfrastructureError(
            f"There is no Ray cluster at {address}: {error}",
            "start one with `ray start --head`, or name it: --address ray://HOST:10001",
        ) from None
    return True


def _reach(address: str) -> None:
    """Open a connection and close it: Ray itself tries for minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon and port.isdigit():
        socket.create_connection((host, int(port)), CONNECT_SECONDS).close()


def look_at_nodes(ray: Any) -> list[dict[str, Any]]:
    """Return what each living node has installed, as far as it differs between machines."""

    def look() -> dict[str, Any]:  # nested: Ray sends it by value, Thrive may not be there
        import platform
        from importlib.metadata import distributions

        named = [each for each in distributions() if each.metadata["Name"]]
        try:
            from thrive.version import __version__ as own
        except ImportError:
            own = ""
        return {
            "python": platform.python_version(),
            "libraries": [f"{each.metadata['Name'].lower()}=={each.version}" for each in named],
            "thrive": own,
        }

    alive = [each["NodeID"] for each in ray.nodes() if each["Alive"]]
    asked = [
        ray.remote(look).options(num_cpus=0, scheduling_strategy=at_node(name, soft=True)).remote()
        for name in alive
    ]
    return ray.get(asked)


def refuse_other_pythons(record: Mapping[str, Any], seen: list[dict[str, Any]]) -> None:
    """Raise Refused where nodes have another Python than the record of an environment."""
    others = other_pythons(dict(record), seen)
    if others:
        raise Refused(
            f"The run uses Python {record['python']}, the cluster has {', '.join(others)}.",
            "begin it with the Python of the cluster",
        )
