"""A shelf: a folder or a bucket that versions are pushed to and pulled from, without a database.

Beside blobs it has one record a version, named by digests alone; a record is written last, so
whoever finds one finds everything that it names.
"""

from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Self

import msgspec
from blake3 import blake3

from thrive.domain.dataset import ColumnLabel, Dataset, DatasetVersion
from thrive.domain.errors import Damaged, SchemaTooNew
from thrive.store.blobs import ObjectOptions, open_blobs

FORMAT = 1


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a dataset as a shelf has it.

    Attributes:
        format: the number of this format.
        dataset: the dataset, with who answers for it and why it is kept.
        version: the version, with its schema, profile and checks.
        labels: what people said its columns hold.
        blobs: every blob it needs.
    """

    format: int
    dataset: Dataset
    version: DatasetVersion
    labels: list[ColumnLabel]
    blobs: list[str]


class Shelf:
    """Blobs and records at an address; use it as a context manager.

    Args:
        address: a folder, or `s3://bucket/prefix`.
        endpoint: the object store's address, for stores other than AWS; empty for AWS.
        temporary: where copies of what is read from a bucket may be made.
    """

    def __init__(self, address: str, endpoint: str, temporary: Path) -> None:
        self._copies = TemporaryDirectory(dir=temporary, prefix="shelf-")
        options = ObjectOptions(endpoint=endpoint, cache=Path(self._copies.name))
        self.blobs = open_blobs(address, options)

    def write(self, record: Record) -> None:
        """Write a record; what it names must be there."""
        name = _name(record.version.digest, record.dataset.name)
        self.blobs.write_record(name, msgspec.json.encode(record))

    def read(self, digest: str, dataset: str) -> Record | None:
        """Return the record of a version, None if it is not here.

        Raises:
            Damaged: it is no record.
            SchemaTooNew: a newer Thrive wrote it.
        """
        data = self.blobs.read_record(_name(digest, dataset))
        if data is None:
            return None
        try:
            record = msgspec.json.decode(data, type=Record)
        except msgspec.MsgspecError as error:
            raise Damaged(
                f"The record of {dataset} is damaged: {error}.", "push it again"
            ) from None
        if record.format > FORMAT:
            raise SchemaTooNew(
                f"The record of {dataset} has format {record.format}.",
                "pip install --upgrade thrive",
            )
        return record

    def remove(self, digest: str, dataset: str) -> None:
        """Remove the record of a version; one that is not there is already removed."""
        self.blobs.remove_record(_name(digest, dataset))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._copies.cleanup()


def _name(digest: str, dataset: str) -> str:
    return f"versions/{digest}.{blake3(dataset.encode()).hexdigest()[:32]}.json"
