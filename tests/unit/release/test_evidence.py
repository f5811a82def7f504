"""Evidence from a real prediction log: counts, agreement, quality, and the road it leads to."""

import msgspec
import numpy as np
import pytest
from tests.serving_home import CONTRACT, MODEL, add_version, constant_package, live, make_home

from thrive.contract.parse import parse
from thrive.contract.phases import parse_road
from thrive.domain.actor import local_actor
from thrive.domain.clock import DAY, HOUR, ClockMode, ClockState
from thrive.domain.identifiers import new_id
from thrive.domain.prediction import Outcome
from thrive.domain.release import Release, ReleaseState, RoutingTable
from thrive.flows import promote
from thrive.operations import Context
from thrive.packaging.signature import Output, OutputKind
from thrive.release.evidence import collect
from thrive.release.quality import Word
from thrive.serving.records import KIND, Logged, encode
from thrive.serving.sealing import seal_logs
from thrive.store import predictions, projects, releases
from thrive.store.eventlog import SegmentWriter, row_ids

START = 1000 * DAY
TERMS = parse(CONTRACT).contract.model[MODEL]
OUTPUT = Output(kind=OutputKind.PROBABILITY, classes=(False, True), positive=True)


@pytest.fixture
def home(tmp_path):
    made = make_home(tmp_path)
    with made.write() as tx:
        clock = ClockState(mode=ClockMode.REPLAY, replay_now=START)
        projects.set_clock(tx, made.project_id, clock)
    yield made
    made.close()


def a_release(*phases):
    return Release(
        release_id=new_id(),
        model=MODEL,
        candidate=2,
        production=1,
        phases=parse_road(list(phases)),
        position=0,
        state=ReleaseState.RUNNING,
        phase_started_at=START,
        started_at=START,
        actor="grace",
        verdict="v",
        contract=parse(CONTRACT).digest,
    )


class Traffic:
    """Writes what a server would have logged: scores that separate classes by `skill`."""

    def __init__(self, home, seed=0):
        self.home = home
        self.rng = np.random.default_rng(seed)
        self.number = 0
        self.outcomes = []

    def send(self, writer, version, variant, rows, *, skill=1.0, at, error="", live_id="", us=900):
        truth = self.rng.random(rows) < 0.4
        noise = self.rng.normal(size=rows)
        scores = 1 / (1 + np.exp(-(skill * (truth * 2.0 - 1.0) + noise)))
        self.number += 1
        self.scores = scores
        record = writer.append(
            KIND,
            at,
            encode(
                Logged(
                    m=MODEL,
                    v=version,
                    a=variant,
                    t=at,
                    n=rows,
                    k={"flight_id": [f"f{self.number}-{n}" for n in range(rows)]},
                    y=[] if error else scores.tolist(),
                    d=[] if error else (scores >= 0.5).tolist(),
                    us=us,
                    e=error,
                    p=live_id,
                )
            ),
            rows,
        )
        if not live_id:
            self.outcomes += [
                Outcome(prediction_id=one, value=bool(value), observed_at=at, recorded_at=at)
                for one, value in zip(row_ids(record, rows), truth, strict=True)
            ]
        return record

    def repeat(self, writer, version, live_id, *, at, blur):
        """Log a shadow's answers to the last request: production's scores, a little blurred."""
        scores = np.clip(self.scores + self.rng.normal(scale=blur, size=len(self.scores)), 0, 1)
        logged = Logged(
            m=MODEL,
            v=version,
            a="shadow",
            t=at,
            n=len(scores),
            y=scores.tolist(),
            d=(scores >= 0.5).tolist(),
            p=live_id,
        )
        writer.append(KIND, at, encode(logged), len(scores))

    def settle(self):
        seal_logs(self.home, force=True)
        with self.home.write() as tx:
            predictions.insert_outcomes(tx, self.home.project_id, self.outcomes)


def test_counts_know_requests_rows_errors_and_runs(home):
    traffic = Traffic(home)
    with SegmentWriter(home.log_folder, 0) as writer:
        for n in range(10):
            traffic.send(writer, 1, "production", 3, at=START + n, us=30_000 if n < 2 else 900)
        for n in range(6):
            error = "timeout" if n in (1, 2, 4) else ""
            served = traffic.send(writer, 1, "production", 2, at=START + 20 + n) if error else ""
            traffic.send(writer, 2, "candidate", 2, at=START + 20 + n, error=error, live_id=served)
        traffic.send(writer, 2, "candidate", 2, at=START - 1)
        traffic.send(writer, 2, "candidate", 2, at=START + DAY)
    traffic.settle()
    found = collect(home, a_release("canary 10% 1h", "full"), START + HOUR, TERMS, OUTPUT)
    assert msgspec.structs.astuple(found.production) == (13, 0, 2, 36, 0, 0)
    assert msgspec.structs.astuple(found.candidate) == (6, 3, 0, 6, 2, 0)
    assert found.assigned == (10, 6)


