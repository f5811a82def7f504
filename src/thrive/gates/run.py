"""One gate run: read what is judged, ask the workers, check, combine, keep the verdict."""

import os
import platform
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import numpy as np

from thrive.contract.parse import ParsedContract, parse
from thrive.contract.schema import ModelTerms
from thrive.domain.clock import ClockMode, machine_now
from thrive.domain.dataset import DatasetVersion
from thrive.domain.errors import NotFound, Refused, UsageError
from thrive.domain.gate import Answer, CheckResult, Verdict
from thrive.domain.identifiers import new_id
from thrive.domain.model import ModelVersion
from thrive.domain.reference import format_reference, parse_reference
from thrive.gates import bias, policy, quality, robustness, speed, verdict
from thrive.gates.case import Floats, GateCase, Rival, labels_of
from thrive.gates.files import lay_out, manifest_of, table_path
from thrive.gates.own import own_checks
from thrive.gates.process import LOAD_S, PREDICT_S, STRAIN_S, Worker, WorkerFailed, scores_in
from thrive.operations import Context
from thrive.store import datasets, gates, models, projects, references, releases
from thrive.store.database import Tx
from thrive.version import __version__

REUSE_WARNED, REUSE_WORN = 20, 100
"""Candidates judged on one table from which a verdict warns, and from which it cannot tell."""


class Inputs(msgspec.Struct, frozen=True, kw_only=True):
    """All records a gate run reads, in one transaction."""

    version: ModelVersion
    rival: Rival
    against: ModelVersion | None
    parsed: ParsedContract | None
    upstream: dict[str, DatasetVersion | None]
    judged_before: int

    @property
    def terms(self) -> ModelTerms:
        """What the contract says of the model; defaults where it says nothing."""
        said = self.parsed.contract.model if self.parsed else {}
        return said.get(self.version.model, ModelTerms())


def judge(ctx: Context, reference: str, against: str) -> Verdict:
    """Judge a version and keep the verdict.

    Raises:
        NotFound: there is no such version.
        UsageError: the version has no evaluation table, or `against` names nothing.
    """
    inputs = _read(ctx, reference, against)
    with TemporaryDirectory(dir=_temporary(ctx), prefix="gate-") as folder:
        results = _Run(ctx, inputs, Path(folder)).results()
    return _kept(ctx, inputs, results)


def _temporary(ctx: Context) -> Path:
    return ctx.home.temporary_folder


def _read(ctx: Context, reference: str, against: str) -> Inputs:
    name, number = parse_reference(reference)
    with ctx.read() as tx:
        version = models.get_version(tx, ctx.project_id, name, number)
        rival, other = _rival(ctx, tx, version, against)
        stored = projects.find_contract(tx, ctx.project_id, version.contract)
        upstream = {
            dataset: _recorded(ctx, tx, dataset, digest)
            for dataset, digest in version.training.items()
        }
        others = gates.judged_on(tx, ctx.project_id, version.evaluation) - {version.package}
    return Inputs(
        version=version,
        rival=rival,
        against=other,
        parsed=parse(stored.text) if stored else None,
        upstream=upstream,
        judged_before=len(others),
    )


def _recorded(ctx: Context, tx: Tx, dataset: str, digest: str) -> DatasetVersion | None:
    found = datasets.find_by_digest(tx, ctx.project_id, digest)
    return next((one for one in found if one.dataset == dataset), None)


def _rival(
    ctx: Context, tx: Tx, version: ModelVersion, against: str
) -> tuple[Rival, ModelVersion | None]:
    """Return what to compare with: production, another version, or a baseline."""
    if against == Rival.BASELINE:
        return Rival.BASELINE, None
    if against == Rival.PRODUCTION:
        routing = releases.current_routing(tx, ctx.project_id, version.model)
        live = routing.production() if routing else None
        if live is None or live.version == version.version:
            return Rival.BASELINE, None
        other = models.get_version(tx, ctx.project_id, version.model, live.version)
        return Rival.PRODUCTION, other
    _, number = parse_reference(f"{version.model}@{against.rpartition('@')[2]}")
    if number == version.version:
        raise UsageError(
            f"Version {number} cannot be judged against itself.",
            "give --against production, baseline, or another version",
        )
    return Rival.VERSION, models.get_version(tx, ctx.project_id, version.model, number)


