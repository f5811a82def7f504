"""Erasing a person: a plan first, then steps that each can be taken again after a kill."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from thrive.data.lockfile import pin
from thrive.domain.actor import ERASERS
from thrive.domain.erasure import Erasure, ErasureState
from thrive.domain.errors import Refused, UsageError
from thrive.domain.identifiers import new_id
from thrive.domain.reference import format_reference
from thrive.flows.erasure.cleaning import blank_logs, forget_online, remove_content, remove_copies
from thrive.flows.erasure.consent import first_state, is_waiting, known_consent
from thrive.flows.erasure.finding import given_person
from thrive.flows.erasure.looked import looked_in
from thrive.flows.erasure.plan import Plan, PlannedItem, make_plan
from thrive.flows.erasure.proof import Proof, notes, prove
from thrive.flows.erasure.remotes import clean_remotes
from thrive.flows.erasure.replacing import replace_contents, replace_data
from thrive.flows.erasure.searching import subject_columns
from thrive.flows.erasure.sought import Sought, new_salt
from thrive.flows.erasure.switching import refuse_held, switch
from thrive.operations import Context, Kind, PrivateText, operation
from thrive.store import erasures, models, references
from thrive.store.pins import read_lock
from thrive.store.pseudonym_keys import every_spelling

PLANNED = "planned"


class ErasureReport(msgspec.Struct, frozen=True, kw_only=True):
    """What an erasure would do, or did.

    Attributes:
        state: planned, asked while it waits for a second person, or how far it came: done, or
            left when something still names the person.
        erasure_id: its id, "" for a plan.
        rows: rows of the person, over all versions.
        predictions: answers about the person.
        items: stored content that names the person, and its fate.
        models: model versions that learned from it; they are marked, not changed.
        left: what still names the person.
        notes: what you must still do or know.
        proof: digest of the proof file.
    """

    state: str
    erasure_id: str = ""
    rows: int
    predictions: int
    counts: dict[str, int] = {}
    proof: str = ""
    models: list[str]
    items: list[PlannedItem] = []
    left: list[str] = []
    notes: list[str] = []
    next_hint: str = ""

    @property
    def exit_code(self) -> int:
        """1 when something still names the person, 6 while a second person must approve."""
        codes = {ErasureState.LEFT.value: 1, ErasureState.ASKED.value: Refused.exit_code}
        return codes.get(self.state, 0)


@operation("data erase", kind=Kind.CLIENT, role=ERASERS, writes=True)
def erase(
    ctx: Context,
    value: PrivateText = "",
    *,
    reason: str = "",
    legal_basis: str = "",
    column: str = "",
    drop: list[str] = [],  # noqa: B006 - never changed; an operation's default must be its value
    yes: bool = False,
    from_file: Path | None = None,
) -> ErasureReport:
    """Erase a person from every version, prediction log, outcome and artifact, with proof.

    Without --yes it says what it would do and changes nothing. With it, files are rewritten
    without the person's rows, versions keep their numbers under new digests, the old content is
    deleted and answers with the date and the reason, free pages of the database are emptied, and
    everything is searched again. Broken off, it goes on when it is called again. On a team's
    home a second person must approve it (`thrive erasures approve`); then it is called again.

    Args:
        value: the person, as the subject column has it; asked for if not given, `-` reads it.
        reason: why; part of the record, so without the value.
        legal_basis: the law it rests on, e.g. "GDPR art. 17".
        column: the column that names a person, instead of those of the contract.
        drop: content that cannot be rewritten and may go whole, by digest or user.
        yes: do it.
        from_file: a file whose first line is the value.

    Raises:
        UsageError: no reason is given, or it holds the value.
        Refused: a legal hold is on something that would change.

    Examples:
        thrive data erase --reason "asked on 3 May"
        thrive data erase --from-file person --reason "asked on 3 May" --legal-basis "GDPR 17" --yes
    """
    sought = Sought(*every_spelling(given_person(ctx, value, from_file), ctx.home))
    _check_words(sought, reason, legal_basis, *drop)
    known = _unfinished(ctx, sought)
    if not yes:
        return _planned(ctx, sought, make_plan(ctx, sought, column, drop))
    work = Work(ctx=ctx, sought=sought, column=column, drop=drop)
    if known is None:
        work = work._replace(plan=make_plan(ctx, sought, column, drop))
        with ctx.read() as tx:
            refuse_held(tx, ctx, work.wanted())
    erasure = known or _begun(work, reason, legal_basis)
    with ctx.read() as tx:
        waits = is_waiting(tx, ctx, erasure)
    return _waiting(erasure) if waits else _report(ctx, _go_on(work, erasure))


def _check_words(sought: Sought, reason: str, *others: str) -> None:
    """Refuse words of the record that hold the value, and a missing reason.

    Raises:
        UsageError: one of these is so.
    """
    if not reason.strip():
        raise UsageError("An erasure needs a reason.", 'thrive data erase --reason "..."')
    if any(each in words for words in (reason, *others) for each in sought.spellings):
        raise UsageError(
            "The words of the record hold the value that is to be erased.",
            "say it without, e.g. with the number of the request",
        )


def _unfinished(ctx: Context, sought: Sought) -> Erasure | None:
    """Return the erasure of this person that was broken off, None if there is none."""
    with ctx.read() as tx:
        waiting = erasures.unfinished(tx, ctx.project_id)
    return next((each for each in waiting if sought.digest(each.salt) == each.person), None)


def _planned(ctx: Context, sought: Sought, plan: Plan) -> ErasureReport:
    rows = sum(item.rows or 0 for item in plan.items)
    nobody = not (plan.items or plan.orphans or plan.remains)
    looked = [words for each in looked_in(ctx, plan.searched) for words in each.words]
    return ErasureReport(
        state=PLANNED,
        rows=rows,
        predictions=len(plan.answers),
        models=_learned(ctx, [each.version.digest for each in plan.hit()]),
        items=plan.items,
        notes=[*notes(ctx, sought, plan), *looked],
        next_hint="" if nobody else 'thrive data erase --reason "..." --yes',
    )


def _learned(ctx: Context, digests: list[str]) -> list[str]:
    """Return the model versions that were trained on a dataset version of these digests."""
    with ctx.read() as tx:
        return [
            format_reference(version.model, version.version)
            for model in models.find(tx, ctx.project_id)
            for version in models.versions(tx, ctx.project_id, model.name)
            if set(version.training.values()) & set(digests)
        ]


class Work(NamedTuple):
    """What every step works with."""

    ctx: Context
    sought: Sought
    column: str
    drop: list[str]
    plan: Plan | None = None

    def wanted(self) -> Plan:
        """Return the plan as it was made when the erasure began, else one of what is there now."""
        return self.plan or make_plan(self.ctx, self.sought, self.column, self.drop)


def _waiting(erasure: Erasure) -> ErasureReport:
    return ErasureReport(
        state=erasure.state.value,
        erasure_id=erasure.erasure_id,
        rows=erasure.scope["rows"],
        predictions=erasure.scope["predictions"],
        models=[],
        notes=["nothing is changed: a second person must approve it, then type the same again"],
        next_hint=f'thrive erasures approve {erasure.erasure_id} --reason "..." (somebody else)',
    )


def _begun(work: Work, reason: str, legal_basis: str) -> Erasure:
    ctx, sought, plan = work.ctx, work.sought, work.wanted()
    salt = new_salt()
    with ctx.read() as tx:
        consent = known_consent(tx, ctx, sought)
    erasure = Erasure(
        erasure_id=new_id(),
        state=first_state(ctx),
        reason=reason,
        legal_basis=legal_basis,
        actor=ctx.actor.name,
        salt=salt,
        person=sought.digest(salt),
        scope={
            "column": work.column,
            "rows": sum(item.rows or 0 for item in plan.items),
            "predictions": len(plan.answers),
        },
        consent=consent,
        started_at=ctx.now(),
    )
    words = {"reason": reason, "legal_basis": legal_basis, "person": erasure.person}
    with ctx.write(f"erasure:{erasure.erasure_id}", state=erasure.state.value, **words) as tx:
        erasures.save(tx, ctx.project_id, erasure)
    return erasure


def _go_on(work: Work, erasure: Erasure) -> Erasure:
    """Take the steps that are left; each leaves the state that the next one starts from."""
    work = work._replace(column=work.column or erasure.scope["column"])
    while erasure.state in STEPS:
        erasure = STEPS[erasure.state](work, erasure)
    return erasure


def _switch(work: Work, erasure: Erasure) -> Erasure:
    """Store what is to stay, then let every row name it."""
    ctx, sought = work.ctx, work.sought
    plan = work.wanted()
    contents = replace_contents(ctx, sought, plan)
    return switch(ctx, erasure, sought, plan, contents, replace_data(ctx, sought, plan))


def _remove(work: Work, erasure: Erasure) -> Erasure:
    """Delete the old content, copies of it on this host, and what the raw log says."""
    ctx = work.ctx
    columns = set(subject_columns(ctx, "", work.column).values())
    blank_logs(ctx, work.sought, columns)
    with ctx.read() as tx:
        digests = erasures.every_removed(tx, ctx.project_id)
    remove_content(ctx, digests)
    remove_copies(ctx, digests, work.sought)
    forget_online(ctx, work.sought)
    _renew_pins(ctx)
    clean_remotes(ctx, work.sought)
    return _reached(ctx, erasure, ErasureState.REMOVED)


def _renew_pins(ctx: Context) -> None:
    """Let the folder's `thrive.lock` name what stands for the versions that were erased."""
    folder = ctx.local_folder()
    for name, digest in read_lock(folder).items():
        with ctx.read() as tx:
            present = erasures.present_digest(tx, ctx.project_id, digest)
        pin(folder, ctx.home.folder, name, present)


