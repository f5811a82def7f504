"""The local engine: the calling side of a zygote."""

import contextlib
import os
import select
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import Any, Self

import msgspec

from thrive.domain.errors import InfrastructureError
from thrive.engines import wire
from thrive.engines.environment import PATIENT_THREADS
from thrive.engines.failures import Failure, restore
from thrive.engines.zygote import CONTROL, SPARE, kill_group

_OUTPUT_SIZE = 1 << 16
MOST_SPARES = 4
"""Forks that wait for a task of a fan-out at most."""
AHEAD = 2
"""Forks that wait for a single task: of the shortest, the next one comes before one is made."""
IMPORTING = ""
"""The task that output during the import of the program belongs to."""


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """A task says or asks something; `number` 0 wants no reply."""

    task: str
    number: int
    kind: str
    body: dict[str, Any]


class Output(msgspec.Struct, frozen=True, kw_only=True):
    """A task wrote to its standard output or error."""

    task: str
    data: bytes


class Exit(msgspec.Struct, frozen=True, kw_only=True):
    """A task's process ended; everything it said was delivered before.

    Attributes:
        code: the exit code, or minus the signal that killed it.
        timed_out: it was killed because its time was over.
        cpu: seconds of CPU it used.
        peak: bytes of memory it held at most.
        lost: it did not end by itself: the machine it ran on is gone.
    """

    task: str
    code: int
    timed_out: bool
    cpu: float
    peak: int
    lost: bool = False


class Needs(msgspec.Struct, frozen=True, kw_only=True):
    """What a task asks for.

    Attributes:
        timeout: seconds after which it is killed, None for no limit.
        memory: bytes it may add to what it starts with; more is refused to it.
        fresh: in a new interpreter that imports the program again, instead of a fork.
        cpu: processors it counts for; a cluster finds it a place that has them.
        gpu: graphics processors; only a cluster looks at them.
        here: on the machine of the engine, whatever the engine.
        small: one of many of its kind, which may travel together.
    """

    timeout: float | None = None
    memory: int | None = None
    fresh: bool = False
    cpu: float = 1.0
    gpu: float = 0.0
    here: bool = False
    small: bool = False


NOTHING_SPECIAL = Needs()


Event = Message | Output | Exit


class _Task:
    """A forked process: of a task, or a spare one that waits for a task and has no name yet."""

    def __init__(self, task: str, timeout: float | None) -> None:
        self.begin(task, timeout)
        self.pid = 0
        self.timed_out = False
        self.open = 0
        self.exit: dict[str, Any] | None = None
        self.connection: socket.socket | None = None

    def begin(self, task: str, timeout: float | None) -> None:
        """Be the process of a task from now on."""
        self.task = task
        self.deadline = None if timeout is None else time.monotonic() + timeout


