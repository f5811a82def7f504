"""One of every noun, for tests of what keeps them."""

import itertools
import time
from typing import Any

import msgspec
from blake3 import blake3

from thrive.domain.actor import Role, Token
from thrive.domain.dataset import Column, Dataset, DatasetVersion
from thrive.domain.features import FeatureColumn, FeatureView, Materialization, ViewDefinition
from thrive.domain.gate import Answer, Approval, CheckResult, Verdict
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
from thrive.domain.prediction import Outcome, SealedLog
from thrive.domain.project import Job, JobState, StoredContract, TeamContact
from thrive.domain.release import (
    Phase,
    PhaseKind,
    Release,
    ReleaseState,
    RoutingTable,
    ServingHost,
    Variant,
)
from thrive.domain.run import Artifact, CodeRecord, MetricPoint, Run, RunState, StepRecord, Use
from thrive.operations import Context
from thrive.store import (
    datasets,
    features,
    gates,
    jobs,
    models,
    monitoring,
    predictions,
    projects,
    releases,
    runs,
    tokens,
)
from thrive.store.observations import append_points

_numbers = itertools.count(1)


def next_id() -> str:
    """Return an id that is greater than all before it."""
    return f"{time.time_ns() << 40 | next(_numbers):032x}"


def digest_of(text: str) -> str:
    return blake3(text.encode()).hexdigest()


def run(**changes: Any) -> Run:
    made = Run(
        run_id=next_id(),
        experiment="late",
        name="train",
        state=RunState.RUNNING,
        actor="ada",
        started_at=1,
        params={"rate": 0.05, "big": 1e22, "small": 5e-324, "deep": {"ä": [1, None, True]}},
        metrics={"auc": 0.1 + 0.2, "none": None},
        tags={"Kind": "é"},
        code=CodeRecord(entry="train.py", commit="abc"),
    )
    return msgspec.structs.replace(made, **changes)


def step(run_id: str, **changes: Any) -> StepRecord:
    made = StepRecord(
        run_id=run_id, position=1, name="fit", state=RunState.RUNNING, started_at=1, seed=2**63 - 1
    )
    return msgspec.structs.replace(made, **changes)


def artifact(run_id: str, **changes: Any) -> Artifact:
    made = Artifact(
        run_id=run_id,
        name="plot",
        kind="arrow",
        digest=digest_of("plot"),
        size=2**40,
        created_at=-(2**63),
    )
    return msgspec.structs.replace(made, **changes)


def dataset(**changes: Any) -> Dataset:
    made = Dataset(name="flights", owner="data", why="to learn", created_at=1)
    return msgspec.structs.replace(made, **changes)


def dataset_version(**changes: Any) -> DatasetVersion:
    made = DatasetVersion(
        dataset="flights",
        version=1,
        digest=digest_of("flights"),
        source="data/*.parquet",
        file_count=1,
        rows=10,
        size=3,
        columns=[Column(name="origin", dtype="String")],
        created_at=1,
        actor="ada",
        profile={"origin": {"nulls": 0}},
    )
    return msgspec.structs.replace(made, **changes)


def model(**changes: Any) -> Model:
    made = Model(name="delay", owner="ml", purpose="warn", created_at=1)
    return msgspec.structs.replace(made, **changes)


def model_version(**changes: Any) -> ModelVersion:
    made = ModelVersion(
        model="delay",
        version=1,
        package=digest_of("package"),
        signature={"inputs": [{"name": "origin"}]},
        metrics={"auc": 0.8},
        run_id=next_id(),
        contract=digest_of("contract"),
        commit="abc",
        dirty=False,
        created_at=1,
        actor="ada",
        evaluation=digest_of("evaluation"),
        reference=digest_of("reference"),
    )
    return msgspec.structs.replace(made, **changes)


