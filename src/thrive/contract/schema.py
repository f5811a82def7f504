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
from thrive.contract.fallback import parse_rule
from thrive.contract.phases import parse_phase, parse_road
from thrive.contract.windows import parse_window
from thrive.domain.clock import DAY, parse_duration, parse_rate
from thrive.domain.dataset import PERSON
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


def _page(text: str) -> str:
    if not re.fullmatch(r"https?://[^\s<>\"']+", text):
        raise UsageError(f"{text!r} is no page.", 'write "https://wiki.example.org/late-flights"')
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

FallbackText = Annotated[str, _form(parse_rule, examples=["0.9 if dep_delay >= 15"])]
"""Text such as `0.9 if dep_delay >= 15`; kept as written, read by `fallback.parse_rule`."""

MaybeDuration = Annotated[str, _form(_unless_empty(_lasting), examples=["90 days"])]
"""A duration, or "" for not said."""

Rate = Annotated[str, _form(parse_rate, examples=["2 a week"])]
"""Text such as `2 a week`; kept as written, judged by `thrive.domain.clock.parse_rate`."""

WindowText = Annotated[str, _form(parse_window, examples=["1 day"])]
"""Text such as `1 day` or `1000 rows`; kept as written, read by `windows.parse_window`."""

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
    """The project that the contract belongs to.

    Attributes:
        name: lower-case letters, digits and . _ - ; the folder's name if not said.
    """

    name: Annotated[str, _form(_unless_empty(partial(checked_name, noun="project")))] = ""


class Team(Terms, frozen=True, kw_only=True):
    """Who a name reaches.

    Attributes:
        channel: `mailto:...`, `https://...` (a web hook of Slack, Teams or your own) or
            `apprise:NAME`, an address among the machine's settings; for trials `file:...`.
    """

    channel: Annotated[str, _form(_unless_empty(_channel))] = ""


CheckText = Annotated[str, _form(parse_check, examples=["unique(id)"])]


_NO_BASIS = ("none", "no personal data", "not needed", "not applicable", "n/a")


