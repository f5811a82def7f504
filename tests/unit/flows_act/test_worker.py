"""The worker: leases, fences, and which errors are tried again."""

import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest

from thrive.domain.actor import PEOPLE, local_actor
from thrive.domain.clock import machine_now
from thrive.domain.errors import StoreUnavailable
from thrive.domain.identifiers import new_id
from thrive.domain.project import Job, JobState
from thrive.flows import worker
from thrive.operations import Context, Kind, operation
from thrive.store import jobs
from thrive.store.home import open_home

calls: list[str] = []


@operation("experiments probe", role=PEOPLE, kind=Kind.JOB)
def probe(ctx: Context, how: str) -> dict[str, str]:
    """Behave as told.

    Args:
        how: in which way.
    """
    calls.append(how)
    ctx.progress(0.5, "half of it")
    if how == "away":
        raise StoreUnavailable("It is away.")
    if how == "broken":
        raise ValueError("a mistake")
    if how == "slow":
        Path(ctx.local_folder() / "started").touch()
        time.sleep(60)
    return {"how": how, "actor": ctx.actor.name}


def queue(context: Context, how: str) -> str:
    job = Job(
        job_id=new_id(),
        operation="experiments probe",
        arguments={"how": how},
        state=JobState.WAITING,
        actor="ada",
        run_at=machine_now(),
        created_at=machine_now(),
    )
    with context.observe(f"job:{job.job_id}") as tx:
        jobs.add(tx, context.project_id, job)
    return job.job_id


def job_of(context: Context, job_id: str) -> Job:
    with context.read() as tx:
        return jobs.get(tx, context.project_id, job_id)


def test_a_job_runs_as_the_actor_who_queued_it(context: Context) -> None:
    job_id = queue(context, "well")
    assert worker.worker(context, once=True).done == 1
    assert job_of(context, job_id).result == {"how": "well", "actor": "ada"}
    assert worker.execute_next(context) is None


def test_a_mistake_ends_the_job_and_not_the_worker(context: Context) -> None:
    job_id = queue(context, "broken")
    queue(context, "well")
    report = worker.worker(context, once=True)
    assert (report.done, report.failed) == (1, 1)
    assert job_of(context, job_id).error == "ValueError: a mistake"


def test_a_transient_error_is_tried_again_and_not_for_ever(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "FIRST_PAUSE_SECONDS", 0.0)
    calls.clear()
    job_id = queue(context, "away")
    report = worker.worker(context, once=True)
    assert (report.retried, report.failed, calls) == (2, 1, ["away"] * 3)
    assert job_of(context, job_id).state is JobState.FAILED


def test_an_unknown_operation_fails_with_its_name(context: Context) -> None:
    job_id = queue(context, "well")
    with context.home.write() as tx:
        known = jobs.get(tx, context.project_id, job_id)
        unknown = Job(**{**{f: getattr(known, f) for f in known.__struct_fields__},
                         "job_id": new_id(), "operation": "nothing here"})  # fmt: skip
        jobs.add(tx, context.project_id, unknown)
    worker.worker(context, once=True)
    assert "nothing here" in job_of(context, unknown.job_id).error


def test_a_killed_workers_job_is_taken_again(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THRIVE_LEASE_SECONDS", "0.5")
    job_id = queue(context, "slow")
    folder = context.local_folder()
    process = multiprocessing.get_context("fork").Process(target=_work, args=(folder,))
    process.start()
    try:
        deadline = time.monotonic() + 20
        while not (folder / "started").exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
    assert job_of(context, job_id).state is JobState.RUNNING
    monkeypatch.setattr(time, "sleep", lambda _seconds: None)
    deadline = time.monotonic() + 20
    while worker.execute_next(context) is None:
        assert time.monotonic() < deadline
    ended = job_of(context, job_id)
    assert (ended.state, ended.attempt, ended.fence) == (JobState.DONE, 2, 2)


def _work(folder: Path) -> None:
    home = open_home(folder)
    worker.execute_next(Context(home, local_actor("worker"), folder=folder))
