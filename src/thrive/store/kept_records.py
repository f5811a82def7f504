"""Records that carry weight, held against the audit chain: consent, decisions, holds and the like.

What writes such a record puts `recorded` of it into its audit row. An edit of the database by hand
leaves the chain whole, and then a row and the last word of the chain on it differ.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import msgspec
from blake3 import blake3

from thrive.domain.duty import DataGrant, DutyException, LegalHold, Restriction
from thrive.domain.erasure import ERASED_TEXT
from thrive.domain.gate import Approval
from thrive.domain.monitoring import Decision
from thrive.domain.project import AuditEntry
from thrive.store import duties, erasures, gates, holds, monitoring, oversight, restrictions
from thrive.store.database import Tx

RECORDS = "records"
"""What the detail of an audit row holds the records under that it wrote."""
_canonical = msgspec.json.Encoder(order="deterministic")


_LIFTED = ("lifted_by", "lifted_for", "lifted_at")
_GIVEN = ("given_at", "expires_at", "revoked_at")


class _Kind(NamedTuple):
    """A kind of record: its key, what never changes unsaid, who writes it, and how it is read."""

    name: str
    key: str
    of: tuple[str, ...]
    operations: frozenset[str]
    find: Callable[[Tx, str], Sequence[Any]]


_KINDS: dict[type[msgspec.Struct], _Kind] = {
    Approval: _Kind(
        "approval",
        "approval_id",
        ("model", "version", "step", "actor", "reason", "given_at"),
        frozenset({"approvals give"}),
        gates.every_approval,
    ),
    Decision: _Kind(
        "decision",
        "decision_id",
        ("alert_id", "action", "actor", "reason", "decided_at"),
        frozenset({"alerts decide", "tick"}),
        monitoring.find_decisions,
    ),
    LegalHold: _Kind(
        "hold",
        "hold_id",
        ("subject", "reason", "actor", "placed_at", *_LIFTED),
        frozenset({"holds place", "incidents open"}),
        partial(holds.find_holds, present=False),
    ),
    Restriction: _Kind(
        "restriction",
        "restriction_id",
        ("kind", "person", "columns", "reason", "actor", "placed_at", *_LIFTED),
        frozenset({"restrictions place"}),
        partial(restrictions.find, present=False),
    ),
    DutyException: _Kind(
        "exception",
        "exception_id",
        ("model", "duty", "role", "actor", "reason", *_GIVEN),
        frozenset({"exceptions grant"}),
        duties.find_exceptions,
    ),
    DataGrant: _Kind(
        "grant",
        "grant_id",
        ("dataset", "columns", "reader", "purpose", "reason", "actor", *_GIVEN),
        frozenset({"grants give"}),
        oversight.find_grants,
    ),
}
OPERATIONS = frozenset().union(*(kind.operations for kind in _KINDS.values()))
"""The operations that write such records."""


class Unlike(msgspec.Struct, frozen=True, kw_only=True):
    """A record that is not what the audit chain says: its kind, its id, and how it differs."""

    kind: str
    id: str
    why: str


class _Said(NamedTuple):
    """The last word of the chain on a record."""

    entry: AuditEntry
    of: list[str]
    digest: str


def recorded(row: msgspec.Struct) -> dict[str, Any]:
    """Return what an audit row keeps of a record that it writes: which fields, and their digest.

    Args:
        row: the record as it is written.
    """
    kind = _KINDS[type(row)]
    names = (kind.key, *kind.of)
    return {
        "kind": kind.name,
        "id": getattr(row, kind.key),
        "of": list(names),
        "digest": _digest(row, names),
    }


def _digest(row: msgspec.Struct, names: Sequence[str]) -> str:
    told: dict[str, Any] = msgspec.to_builtins(row)
    return blake3(_canonical.encode([told.get(name) for name in names])).hexdigest(16)


class Witness:
    """Holds a project's records against its audit chain: made first, then shown every entry.

    Args:
        tx: the transaction that the chain is read in.
        project_id: the project.
        seq: the newest entry: a record of a later one may not have been read.
    """

    def __init__(self, tx: Tx, project_id: str, seq: int) -> None:
        self._seq = seq
        self._rows = {
            kind.name: {getattr(row, kind.key): row for row in kind.find(tx, project_id)}
            for kind in _KINDS.values()
        }
        self._said: dict[tuple[str, str], _Said] = {}
        self._before: list[AuditEntry] = []
        self._erased = bool(erasures.find(tx, project_id))

    @property
    def count(self) -> int:
        """How many records there are."""
        return sum(map(len, self._rows.values()))

    def see(self, entry: AuditEntry) -> None:
        """Take note of an entry that speaks of records, or of an operation that writes some."""
        records: list[Mapping[str, Any]] = entry.detail.get(RECORDS, [])
        for each in records:
            name = (str(each["kind"]), str(each["id"]))
            self._said[name] = _Said(entry, list(each["of"]), str(each["digest"]))
        if not records:
            self._before.append(entry)

    def unlike(self) -> Iterator[Unlike]:
        """Yield every record that is not what the chain says, once all entries were seen."""
        for kind in _KINDS.values():
            for key, row in self._rows[kind.name].items():
                why = self._differs(kind, key, row)
                if why:
                    yield Unlike(kind=kind.name, id=key, why=why)
        for (name, key), said in self._said.items():
            if said.entry.seq <= self._seq and key not in self._rows.get(name, {key: None}):
                why = f"entry {said.entry.seq} wrote it, and it is not there"
                yield Unlike(kind=name, id=key, why=why)

    def _differs(self, kind: _Kind, key: str, row: Any) -> str:
        if self._erased and ERASED_TEXT in str(msgspec.to_builtins(row)):
            return ""  # an erasure took a person out of it; the chain cannot follow
        said = self._said.get((kind.name, key))
        if said is None:
            return "" if self._is_older(kind, row) else "no entry wrote it"
        if _digest(row, said.of) != said.digest:
            return f"it was changed since entry {said.entry.seq} wrote it"
        return ""

    def _is_older(self, kind: _Kind, row: Any) -> bool:
        """Tell whether an entry of before records were kept in entries may have written a row."""
        return any(
            entry.operation in kind.operations
            and entry.actor == row.actor
            and entry.detail.get("reason", row.reason).strip() == row.reason.strip()
            for entry in self._before
        )
