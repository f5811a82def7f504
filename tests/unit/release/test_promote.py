import msgspec
import pytest
from tests.rest import new_token
from tests.serving_home import CONTRACT, MODEL, add_version, constant_package, make_home
from tests.verdicts import keep_verdict

from thrive.contract.parse import parse
from thrive.domain.actor import Actor, Role, local_actor
from thrive.domain.clock import DAY, HOUR, ClockMode, ClockState, machine_now
from thrive.domain.errors import Conflict, ContractGap, NotFound, Refused, UsageError
from thrive.domain.gate import Answer
from thrive.domain.identifiers import new_id
from thrive.domain.project import StoredContract, TeamContact
from thrive.domain.release import ReleaseState
from thrive.flows import permission, promote, traffic
from thrive.flows import tokens as flows_tokens
from thrive.flows.tokens import tokens_create, tokens_revoke
from thrive.operations import Context
from thrive.release.operations import releases_list
from thrive.release.watching import releases_watch
from thrive.store import audit, duties, gates, models, projects, releases

DIGEST = "0" * 64


@pytest.fixture
def ctx(tmp_path):
    home = make_home(tmp_path)
    with home.write() as tx:
        contact = TeamContact(team="desk", channel="mailto:desk@example.org", arrived_at=1)
        projects.add_contact(tx, home.project_id, contact)
        projects.set_clock(
            tx, home.project_id, ClockState(mode=ClockMode.REPLAY, replay_now=1_000 * HOUR)
        )
    yield Context(home, local_actor("grace"), folder=tmp_path, operation="test")
    home.close()


def later(ctx, hours):
    with ctx.home.write() as tx:
        state = projects.clock(tx, ctx.project_id)
        moved = msgspec.structs.replace(state, replay_now=state.replay_now + int(hours * HOUR))
        projects.set_clock(tx, ctx.project_id, moved)


def judge(ctx, version, answer=Answer.PASS, against=None, **changed):
    return keep_verdict(ctx.home, version, answer, against, **changed)


def ready(ctx, value=0.5, against=None, **changed):
    version = add_version(ctx.home, constant_package(value), **changed)
    judge(ctx, version, against=against)
    promote.approvals_give(ctx, f"{MODEL}@{version.version}", reason="looked at the slices")
    return version


def routing(ctx):
    with ctx.read() as tx:
        return releases.current_routing(tx, ctx.project_id, MODEL)


def shares(ctx):
    return [(each.version, each.share, each.shadow) for each in routing(ctx).variants]


def full(ctx, value=0.5, against=None):
    version = ready(ctx, value, against)
    return promote.start_release(ctx, MODEL, version.version, ["full"])


def test_a_version_with_everything_goes_live_in_one_step(ctx):
    release = full(ctx)
    assert release.state is ReleaseState.DONE
    assert shares(ctx) == [(1, 1.0, False)]
    assert routing(ctx).fallback == 0.2
    assert routing(ctx).release_id == release.release_id
    with ctx.read() as tx:
        assert releases.get(tx, ctx.project_id, release.release_id) == release


def test_the_first_release_shadows_beside_the_fallback_and_skips_the_comparison(ctx):
    version = ready(ctx)
    release = promote.start_release(ctx, MODEL, version.version)
    assert shares(ctx) == [(1, 1.0, True)]
    done = promote.releases_promote(ctx, MODEL, reason="enough seen in the shadow")
    assert done.state is ReleaseState.DONE
    assert "ab is skipped" in done.reason
    assert shares(ctx) == [(1, 1.0, False)]
    assert done.release_id == release.release_id


@pytest.mark.parametrize(
    ("prepare", "error", "words"),
    [
        (lambda ctx, v: None, Refused, "No gate has judged"),
        (lambda ctx, v: judge(ctx, v, Answer.FAIL), Refused, "The gates say fail"),
        (lambda ctx, v: judge(ctx, v, Answer.CANNOT_TELL), Refused, "cannot tell"),
        (lambda ctx, v: judge(ctx, v, candidate=DIGEST), Refused, "another package"),
        (lambda ctx, v: judge(ctx, v, test_data=DIGEST), Refused, "another package"),
        (lambda ctx, v: judge(ctx, v, contract=DIGEST), Refused, "another package"),
        (lambda ctx, v: judge(ctx, v, against=7), Refused, "another version than serves"),
        (lambda ctx, v: judge(ctx, v), Refused, "0 of 1 approvals"),
    ],
)
def test_what_is_missing_is_named_and_nothing_moves(ctx, prepare, error, words):
    version = add_version(ctx.home, constant_package())
    prepare(ctx, version)
    with pytest.raises(error, match=words):
        promote.start_release(ctx, MODEL)
    assert routing(ctx) is None
    with ctx.read() as tx:
        assert releases.find(tx, ctx.project_id) == []


