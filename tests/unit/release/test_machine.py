import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from thrive.contract.phases import parse_road
from thrive.contract.schema import Guard
from thrive.domain.clock import DAY, HOUR
from thrive.domain.errors import Conflict
from thrive.domain.release import PhaseKind, Release, ReleaseState
from thrive.release import machine
from thrive.release.evidence import Agreement, Counts, Evidence
from thrive.release.guards import find_harm, find_mismatch, find_unproven, readings
from thrive.release.machine import Terms
from thrive.release.quality import Quality
from thrive.release.watching import speaks_against

GUARD = Guard(error_rate=0.01, p99_ms=25, disagreement=0.05)
TERMS = Terms(guard=GUARD)
START = 1000 * DAY


def release(*phases: str, production: int | None = 1) -> Release:
    return Release(
        release_id="r",
        model="delay",
        candidate=2,
        production=production,
        phases=parse_road(list(phases)),
        position=0,
        state=ReleaseState.RUNNING,
        phase_started_at=START,
        started_at=START,
        actor="grace",
        verdict="v",
        contract="c",
    )


def counts(requests=1000, errors=0, slow=0, run=0, nan=0):
    return Counts(
        requests=requests,
        errors=errors,
        slow=slow,
        rows=requests - errors,
        longest_run=run,
        nan=nan,
    )


def agreement(requests, otherwise):
    share = otherwise / requests
    return Agreement(
        rows=requests, other_decisions=share, requests=requests, requests_otherwise=otherwise
    )


FINE = Evidence(production=counts(), candidate=counts())


def quality(low, high, needed=1234):
    return Quality(
        metric="roc_auc",
        margin=0.005,
        production=0.7,
        candidate=0.7,
        difference=(low + high) / 2,
        low=low,
        high=high,
        rows_production=900,
        rows_candidate=900,
        paired=False,
        needed=needed,
    )


def with_quality(found):
    return msgspec.structs.replace(FINE, quality=found, assigned=(500, 500))


def start(*phases, production=1):
    return machine.begin(release(*phases, production=production), START).release


def look(state, evidence=FINE, after=HOUR, terms=TERMS):
    return machine.advance(state, evidence, state.phase_started_at + after, terms)


def test_a_good_shadow_goes_on_when_it_is_baked():
    state = start("shadow 1h", "canary 5% 1h", "full")
    assert not look(state, after=HOUR - 1).moved
    step = look(state)
    assert step.release.position == 1
    assert [place.share for place in machine.placements(step.release)] == [0.95, 0.05]
    done = look(step.release)
    assert done.release.state is ReleaseState.DONE
    assert [(p.version, p.share) for p in machine.placements(done.release)] == [(2, 1.0)]


@pytest.mark.parametrize(
    ("evidence", "guard"),
    [
        (Evidence(production=counts(), candidate=counts(50, 5, run=5)), "breaker"),
        (Evidence(production=counts(), candidate=counts(20, 10, run=1)), "breaker"),
        (Evidence(production=counts(2000, 40), candidate=counts(2000, 120, run=2)), "error_rate"),
        (Evidence(production=counts(2000), candidate=counts(2000, slow=200)), "p99_ms"),
        (Evidence(candidate=counts(2000, 200, run=2)), "error_rate"),
        (Evidence(production=counts(2000, 15), candidate=counts(2000, 15, nan=15)), "nan"),
        (
            Evidence(
                production=counts(), candidate=counts(), agreement=agreement(1000, otherwise=90)
            ),
            "disagreement",
        ),
    ],
)
def test_harm_rolls_back_at_once_also_while_held(evidence, guard):
    state = start("canary 10% 1d", "full")
    for each in (state, machine.hold(state, START, "wait").release):
        step = look(each, evidence, after=1)
        assert step.release.state is ReleaseState.ROLLED_BACK
        assert guard in step.words
        assert [(p.version, p.share) for p in machine.placements(step.release)] == [(1, 1.0)]


