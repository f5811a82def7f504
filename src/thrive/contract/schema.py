"""The terms of `thrive.toml`: every table and key, its type, its default and its spelling.

Everything has a default, so that a project starts with six answers; what production asks for
beyond them is listed by `thrive.contract.gaps`. An empty text or `None` means "not said".
A `Meta(extra={"form": f})` names the function that judges the spelling of a value.
"""

import re
from collections.abc import Callable
from enum import StrEnum
from functools import partial
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from thrive.contract.checks import Check, parse_check
from thrive.contract.phases import parse_phase, parse_road
from thrive.domain.clock import parse_duration
from thrive.domain.errors import UsageError
from thrive.domain.identifiers import checked_name
from thrive.domain.model import Stage
from thrive.domain.monitoring import ActionKind, Cause
from thrive.domain.release import Phase

CONTRACT_FORMAT = 1

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:\S")


def _form(judge: Callable[[str], object], **spelling: Any) -> Meta:
    return Meta(extra={"form": judge}, **spelling)


def _names(noun: str) -> Meta:
    return _form(partial(checked_name, noun=noun))


def _stage(text: str) -> Stage:
    if text not in (Stage.STAGING, Stage.PRODUCTION):
        raise UsageError(
            f"{text!r} is not a stage that can ask for approval.",
            "write staging or production, e.g. approvals = { production = 1 }",
        )
    return Stage(text)


def _channel(text: str) -> str:
    if not _SCHEME.match(text):
        cure = f'write "mailto:{text}"' if "@" in text else 'write "mailto:..." or "https://..."'
        raise UsageError(f"{text!r} does not say by what means it reaches anybody.", cure)
    return text


def _lasting(text: str) -> int:
    duration = parse_duration(text)
    if not duration:
        raise UsageError(f"{text!r} lasts no time.", 'write e.g. "1h", "90 days", "2 weeks"')
    return duration


def _unless_empty(judge: Callable[[str], object]) -> Callable[[str], object]:
    return lambda text: judge(text) if text else None


Duration = Annotated[str, _form(_lasting, examples=["1 day"])]
"""Text such as `90 days`; kept as written, judged by `thrive.domain.clock.parse_duration`."""

MaybeDuration = Annotated[str, _form(_unless_empty(_lasting), examples=["90 days"])]
"""A duration, or "" for not said."""

Share = Annotated[float, Meta(ge=0, le=1, description="a number from 0 to 1", examples=[0.5])]
Tolerance = Annotated[float, Meta(ge=0, description="a number not below 0", examples=[0.01])]
Positive = Annotated[float, Meta(gt=0, description="a number above 0", examples=[25])]
Percentage = Annotated[
    float, Meta(gt=0, le=100, description="a percentage up to 100", examples=[99.9])
]
Approvals = Annotated[int, Meta(ge=0, le=20, description="a whole number", examples=[1])]
Gap = Annotated[float, Meta(gt=0, le=1, description="a gap above 0, at most 1", examples=[0.1])]


StageText = Annotated[str, _form(_stage)]


class Where(StrEnum):
    """Where a model answers."""

    HTTP = "http"
    BATCH = "batch"
    STREAM = "stream"


class Risk(StrEnum):
    """The risk class of a use under the EU AI Act; `undecided` until somebody decides."""

    HIGH = "high"
    LIMITED = "limited"
    MINIMAL = "minimal"
    UNDECIDED = "undecided"
    PROHIBITED = "prohibited"


class Do(StrEnum):
    """What a cause leads to: an action to recommend, or one of two words that recommend none.

    `propose` opens a decision without a recommendation; `notice` never pages.
    """

    RETRAIN = ActionKind.RETRAIN.value
    ROLLBACK = ActionKind.ROLLBACK.value
    HOLD = ActionKind.HOLD.value
    REVIEW = ActionKind.REVIEW.value
    FIX_DATA = ActionKind.FIX_DATA.value
    ACCEPT = ActionKind.ACCEPT.value
    RETIRE = ActionKind.RETIRE.value
    REDESIGN = ActionKind.REDESIGN.value
    PROPOSE = "propose"
    NOTICE = "notice"

    @property
    def action(self) -> ActionKind | None:
        """The action to recommend; None for `propose` and `notice`."""
        return None if self in {Do.PROPOSE, Do.NOTICE} else ActionKind(self.value)


