"""Explanations on trial: once a day, told when they fail, and not asked for again and again."""

from tests.streams import Stream

from thrive.domain.clock import DAY, SECOND, machine_now
from thrive.domain.project import JobState
from thrive.flows.explaining import TRY, explanations_try, queue_trials
from thrive.governance import keeping
from thrive.governance.checks import CHECKS
from thrive.governance.evidence import QUERIES
from thrive.governance.law import find_duty
from thrive.governance.records import read_records
from thrive.store import jobs


def ended(context, result):
    with context.home.write() as tx:
        job = jobs.take(tx, context.project_id, 60, operation=TRY)
        jobs.finish(tx, context.project_id, job, JobState.DONE, result=result)


def test_an_answer_that_cannot_be_explained_is_told_in_the_file_and_in_the_duties(context):
    stream = Stream(context, rows=40)
    assert explanations_try(context) == []  # nothing was answered yet
    ids = stream.serve(stream.frame(stream.day))
    stream.advance()
    (tried,) = explanations_try(context)
    assert (tried.model, tried.version, tried.reproduced) == ("m", 1, False)
    assert tried.prediction_id in ids
    records = read_records(context, "m@1")
    (problem,) = CHECKS["explainable"](records, find_duty("ai-50-86-transparency"))
    assert tried.prediction_id in problem.what
    assert tried.words in problem.what
    (fact,) = QUERIES["explanation-trials"](records)
    assert fact.source == f"explanation:{tried.trial_id}"
    assert "not reproduced" in fact.value


def test_it_is_asked_for_once_a_day_and_not_again_while_there_is_nothing(context, monkeypatch):
    stream = Stream(context, rows=40)
    began = machine_now()
    monkeypatch.setattr(keeping, "machine_now", lambda: began)
    (first,) = queue_trials(context)
    assert [each.job_id for each in queue_trials(context)] == [first.job_id]
    ended(context, [])
    assert queue_trials(context) == []  # nothing was answered: ticks come every few seconds
    monkeypatch.setattr(keeping, "machine_now", lambda: began + 10 * SECOND)
    assert len(queue_trials(context)) == 1
    ended(context, [])
    monkeypatch.setattr(keeping, "machine_now", lambda: began + DAY)
    stream.serve(stream.frame(stream.day))
    stream.advance()
    explanations_try(context)
    assert queue_trials(context) == []
