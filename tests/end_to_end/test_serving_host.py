"""`thrive serve --home URL` on a host that has nothing of the home: real server, real agent."""

import time

import pytest
from tests.end_to_end.test_server import served
from tests.rest import new_token
from tests.serving_home import (
    MODEL,
    RemoteHost,
    add_version,
    constant_package,
    live,
    make_home,
    route,
)

from thrive.domain.actor import local_actor
from thrive.operations import Context
from thrive.serving.routes import read_routes
from thrive.store import predictions, releases
from thrive.store.eventlog import gaps
from thrive.store.prediction_frames import predictions_between

ROW = {"origin": "EWR", "wind": 1.5, "flight_id": "f1"}
FOREVER = 1 << 53


@pytest.fixture
def house(tmp_path):
    """A home with version 1 in production, and a token for a serving host."""
    folder = tmp_path / "server"
    folder.mkdir()
    home = make_home(folder)
    (folder / "thrive.toml").write_text("contract = 1\n")
    route(home, live(add_version(home, constant_package(0.3, EWR=0.7))))
    token = new_token(Context(home, local_actor("t"), operation="t"), "edge-1", "serve")
    yield home, folder, token
    home.close()


def ids(home):
    return predictions_between(home, 0, FOREVER, MODEL)["prediction_id"].to_list()


def eventually(holds, seconds=120):
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_a_host_without_the_home_follows_answers_and_ships(house, tmp_path):
    home, folder, token = house
    with (
        served(folder, "--no-worker") as (_, known),
        RemoteHost(tmp_path / "edge", known["url"], token) as host,
    ):
        cache = host.folder / ".thrive" / "cache"
        assert not (host.folder / ".thrive" / "home.json").exists()
        first = host.predict([ROW, {**ROW, "origin": "JFK"}])
        assert [each["score"] for each in first["predictions"]] == [0.7, 0.3]

        second = add_version(home, constant_package(0.9))
        with home.read() as tx:
            (now,) = releases.current_routing(tx, home.project_id, MODEL).variants
        moved = route(home, now, live(second, 0.5))
        eventually(lambda: read_routes(cache).models[MODEL].revision == moved)
        host.wait_for_revision(moved)
        answered: list[int] = []

        def both_answered():  # until its process has started, production answers for version 2
            row = {**ROW, "flight_id": f"f{len(answered)}"}
            answered.append(host.predict([row])["version"])
            return len(answered) >= 40 and set(answered) == {1, 2}

        eventually(both_answered, seconds=120)
        host.wait_for_revision(route(home, live(second), live(second, 0.0, shadow=True)))
        assert host.predict([ROW])["predictions"][0]["score"] == 0.9

        with home.read() as tx:
            (seen,) = releases.find_hosts(tx, home.project_id)
        assert seen.url == f"http://127.0.0.1:{host.port}"
        said = host.stop()
        assert "answered" in said
        frame = predictions_between(home, 0, FOREVER, MODEL)
    errors = frame["error"] != ""  # each was answered by production too
    assert frame.filter((frame["variant"] != "shadow") & ~errors).height == 3 + len(answered)
    assert frame["prediction_id"].n_unique() == frame.height
    assert {each["id"] for each in first["predictions"]} <= set(frame["prediction_id"])
    with home.read() as tx:
        assert gaps(predictions.find_sealed(tx, home.project_id)) == []
        (gone,) = releases.find_hosts(tx, home.project_id)
    assert gone.url == ""
    assert list((host.folder / ".thrive" / "log").glob("*.segment")) == []


def test_a_host_serves_on_without_the_server_and_starts_again_without_it(
    house, tmp_path, monkeypatch
):
    home, folder, token = house
    edge = tmp_path / "edge"
    kept: list[str] = []
    monkeypatch.setenv("THRIVE_SEAL_SECONDS", "0.2")
    with served(folder, "--no-worker") as (process, known):
        host = RemoteHost(edge, known["url"], token)
        kept.append(host.predict([ROW])["predictions"][0]["id"])
        process.kill()
        process.wait()
    kept += [host.predict([ROW])["predictions"][0]["id"] for _ in range(20)]
    host.stop()
    port = known["url"].rpartition(":")[2]
    with RemoteHost(edge, known["url"], token) as again:
        kept += [again.predict([ROW])["predictions"][0]["id"] for _ in range(20)]
        assert again.ask("/health")[1]["routing_age_s"] > 0.5
        (folder / ".thrive" / "server.json").unlink(missing_ok=True)
        with served(folder, "--no-worker", port=port):
            eventually(lambda: set(kept) <= set(ids(home)))
            second = add_version(home, constant_package(0.9))
            again.wait_for_revision(route(home, live(second)))
            assert again.predict([ROW])["predictions"][0]["score"] == 0.9
            again.stop()
    found = ids(home)
    assert len(found) == len(set(found)) == 42
    with home.read() as tx:
        assert gaps(predictions.find_sealed(tx, home.project_id)) == []
