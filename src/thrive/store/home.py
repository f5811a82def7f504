"""A home: one project on one database and one blob store; the door to everything stored.

Embedded, both are in the project's `.thrive/`. Of a team, the database is PostgreSQL, the blobs are
in a bucket (or a folder that all hosts see), and `.thrive/` keeps this host's logs and caches; its
`home.json` says where the rest is, without a password.
"""

import functools
import json
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from thrive.domain.clock import ClockState
from thrive.domain.errors import Conflict, InfrastructureError, NotFound, SchemaTooNew
from thrive.domain.project import Project
from thrive.store import audit, postgresql, projects
from thrive.store.blobs import BlobStore, Guarantees, ObjectOptions, open_blobs
from thrive.store.database import Database, Tx
from thrive.store.filesystems import refuse_network_file_system
from thrive.store.lock import FileLock
from thrive.store.migrations import migrate, refuse_other_schema
from thrive.store.owner import claim, refuse_foreign
from thrive.store.place import DATABASE, FOLDER, HOME_FORMAT, HOME_RECORD, LOCK, made

HOST_RECORD = "host.json"
"""Says of a serving host's folder which project of a server it is of."""


class Home:
    """One project with its database, its blobs and its folder on this machine.

    It holds no policy and starts no process. Open one with `open_home`, make one with
    `create_home`; a server builds one per project over its own database and object store.

    Args:
        project: the project this home belongs to.
        database: where rows live.
        blobs: where bytes live.
        folder: the local folder for logs, caches and temporary files.
        record: the folder of `home.json`, where that is another one.
    """

    def __init__(
        self,
        project: Project,
        database: Database,
        blobs: BlobStore,
        folder: Path,
        record: Path | None = None,
    ) -> None:
        self.project = project
        self.project_id = project.project_id
        self.database = database
        self.blobs = blobs
        self.folder = folder
        self.record_folder = record or folder

    def beside(self, project: Project) -> "Home":
        """Return the home of another project of the same stores.

        It shares the connections, which `close` of either closes, and nothing on the disk: a
        project's logs are its own.
        """
        folder = made(self.record_folder / "projects" / project.project_id)
        return Home(project, self.database, self.blobs, folder, self.record_folder)

    @property
    def log_folder(self) -> Path:
        """The folder of this machine's prediction log segments."""
        return made(self.folder / "log")

    @property
    def cache_folder(self) -> Path:
        """The folder of verified copies: model packages, routing files."""
        return made(self.folder / "cache")

    @property
    def temporary_folder(self) -> Path:
        """The folder for files that may vanish at any time; private to the user."""
        return made(self.folder / "tmp")

    @contextmanager
    def read(self) -> Generator[Tx]:
        """Open a reading transaction."""
        with self.database.read() as tx:
            yield tx

    @contextmanager
    def write(self, *, durable: bool = True) -> Generator[Tx]:
        """Open a writing transaction without an audit row: for observations and leases.

        Args:
            durable: False where a second may be lost to a power cut; see `Database.write`.
        """
        with self.database.write(durable=durable) as tx:
            yield tx

    @contextmanager
    def change(self) -> Generator[Tx]:
        """Open a writing transaction that appends to the audit chain: one at a time a project."""
        lock = functools.partial(audit.lock_head, project_id=self.project_id)
        with self.database.take_turns(self.project_id, lock) as tx:
            yield tx

    def clock(self) -> ClockState:
        """Return the project's clock."""
        with self.read() as tx:
            return projects.clock(tx, self.project_id)

    def now(self) -> int:
        """Return the project's present moment in UTC microseconds."""
        return self.clock().now()

    def object_endpoint(self) -> str:
        """Return the address of this home's object store; empty for AWS, or without one."""
        known = (self.record_folder / HOME_RECORD).exists()
        return object_endpoint() or str(
            _record(self.record_folder).get("endpoint", "") if known else ""
        )

    def close(self) -> None:
        """Close the database's connections."""
        self.database.close()


