"""A project moves from one kind of home to the other and back, and stays what it was."""

import gzip
import io
import json
import tarfile
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.contract import nouns

from thrive.domain.actor import local_actor
from thrive.domain.errors import (
    Conflict,
    Damaged,
    InfrastructureError,
    NotFound,
    SchemaTooNew,
    StoreUnavailable,
    ThriveError,
    UsageError,
)
from thrive.flows import backups
from thrive.operations import Context
from thrive.store import audit, changes, projects, runs
from thrive.store.blobs import ObjectBlobs
from thrive.store.home import Home, connect_home, create_home, open_home
from thrive.store.place import FOLDER
from thrive.store.tables.schema import metadata


def context_in(home: Home | None, folder: Path) -> Context:
    folder.mkdir(exist_ok=True)
    return Context(home, local_actor("keeper"), folder=folder, operation="backups")  # type: ignore[arg-type]


@pytest.fixture
def source(tmp_path):
    """A context of an embedded home with one of everything."""
    folder = tmp_path / "source"
    folder.mkdir()
    home = create_home(folder, "flights")
    context = context_in(home, folder)
    nouns.fill(context)
    yield context
    home.close()


@pytest.fixture
def backup(source, tmp_path) -> Path:
    backups.create(source, tmp_path / "one.backup")
    return tmp_path / "one.backup"


def everything(home: Home) -> tuple[dict, dict]:
    """Return all rows of a home by table, and the bytes of all its blobs by digest."""
    rows = {}
    with home.read() as tx:
        for name, table in metadata.tables.items():
            query = sa.select(table).where(table.c.project_id == home.project_id)
            found = tx.execute(query.order_by(*table.primary_key))
            rows[name] = [dict(row) for row in found.mappings()]
    return rows, {digest: home.blobs.get(digest) for digest in home.blobs.digests()}


def without_restores(rows: dict, restores: int) -> dict:
    """Return rows without the link and the change that each restore adds."""
    cut = {name: rows[name][: len(rows[name]) - restores] for name in ("audit", "changes")}
    return {name: rows[name] for name in rows if name != "audit_heads"} | cut


def test_there_and_back_again(source, backup, database_url, bucket, tmp_path):
    before, blobs = everything(source.home)
    team = context_in(None, tmp_path / "team")
    said = backups.restore(team, backup, database=database_url, objects=bucket)
    assert said.rows == sum(map(len, before.values())) - 1
    assert said.files == len(blobs)

    moved = open_home(tmp_path / "team")
    assert isinstance(moved.blobs, ObjectBlobs)
    rows, moved_blobs = everything(moved)
    assert without_restores(rows, 1) == without_restores(before, 0)
    assert moved_blobs == blobs
    with moved.read() as tx:
        assert audit.first_broken(tx, moved.project_id) is None
    with context_in(moved, tmp_path / "team").write("thing:1"):
        pass  # the counter of the change feed goes on
    backups.create(context_in(moved, tmp_path / "team"), tmp_path / "two.backup")
    before_return, _ = everything(moved)
    moved.close()

    (tmp_path / "home").mkdir()
    backups.restore(context_in(None, tmp_path / "home"), tmp_path / "two.backup")
    returned = open_home(tmp_path / "home")
    rows, returned_blobs = everything(returned)
    assert without_restores(rows, 1) == without_restores(before_return, 0)
    assert returned_blobs == blobs
    assert returned.project == source.home.project
    with context_in(returned, tmp_path / "home").write("thing:2") as tx:
        last = changes.head(tx, returned.project_id)
    with returned.read() as tx:
        assert changes.head(tx, returned.project_id) == last + 1
        assert audit.first_broken(tx, returned.project_id) is None
    returned.close()


def test_a_backup_is_one_moment_though_others_write(source, tmp_path, monkeypatch):
    real = backups.write_backup

    def write_meanwhile(home, path, report):
        def busy(share, words):
            with source.write("run:late") as tx:
                runs.save(tx, home.project_id, nouns.run())

        return real(home, path, busy)

    monkeypatch.setattr(backups, "write_backup", write_meanwhile)
    backups.create(source, tmp_path / "b.backup")
    backups.restore(context_in(None, tmp_path / "to"), tmp_path / "b.backup")
    home = open_home(tmp_path / "to")
    with home.read() as tx:
        assert len(runs.find(tx, home.project_id)) == 1
        assert audit.first_broken(tx, home.project_id) is None
    home.close()


@pytest.mark.parametrize("team", [False, True], ids=["embedded", "team"])
def test_a_restore_that_was_broken_off_goes_on(
    backup, source, tmp_path, monkeypatch, request, team
):
    where = {}
    if team:
        where["database"] = request.getfixturevalue("database_url")
        where["objects"] = str(tmp_path / "objects")
    target = context_in(None, tmp_path / "to")
    monkeypatch.setattr("thrive.store.backups._TOGETHER", 1)
    admitted = []

    def break_off(home, *digests):
        admitted.extend(digests)
        if len(admitted) > 4:
            raise StoreUnavailable("gone")

    with monkeypatch.context() as patched:
        patched.setattr("thrive.store.blobs.FolderBlobs.admit", break_off)
        with pytest.raises(StoreUnavailable):
            backups.restore(target, backup, **where)
    with pytest.raises(InfrastructureError, match="no project"):
        open_home(tmp_path / "to")
    backups.restore(target, backup, **where)
    home = open_home(tmp_path / "to")
    before, blobs = everything(source.home)
    rows, restored = everything(home)
    assert without_restores(rows, 1) == without_restores(before, 0)
    assert restored == blobs
    home.close()
    with pytest.raises(Conflict, match="there already"):
        backups.restore(target, backup, **where)


