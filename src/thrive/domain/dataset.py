"""Named data and its immutable versions."""

from typing import Any

import msgspec


class Dataset(msgspec.Struct, frozen=True, kw_only=True):
    """Named data with somebody who answers for it and a reason to exist."""

    name: str
    owner: str
    why: str
    created_at: int


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """One column of a dataset's schema; `personal` is a kind of personal data, or `none`."""

    name: str
    dtype: str
    nullable: bool = True
    personal: str | None = None


class FileEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One file of a dataset version: the path people see, and its content."""

    path: str
    digest: str
    size: int


class DatasetVersion(msgspec.Struct, frozen=True, kw_only=True):
    """An immutable version of a dataset, named by the hash of its content.

    `digest` names the manifest (the canonical list of files), so equal content has equal digest.
    `profile` holds counts, missing, distinct and extremes per column.
    """

    dataset: str
    version: int
    digest: str
    source: str
    files: list[FileEntry]
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
