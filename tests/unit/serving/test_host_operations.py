"""What a serving host's token may ask and send, over the API: its own things, once each."""

import msgspec
import pytest
from blake3 import blake3
from tests.rest import ask, make_app, new_token
from tests.serving_home import MODEL, add_version, constant_package, live, make_home, route

from thrive.client.serving_host import HostFolder
from thrive.domain.actor import local_actor
from thrive.domain.errors import Conflict
from thrive.domain.identifiers import new_id
from thrive.domain.prediction import SealedLog
from thrive.operations import Context
from thrive.serving.packages import PackageCache
from thrive.serving.routes import Routes
from thrive.store import changes, predictions, releases

LOG, HOST = "a" * 32, "edge-1"
BYTES = {"content-type": "application/octet-stream"}


class Caller:
    """One token, and the application it is for."""

    def __init__(self, home, name, *roles):
        self.home = home
        self.app = make_app(home)
        context = Context(home, local_actor("t"), operation="t")
        self.token = new_token(context, name, *(roles or ("serve",)))

    def post(self, name, **given):
        return ask(self.app, "POST", f"/api/serving/{name}", token=self.token, body=given)

    def get(self, name, query=""):
        return ask(self.app, "GET", f"/api/serving/{name}", token=self.token, query=query)

    def send(self, *blobs):
        packed = msgspec.msgpack.encode(blobs)
        path = "/api/blobs/small"
        reply = ask(self.app, "PUT", path, token=self.token, raw=packed, headers=BYTES)
        return reply.json()["digests"]

    def commit(self, *rows, log=LOG):
        (batch,) = self.send(msgspec.msgpack.encode(rows))
        return self.post("commit", log_id=log, host=HOST, batch=batch)


@pytest.fixture
def home(tmp_path):
    made = make_home(tmp_path)
    route(made, live(add_version(made, constant_package(0.3))))
    yield made
    made.close()


@pytest.fixture
def host(home):
    caller = Caller(home, "edge-1")
    yield caller
    caller.app.close()


def row(digest, **changed):
    known = {
        "worker": 0,
        "segment": 1,
        "from_offset": 64,
        "to_offset": 128,
        "digest": digest,
        "rows": 3,
        "min_time": 10,
        "max_time": 20,
        "host": HOST,
        "sealed_at": 30,
    }
    return SealedLog(**(known | changed))


def test_routes_say_what_is_live_and_of_which_project(host, home):
    told = msgspec.json.decode(host.get("routes").body, type=Routes)
    assert (told.project, told.project_id) == (home.project.name, home.project_id)
    assert told.models[MODEL].variants[0].share == 1.0


def test_a_log_folder_keeps_its_numbers(host):
    first = host.post("register", log_id=LOG, workers=2).json()["numbers"]
    other = host.post("register", log_id="b" * 32, workers=1).json()["numbers"]
    assert host.post("register", log_id=LOG, workers=2).json()["numbers"] == first
    assert set(first).isdisjoint(other)
    assert host.post("register", log_id="x", workers=1).status == 422
    assert host.post("register", log_id=LOG, workers=65).status == 422


def test_a_heartbeat_is_of_its_token_and_has_the_time_of_the_server(host, home):
    other = Caller(home, "edge-2")
    for each in (host, other):
        assert (
            each.post("report", agent_id="a1", host=HOST, url="http://x", answered=5).status == 200
        )
    with home.read() as tx:
        known = releases.find_hosts(tx, home.project_id)
    assert len({each.agent_id for each in known}) == 2
    assert all(each.seen_at > 1_700_000_000_000_000 for each in known)
    assert host.post("report", agent_id="a1", host=HOST, seen_at=1).status == 422
    other.app.close()


def test_manifests_are_taken_once_and_the_answer_says_how_far(host, home):
    host.post("register", log_id=LOG, workers=1)
    first, second = host.send(b"one", b"two")
    with home.read() as tx:
        before = changes.head(tx, home.project_id)
    rows = [row(first), row(second, from_offset=128, to_offset=200)]
    for _ in range(2):
        ends = host.commit(*rows).json()["segments"]
        assert [each["to_offset"] for each in ends] == [200, 200]
    late = host.commit(row(second, to_offset=500)).json()["segments"]
    assert late[0]["to_offset"] == 200, "a longer one from the same byte came too late"
    asked = host.get("sealed", f"host={HOST}&segments=0/1&segments=0/2").json()["segments"]
    assert [each["to_offset"] for each in asked] == [200, 0]
    with home.read() as tx:
        assert predictions.find_sealed(tx, home.project_id) == rows
        assert changes.head(tx, home.project_id) == before + 1


