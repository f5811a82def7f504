"""Find the pipeline in a file: import the file, then look at what it declares."""

import difflib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from thrive.domain.errors import NotFound, UsageError
from thrive.training.declare import Pipeline


def split_target(target: str) -> tuple[str, str]:
    """Return file and pipeline name of `FILE` or `FILE:PIPELINE`; the name may be empty."""
    file, _, name = target.partition(":")
    return file, name


def find_file(target: str, folder: Path) -> Path:
    """Return the file a target names, relative to the project's folder; `.py` may be left out.

    Raises:
        NotFound: there is no such file.
        UsageError: it is no Python file.
    """
    file, _ = split_target(target)
    path = folder / file
    if not path.exists() and path.with_name(f"{path.name}.py").is_file():
        path = path.with_name(f"{path.name}.py")
    if not path.is_file():
        raise NotFound(f"There is no file {file!r} in {folder}.", _files_hint(folder, file))
    if path.suffix != ".py":
        raise UsageError(f"{file!r} is not a Python file.", "thrive run FILE.py")
    return path.resolve()


def _files_hint(folder: Path, file: str) -> str:
    names = sorted(path.name for path in folder.glob("*.py"))
    close = difflib.get_close_matches(file, names, n=1)
    if close:
        return f"did you mean {close[0]}?"
    return f"the folder holds {', '.join(names[:8])}" if names else "write a file with a @pipeline"


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
    sys.path.insert(0, str(path.parent))
    taken = path.stem in sys.stdlib_module_names or path.stem == "thrive"
    name = f"{path.stem}_pipeline" if taken else path.stem
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
