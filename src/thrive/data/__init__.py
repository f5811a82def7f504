"""Versioned data: named by content, profiled, checked, compared, read back.

A version is an immutable list of files in the blob store, named by the BLAKE3 of that list, with
the schema, the profile and the checks of its rows. `thrive.lock` says which version a commit uses.
Doors: `load` and `scan` read a dataset inside a run and outside of one, `add` takes a frame or a
source; `reading.resolve` finds the version that training may read; the operations (`data add, list,
show, ...`) are in `operations`. Importing the room imports neither the database nor Polars.
Nothing here trains, joins outcomes or builds features: training, feedback and features do.
"""

from thrive.data.frames import add, load, scan

__all__ = ["add", "load", "scan"]
