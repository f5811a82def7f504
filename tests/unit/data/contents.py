"""What a version of a dataset holds, as its manifest says."""

from thrive.data.reading import find_version
from thrive.operations import Context
from thrive.store.snapshots.manifest import read_snapshot


def file_digests(context: Context, name: str) -> list[str]:
    """Return the digests of a version's files."""
    snapshot = read_snapshot(context.home.blobs, find_version(context, name).listed_in)
    return [digest.hex() for digest in snapshot.digests]
