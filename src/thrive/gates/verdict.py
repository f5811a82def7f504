"""From checks to one verdict: its answer, its deterministic record, and the proof of both.

The record (the core) is canonical JSON of what was judged and found, without a time or a latency:
the same inputs give the same bytes. What was measured is a blob of its own, attached by digest.
"""

import math
from collections.abc import Collection
from typing import Any

import msgspec

from thrive.contract.schema import GateTerms, Unclear
from thrive.domain.gate import Answer, CheckResult, Verdict
from thrive.gates.comparison import CONFIDENCE, DRAWS, MIN_CLASS, MIN_ROWS, SEED
from thrive.packaging import ed25519

RECORD_FORMAT = 1
MEASURED = frozenset({"performance", "history"})
"""Groups whose findings differ from run to run: measured, not computed."""
DIGITS = 10


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """The deterministic core of a verdict: the same bytes for the same inputs.

    `code` is the version of this package, `commit` that of the code the candidate came from.
    """

    model: str
    version: int
    against: int | None
    baseline: str
    candidate: str
    production: str
    test_data: str
    contract: str
    code: str
    commit: str
    terms: dict[str, Any]
    settings: dict[str, Any]
    answer: Answer
    results: list[CheckResult]
    format: int = RECORD_FORMAT


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """What one gate run measured: latencies, memory, counts of its history."""

    record: str
    measured_at: int
    results: list[CheckResult]
    machine: dict[str, Any] = {}
    format: int = RECORD_FORMAT


def combine(results: list[CheckResult], on_unclear: Unclear) -> Answer:
    """Return the answer of all required checks together.

    One failure is a failure; one that cannot tell is "cannot tell", unless the contract only
    warns of it.
    """
    answers = {one.answer for one in results if not one.advisory}
    if Answer.FAIL in answers:
        return Answer.FAIL
    if Answer.CANNOT_TELL in answers and on_unclear is Unclear.FAIL:
        return Answer.CANNOT_TELL
    return Answer.PASS


def computed(results: list[CheckResult]) -> list[CheckResult]:
    """Return the results of the core, rounded so that the last bits of a sum do not matter."""
    return [
        msgspec.structs.replace(one, evidence=_plain(one.evidence))
        for one in results
        if one.group not in MEASURED
    ]


def measured(results: list[CheckResult]) -> list[CheckResult]:
    """Return the results that are measured."""
    return [
        msgspec.structs.replace(one, evidence=_plain(one.evidence))
        for one in results
        if one.group in MEASURED
    ]


def judge_settings() -> dict[str, Any]:
    """Return the numbers of this code that a verdict depends on."""
    return {
        "confidence": CONFIDENCE,
        "draws": DRAWS,
        "seed": SEED,
        "min_rows": MIN_ROWS,
        "min_class": MIN_CLASS,
    }


def judged_terms(terms: GateTerms) -> dict[str, Any]:
    """Return the thresholds as plain values."""
    return msgspec.to_builtins(terms)


def signed(verdict: Verdict, secret: bytes) -> Verdict:
    """Return the verdict with the signature of a secret key over its statement."""
    return msgspec.structs.replace(
        verdict,
        signature=ed25519.sign(secret, verdict.statement).hex(),
        signed_by=ed25519.public_key(secret).hex(),
    )


def unsigned(verdict: Verdict, trusted: Collection[str]) -> str:
    """Return why a verdict's signature is not to be relied on; nothing if it is.

    Args:
        verdict: the verdict.
        trusted: public keys in hex of which one must have signed; empty for any.
    """
    if not verdict.signature:
        return "the verdict is not signed"
    try:
        key, signature = bytes.fromhex(verdict.signed_by), bytes.fromhex(verdict.signature)
    except ValueError:
        return "the signature is not one"
    if not ed25519.verify(key, verdict.statement, signature):
        return "the signature is not of this verdict"
    if trusted and verdict.signed_by not in trusted:
        return f"it is signed by {verdict.signed_by}, which is no trusted key"
    return ""


def canonical(value: Record | Measured) -> bytes:
    """Return canonical JSON: sorted keys, the same bytes for the same value."""
    return msgspec.json.encode(value, order="sorted")


def read_record(data: bytes) -> Record:
    """Return the record in stored bytes."""
    return msgspec.json.decode(data, type=Record)


def read_measured(data: bytes) -> Measured:
    """Return the measurements in stored bytes."""
    return msgspec.json.decode(data, type=Measured)


def differences(verdict: Verdict, record: Record, attached: Measured | None) -> list[str]:
    """Return what of a verdict's row does not follow from its stored record; nothing if all does.

    Args:
        verdict: the row.
        record: the core that the row names by digest.
        attached: the measurements that the row names by digest.
    """
    found = [
        f"{name} is {getattr(verdict, name)!r}, the record says {getattr(record, name)!r}"
        for name in (
            "model",
            "version",
            "against",
            "baseline",
            "candidate",
            "production",
            "test_data",
            "contract",
        )
        if getattr(verdict, name) != getattr(record, name)
    ]
    shown = [one for one in verdict.results if one.group not in MEASURED]
    if canonical_results(shown) != canonical_results(record.results):
        found.append("the results differ from those of the record")
    timed = [one for one in verdict.results if one.group in MEASURED]
    if canonical_results(timed) != canonical_results(attached.results if attached else []):
        found.append("the measured results differ from those attached")
    if attached is not None and attached.record != verdict.record:
        found.append("the measurements belong to another record")
    terms = msgspec.convert(record.terms, GateTerms)
    if record.answer is not combine(record.results, terms.on_unclear):
        found.append(f"the record's answer {record.answer.value!r} does not follow from its checks")
    if verdict.answer is not combine(verdict.results, terms.on_unclear):
        found.append(f"the answer {verdict.answer.value!r} does not follow from the checks")
    return found


def canonical_results(results: list[CheckResult]) -> bytes:
    """Return results as canonical JSON."""
    return msgspec.json.encode(results, order="sorted")


def _plain(value: Any) -> Any:
    """Return a value as JSON holds it: finite numbers of `DIGITS` digits, no NaN."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
    return value
