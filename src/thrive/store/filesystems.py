"""Which file system a folder is on: SQLite's locks and shared memory need a local one."""

from pathlib import Path

from thrive.domain.errors import InfrastructureError

NETWORK = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "fuse.sshfs", "ceph", "glusterfs", "lustre", "afs"}
)


def file_system_of(folder: Path) -> str:
    """Return the type of the file system that holds `folder`, empty where it cannot be told."""
    table = Path("/proc/self/mountinfo")
    if not table.exists():
        return ""
    best, kind = "", ""
    resolved = str(folder.resolve())
    for line in table.read_text().splitlines():
        left, _, right = line.partition(" - ")
        mount = left.split()[4].replace("\\040", " ")
        inside = resolved == mount or resolved.startswith(mount.rstrip("/") + "/")
        if inside and len(mount) >= len(best):
            best, kind = mount, right.split()[0]
    return kind


def refuse_network_file_system(folder: Path) -> None:
    """Refuse a folder on a network file system.

    Raises:
        InfrastructureError: the folder is on one.
    """
    kind = file_system_of(folder)
    if kind in NETWORK:
        raise InfrastructureError(
            f"{folder} is on a network file system ({kind}), where SQLite can lose data.",
            "use a local folder, or a server: thrive server --database postgresql://...",
        )