def create_home(project_folder: Path, name: str, clock: ClockState | None = None) -> Home:
    """Create `.thrive/` in a project's folder and return its home; its clock is real by default.

    It is built under another name and renamed into place, so a killed call leaves no half home.

    Raises:
        Conflict: the folder has a home already.
        InfrastructureError: the folder is on a network file system.
    """
    final = project_folder / FOLDER
    if final.exists():
        raise Conflict(f"{final} exists already.", "thrive status")
    refuse_network_file_system(project_folder)
    building = project_folder / f"{FOLDER}-{os.getpid()}"
    made(building)
    (building / ".gitignore").write_text("*\n")
    database = _database(building, {})
    migrate(database)
    (building / DATABASE).chmod(0o600)
    with database.write() as tx:
        project = projects.create(tx, name)
        projects.set_clock(tx, project.project_id, clock or ClockState())
    database.close()
    _write_record(building, {"project": project.project_id, "name": name})
    building.rename(final)
    return open_home(project_folder)


def open_home(project_folder: Path) -> Home:
    """Open the home of a project's folder, embedded or of a team.

    Raises:
        NotFound: there is no home.
        SchemaTooNew: a newer Thrive wrote it.
        StoreUnavailable: a team's database does not answer.
    """
    folder = project_folder / FOLDER
    record = _record(folder)
    database = _database(folder, record)
    project = _project_in(database, str(record["name"]))
    if project is None:
        raise InfrastructureError(f"{folder} holds no project.", "thrive doctor")
    return Home(project, database, _blobs(folder, record), folder)


def connect_home(
    database_url: str,
    objects: str,
    project_name: str,
    local_folder: Path,
    *,
    create: bool = False,
    clock: ClockState | None = None,
) -> Home:
    """Open a team's project on PostgreSQL and an object store; `open_home` finds it afterwards.

    Keys and region of the object store come from the standard `AWS_*` variables, the database's
    password from the address or `PGPASSWORD`; neither is written down.

    Args:
        database_url: `postgresql://user@host/database`.
        objects: `s3://bucket/prefix`, or a folder that every host of the team sees.
        project_name: the project; a database holds many.
        local_folder: for logs, caches and temporary files of this host.
        create: bring the database to this schema and create the project if it is not there;
            servers that do so together do it once.
        clock: the clock of a project that is created; real by default.

    Raises:
        NotFound: there is no such project, and it was not to be created.
        Conflict: another database keeps its objects there; no project was created.
        InfrastructureError: the schema is another one, or the object store keeps no promises.
        StoreUnavailable: the database or the object store does not answer.
    """
    address = postgresql.normal_address(database_url)
    record: dict[str, object] = {"name": project_name, **_team_record(address, objects)}
    with _new_folder(local_folder):
        blobs = _blobs(local_folder, record)
        record["guarantees"] = msgspec.to_builtins(_probed(blobs))
        database = Database(address)
        try:
            if create:
                migrate(database)
                refuse_foreign(blobs, database)
                project = _created(database, project_name, clock or ClockState())
            else:
                project = _known(database, project_name)
            claim(blobs, database, project)
        except BaseException:
            database.close()
            raise
        _write_record(local_folder, {"project": project.project_id, **record})
    return Home(project, database, blobs, local_folder)


def vacant_home(
    project: Project, project_folder: Path, database_url: str = "", objects: str = ""
) -> Home:
    """Return a home that has its tables and may lack its project's row: what a restore fills.

    Until the row is there, `open_home` says that the home holds no project.

    Args:
        project: the project that will live there.
        project_folder: gets the `.thrive/`; one for the same project is used as it is.
        database_url: a team's database, empty for an embedded home.
        objects: a team's object store, empty for an embedded home.

    Raises:
        Conflict: the folder has the home of another project.
    """
    folder = project_folder / FOLDER
    record: dict[str, object] = {"project": project.project_id, "name": project.name}
    if (folder / HOME_RECORD).exists():
        known = _record(folder)
        if known.get("project") != project.project_id:
            raise Conflict(f"{folder} is the home of {known.get('name')}.", "choose another folder")
    address = postgresql.normal_address(database_url) if database_url else ""
    if address:
        record |= _team_record(address, objects)
    else:
        refuse_network_file_system(project_folder)
    with _new_folder(folder):
        database = Database(address) if address else _database(folder, {})
        blobs = _blobs(folder, record)
        migrate(database)
        if address:
            claim(blobs, database, project)
        _write_record(folder, record)
    return Home(project, database, blobs, folder)


