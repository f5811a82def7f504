"""The way of the log into the store, single predictions found on both sides, the agent's refusals."""

import multiprocessing
import socket
import threading

import pytest
from tests.serving_home import MODEL, make_home

from thrive.domain.errors import Conflict, NotFound, Refused, UsageError
from thrive.domain.release import Variant
from thrive.serving import sealing
from thrive.serving.agent import Agent, AgentOptions
from thrive.serving.lookup import find_prediction
from thrive.serving.records import KIND, Logged, encode
from thrive.serving.routes import Routes, ServedModel, read_routes, write_routes
from thrive.serving.sealing import HomeLogs, seal_logs
from thrive.store import predictions
from thrive.store.eventlog import SegmentWriter, gaps
from thrive.store.home import open_home
from thrive.store.prediction_frames import predictions_between

LATER = 1 << 43


@pytest.fixture
def home(tmp_path):
    made = make_home(tmp_path)
    yield made
    made.close()


def log(home, writer, count, *, at=1_000_000):
    return [
        writer.append(
            KIND,
            at + n,
            encode(
                Logged(
                    m=MODEL,
                    v=1,
                    a="production",
                    t=at + n,
                    n=1,
                    x={"wind": [float(n)]},
                    k={"flight_id": [f"f{n}"]},
                    y=[0.5],
                    d=[True],
                )
            ),
        )
        for n in range(count)
    ]


def rows(home):
    return predictions_between(home, 0, LATER, MODEL)["prediction_id"].to_list()


def test_a_segment_is_due_at_the_age_that_is_set(home, monkeypatch):
    with SegmentWriter(home.log_folder, 0) as writer:
        log(home, writer, 4)
        assert seal_logs(home) == 0
        monkeypatch.setenv("THRIVE_SEAL_SECONDS", "0.000001")
        assert seal_logs(home) == 4


def test_what_was_answered_a_moment_ago_is_sealed_when_forced(home):
    with SegmentWriter(home.log_folder, 0) as writer:
        first = log(home, writer, 5)
        assert seal_logs(home) == 0
        assert seal_logs(home, force=True) == 5
        second = log(home, writer, 3, at=2_000_000)
        assert seal_logs(home, force=True) == 3
        assert seal_logs(home, force=True) == 0
        assert rows(home) == first + second
    seal_logs(home)
    assert list(home.log_folder.glob("*.segment")) == []
    with home.read() as tx:
        assert gaps(predictions.find_sealed(tx, home.project_id)) == []


def test_a_seal_that_dies_before_the_commit_or_after_it_doubles_nothing(home, monkeypatch):
    with SegmentWriter(home.log_folder, 0) as writer:
        ids = log(home, writer, 4)

    def dies(*_):
        raise OSError("killed")

    for place, step in (
        (HomeLogs, "commit"),
        (sealing, "confirm"),
        (sealing, "discard"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(place, step, dies)
            with pytest.raises(OSError, match="killed"):
                seal_logs(home, force=True)
    seal_logs(home, force=True)
    assert rows(home) == ids
    assert list(home.log_folder.glob("*.segment")) == []


def _seal_elsewhere(folder):
    home = open_home(folder)
    seal_logs(home, force=True)
    home.close()


def test_agent_and_controller_may_seal_at_once(home, tmp_path):
    with SegmentWriter(home.log_folder, 0) as writer:
        ids = log(home, writer, 2000)
        spawn = multiprocessing.get_context("spawn")
        other = spawn.Process(target=_seal_elsewhere, args=(tmp_path,))
        other.start()
        while other.is_alive():
            ids += log(home, writer, 20)
            seal_logs(home, force=True)
        other.join()
        assert other.exitcode == 0
    assert sorted(rows(home)) == sorted(ids)


def test_a_prediction_is_found_before_and_after_it_is_sealed(home):
    with SegmentWriter(home.log_folder, 0) as writer:
        ids = log(home, writer, 10)
        fresh = find_prediction(home, ids[7])
        assert (fresh.stored, fresh.inputs, fresh.keys) == (
            "segment",
            {"wind": 7.0},
            {"flight_id": "f7"},
        )
    seal_logs(home)
    sealed = find_prediction(home, ids[7])
    assert sealed.stored == "sealed"
    assert (sealed.score, sealed.decision, sealed.inputs) == (0.5, "true", {"wind": 7.0})
    with pytest.raises(NotFound, match="no prediction"):
        find_prediction(home, ids[7][:-4] + "0003")
    with pytest.raises(UsageError, match="not a prediction id"):
        find_prediction(home, "f7")


def agent(home, **options):
    class Plane:
        def routing(self, wait_s):
            return None

        def fetch(self, digest):
            raise NotFound(digest)

        def worker_numbers(self, log_id, count):
            return list(range(count))

        def ship(self):
            return 0

        def heartbeat(self, host):
            pass

    return Agent(Plane(), home.cache_folder, home.log_folder, AgentOptions(**options))


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::", "example.org", ""])
def test_an_address_that_others_reach_is_refused(home, host):
    with pytest.raises(Refused, match="no token"):
        agent(home, host=host, port=0).run(threading.Event(), print)


def test_a_port_in_use_is_named(home):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(Conflict, match=f"Port {port}"):
            agent(home, port=port).run(threading.Event(), print)


def test_routes_come_back_as_they_were_written(tmp_path):
    served = ServedModel(
        model=MODEL,
        revision=3,
        variants=[Variant(version=1, package="a" * 64, share=1.0)],
        fallback=0.2,
        entity=["flight_id", "origin"],
        segments=["origin", "carrier"],
    )
    routes = Routes(project="flights", models={MODEL: served}, replay=True, now=5)
    write_routes(tmp_path, routes)
    assert read_routes(tmp_path) == routes
    assert served.keys == ["flight_id", "origin", "carrier"]
    assert [path.name for path in tmp_path.iterdir()] == ["routing.json"]
