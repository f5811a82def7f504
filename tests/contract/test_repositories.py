"""What every repository promises, held on SQLite and on PostgreSQL."""

import math

import msgspec
import pytest
from tests.contract import nouns

from thrive.domain.actor import local_actor
from thrive.domain.clock import ClockMode, ClockState
from thrive.domain.errors import Conflict, NotFound, Refused, UsageError
from thrive.domain.identifiers import new_id
from thrive.domain.monitoring import AlertState
from thrive.domain.prediction import SegmentName
from thrive.domain.project import JobState, JobText
from thrive.domain.release import ReleaseState
from thrive.domain.run import MetricPoint, RunState, Use
from thrive.operations import Context
from thrive.store import (
    audit,
    changes,
    datasets,
    features,
    gates,
    job_output,
    jobs,
    models,
    monitoring,
    prediction_frames,
    predictions,
    projects,
    references,
    releases,
    runs,
    tokens,
    worker_numbers,
)
from thrive.store.observations import append_points


@pytest.fixture
def project(home):
    return home.project_id


def changed(struct, **values):
    return msgspec.structs.replace(struct, **values)


def test_projects_are_found_by_name_and_have_a_clock_contracts_and_contacts(home, project):
    with home.write() as tx:
        second = projects.create(tx, "Another")
        with pytest.raises(Conflict, match="exists already"):
            projects.create(tx, "test")
        projects.set_clock(tx, project, ClockState(mode=ClockMode.REPLAY, replay_now=7))
        for _ in range(2):
            projects.store_contract(tx, project, nouns.contract())
            projects.add_contact(tx, project, nouns.contact())
        projects.add_contact(tx, project, changed(nouns.contact(), arrived_at=9))
    with home.read() as tx:
        assert [each.name for each in projects.every(tx)] == ["Another", "test"]
        assert projects.find(tx, "another") is None
        assert projects.clock(tx, project).now() == 7
        assert projects.clock(tx, second.project_id).mode is ClockMode.REAL
        assert projects.find_contract(tx, project, nouns.contract().digest) == nouns.contract()
        assert projects.find_contract(tx, second.project_id, nouns.contract().digest) is None
        assert [each.arrived_at for each in projects.contacts(tx, project)] == [9]


def test_runs_come_back_as_they_were_written(home, project):
    made = [nouns.run(), nouns.run(experiment="Other"), nouns.run()]
    with home.write() as tx:
        for each in made:
            runs.save(tx, project, each)
        ended = changed(made[0], state=RunState.DONE, ended_at=2**62, metrics={"auc": 0.9})
        runs.save(tx, project, ended)
    with home.read() as tx:
        assert runs.get(tx, project, made[0].run_id) == ended
        assert runs.find(tx, project) == [made[2], made[1], ended]
        assert runs.find(tx, project, limit=1, after=made[2].run_id) == [made[1]]
        assert runs.find(tx, project, experiment="late") == [made[2], ended]
        assert runs.find_drivers(tx, project) == {run.run_id: run.process for run in made[1:]}
        assert runs.experiments(tx, project) == [("Other", 1), ("late", 2)]
        assert runs.last_run_of(tx, project, "late") == made[2]
        assert runs.last_run_of(tx, project, "LATE") is None


def test_a_run_is_found_by_its_beginning_whatever_stands_in_it(home, project):
    made = nouns.run(run_id="0123456789abcdef" * 2)
    twin = nouns.run(run_id="0123456789abcdef" + "f" * 16)
    with home.write() as tx:
        runs.save(tx, project, made)
        runs.save(tx, project, twin)
    with home.read() as tx:
        assert runs.get(tx, project, made.run_id[:17]) == made
        with pytest.raises(UsageError, match="several"):
            runs.get(tx, project, made.run_id[:10])
        for wrong in ("%%%%%%%%", "________", "0123456_", "0123456789ABCDEF", "0123456", "é" * 9):
            with pytest.raises(NotFound):
                runs.get(tx, project, wrong)


