"""MLflow's side of the world: bringing over what was tracked there, and giving versions to it.

`source` says what is read, `server`, `database` and `folder` read it, `writing` writes it, and
`importing` offers it; `exporting` writes a version as a folder that MLflow loads, and sends it to
a registry that speaks its protocol. Nothing of MLflow is imported, nothing is unpickled, and names
in a source become keys of rows, never paths. A run is written in one transaction after its
artifacts, so a second call goes on where the first was broken off.
"""
