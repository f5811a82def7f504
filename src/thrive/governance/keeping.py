"""Keeping rendered documents: three forms by digest, and the row that says of what they are."""

from thrive.domain.duty import StoredDocument
from thrive.governance.document import Document, DocumentKind, make_document
from thrive.governance.records import Records
from thrive.governance.render import Paper, as_html, as_json, as_markdown
from thrive.operations import Context
from thrive.store import duties
from thrive.store.database import Tx


def rendered(paper: Paper) -> dict[str, bytes]:
    """Return the three forms of a card or a document by the ending of their files."""
    return {
        "html": as_html(paper).encode(),
        "md": as_markdown(paper).encode(),
        "json": as_json(paper),
    }


def keep(
    tx: Tx, ctx: Context, document: Document, forms: dict[str, bytes], release_id: str = ""
) -> StoredDocument:
    """Keep a document with its forms; the same content again is the same document.

    Args:
        tx: the transaction of the change it belongs to.
        ctx: who renders it.
        document: the document.
        forms: as `rendered` returned them.
        release_id: of the release it was rendered for, "" for none.
    """
    digests = {form: ctx.home.blobs.put(content) for form, content in forms.items()}
    stored = StoredDocument(
        kind=document.kind.value,
        subject=document.subject,
        digest=digests["json"],
        html=digests["html"],
        markdown=digests["md"],
        missing=document.missing,
        actor=ctx.actor.name,
        at=ctx.now(),
        release_id=release_id,
    )
    duties.keep_document(tx, ctx.project_id, stored)
    return stored


def keep_all(tx: Tx, ctx: Context, records: Records, release_id: str) -> None:
    """Render and keep every document of a version for its release."""
    for kind in DocumentKind:
        document = make_document(records, kind)
        keep(tx, ctx, document, rendered(document), release_id)