def test_steps_artifacts_lineage_and_points_of_a_run(home, project):
    run_id = new_id()
    used = Use(kind="dataset", name="flights", digest=nouns.digest_of("x"), direction="in")
    points = [MetricPoint(key="auc", value=v, step=1, at=2) for v in (0.1, None, math.inf)]
    with home.write() as tx:
        runs.save_step(tx, project, nouns.step(run_id))
        runs.save_step(tx, project, nouns.step(run_id, state=RunState.DONE, outputs=["fit"]))
        runs.save_artifact(tx, project, nouns.artifact(run_id))
        runs.save_artifact(tx, project, nouns.artifact(run_id, name="Log", digest="b" * 64))
        runs.save_artifact(tx, project, nouns.artifact(run_id, digest="c" * 64))
        for _ in range(2):
            runs.add_use(tx, project, run_id, used)
        append_points(tx, project, {run_id: points})
        append_points(tx, project, {run_id: [changed(points[0], value=0.7)]})
    with home.read() as tx:
        assert [each.state for each in runs.find_steps(tx, project, run_id)] == [RunState.DONE]
        assert [each.name for each in runs.find_artifacts(tx, project, run_id)] == ["Log", "plot"]
        assert runs.find_artifacts(tx, project, run_id)[1].digest == "c" * 64
        assert runs.find_uses(tx, project, run_id) == [used]
        assert runs.runs_using(tx, project, used.digest) == [(run_id, "in")]
        history = runs.metric_history(tx, project, run_id, "auc")
        assert [point.value for point in history[:2]] == [0.1, None]
        assert history[3].value == 0.7


def test_feature_views_and_what_is_online_of_them(home, project):
    first, other = nouns.feature_view(), nouns.feature_view(name="plane")
    second = nouns.feature_view(version=2, digest=nouns.digest_of("second"))
    online = nouns.materialization()
    with home.write() as tx:
        for view in (first, other, second):
            features.save_view(tx, project, view)
        features.save_materialization(tx, project, online)
        features.save_materialization(tx, project, changed(online, rows=9, newest=None))
    with home.read() as tx:
        assert features.versions(tx, project, "weather") == [second, first]
        assert features.newest(tx, project) == [other, second]
        assert features.get(tx, project, "weather") == second
        found = features.find_materialization(tx, project, "weather", online.digest)
        assert found == changed(online, rows=9, newest=None)
        assert features.find_materialization(tx, project, "plane", online.digest) is None
        with pytest.raises(NotFound, match="no feature view 'sky'"):
            features.get(tx, project, "sky")


def test_datasets_and_their_versions(home, project):
    with home.write() as tx:
        datasets.save(tx, project, nouns.dataset())
        datasets.save(tx, project, nouns.dataset(owner="other"))
        datasets.save(tx, project, nouns.dataset(name="a-b"))
        datasets.save(tx, project, nouns.dataset(name="a.b"))
        assert datasets.next_version(tx, project, "flights") == 1
        held = [nouns.digest_of("a")]
        datasets.insert_version(tx, project, nouns.dataset_version(), held)
        second = nouns.dataset_version(version=2, digest="b" * 64)
        datasets.insert_version(tx, project, second, held)
        datasets.replace_version(tx, project, changed(second, trainable=False))
    with home.read() as tx:
        assert [each.name for each in datasets.find(tx, project)] == ["a-b", "a.b", "flights"]
        assert datasets.get(tx, project, "flights").owner == "other"
        assert datasets.versions(tx, project, "flights")[1] == nouns.dataset_version()
        assert not datasets.get_version(tx, project, "flights").trainable
        assert datasets.get_version(tx, project, "flights", 1).version == 1
        assert [each.version for each in datasets.find_by_digest(tx, project, "b" * 64)] == [2]
        assert datasets.next_version(tx, project, "flights") == 3
        users = references.users(tx, project, nouns.digest_of("a"))
        assert sorted(users) == [("dataset_version", f"flights@{n}") for n in (1, 2)]
        for missing in (("none", None), ("flights", 9)):
            with pytest.raises(NotFound):
                datasets.get_version(tx, project, *missing)


def test_models_and_their_versions(home, project):
    files = [nouns.digest_of("file")]
    with home.write() as tx:
        models.save(tx, project, nouns.model())
        models.save(tx, project, nouns.model(purpose="new"))
        models.insert_version(tx, project, nouns.model_version(run_id="r"), files)
        second = nouns.model_version(version=2, run_id="r")
        models.insert_version(tx, project, second, files)
        models.replace_version(tx, project, changed(second, retired_at=8))
    with home.read() as tx:
        assert [each.purpose for each in models.find(tx, project)] == ["new"]
        assert models.get(tx, project, "delay").name == "delay"
        assert models.versions(tx, project, "delay")[1] == nouns.model_version(run_id="r")
        assert models.get_version(tx, project, "delay").retired_at == 8
        assert models.next_version(tx, project, "delay") == 3
        assert files[0] in references.every_digest(tx)
        with pytest.raises(NotFound):
            models.get(tx, project, "Delay")
        with pytest.raises(NotFound):
            models.get_version(tx, project, "delay", 3)


