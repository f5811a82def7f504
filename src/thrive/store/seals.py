"""The signed heads of audit chains a second time: in a file of the home, beside its database.

Whoever cuts a chain behind a signed head has to remove that head from the database as well; here it
is still. Who changes both is seen by an exported chain that is kept elsewhere.
"""

import os
from pathlib import Path

import msgspec

from thrive.domain.duty import AuditSeal

FILE_NAME = "audit-seals.jsonl"


class _Line(msgspec.Struct, frozen=True, kw_only=True):
    project_id: str
    seal: AuditSeal


def keep_seal(folder: Path, project_id: str, seal: AuditSeal) -> None:
    """Add a signed head to the file, on disk before this returns.

    Args:
        folder: the home's folder.
        project_id: whose chain it is.
        seal: the signed head.

    Raises:
        OSError: the file cannot be written.
    """
    line = msgspec.json.encode(_Line(project_id=project_id, seal=seal)) + b"\n"
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
    with os.fdopen(os.open(folder / FILE_NAME, flags, 0o600), "ab") as file:
        file.write(line)
        file.flush()
        os.fsync(file.fileno())


def kept_seals(folder: Path, project_id: str) -> list[AuditSeal]:
    """Return the signed heads of a project that the file holds; none where there is no file.

    A line that a full disk or a kill left unfinished is passed over: the database has that head.
    """
    try:
        lines = (folder / FILE_NAME).read_bytes().splitlines()
    except OSError:
        return []
    found: list[AuditSeal] = []
    for line in lines:
        try:
            told = msgspec.json.decode(line, type=_Line)
        except msgspec.MsgspecError:
            continue
        if told.project_id == project_id:
            found.append(told.seal)
    return found