@pytest.mark.parametrize(
    "evidence",
    [
        FINE,
        Evidence(production=counts(1000, 20), candidate=counts(1000, 22, run=2)),
        Evidence(production=counts(1000), candidate=counts(1000, 5, run=1)),
        Evidence(production=counts(10), candidate=counts(19, 9, run=4)),
        Evidence(production=counts(1000, slow=300), candidate=counts(1000, slow=310)),
        Evidence(production=counts(1000, 9, nan=9), candidate=counts(1000, 10, nan=10)),
        Evidence(candidate=counts(), agreement=agreement(1000, otherwise=55)),
        Evidence(candidate=counts(), agreement=agreement(50, otherwise=40)),
    ],
)
def test_equal_or_tolerated_is_no_harm(evidence):
    assert find_harm(evidence, GUARD) is None


@pytest.mark.parametrize("kind", ["shadow 1h", "canary 5% 1h"])
def test_what_no_outcome_judges_is_shown_not_to_fail_more_before_all_users_meet_it(kind):
    state = start(kind, "full")
    some = Evidence(production=counts(200), candidate=counts(200))
    step = look(state, some)
    assert not step.moved
    assert "requests that failed may be" in step.words
    held = look(state, some, after=DAY)
    assert held.release.state is ReleaseState.HELD
    assert "inconclusive" in held.words
    done = look(state)
    assert done.release.state is ReleaseState.DONE
    assert "1,000 requests, failed and late ones at most 2.0% more than production's" in done.words


def test_a_shadow_before_users_of_its_own_or_beside_nothing_says_what_it_did_not_show():
    some = Evidence(production=counts(200), candidate=counts(200))
    on = look(start("shadow 1h", "canary 5% 1h", "full"), some)
    assert (on.release.position, "for the next phase to show" in on.words) == (1, True)
    alone = look(start("shadow 1h", "full", production=None), Evidence(candidate=counts(200)))
    assert alone.release.state is ReleaseState.DONE
    assert "nothing in production to compare with" in alone.words


def test_readings_bound_the_harm_as_the_road_judges_it():
    guard = Guard(error_rate=0.01, p99_ms=25, margin=0.02)
    for errors, slow in ((0, 0), (3, 5), (40, 0), (0, 60)):
        evidence = Evidence(production=counts(errors=4), candidate=counts(errors=errors, slow=slow))
        found = {each.guard: each for each in readings(evidence, guard)}
        assert found["error_rate"].candidate == errors / 1000
        assert found["p99_ms"].difference == pytest.approx(slow / 1000)
        bounded = (found["error_rate"], found["p99_ms"])
        proven = all(each.high is not None and each.high < guard.margin for each in bounded)
        assert proven == (find_unproven(evidence, guard) == "")
    assert readings(Evidence(), guard) == []
    alone = readings(Evidence(candidate=counts()), guard)
    assert {each.high for each in alone} == {None}


def test_outcomes_decide_an_ab_phase_in_three_ways():
    state = start("ab 50% 1d", "full")
    better = look(state, with_quality(quality(-0.004, 0.02)), DAY)
    assert better.release.state is ReleaseState.DONE
    worse = look(state, with_quality(quality(-0.05, -0.006)), DAY)
    assert worse.release.state is ReleaseState.ROLLED_BACK
    assert "worse" in worse.words
    unclear = look(state, with_quality(quality(-0.05, 0.03)), DAY)
    assert unclear.release.state is ReleaseState.RUNNING
    assert "extended" in unclear.words
    assert not look(unclear.release, with_quality(quality(-0.05, 0.03)), DAY).moved
    second = look(unclear.release, with_quality(quality(-0.05, 0.03)), 2 * DAY)
    assert second.release.state is ReleaseState.HELD
    assert "1,234 labelled rows" in second.words