def test_verdicts_and_approvals(home, project):
    first, second = nouns.verdict(), nouns.verdict(version=2)
    given = [nouns.approval(), nouns.approval()]
    with home.write() as tx:
        for each in (first, second):
            gates.insert_verdict(tx, project, each)
        for each in given:
            gates.insert_approval(tx, project, each)
    with home.read() as tx:
        assert gates.find_verdicts(tx, project, "delay") == [second, first]
        assert gates.find_verdicts(tx, project, "delay", 1) == [first]
        assert gates.get_verdict(tx, project, second.verdict_id) == second
        assert gates.get_verdict(tx, new_id(), second.verdict_id) is None
        assert gates.judged_on(tx, project, first.test_data) == {first.candidate}
        assert gates.find_approvals(tx, project, "delay", 1) == given


def test_releases_routing_and_hosts(home, project):
    made = [nouns.release(), nouns.release(state=ReleaseState.HELD), nouns.release(model="b")]
    with home.write() as tx:
        for each in made:
            releases.save(tx, project, each)
        done = changed(made[2], state=ReleaseState.DONE, evidence={"p": 0.01})
        releases.save(tx, project, done)
        releases.move_routing(tx, project, nouns.routing(), 0)
        with pytest.raises(Conflict, match="not at revision 0"):
            releases.move_routing(tx, project, nouns.routing(), 0)
        releases.move_routing(tx, project, nouns.routing(revision=2, fallback=None), 1)
        releases.save_host(tx, project, nouns.host())
        releases.save_host(tx, project, nouns.host(answered=5, seen_at=2))
    with home.read() as tx:
        assert releases.get(tx, project, made[2].release_id) == done
        assert releases.find(tx, project, "delay") == [made[1], made[0]]
        assert releases.find_running(tx, project) == made[:2]
        assert releases.current_routing(tx, project, "none") is None
        history = releases.routing_history(tx, project, "delay")
        assert [each.revision for each in history] == [2, 1]
        assert history[0] == releases.current_routing(tx, project, "delay")
        assert history[0].fallback is None
        assert releases.find_hosts(tx, project) == [nouns.host(answered=5, seen_at=2)]
        with pytest.raises(NotFound):
            releases.get(tx, project, new_id())


def test_sealed_logs_are_known_once_and_found_by_time(home, project):
    with home.write() as tx:
        assert predictions.insert_sealed(tx, project, nouns.sealed())
        assert not predictions.insert_sealed(tx, project, nouns.sealed())
        later = nouns.sealed(from_offset=128, to_offset=200, min_time=30, max_time=40)
        assert predictions.insert_sealed(tx, project, later)
    with home.read() as tx:
        assert predictions.find_sealed(tx, project) == [nouns.sealed(), later]
        assert predictions.find_sealed(tx, project, 21, 31) == [later]
        assert predictions.find_sealed(tx, project, 0, 10) == []
        segment = SegmentName(0, 0)
        assert predictions.sealed_to(tx, project, "h1", segment).to_offset == 200
        assert predictions.sealed_to(tx, project, "h2", segment).to_offset == 0


def test_only_what_goes_on_where_a_segment_ends_is_appended(home, project):
    first = nouns.sealed(from_offset=64, to_offset=128)
    second = nouns.sealed(from_offset=128, to_offset=200)
    overlapping = nouns.sealed(from_offset=64, to_offset=500)
    beyond = nouns.sealed(from_offset=300, to_offset=400)
    with home.write() as tx:
        assert predictions.append_sealed(tx, project, [second]) == 0
        assert predictions.append_sealed(tx, project, [first, second]) == 2
        assert predictions.append_sealed(tx, project, [first, overlapping, beyond]) == 0
        assert predictions.find_sealed(tx, project) == [first, second]