class Unclear(StrEnum):
    """What a gate does with a check that cannot tell: refuse the version, or warn and go on."""

    FAIL = "fail"
    WARN = "warn"


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all terms: frozen and named by keyword."""


class ProjectTerms(Terms, frozen=True, kw_only=True):
    """The project that the contract belongs to."""

    name: Annotated[str, _form(_unless_empty(partial(checked_name, noun="project")))] = ""


class Team(Terms, frozen=True, kw_only=True):
    """Who a name reaches: a mail address (`mailto:...`) or a web hook (`https://...`)."""

    channel: Annotated[str, _form(_unless_empty(_channel))] = ""


CheckText = Annotated[str, _form(parse_check, examples=["unique(id)"])]


class DataTerms(Terms, frozen=True, kw_only=True):
    """One dataset: where it comes from, whose it is, why it is kept and what it may serve.

    `personal` maps a column to its kind of personal data, or to "none" said aloud.
    """

    source: str = ""
    owner: str = ""
    why: str = ""
    allowed: list[str] = []
    personal: dict[str, str] = {}
    subject: str = ""
    legal_basis: str = ""
    licence: str = ""
    retention: MaybeDuration = ""
    checks: list[CheckText] = []

    def parsed_checks(self) -> list[Check]:
        """Return the checks as typed values, in the order they are written."""
        return [parse_check(check) for check in self.checks]


class Target(Terms, frozen=True, kw_only=True):
    """What the model predicts: a column, and for two classes its positive value and cut."""

    column: str = ""
    positive: bool | int | float | str | None = None
    threshold: Share = 0.5


class Sla(Terms, frozen=True, kw_only=True):
    """What the model promises its users: latency, availability (%), age, delay of outcomes."""

    p99_ms: Positive | None = None
    availability: Percentage | None = None
    max_age: MaybeDuration = ""
    outcomes_within: MaybeDuration = ""


class LogTerms(Terms, frozen=True, kw_only=True):
    """What the prediction log keeps: the sampled share of requests, and the columns masked."""

    sample: Share = 1.0
    mask: list[str] = []


class QualityGate(Terms, frozen=True, kw_only=True):
    """Non-inferiority: not worse than production by more than `margin`, in the metric's unit.

    Attributes:
        metric: "auto" takes roc_auc for two classes, log_loss for more, rmse for numbers.
        margin: how much worse a version may be and still pass.
        slices: columns whose groups are judged one by one as well.
        baseline: what a version is compared with while production is empty.
    """

    metric: str = "auto"
    margin: Tolerance = 0.005
    slices: list[str] = []
    baseline: str = "prior"


class BiasGate(Terms, frozen=True, kw_only=True):
    """The largest gap of each measure that a group may have against the rest; None: not judged.

    Attributes:
        groups: columns that define the groups.
        equal_opportunity: gap of the true positive rate.
        equalized_odds: the larger of the gaps of true and false positive rate.
        demographic_parity: gap of the selection rate.
        calibration: gap of the expected calibration error.
    """

    groups: list[str] = []
    equal_opportunity: Gap | None = None
    equalized_odds: Gap | None = None
    demographic_parity: Gap | None = None
    calibration: Gap | None = None

    def limits(self) -> dict[str, float]:
        """Return the measures that are judged, with their limits."""
        every = {
            "equal_opportunity": self.equal_opportunity,
            "equalized_odds": self.equalized_odds,
            "demographic_parity": self.demographic_parity,
            "calibration": self.calibration,
        }
        return {measure: limit for measure, limit in every.items() if limit is not None}


class SpeedGate(Terms, frozen=True, kw_only=True):
    """How much slower than production a version may answer: the ratio of median latencies."""

    p50_ratio: Positive = 1.1


class GateTerms(Terms, frozen=True, kw_only=True):
    """The tests a version must pass; `bias` is judged once its groups are named."""

    quality: QualityGate = QualityGate()
    bias: BiasGate | None = None
    speed: SpeedGate = SpeedGate()
    on_unclear: Unclear = Unclear.FAIL


class Guard(Terms, frozen=True, kw_only=True):
    """What ends a release at once: the share of errors, the latency (default: that of the SLA)."""

    error_rate: Share = 0.01
    p99_ms: Positive | None = None


PhaseText = Annotated[str, _form(parse_phase, examples=["shadow 1h"])]
Road = Annotated[list[PhaseText], Meta(extra={"form": parse_road})]


class ReleaseTerms(Terms, frozen=True, kw_only=True):
    """The road of a version to its users."""

    phases: Road = msgspec.field(default_factory=lambda: ["shadow 1h", "full"])
    guard: Guard = Guard()

    def parsed_phases(self) -> list[Phase]:
        """Return the phases as typed values, in order; the last is `full`."""
        return parse_road(self.phases)


class MonitorTerms(Terms, frozen=True, kw_only=True):
    """How live traffic is watched: the window, and the alert budget all thresholds come from."""

    window: Duration = "1 day"
    false_alarms_per_year: Positive = 4.0


class ActionTerms(Terms, frozen=True, kw_only=True):
    """What one cause leads to, who decides, by when, and what happens if nobody does."""

    do: Do
    decide: str
    within: Duration
    default: ActionKind | None = None


APPROVAL_DEFAULTS: dict[str, int] = {Stage.PRODUCTION.value: 1}
"""How many approvals a stage asks for when the contract says nothing of it."""

ACTION_DEFAULTS: dict[Cause, ActionTerms] = {
    Cause.DATA_QUALITY: ActionTerms(do=Do.HOLD, decide="", within="4h"),
    Cause.PERFORMANCE: ActionTerms(
        do=Do.RETRAIN, decide="", within="1 day", default=ActionKind.ROLLBACK
    ),
    Cause.BIAS: ActionTerms(do=Do.REVIEW, decide="", within="1 day"),
    Cause.SERVICE: ActionTerms(do=Do.ROLLBACK, decide="", within="1h", default=ActionKind.ROLLBACK),
    Cause.OUTCOMES: ActionTerms(do=Do.FIX_DATA, decide="", within="2 days"),
    Cause.AGE: ActionTerms(do=Do.PROPOSE, decide="", within="7 days"),
    Cause.DRIFT: ActionTerms(do=Do.NOTICE, decide="", within="7 days"),
}
"""The action of each cause when the contract says nothing; the model's owner decides."""


