"""Adding versions: what is kept, what is found, and what a failure leaves behind."""

import gzip
import os
import subprocess
import sys
import threading
import zipfile

import msgspec
import polars as pl
import pytest
from blake3 import blake3
from tests.unit.data.contents import file_digests

from thrive.data.operations import add, decide, list_datasets, log
from thrive.data.reading import find_version, resolve, scan_version
from thrive.domain.actor import local_actor
from thrive.domain.errors import DiskFull, NotFound, Refused, UsageError
from thrive.flows.data_show import show
from thrive.operations import Context
from thrive.store import audit, changes, references
from thrive.store.home import open_home
from thrive.store.snapshots.manifest import read_snapshot


def rows(ctx: Context, name: str) -> list[dict]:
    return scan_version(find_version(ctx, name), ctx.home.blobs).collect().to_dicts()


def test_a_version_is_named_by_its_content(project, added, tmp_path):
    version = find_version(project, "trips")
    file = blake3((tmp_path / "trips.csv").read_bytes()).hexdigest()
    manifest = {
        "files": [{"digest": file, "path": "trips.csv", "size": version.size}],
        "format": 1,
    }
    assert version.digest == blake3(msgspec.json.encode(manifest)).hexdigest() == added.digest
    assert project.home.blobs.get(version.digest) == msgspec.json.encode(manifest)


def test_what_the_contract_says_stands_in_for_options(project, added):
    view = show(project, "trips")
    assert (view.owner, view.why) == ("riders", "Trips, to learn how long they take.")
    assert {column.name: column.personal for column in view.columns} == {
        "id": "",
        "rider": "name",
        "minutes": "none",
        "at": "",
    }


def test_the_profile_counts_and_hides_personal_values(project, added):
    columns = {column.name: column for column in show(project, "trips").columns}
    minutes = columns["minutes"]
    assert (minutes.missing, minutes.distinct, minutes.min, minutes.max) == (1, 2, 10.5, 20.0)
    assert minutes.mean == 15.25
    assert minutes.quantiles["0.5"] in (10.5, 20.0)
    assert columns["at"].max == "2024-01-02T08:00:00+00:00"
    assert (columns["rider"].distinct, columns["rider"].top, columns["rider"].min) == (3, [], None)
    stored = msgspec.json.encode(find_version(project, "trips"))
    assert b"eve" not in stored


def test_frequent_values_are_kept_of_text_that_is_not_personal(project, tmp_path):
    (tmp_path / "cities.csv").write_text("city\n" + "rome\n" * 3 + "oslo\n")
    add(project, "cities.csv", name="cities")
    assert show(project, "cities").columns[0].top == [["rome", 3], ["oslo", 1]]


def test_the_same_content_gives_the_same_version_and_says_so(project, added):
    again = add(project, name="trips")
    assert (again.version, again.is_new) == (added.version, False)
    assert "trips@1 already" in again.note
    assert len(log(project, "trips")) == 1


def test_going_back_to_old_content_pins_the_old_version(project, added, write, tmp_path):
    old = (tmp_path / "trips.csv").read_text()
    write("1,ann,1,", "2,bob,2,")
    assert add(project, name="trips").version == 2
    (tmp_path / "trips.csv").write_text(old)
    assert add(project, name="trips").version == 1
    assert find_version(project, "trips").version == 1
    assert len(log(project, "trips")) == 2


def test_the_lock_file_names_the_version_sorted(project, added, tmp_path):
    (tmp_path / "a.csv").write_text("x\n1\n")
    first = add(project, "a.csv", name="a.b")
    text = (tmp_path / "thrive.lock").read_text()
    assert f'\n[data]\n"a.b" = "{first.digest}"\ntrips = "{added.digest}"\n' in text


def test_a_pin_that_is_not_here_says_what_to_do(project, added, tmp_path):
    lock = tmp_path / "thrive.lock"
    lock.write_text(lock.read_text().replace(added.digest, "0" * 64))
    with pytest.raises(NotFound, match="pins trips to 000000000000") as caught:
        find_version(project, "trips")
    assert caught.value.hint == "thrive data add --name trips"


