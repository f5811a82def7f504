"""Where work runs: processes, the wires between them, and what survives when one of them dies.

An engine starts a fresh interpreter that imports the user's code and never computes (the zygote),
forks one child for each task, and carries messages, output and exits to the process that called.
It knows nothing of steps, runs, models or databases: those are words of the rooms above. It
never imports user code itself.

Doors: `channel.current` (inside a task), `local.LocalEngine` (the calling side).
"""
