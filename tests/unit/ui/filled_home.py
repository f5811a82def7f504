"""A home filled with realistic records through the repositories: what the pages are tried on."""

import math

import msgspec
import numpy as np
import polars as pl
from tests.unit.ui.filled_records import (
    DIGEST,
    EVIL,
    MODEL,
    NOW,
    START,
    add_data,
    add_governance,
    seen,
    small_png,
)

from thrive.contract.parse import parse
from thrive.domain.clock import DAY, HOUR, MINUTE, ClockMode, ClockState
from thrive.domain.gate import Answer, Approval, CheckResult, Verdict
from thrive.domain.identifiers import new_id
from thrive.domain.model import Model, ModelVersion
from thrive.domain.monitoring import (
    ActionKind,
    Alert,
    AlertState,
    Cause,
    Decision,
    Level,
    Window,
)
from thrive.domain.project import StoredContract, TeamContact
from thrive.domain.release import (
    Phase,
    PhaseKind,
    Release,
    ReleaseState,
    RoutingTable,
    Variant,
)
from thrive.domain.run import (
    Artifact,
    CodeRecord,
    MetricPoint,
    MetricSummary,
    Run,
    RunState,
    StepRecord,
    Use,
)
from thrive.monitoring.baseline import build
from thrive.monitoring.findings import Breach, Fault, Findings, Measured, Segment
from thrive.monitoring.findings import Column as Drifting
from thrive.monitoring.terms import TermsInForce
from thrive.operations import Context
from thrive.store import (
    changes,
    gates,
    models,
    monitoring,
    projects,
    releases,
    runs,
)
from thrive.store.observations import append_points
from thrive.tracking.recorder import LOG_ARTIFACT

"""The first window."""
OTHER, CANDIDATE = "gate-change", "taxi-time"

_TERMS = """
[model.{name}]
purpose = "tell the operations desk two hours ahead which departures need attention today."
owner = "{owner}"
deputy = "data-platform"
users = ["operations desk board"]
where = "http"
risk = "minimal"
target = {{ column = "late", positive = true, threshold = 0.5 }}
entity = ["flight_id"]
segments = ["origin", "carrier"]
sla = {{ p99_ms = 25, availability = 99.9, max_age = "90 days", outcomes_within = "1 day" }}
fallback = 0.2
[model.{name}.gates]
quality = {{ metric = "roc_auc", margin = 0.005 }}
bias = {{ groups = ["carrier"], equal_opportunity = 0.10 }}
"""
CONTRACT = """
contract = 1
[project]
name = "flights"
[team.data-platform]
channel = "mailto:data-platform@example.org"
[team.flights-ml]
channel = "mailto:flights-ml@example.org"
[team.ground-ops]
channel = "mailto:ground-ops@example.org"
[data.flights]
source = "data/flights"
owner = "data-platform"
why = "Past departures with their real arrival delay, to learn what makes a flight late."
allowed = ["delay-warning", "tell the operations desk"]
personal = { tailnum = "none" }
legal_basis = "none needed: no personal data"
licence = "CC0-1.0"
retention = "5 years"
""" + "".join(
    _TERMS.format(name=name, owner=owner)
    for name, owner in ((MODEL, "flights-ml"), (OTHER, "ground-ops"), (CANDIDATE, "ground-ops"))
)
FEATURES = ("dep_hour", "wind_speed", "visib", "carrier", "origin", "distance", "plane_age")
IMPORTANCE = dict(zip(FEATURES, (0.31, 0.22, 0.16, 0.12, 0.09, 0.06, 0.04), strict=True))


