"""The calling side: tasks of a run as tasks of a Ray cluster, beside the local engine."""

import contextlib
import itertools
import os
import queue
import socket
import threading
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, Self

import msgspec

from thrive.domain.errors import InfrastructureError
from thrive.domain.identifiers import new_id
from thrive.engines.environment import record_environment
from thrive.engines.failures import Failure
from thrive.engines.local import NOTHING_SPECIAL, Event, Exit, LocalEngine, Message, Needs, Output
from thrive.engines.ray import node as nodes
from thrive.engines.ray.cluster import (
    at_node,
    connect,
    import_ray,
    look_at_nodes,
    refuse_other_pythons,
)
from thrive.engines.ray.desk import Desk
from thrive.engines.ray.surroundings import runtime_environment

LARGEST_PARCEL = 64
"""Tasks of a fan-out that travel in one Ray task at most."""
PARCELS_PER_PROCESSOR = 2
"""One is performed, one waits beside it."""
KILLED = -9
_WAIT = 0.5
_RESOURCES_SECONDS = 5.0
_KINDS = {"message": Message, "output": Output, "exit": Exit}


class Depot(msgspec.Struct, frozen=True, kw_only=True):
    """Where the run takes bytes for nodes, and keeps theirs.

    Attributes:
        path: digest -> a verified file of this machine; raises NotFound.
        keep: gets a digest and its bytes; raises Damaged if they are not what it says.
        pack: sees the work of each task before it is sent, so that `path` finds what it names.
    """

    path: Callable[[str], Path]
    keep: Callable[[str, memoryview], None]
    pack: Callable[[dict[str, Any]], None]


class _Parcel:
    """Tasks that travel as one Ray task."""

    def __init__(self, tasks: list[dict[str, Any]]) -> None:
        self.open = {task["task"] for task in tasks}


