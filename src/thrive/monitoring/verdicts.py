"""From windows to causes: what persists, what only inhibits, and in which words and numbers."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from thrive.contract.levels import AccuracyLevel
from thrive.domain.clock import format_duration, format_moment, format_time, parse_duration
from thrive.domain.model import ModelVersion
from thrive.domain.monitoring import CAUSE_ORDER, Cause, Window
from thrive.domain.numbers import plain_number
from thrive.monitoring.accepted import Known, without
from thrive.monitoring.budget import ErrorBudget, error_budget
from thrive.monitoring.explanations import words_of
from thrive.monitoring.findings import ROWS, Fault, Findings, findings_of
from thrive.monitoring.judge import LEAST_COVERAGE, failing
from thrive.monitoring.limits import AMONG, NEEDED
from thrive.monitoring.performance import REALISED
from thrive.monitoring.terms import TermsInForce

SILENT = 2
"""Windows without any prediction after which the silence itself is a fault."""
LEAST_COHORT, _LEAST_COHORTS = 30, 3
VOLUME_AGAIN, VOLUME_HISTORY, LEAST_VOLUME = 2, 14, 50
"""Windows of another volume in a row; windows before them, and rows in each, to judge it by."""
FEWER, MORE = 0.5, 3.0
VOLUME = "volume"


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """One cause that holds now: a clear sentence, and the numbers behind it."""

    cause: Cause
    title: str
    first_bad: int
    last_bad: int
    numbers: dict[str, Any] = {}


class Past(msgspec.Struct, frozen=True, kw_only=True):
    """A version with its windows, oldest first, and its terms.

    `traffic` has the rows that all live versions together answered, by the start of the window; it
    is that of the main version alone. `accepted` are faults of the data that are no news, and
    `declared` is the accuracy that users were told.
    """

    version: ModelVersion
    terms: TermsInForce
    windows: list[Window]
    traffic: dict[int, int] = {}
    accepted: Known = frozenset()
    declared: AccuracyLevel | None = None

    def found(self) -> list[tuple[Window, Findings]]:
        """Return the windows with their findings; what was accepted is none."""
        return [(window, self._news(findings_of(window))) for window in self.windows]

    def _news(self, found: Findings) -> Findings:
        if not self.accepted or not found.quality:
            return found
        return msgspec.structs.replace(found, quality=without(found.quality, self.accepted))


def is_bad(found: Findings, cause: Cause) -> bool:
    """Tell whether one window by itself speaks for a cause."""
    return bool(
        {
            Cause.SERVICE: found.failing or found.slow,
            Cause.DATA_QUALITY: found.quality,
            Cause.PERFORMANCE: found.breaches,
            Cause.BIAS: found.gaps,
            Cause.DRIFT: found.drifted(),
        }.get(cause, "")
    )


def is_judged(window: Window, found: Findings, cause: Cause, signal: str = "") -> bool:
    """Tell whether a window could speak for or against a cause (by one signal) at all."""
    if cause is Cause.SERVICE:
        return True
    if cause is Cause.DATA_QUALITY:
        return window.rows > 0
    return window.rows > 0 and not found.left_out and (not signal or _is_told(found, signal))


def verdicts(past: Past, now: int, since: Mapping[Cause, int] | None = None) -> list[Verdict]:
    """Return the causes that hold for a version, the highest first.

    The last window's higher causes inhibit the lower ones, except that slow answers inhibit
    nothing: a late answer is still an answer.

    Args:
        past: the version and its windows.
        now: UTC microseconds.
        since: for each cause, the moment from which windows count; from the first if left out.
    """
    everything = past.found()

    def found(cause: Cause) -> list[tuple[Window, Findings]]:
        start = (since or {}).get(cause, 0)
        return [(window, item) for window, item in everything if window.start >= start]

    judged = [
        _service(past, found(Cause.SERVICE)),
        _quality(found(Cause.DATA_QUALITY)) or _volume(past, found(Cause.DATA_QUALITY)),
        _outcomes(past, found(Cause.OUTCOMES), now),
        _below_declared(past, found(Cause.PERFORMANCE)) or _performance(found(Cause.PERFORMANCE)),
        _bias(found(Cause.BIAS)),
        _age(past, now),
        _drift(found(Cause.DRIFT)),
    ]
    present = {verdict.cause: verdict for verdict in judged if verdict is not None}
    inhibited: set[Cause] = set()
    if everything and (everything[-1][1].failing or everything[-1][1].quality):
        inhibited = {Cause.PERFORMANCE, Cause.BIAS, Cause.DRIFT}
    if Cause.OUTCOMES in present and present[Cause.OUTCOMES].numbers.get("faults"):
        inhibited |= {Cause.PERFORMANCE, Cause.BIAS}
    return [present[cause] for cause in CAUSE_ORDER if cause in present and cause not in inhibited]


def _day(window: Window) -> str:
    return format_moment(window.start)


def _service(past: Past, found: list[tuple[Window, Findings]]) -> Verdict | None:
    silent = [window for window, item in found[-SILENT:] if not sum(item.variants.values())]
    if len(silent) == SILENT and any(window.rows for window in past.windows):
        since = format_duration(silent[-1].end - silent[0].start)
        return Verdict(
            cause=Cause.SERVICE,
            title=f"No predictions for {since} up to {format_time(silent[-1].end)}.",
            first_bad=silent[0].start,
            last_bad=silent[-1].start,
        )
    if not found:
        return None
    window, last = found[-1]
    slow = [each for each, item in found[-AMONG:] if item.slow]
    lasting = last.slow if len(slow) >= NEEDED else ""
    budget = error_budget(found, past.terms.model)
    words = last.failing or lasting
    if not words:
        return _overdrawn(past, budget)
    numbers = {"errors": last.errors, "rows": window.rows, "latency_us": last.latency_us}
    spent = f"; {budget.words}" if budget is not None and last.failing else ""
    return Verdict(
        cause=Cause.SERVICE,
        title=f"On {_day(window)} {words}{spent}.",
        first_bad=window.start if last.failing else slow[0].start,
        last_bad=window.start,
        numbers={**numbers, "error_budget": msgspec.to_builtins(budget)},
    )


def _overdrawn(past: Past, budget: ErrorBudget | None) -> Verdict | None:
    """Return that failures too few for any one window are together more than the SLA allows."""
    if budget is None:
        return None
    words = failing(budget.failed, budget.answers, past.terms.model)
    if not words:
        return None
    period = format_duration(budget.until - budget.since)
    return Verdict(
        cause=Cause.SERVICE,
        title=f"In the last {period} {words}: the error budget is overdrawn.",
        first_bad=budget.since,
        last_bad=past.windows[-1].start,
        numbers={"error_budget": msgspec.to_builtins(budget)},
    )


_FAULT_WORDS = {
    "missing": "is missing in {share:.0%} of the rows (at most {expected:.1%} before)",
    "unseen": "has values never seen before in {share:.0%} of the rows",
    "outside": "is far outside its range in {share:.0%} of the rows",
    "rescaled": "lies or spreads as in no window before",
    "swapped": "looks like another input, as if the two were exchanged",
    "still": "stands still: it has far fewer different values than in any window before",
    "repeated": "brings the window before once more: its feed is late",
    "late": "is late: its values were too old for {share:.0%} of the answers",
    "mistyped": "is text where numbers were, in {share:.0%} of the rows",
    "fewer": "are far fewer than in any window before: {share:.0%} of the least",
    "more": "are far more than in any window before: {share:.1f} times the most",
    "skewed": "was served otherwise than history says in {share:.0%} of the rows",
    "multiplied": "say the same twice: {share:.0%} repeat another (at most {expected:.0%} before)",
}


def fault_words(fault: Fault) -> str:
    """Return what is wrong with an input, to stand after its name."""
    said = _FAULT_WORDS[fault.kind].format(share=fault.share, expected=fault.expected)
    return f"{said}: {words_of(fault.likely)}" if fault.likely else said


def _quality(found: list[tuple[Window, Findings]]) -> Verdict | None:
    if not found or not found[-1][1].quality:
        return None
    window, last = found[-1]
    worst = last.quality[0]
    words = fault_words(worst)
    others = len({fault.column for fault in last.quality} - {worst.column})
    more = f", and {others} more inputs are faulty" if others else ""
    return Verdict(
        cause=Cause.DATA_QUALITY,
        title=f"On {_day(window)} {worst.column} {words}{more}.",
        first_bad=_since(found, Cause.DATA_QUALITY),
        last_bad=window.start,
        numbers={"faults": msgspec.to_builtins(last.quality)},
    )


def _volume(past: Past, found: list[tuple[Window, Findings]]) -> Verdict | None:
    """Return that far fewer or far more rows come, twice in a row, than in any window before.

    Half of the least and three times the most that a fortnight of windows had: what a week or a
    season does lies within. All live versions count together, so a release moves nothing.
    """
    since = found[0][0].start if found else 0
    starts = sorted(start for start in past.traffic if start >= since)
    counts = [past.traffic[start] for start in starts]
    for place in range(VOLUME_HISTORY, len(starts) - VOLUME_AGAIN + 1):
        before, lately = counts[:place], counts[place:]
        low, high = min(before) * FEWER, max(before) * MORE
        fewer, more = max(lately) < low, min(lately) > high
        if max(before) < LEAST_VOLUME or not (fewer or more):
            continue
        fault = Fault(
            column=ROWS,
            kind="fewer" if fewer else "more",
            share=counts[-1] / (min(before) if fewer else max(before)),
            expected=1.0,
        )
        return Verdict(
            cause=Cause.DATA_QUALITY,
            title=f"On {_day(found[-1][0])} {fault.column} {fault_words(fault)}.",
            first_bad=starts[place],
            last_bad=starts[-1],
            numbers={
                "signal": VOLUME,
                "usual": [low, high],
                "faults": [msgspec.to_builtins(fault)],
            },
        )
    return None


def _since(found: Sequence[tuple[Window, Findings]], cause: Cause) -> int:
    """Return the start of the unbroken run of bad windows that ends with the last one."""
    first = found[-1][0].start
    for window, item in reversed(found):
        if not is_bad(item, cause):
            break
        first = window.start
    return first


def _outcomes(past: Past, found: list[tuple[Window, Findings]], now: int) -> Verdict | None:
    """Outcomes say the opposite of what they said, or stop coming."""
    turned = [(window, item) for window, item in found[-AMONG:] if item.labels]
    if len(turned) >= NEEDED:
        return _turned(turned)
    return _silent_outcomes(past, found, now)


def _turned(found: list[tuple[Window, Findings]]) -> Verdict:
    window, item = found[-1]
    return Verdict(
        cause=Cause.OUTCOMES,
        title=(
            f"The outcomes of {_day(window)} say the opposite of what the scores say: yes and no "
            "seem to be exchanged."
        ),
        first_bad=found[0][0].start,
        last_bad=window.start,
        numbers={"faults": msgspec.to_builtins(item.labels)},
    )


def _silent_outcomes(past: Past, found: list[tuple[Window, Findings]], now: int) -> Verdict | None:
    """Return that the last two cohorts that are old enough lie far below the others."""
    within = past.terms.model.sla.outcomes_within
    if not within:
        return None
    ripe = [
        window
        for window, _ in found
        if window.rows >= LEAST_COHORT and window.end + parse_duration(within) <= now
    ]
    late, before = ripe[-2:], ripe[:-2]
    if len(late) < 2:
        return None
    expected = _usual_share([window.outcomes / window.rows for window in before])
    shares = [window.outcomes / window.rows for window in late]
    if max(shares) >= expected / 2.0:
        return None
    return Verdict(
        cause=Cause.OUTCOMES,
        title=(
            f"Only {shares[-1]:.0%} of the predictions of {_day(late[-1])} have an outcome after "
            f"{within}; {expected:.0%} are usual."
        ),
        first_bad=late[0].start,
        last_bad=late[-1].start,
        numbers={"shares": shares, "usual": expected, "within": within},
    )


def _usual_share(shares: Sequence[float]) -> float:
    """Return the median share of cohorts with outcomes: that they stay away never becomes usual."""
    if len(shares) < _LEAST_COHORTS:
        return 1.0
    high = sorted(shares)[int(len(shares) * 0.8)]
    told = sorted(share for share in shares if share >= high / 2.0)
    return told[len(told) // 2]


DECLARED = "declared"
"""What the numbers of a verdict hold the declared level under."""


def misses(level: AccuracyLevel, found: Findings) -> bool:
    """Tell whether a window's real performance is beyond the level that was declared to users."""
    measured = found.performance.get(f"{REALISED} {level.metric}")
    if measured is None or measured.value is None:
        return False
    return not level.kept_live(measured.value, measured.error or 0.0)


