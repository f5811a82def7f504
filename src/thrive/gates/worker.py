"""The program of a gate worker: loads one package, then predicts, strains and times it.

Started as `python -m thrive.gates.worker SOCKET`. It is given local files alone, answers frames
on its socket, and ends when the other side closes. What a model does wrong, it does here.
"""

import contextlib
import ctypes
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thrive.domain.errors import ThriveError, UsageError
from thrive.engines import wire
from thrive.gates import strain
from thrive.packaging.formats.predictor import Predictor
from thrive.packaging.inference import columns_of
from thrive.packaging.loader import allowed_here, load_folder
from thrive.packaging.signature import Columns, Scalar

CHUNK_ROWS = 16_384
TIMED_ROWS = 256
BATCHES, BEST_OF = (1, 32, 1024), 3
_END_WITH_PARENT = 1  # PR_SET_PDEATHSIG


class Session:
    """What one worker knows: its predictor, and the columns it was asked about."""

    def __init__(self) -> None:
        self._predictor: Predictor | None = None
        self._columns: Columns = {}
        self._requests: dict[int, list[Columns]] = {}
        self._next = 0

    @property
    def predictor(self) -> Predictor:
        """The loaded model."""
        if self._predictor is None:
            raise UsageError("No package is loaded.", "send `load` first")
        return self._predictor

    def load(self, folder: str, digest: str, name: str) -> dict[str, Any]:
        """Load the package in a folder; answers how long it took and the memory it needs."""
        before, started = _peak_memory(), time.perf_counter()
        self._predictor = load_folder(Path(folder), digest=digest, name=name, allow=allowed_here())
        seconds = time.perf_counter() - started
        return {"seconds": seconds, "memory": _peak_memory(), "memory_before": before}

    def predict(self, table: str) -> dict[str, Any]:
        """Predict every row of a Parquet table; answers float64 bytes and their shape."""
        import polars as pl

        names = [*self.predictor.signature.names]
        frame = pl.read_parquet(table)
        self._columns = columns_of(self.predictor.signature, frame.select(_known(names, frame)))
        if not frame.height:
            raise UsageError("There is no row to answer.", "register it with evaluation rows")
        started = time.perf_counter()
        parts = [
            np.asarray(self.predictor.predict(rows_of(self._columns, start, CHUNK_ROWS)))
            for start in range(0, frame.height, CHUNK_ROWS)
        ]
        answer = _numbers(np.concatenate(parts), self.predictor.signature.output.classes)
        seconds = time.perf_counter() - started
        return {"scores": answer.tobytes(), "shape": list(answer.shape), "seconds": seconds}

    def strain(self) -> dict[str, Any]:
        """Answer odd rows: see `thrive.gates.strain`."""
        return {
            "found": strain.strained(self.predictor, self._columns),
            "noise": strain.sensitivity(self.predictor, self._columns),
        }

    def time(self, rows: int, calls: int) -> dict[str, Any]:
        """Answer requests of some rows one after another; answers nanoseconds a call."""
        requests = self._requests.get(rows) or self._prepared(rows)
        predict = self.predictor.predict
        clock = time.perf_counter_ns
        spent: list[int] = []
        for _ in range(calls):
            request = requests[self._next % len(requests)]
            self._next += 1
            started = clock()
            predict(request)
            spent.append(clock() - started)
        return {"nanoseconds": spent}

    def throughput(self) -> dict[str, Any]:
        """Answer rows a second for batches of several sizes, the best of three."""
        found: dict[str, float] = {}
        for rows in BATCHES:
            batch = rows_of(self._columns, 0, rows)
            count = len(next(iter(batch.values())))
            best = min(self._batch_seconds(batch) for _ in range(BEST_OF))
            found[str(rows)] = count / best
        return {"rows_a_second": found}

    def _batch_seconds(self, batch: Columns) -> float:
        started = time.perf_counter()
        self.predictor.predict(batch)
        return max(time.perf_counter() - started, 1e-9)

    def pin(self, core: int) -> dict[str, Any]:
        """Stay on one processor, so that two workers meet the same conditions."""
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, {core})
        return {}

    def memory(self) -> dict[str, Any]:
        """Answer the largest resident memory so far, in bytes."""
        return {"memory": _peak_memory()}

    def _prepared(self, rows: int) -> list[Columns]:
        starts = range(0, TIMED_ROWS, rows)
        found = [rows_of(self._columns, start, rows) for start in starts]
        whole = [one for one in found if len(next(iter(one.values()))) == rows]
        self._requests[rows] = whole or found[:1]
        self._next = 0
        return self._requests[rows]


def rows_of(columns: Columns, start: int, count: int) -> Columns:
    """Return some consecutive rows of columns."""
    return {name: column[start : start + count] for name, column in columns.items()}


def _known(names: list[str], frame: Any) -> list[str]:
    return [name for name in names if name in frame.columns]


def _numbers(answer: NDArray[Any], classes: tuple[Scalar, ...]) -> NDArray[np.float64]:
    """Return answers as numbers; a class that is no number as its place among the classes."""
    if answer.ndim == 1 and classes and answer.dtype.kind != "f":
        places = {str(each): float(place) for place, each in enumerate(classes)}
        if all(str(each) in places for each in np.unique(answer).tolist()):
            return np.array([places[str(each)] for each in answer.tolist()])
    if answer.dtype.kind not in "fiub":
        raise UsageError("The model answers words, not numbers.", "gates judge scores")
    return np.ascontiguousarray(answer, dtype=np.float64)


def _peak_memory() -> int:
    scale = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale


def _answer(session: Session, message: dict[str, Any]) -> dict[str, Any]:
    ask: Callable[..., dict[str, Any]] = getattr(session, message["kind"])
    try:
        return {"body": ask(**message["body"]), "error": ""}
    except ThriveError as error:
        return {"body": {}, "error": error.what}
    except Exception as error:  # noqa: BLE001 - whatever a model raises is evidence
        return {"body": {}, "error": f"{type(error).__name__}: {str(error)[:300]}"}


def serve(connection: socket.socket) -> None:
    """Answer frames until the other side closes."""
    session = Session()
    with contextlib.suppress(wire.WireClosed):
        while True:
            message, _ = wire.receive(connection)
            wire.send(connection, _answer(session, message))


def main() -> None:
    """Serve the socket whose number is the only argument."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_END_WITH_PARENT, signal.SIGKILL)
    with socket.socket(fileno=int(sys.argv[1])) as connection:
        serve(connection)


if __name__ == "__main__":
    main()
