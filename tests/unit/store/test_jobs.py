import msgspec
import pytest

from thrive.domain.errors import Conflict
from thrive.domain.identifiers import new_id
from thrive.domain.project import Job, JobState
from thrive.store import jobs


def waiting(operation="gates run", **changes):
    job = Job(
        job_id=new_id(),
        operation=operation,
        arguments={"model": "m"},
        state=JobState.WAITING,
        actor="tester",
        run_at=0,
        created_at=0,
    )
    return msgspec.structs.replace(job, **changes)


def test_a_job_is_taken_once_and_its_fence_grows(home):
    with home.write() as tx:
        jobs.add(tx, home.project_id, waiting())
        first = jobs.take(tx, home.project_id, 60)
        assert first is not None
        assert jobs.take(tx, home.project_id, 60) is None
        assert (first.state, first.fence, first.attempt) == (JobState.RUNNING, 1, 1)


def test_an_expired_lease_is_retaken_and_the_old_worker_cannot_finish(home):
    with home.write() as tx:
        jobs.add(tx, home.project_id, waiting())
        old = jobs.take(tx, home.project_id, -1)
        new = jobs.take(tx, home.project_id, 60)
        assert old is not None
        assert new is not None
        assert new.fence == old.fence + 1
        with pytest.raises(Conflict, match="no longer held"):
            jobs.finish(tx, home.project_id, old, JobState.DONE)
        with pytest.raises(Conflict):
            jobs.report(tx, home.project_id, old, seconds=1, progress=0.5, message="")
        jobs.finish(tx, home.project_id, new, JobState.DONE, result={"answer": "pass"})
        assert jobs.get(tx, home.project_id, new.job_id).result == {"answer": "pass"}


def test_the_same_dedupe_key_is_the_same_job_until_it_ends(home):
    with home.write() as tx:
        first = jobs.add(tx, home.project_id, waiting(dedupe_key="retrain:m"))
        again = jobs.add(tx, home.project_id, waiting(dedupe_key="retrain:m"))
        assert again.job_id == first.job_id
        taken = jobs.take(tx, home.project_id, 60)
        assert taken is not None
        jobs.finish(tx, home.project_id, taken, JobState.FAILED, error="no data")
        third = jobs.add(tx, home.project_id, waiting(dedupe_key="retrain:m"))
        assert third.job_id != first.job_id


def test_a_cancelled_job_stops_its_worker_at_the_next_report(home):
    with home.write() as tx:
        jobs.add(tx, home.project_id, waiting())
        taken = jobs.take(tx, home.project_id, 60)
        assert taken is not None
        jobs.cancel(tx, home.project_id, taken.job_id)
        with pytest.raises(Conflict):
            jobs.report(tx, home.project_id, taken, seconds=60, progress=0.1, message="")
        with pytest.raises(Conflict, match="cancelled already"):
            jobs.cancel(tx, home.project_id, taken.job_id)


def test_a_retry_waits_its_pause(home):
    with home.write() as tx:
        jobs.add(tx, home.project_id, waiting())
        taken = jobs.take(tx, home.project_id, 60)
        assert taken is not None
        jobs.retry(tx, home.project_id, taken, delay_seconds=60, error="busy")
        assert jobs.take(tx, home.project_id, 60) is None


def test_a_lease_belongs_to_one_until_it_ends_and_its_fence_grows_with_each_owner(home):
    with home.write() as tx:
        assert jobs.take_lease(tx, home.project_id, "controller", "a", 60) == 1
        assert jobs.take_lease(tx, home.project_id, "controller", "b", 60) is None
        assert jobs.take_lease(tx, home.project_id, "controller", "a", 60) == 1
        jobs.release_lease(tx, home.project_id, "controller", "a")
        assert jobs.take_lease(tx, home.project_id, "controller", "b", 60) == 2
