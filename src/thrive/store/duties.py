"""What people wrote, what they excepted, and the documents that were rendered."""

import msgspec

from thrive.domain.duty import DutyAnswers, DutyException, StoredDocument
from thrive.store import references
from thrive.store.database import Tx
from thrive.store.rows import insert, many, mine, named, one, replace, upsert
from thrive.store.tables.governance import documents, duty_answers, duty_exceptions


def find_answers(tx: Tx, project_id: str, model: str) -> DutyAnswers:
    """Return the newest answers for a model; empty ones where nobody answered."""
    query = mine(duty_answers, project_id).where(duty_answers.c.model == model)
    found = one(tx, DutyAnswers, query.order_by(duty_answers.c.revision.desc()))
    return found or DutyAnswers(model=model)


def add_answers(tx: Tx, project_id: str, answers: DutyAnswers) -> DutyAnswers:
    """Keep answers as the next revision; the same words change nothing."""
    before = find_answers(tx, project_id, answers.model)
    if before.digest == answers.digest:
        return before
    kept = msgspec.structs.replace(answers, revision=before.revision + 1)
    insert(tx, project_id, duty_answers, kept)
    return kept


def add_exception(tx: Tx, project_id: str, exception: DutyException) -> None:
    """Insert an exception."""
    insert(tx, project_id, duty_exceptions, exception)


def find_exceptions(tx: Tx, project_id: str, model: str | None = None) -> list[DutyException]:
    """Return exceptions (of a model), newest first, those that are over too."""
    query = mine(duty_exceptions, project_id)
    if model is not None:
        query = query.where(duty_exceptions.c.model == model)
    return many(tx, DutyException, query.order_by(duty_exceptions.c.exception_id.desc()))


def get_exception(tx: Tx, project_id: str, exception_id: str) -> DutyException:
    """Return an exception by its id, or by the beginning of it (8 digits or more).

    Raises:
        NotFound: there is none.
        UsageError: the beginning fits several.
    """
    column = duty_exceptions.c.exception_id
    return named(tx, project_id, DutyException, column, exception_id, "exception")


def revoke_exception(tx: Tx, project_id: str, exception_id: str, at: int) -> DutyException:
    """End an exception; one that is revoked already stays as it is.

    Raises:
        NotFound: there is none of that id.
    """
    found = get_exception(tx, project_id, exception_id)
    if found.revoked_at is None:
        found = msgspec.structs.replace(found, revoked_at=at)
        replace(tx, project_id, duty_exceptions, found)
    return found


def keep_document(tx: Tx, project_id: str, document: StoredDocument) -> None:
    """Keep a rendered document and its files; the same content again is the same row, renewed."""
    known = mine(documents, project_id).where(
        documents.c.kind == document.kind,
        documents.c.subject == document.subject,
        documents.c.digest == document.digest,
    )
    before = one(tx, StoredDocument, known)
    released = before.release_id if before is not None else ""
    kept = msgspec.structs.replace(document, release_id=document.release_id or released)
    upsert(tx, project_id, documents, kept)
    label = f"{document.kind} {document.subject}"
    digests = (document.digest, document.html, document.markdown)
    references.add(tx, project_id, "document", label, *digests)


def find_documents(
    tx: Tx, project_id: str, subject: str | None = None, kind: str | None = None
) -> list[StoredDocument]:
    """Return rendered documents (of a subject, of a kind), newest first."""
    query = mine(documents, project_id)
    if subject is not None:
        query = query.where(documents.c.subject == subject)
    if kind is not None:
        query = query.where(documents.c.kind == kind)
    return many(tx, StoredDocument, query.order_by(documents.c.at.desc(), documents.c.kind))