class _Run:
    """The part of a gate run that needs workers and files."""

    def __init__(self, ctx: Context, inputs: Inputs, folder: Path) -> None:
        self._ctx = ctx
        self._inputs = inputs
        self._folder = folder
        blobs = ctx.home.blobs
        self._table = table_path(blobs, inputs.version, folder)
        self._manifest = manifest_of(blobs, inputs.version)

    def results(self) -> list[CheckResult]:
        """Return every check's result."""
        self._ctx.progress(0.05, "loading the models")
        with ExitStack() as stack:
            asked = [self._inputs.version]
            asked += [self._inputs.against] if self._inputs.against else []
            workers = [stack.enter_context(self._started(one)) for one in asked]
            answered = [self._answered(worker) for worker in workers]
            case = self._case(*answered)
            results = self._checks(case, workers[0], answered[0])
            self._ctx.progress(0.7, "timing")
            results.append(self._speed(workers, answered, case))
        return results

    def _started(self, version: ModelVersion) -> Worker:
        """Start a worker and send it to load; both load at the same time."""
        if version is self._inputs.version:
            manifest, words = self._manifest, f"version {version.version}"
        else:
            manifest, words = manifest_of(self._ctx.home.blobs, version), self._rival_words()
        folder = lay_out(self._ctx.home.blobs, version, manifest, self._folder)
        worker = Worker(words, self._folder / f"v{version.version}.log")
        worker.post("load", folder=str(folder), digest=version.package, name=version.model)
        return worker

    def _rival_words(self) -> str:
        against = self._inputs.against
        assert against is not None
        named = f"version {against.version}"
        return f"production ({named})" if self._inputs.rival is Rival.PRODUCTION else named

    def _answered(self, worker: Worker) -> dict[str, Any]:
        """Return a worker's scores and measurements, or the reason why there are none."""
        try:
            loaded = worker.take(LOAD_S)
            self._ctx.progress(0.2, "predicting the evaluation rows")
            found = worker.ask("predict", PREDICT_S, table=str(self._table))
            scores = scores_in(found)
        except WorkerFailed as error:
            return {"scores": None, "reason": error.reason, "loaded": {}}
        facts = {"load_seconds": loaded["seconds"], "predict_seconds": found["seconds"]}
        reason = "" if np.all(np.isfinite(scores)) else "answers NaN or infinity to some rows"
        return {"scores": None if reason else scores, "reason": reason, "loaded": facts}

    def _case(self, own: dict[str, Any], other: dict[str, Any] | None = None) -> GateCase:
        """Put together what checks look at: the labelled rows that neither model has seen."""
        import polars as pl

        whole = pl.read_parquet(self._table)
        known = whole["_label"].is_not_null() & ~whole["_label"].cast(pl.Float64).is_nan()
        keep, facts = self._fresh(whole, known.fill_null(value=False).to_numpy())
        frame = whole.filter(keep)
        labels = labels_of(frame, self._inputs.terms.target.positive)
        candidate = _of(own["scores"], keep)
        rival = _of(other["scores"], keep) if other else self._baseline(labels)
        return GateCase(
            version=self._inputs.version,
            manifest=self._manifest,
            terms=self._inputs.terms,
            rival=self._inputs.rival,
            against=self._inputs.against,
            frame=frame,
            labels=labels,
            candidate=candidate,
            other=rival,
            facts={**facts, **_reproduced(frame, candidate)},
        )

    def _baseline(self, labels: Floats) -> Floats | None:
        """Return the constant that answers these rows best: the mean of their labels."""
        named = self._inputs.terms.gates.quality.baseline
        if named not in quality.BASELINES or not len(labels):
            return None
        return np.full(len(labels), labels.mean())

    def _fresh(self, whole: Any, known: Any) -> tuple[Any, dict[str, Any]]:
        """Keep labelled rows from the time on that the rival's own evaluation began.

        What came before it the rival may have been trained on: it would look better than it is.
        """
        facts: dict[str, Any] = {"rows_given": len(whole), "rows_labelled": int(known.sum())}
        began = self._rival_began()
        if self._inputs.against is None:
            return known, facts
        if began is None or "_time" not in whole.columns:
            return known, {**facts, "overlap": "unknown: rows or rival carry no time"}
        times = whole["_time"].cast(int).fill_null(0).to_numpy()
        keep = known & (times >= began)
        facts |= {"from": began, "rows_before": int((known & ~keep).sum())}
        if not keep.any():
            last = "every row is from before the rival's own evaluation"
            facts["reason"] = f"{last}: it may have been trained on them; judge on newer rows"
        return keep, facts

    def _rival_began(self) -> int | None:
        import polars as pl

        against = self._inputs.against
        if against is None or not against.evaluation:
            return None
        folder = self._folder / "rival"
        folder.mkdir(exist_ok=True)
        path = table_path(self._ctx.home.blobs, against, folder)
        if "_time" not in pl.read_parquet_schema(path):
            return None
        first = pl.read_parquet(path, columns=["_time"])["_time"].cast(pl.Int64).min()
        return first if isinstance(first, int) else None

    def _checks(self, case: GateCase, worker: Worker, own: dict[str, Any]) -> list[CheckResult]:
        inputs = self._inputs
        self._ctx.progress(0.4, "comparing")
        results = [
            quality.check_quality(case),
            quality.check_slices(case),
            quality.check_calibration(case),
            *bias.check_bias(case),
        ]
        self._ctx.progress(0.6, "odd rows")
        results += [robustness.answers_result(own["reason"], case.facts["rows_given"])]
        results += self._strained(worker, own["reason"])
        results += [
            policy.check_contract(inputs.version, inputs.parsed),
            policy.check_data(inputs.version, inputs.parsed, inputs.upstream),
            policy.check_package(inputs.version, self._manifest),
            *own_checks(case),
            _reuse(inputs.judged_before),
        ]
        return [one for one in results if one is not None]

    def _strained(self, worker: Worker, reason: str) -> list[CheckResult]:
        if reason:
            return robustness.unclear_results("It does not answer ordinary rows")
        try:
            return robustness.strained_results(worker.ask("strain", STRAIN_S)["found"])
        except WorkerFailed as error:
            return robustness.answers_to_odd_rows_failed(error.reason)

    def _speed(
        self, workers: list[Worker], answered: list[dict[str, Any]], case: GateCase
    ) -> CheckResult:
        if answered[0]["reason"]:
            return speed.unclear("The candidate does not answer.")
        loaded = answered[0]["loaded"]
        if any(one["reason"] for one in answered):
            return speed.unclear(f"{case.rival_words} does not answer these rows.")
        if len(workers) == 1:
            found = speed.measure_alone(workers[0], case.terms.sla.p99_ms)
        else:
            limit = case.terms.gates.speed.p50_ratio
            found = speed.compare_speed(workers[0], workers[1], case.rival_words, limit)
        return msgspec.structs.replace(
            found, evidence={**found.evidence, **loaded, **self._size(workers[0])}
        )

    def _size(self, worker: Worker) -> dict[str, Any]:
        size = sum(entry.size for entry in self._manifest.files.values())
        try:
            memory = worker.ask("memory", LOAD_S)["memory"]
        except WorkerFailed:
            memory = None
        return {"package_bytes": size, "peak_memory_bytes": memory}


