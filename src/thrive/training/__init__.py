"""Pipelines: plain typed functions that a run executes, each step in a process of its own.

A user imports four names from `thrive`: `step` and `pipeline` declare, `log` and `register` report.
Calling a step or a pipeline outside a run is a plain call. The room holds what happens inside
the run's child processes (the program of the engine); it opens no database, stores no run and
knows no contract: that is the flow `thrive.flows.train`.

Step results travel as artifacts by content: pickle protocol 5 with out-of-band buffers that map
into memory, and Arrow IPC for Polars frames.
"""