class LocalEngine:
    """Runs tasks of one program in forks of one zygote.

    Use as a context manager: leaving it kills whatever still runs.

    Args:
        program: dotted name of a module with `prepare` and `perform`; trusted, ours.
        arguments: what `prepare` gets.
        folder: the working directory of all tasks.
        environment: variables added to this process's own; None takes one away.
        python: the interpreter; this process's own if empty.
        ahead: how many forks wait for a task as soon as the program is imported.
    """

    depth = 1
    """How many small tasks of a fan-out it takes for each processor."""

    def __init__(
        self,
        program: str,
        arguments: dict[str, Any],
        *,
        folder: Path,
        environment: Mapping[str, str | None] | None = None,
        python: str = "",
        ahead: int = 0,
    ) -> None:
        self._closed = False
        self._processors = float(_processors())
        self._others: list[int] = []
        self._selector = selectors.DefaultSelector()
        self._tasks: dict[str, _Task] = {}
        self._spares: list[_Task] = []
        self._spares_ordered = ahead
        self._early: list[Any] = []
        self._control, theirs = socket.socketpair()
        reading, writing = os.pipe()
        try:
            self._process = subprocess.Popen(
                [python or sys.executable, "-m", "thrive.engines.zygote"],
                cwd=folder,
                env={**_variables(environment or {}), CONTROL: str(theirs.fileno())},
                stdin=subprocess.DEVNULL,
                stdout=writing,
                stderr=writing,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        finally:
            theirs.close()
            os.close(writing)
        self._selector.register(self._control, selectors.EVENT_READ, self._on_control)
        self._listen_output(reading, None)
        wire.send(self._control, {"program": program, "arguments": arguments, "ahead": ahead})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Kill every task and the zygote: nothing stays behind. Closing twice is fine."""
        if self._closed:
            return
        self._closed = True
        for task in (*self._tasks.values(), *self._spares):
            if task.pid:
                kill_group(task.pid)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for handle in self._others:
            self._selector.unregister(handle)
        for key in list(self._selector.get_map().values()):
            self._selector.unregister(key.fileobj)
            _close(key.fileobj)
        self._selector.close()

    def ready(self) -> Generator[Output, None, dict[str, Any]]:
        """Wait until the program is imported; yield its output, return what `prepare` returned.

        Raises:
            ThriveError: what the program refused; an error of the user's module is a NotRight.
            InfrastructureError: the process ended without a word.
        """
        while True:
            for event in self._turn(None):
                if isinstance(event, dict):
                    return _accepted(event)
                if isinstance(event, Output):
                    yield event

    def fork(
        self,
        task: str,
        work: dict[str, Any],
        facts: dict[str, Any],
        needs: Needs = NOTHING_SPECIAL,
    ) -> None:
        """Start a task.

        Args:
            task: a name for it, unique in this engine.
            work: what `perform` gets.
            facts: what its channel tells it at the start.
            needs: its limits, and where it runs.
        """
        begun = {"work": work, "facts": facts, "memory": needs.memory}
        if needs.fresh or not self._give(task, begun, needs.timeout):
            self._tasks[task] = _Task(task, needs.timeout)
            self._order({"kind": "fork", "task": task, "fresh": needs.fresh, "begun": begun})
        if not needs.fresh:
            self._order_spares(min(int(self._processors), MOST_SPARES) if needs.small else AHEAD)

    def _give(self, name: str, begun: dict[str, Any], timeout: float | None) -> bool:
        """Give a task to a process that was forked ahead; False if there is none."""
        while self._has_spare():
            spare = self._spares.pop(0)
            if spare.connection is None:
                continue  # something killed it; its exit is still to come
            try:
                wire.send(spare.connection, begun)
            except wire.WireClosed:
                continue
            spare.begin(name, timeout)
            self._tasks[name] = spare
            return True
        return False

    def _has_spare(self) -> bool:
        """Tell whether a process waits, looking first at what the zygote has said meanwhile."""
        while not self._spares and self._spares_ordered:
            if not select.select([self._control], [], [], 0)[0]:
                break
            self._early += self._on_control()
        return bool(self._spares)

    def _order_spares(self, wanted: int) -> None:
        """Have processes forked for the tasks to come while this one works."""
        for _ in range(wanted - len(self._spares) - self._spares_ordered):
            self._order({"kind": "fork", "task": SPARE, "fresh": False, "begun": None})
            self._spares_ordered += 1

    def capacity(self) -> float:
        """Return how many processors its tasks have."""
        return self._processors

    def listen(self, handle: int, take: Callable[[], list[Any]]) -> None:
        """Have `events` wait for another source too.

        Args:
            handle: a descriptor that becomes readable when there is something.
            take: called then; returns events.
        """
        self._selector.register(handle, selectors.EVENT_READ, take)
        self._others.append(handle)

    def reply(self, message: Message, body: Any = None, failure: Failure | None = None) -> None:
        """Answer a request; a task that is gone meanwhile needs no answer."""
        task = self._tasks.get(message.task)
        if task is None or task.connection is None or not message.number:
            return
        error = None if failure is None else msgspec.to_builtins(failure)
        answer = {"number": message.number, "body": body, "error": error}
        with contextlib.suppress(wire.WireClosed):
            wire.send(task.connection, answer)

    def events(self, wait: float | None = None) -> list[Event]:
        """Return what happened, after `wait` seconds at most; an empty list when nothing did.

        Raises:
            InfrastructureError: the zygote died.
        """
        return [event for event in self._turn(wait) if not isinstance(event, dict)]

    def _turn(self, wait: float | None) -> list[Any]:
        found, self._early = self._early, []
        for key, _ in self._selector.select(0 if found else self._patience(wait)):
            if self._selector.get_map().get(key.fd) is key:  # not closed by an earlier one
                found.extend(key.data())
        self._kill_late()
        return found

    def _patience(self, wait: float | None) -> float | None:
        left = [task.deadline - time.monotonic() for task in self._running() if task.deadline]
        soonest = min(left, default=None)
        if soonest is None:
            return wait
        return max(0.0, soonest if wait is None else min(wait, soonest))

    def _running(self) -> list[_Task]:
        return [task for task in self._tasks.values() if task.exit is None and not task.timed_out]

    def _kill_late(self) -> None:
        for task in self._running():
            if task.pid and task.deadline and time.monotonic() >= task.deadline:
                task.timed_out = True
                self._order({"kind": "kill", "pid": task.pid})

    def _order(self, order: dict[str, Any]) -> None:
        try:
            wire.send(self._control, order)
        except wire.WireClosed:
            raise self._lost() from None

    def _lost(self) -> InfrastructureError:
        self._process.wait()
        code = self._process.returncode
        return InfrastructureError(
            f"The process that imports the pipeline ended {describe_exit(code)}.",
            "thrive doctor, then run again",
        )

    def _on_control(self) -> list[Any]:
        try:
            message, handles = wire.receive(self._control)
        except wire.WireClosed:
            raise self._lost() from None
        if message["kind"] == "forked":
            return self._on_forked(message, handles)
        if message["kind"] == "exited":
            return self._on_exited(message)
        return [message]

    def _on_forked(self, message: dict[str, Any], handles: list[int]) -> list[Any]:
        if message["task"] == SPARE:
            task = _Task(SPARE, None)
            self._spares.append(task)
            self._spares_ordered -= 1
        else:
            task = self._tasks[message["task"]]
        task.pid = message["pid"]
        task.connection = socket.socket(fileno=handles[0])
        task.open = 2
        self._selector.register(
            task.connection, selectors.EVENT_READ, lambda: self._on_message(task)
        )
        self._listen_output(handles[1], task)
        return []

    def _on_exited(self, message: dict[str, Any]) -> list[Any]:
        known = (*self._tasks.values(), *self._spares)
        task = next((task for task in known if task.pid == message["pid"]), None)
        if task is None:
            return []  # a spare that died before it was given a task
        task.exit = message
        kill_group(task.pid)  # what it started and left behind would keep its pipes open
        return self._if_ended(task)

    def _listen_output(self, handle: int, task: _Task | None) -> None:
        self._selector.register(handle, selectors.EVENT_READ, lambda: self._on_output(handle, task))

    def _on_output(self, handle: int, task: _Task | None) -> list[Any]:
        data = os.read(handle, _OUTPUT_SIZE)
        if data:
            return [Output(task=task.task if task else IMPORTING, data=data)]
        self._selector.unregister(handle)
        os.close(handle)
        return self._one_closed(task) if task else []

    def _on_message(self, task: _Task) -> list[Any]:
        connection = task.connection
        assert connection is not None
        try:
            message, _ = wire.receive(connection)
        except wire.WireClosed:
            self._selector.unregister(connection)
            connection.close()
            task.connection = None
            return self._one_closed(task)
        return [msgspec.convert({"task": task.task, **message}, Message)]

    def _one_closed(self, task: _Task) -> list[Any]:
        task.open -= 1
        return self._if_ended(task)

    def _if_ended(self, task: _Task) -> list[Any]:
        """Return the exit once the process is gone and all that it said has been read."""
        if task.exit is None or task.open:
            return []
        if task.task == SPARE:
            self._spares = [each for each in self._spares if each is not task]
            return []
        del self._tasks[task.task]
        return [
            Exit(
                task=task.task,
                code=task.exit["code"],
                timed_out=task.timed_out,
                cpu=task.exit["cpu"],
                peak=task.exit["peak"],
            )
        ]


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _variables(changed: Mapping[str, str | None]) -> dict[str, str]:
    every = {**PATIENT_THREADS, **os.environ, **changed}
    return {name: value for name, value in every.items() if value is not None}


def _close(handle: Any) -> None:
    if isinstance(handle, int):
        os.close(handle)
    else:
        handle.close()


def _accepted(answer: dict[str, Any]) -> dict[str, Any]:
    if answer["kind"] == "ready":
        return answer["body"]
    failure = msgspec.convert(answer["failure"], Failure)
    error = restore(failure)
    what = "\n".join([error.what, *failure.frames])
    raise type(error)(what, error.hint or "correct the file, then run again")


def describe_exit(code: int) -> str:
    """Return an exit code in words: `with code 3`, `by signal SIGSEGV`."""
    if code >= 0:
        return f"with exit code {code}"
    name = signal.Signals(-code).name
    likely = " (the machine may have run out of memory)" if name == "SIGKILL" else ""
    return f"by signal {name}{likely}"
