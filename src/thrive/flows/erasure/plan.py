"""What an erasure would do: every stored content that names the person, and what becomes of it."""

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from thrive.data.rewriting import is_table
from thrive.data.subjects import Searched, files_once, rows_in_files, searched_versions
from thrive.flows.erasure.redacting import redact
from thrive.flows.erasure.results import is_kept_result
from thrive.flows.erasure.searching import prediction_ids, subject_columns
from thrive.flows.erasure.sought import Sought
from thrive.operations import Context
from thrive.store import datasets, references
from thrive.store.snapshots.repack import dying_blobs
from thrive.store.snapshots.snapshot import Snapshot

if TYPE_CHECKING:
    import polars as pl

FILE = "file"
"""The kind of content that is a file of a dataset."""
DOCUMENT = "document"
"""The kind of content that is rendered for auditors: kept for years, so never dropped whole."""
TABLE_KINDS = frozenset({"sealed_log", "model_version", "artifact"})
"""Kinds of content that may be tables of which single rows can go."""


class Fate(StrEnum):
    """What becomes of content that names the person.

    rewrite: its rows go, the rest stays. renew: made again from what is left. redact: the value
    is taken out of a text. drop: the whole of it goes, because somebody said so or because it is
    made again when it is wanted. keep: nobody said so, so it stays.
    """

    REWRITE = "rewrite"
    RENEW = "renew"
    REDACT = "redact"
    DROP = "drop"
    KEEP = "keep"


class PlannedItem(msgspec.Struct, frozen=True, kw_only=True):
    """One stored content that names the person: who uses it, and what becomes of it."""

    kind: str
    used_by: str
    fate: Fate
    rows: int | None
    digest: str


class Plan(NamedTuple):
    """Everything an erasure will touch.

    Attributes:
        columns: the subject column of each dataset that was searched.
        searched: every version of every dataset.
        items: stored content by digest: files of datasets first.
        answers: prediction ids about the person.
        answered: the models that gave these answers.
        orphans: stored content that nothing uses and that names the person.
        remains: blobs that versions share with what was removed, and whose dead part may name the
            person.
        counts: how much was looked at.
    """

    columns: dict[str, str]
    searched: list[Searched]
    items: list[PlannedItem]
    answers: list[str]
    answered: list[str]
    orphans: list[str]
    remains: list[str]
    counts: dict[str, int]

    @property
    def changing(self) -> dict[str, PlannedItem]:
        """The files of datasets that change or go, by digest."""
        chosen = (each for each in self.items if each.kind == FILE and each.fate is not Fate.KEEP)
        return {each.digest: each for each in chosen}

    def hit(self) -> list[Searched]:
        """Return the versions whose content changes."""
        digests = {bytes.fromhex(digest) for digest in self.changing}
        return [each for each in self.searched if not digests.isdisjoint(each.snapshot.digests)]


def make_plan(ctx: Context, sought: Sought, column: str, drop: Sequence[str]) -> Plan:
    """Look everywhere and say what is to be done.

    Args:
        ctx: the project.
        sought: the person.
        column: the subject column, instead of those of the contract.
        drop: files (`orders@1/a.png`), users or digests of content that may go whole.
    """
    columns = subject_columns(ctx, "", column)
    searched = searched_versions(ctx, columns, "")
    answers = prediction_ids(ctx, set(columns.values()), sought.spellings)
    with ctx.read() as tx:
        used = references.every_use(tx, ctx.project_id)
        known = references.every_digest(tx)
    looking = _Looking(ctx, sought, drop)
    items = [*looking.files(searched), *looking.contents(used, _sealed(answers))]
    orphans = [
        each
        for each in ctx.home.blobs.digests()
        if each not in known and sought.distinctive and looking.names_inside(each)
    ]
    return Plan(
        columns=columns,
        searched=searched,
        items=items,
        answers=answers["prediction_id"].to_list() if answers is not None else [],
        answered=sorted(set(answers["model"].to_list())) if answers is not None else [],
        orphans=orphans,
        remains=looking.remains([each.snapshot for each in searched]),
        counts={"versions": len(searched), "contents": len(used)},
    )


