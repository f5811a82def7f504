"""The process of a version that is not in production: loads one package, answers one worker.

Whatever the version does (sleeps for ever, eats memory, raises, answers NaN), it does here. The
kernel ends this process when its worker ends.
"""

import contextlib
import ctypes
import os
import resource
import signal
import socket
import sys
import time
from pathlib import Path

import msgspec

from thrive.domain.errors import ThriveError, UsageError
from thrive.domain.model import VersionSeal
from thrive.packaging.formats.predictor import Predictor
from thrive.serving.answers import NotANumber, read_answer
from thrive.serving.assemble import RowAssembler
from thrive.serving.channel import HEAD, MAX_FRAME, Question, Reply, frame
from thrive.serving.packages import PackageCache

MEMORY_LIMIT = 4 << 30
GROWTH = 1 << 30
"""Bytes of addresses that answering may take beyond those of the loaded model."""
SHADOW_NICE = 10
_END_WITH_PARENT = 1  # PR_SET_PDEATHSIG


class CandidateSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What a candidate's process is started with.

    Attributes:
        shadow: nobody waits for its answers: it leaves the processors to those who answer.
        memory: limit of its addresses in bytes.
    """

    socket: int
    packages: str
    package: str
    model: str
    version: int
    threshold: float
    seal: VersionSeal | None = None
    shadow: bool = False
    memory: int = MEMORY_LIMIT


def main() -> None:
    """Serve one socket until it is closed."""
    settings = msgspec.json.decode(sys.argv[1], type=CandidateSettings)
    _bind_to_parent()
    if settings.shadow:
        os.nice(SHADOW_NICE)
    resource.setrlimit(resource.RLIMIT_AS, (settings.memory, settings.memory))
    with socket.socket(fileno=settings.socket) as stream:
        try:
            packages = PackageCache(Path(settings.packages))
            predictor = packages.load_warm(
                settings.package, settings.model, settings.version, settings.seal
            )
        except (ThriveError, OSError) as error:
            stream.sendall(frame(Reply(number=0, error=f"load: {error}"[:500])))
            return
        limit_growth(settings.memory)
        stream.sendall(frame(Reply(number=0)))
        serve(stream, predictor, settings.threshold)


def limit_growth(most: int) -> None:
    """Let the process grow by `GROWTH` beyond what it has now: a leak meets its end early.

    Args:
        most: the limit in bytes that holds in any case.
    """
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except (OSError, ValueError):
        return
    limit = min(most, pages * resource.getpagesize() + GROWTH)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def serve(stream: socket.socket, predictor: Predictor, threshold: float) -> None:
    """Answer questions in order until the other side closes."""
    assembler = RowAssembler(predictor.signature, [])
    decoder = msgspec.msgpack.Decoder(Question)
    with stream.makefile("rb") as source, contextlib.suppress(BrokenPipeError, ConnectionError):
        while head := source.read(HEAD.size):
            (length,) = HEAD.unpack(head)
            if length > MAX_FRAME:
                return
            question = decoder.decode(source.read(length))
            stream.sendall(frame(_answer(predictor, assembler, question, threshold)))


def _answer(
    predictor: Predictor, assembler: RowAssembler, question: Question, threshold: float
) -> Reply:
    started = time.perf_counter_ns()
    try:
        assembled = assembler.read(question.rows)
        raw = predictor.predict(assembled.columns)
        scores, decisions = read_answer(predictor.signature.output, threshold, raw)
    except UsageError as error:
        return Reply(number=question.number, error=f"input: {error.what}"[:200])
    except NotANumber:
        return Reply(number=question.number, error="nan")
    except MemoryError:
        return Reply(number=question.number, error="memory")
    except Exception as error:  # noqa: BLE001 - any failure of a candidate is its evidence
        return Reply(number=question.number, error=f"raised {type(error).__name__}")
    micros = (time.perf_counter_ns() - started) // 1000
    return Reply(number=question.number, scores=scores, decisions=decisions, micros=micros)


def _bind_to_parent() -> None:
    """Ask the kernel to end this process with its parent; where it cannot, the socket tells."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_END_WITH_PARENT, signal.SIGKILL)


if __name__ == "__main__":
    main()
