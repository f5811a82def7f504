"""A home: one project on one database and one blob store; the door to everything stored."""

import json
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from thrive.domain.clock import ClockState
from thrive.domain.errors import Conflict, InfrastructureError, NotFound, SchemaTooNew
from thrive.domain.project import Project
from thrive.store import projects
from thrive.store.blobs import BlobStore, open_blobs
from thrive.store.database import Database, Tx
from thrive.store.filesystems import refuse_network_file_system
from thrive.store.lock import FileLock
from thrive.store.migrations import migrate, refuse_other_schema

FOLDER = ".thrive"
FORMAT = 1


class Home:
    """One project with its database, its blobs and its folder on this machine.

    It holds no policy and starts no process. Open one with `open_home`, make one with
    `create_home`; a server builds one per project over its own database and object store.

    Args:
        project: the project this home belongs to.
        database: where rows live.
        blobs: where bytes live.
        folder: the local folder for logs, caches and temporary files.
    """

    def __init__(
        self, project: Project, database: Database, blobs: BlobStore, folder: Path
    ) -> None:
        self.project = project
        self.project_id = project.project_id
        self.database = database
        self.blobs = blobs
        self.folder = folder

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
    def write(self) -> Generator[Tx]:
        """Open a writing transaction without an audit row: for observations and leases."""
        with self.database.write() as tx:
            yield tx

    def clock(self) -> ClockState:
        """Return the project's clock."""
        with self.read() as tx:
            return projects.clock(tx, self.project_id)

    def now(self) -> int:
        """Return the project's present moment in UTC microseconds."""
        return self.clock().now()

    def close(self) -> None:
        """Close the database's connections."""
        self.database.close()


def made(folder: Path) -> Path:
    """Return `folder`, created for this user alone if it was missing."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


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
    database = _database(building)
    migrate(database)
    with database.write() as tx:
        project = projects.create(tx, name)
        projects.set_clock(tx, project.project_id, clock or ClockState())
    database.close()
    record = {"format": FORMAT, "project": project.project_id, "name": name}
    (building / "home.json").write_text(json.dumps(record, indent=2) + "\n")
    building.rename(final)
    return open_home(project_folder)


def open_home(project_folder: Path) -> Home:
    """Open the home of a project's folder.

    Raises:
        NotFound: there is no home.
        SchemaTooNew: a newer Thrive wrote it.
    """
    folder = project_folder / FOLDER
    record = _record(folder)
    database = _database(folder)
    refuse_other_schema(database)
    with database.read() as tx:
        project = projects.find(tx, str(record["name"]))
    if project is None:
        raise InfrastructureError(f"{folder} holds no project.", "thrive doctor")
    return Home(project, database, open_blobs(folder / "blobs"), folder)


def migrate_home(project_folder: Path) -> Path | None:
    """Bring the home of a project's folder to this schema.

    Returns:
        The copy of the database that was made first, None when there was nothing to do.

    Raises:
        NotFound: there is no home.
        SchemaTooNew: a newer Thrive wrote it.
    """
    folder = project_folder / FOLDER
    _record(folder)
    database = _database(folder)
    try:
        return migrate(database)
    finally:
        database.close()


def _record(folder: Path) -> dict[str, object]:
    try:
        record = json.loads((folder / "home.json").read_text())
    except FileNotFoundError:
        raise NotFound(f"There is no Thrive home in {folder.parent}.", "thrive init") from None
    except ValueError:
        raise InfrastructureError(f"{folder}/home.json is damaged.", "thrive doctor") from None
    if record.get("format", 0) > FORMAT:
        raise SchemaTooNew(
            f"{folder} has format {record['format']}; this Thrive reads up to {FORMAT}.",
            "pip install --upgrade thrive",
        )
    return record


def _database(folder: Path) -> Database:
    return Database(f"sqlite:///{folder / 'thrive.db'}", FileLock(folder / "lock"))


def find_project_folder(start: Path) -> Path:
    """Return the nearest folder upwards from `start` that holds a `thrive.toml`.

    Raises:
        NotFound: there is none up to the root.
    """
    for folder in (start, *start.parents):
        if (folder / "thrive.toml").is_file():
            return folder
    raise NotFound(f"There is no thrive.toml in {start} or above it.", "thrive init")
