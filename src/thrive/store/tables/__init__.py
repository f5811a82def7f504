"""Every table of the store, one module a noun; the place where a stored fact is declared.

Each table leads with `project_id`: projects are walls. Times are UTC microseconds, ids 32 hex,
digests 64 hex; what is only ever read whole is JSON. Migrations bring a database to this shape,
and a test holds the two together. Repositories (`thrive.store.runs`, ...) are the only readers:
each imports the module of its own tables, and `schema` has them all.
"""