def test_without_outcomes_an_ab_phase_is_never_passed():
    state = start("ab 50% 1d", "full")
    assigned = msgspec.structs.replace(FINE, assigned=(500, 500))
    extended = look(state, assigned, DAY).release
    held = look(extended, assigned, 2 * DAY)
    assert held.release.state is ReleaseState.HELD
    assert "outcomes add" in held.words


def test_the_last_outcomes_are_waited_for():
    state = start("ab 50% 1d", "full")
    terms = Terms(outcomes_within=DAY)
    evidence = with_quality(quality(-0.001, 0.02))
    assert not look(state, evidence, 2 * DAY - 1, terms).moved
    assert look(state, evidence, 2 * DAY, terms).moved


def test_groups_that_were_not_drawn_as_planned_stop_the_comparison():
    state = start("ab 50% 1d", "full")
    skewed = msgspec.structs.replace(with_quality(quality(0.0, 0.1)), assigned=(600, 400))
    step = look(state, skewed, DAY)
    assert step.release.state is ReleaseState.HELD
    assert "40.00% of the keys" in step.words
    assert find_mismatch(with_quality(None), 0.5) is None


def test_a_canary_ends_when_it_is_shown_not_worse_and_not_because_little_was_seen():
    state = start("canary 10% 1h", "full")
    few = Evidence(production=counts(2700), candidate=counts(300))
    step = look(state, few)
    assert not step.moved
    assert (
        "requests that failed may be 2.3% more than production's, 2.0% are tolerated" in step.words
    )
    held = look(state, few, DAY)
    assert held.release.state is ReleaseState.HELD
    assert "inconclusive" in held.words
    enough = Evidence(production=counts(9000), candidate=counts(1000))
    assert look(state, enough).release.state is ReleaseState.DONE
    slower = Evidence(production=counts(9000, slow=90), candidate=counts(1000, slow=16))
    assert "took over 25 ms may be" in look(state, slower).words


@pytest.mark.parametrize("phases", [("shadow 1h", "full"), ("canary 10% 1h", "full")])
def test_no_traffic_is_inconclusive(phases):
    state = start(*phases)
    assert "waits for traffic" in look(state, Evidence(), HOUR).words
    step = look(state, Evidence(), DAY)
    assert step.release.state is ReleaseState.HELD


def test_an_end_is_an_end():
    done = machine.promote(start("shadow 1h", "full"), START, "now").release
    assert not look(done, Evidence(candidate=counts(100, 100, run=100)), 9 * DAY).moved
    for act in (machine.hold, machine.resume, machine.promote):
        with pytest.raises(Conflict):
            act(done, START, "again")


ROADS = st.lists(
    st.sampled_from(["shadow 1h", "shadow 50% 2h", "canary 5% 1h", "ab 50% 1d", "canary 20% 3h"]),
    max_size=4,
).map(lambda phases: [*phases, "full"])
COUNTS = st.builds(
    lambda n, bad, run: counts(n, min(n, bad), run=min(n, bad, run)),
    st.integers(0, 3000),
    st.integers(0, 50),
    st.integers(0, 6),
)
QUALITIES = st.none() | st.tuples(st.floats(-0.1, 0.1), st.floats(0, 0.1)).map(
    lambda pair: quality(pair[0], pair[0] + pair[1])
)
EVIDENCE = st.builds(
    lambda a, b, q, k: Evidence(production=a, candidate=b, quality=q, assigned=k),
    COUNTS,
    COUNTS,
    QUALITIES,
    st.none() | st.tuples(st.integers(0, 900), st.integers(0, 900)),
)


