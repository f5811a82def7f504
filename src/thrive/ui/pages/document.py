"""A rendered document as it was kept: each statement with its record."""

import msgspec

from thrive.domain.duty import StoredDocument
from thrive.domain.errors import NotFound
from thrive.governance.document import Document
from thrive.operations import Context
from thrive.store import duties


class DocumentPage(msgspec.Struct, frozen=True, kw_only=True):
    """A document, and what is known of its making; `model` is "" for one of the whole project."""

    now: int
    model: str
    title: str
    stored: StoredDocument
    document: Document


def load(ctx: Context, digest: str) -> DocumentPage:
    """Return the document whose JSON has a digest.

    Raises:
        NotFound: none of this project has it.
    """
    with ctx.read() as tx:
        every = duties.find_documents(tx, ctx.project_id)
    stored = next((each for each in every if each.digest == digest), None)
    if stored is None:
        raise NotFound("There is no such document.", "thrive documents list")
    document = msgspec.json.decode(ctx.home.blobs.get(stored.digest), type=Document)
    name, mark, _ = stored.subject.partition("@")
    return DocumentPage(
        now=ctx.now(),
        model=name if mark else "",
        title=document.title,
        stored=stored,
        document=document,
    )
