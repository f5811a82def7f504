"""`thrive.run`: a script's own run, without a pipeline and without a server."""

import atexit
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from thrive.domain.actor import local_user
from thrive.domain.run import RunState
from thrive.operations import Context
from thrive.store.home import open_home
from thrive.store.place import find_project_folder
from thrive.tracking.active import ActiveRun
from thrive.tracking.recorder import open_run


def run(
    experiment: str = "",
    *,
    name: str = "",
    params: Mapping[str, Any] | None = None,
    tags: Mapping[str, str] | None = None,
    folder: str | Path = ".",
    vitals: float = 0.0,
) -> ActiveRun:
    """Begin a run; end it with `with`, or with `finish()`.

    Args:
        experiment: the name to compare the run under; the script's own by default.
        name: a name for people.
        params: parameters, by name.
        tags: tags, by name.
        folder: a folder of the project.
        vitals: log processor and memory of this process every so many seconds; 0 for never.

    Raises:
        NotFound: there is no project here.

    Example:
        >>> import thrive
        >>> with thrive.run("exp") as run:  # doctest: +SKIP
        ...     run.log(loss=0.3, step=1)
    """
    project = find_project_folder(Path(folder).resolve())
    context = Context(open_home(project), local_user(), folder=project, operation="run")
    script = Path(sys.argv[0]).stem if sys.argv and sys.argv[0] else "python"
    stored = open_run(
        context,
        experiment=experiment or script,
        name=name or f"{script}-{os.getpid()}",
        params=dict(params or {}),
        tags=dict(tags or {}),
    )
    active = ActiveRun(context, stored, vitals=vitals, ended=context.home.close)
    atexit.register(active.finish, RunState.INTERRUPTED, "The process ended before the run did.")
    return active
