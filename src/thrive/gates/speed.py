"""How fast does the candidate answer: interleaved with production, or alone against its promise.

Candidate and production answer turn by turn (A B B A) in two fresh processes on one processor;
the median of paired ratios is judged, as it was the only measure that neither flaked nor missed a
slowdown beside noisy neighbours. A 99th percentile is printed and judged only with enough calls.
"""

import os
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from thrive.domain.gate import Answer, CheckResult
from thrive.gates.process import TURN_S, Worker, WorkerFailed
from thrive.statistics.intervals import quantile_interval

GROUP = "performance"
SIZES = (1, 32)
"""Rows of a request."""
WARM_CALLS, TURN_CALLS = 20, 5
PAIRS, LEAST_PAIRS = 120, 20
BUDGET_S = 2.0
"""Seconds the turns of one size may take together, from the pace seen while warming up."""
ALONE_CALLS, LEAST_ALONE = 2000, 100
CONFIDENCE = 0.95
SLOW_S = 0.02
"""A call slower than this is warmed up twice only, and takes turns alone."""


class Paced(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured for one size of request, times in microseconds."""

    rows: int
    pairs: int
    ratio: float
    low: float
    high: float
    candidate_p50: float
    candidate_p99: float
    rival_p50: float
    rival_p99: float

    def answer(self, limit: float) -> Answer:
        """Tell whether the ratio of medians is within the limit."""
        if self.high <= limit:
            return Answer.PASS
        return Answer.FAIL if self.low > limit else Answer.CANNOT_TELL


def compare_speed(candidate: Worker, rival: Worker, words: str, limit: float) -> CheckResult:
    """Judge the ratio of the candidate's latency to the rival's, for each size of request.

    Args:
        candidate: holds the candidate, after `predict`.
        rival: holds the version it is compared with, after `predict`.
        words: the rival as a sentence names it.
        limit: the largest ratio that is accepted.
    """
    try:
        _pin(candidate, rival)
        found = [_paced(candidate, rival, rows, limit) for rows in SIZES]
    except WorkerFailed as error:
        return _result(Answer.FAIL, f"{error.reason} while it was timed.", {"limit": limit})
    answers = [one.answer(limit) for one in found]
    told = ", ".join(
        f"{one.ratio:.2f} ({one.low:.2f} to {one.high:.2f}) for {one.rows} rows" for one in found
    ).replace("for 1 rows", "for 1 row")
    evidence = {"limit": limit, "sizes": [msgspec.structs.asdict(one) for one in found]}
    summary = f"Time against {words}: {told}; at most {limit:g} is accepted."
    return _result(_worst(answers), summary, evidence)


def measure_alone(candidate: Worker, p99_ms: float | None) -> CheckResult:
    """Measure the candidate alone, against the latency its contract promises.

    This machine is not the one that serves: a promise that is missed here cannot be told.
    """
    try:
        _pin(candidate)
        found = {rows: _alone(candidate, rows) for rows in SIZES}
    except WorkerFailed as error:
        return _result(Answer.FAIL, f"{error.reason} while it was timed.", {"p99_ms": p99_ms})
    single = found[1]
    interval = quantile_interval(single, 0.99, CONFIDENCE)
    p50, p99 = float(np.median(single)), float(np.quantile(single, 0.99))
    sizes = [
        {"rows": rows, "calls": len(times), "p50": float(np.median(times))}
        for rows, times in found.items()
    ]
    evidence = {"p99_ms": p99_ms, "p50": p50, "p99": p99, "p99_high": interval.high, "sizes": sizes}
    told = f"Alone: p50 {p50 / 1000:.2f} ms, p99 {p99 / 1000:.2f} ms over {len(single)} calls"
    if p99_ms is None:
        return _result(Answer.PASS, f"{told}; the contract promises no latency.", evidence)
    if interval.high <= 1000.0 * p99_ms:
        return _result(Answer.PASS, f"{told}; {p99_ms:g} ms are promised.", evidence)
    words = f"{told}; {p99_ms:g} ms are promised, and this machine cannot show it."
    return _result(Answer.CANNOT_TELL, words, evidence)


def unclear(reason: str) -> CheckResult:
    """Return the check when there is nothing to time."""
    return _result(Answer.CANNOT_TELL, f"{reason[:1].upper()}{reason[1:]}", {})


def _pin(*workers: Worker) -> None:
    if hasattr(os, "sched_getaffinity"):
        core = max(os.sched_getaffinity(0))
        for worker in workers:
            worker.ask("pin", TURN_S, core=core)


def _turn(worker: Worker, rows: int, calls: int) -> NDArray[np.float64]:
    """Return microseconds a call."""
    answer = worker.ask("time", TURN_S, rows=rows, calls=calls)
    return np.array(answer["nanoseconds"], dtype=np.float64) / 1000.0


def _warmed(worker: Worker, rows: int) -> float:
    """Warm up; return the seconds one call takes."""
    pace = float(_turn(worker, rows, 2).min()) / 1e6  # one pause is no pace
    if pace < SLOW_S:
        pace = float(np.median(_turn(worker, rows, WARM_CALLS))) / 1e6
    return pace


def _paced(candidate: Worker, rival: Worker, rows: int, limit: float) -> Paced:
    pace = _warmed(candidate, rows) + _warmed(rival, rows)
    calls = 1 if pace > SLOW_S else TURN_CALLS
    pairs = int(np.clip(BUDGET_S / (pace * calls), LEAST_PAIRS, PAIRS))
    turns = [_pair(candidate, rival, rows, calls, turn) for turn in range(pairs)]
    found = _summed(rows, turns)
    if found.answer(limit) is Answer.CANNOT_TELL:  # one extension, fixed in advance
        turns += [_pair(candidate, rival, rows, calls, turn) for turn in range(pairs)]
        found = _summed(rows, turns)
    return found


def _pair(
    candidate: Worker, rival: Worker, rows: int, calls: int, turn: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Let both answer once, in turning order; returns the candidate's times first."""
    if turn % 2:
        first = _turn(candidate, rows, calls)
        return first, _turn(rival, rows, calls)
    second = _turn(rival, rows, calls)
    return _turn(candidate, rows, calls), second


def _summed(rows: int, turns: list[tuple[NDArray[np.float64], NDArray[np.float64]]]) -> Paced:
    candidate = np.stack([one for one, _ in turns])
    rival = np.stack([other for _, other in turns])
    ratios = np.median(candidate, axis=1) / np.median(rival, axis=1)
    interval = quantile_interval(ratios, 0.5, CONFIDENCE)
    return Paced(
        rows=rows,
        pairs=len(turns),
        ratio=interval.estimate,
        low=interval.low,
        high=interval.high,
        candidate_p50=float(np.median(candidate)),
        candidate_p99=float(np.quantile(candidate, 0.99)),
        rival_p50=float(np.median(rival)),
        rival_p99=float(np.quantile(rival, 0.99)),
    )


def _alone(worker: Worker, rows: int) -> NDArray[np.float64]:
    pace = _warmed(worker, rows)
    calls = int(np.clip(BUDGET_S / pace, LEAST_ALONE if pace < SLOW_S else 10, ALONE_CALLS))
    return np.concatenate([_turn(worker, rows, 10) for _ in range(-(-calls // 10))])


def _worst(answers: list[Answer]) -> Answer:
    for answer in (Answer.FAIL, Answer.CANNOT_TELL):
        if answer in answers:
            return answer
    return Answer.PASS


def _result(answer: Answer, summary: str, evidence: dict[str, Any]) -> CheckResult:
    return CheckResult(
        check="speed", group=GROUP, answer=answer, summary=summary, evidence=evidence
    )
