"""A source looked at, and stored, by processes beside this one, which gets ready meanwhile.

Half of a short command's time goes into importing what reads and writes the database. Files need
none of it: a process that was forked before walks through them and keeps them. Of a folder it even
writes the snapshot down, so that only the row of the version is left to write. A table's rows are
read by a second process: what they are read with is imported there alone, and while the first one
waits for the disk. Whatever stands against it, the command does the same by itself afterwards.
"""

import gc
import os
import signal
from collections.abc import Callable
from functools import cached_property, partial
from pathlib import Path

import msgspec

from thrive.store.blobs import FolderBlobs
from thrive.store.disk import write_all
from thrive.store.forked import ending_with, may_fork
from thrive.store.place import FOLDER
from thrive.store.snapshots.journal import Journal
from thrive.store.snapshots.keep import (
    Earlier,
    Kept,
    Report,
    Source,
    keep_files,
    nothing_known,
)
from thrive.store.snapshots.prepare import Prepared, find_base, prepare
from thrive.store.snapshots.snapshot import Place, Snapshot, split_digests
from thrive.store.snapshots.states import JOURNAL, StateCache, state_cache
from thrive.store.snapshots.walk import State
from thrive.store.sources.bring import is_local
from thrive.store.sources.delta import is_delta
from thrive.store.sources.found import Found, found_files


class _Stored(msgspec.Struct, frozen=True):
    states: list[State]
    digests: bytes
    places: list[Place]