def test_only_the_latest_verdict_counts(ctx):
    version = ready(ctx)
    judge(ctx, version, Answer.FAIL)
    with pytest.raises(Refused, match="fail"):
        promote.start_release(ctx, MODEL)


def test_a_verdict_that_was_changed_or_signed_by_a_stranger_lets_nothing_through(ctx, monkeypatch):
    version = ready(ctx)
    with ctx.home.write() as tx:
        [verdict] = gates.find_verdicts(tx, ctx.project_id, MODEL)
        changed = msgspec.structs.replace(verdict, verdict_id=new_id(), answer=Answer.PASS)
        gates.insert_verdict(tx, ctx.project_id, changed)
    with pytest.raises(Refused, match="signature is not of this verdict"):
        promote.start_release(ctx, MODEL)
    judge(ctx, version)
    monkeypatch.setenv("THRIVE_GATE_KEYS", "ab" * 32)
    with pytest.raises(Refused, match="no trusted key"):
        promote.start_release(ctx, MODEL)
    monkeypatch.setenv("THRIVE_GATE_KEYS", verdict.signed_by)
    assert promote.start_release(ctx, MODEL).state is ReleaseState.RUNNING


def test_a_dirty_tree_and_a_retired_version_stay_out_of_production(ctx):
    dirty = ready(ctx, dirty=True)
    with pytest.raises(Refused, match="not committed"):
        promote.start_release(ctx, MODEL, dirty.version)
    retired = ready(ctx, retired_at=5)
    with pytest.raises(Refused, match="retired"):
        promote.start_release(ctx, MODEL, retired.version)


def test_a_gap_of_the_contract_blocks_production_by_its_line(ctx):
    text = stored(ctx, CONTRACT.replace('risk = "minimal"\n', ""))
    version = add_version(ctx.home, constant_package(), contract=text)
    judge(ctx, version)
    promote.approvals_give(ctx, f"{MODEL}@{version.version}", reason="fine")
    with pytest.raises(ContractGap, match=r"thrive.toml:4: .*risk") as refused:
        promote.start_release(ctx, MODEL)
    again = f"; then train again, as {MODEL}@{version.version} keeps the contract that it was"
    assert again in refused.value.hint


def test_a_team_out_of_reach_blocks_production(tmp_path):
    home = make_home(tmp_path)
    context = Context(home, local_actor("grace"), folder=tmp_path, operation="test")
    version = add_version(home, constant_package())
    judge(context, version)
    with pytest.raises(ContractGap, match="has not answered a test message") as refused:
        promote.start_release(context, MODEL)
    assert "train again" not in refused.value.hint
    home.close()


def test_on_a_server_nobody_approves_their_own_work(ctx):
    version = add_version(ctx.home, constant_package())
    judge(ctx, version)
    author = Context(ctx.home, local_actor(version.actor), operation="test")
    promote.approvals_give(author, MODEL, reason="mine")
    with pytest.raises(Refused, match="0 of 1 approvals"):
        promote.start_release(author, MODEL)
    alone = Context(ctx.home, local_actor(version.actor), folder=ctx.folder, operation="test")
    release = promote.start_release(alone, MODEL, phases=["full"])
    assert release.evidence["own_approval"] is True


def approved_by(ctx, name, *roles, expires=""):
    """Have a version approved by the holder of a token, through a server; return their token."""
    version = add_version(ctx.home, constant_package())
    judge(ctx, version)
    secret = new_token(ctx, name, *roles, expires=expires)
    approver = Context(ctx.home, Actor(name=name, roles=frozenset(map(Role, roles))))
    promote.approvals_give(approver, MODEL, reason="the slices were read")
    return secret.split("_")[1]