def test_a_file_is_taken_whole_or_not_at_all(host, home):
    """It holds what two segments answered, and one of them came before: nothing counts twice."""
    host.post("register", log_id=LOG, workers=1)
    one, both, rest = host.send(b"one", b"one and two", b"two")
    assert host.commit(row(one)).json()["segments"][0]["to_offset"] == 128
    ends = host.commit(row(both, to_offset=200), row(both, segment=2)).json()["segments"]
    assert [each["to_offset"] for each in ends] == [128, 0]
    ends = host.commit(row(rest, segment=2), row("", from_offset=128, to_offset=136, rows=0))
    assert [each["to_offset"] for each in ends.json()["segments"]] == [128, 136]
    with home.read() as tx:
        known = predictions.find_sealed(tx, home.project_id)
    assert [each.digest for each in known if each.digest] == [one, rest]


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"worker": 1}, 403),
        ({"digest": blake3(b"never sent").hexdigest()}, 404),
        ({"digest": "../../etc/passwd"}, 422),
        ({"to_offset": 3}, 422),
        ({"rows": -1}, 422),
        ({"max_time": 1 << 63}, 422),
        ({"host": "edge-2"}, 422),
        ({"digest": ""}, 422),
    ],
)
def test_manifests_that_cannot_be_are_refused_whole(host, home, changed, status):
    host.post("register", log_id=LOG, workers=1)
    (digest,) = host.send(b"one")
    assert (
        host.commit(row(digest), row(**({"digest": digest, "segment": 2} | changed))).status
        == status
    )
    with home.read() as tx:
        assert predictions.find_sealed(tx, home.project_id) == []


def test_what_is_no_manifest_is_told(host):
    (digest,) = host.send(b"\xc1 no msgpack")
    assert host.post("commit", log_id=LOG, host=HOST, batch=digest).status == 422
    assert host.post("commit", log_id=LOG, host=HOST, batch="f" * 64).status == 404
    assert host.get("sealed", f"host={HOST}&segments=x").status == 422
    assert host.get("sealed", f"host={HOST}&segments=99999999999/1").status == 422


def test_a_token_of_another_role_serves_nothing(home):
    auditor = Caller(home, "ana", "auditor")
    assert auditor.get("routes").status == 403
    assert auditor.post("register", log_id=LOG, workers=1).status == 403
    auditor.app.close()


def test_a_folder_serves_one_project_and_no_home(home, tmp_path):
    with pytest.raises(Conflict, match="is a home"):
        HostFolder(home.folder)
    folder = HostFolder(tmp_path / "edge")
    mine = Routes(project="flights", project_id=new_id(), models={})
    folder.belong_to(mine)
    folder.belong_to(mine)
    with pytest.raises(Conflict, match="serves flights"):
        HostFolder(tmp_path / "edge").belong_to(Routes(project="x", project_id=new_id(), models={}))


def test_damaged_packages_are_dropped_when_a_host_starts(home, tmp_path):
    cache = PackageCache(tmp_path / "packages")
    digests = [add_version(home, constant_package(each)).package for each in (0.1, 0.2, 0.4)]
    for digest in digests:
        cache.add(digest, home.blobs.get)
    whole, changed, lacking = digests
    (file,) = [
        each for each in (tmp_path / "packages" / changed).iterdir() if "manifest" not in each.name
    ]
    file.write_bytes(file.read_bytes()[:-1] + b"!")
    (file,) = [
        each for each in (tmp_path / "packages" / lacking).iterdir() if "manifest" not in each.name
    ]
    file.unlink()
    (tmp_path / "packages" / ".unfinished.7").mkdir()
    cache.drop_damaged()
    assert [each.name for each in (tmp_path / "packages").iterdir()] == [whole]
