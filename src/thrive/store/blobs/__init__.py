"""Blobs: bytes named by the BLAKE3 of their content, in a folder or in an S3 bucket.

The room for packages, datasets, artifacts and sealed logs. A blob never changes: a reader checks
its bytes against its name, a writer that crashes leaves no half blob, and putting the same bytes
twice costs almost nothing. Who may read a blob is not decided here: rows in the database
reference digests, and a digest without a row of one's project is out of reach.

Doors: `open_blobs` gives the store for an address; `BlobStore` is what every store can do;
`region_of` says where bytes are;
`FolderBlobs` and `ObjectBlobs` are the two kinds.
"""

from thrive.store.blobs.address import ObjectOptions, open_blobs
from thrive.store.blobs.folder import FolderBlobs
from thrive.store.blobs.objects import ObjectBlobs
from thrive.store.blobs.port import BlobReader, BlobStore, BlobWriter, Guarantees


def region_of(blobs: BlobStore) -> str | None:
    """Return the region of a bucket, "" if nobody told it; None for a folder of this machine."""
    return blobs.region if isinstance(blobs, ObjectBlobs) else None


def place_of(blobs: BlobStore) -> str:
    """Return in words where bytes are kept."""
    if not isinstance(blobs, ObjectBlobs):
        return "a folder of the project's machine"
    return f"{blobs.place} (region {blobs.region or 'not told'})"


__all__ = [
    "BlobReader",
    "BlobStore",
    "BlobWriter",
    "FolderBlobs",
    "Guarantees",
    "ObjectBlobs",
    "ObjectOptions",
    "open_blobs",
    "place_of",
    "region_of",
]