def test_outcomes_are_inserted_once_and_read_as_they_were_known(home, project):
    ids = sorted(new_id() for _ in range(3))
    batch = [nouns.outcome(prediction_id=each, value=index) for index, each in enumerate(ids)]
    corrected = changed(batch[0], value={"late": True}, revision=1, recorded_at=9)
    with home.write() as tx:
        assert predictions.insert_outcomes(tx, project, []) == 0
        assert predictions.insert_outcomes(tx, project, [*batch, batch[0]]) == 3
        assert predictions.insert_outcomes(tx, project, [batch[1], corrected]) == 1
    with home.read() as tx:
        assert predictions.outcomes_of(tx, project, ids[0]) == [batch[0], corrected]
        assert predictions.find_outcomes(tx, project, recorded_from=7) == [corrected]
        assert len(predictions.find_outcomes(tx, project, known_at=6)) == 3
        span = {"first_id": ids[0], "last_id": ids[2]}
        latest = predictions.latest_outcomes(tx, project, **span, known_at=8)
        assert latest == [(ids[0], 0, 6), (ids[1], 1, 6)]
        newest = predictions.newest_outcomes(tx, project, limit=2)
        assert newest == [corrected, batch[2]]
        rest = predictions.newest_outcomes(tx, project, limit=9, before=(6, ids[2]))
        assert rest == [batch[1], batch[0]]
        assert predictions.count_outcomes(tx, project, **span) == 3


@pytest.mark.parametrize("values", [[1.5, True, None], ["late", "été", '"']])
def test_outcomes_join_predictions_in_frames(home, project, values):
    import polars as pl

    batch = [nouns.outcome(value=value) for value in values]
    with home.write() as tx:
        predictions.insert_outcomes(tx, project, batch)
    frame = pl.DataFrame({"prediction_id": [each.prediction_id for each in batch]})
    joined = prediction_frames.with_outcomes(home, frame)["outcome"].to_list()
    assert joined == [1.0 if value is True else value for value in values]


def test_windows_alerts_and_decisions(home, project):
    alerts = [nouns.alert(), nouns.alert(model="other", state=AlertState.DONE)]
    chosen = nouns.decision(alerts[0].alert_id)
    with home.write() as tx:
        monitoring.insert_window(tx, project, nouns.window())
        monitoring.insert_window(tx, project, nouns.window(revision=1, rows=6))
        for each in alerts:
            monitoring.save_alert(tx, project, each)
        monitoring.save_alert(tx, project, changed(alerts[0], state=AlertState.DECIDED))
        monitoring.save_decision(tx, project, chosen)
        monitoring.save_decision(tx, project, changed(chosen, worked=True))
    with home.read() as tx:
        assert monitoring.find_windows(tx, project, "delay", 1) == [
            nouns.window(revision=1, rows=6)
        ]
        assert monitoring.find_windows(tx, project, "delay", since=1) == []
        assert monitoring.last_ends(tx, project, "delay") == {1: nouns.window().end}
        assert monitoring.get_alert(tx, project, alerts[0].alert_id[:31]).state == "decided"
        assert monitoring.find_alerts(tx, project, states=("done",)) == [alerts[1]]
        assert len(monitoring.find_alerts(tx, project)) == 2
        assert monitoring.find_alerts(tx, project, model="none") == []
        assert monitoring.find_decisions(tx, project, alerts[0].alert_id)[0].worked is True
        assert monitoring.get_decision(tx, project, chosen.decision_id).actor == "ada"
        for missing in ("%" * 8, alerts[0].alert_id[:7]):
            with pytest.raises(NotFound):
                monitoring.get_alert(tx, project, missing)
        with pytest.raises(NotFound):
            monitoring.get_decision(tx, project, new_id())


def test_a_job_lives_from_waiting_to_done(home, project):
    with home.write() as tx:
        first = jobs.add(tx, project, nouns.job(dedupe_key="k"))
        assert jobs.add(tx, project, nouns.job(dedupe_key="k")) == first
        later = jobs.add(tx, project, nouns.job(run_at=2**62))
        taken = jobs.take(tx, project, 60)
        assert taken is not None
        assert taken.fence == 1
        assert jobs.take(tx, project, 60) is None
        assert jobs.take(tx, project, 60, later.job_id) is None
        jobs.report(tx, project, taken, seconds=60, progress=0.5, message="half")
        assert jobs.unfinished(tx, project) == {"waiting": 1, "running": 1}
        with pytest.raises(Conflict, match="no longer held"):
            jobs.report(tx, project, first, seconds=1, progress=0, message="")
        jobs.retry(tx, project, taken, delay_seconds=-1, error="busy")
        again = jobs.take(tx, project, -1)
        assert again is not None
        newer = jobs.take(tx, project, 60)
        assert newer is not None
        assert newer.fence == again.fence + 1
        with pytest.raises(Conflict):
            jobs.finish(tx, project, again, JobState.DONE)
        jobs.finish(tx, project, newer, JobState.DONE, result={"answer": None})
        assert jobs.add(tx, project, nouns.job(dedupe_key="k")).job_id != first.job_id
        jobs.cancel(tx, project, later.job_id)
        with pytest.raises(Conflict, match="cancelled already"):
            jobs.cancel(tx, project, later.job_id)
    with home.read() as tx:
        done = jobs.get(tx, project, first.job_id)
        assert (done.state, done.result, done.progress) == (JobState.DONE, {"answer": None}, 1.0)
        assert [each.job_id for each in jobs.find(tx, project, after=later.job_id)] == [
            first.job_id
        ]
        with pytest.raises(NotFound):
            jobs.get(tx, project, new_id())


