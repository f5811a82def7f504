"""A record to which nothing is missing, and what breaks each check: for tests of duties."""

from datetime import UTC, datetime

import msgspec
from tests.unit.gates.registry import CONTRACT, flights_version, table

from thrive.contract.parse import parse
from thrive.domain.clock import DAY, SECOND
from thrive.domain.dataset import Column, ColumnLabel
from thrive.domain.duty import (
    DataRead,
    Drill,
    DutyAnswers,
    ExplanationTrial,
    Incident,
    IncidentKind,
    Restriction,
    RestrictionKind,
    RiskEntry,
    StoredDocument,
)
from thrive.domain.erasure import Tombstone
from thrive.domain.gate import Answer, Approval, CheckResult, Verdict
from thrive.domain.model import ModelVersion
from thrive.domain.monitoring import Window
from thrive.domain.prediction import SealedLog
from thrive.domain.project import TeamContact
from thrive.domain.release import Release, ReleaseState, RoutingTable, Variant
from thrive.domain.run import Run, RunState, Use
from thrive.governance.law import questions
from thrive.governance.records import Records
from thrive.packaging.formats.constant import Constant
from thrive.packaging.inference import infer_signature
from thrive.packaging.package import pack
from thrive.packaging.signature import Output, OutputKind

NOW = round(datetime(2026, 11, 1, tzinfo=UTC).timestamp()) * SECOND
DIGEST = "d" * 64


def fields(**changed):
    """Every question answered by its own example, as a model that decides nothing would."""
    said = {name: each.example for name, each in questions().field.items()}
    quiet = {"decision": "advice", "effect": "none", "embedded": "no", "public_body": "no"}
    said = {**said, **quiet, "review_date": "2027-06-30", "sensitive_until": "2027-01-31"}
    return {key: value for key, value in {**said, **changed}.items() if value is not None}


def answers(**changed):
    register = {
        "late": RiskEntry(
            what="late warnings", severity="high", evidence="check:quality", accepted_by="eva",
            review_by="2027-01-01",
        )
    }  # fmt: skip
    return DutyAnswers(
        model="delay", digest="a" * 64, fields=fields(**changed), risks=register, at=NOW - DAY
    )


def contract(risk="high", **swaps):
    text = CONTRACT.replace('risk = "minimal"', f'risk = "{risk}"')
    for old, new in swaps.values():
        assert old in text
        text = text.replace(old, new)
    return parse(text)


def package():
    rows = table(rows=50).select("wind", "hour")
    output = Output(kind=OutputKind.PROBABILITY, positive=True)
    return pack(Constant(value=0.2), rows, signature=infer_signature(rows, output), created=1)


_PACKED = package()


def result(group, answer=Answer.PASS):
    return CheckResult(check=group, group=group, answer=answer, summary=f"{group} was looked at.")


def verdict(**changed):
    groups = ("quality", "bias", "performance", "robustness", "policy")
    said = {
        "verdict_id": "a" * 32, "model": "delay", "version": 1, "against": None,
        "baseline": "prior", "answer": Answer.PASS, "results": [result(each) for each in groups],
        "candidate": _PACKED.digest, "production": "", "test_data": "e" * 64, "contract": "c" * 64,
        "record": "r", "created_at": NOW - 3 * DAY, "actor": "tester", "signature": "s",
        "signed_by": "k",
    }  # fmt: skip
    return Verdict(**{**said, **changed})


def version(**changed):
    said = {
        "model": "delay", "version": 1, "package": _PACKED.digest, "signature": {},
        "metrics": {"roc_auc": 0.71}, "run_id": "f" * 32, "contract": "c" * 64, "commit": "abc",
        "dirty": False, "created_at": NOW - 4 * DAY, "actor": "tester",
        "training": {"flights": DIGEST}, "evaluation": "e" * 64, "reference": "r" * 64,
        "importance": {"wind": 0.3, "hour": 0.2},
    }  # fmt: skip
    return ModelVersion(**{**said, **changed})


def flights(**changed):
    said = {
        "created_at": NOW - 30 * DAY, "rows": 1000,
        "columns": [Column(name="wind", dtype="Float64")],
        "profile": {"columns": {"wind": {"missing": 3, "distinct": 900}}},
    }  # fmt: skip
    return flights_version(**{**said, **changed})


def run(**changed):
    said = {
        "run_id": "f" * 32, "experiment": "e", "name": "n", "state": RunState.DONE,
        "actor": "tester", "started_at": NOW - 5 * DAY, "ended_at": NOW - 5 * DAY + 60 * SECOND,
        "pipeline": "train", "params": {"trees": 10}, "seed": 7,
        "environment": {"python": "3.11", "platform": "linux", "cpu": "x", "cpus": 2,
                        "libraries": ["numpy==2"]},
    }  # fmt: skip
    return Run(**{**said, **changed})


def approval(**changed):
    said = {
        "approval_id": "b" * 32, "model": "delay", "version": 1, "step": "production",
        "actor": "eva", "reason": "seen", "given_at": NOW - DAY,
    }  # fmt: skip
    return Approval(**{**said, **changed})


