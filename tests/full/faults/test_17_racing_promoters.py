"""Fault 17: promoters of two servers race a thousand times for the next routing table."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.serving_home import MODEL, add_version, constant_package, live

from thrive.domain.actor import local_actor
from thrive.domain.clock import machine_now
from thrive.domain.errors import Conflict, StoreBusy
from thrive.domain.release import RoutingTable
from thrive.operations import Context
from thrive.store import audit, releases
from thrive.store.home import open_home

pytestmark = pytest.mark.full
RACES = 1000
PROMOTERS = 2


class Promoter:
    """A server of its own that promotes its version from the revision that everybody saw."""

    def __init__(self, home, version, barrier):
        self.home, self.version, self.barrier = home, version, barrier
        self.context = Context(home, local_actor(f"p{version.version}"), operation="test")
        self.won: list[int] = []

    def race(self, first):
        for revision in range(first, first + RACES):
            table = RoutingTable(
                model=MODEL,
                revision=revision,
                variants=[live(self.version)],
                fallback=0.2,
                salt="s",
                at=machine_now(),
                reason="race",
                actor=self.context.actor.name,
            )
            self.barrier.wait()
            if self.promote(table):
                self.won.append(revision)
            self.barrier.wait()

    def promote(self, table):
        while True:
            try:
                with self.context.write(f"model:{MODEL}", revision=table.revision) as tx:
                    releases.move_routing(tx, self.home.project_id, table, table.revision - 1)
            except Conflict:
                return False
            except StoreBusy:  # the machine stood still
                continue
            return True


@pytest.mark.parametrize("kind", ["house", "team"])
def test_17_of_two_promoters_one_wins_each_of_a_thousand_races(kind, request):
    home = request.getfixturevalue(kind).home
    homes = [open_home(home.folder.parent) for _ in range(PROMOTERS)]
    barrier = threading.Barrier(PROMOTERS, timeout=600)
    promoters = [
        Promoter(own, add_version(home, constant_package(0.1 * number)), barrier)
        for number, own in enumerate(homes, 1)
    ]
    with home.read() as tx:
        before = releases.current_routing(tx, home.project_id, MODEL)
    assert before is not None
    with ThreadPoolExecutor(PROMOTERS) as pool:
        list(pool.map(lambda each: each.race(before.revision + 1), promoters))
    winners = {number: each for each in promoters for number in each.won}
    assert sum(len(each.won) for each in promoters) == len(winners) == RACES
    with home.read() as tx:
        history = releases.routing_history(tx, home.project_id, MODEL)[:RACES]
        links = audit.entries(tx, home.project_id, limit=10 * RACES)
        assert audit.first_broken(tx, home.project_id) is None
    assert [table.revision for table in history] == sorted(winners, reverse=True)
    for table in history:
        assert table.variants[0].version == winners[table.revision].version.version
    moved = [link for link in links if link.operation == "test" and "revision" in link.detail]
    assert sorted(link.detail["revision"] for link in moved) == sorted(winners)
    for own in homes:
        own.close()