class RayEngine:
    """Runs tasks on a Ray cluster, and those that say so here; the local engine is ready already.

    Use as a context manager: leaving it kills whatever still runs, here and there.

    Args:
        local: the engine of this machine; it is closed with this one.
        setup: what a node is told of the run.
        depot: where bytes come from and go to.
        address: `ray://host:10001`, `host:6379`, or "auto" for the cluster of this machine.
        environment: the record of the run's environment: nodes get its libraries.

    Raises:
        UsageError: Ray is not installed.
        InfrastructureError: there is no cluster at the address.
        Refused: its nodes have another Python.
    """

    depth = 16
    """How many small tasks of a fan-out it takes for each processor."""

    def __init__(
        self,
        local: LocalEngine,
        setup: nodes.Setup,
        depot: Depot,
        *,
        address: str,
        environment: dict[str, Any] | None = None,
    ) -> None:
        self._local = local
        self._setup = msgspec.to_builtins(setup)
        self._depot = depot
        self._ray = import_ray()
        self._waiting: list[tuple[dict[str, Any], Needs]] = []
        self._parcels: dict[Any, _Parcel] = {}
        self._there: set[str] = set()
        self._asked: dict[tuple[str, int], int] = {}
        self._laid: dict[str, Any] = {}
        self._closed = threading.Event()
        self._found: queue.SimpleQueue[Event | BaseException] = queue.SimpleQueue()
        self._resources: tuple[float, float] = (0.0, 0.0)
        self._connected = connect(self._ray, address)
        try:
            record = record_environment() if environment is None else environment
            self.nodes = look_at_nodes(self._ray)
            refuse_other_pythons(record, self.nodes)
            self._surroundings = runtime_environment(record, self.nodes)
            self._desk = self._open_desk()
        except BaseException:
            self._disconnect()
            raise
        self._woken, self._waker = socket.socketpair()
        self._waker.setblocking(False)
        local.listen(self._woken.fileno(), self._taken)
        self._thread = threading.Thread(target=self._receive, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Kill every task, here and on the nodes. Closing twice is fine."""
        if self._closed.is_set():
            return
        self._closed.set()
        self._local.close()
        for parcel in list(self._parcels):
            with contextlib.suppress(Exception):  # a cluster that is gone has nothing to cancel
                self._ray.cancel(parcel, force=True)
        self._thread.join(2 * _WAIT + 5)
        self._disconnect()
        self._woken.close()
        self._waker.close()

    def ready(self) -> Generator[Output, None, dict[str, Any]]:
        """Wait as the local engine does."""
        return self._local.ready()

    def capacity(self) -> float:
        """Return the processors of the cluster, as of the last few seconds."""
        at, known = self._resources
        if time.monotonic() - at > _RESOURCES_SECONDS:
            known = float(self._ray.cluster_resources().get("CPU", 0.0))
            self._resources = (time.monotonic(), known)
        return known

    def fork(
        self, task: str, work: dict[str, Any], facts: dict[str, Any], needs: Needs = NOTHING_SPECIAL
    ) -> None:
        """Start a task on a node, or here if it must be; arguments as of the local engine."""
        if needs.here:
            self._local.fork(task, work, facts, needs)
            return
        self._depot.pack(work)
        plain = {"task": task, "work": work, "facts": facts, "needs": msgspec.to_builtins(needs)}
        self._there.add(task)
        self._waiting.append((plain, needs))

    def reply(self, message: Message, body: Any = None, failure: Failure | None = None) -> None:
        """Answer a request, wherever it was asked."""
        if message.task not in self._there:
            self._local.reply(message, body, failure)
            return
        asked = self._asked.pop((message.task, message.number), 0)
        if asked:
            error = None if failure is None else msgspec.to_builtins(failure)
            self._desk.answer.remote(asked, {"body": body, "error": error})

    def events(self, wait: float | None = None) -> list[Event]:
        """Send what waits to be started, then return what happened; as the local engine does."""
        self._send()
        found = self._local.events(wait)
        for event in found:
            if isinstance(event, BaseException):
                raise event
        return found

    def _send(self) -> None:
        """Send tasks: small ones of fan-outs together, so that a thousand are not a thousand."""
        alone = [each for each in self._waiting if not each[1].small]
        many = [each for each in self._waiting if each[1].small]
        for task, needs in alone:
            self._post([task], needs)
        places = max(int(self.capacity() * PARCELS_PER_PROCESSOR), 1) - len(self._parcels)
        size = min(-(-len(many) // max(places, 1)), LARGEST_PARCEL)
        while many and places > 0:
            parcel, many = many[:size], many[size:]
            self._post([task for task, _ in parcel], parcel[0][1])
            places -= 1
        self._waiting = many

    def _post(self, tasks: list[dict[str, Any]], needs: Needs) -> None:
        options: dict[str, Any] = {
            "num_cpus": needs.cpu,
            "num_gpus": needs.gpu or None,
            "memory": needs.memory,
            "max_retries": 0,
            "name": tasks[0]["task"],
            "runtime_env": self._surroundings,
        }
        perform = self._ray.remote(_perform).options(**options)
        self._parcels[perform.remote(self._desk, self._setup, tasks)] = _Parcel(tasks)

    def _open_desk(self) -> Any:
        here = self._ray.get_runtime_context().get_node_id()
        options = {"num_cpus": 0, "scheduling_strategy": at_node(here, soft=False)}
        return self._ray.remote(Desk).options(**options, runtime_env=self._surroundings).remote()

    def _receive(self) -> None:
        """Take what nodes say, answer what is asked of the depot, and see which tasks are lost."""
        taking = self._desk.take.remote(_WAIT)
        while not self._closed.is_set():
            try:
                ended, _ = self._ray.wait(
                    [taking, *self._parcels], num_returns=1, timeout=_WAIT, fetch_local=False
                )
                if taking in ended:
                    self._take_all(self._ray.get(taking))
                    taking = self._desk.take.remote(_WAIT)
                for parcel in ended:
                    if parcel in self._parcels:
                        self._take_all(self._ray.get(taking))
                        taking = self._desk.take.remote(_WAIT)
                        self._end(parcel)
            except Exception as error:  # noqa: BLE001 - it is raised where events are asked for
                if not self._closed.is_set():
                    self._tell(self._trouble(error))
                return

    def _trouble(self, error: Exception) -> InfrastructureError:
        """Return what Ray says of itself in one sentence: it tells of its processes at length."""
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        if isinstance(error, self._ray.exceptions.RuntimeEnvSetupError):
            what = f"Ray cannot build the environment of the run on its nodes: {lines[-1]}"
            hint = "have the nodes reach a package index, or install there what is installed here"
            return InfrastructureError(what, hint)
        return InfrastructureError(f"The Ray cluster is lost: {lines[0]}", "thrive runs resume RUN")

    def _take_all(self, items: list[dict[str, Any]]) -> None:
        for item in items:
            if item["kind"] == "blobs":
                self._lay(item)
            elif item["kind"] == "keep":
                self._keep(item)
            else:
                self._pass(msgspec.convert(item["event"], _KINDS[item["kind"]]), item["asked"])

    def _pass(self, event: Event, asked: int) -> None:
        """Hand an event on, unless its task has ended: a node that dies may still say things."""
        if event.task and event.task not in self._there:
            return
        if isinstance(event, Message) and asked:
            self._asked[event.task, event.number] = asked
        if isinstance(event, Exit):
            self._there.discard(event.task)
            for parcel in list(self._parcels.values()):
                parcel.open.discard(event.task)
        self._tell(event)

    def _lay(self, item: dict[str, Any]) -> None:
        """Answer which objects hold the bytes of digests; each is put into the store once."""
        for digest in item["digests"]:
            if digest not in self._laid:
                self._laid[digest] = lay(self._ray, nodes.bytes_of(self._depot.path(digest)))
        answer = {digest: self._laid[digest] for digest in item["digests"]}
        self._desk.answer.remote(item["asked"], answer)

    def _keep(self, item: dict[str, Any]) -> None:
        for digest, name in item["blobs"].items():
            self._depot.keep(digest, lift(self._ray, name))
            self._laid.setdefault(digest, name)  # the next node takes it from where it was made
        self._desk.answer.remote(item["asked"], True)

    def _end(self, ref: Any) -> None:
        """See how a parcel ended; tasks of it that did not are lost with their node."""
        parcel = self._parcels.pop(ref)
        try:
            for items in self._ray.get(ref):
                self._take_all([{**item, "asked": 0} for item in items])
        except self._ray.exceptions.RayError:
            lost = [
                Exit(task=task, code=KILLED, timed_out=False, cpu=0.0, peak=0, lost=True)
                for task in sorted(parcel.open)
            ]
            for each in lost:
                self._pass(each, 0)

    def _tell(self, event: Event | BaseException) -> None:
        self._found.put(event)
        with contextlib.suppress(BlockingIOError):  # then it is awake
            self._waker.send(b"!")

    def _taken(self) -> list[Any]:
        self._woken.recv(4096)
        found: list[Any] = []
        with contextlib.suppress(queue.Empty):
            while True:
                found.append(self._found.get_nowait())
        return found

    def _disconnect(self) -> None:
        if self._connected:
            self._ray.shutdown()


def _perform(desk: Any, setup: dict[str, Any], tasks: list[dict[str, Any]]) -> list[Any]:
    """Perform tasks on a node, one after the other; runs as a Ray task.

    Returns:
        What is to be told of tasks that could not begin.
    """
    try:
        node, line = _Here.of(msgspec.convert(setup, nodes.Setup), desk)
    except Exception as error:  # noqa: BLE001 - the user's module may raise anything
        return [nodes.refused(task["task"], error) for task in tasks]
    for task in tasks:
        node.perform(task)
    line.flush()
    return []


class _Here:
    """The node of this process: Ray keeps it for the next tasks of the same environment."""

    node: nodes.Node | None = None
    line: "_Line | None" = None

    @classmethod
    def of(cls, setup: nodes.Setup, desk: Any) -> tuple[nodes.Node, "_Line"]:
        if cls.node is not None and cls.node.run != setup.run:
            cls.node.close()
            cls.node = None
        if cls.node is None or cls.line is None:
            name = import_ray().get_runtime_context().get_node_id()
            cls.line = _Line(desk)
            cls.node = nodes.Node(setup, f"{name}-{os.getuid()}", cls.line)
        return cls.node, cls.line


class _Line:
    """The way from a node to the run: calls of the desk, bytes through Ray's object store."""

    def __init__(self, desk: Any) -> None:
        self._ray = import_ray()
        self._desk = desk
        self._source = new_id()
        self._places = itertools.count(1)
        self._said: list[Any] = []

    def say(self, items: list[dict[str, Any]]) -> None:
        self._said.append(self._desk.say.remote(self._source, next(self._places), items))

    def flush(self) -> None:
        """Wait until all that was said has arrived."""
        said, self._said = self._said, []
        self._ray.get(said)

    def ask(self, item: dict[str, Any]) -> Any:
        return self._ray.get(self._desk.ask.remote(self._source, next(self._places), item))

    def lay(self, data: memoryview) -> Any:
        return lay(self._ray, data)

    def lift(self, name: Any) -> memoryview:
        return lift(self._ray, name)


def lay(ray: Any, data: memoryview) -> Any:
    """Put bytes into Ray's object store; return what names them, in a list so that it stays one."""
    import numpy as np

    return [ray.put(np.frombuffer(data, np.uint8))]


def lift(ray: Any, name: Any) -> memoryview:
    """Return the bytes of a name that `lay` gave, from wherever they are."""
    return memoryview(ray.get(name[0]))
