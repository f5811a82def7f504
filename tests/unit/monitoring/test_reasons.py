"""What is proposed is ranked, and each has its reason."""

import pytest

from thrive.domain.monitoring import ActionKind, Cause
from thrive.monitoring.learnable import Learnable, Lesson
from thrive.monitoring.policy import PROPOSED as PROPOSED_FOR
from thrive.monitoring.reasons import objections, reasons_for

PROPOSED = [ActionKind.RETRAIN, ActionKind.ROLLBACK, ActionKind.REVIEW, ActionKind.ACCEPT]


def ranked(lesson: Lesson | None = None, *, recommended="", few="", spent=False) -> dict[str, str]:
    learnt = None if lesson is None else Learnable(lesson=lesson, served=0.6, fitted=0.6, rows=900)
    against = objections(Cause.PERFORMANCE, recommended, lesson=learnt, few=few, spent=spent)
    return reasons_for(Cause.PERFORMANCE, PROPOSED, recommended, against)


def test_the_recommended_action_comes_first_and_every_action_says_why() -> None:
    told = ranked(Lesson.GAIN, recommended="rollback")
    assert list(told) == ["rollback", "retrain", "review", "accept"]
    assert all(told.values())


@pytest.mark.parametrize("lesson", [Lesson.NO_GAIN, Lesson.LOST])
def test_what_the_evidence_rules_out_comes_last_and_says_so(lesson: Lesson) -> None:
    told = ranked(lesson, recommended="review")
    assert list(told) == ["review", "accept", "retrain", "rollback"]
    assert told["retrain"].startswith("not now")
    assert told["rollback"].startswith("not now")


def test_too_few_labels_and_a_spent_budget_speak_against_retraining() -> None:
    assert ranked(few="3 are new", recommended="review")["retrain"] == "not now: 3 are new"
    told = ranked(Lesson.GAIN, recommended="review", spent=True)
    assert list(told)[-1] == "retrain"
    assert "budget" in told["retrain"]


def test_every_cause_gives_a_reason_for_whatever_it_may_propose() -> None:
    for cause, proposed in PROPOSED_FOR.items():
        told = reasons_for(cause, proposed, "", {})
        assert all(told.values()), cause
