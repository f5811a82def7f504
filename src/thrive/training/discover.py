"""Find the pipeline in a file: import the file, then look at what it declares."""

import importlib.util
import sys
from importlib.machinery import (
    EXTENSION_SUFFIXES,
    SOURCE_SUFFIXES,
    ExtensionFileLoader,
    FileFinder,
    SourceFileLoader,
)
from pathlib import Path
from types import ModuleType
from typing import Any

from thrive.domain.errors import UsageError
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


class ProjectSource(SourceFileLoader):
    """Loads a project's code, and its byte code only where that cannot be of an older text.

    Byte code knows of its source the size and the second of the last change. What was compiled
    within that second may be of a text that was changed after (git's rule for its index).
    """

    def get_data(self, path: str) -> bytes:
        """Return a file's bytes.

        Raises:
            OSError: it cannot be read, or is byte code that nothing may be built on.
        """
        changed = int(Path(self.path).stat().st_mtime)
        if path != self.path and Path(path).stat().st_mtime < changed + 1:
            raise OSError(f"{path} is as new as its source")
        return super().get_data(path)


def _find_in(folder: Path) -> None:
    """Import what lies in a project's folder by `ProjectSource`."""
    loaders = (ExtensionFileLoader, EXTENSION_SUFFIXES), (ProjectSource, SOURCE_SUFFIXES)

    def finder(place: str) -> FileFinder:
        inside = Path(place).is_relative_to(folder) and "site-packages" not in place
        if not inside or not Path(place).is_dir():
            raise ImportError(place)
        return FileFinder(place, *loaders)

    sys.path_hooks.insert(0, finder)
    for known in [each for each in sys.path_importer_cache if Path(each).is_relative_to(folder)]:
        del sys.path_importer_cache[known]


def _imported(path: Path) -> ModuleType:
    sys.path.insert(0, str(path.parent))
    _find_in(path.parent)
    taken = path.stem in sys.stdlib_module_names or path.stem == "thrive"
    name = f"{path.stem}_pipeline" if taken else path.stem
    loader = ProjectSource(name, str(path))
    spec = importlib.util.spec_from_file_location(name, path, loader=loader)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
