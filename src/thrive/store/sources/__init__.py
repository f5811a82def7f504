"""Sources: where data comes from, resolved to files and read as tables.

Local files (a path, a folder or a glob, in CSV, also .gz and .zip, Parquet or JSON lines), objects
of a store, SQL queries, Delta tables, and what DVC pinned. The room reads; it keeps nothing and
versions nothing, which is the work of `data`.

Doors: `brought` gives any source as local files, `found_files` what is there, `mark_of` says
whether it changed without reading it; `resolve` turns the words of a contract into files; `scan`
reads files lazily as one table; `file_kind` tells what a file is.
"""

from thrive.store.sources.bring import Brought, Reach, brought, is_local, mark_of
from thrive.store.sources.found import Found, found_files, is_table
from thrive.store.sources.kinds import FileKind, file_kind
from thrive.store.sources.resolve import resolve
from thrive.store.sources.scan import ReadOptions, scan

__all__ = [
    "Brought",
    "FileKind",
    "Found",
    "Reach",
    "ReadOptions",
    "brought",
    "file_kind",
    "found_files",
    "is_local",
    "is_table",
    "mark_of",
    "resolve",
    "scan",
]