def test_a_lease_belongs_to_one_and_its_fence_grows(home, project):
    with home.write() as tx:
        assert jobs.take_lease(tx, project, "controller", "a", 60) == 1
        assert jobs.take_lease(tx, project, "controller", "b", 60) is None
        assert jobs.take_lease(tx, project, "controller", "a", -1) == 1
        assert jobs.take_lease(tx, project, "controller", "b", 60) == 2
        jobs.release_lease(tx, project, "controller", "b")
        assert jobs.take_lease(tx, project, "controller", "a", 60) == 3


def test_tokens_are_found_by_id_alone_and_revoked_once(home, project):
    token = nouns.token(project)
    with home.write() as tx:
        tokens.add(tx, token)
        assert tokens.unrevoked(tx, project, "ci") == token
        assert tokens.revoke(tx, project, token.token_id, 5).revoked_at == 5
        assert tokens.revoke(tx, project, token.token_id, 9).revoked_at == 5
    with home.read() as tx:
        assert tokens.find(tx, token.token_id) == changed(token, revoked_at=5)
        assert tokens.every(tx, project) == [changed(token, revoked_at=5)]
        assert tokens.unrevoked(tx, project, "ci") is None
        with pytest.raises(NotFound):
            tokens.revoke(tx, new_id(), token.token_id, 1)


def test_references_and_changes(home, project):
    digests = ["a" * 64, "b" * 64]
    with home.write() as tx:
        before = changes.head(tx, project)
        for _ in range(2):
            references.add(tx, project, "run", "r1", *digests, "", digests[0])
        changes.append(tx, project, "run", "r1")
        changes.append(tx, project, "run", "r2")
    with home.read() as tx:
        assert references.users(tx, project, digests[0]) == [("run", "r1")]
        assert references.every_digest(tx) == set(digests)
        assert [each.id for each in changes.after(tx, project, before)] == ["r1", "r2"]
        assert [each.id for each in changes.after(tx, project, before, limit=1)] == ["r1"]
        assert changes.head(tx, new_id()) == 0


def test_every_number_an_auditor_saw_is_read_back_and_the_chain_holds(home, project):
    context = Context(home, local_actor("ada"), operation="test")
    odd = {"big": 1e22, "whole": 5.0, "tiny": 1e-7, "zero": -0.0, "max": 2**63 - 1}
    with context.write("thing:1", **odd, nan=math.nan, worst=-math.inf, text='\0"é'):
        pass
    with context.write("thing:2", nested={"b": [1, {"a": 2}], "a": None}):
        pass
    with home.read() as tx:
        assert audit.first_broken(tx, project) is None
        first, second = audit.entries(tx, project)
        assert {name: first.detail[name] for name in odd} == odd
        assert math.copysign(1, first.detail["zero"]) == -1
        assert (first.detail["nan"], first.detail["worst"]) == ("NaN", "-Infinity")
        assert audit.latest(tx, project, 1) == [second]
    with home.write() as tx:
        tx.exec_driver_sql("UPDATE audit SET actor = 'eve' WHERE seq = 1")
    with home.read() as tx:
        assert audit.first_broken(tx, project) == 1


def test_metrics_may_be_nan_or_infinite(home, project):
    made = nouns.run(metrics={"nan": math.nan, "inf": math.inf, "low": -math.inf, "none": None})
    with home.write() as tx:
        runs.save(tx, project, made)
    with home.read() as tx:
        found = runs.get(tx, project, made.run_id).metrics
    assert math.isnan(found.pop("nan"))
    assert found == {"inf": math.inf, "low": -math.inf, "none": None}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"name": "x" * 501}, "name has 501 characters"),
        ({"name": "a\0b"}, "NUL"),
        ({"error": "a\0b"}, "NUL"),
        ({"name": "\ud800"}, "surrogate"),
        ({"seed": 2**63}, "64 bits"),
        ({"ended_at": -(2**63) - 1}, "64 bits"),
    ],
)
def test_what_no_database_can_keep_is_said_in_words(home, project, values, words):
    made = nouns.run(**values)
    with pytest.raises(UsageError, match=words), home.write() as tx:
        runs.save(tx, project, made)
    with home.read() as tx:
        assert runs.find(tx, project) == []