class ModelTerms(Terms, frozen=True, kw_only=True):
    """One model: what it is for, whose it is, where it runs and what it must hold.

    In a parsed contract `actions` holds every cause and `approvals` the production stage: what
    was not said is filled from `ACTION_DEFAULTS`, decided by the owner, and `APPROVAL_DEFAULTS`.
    An action whose `do` is said has no default answer unless that is said as well.
    """

    purpose: str = ""
    owner: str = ""
    deputy: str = ""
    users: list[str] = []
    where: Where | None = None
    risk: Risk = Risk.UNDECIDED
    target: Target = Target()
    entity: list[str] = []
    features: list[str] = []
    segments: list[str] = []
    sla: Sla = Sla()
    fallback: float | str | None = None
    log: LogTerms = LogTerms()
    approvals: dict[StageText, Approvals] = {}
    gates: GateTerms = GateTerms()
    release: ReleaseTerms = ReleaseTerms()
    monitor: MonitorTerms = MonitorTerms()
    actions: dict[Cause, ActionTerms] = {}


class Contract(Terms, frozen=True, kw_only=True):
    """The whole of `thrive.toml`."""

    contract: int = CONTRACT_FORMAT
    project: ProjectTerms = ProjectTerms()
    team: dict[Annotated[str, _names("team")], Team] = {}
    data: dict[Annotated[str, _names("dataset")], DataTerms] = {}
    model: dict[Annotated[str, _names("model")], ModelTerms] = {}
