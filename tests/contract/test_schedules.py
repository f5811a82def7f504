"""What the repositories of schedules and of step results promise, on SQLite and on PostgreSQL."""

import msgspec
import pytest
from tests.contract import nouns

from thrive.domain.errors import Conflict, NotFound
from thrive.domain.identifiers import new_id
from thrive.domain.run import CodeRecord, RunState, StepCode
from thrive.domain.schedule import Firing, Schedule
from thrive.store import runs, schedules


@pytest.fixture
def project(home):
    return home.project_id


def schedule(**known) -> Schedule:
    code = CodeRecord(entry="train.py", bundle="a" * 64)
    body = {"target": "train.py", "triggers": ["data x"], "code": code, "actor": "a"}
    return Schedule(name=new_id(), created_at=1, **{**body, **known})


def test_of_two_writers_of_a_schedule_the_first_wins(home, project):
    made = schedule(pending={"cause": "c", "since": 2}, seen={"data x": "x@1"}, next_at=None)
    first = msgspec.structs.replace(made, next_at=5, pending=None, revision=1)
    second = msgspec.structs.replace(made, next_at=6, revision=1)
    with home.write() as tx:
        schedules.add(tx, project, made)
    with pytest.raises(Conflict), home.write() as tx:
        schedules.add(tx, project, made)
    with home.write() as tx:
        assert schedules.get(tx, project, made.name) == made
        assert schedules.change(tx, project, first)
        assert not schedules.change(tx, project, second)
        assert schedules.get(tx, project, made.name) == first
        assert first in schedules.find(tx, project)
        schedules.remove(tx, project, made.name)
    with home.read() as tx, pytest.raises(NotFound):
        schedules.get(tx, project, made.name)


def test_firings_are_found_newest_first(home, project):
    name = new_id()
    fired = [
        Firing(firing_id=f"{number:032x}", schedule=name, cause="c", fired_at=number)
        for number in (1, 2, 3)
    ]
    with home.write() as tx:
        for each in fired:
            schedules.save_firing(tx, project, each)
        ran = msgspec.structs.replace(fired[1], run_id="b" * 32)
        schedules.save_firing(tx, project, ran)
    with home.read() as tx:
        assert schedules.find_firings(tx, project, name, since=2) == [fired[2], ran]
        assert schedules.get_firing(tx, project, ran.firing_id) == ran
        with pytest.raises(NotFound):
            schedules.get_firing(tx, project, new_id())


def test_results_of_steps_are_found_by_their_key(home, project):
    key = nouns.digest_of(new_id())
    run_id, other = new_id(), new_id()
    known = {"key": key, "result": {"digest": "d" * 64}, "state": RunState.DONE}
    with home.write() as tx:
        runs.save_step(tx, project, nouns.step(run_id, **known))
        reused = {**known, "source": f"{run_id}/1", "position": 2}
        runs.save_step(tx, project, nouns.step(run_id, **reused))
        runs.save_step(tx, project, nouns.step(other, **{**known, "note": "read x"}))
        for _ in range(2):
            code = StepCode(digest=key, parts={"f": "1"}, libraries={"python": "3"})
            runs.save_step_code(tx, project, code)
    with home.read() as tx:
        (found,) = runs.find_results(tx, project, key)
        assert (found.run_id, found.source) == (run_id, "")
        (noted,) = runs.find_results(tx, project, key, run_id=other)
        assert noted.note == "read x"
        assert runs.get_step_code(tx, project, key) == code
        assert runs.get_step_code(tx, project, "0" * 64) is None
