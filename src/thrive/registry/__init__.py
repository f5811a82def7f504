"""Registered models and their immutable versions: where they came from and where they stand.

`versions.register` stores a version in one transaction; `stages.stage_of` derives what a version
does from the routing history. The room moves no traffic (that is `thrive.flows.traffic`) and
never loads a model: packages are blobs, named by digest.
"""
