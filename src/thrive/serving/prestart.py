"""A worker that is started before its settings are known: it imports while its agent does.

An agent takes a third of a second until it knows its home, its number and its socket, and a worker
as long until it can answer; side by side, a host answers after half the time.
"""

import contextlib
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

from thrive.serving import environment

if TYPE_CHECKING:
    from collections.abc import Generator

    from thrive.serving.limits import WorkerSettings

PROGRAM = (sys.executable, "-m", "thrive.serving.process")
"""What a worker is started with, before its settings or `WAIT`."""
WAIT = "--wait"
_MOST_BYTES = 1 << 20

_waiting: list[tuple[subprocess.Popen[bytes], socket.socket]] = []


@contextlib.contextmanager
def begun() -> "Generator[None]":
    """Have a worker wait for its settings; it leaves with the block if nobody took it."""
    _begin()
    try:
        yield
    finally:
        _send_away()


def _begin() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            [*PROGRAM, WAIT, str(theirs.fileno())],
            stdin=subprocess.PIPE,
            pass_fds=(theirs.fileno(),),
            env=environment.of_worker(),
            start_new_session=True,
        )
    _waiting.append((process, ours))


def _send_away() -> None:
    while _waiting:
        process, line = _waiting.pop()
        line.close()
        if process.stdin is not None:
            process.stdin.close()
        process.kill()  # it has done no more than import
        process.wait()


def take(settings: "WorkerSettings", listening: socket.socket) -> "subprocess.Popen[bytes] | None":
    """Give a waiting worker its settings; None if none waits."""
    if not _waiting:
        return None
    import msgspec

    process, line = _waiting.pop()
    with line, contextlib.suppress(OSError):
        socket.send_fds(line, [msgspec.json.encode(settings)], [listening.fileno()])
    return process


def settings_from(line: socket.socket) -> "WorkerSettings | None":
    """Return the settings that come over a line, with the socket of this process; None for none."""
    import msgspec

    from thrive.serving.limits import WorkerSettings

    with line:
        data, handles, _, _ = socket.recv_fds(line, _MOST_BYTES, 1)
        while data and (more := line.recv(_MOST_BYTES)):
            data += more
    if not data or not handles:
        return None
    settings = msgspec.json.decode(data, type=WorkerSettings)
    return msgspec.structs.replace(settings, socket=handles[0])