class FilledHome:
    """Three models: one in trouble on its second version, one well, one awaiting approval.

    Args:
        context: of an empty home.
    """

    def __init__(self, context: Context) -> None:
        self.context, self.project = context, context.project_id
        self.rng = np.random.default_rng(7)
        self.contract = parse(CONTRACT)
        self.baseline = self._baseline()
        with context.write("project:flights"):
            pass
        with context.home.write() as tx:
            projects.set_clock(tx, self.project, ClockState(mode=ClockMode.REPLAY, replay_now=NOW))
            stored = StoredContract(
                digest=self.contract.digest, text=CONTRACT, commit="c" * 40, stored_at=START
            )
            projects.store_contract(tx, self.project, stored)
            for team, terms in self.contract.contract.team.items():
                contact = TeamContact(team=team, channel=terms.channel, arrived_at=START)
                projects.add_contact(tx, self.project, contact)
        add_data(context)
        self.run_id = self._run()
        self.alert_id, self.notice_id = self._troubled()
        self.document, self.incident_id = add_governance(context)
        self.held = ""
        self.other_run_id = ""
        self._well()
        self._waiting()

    def _baseline(self) -> str:
        """Keep the baseline of 90 days of a reference whose scores say how likely "late" is."""
        rows = 90 * 150
        score = self.rng.beta(0.7, 1.4, rows)
        reference = pl.DataFrame(
            {
                "wind_speed": self.rng.normal(10, 4, rows),
                "_label": self.rng.random(rows) < score,
                "_score": score,
                "_time": START - 90 * DAY + np.arange(rows) * (90 * DAY // rows),
            }
        )
        whole = self.contract.contract
        terms = TermsInForce(contract=whole, model=whole.model[MODEL])
        made = build(reference, terms, {"wind_speed"})
        self.limits = {each.signal: each.value for each in made.limits}
        return self.context.home.blobs.put(msgspec.msgpack.encode(made))

    def _run(self, state: RunState = RunState.DONE) -> str:
        run_id = new_id()
        began = START - 5 * DAY
        blobs = self.context.home.blobs
        log = blobs.put(f"fitting...\nround 200\n{EVIL}\n".encode())
        run = Run(
            run_id=run_id,
            experiment="flight-delay",
            name="boosting, all weather",
            state=state,
            actor="ana",
            started_at=began,
            ended_at=began + 4 * MINUTE,
            pipeline="train",
            params={"learning_rate": 0.08, "max_iter": 300, "columns": ["a", "b"], EVIL: EVIL},
            metrics={"roc_auc": 0.7412, "log_loss": 0.4321, "broken": None},
            tags={"season": "spring"},
            summaries={"log_loss": MetricSummary(1199, began, 0.43, 0.73, 1200)},
            code=CodeRecord(
                entry="train.py", commit="c" * 40, branch="main", dirty=True,
                diff="-old\n+new <b>", bundle=DIGEST,
            ),
            environment={
                "python": "3.11.9", "platform": "Linux", "cpus": 8, "threads": {"OMP": 8},
                "libraries": ["numpy==2.1.0", "scikit-learn==1.6.0"],
            },
            seed=42,
            replay=True,
        )  # fmt: skip
        with self.context.observe("model:filled") as tx:
            runs.save(tx, self.project, run)
            at = began
            for position, (name, minutes) in enumerate(
                (("load", 0.4), ("features", 0.9), ("fit", 2.1), ("evaluate", 0.5))
            ):
                end = at + int(minutes * MINUTE)
                step = StepRecord(
                    run_id=run_id, position=position, name=name, state=RunState.DONE,
                    started_at=at, ended_at=end, outputs=[f"{name}.parquet"],
                )  # fmt: skip
                runs.save_step(tx, self.project, step)
                at = end
            points = [
                MetricPoint(key="log_loss", value=0.43 + 0.3 * math.exp(-i / 40), step=i, at=began)
                for i in range(1200)
            ]
            append_points(tx, self.project, {run_id: points})
            for use in (
                Use(kind="dataset", name="flights", digest="1a" * 32, direction="in", version=1),
                Use(kind="model", name=MODEL, digest=DIGEST, direction="out", version=1),
            ):
                runs.add_use(tx, self.project, run_id, use)
            runs.save_artifact(
                tx,
                self.project,
                Artifact(
                    run_id=run_id,
                    name=LOG_ARTIFACT,
                    kind="log",
                    digest=log,
                    size=24,
                    created_at=began,
                ),
            )
        self._picture(run_id, 90)
        return run_id

    def _picture(self, run_id: str, shade: int) -> None:
        """Keep a picture as an artifact of a run."""
        drawn = small_png(shade)
        made = Artifact(
            run_id=run_id, name="plots/calibration.png", kind="file",
            digest=self.context.home.blobs.put(drawn), size=len(drawn), created_at=START,
        )  # fmt: skip
        with self.context.observe("artifact:filled") as tx:
            runs.save_artifact(tx, self.project, made)

    def add_run(self, learning_rate: float = 0.03) -> str:
        """Add a run to compare with the first: another parameter, another curve, no lineage."""
        run_id = new_id()
        with self.context.observe("model:filled") as tx:
            first = runs.get(tx, self.project, self.run_id)
            runs.save(
                tx,
                self.project,
                msgspec.structs.replace(
                    first,
                    run_id=run_id,
                    name="boosting, slower",
                    params={**first.params, "learning_rate": learning_rate},
                    metrics={"roc_auc": 0.7301, "log_loss": 0.4400},
                ),
            )
            points = [
                MetricPoint(key="log_loss", value=0.44 + 0.3 * math.exp(-i / 90), step=i, at=START)
                for i in range(1200)
            ]
            append_points(tx, self.project, {run_id: points})
        self._picture(run_id, 180)
        return run_id

    def _version(self, name: str, number: int, at: int) -> ModelVersion:
        version = ModelVersion(
            model=name,
            version=number,
            package=f"{number}{number}" * 32,
            signature={"inputs": [{"name": each} for each in FEATURES]},
            metrics={"roc_auc": 0.73 + number / 100, "log_loss": 0.43},
            run_id=self.run_id,
            contract=self.contract.digest,
            commit="c" * 40,
            dirty=number == 1,
            created_at=at,
            actor="ana",
            training={"flights": "1a" * 32},
            importance=IMPORTANCE,
            note="newer weather" if number > 1 else "",
            replay=True,
        )
        with self.context.observe("model:filled") as tx:
            models.insert_version(tx, self.project, version, [])
        return version

    def _model(self, name: str, owner: str) -> None:
        purpose = self.contract.contract.model[name].purpose
        model = Model(name=name, owner=owner, purpose=purpose, created_at=START - 40 * DAY)
        with self.context.observe("model:filled") as tx:
            models.save(tx, self.project, model)

    def _verdict(self, name: str, number: int, at: int, answer: Answer, against: int | None) -> str:
        checks = [
            CheckResult(
                check="quality", group="all", answer=Answer.PASS,
                summary="roc_auc is 0.012 better than the rival [0.006, 0.018]",
                evidence={"metric": "roc_auc", "candidate": 0.7412, "rival": 0.7291, "rows": 23811},
            ),
            CheckResult(
                check="quality", group="carrier = HA", answer=Answer.CANNOT_TELL,
                summary="32 rows cannot show a loss below 0.09; 2,100 would",
                evidence={"rows": 32, "needed": 2100},
            ),
            CheckResult(
                check="bias", group="carrier", answer=answer,
                summary=f"largest gap of equal opportunity 0.07 {EVIL}",
                evidence={"gaps": [
                    {"group": "EV", "gap": 0.07, "rows": 4021},
                    {"group": EVIL, "gap": 0.02, "rows": 310},
                ]},
            ),
        ]  # fmt: skip
        verdict = Verdict(
            verdict_id=new_id(),
            model=name,
            version=number,
            against=against,
            baseline="prior",
            answer=answer,
            results=checks,
            candidate=f"{number}{number}" * 32,
            production="",
            test_data=DIGEST,
            contract=self.contract.digest,
            record="",
            created_at=at,
            actor="ci",
            replay=True,
        )
        with self.context.observe("model:filled") as tx:
            gates.insert_verdict(tx, self.project, verdict)
        return verdict.verdict_id

    def _approve(self, name: str, number: int, at: int) -> None:
        approval = Approval(
            approval_id=new_id(), model=name, version=number, step="production",
            actor="ben", reason="the gate passed; the evidence was read", given_at=at,
        )  # fmt: skip
        with self.context.observe("model:filled") as tx:
            gates.insert_approval(tx, self.project, approval)

    def _route(
        self, name: str, shares: list[tuple[int, float]], at: int, why: str, release: str | None
    ) -> None:
        with self.context.observe("model:filled") as tx:
            before = releases.current_routing(tx, self.project, name)
            revision = before.revision if before else 0
            table = RoutingTable(
                model=name,
                revision=revision + 1,
                variants=[
                    Variant(
                        version=number, package=f"{number}" * 64, share=share, shadow=share == 0.0
                    )
                    for number, share in shares
                ],
                fallback=0.2,
                salt="s",
                at=at,
                reason=why,
                actor="ben",
                release_id=release,
            )
            releases.move_routing(tx, self.project, table, revision)

    def _release(
        self, name: str, number: int, at: int, verdict: str, state: ReleaseState, position: int
    ) -> str:
        done = state in (ReleaseState.DONE, ReleaseState.ROLLED_BACK)
        release = Release(
            release_id=new_id(),
            model=name,
            candidate=number,
            production=number - 1 or None,
            phases=[
                Phase(kind=PhaseKind.SHADOW, share=0.0, bake=6 * HOUR),
                Phase(kind=PhaseKind.AB, share=0.5, bake=14 * DAY),
                Phase(kind=PhaseKind.FULL, share=1.0, bake=0),
            ],
            position=position,
            state=state,
            phase_started_at=at + 6 * HOUR,
            started_at=at,
            actor="ben",
            verdict=verdict,
            contract=self.contract.digest,
            evidence={
                "approvals": ["ana"],
                "history": [
                    {"at": at, "phase": "shadow", "state": "running", "words": "it starts"},
                    {"at": at + 6 * HOUR, "phase": "ab", "state": state, "words": EVIL},
                ],
                "seen": msgspec.to_builtins(seen()),
            },
            reason="" if done else "no outcome has come for two days",
            ended_at=at + 7 * HOUR if done else None,
            replay=True,
        )
        with self.context.observe("model:filled") as tx:
            releases.save(tx, self.project, release)
        return release.release_id

    def window(
        self, name: str, number: int, start: int, *, level: float, drift: float, due: bool = True
    ) -> Window:
        """Write one window; `level` is its accuracy, `drift` moves the weather columns."""
        made = self._window(name, number, start, level=level, drift=drift, due=due)
        self._keep([made])
        return made

    def _keep(self, windows: list[Window]) -> None:
        with self.context.observe("model:filled") as tx:
            for window in windows:
                monitoring.insert_window(tx, self.project, window)
                label = f"{window.model}@{window.version}/{window.start}/{window.revision}"
                changes.append(tx, self.project, "window", label)

    def _window(
        self, name: str, number: int, start: int, *, level: float, drift: float, due: bool
    ) -> Window:
        rows = int(self.rng.integers(880, 960))
        estimated = level + float(self.rng.normal(0, 0.008))
        realised = level - 0.004 + float(self.rng.normal(0, 0.012))
        columns = [
            Drifting(
                name=column,
                psi=abs(float(self.rng.normal(0.015, 0.01)))
                + (drift if column in ("wind_speed", "visib") else 0.0),
                p_value=1e-6 if column in ("wind_speed", "visib") and drift > 0.05 else 0.4,
                usual=0.06,
                missing=0.001,
                drifted=column in ("wind_speed", "visib") and drift > 0.05,
            )
            for column in FEATURES
        ]
        performance = {
            "estimated accuracy": Measured(value=estimated, error=0.011, rows=rows),
            "estimated roc_auc": Measured(value=None, error=None, rows=rows),
        }
        if due:
            performance["realised accuracy"] = Measured(value=realised, error=0.013, rows=rows - 20)
        breaches = (
            [Breach(signal="estimated accuracy", value=estimated, limit=0.774)]
            if estimated < 0.774
            else []
        )
        findings = Findings(
            variants={"production": rows + 1, "shadow": 40},
            errors=1,
            latency_us=(2100.0, 8400.0 + float(self.rng.normal(0, 400))),
            columns=columns,
            performance=performance,
            coverage=0.97 if due else 0.0,
            segments=[
                Segment(column="origin", value="EWR", rows=rows // 2, score=0.31, estimated=level,
                        realised=level - 0.01),
                Segment(column="carrier", value=EVIL, rows=40, score=0.2, estimated=None,
                        realised=None),
            ],
            quality=[Fault(column="visib", kind="missing", share=0.5, expected=0.001)]
            if level < 0.7
            else [],
            breaches=breaches,
            baseline=self.baseline,
        )  # fmt: skip
        return Window(
            model=name,
            version=number,
            start=start,
            end=start + DAY,
            revision=0,
            rows=rows,
            outcomes=rows - 20 if due else 0,
            findings=findings.to_json(),
            sketches="",
            closed_at=start + DAY,
            replay=True,
        )

    def _troubled(self) -> tuple[str, str]:
        self._model(MODEL, "flights-ml")
        self._version(MODEL, 1, START - 5 * DAY)
        verdict = self._verdict(MODEL, 1, START - 4 * DAY, Answer.PASS, None)
        self._approve(MODEL, 1, START - 4 * DAY)
        first = self._release(MODEL, 1, START - HOUR, verdict, ReleaseState.DONE, 2)
        self._route(MODEL, [(1, 1.0)], START, "released in full", first)
        change = START + 34 * DAY
        windows: list[Window] = []
        for number in range(59):
            start = START + number * DAY
            late = number >= 48
            level = 0.81 if number < 26 or 36 <= number < 48 else 0.782
            level = 0.752 if late else level
            drift = 0.22 if late else 0.03 * (number % 4 == 0)
            version = 1 if start < change else 2
            windows.append(
                self._window(MODEL, version, start, level=level, drift=drift, due=number < 58)
            )
        self._keep(windows)
        old = self._alert(
            Cause.PERFORMANCE, START + 29 * DAY, AlertState.CLOSED,
            "Estimated accuracy left what history explains",
        )  # fmt: skip
        self._decide(old, START + 30 * DAY, worked=True)
        self._version(MODEL, 2, START + 31 * DAY)
        verdict = self._verdict(MODEL, 2, START + 32 * DAY, Answer.PASS, 1)
        self.verdict_id = verdict
        self._approve(MODEL, 2, START + 32 * DAY)
        second = self._release(MODEL, 2, START + 33 * DAY, verdict, ReleaseState.DONE, 2)
        self._route(MODEL, [(1, 1.0), (2, 0.0)], START + 33 * DAY, "shadow", second)
        self._route(MODEL, [(2, 1.0)], change, "the A/B test showed no loss", second)
        alert = self._alert(
            Cause.PERFORMANCE, NOW - 10 * HOUR, AlertState.OPEN,
            f"Estimated accuracy is 0.752, below its limit 0.774 {EVIL}",
        )  # fmt: skip
        notice = self._alert(
            Cause.DRIFT, NOW - 3 * DAY, AlertState.OPEN, "2 of 7 columns drift since 7 days",
            Level.NOTICE,
        )  # fmt: skip
        return alert, notice

    def _alert(
        self, cause: Cause, at: int, state: AlertState, title: str, level: Level = Level.ALERT
    ) -> str:
        closed = state is AlertState.CLOSED
        alert = Alert(
            alert_id=new_id(),
            model=MODEL,
            version=2 if at > START + 34 * DAY else 1,
            cause=cause,
            level=level,
            state=state,
            title=title,
            owner="flights-ml",
            deputy="data-platform",
            opened_at=at,
            deadline=at + DAY,
            evidence={
                "numbers": {"signal": "estimated accuracy", "value": 0.752, "limit": 0.774,
                            "missing": None, "windows": 3},
                "advice": "27,400 labelled rows are new: a version trained on them may do well.",
                "drift": [
                    {"name": "wind_speed", "psi": 0.241, "importance": 0.22},
                    {"name": EVIL, "psi": 0.232, "importance": 0.16},
                ],
                "segments": [],
                "window": {"start": NOW // DAY * DAY - DAY, "end": NOW // DAY * DAY, "rows": 898},
            },
            proposed=["retrain", "rollback", "fix data", "accept"],
            recommended="retrain" if level is Level.ALERT else "",
            default_action="rollback" if level is Level.ALERT else None,
            first_bad=NOW // DAY * DAY - 3 * DAY,
            last_bad=NOW // DAY * DAY - DAY,
            closed_at=at + 3 * DAY if closed else None,
            closing="Three windows in a row were within the limit." if closed else "",
            replay=True,
        )  # fmt: skip
        with self.context.observe("model:filled") as tx:
            monitoring.save_alert(tx, self.project, alert)
        return alert.alert_id

    def _decide(self, alert_id: str, at: int, *, worked: bool) -> None:
        decision = Decision(
            decision_id=new_id(),
            alert_id=alert_id,
            action=ActionKind.RETRAIN,
            actor="ana",
            reason="the season has changed",
            decided_at=at,
            state="done",
            result={"run": self.run_id, "version": 2},
            worked=worked,
        )
        with self.context.observe("model:filled") as tx:
            monitoring.save_decision(tx, self.project, decision)

    def _well(self) -> None:
        self._model(OTHER, "ground-ops")
        self._version(OTHER, 1, START - 5 * DAY)
        verdict = self._verdict(OTHER, 1, START - 4 * DAY, Answer.PASS, None)
        self._approve(OTHER, 1, START - 4 * DAY)
        release = self._release(OTHER, 1, START - HOUR, verdict, ReleaseState.DONE, 2)
        self._route(OTHER, [(1, 1.0)], START, "released in full", release)
        self._keep(
            [
                self._window(OTHER, 1, START + number * DAY, level=0.86, drift=0.0, due=number < 58)
                for number in range(59)
            ]
        )

    def _waiting(self) -> None:
        self._model(CANDIDATE, "ground-ops")
        self._version(CANDIDATE, 1, NOW - 2 * DAY)
        self._verdict(CANDIDATE, 1, NOW - DAY, Answer.PASS, None)

    def end_releases(self, name: str) -> None:
        """Take every release of a model back."""
        with self.context.observe("release:ended") as tx:
            for each in releases.find(tx, self.project, name):
                over = msgspec.structs.replace(each, state=ReleaseState.ROLLED_BACK, ended_at=NOW)
                releases.save(tx, self.project, over)

    def hold_release(self) -> str:
        """Add a held release of the well model, and return its id."""
        self._version(OTHER, 2, NOW - 2 * DAY)
        return self._release(OTHER, 2, NOW - DAY, "", ReleaseState.HELD, 1)