def _below_declared(past: Past, found: list[tuple[Window, Findings]]) -> Verdict | None:
    """Return that two of the last three windows miss the level that was declared to users.

    AI Act art. 15(3), 20. With real performance exactly at the level each misses it in 2.5% of all
    cases, so two of three do by chance in one of 500.
    """
    level = past.declared
    if level is None:
        return None
    signal = f"{REALISED} {level.metric}"
    judged = [
        (window, item)
        for window, item in found
        if is_judged(window, item, Cause.PERFORMANCE, signal)
    ][-AMONG:]
    bad = [(window, item) for window, item in judged if misses(level, item)]
    if len(bad) < NEEDED or bad[-1][0] is not judged[-1][0]:
        return None
    window, last = bad[-1]
    value = last.performance[signal].value
    breach = next((each for each in last.breaches if each.signal == signal), None)
    return Verdict(
        cause=Cause.PERFORMANCE,
        title=(
            f"{signal.capitalize()} {value:.3f} on {_day(window)}: {level.words} is declared to "
            f"users, and {len(bad)} of the last {len(judged)} windows miss it."
        ),
        first_bad=bad[0][0].start,
        last_bad=window.start,
        numbers={
            "signal": signal,
            "value": value,
            "limit": level.value,
            "windows": [
                {"start": each.start, "value": item.performance[signal].value, "limit": level.value}
                for each, item in bad
            ],
            "explained": breach.explained if breach is not None else None,
            "performance": msgspec.to_builtins(last.performance),
            "coverage": last.coverage,
            DECLARED: msgspec.to_builtins(level),
        },
    )


