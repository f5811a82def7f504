"""Reading, comparing and checking out versions."""

import msgspec
import polars as pl
import pytest
from tests.unit.data.contents import file_digests

import thrive
from thrive.data.comparing import diff
from thrive.data.operations import add, checkout
from thrive.data.reading import find_version, split_name
from thrive.domain.errors import Conflict, Damaged, NotFound, Refused, UsageError
from thrive.engines import channel
from thrive.store.snapshots.snapshot import Snapshot


class FakeRun:
    """The channel of a run that answers `dataset` requests for one version."""

    def __init__(self, version, blobs):
        self.facts = {"blobs": str(blobs)}
        self.process = __import__("os").getpid()
        self.asked = []
        self.told = []
        self._version = version

    def send(self, kind, **body):
        self.told.append((kind, body["columns"]))

    def request(self, kind, **body):
        self.asked.append((kind, body))
        return msgspec.to_builtins(self._version)


def test_load_finds_the_project_of_the_current_folder(project, added, tmp_path, monkeypatch):
    (tmp_path / "deep").mkdir()
    monkeypatch.chdir(tmp_path / "deep")
    frame = thrive.data.load("trips")
    assert frame["minutes"].to_list() == [10.5, None, 20.0]
    assert thrive.data.scan("trips@1").select("id").collect().height == 3


def test_load_refuses_what_may_not_be_trained_on(project, write, tmp_path, monkeypatch):
    write("1,a,500,")
    add(project, name="trips")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Refused, match="may not be trained on"):
        thrive.data.load("trips")


def test_inside_a_run_the_channel_is_asked(project, added, tmp_path, monkeypatch):
    run = FakeRun(find_version(project, "trips"), tmp_path / ".thrive" / "blobs")
    monkeypatch.setattr(channel, "current", lambda: run)
    monkeypatch.chdir("/")
    assert thrive.data.load("trips@1").height == 3
    assert run.asked == [("dataset", {"name": "trips", "version": 1})]
    assert run.told == [("columns", None)]


def test_inside_a_run_a_scan_tells_what_its_query_reads(project, added, tmp_path, monkeypatch):
    run = FakeRun(find_version(project, "trips"), tmp_path / ".thrive" / "blobs")
    monkeypatch.setattr(channel, "current", lambda: run)
    rows = thrive.data.scan("trips")
    long = rows.filter(pl.col("minutes") > 11).select("id").collect()
    assert long["id"].to_list() == [3]
    assert rows.select(pl.len()).collect().item() == 3
    assert thrive.data.load("trips", columns=["at"]).columns == ["at"]
    assert [sorted(columns) for _, columns in run.told] == [["id", "minutes"], ["id"], ["at"]]


def test_damage_is_found_on_reading(project, added, tmp_path, monkeypatch):
    digest = file_digests(project, "trips")[0]
    path = tmp_path / ".thrive" / "blobs" / digest[:2] / digest[2:]
    path.chmod(0o600)
    path.write_bytes(path.read_bytes().replace(b"ann", b"anX"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Damaged, match=digest):
        thrive.data.load("trips")


@pytest.mark.parametrize(
    ("text", "found"), [("a", ("a", None)), ("a@12", ("a", 12)), ("a@x", ("a", "x"))]
)
def test_names_with_versions(text, found):
    assert split_name(text) == found


@pytest.mark.parametrize("text", ["a@", "a@../x", "a@ x"])
def test_a_name_with_a_wrong_version(text):
    with pytest.raises(UsageError):
        split_name(text)


def test_unknown_names_say_what_to_do(project, added):
    with pytest.raises(NotFound, match="'trip'"):
        find_version(project, "trip")
    with pytest.raises(NotFound, match="trips@7"):
        find_version(project, "trips@7")


def test_a_diff_names_what_changed(project, added, tmp_path):
    (tmp_path / "trips.csv").write_text("id,minutes,city\n1,five,rome\n2,7,oslo\n")
    add(project, name="trips")
    found = diff(project, "trips", 1, 2)
    changes = {(each.column, each.change): (each.before, each.after) for each in found.columns}
    assert (found.rows_before, found.rows_after, found.same) == (3, 2, False)
    assert changes["rider", "removed"] == ("String", None)
    assert changes["city", "added"] == (None, "String")
    assert changes["minutes", "type"] == ("Float64", "String")
    assert changes["id", "max"] == (3, 2)
    assert ("id", "min") not in changes
    assert diff(project, "trips", 1, 1).columns == []


def test_checkout_writes_the_bytes_and_only_what_differs(project, added, tmp_path):
    original = (tmp_path / "trips.csv").read_bytes()
    first = checkout(project, "trips@1", to=tmp_path / "out")
    assert (first.files, first.written) == (1, 1)
    assert (tmp_path / "out" / "trips.csv").read_bytes() == original
    assert checkout(project, "trips@1", to=tmp_path / "out").written == 0


def test_checkout_overwrites_nothing(project, added, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "trips.csv").write_text("mine")
    with pytest.raises(Conflict, match=r"trips\.csv"):
        checkout(project, "trips", to=tmp_path / "out")
    assert (tmp_path / "out" / "trips.csv").read_text() == "mine"


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "a/../../evil"])
def test_a_stored_name_cannot_leave_the_folder(project, added, tmp_path, name, monkeypatch):
    forged = Snapshot([name], [1], [b"\0" * 32], [None])
    monkeypatch.setattr("thrive.data.storing.read_snapshot", lambda *_: forged)
    with pytest.raises(Damaged, match="file name"):
        checkout(project, "trips", to=tmp_path / "out")