def test_a_lock_file_with_merge_marks_is_refused(project, added, tmp_path):
    lock = tmp_path / "thrive.lock"
    lock.write_text("<<<<<<< ours\n" + lock.read_text())
    with pytest.raises(UsageError, match=r"thrive\.lock"):
        find_version(project, "trips")


def test_a_version_that_fails_a_check_is_kept_but_not_trainable(project, write):
    write("1,ann,500,", "1,bob,2,")
    version = add(project, name="trips")
    assert not version.trainable
    assert "thrive data decide trips@1 --trainable" in show(project, "trips").next_hint
    assert version.failed == [
        "unique(id): 1 row repeats another",
        "minutes between 0 and 100: 1 row lies outside",
    ]
    words = r"thrive\.toml:8: trips@1 may not be trained on: unique\(id\).*\(owed by riders\)"
    with pytest.raises(Refused, match=words):
        resolve(project, "trips")
    assert find_version(project, "trips").rows == 2


def test_a_person_can_decide_and_the_decision_stands(project, write):
    write("1,ann,500,")
    add(project, name="trips")
    decide(project, "trips@1", trainable=True, reason="a real trip")
    assert resolve(project, "trips").trainable
    assert add(project, name="trips").trainable
    assert show(project, "trips").checks[-1]["found"] == "a real trip"
    with project.read() as tx:
        entries = audit.entries(tx, project.project_id)
    assert {"trainable": True, "reason": "a real trip"} in [entry.detail for entry in entries]


def test_a_decision_needs_a_reason(project, added):
    with pytest.raises(UsageError, match="reason"):
        decide(project, "trips@1", trainable=False, reason=" ")


def test_a_check_on_a_column_that_is_gone_fails(project, tmp_path):
    (tmp_path / "trips.csv").write_text("other,minute\n1,2\n")
    failed = add(project, name="trips").failed
    assert "unique(id): there is no column 'id'" in failed
    lost = "there is no column 'minutes'; did you mean 'minute'?"
    assert f"minutes between 0 and 100: {lost}" in failed


def test_freshness_reads_the_projects_clock(project, tmp_path, write):
    contract = tmp_path / "thrive.toml"
    contract.write_text(contract.read_text().replace('"unique(id)"', '"fresh(at, 2 days)"'))
    assert "fresh(at, 2 days): the newest is of 2024-01-02" in add(project, name="trips").failed[0]
    contract.write_text(contract.read_text().replace("2 days", "400 years"))
    assert add(project, name="trips").failed == []


def test_one_audit_row_and_one_change_per_version(project, added):
    with project.read() as tx:
        entries = audit.entries(tx, project.project_id)
        feed = changes.after(tx, project.project_id, 0)
    assert [entry.subject for entry in entries] == ["dataset:trips"]
    assert [change.id for change in feed if change.kind == "dataset"] == ["trips"]


def test_every_blob_of_a_version_is_referenced(project, added):
    version = find_version(project, "trips")
    with project.read() as tx:
        for digest in (version.digest, file_digests(project, "trips")[0]):
            assert references.users(tx, project.project_id, digest) == [
                ("dataset_version", "trips@1")
            ]


def test_a_source_that_is_not_there(project):
    with pytest.raises(NotFound, match=r"gone\.csv"):
        add(project, "gone.csv", name="gone")
    assert list_datasets(project) == []


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"a,b\n1,2,3\n", "cannot be read"),
        (b"PAR0", "cannot be read|Parquet"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "not text"),
        (bytes(3000), "not text"),
    ],
)
def test_a_file_that_is_no_table_makes_no_version(project, tmp_path, content, words):
    name = "bad.parquet" if content.startswith(b"PAR") else "bad.csv"
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=words):
        add(project, name, name="bad")
    assert list_datasets(project) == []


