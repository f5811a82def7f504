"""One function over many parts, on the machines of a cluster: for work that is no run."""

import itertools
from collections import deque
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from typing import Any

from thrive.domain.errors import InfrastructureError
from thrive.engines.environment import record_environment
from thrive.engines.ray.cluster import connect, import_ray, look_at_nodes, refuse_other_pythons
from thrive.engines.ray.surroundings import runtime_environment

AHEAD = 2
"""Parts that are sent for each processor before the first answer is taken."""


class Cluster:
    """A cluster that functions of Thrive can be called on; `connected` gives one."""

    def __init__(self, ray: Any, surroundings: dict[str, Any] | None) -> None:
        self._ray = ray
        self._surroundings = surroundings

    def share(self, value: Any) -> Any:
        """Return what stands for a value among the arguments of parts: it is sent to a node once.

        Args:
            value: for instance the bytes of a model.
        """
        return self._ray.put(value)

    def spread(
        self, function: Callable[..., Any], parts: Iterable[tuple[Any, ...]]
    ) -> Generator[Any]:
        """Yield what a function returns for each part, in their order.

        A part is made when a processor is near being free for it, so that few are in memory at a
        time. A part whose node dies is computed once more elsewhere.

        Args:
            function: of a module of Thrive; without effects, because it may be called twice.
            parts: its arguments; Arrow tables travel without being copied.

        Raises:
            InfrastructureError: the cluster is gone.
        """
        task = self._ray.remote(function).options(runtime_env=self._surroundings, max_retries=3)
        room = AHEAD * max(1, int(self._ray.cluster_resources().get("CPU", 1)))
        coming = iter(parts)
        sent = deque(task.remote(*part) for part in itertools.islice(coming, room))
        while sent:
            yield self._answer(sent.popleft())
            sent.extend(task.remote(*part) for part in itertools.islice(coming, 1))

    def _answer(self, reference: Any) -> Any:
        try:
            return self._ray.get(reference)
        except self._ray.exceptions.RayTaskError:
            raise
        except self._ray.exceptions.RayError as error:
            raise InfrastructureError(
                f"The cluster lost a part of the work: {error}", "try it again"
            ) from None


@contextmanager
def connected(address: str) -> Generator[Cluster]:
    """Give the cluster at an address; a connection that was there before stays.

    Args:
        address: `ray://host:10001`, `host:6379`, or "auto" for the cluster of this machine.

    Raises:
        UsageError: Ray is not installed.
        InfrastructureError: there is no cluster at the address.
        Refused: its nodes have another Python.
    """
    ray = import_ray()
    is_new = connect(ray, address)
    try:
        record = record_environment()
        nodes = look_at_nodes(ray)
        refuse_other_pythons(record, nodes)
        yield Cluster(ray, runtime_environment(record, nodes))
    finally:
        if is_new:
            ray.shutdown()
