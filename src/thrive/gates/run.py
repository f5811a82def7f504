"""One gate run: lay out the files, ask the workers, check, keep the verdict."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from thrive.domain.errors import UsageError
from thrive.domain.gate import Answer, CheckResult, Judged, Verdict
from thrive.domain.model import ModelVersion
from thrive.gates import (
    bias,
    contract_file,
    found_slices,
    labels,
    leak,
    lock_file,
    policy,
    quality,
    robustness,
    sensitive,
    slices,
    speed,
)
from thrive.gates.case import Floats, GateCase, Rival, labels_of, strange_labels
from thrive.gates.files import lay_out, manifest_of, rows_digest, table_path
from thrive.gates.inputs import REUSE, Inputs, candidates_on, read_inputs
from thrive.gates.keep import keep
from thrive.gates.own import own_checks
from thrive.gates.process import LOAD_S, PREDICT_S, STRAIN_S, Worker, WorkerFailed, scores_in
from thrive.operations import Context
from thrive.packaging.signature import OutputKind, Scalar

if TYPE_CHECKING:
    import polars as pl

PRIOR = "prior"
"""The baseline that answers every row alike, and as well as that can be done."""
Further = Callable[[Context, ModelVersion], CheckResult]
"""A check that needs what another room knows."""
REUSE_WARNED, REUSE_WORN = 20, 100
"""Candidates judged on one table from which a verdict warns, and from which it cannot tell."""


def judge(ctx: Context, reference: str, against: str, *further: Further) -> Verdict:
    """Judge a version and keep the verdict.

    Args:
        ctx: who asks.
        reference: MODEL or MODEL@VERSION.
        against: what it is compared with, as `gates run` takes it.
        further: checks beside those of this room.

    Raises:
        NotFound: there is no such version.
        UsageError: the version has no evaluation table, or `against` names nothing.
    """
    inputs = read_inputs(ctx, reference, against)
    with TemporaryDirectory(dir=ctx.home.temporary_folder, prefix="gate-") as folder:
        results = _Run(ctx, inputs, Path(folder)).results()
    results += [check(ctx, inputs.version) for check in further]
    return keep(ctx, inputs, results)


def judge_each(ctx: Context, labels: list[str], *further: Further) -> list[Judged]:
    """Judge versions one after another against what is in production.

    Args:
        ctx: who asks.
        labels: MODEL@VERSION each.
        further: checks beside those of this room.

    Raises:
        UsageError: a version has no evaluation table.
    """
    found = [(label, judge(ctx, label, Rival.PRODUCTION, *further)) for label in labels]
    return [
        Judged(model=label, answer=verdict.answer, verdict_id=verdict.verdict_id)
        for label, verdict in found
    ]


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
            died = any(one.check == robustness.ODD_ROWS for one in results)
            results.append(
                speed.unclear("The candidate ended on odd rows.")
                if died
                else self._speed(workers, answered, case)
            )
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
            ready = worker.age
            self._ctx.progress(0.2, "predicting the evaluation rows")
            found = worker.ask("predict", PREDICT_S, table=str(self._table))
            scores = scores_in(found)
        except WorkerFailed as error:
            return {"scores": None, "reason": error.reason, "loaded": {}}
        facts = {
            "cold_start_seconds": ready,
            "load_seconds": loaded["seconds"],
            "predict_seconds": found["seconds"],
        }
        reason = "" if np.all(np.isfinite(scores)) else "answers NaN or infinity to some rows"
        return {"scores": None if reason else scores, "reason": reason, "loaded": facts}

    def _case(self, own: dict[str, Any], other: dict[str, Any] | None = None) -> GateCase:
        """Put together what checks look at: the labelled rows that neither model has seen."""
        import polars as pl

        whole = pl.read_parquet(self._table)
        if "_label" not in whole.columns:
            raise UsageError(
                "The evaluation table has no column '_label'.", "register the version again"
            )
        label = whole["_label"]
        known = label.is_not_null()
        if label.dtype.is_float():
            known &= ~label.is_nan()
        keep, facts = self._fresh(whole, known.fill_null(value=False).to_numpy())
        frame = whole.filter(keep)
        classes, binary = self._classes(), self._kind is OutputKind.PROBABILITY
        positive = self._inputs.terms.target.positive
        labels = labels_of(frame, positive, classes, binary=binary)
        if strange := strange_labels(frame, labels):
            facts["reason"], keep = strange, np.zeros_like(keep)
            frame, labels = frame.clear(), labels[:0]
        candidate = _of(own["scores"], keep, len(classes))
        rival = _of(other["scores"], keep, len(classes)) if other else self._baseline(frame, labels)
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

    def _baseline(self, frame: "pl.DataFrame", labels: Floats) -> Floats | None:
        """Return what the baseline answers: the mean of the labels, or a column of the rows."""
        named = self._inputs.terms.gates.quality.baseline
        if named in frame.columns and frame.schema[named].is_numeric():
            answers = frame[named].cast(float).to_numpy().astype(np.float64)
            return answers if np.all(np.isfinite(answers)) else None
        if named != PRIOR or not len(labels):
            return None
        classes = len(self._classes())
        if not classes:
            return np.full(len(labels), labels.mean())
        shares = np.bincount(labels.astype(np.int64), minlength=classes) / len(labels)
        if self._kind is OutputKind.CLASS:
            return np.full(len(labels), float(shares.argmax()))
        return np.tile(shares, (len(labels), 1))

    @property
    def _kind(self) -> OutputKind:
        return self._manifest.signature.output.kind

    def _classes(self) -> tuple[Scalar, ...]:
        many = self._kind in {OutputKind.VECTOR, OutputKind.CLASS}
        return self._manifest.signature.output.classes if many else ()

    def _fresh(self, whole: Any, known: Any) -> tuple[Any, dict[str, Any]]:
        """Keep labelled rows from the time on that the rival's own evaluation began.

        What came before it the rival may have been trained on: it would look better than it is.
        """
        facts: dict[str, Any] = {"rows_given": len(whole), "rows_labelled": int(known.sum())}
        began = self._rival_began()
        if not known.any():
            facts["reason"] = "no row has a label" if len(whole) else "there is no row"
        if self._inputs.against is None or "reason" in facts:
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
            slices.check_slices(case),
            found_slices.check_found_slices(case),
            quality.check_calibration(case),
            leak.check_leak(case, self._ctx.home.blobs),
            labels.check_labels(case),
            *self._bias(case),
        ]
        self._ctx.progress(0.6, "odd rows")
        results += [robustness.answers_result(own["reason"], case.facts["rows_given"])]
        results += self._strained(worker, own["reason"])
        results += [
            policy.check_contract(inputs.version, inputs.parsed),
            policy.check_data(inputs.version, inputs.parsed, inputs.upstream),
            policy.check_package(inputs.version, self._manifest),
            policy.check_licence(inputs.version, inputs.parsed),
            policy.check_environment(inputs.version, inputs.environment),
            lock_file.check_lock_file(inputs.bundle, inputs.environment, self._ctx.home.blobs),
            policy.check_seal(inputs.version),
            *own_checks(case),
            policy.check_retention(inputs.parsed, inputs.upstream, self._ctx.now()),
            contract_file.check_contract_file(
                inputs.version.model, inputs.parsed, self._ctx.folder
            ),
            _reuse(inputs, rows_digest(self._table)),
        ]
        return [one for one in results if one is not None]

    def _bias(self, case: GateCase) -> list[CheckResult]:
        join = sensitive.joined(self._ctx, self._inputs, case)
        return sensitive.bound(bias.check_bias(join.case, join.reason), join)

    def _strained(self, worker: Worker, reason: str) -> list[CheckResult]:
        if reason:
            return robustness.unclear_results("It does not answer ordinary rows")
        try:
            answered = worker.ask("strain", STRAIN_S)
            noise = robustness.noise_result(answered["noise"])
            return [*robustness.strained_results(answered["found"]), noise]
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
        facts: dict[str, Any] = {"package_bytes": size}
        try:
            facts["peak_memory_bytes"] = worker.ask("memory", LOAD_S)["memory"]
            facts |= worker.ask("throughput", LOAD_S)
        except WorkerFailed as error:
            facts["not_measured"] = error.reason
        return facts


def _of(scores: Floats | None, keep: Any, classes: int) -> Floats | None:
    """Return the kept rows' scores; answers that are not one number a row (or class) are none."""
    if scores is None or not (scores.ndim == 1 or scores.shape[1:] == (classes,)):
        return None
    return scores[keep]


def _reproduced(frame: Any, candidate: Floats | None) -> dict[str, Any]:
    """Return how far the scores recorded at registration are from the recomputed ones."""
    if candidate is None or "_score" not in frame.columns or not len(candidate):
        return {}
    if candidate.ndim > 1 or not frame.schema["_score"].is_numeric():
        return {}
    recorded = frame["_score"].cast(float).fill_null(float("nan")).to_numpy()
    distance = np.abs(recorded - candidate)
    known = distance[np.isfinite(distance)]
    return {"recorded_scores_differ_by": float(known.max()) if len(known) else None}


def _reuse(inputs: Inputs, rows: str) -> CheckResult:
    count = candidates_on(inputs, rows)
    words = f"{count} candidate{'s' if count > 1 else ''} judged on these rows so far."
    answer = Answer.CANNOT_TELL if count >= REUSE_WORN else Answer.PASS
    if count >= REUSE_WARNED:
        words += " The more are judged on it, the more they fit it by chance: take fresh rows."
    return CheckResult(
        check=REUSE,
        group="history",
        answer=answer,
        summary=words,
        evidence={"candidates": count, "rows": rows},
        advisory=True,
    )