class DataTerms(Terms, frozen=True, kw_only=True):
    """One dataset: where it comes from, whose it is, why it is kept and what it may serve.

    Attributes:
        source: a file, a folder, a glob, an object-store URL, a table or a query; a dataset that
            steps make has none, its owner and why are enough.
        owner: the team that answers for the data, and is told when it is faulty.
        why: what it holds and what it is kept for.
        allowed: the purposes it may serve; empty for all.
        personal: column = its kind of personal data, or "none" said aloud.
        subject: the column that names a person, if any; personal without being said in `personal`.
        legal_basis: why the personal data may be processed; "none needed: ..." if there is none.
        licence: under which terms it came.
        retention: how long it may be kept.
        regions: of the object stores that may hold it; empty for all. A folder is on its machine.
        refresh: how often its source is read again; only by hand if not said.
        checks: what must hold of a version before it may be trained on.
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
    regions: list[str] = []
    refresh: MaybeDuration = ""
    checks: list[CheckText] = []

    @property
    def personal_kinds(self) -> dict[str, str]:
        """What is said of columns: `personal`, and that the subject column names people."""
        named = {self.subject: PERSON} if self.subject else {}
        return named | self.personal

    @property
    def has_basis(self) -> bool:
        """Whether the legal basis is one; what denies that there is personal data is none."""
        words = self.legal_basis.strip().casefold()
        return bool(words) and not words.startswith(_NO_BASIS)

    def parsed_checks(self) -> list[Check]:
        """Return the checks as typed values, in the order they are written."""
        return [parse_check(check) for check in self.checks]

    def kept_until(self, since: int) -> int | None:
        """Return until when data that came at `since` may be kept, None while nothing is said.

        Args:
            since: UTC microseconds.
        """
        return since + parse_duration(self.retention) if self.retention else None


class Target(Terms, frozen=True, kw_only=True):
    """What the model predicts.

    Attributes:
        column: the column of the truth.
        positive: for two classes, the value that counts as yes.
        threshold: the score from which the decision is yes.
    """

    column: str = ""
    positive: bool | int | float | str | None = None
    threshold: Share = 0.5


class Sla(Terms, frozen=True, kw_only=True):
    """What the model promises its users.

    Attributes:
        p99_ms: the latency that 99% of the answers keep, in ms.
        availability: the share of requests that are answered, in percent.
        max_age: how old the version in production may become.
        outcomes_within: how long after a prediction its outcome is known.
    """

    p99_ms: Positive | None = None
    availability: Percentage | None = None
    max_age: MaybeDuration = ""
    outcomes_within: MaybeDuration = ""


class Odd(StrEnum):
    """What becomes of a request with an odd value: the model answers, or it is refused."""

    ANSWER = "answer"
    REFUSE = "refuse"


class InputTerms(Terms, frozen=True, kw_only=True):
    """What becomes of a request about a restricted person, or with values that are odd.

    Odd are values that no row had which `register` was given.

    Attributes:
        unseen: of a category among text values that no row had.
        outside: of a number below or above those of all rows.
        missing: of a missing value, where the model has an answer to it; elsewhere it is refused.
        restricted: of a row about a person who is left out (`thrive restrictions place`).
    """

    unseen: Odd = Odd.ANSWER
    outside: Odd = Odd.ANSWER
    missing: Odd = Odd.ANSWER
    restricted: Odd = Odd.REFUSE

    @property
    def refused(self) -> list[str]:
        """The kinds of values that are refused."""
        said = {"unseen": self.unseen, "outside": self.outside, "missing": self.missing}
        return [name for name, odd in said.items() if odd is Odd.REFUSE]


LEAST_LOG = 183 * DAY
"""AI Act art. 19, 26(6): the logs of high risk are kept for at least six months."""


class LogTerms(Terms, frozen=True, kw_only=True):
    """What the prediction log keeps.

    Attributes:
        sample: the share of requests that are logged.
        mask: fields whose values are not logged.
        retention: how long answers are kept, with their outcomes; until the project ends if not
            said. Of high risk, and while nobody decided the risk, 183 days at least.
    """

    sample: Share = 1.0
    mask: list[str] = []
    retention: MaybeDuration = ""


class QualityGate(Terms, frozen=True, kw_only=True):
    """Non-inferiority: not worse than production by more than `margin`, in the metric's unit.

    Attributes:
        metric: "auto" takes roc_auc for two classes, log_loss for more, rmse for numbers.
        margin: how much worse a version may be and still pass.
        slices: columns whose groups are judged one by one as well.
        baseline: what a version is compared with while production is empty: `prior`, the share
            (or mean) of the labels, or a column of the evaluation table: the answers of what
            decides today, a rule for example.
        query: for rankings (metric "ndcg"), the column that says which rows are ranked together.
    """

    metric: str = "auto"
    margin: Tolerance = 0.005
    slices: list[str] = []
    baseline: str = "prior"
    query: str = ""


class BiasGate(Terms, frozen=True, kw_only=True):
    """The largest gap of each measure that a group may have against the rest; None: not judged.

    Attributes:
        groups: columns that define the groups.
        equal_opportunity: gap of the true positive rate.
        equalized_odds: the larger of the gaps of true and false positive rate.
        demographic_parity: gap of the selection rate.
        selection_ratio: the least ratio of selection rates, 0.8 for the four-fifths rule.
        predictive_parity: gap of the precision.
        accuracy: gap of the share of right answers; of many classes as well.
        auc: gap of the area under the ROC curve.
        calibration: gap of the mean of outcome minus score.
        mean_error: for numbers, gap of the mean of answer minus outcome, in the target's unit.
        mean_absolute_error: for numbers, gap of the mean absolute error, in the target's unit.
        change: by how much the share of right decisions of a group may fall against production.
        source: a dataset with the group columns, joined when a gate is run and never before; its
            `allowed` must say "bias-check".
        key: the columns that the join is by; the model's entity if not given.
    """

    groups: list[str] = []
    equal_opportunity: Gap | None = None
    equalized_odds: Gap | None = None
    demographic_parity: Gap | None = None
    selection_ratio: Gap | None = None
    predictive_parity: Gap | None = None
    accuracy: Gap | None = None
    auc: Gap | None = None
    calibration: Gap | None = None
    mean_error: Positive | None = None
    mean_absolute_error: Positive | None = None
    change: Gap | None = None
    source: str = ""
    key: list[str] = []

    def limits(self) -> dict[str, float]:
        """Return the measures that are judged, with their limits."""
        every = {
            "equal_opportunity": self.equal_opportunity,
            "equalized_odds": self.equalized_odds,
            "demographic_parity": self.demographic_parity,
            "selection_ratio": self.selection_ratio,
            "predictive_parity": self.predictive_parity,
            "accuracy": self.accuracy,
            "auc": self.auc,
            "calibration": self.calibration,
            "mean_error": self.mean_error,
            "mean_absolute_error": self.mean_absolute_error,
            "change": self.change,
        }
        return {measure: limit for measure, limit in every.items() if limit is not None}


class SpeedGate(Terms, frozen=True, kw_only=True):
    """How much slower than production a version may answer.

    Attributes:
        p50_ratio: the highest ratio of the median latencies.
    """

    p50_ratio: Positive = 1.1


class GateTerms(Terms, frozen=True, kw_only=True):
    """The tests a version must pass.

    Attributes:
        quality: not worse than production.
        bias: judged once its groups are named.
        speed: not slower than production.
        on_unclear: whether a check that cannot tell refuses the version.
    """

    quality: QualityGate = QualityGate()
    bias: BiasGate | None = None
    speed: SpeedGate = SpeedGate()
    on_unclear: Unclear = Unclear.FAIL


class Guard(Terms, frozen=True, kw_only=True):
    """What ends a release at once.

    Attributes:
        error_rate: the highest share of failed answers; NaN is always one.
        p99_ms: the highest 99% latency in ms; that of the SLA if not said.
        disagreement: the highest share of rows that are decided otherwise than by production, where
            both answer them; not guarded if not said.
        margin: by how much more failed or late answers than production's there may be, at the
            worst, before a canary ends, or a shadow that `full` follows.
    """

    error_rate: Share = 0.01
    p99_ms: Positive | None = None
    disagreement: Gap | None = None
    margin: Gap = 0.02


PhaseText = Annotated[str, _form(parse_phase, examples=["shadow 1h"])]
Road = Annotated[list[PhaseText], Meta(extra={"form": parse_road})]


class ReleaseTerms(Terms, frozen=True, kw_only=True):
    """The road of a version to its users.

    Attributes:
        phases: in order, e.g. `shadow 1h`, `canary 5% 2h`, `ab 50% 1d`; the last is `full`.
        guard: what ends the release at once.
        override: whether a request may name the version that answers it (header `X-Variant`).
    """

    phases: Road = msgspec.field(default_factory=lambda: ["shadow 1h", "full"])
    guard: Guard = Guard()
    override: bool = False

    def parsed_phases(self) -> list[Phase]:
        """Return the phases as typed values, in order; the last is `full`."""
        return parse_road(self.phases)


class MonitorTerms(Terms, frozen=True, kw_only=True):
    """How live traffic is watched.

    Attributes:
        window: the stretch of traffic that is judged at a time: a time, e.g. `1 day`, or a number
            of answered rows, e.g. `1000 rows` or `1000 rows within 2 days`; without `within` such
            a window ends after 7 days at the latest.
        false_alarms_per_year: the alert budget that all thresholds are derived from.
        retrainings: how often alerts may have the model trained again; more is refused.
    """

    window: WindowText = "1 day"
    false_alarms_per_year: Positive = 4.0
    retrainings: Rate = "2 a week"


class ActionTerms(Terms, frozen=True, kw_only=True):
    """What one cause leads to, who decides, by when, and what happens if nobody does.

    Attributes:
        do: the action to recommend, or `propose`, or `notice`.
        decide: the team that decides; for every cause the model's owner if not said.
        within: until when.
        default: what is done when nobody decides in time; nothing if not said.
        runbook: the page that says what to do; its alerts link to it.
    """

    do: Do
    decide: str
    within: Duration
    default: ActionKind | None = None
    runbook: Annotated[str, _form(_unless_empty(_page))] = ""


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

    Attributes:
        purpose: whom it tells what, when, so that they can do what; 40 characters or more.
        owner: the team that answers for the model, and gets its alerts.
        deputy: the team that is asked when the owner does not answer.
        users: who or what reads the answers.
        where: how it is asked.
        risk: the class of this use under the EU AI Act.
        target: what it predicts.
        entity: the fields that name what is predicted; sent with a request, no inputs.
        features: feature views it takes.
        inputs: what becomes of odd values in a request.
        segments: columns whose groups are watched one by one.
        sla: what it promises.
        fallback: the answer when no version can give one.
        fallback_rules: answers for some rows before that; the first that fits.
        log: what the prediction log keeps.
        approvals: how many people consent to a stage, e.g. { production = 1 }.
        approvers: whose consent counts, by the names of the audit chain; anybody's who may give
            one if nobody is named.
        business_owner: who answers for its use; of high risk, on a server, one of the two
            people who consent.
        gates: the tests a version must pass.
        release: its road to users.
        monitor: how live traffic is watched.
        actions: cause = what it leads to.
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
    inputs: InputTerms = InputTerms()
    segments: list[str] = []
    sla: Sla = Sla()
    fallback: float | str | None = None
    fallback_rules: list[FallbackText] = []
    log: LogTerms = LogTerms()
    approvals: dict[StageText, Approvals] = {}
    approvers: list[str] = []
    business_owner: str = ""
    gates: GateTerms = GateTerms()
    release: ReleaseTerms = ReleaseTerms()
    monitor: MonitorTerms = MonitorTerms()
    actions: dict[Cause, ActionTerms] = {}

    @property
    def log_kept_for(self) -> int | None:
        """How long answers are kept, microseconds; None while nothing ends it."""
        if not self.log.retention:
            return None
        kept = parse_duration(self.log.retention)
        return max(kept, LEAST_LOG) if self.risk in {Risk.HIGH, Risk.UNDECIDED} else kept


class Contract(Terms, frozen=True, kw_only=True):
    """The whole of `thrive.toml`.

    Attributes:
        contract: the number of this format.
        project: the project.
        team: who is reached, by name.
        data: datasets, by name.
        model: models, by name.
    """

    contract: int = CONTRACT_FORMAT
    project: ProjectTerms = ProjectTerms()
    team: dict[Annotated[str, _names("team")], Team] = {}
    data: dict[Annotated[str, _names("dataset")], DataTerms] = {}
    model: dict[Annotated[str, _names("model")], ModelTerms] = {}