def _performance(found: list[tuple[Window, Findings]]) -> Verdict | None:
    for signal in _signals(found):
        judged = [
            (window, item)
            for window, item in found
            if is_judged(window, item, Cause.PERFORMANCE, signal)
        ][-AMONG:]
        bad = [
            (window, breach)
            for window, item in judged
            for breach in item.breaches
            if breach.signal == signal
        ]
        if not bad or bad[-1][0] is not judged[-1][0] or len(bad) < bad[-1][1].needed:
            continue
        window, breach = bad[-1]
        side = "below" if breach.value < breach.limit else "above"
        return Verdict(
            cause=Cause.PERFORMANCE,
            title=(
                f"{signal.capitalize()} {breach.value:.3f} on {_day(window)}, {side} the "
                f"{breach.limit:.3f} that history explains (limit for "
                f"{plain_number(breach.per_year)} false alarms a year)."
            ),
            first_bad=bad[0][0].start,
            last_bad=window.start,
            numbers={
                "signal": signal,
                "value": breach.value,
                "limit": breach.limit,
                "windows": [
                    {"start": each.start, "value": item.value, "limit": item.limit}
                    for each, item in bad
                ],
                "explained": breach.explained,
                "performance": msgspec.to_builtins(findings_of(window).performance),
                "coverage": findings_of(window).coverage,
            },
        )
    return None


