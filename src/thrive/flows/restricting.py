"""Leaving a person out: their rows stay stored, and are read for nothing until the order is lifted.

A restriction (GDPR art. 18), a withdrawn consent or an objection (art. 7(3), 21) is kept as a keyed
digest of the person. Whatever reads rows to use them, in runs and outside, exports and feature
views, reads without theirs; files that may name them are not handed out, and model servers do not
answer about them.
"""

from pathlib import Path
from typing import Any

from thrive.data.subjects import rows_in_files, searched_versions
from thrive.domain.actor import ANYONE, ERASERS
from thrive.domain.duty import Restriction, RestrictionKind
from thrive.domain.errors import Conflict, UsageError
from thrive.domain.identifiers import new_id
from thrive.domain.left_out import asked_as, asking_key
from thrive.flows.erasure.cleaning import forget_online
from thrive.flows.erasure.finding import given_person
from thrive.flows.erasure.searching import subject_columns
from thrive.flows.erasure.sought import Sought
from thrive.operations import Context, Kind, PrivateText, operation
from thrive.store import restrictions
from thrive.store.kept_records import recorded
from thrive.store.pseudonym_keys import pseudonym_key, spellings
from thrive.store.pseudonyms import mark, pseudonym
from thrive.store.snapshots.people import PeopleIndex


@operation(
    "restrictions place",
    kind=Kind.CLIENT,
    role=ERASERS,
    writes=True,
    next_hint="thrive restrictions list",
)
def restrictions_place(
    ctx: Context,
    value: PrivateText = "",
    *,
    reason: str,
    kind: RestrictionKind = RestrictionKind.RESTRICTION,
    from_file: Path | None = None,
) -> Restriction:
    """Leave a person out of everything that is read to be used; their rows stay stored.

    A person is a value of the column that `subject` in [data.NAME] names; without VALUE you are
    asked for it. From now on runs, `thrive.data.load`, `data export` and feature views read without
    their rows, in every version there is and will be, this host's online store forgets them, files
    of data that names people are not handed out as they are, and model servers refuse a request
    that names them, unless the contract says `inputs = { restricted = "answer" }`.
    Models that learned from them are named by `duties list`: retrain them. What is kept of the
    person is a keyed digest.

    Args:
        value: the person, as the subject column has it.
        reason: why, e.g. the number of the request; never the person.
        kind: restriction (GDPR art. 18), or objection (art. 7(3), 21: withdrawn consent as well).
        from_file: a file whose first line is the value.

    Raises:
        UsageError: no value or reason is given, no dataset has a subject column, or the reason
            names the person.
        Conflict: the person is left out already.

    Examples:
        thrive restrictions place --from-file /run/user/1000/person --reason "request 17"
        thrive restrictions place --kind objection --reason "request 18"
    """
    asked = given_person(ctx, value, from_file)
    if not reason.strip():
        raise UsageError("A restriction needs a reason.", '--reason "request 17"')
    if Sought(asked).distinctive and asked in reason:
        raise UsageError(
            "The reason names the person, and it is kept.", "say it without, e.g. by a number"
        )
    columns = subject_columns(ctx, "", "")
    key = pseudonym_key(ctx.home, ctx.actor.name)
    person, asking = mark(asked, key), asking_key(key)
    named = spellings(asked, ctx.home)
    held = _held(ctx, columns, named)
    placed = Restriction(
        restriction_id=new_id(),
        kind=kind,
        person=person,
        columns=sorted(set(columns.values())),
        reason=reason.strip(),
        actor=ctx.actor.name,
        placed_at=ctx.now(),
        held=[label for label, _, _ in held],
        digests=[digest for _, digest, _ in held],
        rows=sum(rows for _, _, rows in held),
        asked=" ".join(sorted({asked_as(each, asking) for each in (asked, pseudonym(asked, key))})),
        asked_key=asking.hex(),
    )
    words = {"kind": kind.value, "reason": placed.reason, "rows": placed.rows}
    words |= {"records": [recorded(placed)]}
    with ctx.write(f"restriction:{placed.restriction_id}", **words) as tx:
        _refuse_twice(restrictions.find(tx, ctx.project_id), placed)
        restrictions.add(tx, ctx.project_id, placed)
    forget_online(ctx, Sought(asked, *named))
    return placed


def _refuse_twice(present: list[Restriction], placed: Restriction) -> None:
    for each in present:
        if each.person == placed.person and each.kind is placed.kind:
            raise Conflict(
                f"The person is left out already: {each.kind.value} {each.restriction_id}, "
                f"{each.reason}.",
                "thrive restrictions list",
            )


def _held(
    ctx: Context, columns: dict[str, str], named: tuple[str, ...]
) -> list[tuple[str, str, int]]:
    """Return the label, the digest and the person's rows of each version that names them."""
    searched = searched_versions(ctx, columns, "")
    counts = rows_in_files(ctx.home, searched, named, index=PeopleIndex(ctx.home.folder))
    found = [
        (each.label, each.version.digest, _rows(each.snapshot.digests, counts)) for each in searched
    ]
    return [each for each in found if each[2]]


def _rows(digests: list[bytes], counts: dict[str, int]) -> int:
    return sum(counts.get(digest.hex(), 0) for digest in digests)


@operation(
    "restrictions list",
    role=ANYONE,
    columns=("restriction_id", "kind", "reason", "rows", "actor", "placed_at", "lifted_at"),
)
def restrictions_list(ctx: Context, *, lifted: bool = False) -> list[Restriction]:
    """List who is left out, by the reason that was given: newest first.

    Args:
        lifted: also those that were lifted.

    Examples:
        thrive restrictions list
    """
    with ctx.read() as tx:
        return restrictions.find(tx, ctx.project_id, present=not lifted)


@operation("restrictions lift", role=ERASERS, writes=True)
def restrictions_lift(ctx: Context, restriction_id: str, *, reason: str) -> Restriction:
    """End a restriction: the rows are read again; tell the person before (GDPR art. 18(3)).

    Args:
        restriction_id: the restriction, as `restrictions list` names it.
        reason: why it may be lifted.

    Raises:
        NotFound: there is none of that id.
        UsageError: no reason is given.

    Examples:
        thrive restrictions lift 01928374aabb7ccd8ee0112233445566 --reason "settled, person told"
    """
    if not reason.strip():
        raise UsageError("Lifting a restriction needs a reason.", '--reason "..."')
    said, lifted = reason.strip(), list[dict[str, Any]]()
    with ctx.read() as tx:
        restriction_id = restrictions.get(tx, ctx.project_id, restriction_id).restriction_id
    with ctx.write(f"restriction:{restriction_id}", reason=said, records=lifted) as tx:
        ended = restrictions.lift(
            tx, ctx.project_id, restriction_id, by=ctx.actor.name, reason=said, at=ctx.now()
        )
        lifted.append(recorded(ended))
    return ended
