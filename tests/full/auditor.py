"""What an auditor sees of a project: every duty with its evidence, and a file that rests on records.

usage: python -m tests.full.auditor MODEL, in the project's folder
"""

import sys
from pathlib import Path

from thrive.domain.actor import local_user
from thrive.domain.errors import NotFound
from thrive.domain.model import ModelVersion
from thrive.domain.reference import format_reference, parse_reference
from thrive.flows.auditing import audit_verify
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
    monitoring,
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
    "7. Standards: A.2 policies, GOVERN 1",
    "10. Logs and records: Share overridden",
}
"""What the demo cannot say: nobody wrote a policy or reviewed an answer."""


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
        assert set(missing_lines(file)) <= MISSING, set(missing_lines(file)) - MISSING
        listed = as_markdown(file).partition("\n## ")[0]
        assert all(line.split(": ")[1] in listed for line in missing_lines(file))
        with ctx.read() as tx:
            lost = [
                fact
                for paper in papers.values()
                for section in paper.sections
                for fact in section.facts
                if fact.value is not None and not is_there(tx, ctx, fact.source)
            ]
            assert lost == []
            see_what_was_kept(tx, ctx, records.version)
        assert audit_verify(ctx).whole
    finally:
        home.close()


def see_what_was_kept(tx: Tx, ctx: Context, version: ModelVersion) -> None:
    """See what the system wrote by itself: at the release, at night, and on trial."""
    label = format_reference(version.model, version.version)
    at_release = [
        each for each in kept.find_documents(tx, ctx.project_id, label) if each.release_id
    ]
    assert {each.kind for each in at_release} == {kind.value for kind in DocumentKind}
    nightly = kept.find_documents(tx, ctx.project_id, ctx.home.project.name)
    assert [each.kind for each in nightly[:1]] == [DocumentKind.PROCESSING_RECORD.value]
    assert all(each.reproduced for each in oversight.find_trials(tx, ctx.project_id, version.model))
    drills = oversight.find_drills(tx, ctx.project_id, version.model)
    assert drills[0].took is not None
    assert 0 < drills[0].took < 30_000_000
    assert oversight.find_seals(tx, ctx.project_id)


def sources(paper: Document) -> set[str]:
    """Return the records that a document rests on."""
    return {fact.source for section in paper.sections for fact in section.facts}


OF_NO_RECORD = {"data_reads", "duty", "erasures", "explanations", "home", "incidents", "log_end", "operation",
                "restrictions", "reviews", "sealed_logs"}  # fmt: skip
"""What statements rest on that are about all records of a kind."""


def is_there(tx: Tx, ctx: Context, source: str) -> bool:
    """Tell whether the record that a statement names is stored, or all of a kind are meant."""
    kind, _, name = source.partition("#")[0].partition(":")
    project = ctx.project_id
    model, number = parse_reference(name) if kind.endswith("version") else (name, None)
    look = {
        "alert": lambda: monitoring.get_alert(tx, project, name),
        "answers": lambda: kept.find_answers(tx, project, "flight-delay").digest == name,
        "approval": lambda: name in {each.approval_id for each in approvals(tx, ctx)},
        "contract": lambda: projects.find_contract(tx, project, name),
        "dataset_version": lambda: datasets.get_version(tx, project, model, number),
        "decision": lambda: monitoring.get_decision(tx, project, name),
        "document": lambda: ctx.home.blobs.has(name),
        "drill": lambda: name in {each.drill_id for each in oversight.find_drills(tx, project)},
        "explanation": lambda: name in {e.trial_id for e in oversight.find_trials(tx, project)},
        "model_version": lambda: models.get_version(tx, project, model, number),
        "package": lambda: ctx.home.blobs.has(name),
        "release": lambda: releases.get(tx, project, name),
        "run": lambda: runs.get(tx, project, name),
        "serving_host": lambda: name in {e.agent_id for e in releases.find_hosts(tx, project)},
        "verdict": lambda: gates.get_verdict(tx, project, name),
        "window": lambda: name in windows(tx, ctx),
    }.get(kind)
    if look is None:
        return kind in OF_NO_RECORD
    try:
        return bool(look())
    except NotFound:
        return False


def windows(tx: Tx, ctx: Context) -> set[str]:
    """Return every window of the demo's model as statements name it."""
    return {
        f"{each.model}@{each.version}/{each.start}/{each.revision}"
        for one in models.versions(tx, ctx.project_id, "flight-delay")
        for each in monitoring.find_windows(tx, ctx.project_id, one.model, one.version)
    }


def approvals(tx: Tx, ctx: Context) -> list:
    """Return every approval of the demo's versions."""
    versions = models.versions(tx, ctx.project_id, "flight-delay")
    return [
        each
        for one in versions
        for each in gates.find_approvals(tx, ctx.project_id, one.model, one.version)
    ]


if __name__ == "__main__":
    see_the_demo(Path.cwd(), sys.argv[1])
    print("An auditor read its file.")