class ReleaseMachine(RuleBasedStateMachine):
    """Any evidence, people's words and crashes in any order."""

    @initialize(phases=ROADS, production=st.sampled_from([None, 1]))
    def begin(self, phases, production):
        self.now = START
        self.state = machine.begin(release(*phases, production=production), START).release
        done = self.state.state is ReleaseState.DONE
        self.ended = self.state if done else None

    @rule(hours=st.floats(0.1, 60), evidence=EVIDENCE, dies=st.booleans())
    def tick(self, hours, evidence, dies):
        self.now += int(hours * HOUR)
        step = machine.advance(self.state, evidence, self.now, TERMS)
        again = machine.advance(self.state, evidence, self.now, TERMS)
        assert step == again
        if not dies:
            self.take(step, evidence)

    def take(self, step, evidence=None):
        before, self.state = self.state, step.release
        if self.ended is not None:
            assert not step.moved
        moved_up = step.release.position > before.position
        if evidence is not None and moved_up:
            assert evidence.candidate.rows >= machine.FEWEST_ROWS
            assert find_harm(evidence, TERMS.guard) is None
        if self.state.state in (ReleaseState.DONE, ReleaseState.ROLLED_BACK):
            self.ended = self.state

    @rule(act=st.sampled_from([machine.hold, machine.resume, machine.promote]))
    def people(self, act):
        try:
            step = act(self.state, self.now, "somebody said so")
        except Conflict:
            return
        assert self.ended is None
        self.take(step)

    @invariant()
    def traffic_is_one_of_the_declared_steps(self):
        if not hasattr(self, "state"):
            return
        places = machine.placements(self.state)
        live = [place for place in places if not place.shadow]
        shares = {phase.share for phase in self.state.phases} | {0.0, 1.0}
        mine = sum(place.share for place in live if place.version == 2)
        assert mine in shares
        assert round(sum(place.share for place in live), 9) in (0.0, 1.0)
        if self.state.production is not None:
            assert sum(place.share for place in live) == pytest.approx(1.0)
        assert len({(place.version, place.shadow) for place in places}) == len(places)
        assert all(place.version == 2 for place in places if place.shadow)

    @invariant()
    def the_end_is_told(self):
        if getattr(self, "ended", None) is None:
            return
        assert self.state == self.ended
        assert self.state.ended_at is not None
        assert self.state.reason

    @invariant()
    def nothing_compares_with_an_empty_production(self):
        if hasattr(self, "state") and self.state.production is None and self.ended is None:
            assert self.state.phases[self.state.position].kind is PhaseKind.SHADOW


TestReleaseMachine = ReleaseMachine.TestCase
TestReleaseMachine.settings = settings(
    max_examples=40,
    stateful_step_count=12,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],  # a machine may stand still for a while
)


def looks(rng, rate, before, requests, every=100):
    """Return the request at which a release of 10% canary is ended, None if it never is."""
    mine = np.cumsum(rng.random(requests) < rate)
    theirs = np.cumsum(rng.random(requests * 9) < before)
    for n in range(every, requests + 1, every):
        evidence = Evidence(
            production=counts(9 * n, int(theirs[9 * n - 1])), candidate=counts(n, int(mine[n - 1]))
        )
        if find_harm(evidence, Guard(error_rate=0.01)):
            return n
    return None


@pytest.mark.full
def test_equal_canaries_are_rarely_ended_and_a_doubled_rate_is_found():
    rng = np.random.default_rng(7)
    false = [looks(rng, 0.02, 0.02, 10_000) for _ in range(600)]
    ended = sum(found is not None for found in false)
    assert ended / 600 < 0.05 + 2.576 * (0.05 * 0.95 / 600) ** 0.5
    found = [looks(rng, 0.04, 0.02, 20_000) or 20_000 for _ in range(300)]
    assert np.median(found) <= 600


@pytest.mark.parametrize(
    ("low", "high", "against"),
    [(-0.03, 0.01, True), (-0.004, 0.001, False), (-0.01, 0.05, False)],
)
def test_outcomes_that_came_out_worse_speak_against_going_on(low, high, against):
    seen = msgspec.json.decode(msgspec.json.encode(with_quality(quality(low, high))))
    state = msgspec.structs.replace(release("ab 50% 1h", "full"), evidence={"seen": seen})
    words = speaks_against(state)
    assert bool(words) is against
    assert not against or "0.010 worse than production's on the same rows" in words
    assert speaks_against(release("shadow 1h", "full")) == ""
