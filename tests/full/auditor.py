"""What an auditor sees of a project: every duty with its evidence, and a file that rests on records."""

from pathlib import Path

from thrive.domain.actor import local_user
from thrive.domain.errors import NotFound
from thrive.domain.reference import parse_reference
from thrive.governance.document import Document, DocumentKind, make_document
from thrive.governance.evaluate import Standing, evidence_of, judge
from thrive.governance.law import duties
from thrive.governance.records import read_records
from thrive.governance.render import as_markdown, missing_lines
from thrive.operations import Context
from thrive.store import (
    datasets,
    gates,
    models,
    oversight,
    projects,
    releases,
    runs,
)
from thrive.store import (
    duties as kept,
)
from thrive.store.database import Tx
from thrive.store.home import open_home

MISSING = {
    "2. Elements and development: Most important inputs",
    "7. Standards: A.2 policies, GOVERN 1",
    "10. Logs and records: Share overridden",
    "11. Duties of deployers: What answers rest on",
}
"""What the demo cannot say: nobody wrote a policy, reviewed an answer or registered importances."""


def see_the_demo(folder: Path, model: str) -> None:
    """Walk every duty on a project, and read its technical file as an auditor would."""
    home = open_home(folder)
    ctx = Context(home, local_user(), folder=folder, operation="test")
    try:
        records = read_records(ctx, model)
        papers = {kind: make_document(records, kind) for kind in DocumentKind}
        for duty in duties():
            facts = evidence_of(records, duty)
            assert facts, duty.id
            for kind in map(DocumentKind, duty.documents):
                assert {fact.source for fact in facts} <= sources(papers[kind]), (duty.id, kind)
        owed = [each for each in judge(records) if each.standing is Standing.MISSING]
        assert owed == []
        file = papers[DocumentKind.TECHNICAL_FILE]
        assert set(missing_lines(file)) <= MISSING
        listed = as_markdown(file).partition("\n## ")[0]
        assert all(line.split(": ")[1] in listed for line in missing_lines(file))
        with ctx.read() as tx:
            lost = [
                fact
                for section in file.sections
                for fact in section.facts
                if fact.value is not None and not is_there(tx, ctx, fact.source)
            ]
        assert lost == []
    finally:
        home.close()


def sources(paper: Document) -> set[str]:
    """Return the records that a document rests on."""
    return {fact.source for section in paper.sections for fact in section.facts}


def is_there(tx: Tx, ctx: Context, source: str) -> bool:
    """Tell whether the record that a statement names is stored; one that names no record is."""
    kind, _, name = source.partition("#")[0].partition(":")
    project = ctx.project_id
    model, number = parse_reference(name) if kind.endswith("version") else (name, None)
    look = {
        "answers": lambda: kept.find_answers(tx, project, "flight-delay").digest == name,
        "approval": lambda: name in {each.approval_id for each in approvals(tx, ctx)},
        "contract": lambda: projects.find_contract(tx, project, name),
        "dataset_version": lambda: datasets.get_version(tx, project, model, number),
        "document": lambda: ctx.home.blobs.has(name),
        "drill": lambda: name in {each.drill_id for each in oversight.find_drills(tx, project)},
        "model_version": lambda: models.get_version(tx, project, model, number),
        "package": lambda: ctx.home.blobs.has(name),
        "release": lambda: releases.get(tx, project, name),
        "run": lambda: runs.get(tx, project, name),
        "verdict": lambda: gates.get_verdict(tx, project, name),
    }.get(kind)
    try:
        return look is None or bool(look())
    except NotFound:
        return False


def approvals(tx: Tx, ctx: Context) -> list:
    """Return every approval of the demo's versions."""
    versions = models.versions(tx, ctx.project_id, "flight-delay")
    return [
        each
        for one in versions
        for each in gates.find_approvals(tx, ctx.project_id, one.model, one.version)
    ]