def _of(scores: Floats | None, keep: Any) -> Floats | None:
    """Return the kept rows' scores; answers that are not one number a row are none."""
    return scores[keep] if scores is not None and scores.ndim == 1 else None


def _reproduced(frame: Any, candidate: Floats | None) -> dict[str, Any]:
    """Return how far the scores recorded at registration are from the recomputed ones."""
    if candidate is None or "_score" not in frame.columns or not len(candidate):
        return {}
    recorded = frame["_score"].cast(float).fill_null(float("nan")).to_numpy()
    distance = np.abs(recorded - candidate)
    known = distance[np.isfinite(distance)]
    return {"recorded_scores_differ_by": float(known.max()) if len(known) else None}


def _reuse(before: int) -> CheckResult:
    count = before + 1
    words = f"{count} candidate{'s' if count > 1 else ''} judged on this table so far."
    answer = Answer.CANNOT_TELL if count >= REUSE_WORN else Answer.PASS
    if count >= REUSE_WARNED:
        words += " The more are judged on it, the more they fit it by chance: take fresh rows."
    return CheckResult(
        check="test data reuse",
        group="history",
        answer=answer,
        summary=words,
        evidence={"candidates": count},
    )


def _kept(ctx: Context, inputs: Inputs, results: list[CheckResult]) -> Verdict:
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
    every = [*core, *verdict.attach(timed, attached_digest)]
    found = Verdict(
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
        record=digest,
        created_at=ctx.now(),
        actor=ctx.actor.name,
        replay=ctx.home.clock().mode is ClockMode.REPLAY,
    )
    subject = f"verdict:{found.verdict_id}"
    reference = format_reference(found.model, found.version)
    with ctx.write(subject, version=reference, answer=found.answer.value, record=digest) as tx:
        gates.insert_verdict(tx, ctx.project_id, found)
        references.add(tx, ctx.project_id, "verdict", found.verdict_id, attached_digest)
    return found


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
        terms=verdict.judged_terms(gate_terms),
        settings=verdict.judge_settings(),
        answer=verdict.combine(core, gate_terms.on_unclear),
        results=core,
    )


def _machine() -> dict[str, Any]:
    return {"platform": platform.platform(), "cpus": os.cpu_count()}


def verify(ctx: Context, verdict_id: str) -> list[str]:
    """Return what is wrong with a stored verdict; nothing when it holds.

    Raises:
        NotFound: there is no such verdict.
        Damaged: its record's bytes do not have their digest.
    """
    with ctx.read() as tx:
        found = gates.get_verdict(tx, ctx.project_id, verdict_id)
        if found is None:
            raise NotFound(f"There is no verdict {verdict_id}.", "thrive gates history MODEL")
        version = models.get_version(tx, ctx.project_id, found.model, found.version)
    record = verdict.read_record(ctx.home.blobs.get(found.record))
    attached = _attached(ctx, found)
    wrong = verdict.differences(found, record, attached)
    judged = {
        "candidate": version.package,
        "test_data": version.evaluation,
        "contract": version.contract,
    }
    for name, digest in judged.items():
        if getattr(found, name) != digest:
            wrong.append(f"{name} is not that of {format_reference(found.model, found.version)}")
    return wrong


def _attached(ctx: Context, found: Verdict) -> verdict.Measured | None:
    digests = {one.evidence.get("record") for one in found.results if "record" in one.evidence}
    if not digests:
        return None
    if len(digests) > 1:
        raise Refused("The verdict's measurements lie in several records.", "run the gate again")
    return verdict.read_measured(ctx.home.blobs.get(str(digests.pop())))
