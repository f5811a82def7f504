"""What is at a local source: its files, as a table or as a folder of files.

A source is read as one table, or kept as a folder of files as it is. A table it is if at least
half of its files can be read as such; then the others (a README) stay outside.
"""

import glob
import os
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from operator import itemgetter
from pathlib import Path

import msgspec

from thrive.domain.errors import UsageError
from thrive.domain.identifiers import new_id
from thrive.store.snapshots.walk import State, state_of, walk
from thrive.store.sources.kinds import file_kind, is_table_name, table_names
from thrive.store.sources.packed import refuse_bomb
from thrive.store.sources.resolve import resolve


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What is at a source.

    Attributes:
        states: each file as it is now, under the name it gets in the version, by name.
        locate: where a file is, by that name.
        is_table: the files are read as one table.
        place: what was looked at, as a path that starts at the root.
        started_ns: when the looking began, nanoseconds since 1970.
        lasting: the files are the user's own, not copies made for the reading.
        links: links to folders below the source: what is behind them was left out.
    """

    states: list[State]
    locate: Callable[[str], str]
    is_table: bool
    place: str
    started_ns: int
    lasting: bool = True
    links: list[str] = []

    @property
    def modified_at(self) -> int:
        """When the newest file was written, UTC microseconds."""
        return max(map(itemgetter(2), self.states)) // 1000

    def is_unchanged(self) -> bool:
        """Tell whether every file is still as it was found."""
        try:
            return all(state_of(self.locate(each[0]), each[0]) == each for each in self.states)
        except FileNotFoundError:
            return False


@contextmanager
def found_files(source: str, base: Path, temporary: Path) -> Generator[Found]:
    """Resolve a source to files; archives are unpacked for as long as the context is open.

    Names are relative to the source's folder, so moving the whole of it changes no version.

    Args:
        source: a path, a folder or a glob.
        base: what a relative source starts at.
        temporary: where archives may be unpacked.

    Raises:
        NotFound: nothing is there.
        UsageError: its tables are of different kinds.
    """
    started = time.time_ns()
    place = os.path.normpath(base / Path(source).expanduser()) if source.strip() else ""
    links: list[str] = []
    if Path(place).is_dir() and place:
        states = walk(place, links)
        if not is_table([state[0] for state in states]):
            if not states:
                resolve(source, base)  # says what is not there
            yield _folder(states, place, started, links)
            return
    elif Path(place).is_file() and not is_table_name(place) and not place.endswith(".dvc"):
        name = Path(place).name
        yield _folder([state_of(place, name)], str(Path(place).parent), started, links)
        return
    from tempfile import TemporaryDirectory  # here: a folder of files needs no such place

    with TemporaryDirectory(dir=temporary, prefix="unpack-") as unpacked:
        tables = _tables(source, base, Path(unpacked), place, started)
        yield msgspec.structs.replace(tables, links=links)


def is_table(names: Sequence[str]) -> bool:
    """Tell whether files are read as one table: at least half of them can be."""
    return bool(names) and 2 * table_names(names) >= len(names)


def _folder(states: list[State], root: str, started: int, links: list[str]) -> Found:
    return Found(
        states=states,
        locate=lambda name: f"{root}/{name}",
        is_table=False,
        place=root,
        started_ns=started,
        links=links,
    )


def _tables(source: str, base: Path, unpacked: Path, place: str, started: int) -> Found:
    paths = resolve(source, base)
    root = _root(source, base)
    kinds = {file_kind(path) for path in paths}
    if len(kinds) > 1:
        shown = ", ".join(sorted(kinds))
        raise UsageError(f"{source} holds different kinds of file: {shown}.", "name one kind")
    located: dict[str, str] = {}
    for path in paths:
        name = path.relative_to(root).as_posix()
        packed = name.endswith(".zip")
        located[name.removesuffix(".zip")] = str(_unpacked(path, unpacked) if packed else path)
    states = sorted(state_of(path, name) for name, path in located.items())
    return Found(
        states=states,
        locate=located.__getitem__,
        is_table=True,
        place=place,
        started_ns=started,
        lasting=not any(path.name.endswith(".zip") for path in paths),
    )


def _root(source: str, base: Path) -> Path:
    """Return the folder that names start at: the source, the plain part of a glob, or a parent."""
    path = Path(os.path.normpath(base / Path(source).expanduser()))
    while not path.exists() and glob.has_magic(str(path)):
        path = path.parent
    return path if path.is_dir() else path.parent


def _unpacked(path: Path, folder: Path) -> Path:
    import shutil
    import zipfile

    try:
        with zipfile.ZipFile(path) as archive:
            members = [
                each
                for each in archive.infolist()
                if not each.is_dir() and not each.filename.startswith("__MACOSX/")
            ]
            if len(members) != 1:
                raise UsageError(
                    f"{path} holds {len(members)} files; one is read.", "unpack it into a folder"
                )
            refuse_bomb(path, members[0])
            target = folder / new_id()
            with archive.open(members[0]) as source, target.open("wb") as file:
                shutil.copyfileobj(source, file, 1 << 20)
    except zipfile.BadZipFile:
        raise UsageError(f"{path} is named .zip but is no zip file.", "rename it") from None
    return target