def verdict(**changes: Any) -> Verdict:
    made = Verdict(
        verdict_id=next_id(),
        model="delay",
        version=1,
        against=None,
        baseline="majority",
        answer=Answer.PASS,
        results=[CheckResult(check="quality", group="", answer=Answer.PASS, summary="good")],
        candidate=digest_of("package"),
        production="",
        test_data=digest_of("evaluation"),
        contract=digest_of("contract"),
        record=digest_of("record"),
        created_at=1,
        actor="ada",
    )
    return msgspec.structs.replace(made, **changes)


def approval(**changes: Any) -> Approval:
    made = Approval(
        approval_id=next_id(),
        model="delay",
        version=1,
        step="production",
        actor="grace",
        reason="seen",
        given_at=1,
    )
    return msgspec.structs.replace(made, **changes)


def release(**changes: Any) -> Release:
    made = Release(
        release_id=next_id(),
        model="delay",
        candidate=1,
        production=None,
        phases=[Phase(kind=PhaseKind.FULL, share=1.0, bake=0)],
        position=0,
        state=ReleaseState.RUNNING,
        phase_started_at=1,
        started_at=1,
        actor="ada",
        verdict=next_id(),
        contract=digest_of("contract"),
    )
    return msgspec.structs.replace(made, **changes)


def routing(**changes: Any) -> RoutingTable:
    made = RoutingTable(
        model="delay",
        revision=1,
        variants=[Variant(version=1, package=digest_of("package"), share=1.0)],
        fallback=0.2,
        salt="s",
        at=1,
        reason="first",
        actor="ada",
    )
    return msgspec.structs.replace(made, **changes)


def host(**changes: Any) -> ServingHost:
    made = ServingHost(agent_id=digest_of("h")[:32], host="h1", url="", revision=1, seen_at=1)
    return msgspec.structs.replace(made, **changes)


def sealed(**changes: Any) -> SealedLog:
    made = SealedLog(
        worker=0,
        segment=0,
        from_offset=64,
        to_offset=128,
        digest=digest_of("sealed"),
        rows=1,
        min_time=10,
        max_time=20,
        host="h1",
        sealed_at=30,
    )
    return msgspec.structs.replace(made, **changes)


def outcome(**changes: Any) -> Outcome:
    made = Outcome(prediction_id=next_id(), value=1.0, observed_at=5, recorded_at=6)
    return msgspec.structs.replace(made, **changes)


def window(**changes: Any) -> Window:
    made = Window(
        model="delay",
        version=1,
        start=0,
        end=10,
        revision=0,
        rows=5,
        outcomes=2,
        findings={"psi": 0.1},
        sketches=digest_of("sketches"),
        closed_at=11,
    )
    return msgspec.structs.replace(made, **changes)


def alert(**changes: Any) -> Alert:
    made = Alert(
        alert_id=next_id(),
        model="delay",
        version=1,
        cause=Cause.PERFORMANCE,
        level=Level.ALERT,
        state=AlertState.OPEN,
        title="auc fell",
        owner="ml",
        deputy="data",
        opened_at=1,
        deadline=2,
        evidence={"auc": 0.5},
        proposed=["retrain"],
        recommended="retrain",
    )
    return msgspec.structs.replace(made, **changes)


def decision(alert_id: str, **changes: Any) -> Decision:
    made = Decision(
        decision_id=next_id(),
        alert_id=alert_id,
        action=ActionKind.RETRAIN,
        actor="ada",
        reason="older data",
        decided_at=3,
        state="running",
    )
    return msgspec.structs.replace(made, **changes)


def job(**changes: Any) -> Job:
    made = Job(
        job_id=next_id(),
        operation="gates run",
        arguments={"model": "delay"},
        state=JobState.WAITING,
        actor="ada",
        run_at=0,
        created_at=0,
    )
    return msgspec.structs.replace(made, **changes)


