"""A run that a script opens itself: `with thrive.run("exp") as run: run.log(loss=0.3, step=1)`.

What is logged waits in memory and is written by a thread of its own, a second later at most:
training never waits for a disk. A process that dies loses what was logged since the last write.
"""

import io
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import msgspec

from thrive.domain.clock import machine_now
from thrive.domain.errors import UsageError
from thrive.domain.run import Artifact, Run, RunState
from thrive.operations import Context
from thrive.store import runs
from thrive.store.observations import Observation, observe_one
from thrive.tracking.recorder import close_run
from thrive.tracking.vitals import Vitals

if TYPE_CHECKING:
    from thrive.store.points import Points
    from thrive.tracking.autologging import EpochCallback

FLUSH_SECONDS = 1.0
MOST_WAITING = 1_000_000
"""Points that may wait; whoever logs more waits for the writer."""
LONGEST_KEY = 250
_STEPS = 1 << 63

_Waiting = dict[tuple[str, ...], tuple[list[int], list[int], list[tuple[float, ...]]]]
"""Steps, moments (ns) and values of calls that logged the same names, by those names."""


class ActiveRun:
    """A running run; its methods may be called from several threads.

    Args:
        ctx: the context of whoever runs it.
        run: the run, already stored.
        vitals: seconds between two looks at the processor and the memory, 0 for none.
        ended: called when the run has ended.
    """

    def __init__(
        self,
        ctx: Context,
        run: Run,
        *,
        vitals: float = 0.0,
        ended: Callable[[], None] = lambda: None,
    ) -> None:
        self._ctx = ctx
        self._ended = ended
        self._run = run
        self._lock = threading.Lock()
        self._waiting: _Waiting = {}
        self._count = 0
        self._step = 0
        self._end: tuple[RunState, str] | None = None
        self._is_over = False
        self._writing = threading.Lock()
        self._stop = threading.Event()
        self._failure: BaseException | None = None
        self._vitals = Vitals(vitals) if vitals else None
        self._writer = threading.Thread(target=self._keep_writing, name="thrive-run", daemon=True)
        self._writer.start()

    @property
    def id(self) -> str:
        """The id of the run."""
        return self._run.run_id

    def log(
        self, values: Mapping[str, float] | None = None, *, step: int | None = None, **more: float
    ) -> None:
        """Log metrics: `run.log(loss=0.3, step=1)`, or names that are no words as a dict.

        Args:
            values: numbers by name.
            step: where in training they were seen; the next whole number by default.
            more: numbers by name.

        Raises:
            UsageError: a name is too long, a value or the step is no number, or the run has ended.
            ThriveError: of the last write, if it failed.
        """
        now = time.time_ns()
        given = {**values, **more} if more and values else values or more
        try:
            row = tuple(map(float, given.values()))
        except (TypeError, ValueError):
            raise _no_number(given) from None
        names = tuple(given)
        with self._lock:
            if step is None:
                step = self._step
            elif not _is_step(step):
                raise UsageError(f"step = {str(step)[:60]!r} is no step.", "give a whole number")
            self._step = step + 1
            kept = self._waiting.get(names)
            if kept is None:
                kept = self._waiting[tuple(map(_checked, names))] = ([], [], [])
            kept[0].append(step)
            kept[1].append(now)
            kept[2].append(row)
            self._count += len(names)
        if self._count > MOST_WAITING or self._failure is not None:
            self._settle()

    def params(self, values: Mapping[str, Any] | None = None, **more: Any) -> None:
        """Log parameters, at once; each has one value in a run.

        Raises:
            UsageError: one has another value already; none of them is logged.
        """
        given = {**(values or {}), **more}
        self._note(params={_checked(key): _plain(value) for key, value in given.items()})

    def tags(self, values: Mapping[str, str] | None = None, **more: str) -> None:
        """Set tags, at once; a tag set again has its new value."""
        given = {**(values or {}), **more}
        self._note(tags={_checked(key): str(value) for key, value in given.items()})

    def artifact(self, content: str | bytes | Path, name: str = "") -> Artifact:
        """Keep a file, or bytes, as an artifact of the run.

        Args:
            content: a path, as `Path` or text, or the bytes themselves.
            name: what it is called in the run; a path's own name by default.

        Raises:
            UsageError: bytes without a name, or a name that cannot be one.
            FileNotFoundError: there is no such file.
        """
        if isinstance(content, bytes):
            return self._keep(name, content)
        path = Path(content)
        digest = self._ctx.home.blobs.put_file(path)
        return self._save(name or path.name, digest, path.stat().st_size)

    def figure(self, name: str, figure: Any) -> Artifact:
        """Keep a figure as PNG: whatever has `savefig` (matplotlib) or `write_image` (plotly)."""
        buffer = io.BytesIO()
        if hasattr(figure, "savefig"):
            figure.savefig(buffer, format="png", bbox_inches="tight")
        elif hasattr(figure, "write_image"):
            figure.write_image(buffer, format="png")
        else:
            raise UsageError(f"{type(figure).__name__} is no figure.", "give a matplotlib figure")
        return self._keep(name if name.endswith(".png") else f"{name}.png", buffer.getvalue())

    def table(self, name: str, rows: Any) -> Artifact:
        """Keep a table as Parquet: a frame of polars or pandas, a dict of columns, or rows.

        Raises:
            UsageError: it is no table of plain values.
        """
        import polars as pl

        buffer = io.BytesIO()
        try:
            frame = rows if isinstance(rows, pl.DataFrame) else pl.DataFrame(rows)
            frame.write_parquet(buffer)
        except (pl.exceptions.PolarsError, TypeError, ValueError) as error:
            words = str(error).partition("\n")[0][:200]
            raise UsageError(f"{name!r} is no table: {words}.", "give columns by name") from None
        return self._keep(
            name if name.endswith(".parquet") else f"{name}.parquet", buffer.getvalue()
        )

    def autolog(self) -> AbstractContextManager[None]:
        """Return a context in which trainings of scikit-learn, LightGBM and XGBoost are logged.

        Parameters, the score on the training data, and what is evaluated after each iteration.
        """
        from thrive.tracking.autologging import autologged

        return autologged(self)

    def callback(self) -> "EpochCallback":
        """Return a callback for Keras, or for a loop of PyTorch: it logs at the end of epochs."""
        from thrive.tracking.autologging import EpochCallback

        return EpochCallback(self)

    def flush(self) -> None:
        """Write what waits, and return when it is durable.

        Raises:
            UsageError: the run cannot take it, e.g. because it was deleted.
            ThriveError: of the store; what waits is kept for the next try.
        """
        self._flush(durable=True)

    def _flush(self, *, durable: bool) -> None:
        if self._is_over:
            return
        with self._writing:
            self._write(durable=durable)
            failure, self._failure = self._failure, None
        if isinstance(failure, UsageError):  # what it was about is lost; all else was kept
            raise failure

    def _settle(self) -> None:
        """Write what waits, unless the run is over."""
        self.flush()
        if self._is_over:
            with self._lock:
                self._waiting.clear()
            raise self._ended_already()

    def _ended_already(self) -> UsageError:
        return UsageError(f"The run {self.id} has ended.", "log inside of its `with` block")

    def _note(self, **seen: Any) -> None:
        """Write parameters or tags, apart from points: what is wrong with them is their own."""
        if self._is_over:
            raise self._ended_already()
        with self._writing, self._ctx.observe(f"run:{self.id}") as tx:
            observe_one(tx, self._ctx.project_id, self.id, Observation(**seen))

    def finish(self, state: RunState = RunState.DONE, error: str = "") -> None:
        """Write what waits and end the run; ending it again changes nothing.

        Raises:
            ThriveError: of the store; the run goes on, and can be ended as it was to be later.
        """
        if self._is_over:
            return
        state, error = self._end = self._end or (state, error)
        self._stop.set()
        self._writer.join()
        self.flush()
        with self._ctx.read() as tx:
            run = runs.get(tx, self._ctx.project_id, self.id)
        ended = msgspec.structs.replace(run, state=state, ended_at=self._ctx.now(), error=error)
        close_run(self._ctx, ended)
        self._run = ended
        self._is_over, self._failure = True, self._ended_already()
        self._ended()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        """End the run: done, failed with the error's words, or interrupted by the user."""
        if error is None:
            self.finish()
        elif isinstance(error, KeyboardInterrupt):
            self.finish(RunState.INTERRUPTED)
        else:
            self.finish(RunState.FAILED, f"{type(error).__name__}: {error}")

    def _keep_writing(self) -> None:
        while not self._stop.wait(FLUSH_SECONDS):
            if self._vitals is not None and (seen := self._vitals.look()):
                self.log(seen, step=self._vitals.looks)
            try:
                self._flush(durable=False)
            except Exception as error:  # noqa: BLE001 - told to whoever logs next
                self._failure = error

    def _write(self, *, durable: bool) -> None:
        with self._lock:
            waiting, self._waiting, self._count = self._waiting, {}, 0
        if not waiting:
            return
        seen = Observation(columns=_columns(waiting))
        try:
            with self._ctx.observe(f"run:{self.id}", durable=durable) as tx:
                observe_one(tx, self._ctx.project_id, self.id, seen)
        except UsageError:
            raise
        except BaseException:
            self._take_back(waiting)
            raise

    def _take_back(self, waiting: _Waiting) -> None:
        """Let wait again what could not be written, before what was logged meanwhile."""
        with self._lock:
            for names, (steps, moments, rows) in waiting.items():
                later = self._waiting.get(names, ([], [], []))
                self._waiting[names] = (steps + later[0], moments + later[1], rows + later[2])
                self._count += len(names) * len(steps)

    def _keep(self, name: str, content: bytes) -> Artifact:
        return self._save(name, self._ctx.home.blobs.put(content), len(content))

    def _save(self, name: str, digest: str, size: int) -> Artifact:
        artifact = Artifact(
            run_id=self.id,
            name=_checked(name),
            kind="file",
            digest=digest,
            size=size,
            created_at=machine_now(),
        )
        with self._ctx.observe(f"run:{self.id}") as tx:
            runs.save_artifact(tx, self._ctx.project_id, artifact)
        return artifact