def document(kind, **changed):
    said = {
        "kind": kind, "subject": "delay@1", "digest": "1" * 64, "html": "", "markdown": "",
        "missing": 0, "actor": "tester", "at": NOW,
    }  # fmt: skip
    return StoredDocument(**{**said, **changed})


def incident(kind=IncidentKind.SERIOUS, **changed):
    said = {
        "incident_id": "9" * 32, "model": "delay", "version": 1, "kind": kind,
        "what": "crew was sent home", "actor": "eva", "aware_at": NOW - 20 * DAY,
        "opened_at": NOW - 20 * DAY, "due_at": NOW - 5 * DAY,
    }  # fmt: skip
    return Incident(**{**said, **changed})


def release(**changed):
    said = {
        "release_id": "7" * 32, "model": "delay", "candidate": 1, "production": None, "phases": [],
        "position": 0, "state": ReleaseState.DONE, "phase_started_at": NOW, "started_at": NOW - DAY,
        "actor": "eva", "verdict": "a" * 32, "contract": "c" * 64,
    }  # fmt: skip
    return Release(**{**said, **changed})


def routing(digest=_PACKED.digest):
    variants = [Variant(version=1, package=digest, share=1.0)]
    return RoutingTable(
        model="delay", revision=1, variants=variants, fallback=None, salt="s", at=NOW, reason="r",
        actor="eva",
    )  # fmt: skip


def drill(at=NOW - DAY, took=SECOND):
    return Drill(drill_id="6" * 32, model="delay", actor="eva", at=at, hosts=1, took=took)


def trial(**changed):
    said = {
        "trial_id": "3" * 32, "model": "delay", "version": 1, "prediction_id": "2" * 32,
        "at": NOW, "reproduced": True, "words": "score 0.2, most from wind +0.1",
    }  # fmt: skip
    return ExplanationTrial(**{**said, **changed})


def window(value=0.75, error=0.01):
    performance = {"realised roc_auc": {"value": value, "error": error, "rows": 90}}
    return Window(
        model="delay", version=1, start=NOW - 2 * DAY, end=NOW - DAY, revision=0, rows=90,
        outcomes=90, findings={"performance": performance}, sketches="", closed_at=NOW,
    )  # fmt: skip


def restriction(kind="restriction"):
    return Restriction(
        restriction_id="2" * 32, kind=RestrictionKind(kind), person="1" * 64, columns=["tailnum"],
        reason="request 17", actor="eva", placed_at=NOW, held=["flights@1"], digests=[DIGEST],
        rows=3,
    )  # fmt: skip


def read(**changed):
    said = {
        "read_id": "5" * 32, "dataset": "flights", "version": 1, "columns": ["tailnum"],
        "pseudonymised": [], "reader": "ann", "purpose": "delay-warning", "rows": 3, "at": NOW,
    }  # fmt: skip
    return DataRead(**{**said, **changed})


def sealed(dropped=0):
    return SealedLog(
        worker=0, segment=0, from_offset=0, to_offset=1, digest="", rows=9, min_time=0, max_time=1,
        host="h", sealed_at=1, dropped=dropped,
    )  # fmt: skip


def stone():
    return Tombstone(
        digest=DIGEST, kind="dataset_version", subject="flights@1", replaced_by="",
        erasure_id="4" * 32, erased_at=NOW, reason="asked",
    )  # fmt: skip


def whole(**changed):
    """Records of a high-risk model to which nothing is missing."""
    said = {
        "now": NOW, "version": version(), "manifest": _PACKED.manifest, "parsed": contract(),
        "contacts": [TeamContact(team="ours", channel="mailto:ours@example.org", arrived_at=1)],
        "upstream": {"flights": flights()}, "erased": [], "run": run(), "verdict": verdict(),
        "approvals": [approval()], "releases": [], "routing": [], "windows": [], "alerts": [],
        "decisions": {}, "answers": answers(), "documents": [document("instructions")],
        "sealed": [sealed()],
    }  # fmt: skip
    return Records(**{**said, **changed})


def personal(kind="name", risk="high", **changed):
    """The same, of a model that learned from a column that holds personal data."""
    swap = (
        'personal = { tailnum = "none" }',
        f'personal = {{ tailnum = "{kind}" }}\nsubject = "tailnum"',
    )
    basis = ("none needed: no personal data", "consent")
    data = flights(
        columns=[Column(name="tailnum", dtype="String", personal=kind)],
        profile={"columns": {"tailnum": {"missing": 0, "distinct": 900}}},
    )
    parsed = contract(risk, a=swap, b=basis)
    return whole(**{"parsed": parsed, "upstream": {"flights": data}, **changed})


def without_contract(old, new=""):
    return {"parsed": contract(a=(old, new))}


def manifest(**changed):
    return msgspec.structs.replace(_PACKED.manifest, **changed)


BREACH = IncidentKind.BREACH
ROLLED_BACK = ReleaseState.ROLLED_BACK
LABEL = ColumnLabel(
    dataset="flights", name="note", dtype="String", kind="none", actor="eva", at=1, reason="codes"
)
READ_MODEL = Use(kind="model", name="base-net", digest="8" * 64, direction="in")