def test_19_an_approval_falls_with_the_token_it_was_given_with(ctx):
    token = approved_by(ctx, "ana", "ml-engineer")
    server = Context(ctx.home, local_actor("keeper"), operation="releases start")
    flows_tokens.tokens_revoke(ctx, token)
    with pytest.raises(Refused, match="0 of 1 approvals"):
        promote.start_release(server, MODEL)
    assert routing(ctx) is None
    new_token(ctx, "ana", "auditor")
    with pytest.raises(Refused, match="0 of 1 approvals"):
        promote.start_release(server, MODEL)


def test_19_a_renewed_token_keeps_what_its_holder_approved(ctx):
    token = approved_by(ctx, "ana", "ml-engineer")
    flows_tokens.tokens_revoke(ctx, token)
    new_token(ctx, "ana", "data-scientist")
    server = Context(ctx.home, local_actor("keeper"), operation="releases start")
    assert promote.start_release(server, MODEL).model == MODEL


def test_19_a_token_that_expired_approves_nothing_any_more(ctx, monkeypatch):
    approved_by(ctx, "ana", "ml-engineer", expires="90 days")
    now = machine_now() + 91 * DAY
    monkeypatch.setattr(permission, "machine_now", lambda: now)
    with pytest.raises(Refused, match="0 of 1 approvals"):
        promote.start_release(ctx, MODEL)


def test_an_approval_needs_a_reason(ctx):
    add_version(ctx.home, constant_package())
    with pytest.raises(UsageError, match="reason is empty"):
        promote.approvals_give(ctx, MODEL, reason="  ")


def test_one_release_a_model_at_a_time(ctx):
    full(ctx)
    ready(ctx, against=1)
    promote.start_release(ctx, MODEL, 2)
    with pytest.raises(Conflict, match="on its way"):
        promote.start_release(ctx, MODEL, 2)
    traffic.roll_back(ctx, MODEL, "changed our mind")
    assert shares(ctx) == [(1, 1.0, False)]
    with pytest.raises(Conflict, match="serves already"):
        promote.start_release(ctx, MODEL, 1)


def test_no_traffic_never_promotes_and_is_handed_to_the_owner(ctx):
    full(ctx)
    ready(ctx, against=1)
    promote.start_release(ctx, MODEL, 2)
    for hours in (0.5, 1, 20):
        later(ctx, hours)
        (seen,) = promote.advance_releases(ctx)
        assert not seen.moved
    later(ctx, 24)
    (seen,) = promote.advance_releases(ctx)
    assert seen.release.state is ReleaseState.HELD
    assert "too little traffic" in seen.words
    assert shares(ctx) == [(1, 1.0, False), (2, 1.0, True)]
    again = promote.advance_releases(ctx)
    assert not again[0].moved


def test_looking_twice_writes_no_second_step(ctx):
    full(ctx)
    ready(ctx, against=1)
    promote.start_release(ctx, MODEL, 2)
    later(ctx, 50)
    promote.advance_releases(ctx)
    with ctx.read() as tx:
        before = audit.entries(tx, ctx.project_id)
    promote.advance_releases(ctx)
    with ctx.read() as tx:
        assert audit.entries(tx, ctx.project_id) == before


def states(ctx):
    """Return the state of each version's newest release, as `releases list` shows it."""
    return {each.candidate: each.state.value for each in reversed(releases_list(ctx))}


def test_a_version_that_is_stopped_gets_its_traffic_back_without_a_question(ctx):
    full(ctx)
    stopped = promote.releases_stop(ctx, MODEL, reason="wrong since noon")
    assert (stopped.answers, stopped.answered_before) == ("the fallback (0.2)", "version 1")
    back = promote.releases_rollback(ctx, MODEL, reason="mended")
    assert (back.answers, back.answered_before) == ("version 1", "the fallback (0.2)")
    assert states(ctx) == {1: "done"}


