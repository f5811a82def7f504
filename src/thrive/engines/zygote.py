"""The zygote: imports the program of a run once, then forks one child for each task.

It never computes: a process whose OpenMP or Polars threads have worked hangs its forks. It ends
with the process that started it, and takes every child with it.
"""

import contextlib
import functools
import gc
import importlib
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from thrive.engines import channel, wire
from thrive.engines.failures import describe
from thrive.engines.usage import used

CONTROL = "THRIVE_CONTROL_FD"
ALONE = "alone"
"""The argument of a fresh interpreter that does one task and ends."""
SPARE = ""
"""The name of a process that has no task yet."""
_RARELY = 100_000
_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG of <linux/prctl.h>


class Program(Protocol):
    """What a module must offer to run in a zygote."""

    def prepare(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Import what tasks need, compute nothing, and return what the caller should know."""
        ...

    def perform(self, work: dict[str, Any]) -> None:
        """Do one task in a fork; results and failures go through the channel."""
        ...


def main() -> None:
    """Serve the control socket named by the environment until the other side closes it."""
    control = socket.socket(fileno=int(os.environ.pop(CONTROL)))
    die_with_parent()
    first, _ = wire.receive(control)
    if sys.argv[1:] == [ALONE]:
        sys.exit(_alone(control, first))
    usual = gc.get_threshold()
    gc.set_threshold(_RARELY)  # among what is being imported there is little to find
    program = _prepared(control, first)
    if program is not None:
        gc.collect()
        gc.freeze()
        gc.set_threshold(*usual)
        _Zygote(control, program, first).serve()


def _alone(connection: socket.socket, first: dict[str, Any]) -> int:
    """Do one task in this interpreter, which nothing was forked from."""
    program: Any = importlib.import_module(first["program"])
    program.prepare(first["arguments"])
    return _performed(program, connection, first["begun"])


def _performed(program: Program, connection: socket.socket, begun: dict[str, Any]) -> int:
    if begun["memory"] is not None:
        limit_memory(begun["memory"])
    channel.install(channel.Channel(connection, begun["facts"]))
    return _finished(lambda: program.perform(begun["work"]))


def _prepared(control: socket.socket, first: dict[str, Any]) -> Program | None:
    program: Any = importlib.import_module(first["program"])
    try:
        ready = program.prepare(first["arguments"])
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever the user's module raises
        failure = msgspec.to_builtins(describe(error))
        wire.send(control, {"kind": "refused", "failure": failure})
        return None
    wire.send(control, {"kind": "ready", "body": ready})
    return program


def die_with_parent() -> None:
    """Ask the kernel to kill this process when its parent dies; Linux alone can."""
    if sys.platform == "linux":
        _prctl()(_DIE_WITH_PARENT, signal.SIGKILL, 0, 0, 0)


@functools.cache  # for the forks: each would load it again
def _prctl() -> Callable[..., int]:
    import ctypes

    return ctypes.CDLL(None).prctl


class _Zygote:
    def __init__(self, control: socket.socket, program: Program, first: dict[str, Any]) -> None:
        self._control = control
        self._first = first
        self._program = program
        self._children: set[int] = set()
        self._woken, self._waker = socket.socketpair()
        self._woken.setblocking(False)
        self._waker.setblocking(False)

    def serve(self) -> None:
        """Answer fork and kill orders, and tell of each exit, until the caller is gone."""
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda _signal, _frame: None)
        try:
            for _ in range(self._first["ahead"]):
                self._begin(SPARE, None, fresh=False)
            self._serve()
        except wire.WireClosed:
            pass
        finally:
            for pid in self._children:
                kill_group(pid)

    def _serve(self) -> None:
        import select

        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        poll.register(self._woken, select.POLLIN)
        while True:
            ready = {handle for handle, _ in poll.poll()}
            if self._woken.fileno() in ready:
                self._woken.recv(4096)
                self._reap()
            if self._control.fileno() in ready:
                order, _ = wire.receive(self._control)
                self._obey(order)

    def _obey(self, order: dict[str, Any]) -> None:
        if order["kind"] == "fork":
            self._begin(order["task"], order["begun"], fresh=order["fresh"])
        elif order["pid"] in self._children:
            kill_group(order["pid"])

    def _begin(self, task: str, begun: dict[str, Any] | None, *, fresh: bool) -> None:
        theirs, ours = socket.socketpair()
        reading, writing = os.pipe()
        if fresh:
            pid = self._spawn(ours, writing)
            wire.send(theirs, {**self._first, "begun": begun})
        else:
            pid = self._fork(theirs, ours, reading, writing, begun)
        with contextlib.suppress(PermissionError):  # a spawned one is the first of its own group
            os.setpgid(pid, pid)  # here as well as in the child: whoever comes first
        self._children.add(pid)
        message = {"kind": "forked", "task": task, "pid": pid}
        wire.send(self._control, message, (theirs.fileno(), reading))
        for handle in (theirs.detach(), ours.detach(), reading, writing):
            os.close(handle)

    def _fork(
        self,
        theirs: socket.socket,
        ours: socket.socket,
        reading: int,
        writing: int,
        begun: dict[str, Any] | None,
    ) -> int:
        pid = os.fork()
        if pid == 0:
            theirs.close()
            os.close(reading)
            self._become(ours, writing, begun)
        return pid

    def _spawn(self, ours: socket.socket, writing: int) -> int:
        os.set_inheritable(ours.fileno(), True)
        actions = [(os.POSIX_SPAWN_DUP2, writing, 1), (os.POSIX_SPAWN_DUP2, writing, 2)]
        return os.posix_spawn(
            sys.executable,
            [sys.executable, "-m", "thrive.engines.zygote", ALONE],
            {**os.environ, CONTROL: str(ours.fileno())},
            file_actions=actions,
            setpgroup=0,
        )

    def _become(self, connection: socket.socket, output: int, begun: dict[str, Any] | None) -> None:
        """Do a task and end; without one, wait for it first."""
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.setpgid(0, 0)
            die_with_parent()
            for handle in (self._control, self._woken, self._waker):
                handle.close()
            _redirect(output)
            given: dict[str, Any] = begun or wire.receive(connection)[0]
            status = _performed(self._program, connection, given)
        finally:
            os._exit(status)

    def _reap(self) -> None:
        while self._children:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self._children.discard(pid)
            code = os.waitstatus_to_exitcode(status)
            exited = {"kind": "exited", "pid": pid, "code": code, **used(usage)}
            wire.send(self._control, exited)


def limit_memory(size: int) -> None:
    """Refuse this process more than `size` bytes beside what it holds now (RLIMIT_DATA)."""
    import resource

    held = 0
    if sys.platform == "linux":
        with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 - in a fork: little
            held = int(file.read().split()[5]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_DATA, (held + size, held + size))


def kill_group(pid: int) -> None:
    """Kill a task and every process it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def _redirect(output: int) -> None:
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)


def _finished(work: Callable[[], None]) -> int:
    """Do the work; whatever it raises past its own reporting is shown in its output."""
    try:
        work()
    except BaseException:  # noqa: BLE001 - a child must never go on into the zygote's loop
        traceback.print_exc()
        return 1
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    return 0


if __name__ == "__main__":
    main()
