"""A project, its changes, its audit chain and its jobs."""

from enum import StrEnum
from typing import Any, Generic, TypeVar

import msgspec

T = TypeVar("T")


class Project(msgspec.Struct, frozen=True, kw_only=True):
    """A folder with a `thrive.toml`; every record of the store belongs to one project."""

    project_id: str
    name: str
    created_at: int


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the change feed: something of `kind` named `id` is new or different."""

    seq: int
    project_id: str
    kind: str
    id: str


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One link of a project's audit chain.

    `digest` is the BLAKE3 of the canonical JSON of all other fields, `previous` included.
    """

    seq: int
    at: int
    actor: str
    operation: str
    subject: str
    detail: dict[str, Any]
    previous: str
    digest: str


class JobState(StrEnum):
    """Where a job stands."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """Long work, executed by a worker that holds its lease.

    `fence` grows with every lease: a worker whose fence is old cannot write any more.
    `error_code` is the class of the error in words in `error`, empty for one that Thrive did not
    foresee.
    """

    job_id: str
    operation: str
    arguments: dict[str, Any]
    state: JobState
    actor: str
    run_at: int
    created_at: int
    lease_until: int = 0
    fence: int = 0
    attempt: int = 0
    max_attempts: int = 3
    dedupe_key: str | None = None
    progress: float = 0.0
    message: str = ""
    result: Any = None
    error: str = ""
    error_code: str = ""
    finished_at: int | None = None


class JobText(msgspec.Struct, frozen=True, kw_only=True):
    """Something a job printed while it ran; `seq` grows, `at` is UTC microseconds."""

    job_id: str
    seq: int
    at: int
    text: str


class Page(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """One page of a list; `next` is the key to ask the next page with, None at the end."""

    items: list[T]
    next: str | None = None


class StoredContract(msgspec.Struct, frozen=True, kw_only=True):
    """A contract in force: its text, the digest of its meaning, and the commit it came from."""

    digest: str
    text: str
    commit: str
    stored_at: int


class TeamContact(msgspec.Struct, frozen=True, kw_only=True):
    """The proof that a test message arrived at a team's channel."""

    team: str
    channel: str
    arrived_at: int