def test_rolling_back_goes_to_what_served_before_and_never_to_what_was_left(ctx):
    full(ctx)
    full(ctx, 0.6, against=1)
    assert shares(ctx) == [(2, 1.0, False)]
    moved = promote.releases_rollback(ctx, MODEL, reason="errors")
    assert (moved.answers, moved.answered_before) == ("version 1", "version 2")
    assert shares(ctx) == [(1, 1.0, False)]
    assert states(ctx) == {1: "done", 2: "rolled back"}
    with pytest.raises(Refused, match=r"before delay@1: callers would get the fallback \(0.2\)"):
        promote.releases_rollback(ctx, MODEL, reason="errors still")
    assert shares(ctx) == [(1, 1.0, False)]
    moved = promote.releases_rollback(ctx, MODEL, reason="errors still", yes=True)
    assert (moved.answers, moved.answered_before) == ("the fallback (0.2)", "version 1")
    assert shares(ctx) == []
    assert states(ctx) == {1: "rolled back", 2: "rolled back"}
    assert routing(ctx).fallback == 0.2
    with pytest.raises(Conflict, match="Nothing of delay is live"):
        traffic.roll_back(ctx, MODEL, "again")


def test_two_who_roll_back_at_the_same_moment_go_back_one_version(ctx):
    full(ctx)
    full(ctx, 0.6, against=1)
    full(ctx, 0.6, against=2)
    promote.releases_rollback(ctx, MODEL, reason="errors")
    again = r"rolled delay back .* ago, and delay@2 answers: .* further back, to version 1"
    with pytest.raises(Refused, match=again):
        promote.releases_rollback(ctx, MODEL, reason="errors")
    assert shares(ctx) == [(2, 1.0, False)]
    later(ctx, 1)
    moved = promote.releases_rollback(ctx, MODEL, reason="errors still")
    assert moved.answers == "version 1"


def test_a_release_that_somebody_ended_just_now_does_not_take_production_along(ctx):
    full(ctx)
    full(ctx, 0.6, against=1)
    ready(ctx, against=2)
    promote.start_release(ctx, MODEL, 3)
    promote.releases_rollback(ctx, MODEL, reason="errors")
    with pytest.raises(Refused, match="this would go further back, to version 1"):
        promote.releases_rollback(ctx, MODEL, reason="errors")
    assert promote.releases_rollback(ctx, MODEL, reason="both", yes=True).answers == "version 1"


def test_a_retired_version_is_not_gone_back_to(ctx):
    full(ctx)
    full(ctx, 0.6, against=1)
    with ctx.home.write() as tx:
        first = models.get_version(tx, ctx.project_id, MODEL, 1)
        models.replace_version(tx, ctx.project_id, msgspec.structs.replace(first, retired_at=9))
    traffic.roll_back(ctx, MODEL, "errors")
    assert shares(ctx) == []


def test_hold_and_resume_are_people_s_words(ctx):
    full(ctx)
    ready(ctx, against=1)
    promote.start_release(ctx, MODEL, 2)
    held = promote.releases_hold(ctx, MODEL, reason="weather feed is down")
    assert held.state is ReleaseState.HELD
    with pytest.raises(Conflict):
        promote.releases_hold(ctx, MODEL, reason="twice")
    later(ctx, 3)
    resumed = promote.releases_resume(ctx, MODEL, reason="feed is back")
    assert resumed.state is ReleaseState.RUNNING
    assert resumed.phase_started_at == ctx.now()
    assert [line["words"] for line in resumed.evidence["history"]][1:] == [
        "weather feed is down",
        "feed is back",
    ]


def test_a_release_is_watched_line_by_line_until_it_ends(ctx):
    with pytest.raises(NotFound, match="never released"):
        next(releases_watch(ctx, MODEL))
    full(ctx)
    ready(ctx, against=1)
    promote.start_release(ctx, MODEL, 2)
    seen = releases_watch(ctx, MODEL)
    first = next(seen)
    assert (first.state, first.phase) == (ReleaseState.RUNNING, "shadow 100%")
    assert first.candidate == "v2: no requests yet"
    assert 0 < first.until - ctx.now() <= HOUR
    assert [each.phase for each in first.moves] == ["shadow"]
    promote.releases_hold(ctx, MODEL, reason="a campaign begins")
    held = next(seen)
    assert (held.state, held.why, held.until) == (ReleaseState.HELD, "a campaign begins", None)
    promote.releases_promote(ctx, MODEL, reason="go on")
    assert next(seen).phase == "ab 50%"
    traffic.roll_back(ctx, MODEL, "the desk reports wrong warnings")
    last = next(seen)
    assert (last.state, last.why) == (ReleaseState.ROLLED_BACK, "the desk reports wrong warnings")
    assert next(seen, None) is None