def test_a_torn_archive_and_a_pipe_are_named_as_such(project, tmp_path):
    packed = gzip.compress(b"a,b\n" + b"".join(b"%d,%d\n" % (n, n * n) for n in range(9999)))
    for name, content in {
        "torn.csv.gz": packed[: len(packed) // 2],
        "head.csv.gz": packed[:8],
        "none.csv.gz": b"\x1f\x8bno archive at all",
    }.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UsageError, match=f"{name} cannot be read as a table"):
            add(project, name, name="bad")
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(UsageError, match="neither a file nor a folder"):
        add(project, "pipe.csv", name="bad")
    assert list_datasets(project) == []


def test_a_table_without_a_row_is_kept_and_not_trained_on(project, tmp_path):
    (tmp_path / "header.csv").write_text("a,b\n")
    added = add(project, "header.csv", name="header")
    assert (added.rows, added.trainable) == (0, False)
    assert added.failed == ["rows: there is none"]


def test_a_full_disk_makes_no_version(project, monkeypatch):
    def full(*_: object) -> str:
        raise DiskFull("No space left.", "free some space")

    monkeypatch.setattr(type(project.home.blobs), "put", full)
    with pytest.raises(DiskFull):
        add(project, name="trips")
    assert list_datasets(project) == []
    assert not (project.local_folder() / "thrive.lock").exists()


def test_types_found_late_in_a_file_hold_for_every_reader(project, tmp_path):
    lines = "n,d\n" + "1,2024-01-01\n" * 20_000 + "1.5,soon\n"
    (tmp_path / "late.csv").write_text(lines)
    add(project, "late.csv", name="late")
    assert {each.name: each.type for each in show(project, "late").columns} == {
        "n": "Float64",
        "d": "String",
    }
    assert rows(project, "late")[-1] == {"n": 1.5, "d": "soon"}


@pytest.mark.parametrize("place", [1, 20_000])
def test_dates_written_in_two_ways_are_text_and_said_to_be(project, tmp_path, place):
    lines = ["2026-08-02,2026-08-02T10:00:00,7"] * 20_001
    lines[place] = "02.08.2026,02.08.2026 10:00:00,7"
    (tmp_path / "mixed.csv").write_text("\n".join(["d,at,n", *lines, ""]))
    added = add(project, "mixed.csv", name="mixed")
    types = {each.name: each.type for each in show(project, "mixed").columns}
    assert types == {"d": "String", "at": "String", "n": "Int64"}
    assert rows(project, "mixed")[place]["d"] == "02.08.2026"
    assert added.trainable
    assert "d is text, not dates: they are written in more than one way" in added.note


def test_text_that_is_nearly_numbers_is_told_once(project, tmp_path):
    def lines(rows: int) -> str:
        fees = (f"{n}.5" if n % 40 else "n/a" for n in range(rows))
        return "fee;price;kind\n" + "".join(f"{fee};{n},5;word\n" for n, fee in enumerate(fees))

    (tmp_path / "fees.csv").write_text(lines(400))
    told = add(project, "fees.csv", name="fees").note
    assert told == (
        "fee is text, not numbers: 10 of 400 values looked at are none; "
        "price is text, not numbers: they have a decimal comma"
    )
    (tmp_path / "fees.csv").write_text(lines(500))
    assert add(project, "fees.csv", name="fees").note == ""


def test_fields_between_tabs_are_a_table(project, tmp_path):
    (tmp_path / "trips.tsv").write_text("km\tname\n1.5\ta, b\n")
    (tmp_path / "more.tsv.gz").write_bytes(gzip.compress(b"km\tname\n2\tc\n"))
    add(project, "trips.tsv", name="tabs")
    add(project, "more.tsv.gz", name="more")
    assert rows(project, "tabs") == [{"km": 1.5, "name": "a, b"}]
    assert rows(project, "more") == [{"km": 2, "name": "c"}]


