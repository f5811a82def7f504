"""A serving host of a remote home: what its agent needs, over HTTP, and the folder it lives in.

The folder holds the routes in force, verified packages and the prediction log until the server has
confirmed it: a host serves on from it while the server is gone, and starts again from it.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, Self

import msgspec

from thrive.client.blobs import RemoteBlobs
from thrive.domain.errors import Conflict, InfrastructureError, Refused
from thrive.domain.prediction import SealedLog, SealedTo, SegmentName
from thrive.domain.release import ServingHost
from thrive.operations import Progress
from thrive.serving.agent import LONGEST_WAIT_S, Agent
from thrive.serving.routes import Routes
from thrive.serving.sealing import ship_logs
from thrive.serving.serve import Served, serve_until_stopped, serving_options
from thrive.store.home import HOST_RECORD
from thrive.store.place import FOLDER, HOME_RECORD, made

FORMAT = 1
SILENT_S = LONGEST_WAIT_S + 5.0
"""After how long without a word the server is gone: a question for routes waits that long."""
MOST_SEGMENTS = 100
"""Segments that are asked for at once: they stand in a URL."""


class HostServer(Protocol):
    """What a serving host needs of the server it belongs to."""

    @property
    def url(self) -> str:
        """Where it is."""
        ...

    @property
    def progress(self) -> Progress:
        """Who is told what happens."""
        ...

    def within(self, timeout_s: float) -> Self:
        """Return the same server, given up after so long a silence."""
        ...

    def blobs(self, folder: Path) -> RemoteBlobs:
        """Return its blobs, with copies in `folder`."""
        ...

    def poll(self, name: str, tag: str, wait_s: float) -> tuple[str, Any] | None:
        """Return the tag and value of a read when it is another one than that of `tag`."""
        ...

    def __call__(self, name: str, arguments: dict[str, Any]) -> Any:
        """Call one of its operations."""
        ...


class _Record(msgspec.Struct, frozen=True, kw_only=True):
    """What `host.json` says: of which project this folder's log and cache are."""

    project: str
    name: str
    format: int = FORMAT


class HostFolder:
    """The folder of a serving host: `log/`, `cache/`, and a record of whose they are.

    Args:
        folder: made when missing.

    Raises:
        Conflict: it is a home of its own, whose log must not go elsewhere.
    """

    def __init__(self, folder: Path) -> None:
        if (folder / HOME_RECORD).exists():
            raise Conflict(
                f"{folder} is a home, whose predictions belong to it.",
                "serve a remote home from a folder of its own; or `thrive serve` without --home",
            )
        self._folder = made(folder)
        self.log = made(folder / "log")
        self.cache = made(folder / "cache")
        self.temporary = made(folder / "tmp")
        (folder / ".gitignore").write_text("*\n")

    def belong_to(self, routes: Routes) -> None:
        """Note whose folder this is.

        Raises:
            Conflict: it holds the log of another project.
        """
        path = self._folder / HOST_RECORD
        said = _Record(project=routes.project_id, name=routes.project)
        known = _read_record(path)
        if known is None:
            unfinished = path.with_suffix(".new")
            unfinished.write_bytes(msgspec.json.encode(said))
            unfinished.replace(path)
        elif known.project != said.project:
            raise Conflict(
                f"{self._folder} serves {known.name}; the token is of {said.name}.",
                "serve another project from another folder",
            )


class RemoteControlPlane:
    """A server as the control plane of a host.

    Args:
        server: the server, with a token of this project.
        folder: the host's folder.
    """

    def __init__(self, server: HostServer, folder: HostFolder) -> None:
        self._server = server
        self._folder = folder
        self._blobs = server.blobs(folder.temporary / "blobs")
        self._tag = ""
        self._log_id = ""

    def routing(self, wait_s: float) -> Routes | None:
        """Return the routes once they differ from the last ones, None if that takes too long."""
        found = self._server.poll("serving routes", self._tag, wait_s)
        if found is None:
            return None
        tag, routes = found
        self._folder.belong_to(routes)
        self._tag = tag
        return routes

    def fetch(self, digest: str) -> bytes:
        """Return a blob of a package that the project keeps; its bytes are verified."""
        data = self._blobs.get(digest)
        self._blobs.forget(digest)
        return data

    def ship(self) -> int:
        """Send what is sealed of the log; what the server confirms is discarded here."""
        return ship_logs(self._folder.log, ServerLogs(self._server, self._blobs, self._log_id))

    def worker_numbers(self, log_id: str, count: int) -> list[int]:
        """Take the numbers of this host's workers."""
        self._log_id = log_id
        return self._server("serving register", {"log_id": log_id, "workers": count}).numbers

    def heartbeat(self, host: ServingHost) -> None:
        """Say how this host is; when, says the server's clock."""
        said = msgspec.to_builtins(host)
        del said["seen_at"]
        self._server("serving report", said)


class ServerLogs:
    """The prediction log of a project on a server.

    Args:
        server: the server.
        blobs: its blobs.
        log_id: names the log folder of this host.
    """

    def __init__(self, server: HostServer, blobs: RemoteBlobs, log_id: str) -> None:
        self._server = server
        self._log_id = log_id
        self.blobs = blobs

    def sealed_to(self, host: str, named: Sequence[SegmentName]) -> list[SealedTo]:
        """Return what the server has of each segment."""
        found: list[SealedTo] = []
        for first in range(0, len(named), MOST_SEGMENTS):
            some = [
                f"{each.worker}/{each.segment}" for each in named[first : first + MOST_SEGMENTS]
            ]
            found += self._server("serving sealed", {"host": host, "segments": some}).segments
        return found

    def commit(self, host: str, rows: Sequence[SealedLog]) -> list[SealedTo]:
        """Have the server take in manifest rows whose files it was sent."""
        batch = self.blobs.put(msgspec.msgpack.encode(rows))
        said = {"log_id": self._log_id, "host": host, "batch": batch}
        return self._server("serving commit", said).segments


def serve_remote(server: HostServer, arguments: Mapping[str, Any]) -> Served:
    """Serve a remote home from the current folder until stopped.

    Raises:
        Conflict: the folder is that of another project, or is served already.
        StoreUnavailable: the server is gone, and nothing of it is known here.
    """
    names = ("host", "port", "workers", "callers", "models", "grpc_port")
    asked = {name: arguments[name] for name in names}
    options = serving_options(**asked, allow_host=arguments["allow_host"] or ())
    folder = HostFolder(Path.cwd() / FOLDER)
    plane = RemoteControlPlane(server.within(SILENT_S), folder)
    agent = Agent(plane, folder.cache, folder.log, options)
    return serve_until_stopped(agent)


def _read_record(path: Path) -> _Record | None:
    try:
        record = msgspec.json.decode(path.read_bytes(), type=_Record)
    except FileNotFoundError:
        return None
    except msgspec.MsgspecError:
        raise InfrastructureError(
            f"{path} is damaged.", "remove it if this folder served no other project"
        ) from None
    if record.format > FORMAT:
        raise Refused(
            f"{path} has format {record.format}; this Thrive reads up to {FORMAT}.",
            "pip install --upgrade thrive",
        )
    return record