def test_a_shadow_is_compared_on_the_same_rows(home):
    traffic = Traffic(home)
    with SegmentWriter(home.log_folder, 0) as writer:
        for n in range(60):
            record = traffic.send(writer, 1, "production", 5, at=START + n, skill=2.0)
            traffic.send(writer, 2, "shadow", 5, at=START + n, skill=0.0, live_id=record)
    traffic.settle()
    found = collect(home, a_release("shadow 1h", "full"), START + DAY + HOUR, TERMS, OUTPUT)
    assert found.assigned is None
    assert found.agreement.rows == 300
    assert found.agreement.other_decisions > 0.3
    assert found.quality.paired
    assert found.quality.word is Word.WORSE
    assert found.quality.rows_candidate == 300


@pytest.mark.parametrize(
    ("skill", "word"), [(1.5, Word.NOT_WORSE), (0.2, Word.WORSE), (1.0, Word.CANNOT_TELL)]
)
def test_an_ab_phase_is_judged_on_outcomes(home, skill, word):
    traffic = Traffic(home, seed=3)
    with SegmentWriter(home.log_folder, 0) as writer:
        for n in range(150):
            traffic.send(writer, 1, "production", 8, at=START + n)
            traffic.send(writer, 2, "candidate", 8, at=START + n, skill=skill)
    traffic.settle()
    release = a_release("ab 50% 1d", "full")
    assert collect(home, release, START + HOUR, TERMS, OUTPUT).groups is None
    quality = collect(home, release, START + 2 * DAY, TERMS, OUTPUT).groups
    assert quality.metric == "roc_auc"
    assert quality.word is word
    assert quality.rows_candidate == quality.rows_production == 1200
    assert quality.needed > 1200


def test_an_ab_phase_sees_on_the_same_rows_what_two_groups_cannot(home):
    traffic = Traffic(home)
    with SegmentWriter(home.log_folder, 0) as writer:
        for n in range(150):
            record = traffic.send(writer, 1, "production", 4, at=START + n)
            traffic.repeat(writer, 2, record, at=START + n, blur=0.01)
            traffic.send(writer, 2, "candidate", 4, at=START + n)
    traffic.settle()
    found = collect(home, a_release("ab 50% 1d", "full"), START + 2 * DAY, TERMS, OUTPUT)
    assert found.quality.paired
    assert found.quality.word is Word.NOT_WORSE
    assert found.quality.high - found.quality.low < (found.groups.high - found.groups.low) / 3
    assert found.quality.needed * 5 < found.groups.needed
    assert found.candidate.requests == 150
    assert found.agreement.rows == 600


@pytest.mark.parametrize("metric", ["log_loss", "accuracy", "f1", "brier"])
def test_every_metric_of_a_gate_can_be_compared(home, metric):
    gate = msgspec.structs.replace(TERMS.gates.quality, metric=metric)
    terms = msgspec.structs.replace(TERMS, gates=msgspec.structs.replace(TERMS.gates, quality=gate))
    traffic = Traffic(home)
    with SegmentWriter(home.log_folder, 0) as writer:
        for n in range(80):
            traffic.send(writer, 1, "production", 5, at=START + n)
            traffic.send(writer, 2, "candidate", 5, at=START + n, skill=3.0)
    traffic.settle()
    quality = collect(home, a_release("ab 50% 1d", "full"), START + 2 * DAY, terms, OUTPUT).groups
    assert quality.metric == metric
    assert quality.word is Word.NOT_WORSE
    assert quality.difference > 0


def test_the_road_from_the_log_to_the_routing_table(home, tmp_path):
    context = Context(home, local_actor("grace"), folder=tmp_path, operation="tick")
    one = add_version(home, constant_package(0.3))
    add_version(home, constant_package(0.6))
    release = a_release("ab 50% 1d", "full")
    with home.write() as tx:
        releases.save(tx, home.project_id, release)
        table = RoutingTable(
            model=MODEL,
            revision=1,
            variants=[live(one)],
            fallback=0.2,
            salt="s",
            at=START,
            reason="first",
            actor="grace",
        )
        releases.move_routing(tx, home.project_id, table, 0)
    promote.approvals_give(context, f"{MODEL}@2", reason="the evidence was read")
    traffic = Traffic(home)
    with SegmentWriter(home.log_folder, 0) as writer:
        for n in range(150):
            traffic.send(writer, 1, "production", 8, at=START + n)
            traffic.send(writer, 2, "candidate", 8, at=START + n, skill=2.0)
    traffic.settle()
    with home.write() as tx:
        clock = ClockState(mode=ClockMode.REPLAY, replay_now=START + 2 * DAY)
        projects.set_clock(tx, home.project_id, clock)
    promote.approvals_give(context, f"{MODEL}@2", reason="the verdict was read")
    (seen,) = promote.releases_advance(context)
    assert seen.release.state is ReleaseState.DONE
    assert "not worse" in seen.words
    with home.read() as tx:
        routing = releases.current_routing(tx, home.project_id, MODEL)
        kept = releases.get(tx, home.project_id, release.release_id)
    assert [(v.version, v.share) for v in routing.variants] == [(2, 1.0)]
    assert kept.evidence["seen"]["groups"]["metric"] == "roc_auc"
    assert promote.advance_releases(context) == []
