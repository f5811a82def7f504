"""A worker's side of a candidate's process: ask it, give up on it, start it again."""

import asyncio
import contextlib
import logging
import socket
import sys
from pathlib import Path
from typing import Any

import msgspec

from thrive.domain.release import Variant
from thrive.packaging.signature import Signature
from thrive.serving import environment
from thrive.serving.candidate import CandidateSettings
from thrive.serving.channel import HEAD, MAX_FRAME, Question, Reply, frame

_logger = logging.getLogger(__name__)

PROGRAM = (sys.executable, "-m", "thrive.serving.candidate")
DEADLINE_S = 1.0
"""How long a live request waits for a candidate before production answers it."""
ROW_DEADLINE_S = 0.001
"""What each further row adds."""
START_S = 30.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0


class CandidateFailed(Exception):
    """A candidate gave no answer; `reason` goes into the log and the release's evidence."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Isolated:
    """One version in its own process.

    A version that misses its deadline is killed, as nothing else stops code that holds the
    interpreter; it is started again after a pause that doubles with each failure.

    Args:
        packages: folder of the package cache.
        variant: the version, with its package and who vouches for it.
        model: the model's name.
        signature: the package's signature.
        threshold: score from which the decision is positive.
        program: the command that answers; it gets the settings as its last argument.
        shadow: whether nobody waits for its answers: then it works when nothing else does.
    """

    def __init__(
        self,
        packages: Path,
        variant: Variant,
        model: str,
        signature: Signature,
        threshold: float,
        program: tuple[str, ...] = PROGRAM,
        *,
        shadow: bool = False,
    ) -> None:
        self.package = variant.package
        self.signature = signature
        self.restarts = 0
        self.closed = False
        self._program = program
        self._settings = CandidateSettings(
            socket=-1,
            packages=str(packages),
            package=variant.package,
            model=model,
            version=variant.version,
            seal=variant.seal,
            threshold=threshold,
            shadow=shadow,
        )
        self._waiting: dict[int, asyncio.Future[Reply]] = {}
        self._number = 0
        self._writer: asyncio.StreamWriter | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._started = asyncio.Event()
        self._keeper = asyncio.create_task(self._keep(), name=f"candidate {model}")

    async def ready(self, timeout_s: float) -> bool:
        """Wait until the first start succeeded or failed; tell whether it answers now."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._started.wait(), timeout_s)
        return self._writer is not None

    async def ask(self, rows: list[dict[str, Any]], deadline_s: float | None = None) -> Reply:
        """Return the version's answer to rows that fit its signature.

        Args:
            rows: as its signature wants them.
            deadline_s: how long an answer to one row is waited for; `DEADLINE_S` if not said.

        Raises:
            CandidateFailed: it is not running, is too slow, or failed.
        """
        writer = self._writer
        if writer is None:
            raise CandidateFailed("not running")
        self._number += 1
        number = self._number
        reply: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting[number] = reply
        writer.write(frame(Question(number, rows)))
        try:
            # an answer that lay in the socket while this loop was busy is not late
            patience = DEADLINE_S if deadline_s is None else deadline_s
            await asyncio.wait([reply], timeout=patience + ROW_DEADLINE_S * len(rows))
        finally:
            self._waiting.pop(number, None)
        if not reply.done():
            self._kill()
            raise CandidateFailed("timeout")
        found = reply.result()
        if found.error:
            raise CandidateFailed(found.error)
        return found

    async def close(self) -> None:
        """End the process; what waits for it from now on says nothing about the version."""
        self.closed = True
        self._keeper.cancel()
        self._kill()
        with contextlib.suppress(asyncio.CancelledError):
            await self._keeper
        if self._process is not None:
            await self._process.wait()

    async def _keep(self) -> None:
        pause = FIRST_PAUSE_S
        while True:
            began = asyncio.get_running_loop().time()
            try:
                await self._run_once()
            except (OSError, ConnectionError, msgspec.MsgspecError, TimeoutError) as error:
                _logger.warning("candidate %s: %s", self.package[:12], error)
            self._fail_waiting("died")
            self._started.set()
            long_run = asyncio.get_running_loop().time() - began > LONGEST_PAUSE_S
            pause = FIRST_PAUSE_S if long_run else min(pause * 2, LONGEST_PAUSE_S)
            self.restarts += 1
            await asyncio.sleep(pause)

    async def _run_once(self) -> None:
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                settings = msgspec.structs.replace(self._settings, socket=theirs.fileno())
                self._process = await asyncio.create_subprocess_exec(
                    *self._program,
                    msgspec.json.encode(settings).decode(),
                    pass_fds=(theirs.fileno(),),
                    stdin=asyncio.subprocess.DEVNULL,
                    env=environment.of_model(),
                )
            reader, writer = await asyncio.open_connection(sock=ours)
        except BaseException:
            ours.close()
            raise
        try:
            await self._listen(reader, writer)
        finally:
            self._writer = None
            writer.close()
            self._kill()
            await self._process.wait()

    async def _listen(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hello = await asyncio.wait_for(_receive(reader), START_S)
        if hello.error:
            raise ConnectionError(hello.error)
        self._writer = writer
        self._started.set()
        while True:
            try:
                reply = await _receive(reader)
            except asyncio.IncompleteReadError:
                return
            future = self._waiting.get(reply.number)
            if future is not None and not future.done():
                future.set_result(reply)

    def _fail_waiting(self, reason: str) -> None:
        for number, future in self._waiting.items():
            if not future.done():
                future.set_result(Reply(number=number, error=reason))

    def _kill(self) -> None:
        self._writer = None
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()


async def _receive(reader: asyncio.StreamReader) -> Reply:
    (length,) = HEAD.unpack(await reader.readexactly(HEAD.size))
    if length > MAX_FRAME:
        raise ConnectionError(f"a frame of {length} bytes")
    return msgspec.msgpack.decode(await reader.readexactly(length), type=Reply)