class Preparing(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """What a snapshot is being prepared from.

    Attributes:
        place: the folder, as a path that starts at the root.
        base: the last snapshot of it; empty if it was never read.
        manifest: where that one is written down.
        draft: what is to be remembered of the folder once a version names the snapshot.
        links: links to folders in it, whose files were left out.
    """

    place: str
    base: str
    manifest: str
    draft: str
    links: list[str]


class _Seen(msgspec.Struct, frozen=True, tag=True):
    states: list[State]
    located: dict[str, str] | None
    is_table: bool
    place: str
    started_ns: int
    links: list[str]


Tell = Callable[[bytes], None]
"""Passes bytes on to the process that waits for them, and does not wait for it."""
Survey = Callable[[Found], bytes]
"""Reads a table that was found, and returns what its rows show."""


class _Told:
    """What one process tells others, part after part: bytes in memory that all of them see.

    A byte in a pipe says that a part is there, so whoever tells never waits. Each reader has a
    pipe of its own.

    Args:
        parts: how many at most.
        readers: how many.
    """

    def __init__(self, parts: int, readers: int = 1) -> None:
        self._memory = [os.memfd_create("told") for _ in range(parts)]
        self._pipes = [os.pipe() for _ in range(readers)]
        self._next = 0

    def tell(self, data: bytes) -> None:
        """Tell the next part."""
        write_all(self._memory[self._next], data)
        self._next += 1
        for _, telling in self._pipes:
            os.write(telling, b".")

    def hear(self, reader: int = 0) -> bytes | None:
        """Wait for the next part; None if there will be none."""
        if not os.read(self._pipes[reader][0], 1):
            return None
        memory = self._memory[self._next]
        self._next += 1
        return os.pread(memory, os.fstat(memory).st_size, 0)

    def only_hear(self) -> None:
        """Close the ends that are told to: what this process keeps open would never end."""
        for _, telling in self._pipes:
            os.close(telling)

    def close(self) -> None:
        """Close all that a reader has open."""
        for handle in (*self._memory, *(listening for listening, _ in self._pipes)):
            os.close(handle)


class Beside:
    """Processes that look at a source, keep what is there, and read its rows; `stop` them at last.

    Attributes:
        source: what is looked at.

    Args:
        source: what is looked at.
        work: what the first process does: tells what it found, then what it kept.
        survey: what the second does with a table that was found; none without.
    """

    def __init__(
        self, source: str, work: Callable[[Tell], None], survey: Survey | None = None
    ) -> None:
        self.source = source
        self._looked = _Told(3, readers=2)
        self._processes = [_forked(partial(work, self._looked.tell))]
        self._shown = _Told(1)
        if survey is not None:
            surveying = partial(_survey, survey, self._looked, self._shown)
            self._processes.append(_forked(surveying))
        self._looked.only_hear()
        self._shown.only_hear()

    def preparing(self) -> Preparing | None:
        """Wait for word that a snapshot is being prepared; None if none is."""
        return self._first if isinstance(self._first, Preparing) else None

    def prepared(self) -> Prepared | None:
        """Wait for the snapshot that is being prepared; None if that did not work."""
        data = self._next() if self.preparing() is not None else None
        return None if data is None else msgspec.msgpack.decode(data, type=Prepared)

    def drafted(self) -> bool:
        """Wait, after `prepared`, for the draft of what is to be remembered; tell if it is."""
        return self._next() is not None

    def found(self) -> Found | None:
        """Wait for what is at the source; None if whoever asks has to look for himself."""
        return self._first if isinstance(self._first, Found) else None

    @cached_property
    def _first(self) -> Found | Preparing | None:
        data = self._next()
        return None if data is None else _first_told(data)

    def kept(self) -> Kept | None:
        """Wait for what was stored of it; None if nothing was."""
        data = self._next() if self.found() is not None else None
        if data is None:
            return None
        stored = msgspec.msgpack.decode(data, type=_Stored)
        columns = ([state[0] for state in stored.states], [state[1] for state in stored.states])
        snapshot = Snapshot(*columns, split_digests(stored.digests), stored.places)
        return Kept(snapshot, stored.states)

    def survey(self) -> bytes:
        """Wait for what the rows of the table show; empty if they were not read."""
        return (self._shown.hear() or b"") if self._processes else b""

    def _next(self) -> bytes | None:
        return self._looked.hear() if self._processes else None

    def stop(self) -> None:
        """End the processes if they still run; what they stored already, others may use."""
        if not self._processes:
            return
        for each in self._processes:
            os.kill(each, signal.SIGKILL)
            os.waitpid(each, 0)
        preparing = self.preparing()
        if preparing is not None:
            Path(preparing.draft).unlink(missing_ok=True)
        self._processes = []
        self._looked.close()
        self._shown.close()


def _first_told(data: bytes) -> Found | Preparing:
    seen = msgspec.msgpack.decode(data, type=_Seen | Preparing)
    if isinstance(seen, Preparing):
        return seen
    located, root = seen.located, seen.place
    return Found(
        states=seen.states,
        locate=located.__getitem__ if located is not None else lambda name: f"{root}/{name}",
        is_table=seen.is_table,
        place=seen.place,
        started_ns=seen.started_ns,
        links=seen.links,
    )


def _survey(survey: Survey, looked: _Told, shown: _Told) -> None:
    """Wait for a table, read it and tell what its rows show."""
    looked.only_hear()
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # more of them spin for a while, with nothing to do
    told = looked.hear(1)
    found = None if told is None else _first_told(told)
    if isinstance(found, Found) and found.is_table:
        shown.tell(survey(found))


def _forked(work: Callable[[], None]) -> int:
    """Do work in a process of its own, and end it without anything that its parent has begun."""
    process = os.fork()
    if process:
        return process
    gc.disable()  # all that it makes it needs: looking for cycles took a fifth of its time
    try:
        work()
    finally:
        os._exit(0)


def look_beside(
    source: str, project: Path, report: Report, survey: Survey | None = None
) -> Beside | None:
    """Begin to look at a local source in processes beside this one; None where that cannot be.

    Where it can: `may_fork`.

    Args:
        source: a path, a folder or a glob.
        project: the project's folder.
        report: told how far it is, in the process beside.
        survey: reads a table, in another one.
    """
    if not may_fork(project / FOLDER):
        return None
    if not is_local(source) or is_delta(source, project):
        return None
    telling = ending_with(os.getpid(), report)
    return Beside(source, lambda tell: _look(source, project, telling, tell), survey)


def _look(source: str, project: Path, report: Report, tell: Tell) -> None:
    home = project / FOLDER
    temporary = home / "tmp"
    temporary.mkdir(mode=0o700, exist_ok=True)
    with found_files(source, project, temporary) as found:
        if not found.lasting:
            return  # copies that were made for the reading go with this process
        cache = state_cache(home, found.place)
        if found.is_table:
            tell(msgspec.msgpack.encode(_seen(found)))
            if not cache.path.exists():
                tell(msgspec.msgpack.encode(_store(found, home, journal_of(cache), report)))
        else:
            _prepare(found, FolderBlobs(home / "blobs"), cache, report, tell)


def _seen(found: Found) -> _Seen:
    located = {state[0]: found.locate(state[0]) for state in found.states}
    return _Seen(
        states=found.states,
        located=located if found.is_table else None,
        is_table=found.is_table,
        place=found.place,
        started_ns=found.started_ns,
        links=found.links,
    )


def _prepare(
    found: Found, blobs: FolderBlobs, cache: StateCache, report: Report, tell: Tell
) -> None:
    base = find_base(blobs, found.states, cache)
    if base is None:
        tell(msgspec.msgpack.encode(_seen(found)))
        return
    draft = cache.new_draft()
    before = base.remembered
    preparing = Preparing(
        place=found.place,
        base=before.name,
        manifest=before.manifest,
        draft=str(draft),
        links=found.links,
    )
    tell(msgspec.msgpack.encode(preparing))

    source = Source(found.states, found.locate)
    done, kept = prepare(blobs, source, base, journal_of(cache), report)
    tell(msgspec.msgpack.encode(done))
    digests = kept.snapshot.digests
    cache.draft(done.name, kept.states, digests, found.started_ns, done.manifest, draft)
    tell(b"drafted")  # while the row of the version is written


def _store(found: Found, home: Path, journal: Journal, report: Report) -> _Stored:
    blobs = FolderBlobs(home / "blobs")
    source = Source(found.states, found.locate)
    kept = keep_files(blobs, source, nothing_known(found.states), Earlier(), journal, report)
    joined = b"".join(kept.snapshot.digests)
    return _Stored(kept.states, joined, kept.snapshot.places)


def journal_of(cache: StateCache) -> Journal:
    """Return the journal of reading the source that a cache remembers."""
    return Journal(cache.path.with_suffix(JOURNAL))
