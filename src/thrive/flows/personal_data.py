"""Leave to read personal data: given for a purpose until a day, revoked, readings listed."""

from typing import Any

from thrive.contract.schema import DataTerms
from thrive.data.closed import closed_columns
from thrive.data.reading import find_version
from thrive.domain.actor import ANYONE, ERASERS, STEWARDS
from thrive.domain.clock import parse_duration
from thrive.domain.duty import DataGrant, DataRead
from thrive.domain.errors import NotFound, Refused, UsageError
from thrive.domain.identifiers import new_id
from thrive.flows.contracts import contract_here
from thrive.operations import Context, PageSize, operation
from thrive.store import oversight
from thrive.store.kept_records import recorded


@operation("grants give", role=STEWARDS, writes=True, next_hint="thrive grants list")
def grants_give(
    ctx: Context,
    dataset: str,
    *,
    purpose: str,
    reason: str,
    reader: str = "",
    columns: list[str] | None = None,
    for_: str = "90 days",
) -> DataGrant:
    """Let somebody read a dataset's personal columns as they are, for one purpose, until a day.

    Without a grant everybody reads pseudonyms. In a team nobody grants themselves; alone in a
    folder you may, and the record says so.

    Args:
        dataset: the dataset.
        purpose: what the columns are read for; one that the dataset may serve.
        reason: why pseudonyms will not do.
        reader: who may read, by the name that the audit chain has; you if not said.
        columns: only these columns; all that hold personal data if none is named.
        for_: how long it holds, e.g. "30 days".

    Raises:
        NotFound: there is no such dataset, or it has no such column.
        UsageError: a word is empty, the duration is none, or the columns hold nothing personal.
        Refused: the dataset may not serve the purpose, or you grant yourself in a team.

    Examples:
        thrive grants give riders --purpose late-warning --reason "the model needs the street"
        thrive grants give riders --reader ana --columns street --for "30 days" --purpose audits \
            --reason "a complaint"
    """
    for name, text in (("purpose", purpose), ("reason", reason)):
        if not text.strip():
            raise UsageError(f"The {name} is empty.", f'--{name} "..."')
    lasts = parse_duration(for_)
    if not lasts:
        raise UsageError(f"{for_!r} lasts no time.", '--for "30 days"')
    who = reader or ctx.actor.name
    if who == ctx.actor.name and not ctx.alone:
        raise Refused(
            f"{who} may not grant themselves to read personal data.",
            "ask another data engineer",
        )
    terms = contract_here(ctx).data.get(dataset, DataTerms())
    _check_purpose(dataset, purpose, terms)
    _check_columns(ctx, dataset, columns or [], terms)
    now = ctx.now()
    grant = DataGrant(
        grant_id=new_id(),
        dataset=dataset,
        columns=columns or [],
        reader=who,
        purpose=purpose.strip(),
        reason=reason.strip(),
        actor=ctx.actor.name,
        given_at=now,
        expires_at=now + lasts,
    )
    words = {"reader": who, "purpose": grant.purpose, "reason": grant.reason}
    own, records = who == ctx.actor.name, [recorded(grant)]
    with ctx.write(f"dataset:{dataset}", **words, own=own, records=records) as tx:
        oversight.add_grant(tx, ctx.project_id, grant)
    return grant


def _check_purpose(dataset: str, purpose: str, terms: DataTerms) -> None:
    allowed = {word.casefold() for word in terms.allowed}
    if allowed and purpose.strip().casefold() not in allowed:
        raise Refused(
            f"{dataset} may serve {', '.join(terms.allowed)}, not {purpose.strip()!r}.",
            f"add the purpose to allowed in [data.{dataset}]",
        )


def _check_columns(ctx: Context, dataset: str, columns: list[str], terms: DataTerms) -> None:
    version = find_version(ctx, dataset)
    with ctx.read() as tx:
        closed = closed_columns(tx, ctx.project_id, version, terms.personal_kinds)
    if not closed:
        raise UsageError(
            f"{dataset} holds no personal data: everybody may read it.",
            f'thrive data confirm {dataset} --reason "..."',
        )
    for name in columns:
        if name not in closed:
            raise NotFound(
                f"{dataset} has no personal column {name!r}.", f"columns: {', '.join(closed)}"
            )


@operation(
    "grants list",
    role=ANYONE,
    columns=(
        "grant_id",
        "dataset",
        "reader",
        "purpose",
        "reason",
        "given_at",
        "expires_at",
        "revoked_at",
    ),
)
def grants_list(
    ctx: Context, *, dataset: str | None = None, present: bool = False
) -> list[DataGrant]:
    """List who may read personal data, newest grant first.

    Args:
        dataset: only of this dataset.
        present: only grants that hold now.

    Examples:
        thrive grants list --present
    """
    with ctx.read() as tx:
        found = oversight.find_grants(tx, ctx.project_id, dataset)
    now = ctx.now()
    return [each for each in found if each.good(now)] if present else found


@operation("grants revoke", role=ERASERS, writes=True)
def grants_revoke(ctx: Context, grant_id: str) -> DataGrant:
    """End a grant now: whose it was reads pseudonyms from the next reading on.

    Args:
        grant_id: the grant, as `grants list` names it.

    Raises:
        NotFound: there is none of that id.

    Examples:
        thrive grants revoke 01928374aabb7ccd8ee0112233445566
    """
    ended: list[dict[str, Any]] = []
    with ctx.read() as tx:
        grant_id = oversight.get_grant(tx, ctx.project_id, grant_id).grant_id
    with ctx.write(f"grant:{grant_id}", records=ended) as tx:
        found = oversight.revoke_grant(tx, ctx.project_id, grant_id, ctx.now())
        ended.append(recorded(found))
    return found


@operation("data reads", role=ANYONE)
def data_reads(ctx: Context, *, dataset: str | None = None, limit: PageSize = 50) -> list[DataRead]:
    """List who read personal data, newest first: in the clear or as pseudonyms, for what.

    Args:
        dataset: only of this dataset.
        limit: how many.

    Examples:
        thrive data reads --dataset riders
    """
    with ctx.read() as tx:
        return oversight.find_reads(tx, ctx.project_id, dataset, limit)
