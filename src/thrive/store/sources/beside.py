"""A source looked at, and stored, by a process beside this one, which gets ready meanwhile.

Half of a short command's time goes into importing what reads and writes the database. Files need
none of it: a process that was forked before walks through them and keeps them. Of a folder it even
writes the snapshot down, so that only the row of the version is left to write. Whatever stands
against it, the command does the same by itself afterwards.
"""

import gc
import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from thrive.store.blobs import FolderBlobs
from thrive.store.disk import write_all
from thrive.store.forked import may_fork
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
from thrive.store.snapshots.manifest import Written
from thrive.store.snapshots.prepare import Prepared, find_base, prepare
from thrive.store.snapshots.snapshot import Place, Snapshot, split_digests
from thrive.store.snapshots.states import JOURNAL, StateCache, state_cache
from thrive.store.snapshots.walk import State
from thrive.store.sources.ahead import ReadAhead
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


class Beside:
    """A process that looks at a source and then keeps what is there; `stop` it in the end.

    What it tells lies in memory that both see; a byte in a pipe says that it does. So it never
    waits for its parent. A table is read here as soon as it is found, by a thread.

    Attributes:
        source: what is looked at.
        ahead: reads the table.

    Args:
        source: what it looks at.
        work: what it does: tells what it found, then what it kept.
    """

    def __init__(self, source: str, work: Callable[[Tell], None]) -> None:
        self.source = source
        self._pipe, telling = os.pipe()
        self._memory = [os.memfd_create("found"), os.memfd_create("kept")]
        self._process = os.fork()
        if not self._process:
            _be_beside(work, telling, self._memory)
        os.close(telling)
        self._pool = ThreadPoolExecutor(1)
        self.ahead = ReadAhead(self._pool)
        self._finding = self._pool.submit(self._find)

    def preparing(self) -> Preparing | None:
        """Wait for word that a snapshot is being prepared; None if none is."""
        told = self._finding.result()
        return told if isinstance(told, Preparing) else None

    def prepared(self) -> Prepared | None:
        """Wait for the snapshot that is being prepared; None if that did not work."""
        data = self._next() if self.preparing() is not None else None
        return None if data is None else msgspec.msgpack.decode(data, type=Prepared)

    def found(self) -> Found | None:
        """Wait for what is at the source; None if whoever asks has to look for himself."""
        told = self._finding.result()
        return told if isinstance(told, Found) else None

    def _find(self) -> Found | Preparing | None:
        data = self._next()
        if data is None:
            return None
        seen = msgspec.msgpack.decode(data, type=_Seen | Preparing)
        if isinstance(seen, Preparing):
            return seen
        located, root = seen.located, seen.place
        found = Found(
            states=seen.states,
            locate=located.__getitem__ if located is not None else lambda name: f"{root}/{name}",
            is_table=seen.is_table,
            place=seen.place,
            started_ns=seen.started_ns,
            links=seen.links,
        )
        if found.is_table:
            self.ahead.begin(found)
        return found

    def kept(self) -> Kept | None:
        """Wait for what was stored of it; None if nothing was."""
        data = self._next() if self.found() is not None else None
        if data is None:
            return None
        stored = msgspec.msgpack.decode(data, type=_Stored)
        columns = ([state[0] for state in stored.states], [state[1] for state in stored.states])
        snapshot = Snapshot(*columns, split_digests(stored.digests), stored.places)
        return Kept(snapshot, stored.states)

    def _next(self) -> bytes | None:
        if not self._process or not os.read(self._pipe, 1):
            return None
        with os.fdopen(self._memory.pop(0), "rb") as memory:
            memory.seek(0)
            return memory.read()

    def stop(self) -> None:
        """End the process if it still runs; what it stored already, others may use."""
        if not self._process:
            return
        os.kill(self._process, signal.SIGKILL)
        os.waitpid(self._process, 0)
        self._pool.shutdown()
        preparing = self.preparing()
        if preparing is not None:
            Path(preparing.draft).unlink(missing_ok=True)
        self._process = 0
        for handle in (self._pipe, *self._memory):
            os.close(handle)


def _be_beside(work: Callable[[Tell], None], telling: int, memory: list[int]) -> None:
    """Do the work of the process beside, and end it without anything that its parent has begun."""
    gc.disable()  # all that it makes it needs: looking for cycles took a fifth of its time
    places = iter(memory)

    def tell(data: bytes) -> None:
        write_all(next(places), data)
        os.write(telling, b".")

    try:
        work(tell)
    finally:
        os._exit(0)


def look_beside(source: str, project: Path, report: Report) -> Beside | None:
    """Begin to look at a local source in a process beside this one; None where that cannot be.

    Where it can: `may_fork`.

    Args:
        source: a path, a folder or a glob.
        project: the project's folder.
        report: told how far it is, in the process beside.
    """
    if not may_fork(project / FOLDER):
        return None
    if not is_local(source) or is_delta(source, project):
        return None
    return Beside(source, lambda tell: _look(source, project, report, tell))


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

    def remember(kept: Kept, written: Written) -> None:
        digests = kept.snapshot.digests
        cache.draft(written.name, kept.states, digests, found.started_ns, written.manifest, draft)

    source = Source(found.states, found.locate)
    done = prepare(blobs, source, base, journal_of(cache), report, remember)
    tell(msgspec.msgpack.encode(done))


def _store(found: Found, home: Path, journal: Journal, report: Report) -> _Stored:
    blobs = FolderBlobs(home / "blobs")
    source = Source(found.states, found.locate)
    kept = keep_files(blobs, source, nothing_known(found.states), Earlier(), journal, report)
    joined = b"".join(kept.snapshot.digests)
    return _Stored(kept.states, joined, kept.snapshot.places)


def journal_of(cache: StateCache) -> Journal:
    """Return the journal of reading the source that a cache remembers."""
    return Journal(cache.path.with_suffix(JOURNAL))
