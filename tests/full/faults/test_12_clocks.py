"""Fault 12: clocks that are an hour apart, and a clock that jumps; two servers, one schedule."""

import time
from contextlib import ExitStack
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.callers import calling, check_exactly_once, eventually
from tests.end_to_end.test_server import served
from tests.full.faults.test_22_database_and_network import lease, ticks
from tests.serving_home import RemoteHost

from thrive.client.remote import connect
from thrive.domain.project import JobState
from thrive.store import audit, jobs, releases
from thrive.store.tables.project import leases

pytestmark = [pytest.mark.full, pytest.mark.timeout(400)]


@pytest.fixture
def skewed():
    """Return the environment of a process whose clock is off, e.g. by `+3600s`."""
    libfaketime = pytest.importorskip("libfaketime")
    library = next(Path(libfaketime.__file__).parent.rglob("libfaketime.so.1"))

    def environment(offset: str = "", file: Path | None = None) -> dict[str, str]:
        told = {"FAKETIME_TIMESTAMP_FILE": str(file)} if file else {"FAKETIME": offset}
        return {
            "LD_PRELOAD": str(library),
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_NO_CACHE": "1",
            **told,
        }

    return environment


def test_12_servers_an_hour_apart_lead_one_at_a_time_and_take_over(team, tmp_path, skewed):
    """The leader's clock is an hour ahead; when it is killed its lease ends all the same."""
    folders = [tmp_path / "ahead", tmp_path / "right"]
    for folder in folders:
        folder.mkdir()
    with ExitStack() as stack:
        ahead, known = stack.enter_context(served(folders[0], *team.words, **skewed("+3600s")))
        eventually(lambda: lease(team) is not None)
        began = lease(team)
        assert began.until < time.time_ns() // 1000 + 60_000_000, "counted on the database's clock"
        _, right = stack.enter_context(served(folders[1], *team.words))
        time.sleep(8)
        query = sa.select(sa.func.count()).where(leases.c.name == "controller")
        with team.home.read() as tx:
            assert tx.execute(query).scalar() == 1
        ahead.kill()
        ahead.wait()
        before = ticks(right["url"])
        fence = lease(team).fence
        eventually(lambda: ticks(right["url"]) > before, 40)
        eventually(lambda: lease(team).fence > fence, 40)
        assert known["url"] != right["url"]


def test_12_a_job_of_a_server_that_is_ahead_is_done_now(team, tmp_path, skewed):
    words = [word for word in team.words if word != "--no-worker"]
    folders = [tmp_path / "ahead", tmp_path / "right"]
    for folder in folders:
        folder.mkdir()
    with ExitStack() as stack:
        ahead = stack.enter_context(served(folders[0], *team.words, **skewed("+3600s")))[1]
        stack.enter_context(served(folders[1], *words))
        with connect(ahead["url"], ahead["token"], wait=False) as workspace:
            job = workspace.outcomes.commit("f" * 64)

        def ended() -> bool:
            with team.home.read() as tx:
                found = jobs.get(tx, team.home.project_id, job.job_id)
            return found.state is JobState.FAILED

        eventually(ended, 60)  # it fails, as nothing was sent under that digest


def test_12_the_clock_of_the_server_jumps_and_nothing_is_lost(house, tmp_path, skewed):
    """An hour ahead, an hour behind the truth, and right again, while a host answers and ships."""
    clock = tmp_path / "clock"
    clock.write_text("+0s\n")
    with ExitStack() as stack:
        _, known = stack.enter_context(served(house.folder, *house.words, **skewed(file=clock)))
        host = stack.enter_context(RemoteHost(tmp_path / "edge", known["url"], house.token))
        with calling(host) as seen:
            for offset in ("+3600s", "-3600s", "+0s"):
                time.sleep(2)
                clock.write_text(f"{offset}\n")
                before = ticks(known["url"])
                host.wait_for_revision(house.switch())
                eventually(lambda: ticks(known["url"]) > before, 40)  # noqa: B023 - asked here
        assert seen.failures == []
        host.stop()
        check_exactly_once(house.home, seen.ids)
    with house.home.read() as tx:
        history = releases.routing_history(tx, house.home.project_id, "delay")
        assert audit.first_broken(tx, house.home.project_id) is None
    revisions = sorted(table.revision for table in history)
    assert revisions == list(range(1, len(revisions) + 1))


CONTRACT = """\
contract = 1
[data.trips]
source = "trips.csv"
owner = "desk"
why = "Trips of the test."
refresh = "1 hour"
"""


def test_12_two_servers_fire_one_schedule_once(team, tmp_path):
    """Both see that a source is due, five times over; it is read once."""
    folders = [tmp_path / "first", tmp_path / "second"]
    for folder in folders:
        folder.mkdir()
        (folder / "thrive.toml").write_text(CONTRACT)
        (folder / "trips.csv").write_text("a,b\n1,2\n")
    with ExitStack() as stack:
        running = [stack.enter_context(served(folder, *team.words))[1] for folder in folders]
        before = [ticks(each["url"]) for each in running]
        eventually(
            lambda: all(
                ticks(each["url"]) >= known + 3 for each, known in zip(running, before, strict=True)
            ),
            90,
        )
        with team.home.read() as tx:
            found = jobs.find(tx, team.home.project_id)
        assert [job.operation for job in found if "refresh" in job.operation] == ["data refresh"]