def test_json_may_hold_any_text_and_long_names_fit(home, project):
    odd = {"a\0b": "\0", "é": "\ud800", "quote": '"\\'}
    made = nouns.run(params=odd, name="é" * 200, error="é" * 100_000)
    long = nouns.artifact(made.run_id, name="n" * 250)
    with home.write() as tx:
        runs.save(tx, project, made)
        runs.save_artifact(tx, project, long)
    with home.read() as tx:
        assert runs.get(tx, project, made.run_id) == made
        assert runs.find_artifacts(tx, project, made.run_id) == [long]


def test_a_name_taken_meanwhile_is_a_conflict_not_a_drivers_error(home, project):
    with home.write() as tx:
        datasets.insert_version(tx, project, nouns.dataset_version())
    with pytest.raises(Conflict, match="Somebody else"), home.write() as tx:
        datasets.insert_version(tx, project, nouns.dataset_version())


def test_projects_are_walls(home, project):
    nouns.fill(Context(home, local_actor("ada"), operation="test"))
    with home.write() as tx:
        other = projects.create(tx, "other").project_id
    with home.read() as tx:
        assert runs.find(tx, other) == []
        assert models.find(tx, other) == []
        assert datasets.find(tx, other) == []
        assert gates.find_verdicts(tx, other, "delay") == []
        assert releases.current_routing(tx, other, "delay") is None
        assert predictions.find_sealed(tx, other) == []
        assert predictions.find_outcomes(tx, other) == []
        assert monitoring.find_alerts(tx, other) == []
        assert jobs.find(tx, other) == []
        assert audit.entries(tx, other) == []
        assert references.users(tx, other, nouns.digest_of("package")) == []
        assert audit.first_broken(tx, project) is None


def test_worker_numbers_belong_to_one_log_folder_for_ever(home, project):
    with home.write() as tx:
        assert worker_numbers.take(tx, project, "a" * 32, 2) == [0, 1]
        assert worker_numbers.take(tx, project, "b" * 32, 1) == [2]
        assert worker_numbers.take(tx, project, "a" * 32, 3) == [0, 1, 3]
        assert worker_numbers.take(tx, project, "b" * 32, 1) == [2]
        other = projects.create(tx, "other").project_id
        assert worker_numbers.take(tx, other, "a" * 32, 1) == [0]
        jobs.take_lease(tx, project, "serving-worker/ffff", "c/0", 1)
        with pytest.raises(Refused, match="65536 worker numbers"):
            worker_numbers.take(tx, project, "d" * 32, 1)


def test_what_a_job_says_is_read_in_order_once_and_forgotten_in_time(home, project):
    def said(seq, at=0):
        return JobText(job_id="j", seq=seq, at=at, text=f"line {seq}\n")

    with home.write() as tx:
        for seq in (1, 2, 2, 3):
            job_output.append(tx, project, said(seq, at=seq))
        job_output.append(tx, new_id(), said(4))
    with home.read() as tx:
        assert [each.seq for each in job_output.after(tx, project, "j", 1)] == [2, 3]
        assert job_output.after(tx, project, "other", 0) == []
    with home.write() as tx:
        assert job_output.forget_before(tx, project, 3) == 2
        assert job_output.after(tx, project, "j", 0) == [said(3, at=3)]


def test_every_project_with_due_work_is_found(home, project):
    def waiting(**changes):
        return changed(nouns.job(), job_id=new_id(), dedupe_key=None, run_at=0, **changes)

    with home.write() as tx:
        others = [projects.create(tx, name).project_id for name in ("a", "b", "c")]
        assert jobs.due_projects(tx) == []
        jobs.add(tx, others[0], waiting())
        jobs.add(tx, others[0], waiting())
        jobs.add(tx, others[1], changed(waiting(), run_at=1 << 60))
        jobs.add(tx, others[2], waiting())
        assert set(jobs.due_projects(tx)) == {others[0], others[2]}
        jobs.take(tx, others[2], 60)
        assert jobs.due_projects(tx) == [others[0]]
        jobs.add(tx, project, waiting())
        jobs.take(tx, project, -1)
        assert set(jobs.due_projects(tx)) == {others[0], project}, "its worker died"