def test_a_death_between_two_writes_leaves_the_state_before(ctx, monkeypatch):
    full(ctx)
    ready(ctx, against=1)
    promote.start_release(ctx, MODEL, 2)
    before = routing(ctx)

    def dies(*_):
        raise OSError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(releases, "move_routing", dies)
        with pytest.raises(OSError, match="killed"):
            promote.releases_promote(ctx, MODEL, reason="go on")
    with ctx.read() as tx:
        (running,) = releases.find_running(tx, ctx.project_id)
    assert running.position == 0
    assert routing(ctx) == before
    assert promote.releases_promote(ctx, MODEL, reason="go on").position == 1
    assert shares(ctx) == [(1, 0.5, False), (2, 0.5, False), (2, 1.0, True)]


def test_a_model_without_a_release_says_so(ctx):
    with pytest.raises(NotFound, match="No release"):
        promote.advance_releases(ctx, MODEL)


def stored(ctx, text):
    parsed = parse(text)
    with ctx.home.write() as tx:
        contract = StoredContract(digest=parsed.digest, text=text, commit="", stored_at=1)
        projects.store_contract(tx, ctx.project_id, contract)
    return text


LOOSER = CONTRACT.replace('max_age = "90 days"', 'max_age = "900 days"')


def test_a_loosened_contract_needs_an_approval_of_its_own(ctx):
    full(ctx)
    ready(ctx, against=1, contract=stored(ctx, LOOSER))
    with pytest.raises(Refused, match=r"asks less .*sla.max_age: 900 days") as refused:
        promote.start_release(ctx, MODEL)
    assert "--step contract" in refused.value.hint
    assert shares(ctx) == [(1, 1.0, False)]
    promote.approvals_give(
        ctx, MODEL, reason="winters are alike", step=permission.ApprovalStep.CONTRACT
    )
    release = promote.start_release(ctx, MODEL, phases=["full"])
    assert release.evidence["loosened"] == ["sla.max_age: 900 days instead of 90 days."]


def test_on_a_server_nobody_loosens_their_own_contract(ctx):
    full(ctx)
    version = ready(ctx, against=1, contract=stored(ctx, LOOSER))
    author = Context(ctx.home, local_actor(version.actor), operation="test")
    consent = permission.ApprovalStep.CONTRACT
    promote.approvals_give(author, MODEL, reason="mine", step=consent)
    with pytest.raises(Refused, match="asks less"):
        promote.start_release(author, MODEL)
    promote.approvals_give(ctx, MODEL, reason="agreed", step=consent)
    assert promote.start_release(author, MODEL).candidate == version.version


def test_rolling_back_to_nothing_does_not_forget_the_stricter_contract(ctx):
    full(ctx)
    traffic.roll_back(ctx, MODEL, "errors")
    ready(ctx, contract=stored(ctx, LOOSER))
    with pytest.raises(Refused, match="asks less"):
        promote.start_release(ctx, MODEL)


def test_a_stricter_contract_needs_none(ctx):
    full(ctx)
    strict = CONTRACT.replace('max_age = "90 days"', 'max_age = "9 days"')
    ready(ctx, against=1, contract=stored(ctx, strict))
    assert promote.start_release(ctx, MODEL).evidence["loosened"] == []


HIGH = CONTRACT.replace('risk = "minimal"', 'risk = "high"')


def test_high_risk_without_its_duties_is_refused_and_told_who_owes_what(ctx):
    version = ready(ctx, contract=in_force(ctx, HIGH))
    with pytest.raises(Refused, match=r"\d+ duties stand against a release of delay@1") as refused:
        promote.start_release(ctx, MODEL, version.version, ["full"])
    lines = refused.value.what.splitlines()[1:]
    assert f"{len(lines)} duties" in refused.value.what
    assert all("(owed by desk): " in line for line in lines)
    assert any("AI Act annex IV" in line and "thrive duties answer" in line for line in lines)
    assert routing(ctx) is None
    with ctx.read() as tx:
        assert duties.find_documents(tx, ctx.project_id) == []


