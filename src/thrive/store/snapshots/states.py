"""What a folder looked like when it was last read: an unchanged folder costs one walk.

For each source one file holds the state of every file (path, size, times, inode) with its digest.
It is a cache: whoever finds it damaged or gone reads the files again. As in git's index, a file
that was written so shortly before it was read that its times could not show another change is
remembered without its state, and read again next time.
"""

import time
from bisect import bisect_left, bisect_right
from contextlib import suppress
from operator import itemgetter
from pathlib import Path

import msgspec
from blake3 import blake3

from thrive.domain.identifiers import new_id
from thrive.store.disk import write_all
from thrive.store.snapshots.snapshot import no_text, split_digests
from thrive.store.snapshots.walk import State

FORMAT = 1
COARSE_NS = 2_000_000_000
"""File systems that keep whole seconds show a change up to this long after it (FAT: 2 s)."""
FINE_NS = 100_000_000
"""The same for those that keep fractions: their clock ticks at least this often."""
JOURNAL = ".journal"
"""What the journal of reading a source ends with; it lies beside what is remembered of it."""
LEFT_S = 86_400.0
"""Age of a draft that nobody will keep any more."""
_SECOND = 1_000_000_000
_RUN = 512
"""Files that are compared at once."""
_ARRAY16 = 0xDC
"""How MessagePack begins a list of up to 65,535 items; of fewer than 16, with a lower byte."""


class _Kept(msgspec.Struct, frozen=True, kw_only=True):
    format: int
    name: str
    states: bytes
    digests: bytes
    manifest: str = ""


class Remembered:
    """The files of one source as they were, with their digests.

    Args:
        name: the snapshot they made.
        states: the encoded states.
        digests: their digests, laid end to end.
        manifest: where the snapshot was written down; empty if that is not remembered.
    """

    def __init__(self, name: str, states: bytes, digests: bytes, manifest: str = "") -> None:
        self.name = name
        self.manifest = manifest
        self._states = states
        self._digests = digests

    def is_same(self, states: list[State]) -> bool:
        """Tell whether nothing at all has changed."""
        return bool(self.name) and _encoded(states) == self._states

    def holds(self, digests: list[bytes]) -> bool:
        """Tell whether these are the digests of the files as they were."""
        return b"".join(digests) == self._digests

    def match(self, states: list[State]) -> list[int]:
        """Return where each of these states stands among the remembered ones, -1 if it does not.

        Runs of files that are the same on both sides, from the first and from the last one on, are
        compared as they are encoded; what is between them is decoded.

        Args:
            states: in the order of their paths.
        """
        if not self._states:
            return [-1] * len(states)
        runs = [_items(states[first : first + _RUN]) for first in range(0, len(states), _RUN)]
        count, begin = _header(self._states)
        at, end = begin, len(self._states)
        first, last = 0, len(runs)
        while first < last and self._states.startswith(runs[first], at):
            at, first = at + len(runs[first]), first + 1
        while first < last and self._states.endswith(runs[last - 1], at, end):
            end, last = end - len(runs[last - 1]), last - 1
        before, after = min(first * _RUN, len(states)), min(last * _RUN, len(states))
        left = count - before - (len(states) - after)
        try:
            known = _decoded(_array(left) + self._states[at:end])
        except msgspec.DecodeError:  # the end of a long name looked like another file
            return _matched(states, self._decoded(), 0)
        found = [*range(before), *_matched(states[before:after], known, before)]
        return [*found, *range(count - (len(states) - after), count)]

    def digests(self) -> dict[State, bytes]:
        """Return the digest of each state that is known."""
        if not self._states:
            return {}
        return dict(zip(self._decoded(), self.parts(), strict=True))

    def files(self) -> dict[str, bytes]:
        """Return the digest of each file as it was, by path."""
        if not self._states:
            return {}
        return {
            state[0]: digest for state, digest in zip(self._decoded(), self.parts(), strict=True)
        }

    def _decoded(self) -> list[State]:
        return _decoded(self._states)

    def parts(self) -> list[bytes]:
        """Return the digest of each file as it was, in the order of their paths."""
        return split_digests(self._digests)


def _decoded(states: bytes) -> list[State]:
    return msgspec.msgpack.decode(states, type=list[State])


def _encoded(states: list[State]) -> bytes:
    try:
        return msgspec.msgpack.encode(states)
    except UnicodeEncodeError:
        raise no_text(state[0] for state in states) from None


def _items(states: list[State]) -> bytes:
    """Return encoded states without the header of a list."""
    encoded = _encoded(states)
    return encoded[_header(encoded)[1] :]


def _header(encoded: bytes) -> tuple[int, int]:
    """Return how many items an encoded list has, and where the first begins (MessagePack)."""
    kind = encoded[0]
    if kind < _ARRAY16:
        return kind & 15, 1
    width = 2 if kind == _ARRAY16 else 4
    return int.from_bytes(encoded[1 : 1 + width], "big"), 1 + width


def _array(count: int) -> bytes:
    """Return the header of a list of so many items."""
    if not 0 <= count < 1 << 32:
        raise msgspec.DecodeError("no list has so many items")
    return b"\xdd" + count.to_bytes(4, "big")


