"""The server of a folder: where it listens and the token its owner calls it with."""

import os
from pathlib import Path

import msgspec

FILE_NAME = "server.json"
REACH_S = 1.0


class LocalServer(msgspec.Struct, frozen=True, kw_only=True):
    """A running server as its folder knows it; the file is readable by its owner alone.

    `inode` is that of the folder: in a copy of it the file tells of a server of somewhere else.
    """

    url: str
    token: str
    pid: int
    inode: int = 0


def write_local_server(home_folder: Path, server: LocalServer) -> None:
    """Write `server.json`, whole or not at all, for this user alone."""
    building = home_folder / f"{FILE_NAME}.{os.getpid()}"
    building.unlink(missing_ok=True)
    with os.fdopen(os.open(building, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        known = msgspec.structs.replace(server, inode=home_folder.stat().st_ino)
        file.write(msgspec.json.encode(known))
    building.replace(home_folder / FILE_NAME)


def remove_local_server(home_folder: Path, pid: int) -> None:
    """Remove `server.json` if it tells of the server `pid`."""
    known = _read(home_folder)
    if known is not None and known.pid == pid:
        (home_folder / FILE_NAME).unlink(missing_ok=True)


def find_local_server(home_folder: Path) -> LocalServer | None:
    """Return the server of a folder if it is running: its process lives and its port answers."""
    known = _read(home_folder)
    if known is None or not _lives(known.pid):
        return None
    import socket
    from urllib.parse import urlsplit

    place = urlsplit(known.url)
    try:
        socket.create_connection((place.hostname or "", place.port or 80), REACH_S).close()
    except OSError:
        return None
    return known


def _read(home_folder: Path) -> LocalServer | None:
    try:
        known = msgspec.json.decode((home_folder / FILE_NAME).read_bytes(), type=LocalServer)
        return known if known.inode == home_folder.stat().st_ino else None
    except (OSError, msgspec.MsgspecError):
        return None


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
