"""Keep a verdict: its record and its measurements as blobs, its signed row; prove one later."""

import os
import platform
from collections.abc import Collection
from typing import Any

import msgspec

from thrive.domain.clock import ClockMode, machine_now
from thrive.domain.gate import CheckResult, Verdict
from thrive.domain.identifiers import new_id
from thrive.domain.reference import format_reference
from thrive.gates import verdict
from thrive.gates.gate_file import GateFile, problems
from thrive.gates.inputs import Inputs
from thrive.operations import Context
from thrive.store import gates, models
from thrive.store.signing import signing_key
from thrive.version import __version__


def keep(ctx: Context, inputs: Inputs, results: list[CheckResult]) -> Verdict:
    """Write the record, the measurements and the verdict."""
    ctx.progress(0.95, "keeping the verdict")
    core = verdict.computed(results)
    record = _record(inputs, core)
    digest = ctx.home.blobs.put(verdict.canonical(record))
    timed = verdict.measured(results)
    attached = verdict.Measured(
        record=digest, measured_at=machine_now(), results=timed, machine=_machine()
    )
    attached_digest = ctx.home.blobs.put(verdict.canonical(attached))
    every = [*core, *timed]
    found = verdict.signed(
        _verdict(ctx, inputs, record, every, (digest, attached_digest)),
        signing_key(ctx.home.folder),
    )
    subject = f"verdict:{found.verdict_id}"
    reference = format_reference(found.model, found.version)
    with ctx.write(subject, version=reference, answer=found.answer.value, record=digest) as tx:
        gates.insert_verdict(tx, ctx.project_id, found)
    return found


def _verdict(
    ctx: Context,
    inputs: Inputs,
    record: verdict.Record,
    every: list[CheckResult],
    digests: tuple[str, str],
) -> Verdict:
    return Verdict(
        verdict_id=new_id(),
        model=record.model,
        version=record.version,
        against=record.against,
        baseline=record.baseline,
        answer=verdict.combine(every, inputs.terms.gates.on_unclear),
        results=every,
        candidate=record.candidate,
        production=record.production,
        test_data=record.test_data,
        contract=record.contract,
        record=digests[0],
        measured=digests[1],
        created_at=ctx.now(),
        actor=ctx.actor.name,
        replay=ctx.home.clock().mode is ClockMode.REPLAY,
    )


def _record(inputs: Inputs, core: list[CheckResult]) -> verdict.Record:
    version, against = inputs.version, inputs.against
    gate_terms = inputs.terms.gates
    return verdict.Record(
        model=version.model,
        version=version.version,
        against=against.version if against else None,
        baseline="" if against else gate_terms.quality.baseline,
        candidate=version.package,
        production=against.package if against else "",
        test_data=version.evaluation,
        contract=version.contract,
        code=__version__,
        commit=version.commit,
        terms=verdict.judged_terms(gate_terms),
        settings=verdict.judge_settings(),
        answer=verdict.combine(core, gate_terms.on_unclear),
        results=core,
    )


def _machine() -> dict[str, Any]:
    return {"platform": platform.platform(), "cpus": os.cpu_count()}


def export(ctx: Context, found: Verdict) -> GateFile:
    """Return a verdict with the two records it is signed over, byte for byte.

    Raises:
        Damaged: a record's bytes do not have their digest.
    """
    blobs = ctx.home.blobs
    record, measured = (
        msgspec.Raw(bytes(blobs.get(digest))) for digest in (found.record, found.measured)
    )
    return GateFile(verdict=found, record=record, measured=measured)


def verify(ctx: Context, found: Verdict, trusted: Collection[str]) -> list[str]:
    """Return what is wrong with a stored verdict; nothing when it holds.

    Args:
        ctx: where it is stored.
        found: the verdict.
        trusted: public keys in hex of which one must have signed; empty for any.

    Raises:
        Damaged: its record's bytes do not have their digest.
    """
    with ctx.read() as tx:
        version = models.get_version(tx, ctx.project_id, found.model, found.version)
    wrong = problems(export(ctx, found), trusted)
    judged = {
        "candidate": version.package,
        "test_data": version.evaluation,
        "contract": version.contract,
    }
    for name, digest in judged.items():
        if getattr(found, name) != digest:
            wrong.append(f"{name} is not that of {format_reference(found.model, found.version)}")
    return wrong
