"""Where everything is kept: database, blobs, event log, sources.

The only room that speaks SQL and object storage. `home.Home` is the door: one project on one
database and one blob store. Repositories are modules of plain functions, one a noun, that take
the transaction first: `runs.insert(tx, run)`, `runs.find(tx, ...)`. It holds no policy: who may
do what, and what follows from it, is decided in the rooms above.
"""
