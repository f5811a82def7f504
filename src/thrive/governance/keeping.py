"""Keeping rendered documents: three forms by digest, and the row that says of what they are."""

from typing import Any

from thrive.domain.actor import CONTROLLER
from thrive.domain.clock import DAY, HOUR, SECOND, ClockMode, machine_now
from thrive.domain.duty import StoredDocument
from thrive.domain.identifiers import new_id
from thrive.domain.project import Job, JobState
from thrive.governance.document import (
    Document,
    DocumentKind,
    make_document,
    make_project_record,
)
from thrive.governance.records import Records, collect
from thrive.governance.render import Paper, as_html, as_json, as_markdown
from thrive.operations import Context
from thrive.store import duties, jobs, models, releases
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


def project_record(ctx: Context) -> Document:
    """Return the record of processing of the project: of each version that is live."""
    with ctx.read() as tx:
        return make_project_record(ctx.home.project.name, _live(ctx, tx))


def _live(ctx: Context, tx: Tx) -> list[Records]:
    found: list[Records] = []
    for model in models.find(tx, ctx.project_id):
        table = releases.current_routing(tx, ctx.project_id, model.name)
        versions = {variant.version: None for variant in table.variants} if table else {}
        found += [collect(tx, ctx, model.name, version) for version in versions]
    return found


KEEP = "documents keep"
"""The operation that a worker executes once a day."""


def queue_nightly(ctx: Context) -> list[Job]:
    """Queue the rendering of the record of processing, once a day where something is live.

    With many models it is long work, and a tick is short.
    """
    kind, name = DocumentKind.PROCESSING_RECORD, ctx.home.project.name
    with ctx.read() as tx:
        newest = duties.find_documents(tx, ctx.project_id, name, kind.value)
        due = not newest or newest[0].at + DAY <= ctx.now()
        if not due or not releases.revisions(tx, ctx.project_id):
            return []
    return queue_daily(ctx, KEEP)


def queue_daily(ctx: Context, operation: str, **arguments: Any) -> list[Job]:
    """Queue what a worker executes once a day, for the controller.

    What had nothing to do, or failed, waits an hour of the machine, as ticks come every few
    seconds; in a replay, where days pass in seconds, ten seconds.
    """
    now = machine_now()
    waits = 10 * SECOND if ctx.home.clock().mode is ClockMode.REPLAY else HOUR
    with ctx.read() as tx:
        last = jobs.newest(tx, ctx.project_id, operation)
    idle = last is not None and (last.state is JobState.FAILED or last.result == [])
    if idle and last is not None and last.created_at + waits > now:
        return []
    job = Job(
        job_id=new_id(),
        operation=operation,
        arguments=arguments,
        state=JobState.WAITING,
        actor=CONTROLLER.name,
        run_at=now,
        created_at=now,
        dedupe_key=operation,
        max_attempts=3,
    )
    with ctx.home.write() as tx:
        return [jobs.add(tx, ctx.project_id, job)]


def keep_nightly(ctx: Context) -> list[StoredDocument]:
    """Render and keep the record of processing of what is live; the same one is kept once."""
    kind, name = DocumentKind.PROCESSING_RECORD, ctx.home.project.name
    with ctx.read() as tx:
        live = _live(ctx, tx)
    if not live:
        return []
    document = make_project_record(name, live)
    with ctx.observe(f"document:{kind.value} {name}") as tx:
        return [keep(tx, ctx, document, rendered(document))]
