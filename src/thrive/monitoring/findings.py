"""What is found in a window: the typed form of `Window.findings`."""

import math
from typing import Any

import msgspec

from thrive.domain.model import SCORE
from thrive.domain.monitoring import Window
from thrive.monitoring.frames import DECISION


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """A metric of a window's rows with its standard error; None where it cannot be known."""

    value: float | None
    error: float | None
    rows: int


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """One input (or the score, or a pair of inputs) against the reference.

    Attributes:
        name: of the input; `_score` for the score, `_decision` for the class that was chosen,
            `a and b` for the relation of two.
        psi: corrected population stability index: the effect; of a relation how much the
            correlation changed.
        p_value: of the same distribution (KS or chi-square), corrected for the number of inputs.
        usual: the effect that the reference's own windows explain.
        missing: share of missing values.
        drifted: significant, not negligible, and beyond what the reference's windows did.
        measure: what is watched: `value`, the `length` of a text, the `norm` of a vector, or the
            `relation` of two inputs.
    """

    name: str
    psi: float | None
    p_value: float | None
    usual: float
    missing: float
    drifted: bool
    measure: str = "value"

    @property
    def words(self) -> str:
        """The column in words: what of it moved."""
        return self.name if self.measure == "value" else f"the {self.measure} of {self.name}"


ROWS, LABELS = "the rows", "the outcomes"
"""What a fault is of that no single input has."""


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """A break in the data of one input, of the rows or of the outcomes.

    `kind` is missing, mistyped, unseen, outside, rescaled, swapped, still, repeated, multiplied,
    late (a feature view), fewer or more (the rows), skewed or flipped. `likely` says how likely
    each explanation is, where the values alone do not tell: the likeliest first.
    """

    column: str
    kind: str
    share: float
    expected: float
    likely: dict[str, float] = {}


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """A group that is treated otherwise than the rest, beyond the contract's limit."""

    column: str
    group: str
    measure: str
    gap: float
    least: float
    limit: float
    rows: int


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """One value of a declared segment: its rows, mean score, estimated and real performance."""

    column: str
    value: str
    rows: int
    score: float | None
    estimated: float | None
    realised: float | None


class Breach(msgspec.Struct, frozen=True, kw_only=True):
    """A signal of performance that left what history explains.

    `per_year` is the number of false alarms that all limits together let through in a year,
    `explained` the share of a fall of real performance that the estimate saw as well: the rows
    became harder, as far as it goes. None where there is no estimate. `needed` is how many of the
    last three windows must be beyond for an alert.
    """

    signal: str
    value: float
    limit: float
    per_year: float = 0.0
    explained: float | None = None
    needed: int = 2


class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything found in one window.

    Attributes:
        variants: rows by variant, shadows included.
        errors: rows without an answer of the version, fallbacks included.
        latency_us: median and 99th percentile.
        performance: by signal, e.g. `estimated accuracy`.
        coverage: share of answered rows with an outcome.
        slow: latency beyond the SLA.
        failing: errors beyond the SLA.
        quality: faults of the data; they leave the window out of what is below.
        labels: faults of the outcomes; real performance is not judged with them.
        breaches: signals beyond their limits.
        left_out: why performance, bias and drift were not judged, "" if they were.
        baseline: digest of what was compared with.
        evidence: fingerprint of the outcomes and sealed files that were seen.
    """

    variants: dict[str, int] = {}
    errors: int = 0
    latency_us: tuple[float | None, float | None] = (None, None)
    columns: list[Column] = []
    performance: dict[str, Measured] = {}
    coverage: float | None = None
    segments: list[Segment] = []
    slow: str = ""
    failing: str = ""
    quality: list[Fault] = []
    labels: list[Fault] = []
    breaches: list[Breach] = []
    gaps: list[Gap] = []
    left_out: str = ""
    baseline: str = ""
    evidence: tuple[int, int, int] = (0, 0, 0)

    def to_json(self) -> dict[str, Any]:
        """Return the findings as the JSON object a window stores."""
        return msgspec.to_builtins(self)

    def drifted(self) -> list[Column]:
        """Return the inputs that drifted."""
        answers = {SCORE, DECISION}
        return [item for item in self.columns if item.drifted and item.name not in answers]


def findings_of(window: Window) -> Findings:
    """Return what was found in a stored window."""
    return msgspec.convert(window.findings, Findings, strict=False)


def finite(number: float) -> float | None:
    """Return the number, or None where it is NaN or infinite: JSON has no word for those."""
    return number if math.isfinite(number) else None