def _columns(waiting: _Waiting) -> "dict[str, Points]":
    """Return what waits as columns by metric, each in the order it was logged."""
    import numpy as np

    from thrive.store.points import Points, joined

    parts: dict[str, list[Points]] = {}
    for names, (steps, moments, rows) in waiting.items():
        shape = (len(rows), len(names))
        flat = np.fromiter(chain.from_iterable(rows), np.float64, shape[0] * shape[1])
        table = flat.reshape(shape)
        columns = np.array(steps, np.int64), np.array(moments, np.int64) // 1000
        for place, name in enumerate(names):
            parts.setdefault(name, []).append(Points(*columns, table[:, place].copy()))
    found: dict[str, Points] = {}
    for name, several in parts.items():
        whole = joined(several)
        in_order = np.argsort(whole.moments, kind="stable")
        found[name] = whole.take(in_order) if len(several) > 1 else whole
    return found


def _is_step(step: Any) -> bool:
    """Tell whether something can be a step: a number of 64 bits."""
    try:
        return -_STEPS <= step < _STEPS
    except (TypeError, ValueError):
        return False


def _no_number(given: Mapping[str, Any]) -> UsageError:
    """Return the refusal of the first value that is no number."""
    for name, value in given.items():
        try:
            float(value)
        except (TypeError, ValueError):
            return UsageError(
                f"{name} = {str(value)[:60]!r} is no number.", "log texts as params or tags"
            )
    raise AssertionError(given)


def _checked(name: str) -> str:
    if not name or len(name) > LONGEST_KEY or "\0" in name or ".." in name.split("/"):
        raise UsageError(
            f"{name[:60]!r} cannot be a name in a run.", f"give 1 to {LONGEST_KEY} characters"
        )
    return name


def _plain(value: Any) -> Any:
    """Return a parameter as JSON has it; what JSON does not have is spelled."""
    return value if isinstance(value, str | int | float | bool | None) else str(value)
