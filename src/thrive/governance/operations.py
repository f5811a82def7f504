"""Operations on model cards, duties, exceptions and documents."""

from pathlib import Path
from typing import Any

import msgspec

from thrive.domain.actor import ANYONE, AUTHORS, KEEPERS, RELEASERS, STOPPERS, Role
from thrive.domain.clock import parse_duration
from thrive.domain.duty import DutyException, StoredDocument
from thrive.domain.errors import NotFound, UsageError
from thrive.domain.identifiers import new_id
from thrive.domain.reference import format_reference, parse_reference
from thrive.governance.card import make_card
from thrive.governance.document import (
    Change,
    Document,
    DocumentKind,
    differences,
    make_document,
    read_document,
)
from thrive.governance.evaluate import DutyState, Standing, judge
from thrive.governance.keeping import KEEP, keep, keep_nightly, project_record, rendered
from thrive.governance.law import Blocks, find_duty
from thrive.governance.records import Records, read_records
from thrive.operations import Context, Kind, operation
from thrive.store import duties, models, references
from thrive.store.kept_records import recorded


class CardFile(msgspec.Struct, frozen=True, kw_only=True):
    """One form of a card: the digest it is kept under, and the file it was written to."""

    form: str
    digest: str
    path: str


class DocumentMade(msgspec.Struct, frozen=True, kw_only=True):
    """A document as it was rendered; `text` is its Markdown, empty when files were written."""

    kind: DocumentKind
    subject: str
    missing: int
    files: list[CardFile]
    text: str


class CardMade(msgspec.Struct, frozen=True, kw_only=True):
    """A model card as it was rendered; `text` is its Markdown, empty when files were written."""

    model: str
    version: int
    missing: int
    files: list[CardFile]
    text: str


@operation("models card", role=AUTHORS, writes=True)
def card(ctx: Context, model: str, *, to: Path | None = None) -> CardMade:
    """Render the model card of a version from its records: Markdown, HTML and JSON.

    Every statement carries the id of its record; what nobody recorded is shown as missing.

    Args:
        model: MODEL or MODEL@VERSION; the live version if no number is given, else the newest.
        to: a folder to write the three files into.

    Examples:
        thrive models card flight-delay --to cards
    """
    made = make_card(read_records(ctx, model))
    forms = rendered(made)
    folder = _folder(ctx, to) if to else None
    digests = {form: ctx.home.blobs.put(content) for form, content in forms.items()}
    subject = format_reference(made.model, made.version)
    with ctx.write(f"model_card:{subject}", record=digests["json"], missing=made.missing) as tx:
        references.add(tx, ctx.project_id, "model_card", subject, *digests.values())
    paths = _written(folder, subject, forms) if folder else {}
    return CardMade(
        model=made.model,
        version=made.version,
        missing=made.missing,
        files=[
            CardFile(form=form, digest=digest, path=paths.get(form, ""))
            for form, digest in digests.items()
        ],
        text="" if to else forms["md"].decode(),
    )


def _folder(ctx: Context, to: Path) -> Path:
    """Return a folder to write into, made if it was missing, before anything is recorded."""
    folder = ctx.local_folder() / to
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise UsageError(f"{to} is no folder.", "--to FOLDER") from None
    return folder


def _written(folder: Path, subject: str, forms: dict[str, bytes]) -> dict[str, str]:
    paths = {form: folder / f"{subject}.{form}" for form in forms}
    for form, path in paths.items():
        path.write_bytes(forms[form])
    return {form: str(path) for form, path in paths.items()}


@operation(
    "duties list",
    role=ANYONE,
    columns=("id", "blocks", "cited", "title", "standing", "owner", "fix"),
)
def duties_list(ctx: Context, model: str, *, met: bool = False) -> list[DutyState]:
    """List what is owed for a version: what is missing, who owes it, what it blocks, what to type.

    What blocks stands first. It is no legal advice.

    Args:
        model: MODEL or MODEL@VERSION; the live version if no number is given, else the newest.
        met: also what is met, and what is not asked of a version like this.

    Examples:
        thrive duties list flight-delay
        thrive duties list flight-delay@3 --met
    """
    return owed(read_records(ctx, model), met=met)


def owed(records: Records, *, met: bool = False) -> list[DutyState]:
    """Return what is owed for the version of some records, as `duties_list` does."""
    shown = (Standing.MISSING, Standing.EXCEPTED)
    chosen = [each for each in judge(records) if met or each.standing in shown]
    return sorted(chosen, key=_urgency)


def _urgency(state: DutyState) -> tuple[bool, int]:
    standings = list(Standing)
    return state.blocks is Blocks.NOTHING, standings.index(state.standing)


@operation("exceptions grant", role=RELEASERS, writes=True)
def exceptions_grant(
    ctx: Context, model: str, duty: str, *, reason: str, for_: str
) -> DutyException:
    """Let a model pass without a duty for a while; it shows wherever the duty does.

    Args:
        model: the model's name.
        duty: the id of the duty, as `duties list` names it.
        reason: why, for those who read it later.
        for_: how long it holds, e.g. "30 days".

    Raises:
        NotFound: there is no such model or duty.
        UsageError: the reason is empty, or the duration is none.

    Examples:
        thrive exceptions grant flight-delay ai-iv-7-standards --reason "in work" --for "30 days"
    """
    if find_duty(duty) is None:
        raise NotFound(f"There is no duty {duty!r}.", f"thrive duties list {model} --met")
    if not reason.strip():
        raise UsageError("The reason is empty.", '--reason "..."')
    lasts = parse_duration(for_)
    if not lasts:
        raise UsageError(f"{for_!r} lasts no time.", '--for "30 days"')
    now = ctx.now()
    with ctx.read() as tx:
        newest = models.get_version(tx, ctx.project_id, model)
    exception = DutyException(
        exception_id=new_id(),
        model=model,
        duty=duty,
        role=Role.ML_ENGINEER.value,
        actor=ctx.actor.name,
        reason=reason.strip(),
        given_at=now,
        expires_at=now + lasts,
        own_work=newest.actor == ctx.actor.name,
    )
    words = {"duty": duty, "reason": reason, "records": [recorded(exception)]}
    with ctx.write(f"exception:{exception.exception_id}", **words) as tx:
        duties.add_exception(tx, ctx.project_id, exception)
    return exception


