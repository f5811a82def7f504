"""Sources: where data comes from, resolved to files and read as tables.

Local files for now: a path, a folder or a glob, in CSV (also .gz and .zip), Parquet or JSON
lines. The room reads; it keeps nothing and versions nothing, which is the work of `data`.

Doors: `resolve` turns the words of a contract into files; `scan` reads files lazily as one table;
`file_kind` tells what a file is.
"""

from thrive.store.sources.kinds import FileKind, file_kind
from thrive.store.sources.resolve import resolve
from thrive.store.sources.scan import ReadOptions, scan

__all__ = ["FileKind", "ReadOptions", "file_kind", "resolve", "scan"]
