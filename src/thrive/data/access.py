"""Who may read columns that hold personal data: by a grant for a purpose, else as pseudonyms.

A column is closed once somebody said what it holds, or it seems to hold something and nobody said
`none`. Each reading of closed columns is logged: who, which version, which columns, in the clear or
as pseudonyms, for what, under which grant.
"""

from collections.abc import Mapping

import blake3
import msgspec

from thrive.data.closed import closed_columns
from thrive.data.wanted import terms_of
from thrive.domain.actor import Actor
from thrive.domain.dataset import PERSON, DatasetVersion
from thrive.domain.duty import DataGrant, DataRead
from thrive.domain.errors import Refused
from thrive.domain.identifiers import new_id
from thrive.domain.pseudonyms import PSEUDONYM
from thrive.operations import Context
from thrive.store import oversight, restrictions
from thrive.store.database import Tx


class PersonalView(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody gets to see of a version's closed columns.

    Attributes:
        columns: its closed columns.
        hidden: those of them that are read as pseudonyms.
        purpose: what the others are read for, "" if all are hidden.
        grant_id: the grant of the others.
        naming: its columns that name people.
        left_out: marks of the people whose rows nobody gets to see, as `store.restrictions` has.
    """

    columns: list[str]
    hidden: list[str]
    purpose: str = ""
    grant_id: str = ""
    naming: list[str] = []
    left_out: list[str] = []

    def only(self, columns: list[str] | None) -> "PersonalView":
        """Return the same of some of the version's columns; of all for None."""
        if columns is None:
            return self
        return msgspec.structs.replace(
            self,
            columns=[each for each in self.columns if each in columns],
            hidden=[each for each in self.hidden if each in columns],
        )


def view_of(
    tx: Tx, ctx: Context, version: DatasetVersion, declared: Mapping[str, str]
) -> PersonalView:
    """Return what whoever asks gets to see of a version; arguments as of `closed_columns`."""
    closed = closed_columns(tx, ctx.project_id, version, declared)
    naming, people = left_out(tx, ctx, version, declared)
    grant = _grant_for(tx, ctx, version.dataset, ctx.actor) if closed else None
    if grant is None:
        return PersonalView(columns=closed, hidden=closed, naming=naming, left_out=people)
    hidden = [each for each in closed if grant.columns and each not in grant.columns]
    return PersonalView(
        columns=closed,
        hidden=hidden,
        purpose=grant.purpose,
        grant_id=grant.grant_id,
        naming=naming,
        left_out=people,
    )


def left_out(
    tx: Tx, ctx: Context, version: DatasetVersion, declared: Mapping[str, str]
) -> tuple[list[str], list[str]]:
    """Return `naming` and `left_out` of a version's view; empty where nobody is left out.

    A column names people if it did when one of them was left out, or is said to by now.
    """
    orders = restrictions.find(tx, ctx.project_id)
    if not orders:
        return [], []
    known = {column for each in orders for column in each.columns}
    naming = [
        each.name
        for each in version.columns
        if each.name in known
        or {declared.get(each.name), each.personal, each.proposed} & {PERSON, PSEUDONYM}
    ]
    return naming, sorted({each.person for each in orders} if naming else ())


def _grant_for(tx: Tx, ctx: Context, dataset: str, reader: Actor) -> DataGrant | None:
    """Return the grant that counts for a reader: of several the one of most columns.

    Alone in a folder one may grant oneself; elsewhere that counts for nothing.
    """
    now = ctx.now()
    good = [
        each
        for each in oversight.find_grants(tx, ctx.project_id, dataset)
        if each.reader == reader.name
        and each.good(now)
        and (ctx.alone or each.actor != reader.name)
    ]
    return max(good, key=lambda each: (not each.columns, len(each.columns)), default=None)


def log_read(
    ctx: Context, version: DatasetVersion, view: PersonalView, rows: int | None = None
) -> None:
    """Log that whoever asks reads closed columns of a version; nothing if there are none.

    Args:
        ctx: the project; its actor is the reader.
        version: the version.
        view: what they get to see.
        rows: how many rows; all of the version if not said.
    """
    if not view.columns:
        return
    read = DataRead(
        read_id=new_id(),
        dataset=version.dataset,
        version=version.version,
        columns=view.columns,
        pseudonymised=view.hidden,
        reader=ctx.actor.name,
        purpose=view.purpose,
        rows=version.rows if rows is None else rows,
        at=ctx.now(),
        grant_id=view.grant_id,
    )
    with ctx.observe(f"dataset:{version.dataset}") as tx:
        oversight.add_read(tx, ctx.project_id, read)


def refuse_hidden(version: DatasetVersion, view: PersonalView) -> None:
    """Refuse to hand out a version's files as they are to somebody who may not read all of it.

    Where people are left out nobody may: whether the files name them is not looked up.

    Raises:
        Refused: some of its columns are hidden from them, or people are left out of it.
    """
    label = f"{version.dataset}@{version.version}"
    if view.hidden:
        raise Refused(
            f"{label} holds personal data ({', '.join(view.hidden)}): its files go only to whom it "
            "was granted.",
            how_to_read(version),
        )
    if view.left_out:
        raise Refused(
            f"People are left out of {label} ({', '.join(view.naming)}): its files may name them.",
            f"thrive data export {label} --to FILE reads it without them; thrive restrictions list",
        )


def refuse_unseen(ctx: Context, version: DatasetVersion) -> None:
    """Let whoever asks have a version's files as they are, and log it, or refuse; see above."""
    with ctx.read() as tx:
        view = view_of(tx, ctx, version, terms_of(ctx.folder, version.dataset).personal_kinds)
    refuse_hidden(version, view)
    log_read(ctx, version, view)


def how_to_read(version: DatasetVersion) -> str:
    """Return the command that lets somebody read a dataset's closed columns."""
    return f'thrive grants give {version.dataset} --purpose "..." --reason "..."'


def hidden_words(version: DatasetVersion, view: PersonalView) -> str:
    """Return what to tell somebody who reads not all there is as it is; "" for who does."""
    label = f"{version.dataset}@{version.version}"
    said: list[str] = []
    if view.hidden:
        names = ", ".join(view.hidden)
        said.append(f"the values of {names} are pseudonyms; to read them: {how_to_read(version)}")
    if view.left_out:
        count = len(view.left_out)
        whose = "one person is" if count == 1 else f"{count:,} people are"
        said.append(f"{whose} left out (thrive restrictions list)")
    return f"{label}: {'; '.join(said)}" if said else ""


def seen_digest(version: DatasetVersion, view: PersonalView) -> str:
    """Return what names the rows that are seen: with pseudonyms they are others than without.

    And where people are left out.
    """
    if not view.hidden and not view.left_out:
        return version.digest
    parts = [version.digest, *view.hidden, *(["", *view.left_out] if view.left_out else [])]
    return blake3.blake3("\n".join(parts).encode()).hexdigest()