def test_a_model_of_high_risk_takes_two_people_on_a_server(ctx):
    version = add_version(ctx.home, constant_package(), contract=in_force(ctx, HIGH))
    judge(ctx, version)
    server = team(ctx, "keeper", Role.PLATFORM)
    promote.approvals_give(team(ctx, "ana", Role.ML_ENGINEER), MODEL, reason="read")
    with pytest.raises(Refused, match="1 of 2 approvals"):
        promote.start_release(server, MODEL)
    promote.approvals_give(team(ctx, "ben", Role.DATA_SCIENTIST), MODEL, reason="read")
    with pytest.raises(Refused, match=r"thrive.toml:\d+: delay .* names no business owner") as told:
        promote.start_release(server, MODEL)
    assert told.value.hint == 'write business_owner = "..." in [model.delay]'


def test_of_high_risk_one_of_two_is_the_business_owner_and_only_those_named_count(ctx):
    named = 'risk = "high"\nbusiness_owner = "desk-lead"\napprovers = ["ana", "ben"]'
    text = CONTRACT.replace('risk = "minimal"', named)
    version = add_version(ctx.home, constant_package(), contract=in_force(ctx, text))
    judge(ctx, version)
    server = team(ctx, "keeper", Role.PLATFORM)
    for name in ("ana", "ben"):
        promote.approvals_give(team(ctx, name, Role.ML_ENGINEER), MODEL, reason="read")
    with pytest.raises(Refused, match="lacks the approval of its business owner, desk-lead"):
        promote.start_release(server, MODEL)
    with pytest.raises(
        Refused, match=r"thrive.toml:\d+: delay is approved by ana, ben, not by eve"
    ):
        promote.approvals_give(team(ctx, "eve", Role.ML_ENGINEER), MODEL, reason="read")
    promote.approvals_give(team(ctx, "desk-lead", Role.DATA_ENGINEER), MODEL, reason="wanted")
    with pytest.raises(Refused, match="owed by desk"):
        promote.start_release(server, MODEL)


def in_force(ctx, text):
    with ctx.home.write() as tx:
        parsed = parse(text)
        stored = StoredContract(digest=parsed.digest, text=text, commit="", stored_at=1)
        projects.store_contract(tx, ctx.project_id, stored)
    return text


def test_a_release_keeps_every_document_of_its_version(ctx):
    release = full(ctx)
    with ctx.read() as tx:
        kept = duties.find_documents(tx, ctx.project_id, f"{MODEL}@1")
    assert {each.kind for each in kept} == {
        "technical-file", "processing-record", "impact-assessment", "instructions"
    }  # fmt: skip
    assert {each.release_id for each in kept} == {release.release_id}
    assert all(b"looked at the slices" in ctx.home.blobs.get(each.html) for each in kept[-1:])


def team(ctx, name, role):
    return Context(ctx.home, Actor(name=name, roles=frozenset({role})), operation="test")


def test_on_a_server_revoked_people_and_ones_own_work_do_not_count(ctx):
    version = add_version(ctx.home, constant_package())
    judge(ctx, version)
    keeper = team(ctx, "ops", Role.PLATFORM)
    ada = team(ctx, "ada", Role.DATA_SCIENTIST)
    ann = team(ctx, "ann", Role.ML_ENGINEER)
    label = f"{MODEL}@1"
    token = tokens_create(keeper, "ann", role=["ml-engineer"])
    tokens_create(keeper, "bob", role=["auditor"])
    for somebody in (ada, team(ctx, "bob", Role.ML_ENGINEER)):
        promote.approvals_give(somebody, label, reason="looked at it")
    with pytest.raises(Refused, match="0 of 1 approvals"):
        promote.start_release(ann, MODEL, 1)
    promote.approvals_give(ann, label, reason="looked at it")
    promote.approvals_give(ann, label, reason="and again")
    release = promote.start_release(ann, MODEL, 1)
    assert release.evidence["approvals"] == ["ann"]
    tokens_revoke(keeper, token.token_id)
    with pytest.raises(Refused, match="0 of 1 approvals"):
        promote.releases_promote(keeper, MODEL, reason="it looks well")
    assert shares(ctx) == [(1, 1.0, True)]


def test_nobody_consents_to_what_failed(ctx):
    version = add_version(ctx.home, constant_package(0.9))
    judge(ctx, version, Answer.FAIL)
    with pytest.raises(Refused, match="newest verdict on delay@1 is a failure"):
        promote.approvals_give(ctx, "delay@1", reason="it looks well")
    judge(ctx, version)
    assert promote.approvals_give(ctx, "delay@1", reason="it is mended").version == 1