def token(project_id: str, **changes: Any) -> Token:
    made = Token(
        project_id=project_id,
        token_id=next_id(),
        name="ci",
        roles=[Role.PLATFORM],
        digest=digest_of("secret"),
        created_at=1,
    )
    return msgspec.structs.replace(made, **changes)


def contract() -> StoredContract:
    return StoredContract(digest=digest_of("contract"), text="contract = 1", commit="", stored_at=1)


def contact() -> TeamContact:
    return TeamContact(team="ml", channel="mailto:ml@example.org", arrived_at=1)


BLOBS = ("plot", "flights", "a", "package", "evaluation", "reference", "record", "sealed")
"""The texts whose blobs `fill` refers to."""


def feature_view(**changes: Any) -> FeatureView:
    columns = [FeatureColumn(name="temp", dtype="Float64")]
    definition = ViewDefinition(
        name="weather",
        entity=["origin"],
        event_time="at",
        recorded_time="",
        sources=["weather"],
        ttl=6,
        delay=1,
        freshness=2,
        owner="data-platform",
        why="the sky",
        code="def weather(rows): ...",
        digest=digest_of("code"),
    )
    made = FeatureView(
        name="weather",
        version=1,
        digest=digest_of("weather"),
        definition=definition,
        keys=[FeatureColumn(name="origin", dtype="String")],
        columns=columns,
        created_at=1,
        actor="ada",
    )
    return msgspec.structs.replace(made, **changes)


def materialization(**changes: Any) -> Materialization:
    made = Materialization(
        view="weather",
        digest=digest_of("weather"),
        sources={"weather": digest_of("rows")},
        until=9,
        complete=True,
        rows=3,
        changed=2,
        newest=7,
        at=9,
    )
    return msgspec.structs.replace(made, **changes)


def fill(ctx: Context) -> None:
    """Write one of everything, with the blobs it refers to, as the rooms above would."""
    project_id = ctx.project_id
    for text in (*BLOBS, "sketches"):
        ctx.home.blobs.put(text.encode())
    one_run, one_alert = run(), alert()
    with ctx.write("model:delay", auc=0.8, odd=float("nan"), big=1e22) as tx:
        projects.store_contract(tx, project_id, contract())
        projects.add_contact(tx, project_id, contact())
        datasets.save(tx, project_id, dataset())
        datasets.insert_version(tx, project_id, dataset_version(), {digest_of("a")})
        features.save_view(tx, project_id, feature_view())
        features.save_materialization(tx, project_id, materialization())
        runs.save(tx, project_id, one_run)
        models.save(tx, project_id, model())
        models.insert_version(tx, project_id, model_version(run_id=one_run.run_id), [])
        gates.insert_verdict(tx, project_id, verdict())
        gates.insert_approval(tx, project_id, approval())
        releases.save(tx, project_id, release())
        releases.move_routing(tx, project_id, routing(), 0)
        monitoring.save_alert(tx, project_id, one_alert)
        monitoring.save_decision(tx, project_id, decision(one_alert.alert_id))
        tokens.add(tx, token(project_id))
    with ctx.observe(f"run:{one_run.run_id}") as tx:
        runs.save_step(tx, project_id, step(one_run.run_id))
        runs.save_artifact(tx, project_id, artifact(one_run.run_id))
        use = Use(kind="dataset", name="flights", digest=digest_of("flights"), direction="in")
        runs.add_use(tx, project_id, one_run.run_id, use)
        points = [MetricPoint(key="auc", value=0.5, step=n, at=n) for n in range(3)]
        append_points(tx, project_id, {one_run.run_id: points})
        releases.save_host(tx, project_id, host())
        predictions.insert_sealed(tx, project_id, sealed())
        predictions.insert_outcomes(tx, project_id, [outcome(), outcome(value="été")])
        monitoring.insert_window(tx, project_id, window())
        jobs.add(tx, project_id, job(dedupe_key="gates:delay"))
        jobs.take_lease(tx, project_id, "controller", "a", 1)