def _signals(found: list[tuple[Window, Findings]]) -> list[str]:
    """Return the signals that were ever breached, the real ones before the estimated."""
    names = {breach.signal for _, item in found[-20:] for breach in item.breaches}
    return sorted(names, key=lambda name: (not name.startswith("realised"), name))


def _is_told(found: Findings, signal: str) -> bool:
    """Tell whether the window says anything of a signal that may be judged."""
    measured = found.performance.get(signal)
    if measured is None or measured.value is None:
        return False
    return signal.startswith("estimated") or (found.coverage or 0.0) >= LEAST_COVERAGE


def _bias(found: list[tuple[Window, Findings]]) -> Verdict | None:
    judged = [(w, f) for w, f in found if is_judged(w, f, Cause.BIAS)][-AMONG:]
    bad = [(window, item) for window, item in judged if item.gaps]
    if len(bad) < NEEDED or not judged[-1][1].gaps:
        return None
    window, last = bad[-1]
    worst = max(last.gaps, key=lambda gap: gap.least)
    return Verdict(
        cause=Cause.BIAS,
        title=(
            f"{worst.measure.replace('_', ' ').capitalize()} of {worst.column} {worst.group} "
            f"differs from the rest by {abs(worst.gap):.2f} on {_day(window)}; the contract "
            f"allows {worst.limit:g}."
        ),
        first_bad=bad[0][0].start,
        last_bad=window.start,
        numbers={"gaps": msgspec.to_builtins(last.gaps)},
    )


def _age(past: Past, now: int) -> Verdict | None:
    allowed = past.terms.model.sla.max_age
    born = past.version.created_at
    if not allowed or now - born <= parse_duration(allowed):
        return None
    return Verdict(
        cause=Cause.AGE,
        title=(
            f"Version {past.version.version} is {format_duration(now - born)} old; the contract "
            f"allows {allowed}."
        ),
        first_bad=born + parse_duration(allowed),
        last_bad=now,
        numbers={"created_at": born, "max_age": allowed},
    )


def _drift(found: list[tuple[Window, Findings]]) -> Verdict | None:
    judged = [(w, f) for w, f in found if is_judged(w, f, Cause.DRIFT)][-AMONG:]
    counts: dict[str, int] = {}
    for _, item in judged:
        for column in item.drifted():
            counts[column.words] = counts.get(column.words, 0) + 1
    lasting = sorted(name for name, times in counts.items() if times >= NEEDED)
    if not lasting:
        return None
    bad = [window for window, item in judged if item.drifted()]
    shown = ", ".join(lasting[:3]) + (f" and {len(lasting) - 3} more" if len(lasting) > 3 else "")
    return Verdict(
        cause=Cause.DRIFT,
        title=(
            f"{shown} moved away from the reference in {NEEDED} or more of the last "
            f"{len(judged)} windows."
        ),
        first_bad=bad[0].start,
        last_bad=bad[-1].start,
        numbers={"windows_drifted": {name: counts[name] for name in lasting}},
    )