def _team_record(address: str, objects: str) -> dict[str, object]:
    """Return what `home.json` says of a team's stores."""
    return {
        "database": postgresql.without_password(address),
        "objects": objects if "://" in objects else str(Path(objects).resolve()),
        "endpoint": object_endpoint(),
    }


@contextmanager
def _new_folder(folder: Path) -> Generator[None]:
    """Make a folder that git leaves alone; what fails before it is of use removes it again."""
    new = not folder.exists()
    made(folder)
    try:
        (folder / ".gitignore").write_text("*\n")
        yield
    except BaseException:
        if new:
            import shutil

            shutil.rmtree(folder, ignore_errors=True)
        raise


def _created(database: Database, name: str, clock: ClockState) -> Project:
    """Return the project of a name, created by the first of all servers that want it."""
    with database.write() as tx:
        postgresql.lock_schema(tx)
        known = projects.find(tx, name)
        if known is not None:
            return known
        project = projects.create(tx, name)
        projects.set_clock(tx, project.project_id, clock)
        return project


def _known(database: Database, name: str) -> Project:
    project = _project_in(database, name)
    if project is None:
        raise NotFound(
            f"There is no project {name!r} in this database.",
            "thrive init --database URL --objects URL",
        )
    return project


def _project_in(database: Database, name: str) -> Project | None:
    refuse_other_schema(database)
    with database.read() as tx:
        return projects.find(tx, name)


def _probed(blobs: BlobStore) -> Guarantees:
    """Return what the blob store was seen to guarantee.

    Raises:
        InfrastructureError: what was just written could not be read: nothing could be relied on.
    """
    seen = blobs.probe()
    if not seen.read_after_write:
        raise InfrastructureError(
            "The object store does not show what was just written to it.",
            "use one with read-after-write consistency",
        )
    return seen


def object_endpoint() -> str:
    """Return the address of an object store that is not AWS, from the standard variables."""
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL", "")


def _blobs(folder: Path, record: dict[str, object]) -> BlobStore:
    objects = str(record.get("objects", ""))
    if "://" not in objects:
        return open_blobs(Path(objects) if objects else folder / "blobs")
    endpoint = object_endpoint() or str(record.get("endpoint", ""))
    options = ObjectOptions(endpoint=endpoint, cache=made(folder / "cache") / "blobs")
    return open_blobs(objects, options)


def migrate_home(project_folder: Path) -> Path | None:
    """Bring the home of a project's folder to this schema.

    Returns:
        The copy of the database that was made first, None when there was nothing to do.

    Raises:
        NotFound: there is no home.
        SchemaTooNew: a newer Thrive wrote it.
    """
    folder = project_folder / FOLDER
    database = _database(folder, _record(folder))
    try:
        return migrate(database)
    finally:
        database.close()


def _record(folder: Path) -> dict[str, object]:
    try:
        record = json.loads((folder / HOME_RECORD).read_text())
    except FileNotFoundError:
        raise NotFound(f"There is no Thrive home in {folder.parent}.", "thrive init") from None
    except ValueError:
        raise InfrastructureError(f"{folder}/home.json is damaged.", "thrive doctor") from None
    if record.get("format", 0) > HOME_FORMAT:
        raise SchemaTooNew(
            f"{folder} has format {record['format']}; this Thrive reads up to {HOME_FORMAT}.",
            "pip install --upgrade thrive",
        )
    return record


def _write_record(folder: Path, record: dict[str, object]) -> None:
    """Write `home.json`; a reader sees the old one or the new one."""
    unfinished = folder / f".home.json.{os.getpid()}"
    unfinished.write_text(json.dumps({"format": HOME_FORMAT, **record}, indent=2) + "\n")
    unfinished.chmod(0o600)
    unfinished.replace(folder / HOME_RECORD)


def _database(folder: Path, record: dict[str, object]) -> Database:
    if "database" in record:
        return Database(str(record["database"]))
    return Database(f"sqlite:///{folder / DATABASE}", FileLock(folder / LOCK))
