"""The newest versions searched for a person by a process beside the one that opens the database.

`thrive.lock` names them and the contract says by which column they name people, so neither needs
the database. What was not searched here, the command searches itself.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from thrive.store.forked import Forked, may_fork
from thrive.store.place import FOLDER

if TYPE_CHECKING:
    from thrive.store.snapshots.matching import Person


class Ahead(Forked):
    """A process that counts the rows of a person in what `thrive.lock` pins."""

    def counts(self) -> Mapping[str, Mapping[str, int]]:
        """Wait for the rows by dataset, then by the digest of a file; none where it could not."""
        told = self.answer()
        return msgspec.msgpack.decode(told) if told else {}


def look_ahead(project: Path, person: "Person", dataset: str, column: str) -> Ahead | None:
    """Begin to search in a process beside this one; None where that cannot be (`may_fork`).

    Args:
        project: the project's folder.
        person: as tables may spell them.
        dataset: only this one; "" for all.
        column: what names a person there, instead of what the contract says.
    """
    if not may_fork(project / FOLDER):
        return None

    def work() -> bytes:
        from thrive.flows.erasure.pinned import count_pinned  # here: the parent does not wait

        return msgspec.msgpack.encode(count_pinned(project, person, dataset, column))

    return Ahead(work)