def test_packed_and_columnar_files_read_alike(project, tmp_path):
    text = "a;b\n1;x\n2;NA\n"
    (tmp_path / "g.csv.gz").write_bytes(gzip.compress(text.encode()))
    with zipfile.ZipFile(tmp_path / "z.csv.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inside.csv", text)
    pl.DataFrame({"a": [1, 2], "b": ["x", None]}).write_parquet(tmp_path / "p.parquet")
    (tmp_path / "l.jsonl").write_text('{"a": 1, "b": "x"}\n{"a": 2, "b": null}\n')
    (tmp_path / "t.tsv").write_text(text.replace(";", "\t"))
    for file in ("g.csv.gz", "z.csv.zip", "p.parquet", "l.jsonl", "t.tsv"):
        name = file[0]
        add(project, file, name=name)
        assert rows(project, name) == [{"a": 1, "b": "x"}, {"a": 2, "b": None}], file
    assert read_snapshot(project.home.blobs, find_version(project, "z").listed_in).paths == [
        "z.csv"
    ]


def test_a_folder_is_one_table_and_moving_it_changes_nothing(project, tmp_path):
    folder = tmp_path / "parts"
    (folder / "deep").mkdir(parents=True)
    (folder / "b.csv").write_text("y,x\n3,1\n")
    (folder / "deep" / "a.csv").write_text("x,y\n2,4.5\n")
    first = add(project, "parts", name="parts")
    assert sorted(rows(project, "parts"), key=str) == [{"y": 3.0, "x": 1}, {"y": 4.5, "x": 2}]
    folder.rename(tmp_path / "moved")
    again = add(project, "moved", name="parts")
    assert (again.digest, again.is_new) == (first.digest, False)
    by_pattern = add(project, "moved/**/*.csv", name="parts")
    assert by_pattern.digest == first.digest


def test_an_edit_of_the_file_does_not_touch_the_version(project, added, tmp_path):
    (tmp_path / "trips.csv").write_text("id\n9\n")
    assert len(rows(project, "trips@1")) == 3


def test_progress_rises_to_the_end(home, project, tmp_path):
    seen: list[float] = []
    ctx = Context(
        home,
        local_actor("tester"),
        folder=tmp_path,
        progress=lambda share, _: seen.append(share),
        operation="data add",
    )
    add(ctx, name="trips")
    assert seen == sorted(seen)
    assert seen[-1] == 1.0


def test_writers_that_race_agree_on_one_version(project, tmp_path):
    results: list[tuple[int, bool]] = []

    def work() -> None:
        home = open_home(tmp_path)
        version = add(Context(home, local_actor("w"), folder=tmp_path), name="trips")
        results.append((version.version, version.is_new))
        home.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [(1, False), (1, False), (1, False), (1, True)]


KILLED = """
import os, sys
from pathlib import Path
from thrive.data.operations import add
from thrive.domain.actor import local_actor
from thrive.operations import Context
from thrive.store.home import open_home
from thrive.store.snapshots.manifest import read_snapshot

folder = Path(sys.argv[1])
die = lambda share, words: os._exit(9) if words == "writing the version" else None
add(Context(open_home(folder), local_actor("w"), folder=folder, progress=die), name="trips")
"""


def test_a_kill_before_the_row_leaves_no_version(project, tmp_path):
    killed = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False)
    assert killed.returncode == 9
    assert list_datasets(project) == []
    assert add(project, name="trips").is_new


def test_datasets_that_steps_make_are_not_asked_for_a_source(project, tmp_path):
    contract = tmp_path / "thrive.toml"
    made = '\n[data.made]\nowner = "o"\nwhy = "made by a step"\n'
    contract.write_text(contract.read_text() + made)
    assert add(project).dataset == "trips"
    contract.write_text(contract.read_text() + '\n[data.more]\nsource = "more.csv"\n')
    with pytest.raises(UsageError, match=r"The contract has trips, more\."):
        add(project)
