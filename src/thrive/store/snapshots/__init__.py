"""Snapshots: folders of files kept by content, once, and brought back exactly.

A walk finds what changed since the last one; new small files go into packs, large ones are cut
where their content says so; a manifest says which files there are and where their bytes lie.
The room knows files and blobs only: what a dataset is, and which versions there are, others know.
"""