@operation(
    "exceptions list",
    role=ANYONE,
    columns=(
        "exception_id",
        "model",
        "duty",
        "reason",
        "actor",
        "given_at",
        "expires_at",
        "revoked_at",
    ),
)
def exceptions_list(ctx: Context, *, model: str | None = None) -> list[DutyException]:
    """List exceptions from duties, newest first, those that are over too.

    Args:
        model: only of this model.

    Examples:
        thrive exceptions list
    """
    with ctx.read() as tx:
        return duties.find_exceptions(tx, ctx.project_id, model)


@operation("exceptions revoke", role=STOPPERS, writes=True)
def exceptions_revoke(ctx: Context, exception_id: str) -> DutyException:
    """End an exception now.

    Args:
        exception_id: the exception, as `exceptions list` names it.

    Raises:
        NotFound: there is none of that id.

    Examples:
        thrive exceptions revoke 01928374aabb7ccd8ee0112233445566
    """
    ended: list[dict[str, Any]] = []
    with ctx.read() as tx:
        exception_id = duties.get_exception(tx, ctx.project_id, exception_id).exception_id
    with ctx.write(f"exception:{exception_id}", records=ended) as tx:
        found = duties.revoke_exception(tx, ctx.project_id, exception_id, ctx.now())
        ended.append(recorded(found))
    return found


@operation("documents render", role=AUTHORS, writes=True)
def documents_render(
    ctx: Context, kind: DocumentKind, model: str = "", *, to: Path | None = None
) -> DocumentMade:
    """Render a document from the records: technical file, record of processing, DPIA, instructions.

    Every statement carries the id of its record; what nobody recorded is shown as missing. The
    record of processing may be of the whole project. It is no legal advice.

    Args:
        kind: technical-file, processing-record, impact-assessment or instructions.
        model: MODEL or MODEL@VERSION; the live version if no number is given, else the newest.
        to: a folder to write the HTML, Markdown and JSON into.

    Raises:
        UsageError: no model is given, and the document is not the record of processing; or `to`
            is no folder.

    Examples:
        thrive documents render technical-file flight-delay --to audit
        thrive documents render processing-record
    """
    if not model and kind is not DocumentKind.PROCESSING_RECORD:
        raise UsageError(
            f"Of which model is the {kind.value}?", f"thrive documents render {kind.value} MODEL"
        )
    made = make_document(read_records(ctx, model), kind) if model else project_record(ctx)
    forms = rendered(made)
    folder = _folder(ctx, to) if to else None
    with ctx.write(f"document:{made.kind.value} {made.subject}", missing=made.missing) as tx:
        stored = keep(tx, ctx, made, forms)
    paths = _written(folder, f"{made.kind.value}-{made.subject}", forms) if folder else {}
    digests = {"html": stored.html, "md": stored.markdown, "json": stored.digest}
    return DocumentMade(
        kind=made.kind,
        subject=made.subject,
        missing=made.missing,
        files=[
            CardFile(form=form, digest=digest, path=paths.get(form, ""))
            for form, digest in digests.items()
        ],
        text="" if to else forms["md"].decode(),
    )


@operation(KEEP, role=KEEPERS, kind=Kind.JOB, writes=True)
def documents_keep(ctx: Context) -> list[StoredDocument]:
    """Keep the record of processing of what is live; the tick asks a worker for it once a day.

    Examples:
        thrive documents keep
    """
    return keep_nightly(ctx)


@operation(
    "documents list", role=ANYONE, columns=("kind", "subject", "missing", "actor", "at", "digest")
)
def documents_list(ctx: Context, *, subject: str | None = None) -> list[StoredDocument]:
    """List rendered documents, newest first; those kept at a release name it.

    Args:
        subject: only of this MODEL@VERSION, or of the project.

    Examples:
        thrive documents list --subject flight-delay@2
    """
    with ctx.read() as tx:
        return duties.find_documents(tx, ctx.project_id, subject)


@operation("documents diff", role=ANYONE)
def documents_diff(ctx: Context, kind: DocumentKind, first: str, second: str) -> list[Change]:
    """Say in which statements the documents of two versions differ, as they were last rendered.

    Args:
        kind: the kind of document.
        first: the version before, as MODEL@VERSION.
        second: the version after, as MODEL@VERSION.

    Raises:
        NotFound: one of them was never rendered.

    Examples:
        thrive documents diff technical-file flight-delay@1 flight-delay@2
    """
    return differences(_last(ctx, kind, first), _last(ctx, kind, second))


def _last(ctx: Context, kind: DocumentKind, reference: str) -> Document:
    name, number = parse_reference(reference)
    with ctx.read() as tx:
        version = models.get_version(tx, ctx.project_id, name, number)
        label = format_reference(name, version.version)
        found = duties.find_documents(tx, ctx.project_id, label, kind.value)
    if not found:
        again = f"thrive documents render {kind.value} {label}"
        raise NotFound(f"No {kind.value} of {label} was rendered.", again)
    return read_document(ctx.home.blobs.get(found[0].digest))