def test_another_row_of_the_same_key_refuses(backup, source, tmp_path, monkeypatch):
    target = context_in(None, tmp_path / "to")
    with monkeypatch.context() as patched:
        patched.setattr("thrive.store.backups._finish", lambda *_: None)
        patched.setattr("thrive.flows.backups.Context.write", lambda *_, **__: io.StringIO())
        backups.restore(target, backup)
    import sqlite3

    with sqlite3.connect(tmp_path / "to" / FOLDER / "thrive.db") as raw:
        raw.execute("UPDATE models SET owner = 'eve'")
    with pytest.raises(Conflict, match="another row of models"):
        backups.restore(target, backup)


def test_beside_other_projects_rows_are_kept_apart(backup, source, database_url, tmp_path):
    other = connect_home(
        database_url, str(tmp_path / "objects"), "other", tmp_path / "other" / FOLDER, create=True
    )
    team = context_in(None, tmp_path / "team")
    backups.restore(team, backup, database=database_url, objects=str(tmp_path / "objects"))
    home = open_home(tmp_path / "team")
    with home.read() as tx:
        assert [project.name for project in projects.every(tx)] == ["flights", "other"]
        assert len(changes.after(tx, other.project_id, 0)) == 1
        mine = [change.id for change in changes.after(tx, home.project_id, 0)]
    with source.home.read() as tx:
        wanted = [change.id for change in changes.after(tx, home.project_id, 0)]
    assert mine[:-1] == wanted
    home.close()
    other.close()


def rewritten(backup: Path, to: Path, change) -> Path:
    """Write the members of a backup anew, each as `change(name, bytes)` has it."""
    with tarfile.open(backup) as old, tarfile.open(to, "w") as new:
        for member in old:
            stream = old.extractfile(member)
            assert stream is not None
            for name, data in change(member.name, stream.read()):
                fresh = tarfile.TarInfo(name)
                fresh.size = len(data)
                new.addfile(fresh, io.BytesIO(data))
    return to


def of_another_project(name, data):
    if name.startswith("tables/runs/"):
        rows = [
            json.loads(line) | {"project_id": "f" * 32}
            for line in gzip.decompress(data).splitlines()
        ]
        data = gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode())
    yield name, data


def with_another_owner(name, data):
    if name.startswith("tables/models/"):
        data = gzip.compress(gzip.decompress(data).replace(b'"ml"', b'"me"'))
    yield name, data


def with_a_broken_chain(name, data):
    if name.startswith("tables/audit/"):
        data = gzip.compress(gzip.decompress(data).replace(b"keeper", b"nobody"))
    yield name, data


def with_other_bytes(name, data):
    yield name, b"x" + data[1:] if name.startswith("blobs/") else data


def without_a_blob(name, data):
    if not name.startswith("blobs/"):
        yield name, data


def without_the_manifest(name, data):
    if name != "manifest.json":
        yield name, data


def with_a_path(name, data):
    yield ("blobs/../../etc/passwd" if name.startswith("blobs/") else name), data


def with_a_strange_table(name, data):
    yield (name.replace("tables/runs", "tables/alembic_version")), data


@pytest.mark.parametrize(
    "change",
    [
        of_another_project,
        with_another_owner,
        with_a_broken_chain,
        with_other_bytes,
        without_a_blob,
        without_the_manifest,
        with_a_path,
        with_a_strange_table,
    ],
)
def test_a_changed_backup_is_damaged_and_gives_no_project(backup, tmp_path, change):
    wrong = rewritten(backup, tmp_path / "wrong.backup", change)
    with pytest.raises(Damaged):
        backups.restore(context_in(None, tmp_path / "to"), wrong)
    with pytest.raises(ThriveError):
        open_home(tmp_path / "to")


@pytest.mark.parametrize("size", [0, 100, 5_000, -11_000])
def test_a_file_that_was_cut_short_is_damaged(backup, tmp_path, size):
    whole = backup.read_bytes()
    (tmp_path / "cut").write_bytes(whole[:size])
    with pytest.raises(Damaged, match=r"whole backup|was changed"):
        backups.restore(context_in(None, tmp_path / "to"), tmp_path / "cut")


def test_what_cannot_be_is_said_before_anything_is_written(backup, source, tmp_path):
    with pytest.raises(Conflict, match="exists already"):
        backups.create(source, backup)
    with pytest.raises(NotFound, match="no file"):
        backups.restore(context_in(None, tmp_path / "to"), tmp_path / "nothing")
    with pytest.raises(UsageError, match="go together"):
        backups.restore(context_in(None, tmp_path / "to"), backup, database="postgresql://x/y")
    newer = rewritten(
        backup, tmp_path / "newer", lambda n, d: [(n, d.replace(b'"schema":"0', b'"schema":"9'))]
    )
    with pytest.raises(SchemaTooNew, match="upgrade"):
        backups.restore(context_in(None, tmp_path / "to"), newer)
    assert not (tmp_path / "to" / FOLDER).exists()
    (tmp_path / "taken").mkdir()
    create_home(tmp_path / "taken", "another").close()
    with pytest.raises(Conflict, match="is the home of another"):
        backups.restore(context_in(None, tmp_path / "taken"), backup)


def test_a_backup_is_its_owners_alone(backup):
    assert backup.stat().st_mode & 0o077 == 0
