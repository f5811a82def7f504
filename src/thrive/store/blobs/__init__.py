"""Blobs: bytes named by the BLAKE3 of their content, in a folder or in an S3 bucket.

The room for packages, datasets, artifacts and sealed logs. A blob never changes: a reader checks
its bytes against its name, a writer that crashes leaves no half blob, and putting the same bytes
twice costs almost nothing. Who may read a blob is not decided here: rows in the database
reference digests, and a digest without a row of one's project is out of reach.

Doors: `open_blobs` gives the store for an address; `BlobStore` is what every store can do;
`FolderBlobs` and `ObjectBlobs` are the two kinds.
"""

from thrive.store.blobs.address import ObjectOptions, open_blobs
from thrive.store.blobs.folder import FolderBlobs
from thrive.store.blobs.objects import ObjectBlobs
from thrive.store.blobs.port import BlobReader, BlobStore, BlobWriter, Guarantees

__all__ = [
    "BlobReader",
    "BlobStore",
    "BlobWriter",
    "FolderBlobs",
    "Guarantees",
    "ObjectBlobs",
    "ObjectOptions",
    "open_blobs",
]
