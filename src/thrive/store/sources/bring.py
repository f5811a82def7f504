"""Bringing a source that is no local file: its rows or files are copied into a folder first.

| spelling | what |
|---|---|
| `data/*.parquet`, `data/`, `data.csv` | local files, left where they are |
| `s3://bucket/key`, also `gs://`, `az://`, `https://` | an object, or all below a prefix |
| `warehouse: select ...` | a query on a connection of the settings |
| `delta:PATH@7`, or a folder with a `_delta_log` | a Delta table at a version, or the newest |
| `data.dvc`, `dvc.lock:data/raw.csv` | what DVC pinned, from its cache or remote |
"""

import re
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec

from thrive.store.sources import delta, dvc, objects

_URL = re.compile(r"(?:s3|gs|az|abfss?|https?)://", re.IGNORECASE)
MEMORY = "memory"
"""The source of what was added from Python or made by a run: no files that could be read again."""
_QUERY = re.compile(
    r"(?P<name>[A-Za-z0-9_.-]+)\s*:\s*(?P<query>(?:select|with)\s.+)", re.IGNORECASE | re.DOTALL
)


class Reach(msgspec.Struct, frozen=True, kw_only=True):
    """By what sources are reached.

    Attributes:
        base: the folder that relative paths start at.
        temporary: where copies may be made.
        endpoint: the object store's address, for stores other than AWS; empty for AWS.
        connections: database addresses by name.
    """

    base: Path
    temporary: Path
    endpoint: str = ""
    connections: Mapping[str, str] = {}

    def __repr__(self) -> str:
        return f"Reach(base={self.base!r})"


class Brought(msgspec.Struct, frozen=True, kw_only=True):
    """A source as local files.

    Attributes:
        path: a path, a folder or a glob, as `resolve` takes it.
        source: the source as it was read: a Delta table with its version.
        mark: what the source said of its content before it was read; empty if nothing.
    """

    path: str
    source: str
    mark: str = ""


def is_local(source: str) -> bool:
    """Tell whether a source is files of this machine, read where they are."""
    elsewhere = (
        _QUERY.fullmatch(source.strip()) or _URL.match(source) or source.startswith("delta:")
    )
    return not elsewhere and source != MEMORY and not dvc.is_pin(source)


def mark_of(source: str, reach: Reach) -> str:
    """Return what a source says of its content without being read: etags, a version, a hash.

    Equal marks mean equal content; "" means that the source must be read to know.

    Raises:
        NotFound: there is no such source.
        StoreUnavailable: it does not answer.
    """
    if _URL.match(source):
        return objects.mark(source, reach.endpoint)
    if delta.is_delta(source, reach.base):
        return delta.mark(source, reach.base)
    if dvc.is_pin(source):
        return dvc.mark(source, reach.base)
    return ""


@contextmanager
def brought(source: str, reach: Reach) -> Generator[Brought]:
    """Give a source as local files, for as long as the context is open.

    Raises:
        NotFound: nothing is there; or its connection is not in the settings.
        UsageError: it is misspelled, or an extra is missing.
        Refused: its keeper refuses us.
        StoreUnavailable: it does not answer.
    """
    here = is_local(source) or source == MEMORY
    if here and not delta.is_delta(source, reach.base):
        yield Brought(path=source, source=source)
        return
    from tempfile import TemporaryDirectory  # here: local files need no such place

    query = _QUERY.fullmatch(source.strip())
    with TemporaryDirectory(dir=reach.temporary, prefix="source-") as place:
        folder = Path(place)
        if query is not None:
            from thrive.store.sources import sql  # it brings SQLAlchemy: others start without

            address = sql.address_of(query["name"], reach.connections, reach.base)
            path = sql.read(address, query["query"], _inside(folder))
            yield Brought(path=str(path), source=source)
        elif _URL.match(source):
            mark = objects.mark(source, reach.endpoint)
            objects.copy(source, reach.endpoint, folder)
            yield Brought(path=str(folder), source=source, mark=mark)
        elif delta.is_delta(source, reach.base):
            pinned = delta.pinned(source, reach.base)
            path = delta.copy(pinned, reach.base, _inside(folder))
            yield Brought(path=str(path), source=pinned, mark=delta.mark(source, reach.base))
        else:
            mark = dvc.mark(source, reach.base)
            path = dvc.copy(source, reach.base, folder, reach.endpoint)
            yield Brought(path=str(path), source=source, mark=mark)


def _inside(folder: Path) -> Path:
    """Return a new folder for rows, so that nothing else lies beside them."""
    made = folder / "rows"
    made.mkdir()
    return made