def other_content(
    ctx: Context, sought: Sought, answers: "pl.DataFrame | None"
) -> list[PlannedItem]:
    """Return the stored content that names the person, apart from files of datasets.

    Args:
        ctx: the project.
        sought: the person.
        answers: about the person, as of `prediction_ids`.
    """
    with ctx.read() as tx:
        used = references.every_use(tx, ctx.project_id)
    return list(_Looking(ctx, sought, []).contents(used, _sealed(answers)))


def _sealed(answers: "pl.DataFrame | None") -> set[str]:
    """Return the digests of the sealed logs that hold some answers."""
    return set(answers["digest"].to_list()) if answers is not None else set[str]()


class _Looking:
    def __init__(self, ctx: Context, sought: Sought, drop: Sequence[str]) -> None:
        self._ctx = ctx
        self._sought = sought
        self._drop = set(drop)

    def files(self, searched: Sequence[Searched]) -> Iterator[PlannedItem]:
        """Yield the files of datasets that hold rows of the person, or name them elsewhere."""
        counts = rows_in_files(self._ctx.home, searched, self._sought.spellings)
        for each, entry, path in files_once(self._ctx.home.blobs, searched):
            rows = counts.get(entry.digest)
            named = self._sought.distinctive and rows is None
            if rows is None and not (named and self._sought.named_in(path.read_bytes())):
                continue
            name = f"{each.label}/{entry.path}"
            asked = {entry.digest, name, each.label} & self._drop
            fate = Fate.DROP if asked else Fate.KEEP if rows is None else Fate.REWRITE
            yield PlannedItem(kind=FILE, used_by=name, fate=fate, rows=rows, digest=entry.digest)

    def contents(
        self, used: Mapping[str, Sequence[tuple[str, str]]], about: set[str]
    ) -> Iterator[PlannedItem]:
        """Yield all other stored content that names the person."""
        for number, (digest, users) in enumerate(sorted(used.items()), 1):
            self._ctx.progress(number / len(used), "searching stored content")
            kind, name = users[0]
            if kind == datasets.KIND:
                continue
            if digest in about or (self._sought.distinctive and self.names(digest)):
                whole = all(each != DOCUMENT for each, _ in users)
                asked = whole and {digest, *(each for _, each in users)} & self._drop
                fate = Fate.DROP if asked else self._fate(digest, kind)
                yield PlannedItem(kind=kind, used_by=name, fate=fate, rows=None, digest=digest)

    def _fate(self, digest: str, kind: str) -> Fate:
        if kind == "profile":
            return Fate.RENEW
        data = self._ctx.home.blobs.get(digest)
        if kind in TABLE_KINDS and is_table(data):
            return Fate.REWRITE
        if kind == "artifact" and is_kept_result(data):
            return Fate.DROP
        if kind == "model_version" or redact(data, self._sought) is None:
            return Fate.KEEP
        return Fate.REDACT

    def remains(self, snapshots: Sequence[Snapshot]) -> list[str]:
        """Return the blobs with a dead part that may name the person, beside what versions need.

        Of a short value nothing can be told, so every such blob is one.
        """
        dying = (each.hex() for each in dying_blobs(self._ctx.home.blobs, snapshots, dead=0))
        return [
            each
            for each in sorted(dying)
            if not self._sought.distinctive or self.names_inside(each)
        ]

    def names_inside(self, digest: str) -> bool:
        """Tell the same of content of which nobody says what it is: it may be a pack."""
        blobs = self._ctx.home.blobs
        return blobs.has(digest) and self._sought.named_inside(blobs.get(digest))

    def names(self, digest: str) -> bool:
        """Tell whether a stored content names the person; one that is gone does not."""
        blobs = self._ctx.home.blobs
        return blobs.has(digest) and self._sought.named_in(blobs.get(digest))