def _matched(states: list[State], known: list[State], offset: int) -> list[int]:
    """Return where states stand among known ones, the first of which has the number `offset`."""
    found: list[int] = []
    for first in range(0, len(states), _RUN):
        run = states[first : first + _RUN]
        at = bisect_left(known, run[0][0], key=itemgetter(0))
        if known[at : at + len(run)] == run:
            found += range(offset + at, offset + at + len(run))
            continue
        end = bisect_right(known, run[-1][0], at, key=itemgetter(0))
        near = {state: number for number, state in enumerate(known[at:end], offset + at)}
        found += [near.get(state, -1) for state in run]
    return found


_NOTHING = Remembered("", b"", b"")


class StateCache:
    """The remembered states of one source.

    Args:
        folder: where the files of all sources are.
        source: the source, as a path that starts at the root.
    """

    def __init__(self, folder: Path, source: str) -> None:
        self.path = folder / blake3(source.encode(errors="surrogateescape")).hexdigest()

    def load(self) -> Remembered:
        """Return what is remembered: nothing if there is no file, or a damaged one."""
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return _NOTHING
        if blake3(data[32:]).digest() != data[:32]:
            return _NOTHING
        kept = msgspec.msgpack.decode(data[32:], type=_Kept)
        if kept.format != FORMAT:
            return _NOTHING
        return Remembered(kept.name, kept.states, kept.digests, kept.manifest)

    def save(
        self,
        name: str,
        states: list[State],
        digests: list[bytes],
        started_ns: int,
        manifest: str = "",
    ) -> None:
        """Remember the files of a source; arguments as of `draft`."""
        self.keep(self.draft(name, states, digests, started_ns, manifest))

    def draft(
        self,
        name: str,
        states: list[State],
        digests: list[bytes],
        started_ns: int,
        manifest: str = "",
        where: Path | None = None,
    ) -> Path:
        """Write down what is to be remembered of a source, for `keep`; return where.

        Args:
            name: the snapshot that the files make.
            states: each file as it was before it was read.
            digests: what was read.
            started_ns: when the walk began, nanoseconds since 1970.
            manifest: where the snapshot is written down; empty if that is not known.
            where: a path of `new_draft`; of its own if not given.
        """
        limit = started_ns - COARSE_NS
        settled = states
        newest = max(max(map(itemgetter(place), states), default=0) for place in (2, 3))
        if newest >= limit:
            settled = [
                state if _is_settled(state, started_ns) else _forgotten(state) for state in states
            ]
        kept = _Kept(
            format=FORMAT,
            name=name,
            states=_encoded(settled),
            digests=b"".join(digests),
            manifest=manifest,
        )
        data = msgspec.msgpack.encode(kept)
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        unfinished = where or self.new_draft()
        with unfinished.open("wb", buffering=0) as file:
            write_all(file.fileno(), blake3(data).digest())
            write_all(file.fileno(), data)
        return unfinished

    def new_draft(self) -> Path:
        """Return a path for a draft that nobody else has."""
        return self.path.with_name(f"{self.path.name}.{new_id()}")

    def keep(self, draft: Path) -> None:
        """Remember what was written down; drafts that were left by a kill go."""
        draft.replace(self.path)
        for left in self.path.parent.glob(f"{self.path.name}.*"):
            with suppress(FileNotFoundError):  # another process removes it, or keeps it, as well
                if left.suffix != JOURNAL and left.stat().st_mtime < time.time() - LEFT_S:
                    left.unlink()


def _is_settled(state: State, started_ns: int) -> bool:
    """Tell whether a change after the walk began would show in the file's times."""
    newest = max(state[2], state[3])
    margin = FINE_NS if newest % _SECOND else COARSE_NS
    return newest < started_ns - margin


def _forgotten(state: State) -> State:
    return (state[0], -1, 0, 0, 0)


def state_cache(home_folder: Path, place: str) -> StateCache:
    """Return what a home's folder remembers of the files at a place."""
    return StateCache(home_folder / "cache" / "states", place)


def remove_left(home_folder: Path, before: float) -> None:
    """Remove drafts and journals that readings left which were killed.

    Args:
        home_folder: the home's folder.
        before: seconds since 1970; younger ones may belong to a living reading.
    """
    for path in (home_folder / "cache" / "states").glob("*.*"):
        with suppress(FileNotFoundError):
            if path.stat().st_mtime <= before:
                path.unlink()


class _Asked(msgspec.Struct, frozen=True, kw_only=True):
    dataset: str
    source: str


def remember_source(home_folder: Path, dataset: str, source: str) -> None:
    """Remember where a dataset was last read from, as it was spelled."""
    path = _source_path(home_folder, dataset)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.{new_id()}")
    unfinished.write_bytes(msgspec.json.encode(_Asked(dataset=dataset, source=source)))
    unfinished.replace(path)


def remembered_source(home_folder: Path, dataset: str) -> str:
    """Return where a dataset was last read from; empty if this home does not remember."""
    try:
        return msgspec.json.decode(
            _source_path(home_folder, dataset).read_bytes(), type=_Asked
        ).source
    except (FileNotFoundError, msgspec.DecodeError):
        return ""


def _source_path(home_folder: Path, dataset: str) -> Path:
    return home_folder / "cache" / "sources" / blake3(dataset.encode()).hexdigest()
