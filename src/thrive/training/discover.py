"""Find the pipeline in a file: import the file, then look at what it declares."""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from thrive.domain.errors import UsageError
from thrive.engines.project_code import import_file
from thrive.training.declare import Pipeline


def load_pipeline(path: Path, name: str = "") -> Pipeline[..., Any]:
    """Import a file and return its pipeline.

    Args:
        path: an existing Python file; its folder can be imported from.
        name: which pipeline; may be empty if the file declares exactly one.

    Raises:
        UsageError: it declares none, several, or none of that name.
    """
    module = _imported(path)
    own = {
        value.name: value
        for value in vars(module).values()
        if isinstance(value, Pipeline) and value.function.__module__ == module.__name__
    }
    if name in own:
        return own[name]
    choices = ", ".join(f"{path.name}:{known}" for known in own)
    if not own:
        raise UsageError(f"{path.name} declares no pipeline.", "put @pipeline on a function")
    if name:
        raise UsageError(f"{path.name} has no pipeline {name!r}.", f"thrive run with {choices}")
    if len(own) > 1:
        raise UsageError(
            f"{path.name} declares {len(own)} pipelines.", f"name one: thrive run {choices}"
        )
    return next(iter(own.values()))


def _imported(path: Path) -> ModuleType:
    taken = path.stem in sys.stdlib_module_names or path.stem == "thrive"
    return import_file(path, f"{path.stem}_pipeline" if taken else path.stem)