def _scrub(work: Work, erasure: Erasure) -> Erasure:
    """Empty the free pages of the database and its write-ahead log."""
    work.ctx.home.database.scrub()
    return _reached(work.ctx, erasure, ErasureState.SCRUBBED)


def _reached(ctx: Context, erasure: Erasure, state: ErasureState) -> Erasure:
    moved = msgspec.structs.replace(erasure, state=state)
    with ctx.write(f"erasure:{erasure.erasure_id}", state=state.value) as tx:
        erasures.save(tx, ctx.project_id, moved)
    return moved


def _prove(work: Work, erasure: Erasure) -> Erasure:
    """Search everything again, keep what was found as the proof, and end."""
    ctx = work.ctx
    proof = prove(ctx, erasure, work.sought, work.column)
    digest = ctx.home.blobs.put(msgspec.json.encode(proof))
    ended = msgspec.structs.replace(
        erasure,
        state=ErasureState.LEFT if proof.left else ErasureState.DONE,
        left=proof.left,
        proof=digest,
        ended_at=ctx.now(),
    )
    subject = f"erasure:{erasure.erasure_id}"
    words = {"state": ended.state.value, "proof": digest, "left": len(proof.left)}
    with ctx.write(subject, **words, counts=erasure.counts) as tx:
        references.add(tx, ctx.project_id, "erasure", erasure.erasure_id, digest)
        erasures.save(tx, ctx.project_id, ended)
    return ended


def _approved(work: Work, erasure: Erasure) -> Erasure:
    """Begin what a second person approved."""
    return _reached(work.ctx, erasure, ErasureState.BEGUN)


STEPS: Mapping[ErasureState, Callable[[Work, Erasure], Erasure]] = {
    ErasureState.ASKED: _approved,
    ErasureState.BEGUN: _switch,
    ErasureState.SWITCHED: _remove,
    ErasureState.REMOVED: _scrub,
    ErasureState.SCRUBBED: _prove,
}
"""By the state that an erasure is in: the step that brings it to the next."""


def _report(ctx: Context, erasure: Erasure) -> ErasureReport:
    proof = msgspec.json.decode(ctx.home.blobs.get(erasure.proof), type=Proof)
    learned = _learned(ctx, erasure.removed)
    return ErasureReport(
        state=erasure.state.value,
        erasure_id=erasure.erasure_id,
        rows=erasure.counts["rows"],
        predictions=erasure.counts["predictions"],
        counts=erasure.counts,
        proof=erasure.proof,
        models=learned,
        left=erasure.left,
        notes=proof.notes,
        next_hint=f"thrive models retrain {learned[0].partition('@')[0]}" if learned else "",
    )
