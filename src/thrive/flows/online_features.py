"""Reading views by key from Python, as serving does: `thrive.features.online`."""

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from thrive.domain.clock import ClockMode, machine_now
from thrive.domain.errors import NotFound
from thrive.domain.features import FeatureView
from thrive.store import features
from thrive.store.home import Home, open_home
from thrive.store.online import Lookup, OnlineRows, open_online
from thrive.store.place import find_project_folder

LOOK_EVERY_S = 1.0
"""How often a reader asks whether a view has a new version."""


class OnlineFeatures:
    """Reads the newest values of some views of a project; for one thread at a time.

    Args:
        folder: the project's folder, or one below it.
        views: which, by name.

    Raises:
        NotFound: there is no project, or a view was never materialized.
    """

    def __init__(self, folder: Path, views: Sequence[str]) -> None:
        self._home = open_home(find_project_folder(folder.resolve()))
        self._names = list(views)
        self._lookup: Lookup | None = None
        self._versions: list[FeatureView] = []
        self._replay = False
        self._looked = 0.0
        self._follow()

    def read(self, keys: Sequence[Mapping[str, Any]]) -> OnlineRows:
        """Return the values for keys, in their order.

        Args:
            keys: for each row asked for, the values of the entity columns by name.
        """
        if time.monotonic() - self._looked > LOOK_EVERY_S:
            self._follow()
        assert self._lookup is not None
        return self._lookup.read(keys, self._home.now() if self._replay else machine_now())

    def close(self) -> None:
        """Close what it holds open."""
        if self._lookup is not None:
            self._lookup.close()
        self._home.close()

    def _follow(self) -> None:
        """Read from the version of each view that is online and was declared last."""
        found = _online_versions(self._home, self._names)
        self._replay = self._home.clock().mode is ClockMode.REPLAY
        self._looked = time.monotonic()
        if found == self._versions:
            return
        lookup = Lookup(open_online(self._home.folder), [view.spec() for view in found])
        if self._lookup is not None:
            self._lookup.close()
        self._lookup, self._versions = lookup, found


def _online_versions(home: Home, names: Sequence[str]) -> list[FeatureView]:
    project = home.project_id
    found: list[FeatureView] = []
    with home.read() as tx:
        for name in names:
            online = features.declared_last(tx, project, name, online=True)
            if online is None:
                raise NotFound(
                    f"The feature view {name!r} is not online.", "thrive features materialize"
                )
            found.append(online)
    return found


class _Open(msgspec.Struct):
    """The readers of this process, by folder and views: no connection crosses a fork."""

    process: int = 0
    readers: dict[Any, OnlineFeatures] = {}


_open = _Open()


def online(
    views: Sequence[str], keys: Sequence[Mapping[str, Any]], *, folder: str | Path = "."
) -> OnlineRows:
    """Return the newest values of views for keys, as serving would read them now.

    Args:
        views: which, by name; they were materialized.
        keys: for each row asked for, the values of the entity columns by name.
        folder: the project's folder, or one below it.

    Returns:
        `values` by feature, `status` and `at` by view: one entry a key, in order.

    Raises:
        NotFound: there is no project, or a view was never materialized.

    Examples:
        >>> features.online(["weather"], [{"origin": "JFK"}]).values  # doctest: +SKIP
    """
    if _open.process != os.getpid():
        _open.process, _open.readers = os.getpid(), {}
    name = (folder, *views)
    reader = _open.readers.get(name)
    if reader is None:
        reader = _open.readers[name] = OnlineFeatures(Path(folder), views)
    return reader.read(keys)
