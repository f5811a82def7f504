"""Two documents of a kind side by side: which statements changed from one version to another."""

from collections.abc import Mapping

import msgspec

from thrive.domain.duty import StoredDocument
from thrive.domain.errors import NotFound
from thrive.governance.document import Change, differences, read_document
from thrive.operations import Context
from thrive.store import duties


class DocumentDiffPage(msgspec.Struct, frozen=True, kw_only=True):
    """What differs.

    Attributes:
        title: of the newer document.
        model: "" where the documents are of the whole project.
        before: the older one; None where there is no other of its kind.
        after: the newer one.
        others: those of the same kind and model, newest first.
        sections: the statements that differ, by section.
        count: how many these are.
    """

    now: int
    title: str
    model: str
    before: StoredDocument | None
    after: StoredDocument
    others: list[StoredDocument]
    sections: dict[str, list[Change]]
    count: int


def load(ctx: Context, words: Mapping[str, str]) -> DocumentDiffPage:
    """Return what differs from the document `against` (else the one made before) to `digest`.

    Raises:
        NotFound: one of them is not there.
    """
    with ctx.read() as tx:
        every = duties.find_documents(tx, ctx.project_id)
    after = _of(every, words["digest"])
    alike = (after.kind, _name(after))
    others = [each for each in every if (each.kind, _name(each)) == alike and each != after]
    earlier = [each for each in others if each.at <= after.at and each.digest != after.digest]
    against = words.get("against", "")
    before = _of(others, against) if against else next(iter(earlier or others), None)
    newer = read_document(ctx.home.blobs.get(after.digest))
    changes: list[Change] = []
    if before is not None:
        changes = differences(read_document(ctx.home.blobs.get(before.digest)), newer)
    sections: dict[str, list[Change]] = {}
    for change in changes:
        sections.setdefault(change.section, []).append(change)
    return DocumentDiffPage(
        now=ctx.now(),
        title=newer.title,
        model=_name(after) if "@" in after.subject else "",
        before=before,
        after=after,
        others=others,
        sections=sections,
        count=len(changes),
    )


def _name(stored: StoredDocument) -> str:
    return stored.subject.partition("@")[0]


def _of(documents: list[StoredDocument], digest: str) -> StoredDocument:
    for each in documents:
        if each.digest == digest:
            return each
    raise NotFound("There is no such document.", "thrive documents list")
