"""Ray: tasks run on the machines of a cluster, as forks of a zygote on each of them.

The pipeline function stays on this machine; each task becomes a Ray task, and the short ones of a
fan-out travel several in one. On a node they are what they are here: forks of a process that
imported the program, with the same limits and the same channel. What they say and ask goes
through an actor beside the pipeline (the desk), because a node need not be able to reach this
machine. Bytes travel by digest through Ray's object store and are verified where they arrive.

Ray keeps no state of a run and tries nothing again: a task whose node is gone ends as lost, and
who runs it decides.

Doors: `engine.RayEngine`, which needs the extra `ray`. Only this folder imports Ray.
"""
