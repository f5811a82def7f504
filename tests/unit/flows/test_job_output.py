"""What a job prints reaches who watches, a job of another project never, and not without end."""

import pytest

from thrive.domain.actor import local_actor
from thrive.domain.errors import NotFound
from thrive.domain.identifiers import new_id
from thrive.domain.project import Job, JobState
from thrive.flows import job_output
from thrive.flows.job_output import JobOutput, forget_output, jobs_output
from thrive.operations import Context
from thrive.store import jobs
from thrive.store.home import create_home


@pytest.fixture
def context(tmp_path):
    home = create_home(tmp_path, "test")
    yield Context(home, local_actor("ada"), operation="test")
    home.close()


@pytest.fixture
def job(context):
    waiting = Job(
        job_id=new_id(),
        operation="runs start",
        arguments={},
        state=JobState.WAITING,
        actor="ada",
        run_at=0,
        created_at=0,
    )
    with context.home.write() as tx:
        jobs.add(tx, context.project_id, waiting)
        taken = jobs.take(tx, context.project_id, 60)
    assert taken is not None
    return taken


def texts(context, job, after=0):
    return [each.text for each in jobs_output(context, job.job_id, after=after)]


def test_lines_are_written_together_and_read_from_where_one_stopped(context, job):
    output = JobOutput(context, job)
    output.flush()
    assert texts(context, job) == []
    output.say("one\n")
    output.say("two\0\n")
    output.flush()
    output.say("three\n")
    output.flush()
    assert texts(context, job) == ["one\ntwo\n", "three\n"]
    first = jobs_output(context, job.job_id)[0]
    assert texts(context, job, first.seq) == ["three\n"]
    with pytest.raises(NotFound):
        jobs_output(context, "nothing")


def test_output_without_end_is_cut(context, job, monkeypatch):
    monkeypatch.setattr(job_output, "MOST_KEPT", 10)
    output = JobOutput(context, job)
    for _ in range(5):
        output.say("x" * 6)
        output.flush()
    told = "".join(texts(context, job))
    assert told.startswith("x" * 10 + "\n... more")
    assert told.count("x") == 10
    assert told.count("more is in the log") == 1


def test_what_was_said_is_forgotten_after_a_day(context, job, monkeypatch):
    output = JobOutput(context, job)
    output.say("hello\n")
    output.flush()
    assert forget_output(context) == 0
    monkeypatch.setattr(job_output, "KEPT_US", -1_000_000)
    assert forget_output(context) == 1
    assert texts(context, job) == []
