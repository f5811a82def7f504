"""Verdicts as a gate run keeps them, with their records, for tests of what reads them."""

from typing import Any

from thrive.contract.schema import GateTerms
from thrive.domain.gate import Answer, CheckResult, Verdict
from thrive.domain.identifiers import new_id
from thrive.domain.model import ModelVersion
from thrive.gates.verdict import Measured, Record, canonical, judged_terms, signed
from thrive.store import gates
from thrive.store.home import Home

SECRET = b"k" * 32


def keep_verdict(
    home: Home,
    version: ModelVersion,
    answer: Answer = Answer.PASS,
    against: int | None = None,
    secret: bytes = SECRET,
    **changed: Any,
) -> Verdict:
    """Keep a signed verdict of one check on a version, and its two records; returns it."""
    judged = {
        "model": version.model,
        "version": version.version,
        "against": against,
        "baseline": "" if against else "prior",
        "candidate": version.package,
        "test_data": version.evaluation,
        "contract": version.contract,
        "production": "",
        **changed,
    }
    results = [CheckResult(check="quality", group="quality", answer=answer, summary="Seen.")]
    record = Record(
        **judged,
        code="test",
        commit=version.commit,
        terms=judged_terms(GateTerms()),
        settings={},
        answer=answer,
        results=results,
    )
    digest = home.blobs.put(canonical(record))
    measured = Measured(record=digest, measured_at=1, results=[])
    verdict = Verdict(
        **judged,
        verdict_id=new_id(),
        answer=answer,
        results=results,
        record=digest,
        measured=home.blobs.put(canonical(measured)),
        created_at=1,
        actor="gate",
    )
    verdict = signed(verdict, secret)
    with home.write() as tx:
        gates.insert_verdict(tx, home.project_id, verdict)
    return verdict
