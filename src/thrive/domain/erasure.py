"""The erasure of a person: the record of one, and what stands in the place of erased content."""

from enum import StrEnum
from typing import Any

import msgspec

ERASED_TEXT = "[erased]"
"""What stands in a text where the person's value stood."""


class ErasureState(StrEnum):
    """How far an erasure came; each step can be taken again after a kill.

    asked: it waits for a second person; nothing is changed. begun: it may be done, nothing is
    changed. switched: every row names content without the
    person. removed: the old content is deleted. scrubbed: free pages of databases are emptied.
    done: nothing was found again. left: something was, and is named.
    """

    ASKED = "asked"
    BEGUN = "begun"
    SWITCHED = "switched"
    REMOVED = "removed"
    SCRUBBED = "scrubbed"
    DONE = "done"
    LEFT = "left"


class Consent(msgspec.Struct, frozen=True, kw_only=True):
    """The second person's word that an erasure may be done: who, why, when (UTC microseconds)."""

    actor: str
    reason: str
    at: int


class Erasure(msgspec.Struct, frozen=True, kw_only=True):
    """The record of an erasure; it never holds the person's value.

    Attributes:
        erasure_id: its id.
        state: how far it came.
        reason: why, as the person who erased said it.
        legal_basis: on which law it rests.
        actor: who erased.
        salt: hex; with it the value gives `person`.
        person: a slow, salted digest of the value: who has the value can say that it is the one.
        scope: datasets and columns that were searched, and what was asked for.
        counts: rows, files, predictions and outcomes that were erased.
        removed: digests of content that held the person and is deleted.
        left: what could not be erased, in words.
        proof: digest of the proof file, "" before there is one.
        consent: of a second person, None where none was needed or given.
        started_at: UTC microseconds.
        ended_at: UTC microseconds; None before the end.
    """

    erasure_id: str
    state: ErasureState
    reason: str
    legal_basis: str
    actor: str
    salt: str
    person: str
    scope: dict[str, Any]
    started_at: int
    consent: Consent | None = None
    counts: dict[str, int] = {}
    removed: list[str] = []
    left: list[str] = []
    proof: str = ""
    ended_at: int | None = None


class Tombstone(msgspec.Struct, frozen=True, kw_only=True):
    """What stands where erased content stood.

    `digest` was the content of `kind` (`dataset_version`, `file`, ...) named `subject`, and
    `replaced_by` is what holds the rest of it now; "" if nothing does.
    """

    digest: str
    kind: str
    subject: str
    replaced_by: str
    erasure_id: str
    erased_at: int
    reason: str
