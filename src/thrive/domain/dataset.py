"""Named data and its immutable versions."""

from typing import Any

import msgspec


class Dataset(msgspec.Struct, frozen=True, kw_only=True):
    """Named data with somebody who answers for it and a reason to exist."""

    name: str
    owner: str
    why: str
    created_at: int


PERSON = "person"
"""The kind of a subject column of which nothing else is said."""
BY_NAME = "its name"
"""What a proposal rests on that nothing but the name of a column speaks for."""


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """One column of a dataset's schema.

    Attributes:
        name: as it stands in the data.
        dtype: the name of its polars type.
        nullable: values are missing.
        personal: the kind of personal data a person said it holds, or `none`; None: nobody did.
        proposed: the kind it seems to hold; None: nothing speaks for one.
        why: on what the proposal rests; never a value.
        asked: whether a person must say what it holds before anything is trained on it.
    """

    name: str
    dtype: str
    nullable: bool = True
    personal: str | None = None
    proposed: str | None = None
    why: str = ""
    asked: bool = False

    @property
    def seems(self) -> str:
        """The kind of personal data that its values seem to be, "" where only its name says so."""
        return self.proposed if self.proposed and self.why != BY_NAME else ""


class ColumnLabel(msgspec.Struct, frozen=True, kw_only=True):
    """What a person said a column of a dataset holds, remembered by name and type."""

    dataset: str
    name: str
    dtype: str
    kind: str
    actor: str
    at: int
    reason: str


class SourceState(msgspec.Struct, frozen=True, kw_only=True):
    """When a dataset's source was last read, and what it looked like.

    `mark` is what the source says of its content without being read (an etag, a revision),
    empty where it says nothing; `problem` is why the last reading failed, empty if it did not.
    """

    dataset: str
    source: str
    read_at: int
    mark: str = ""
    problem: str = ""


class FileEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One file of a dataset version: the path people see, and its content."""

    path: str
    digest: str
    size: int


class DatasetTag(msgspec.Struct, frozen=True, kw_only=True):
    """A name that people gave a version of a dataset: `flights@TAG` means that version."""

    dataset: str
    tag: str
    version: int
    actor: str
    at: int


class DatasetVersion(msgspec.Struct, frozen=True, kw_only=True):
    """An immutable version of a dataset, named by the hash of its content.

    `digest` names the canonical list of files, so equal content has equal digest; `manifest` is the
    blob that lists the files and says where their bytes are, empty where that is the list itself.
    `profile` holds counts, missing, distinct and extremes per column. Without columns the version
    is a folder of files that are no table.
    """

    dataset: str
    version: int
    digest: str
    source: str
    file_count: int
    rows: int
    size: int
    columns: list[Column]
    created_at: int
    actor: str
    profile: dict[str, Any] = {}
    checks: list[dict[str, Any]] = []
    trainable: bool = True
    made_by: str | None = None
    replay: bool = False
    manifest: str = ""

    @property
    def listed_in(self) -> str:
        """The digest of the blob that lists the files."""
        return self.manifest or self.digest

    @property
    def is_table(self) -> bool:
        """Whether the files are read as one table."""
        return bool(self.columns)


class AddedVersion(msgspec.Struct, frozen=True, kw_only=True):
    """The version that holds what was added; `is_new` is False if it was there already.

    It is `trainable` if no check failed and nobody must still say what a column holds. `skipped`
    are links to folders below the source: the files behind them are in no version.
    """

    dataset: str
    version: int
    is_new: bool
    digest: str
    rows: int
    columns: int
    files: int
    size: int
    trainable: bool
    failed: list[str]
    note: str
    skipped: list[str] = []
