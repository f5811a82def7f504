"""Importing a project's own code: what its files say now, however fast they were changed."""

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

_folders: set[Path] = set()
"""What lies in these is imported by `ProjectSource`."""


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


def import_file(path: Path, name: str) -> ModuleType:
    """Import a file under a name; what lies beside it can be imported by it.

    Args:
        path: an existing Python file.
        name: of the module in `sys.modules`, where it stands already while it is executed.

    Raises:
        Exception: whatever the file raises.
    """
    _find_in(path.parent)
    loader = ProjectSource(name, str(path))
    spec = importlib.util.spec_from_file_location(name, path, loader=loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    loader.exec_module(module)
    return module


def _find_in(folder: Path) -> None:
    """Have what lies in a project's folder found, and imported by `ProjectSource`."""
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    if not _folders:
        sys.path_hooks.insert(0, _finder)
    if folder not in _folders:
        _folders.add(folder)
        known = [each for each in sys.path_importer_cache if Path(each).is_relative_to(folder)]
        for each in known:
            del sys.path_importer_cache[each]


def _finder(place: str) -> FileFinder:
    inside = any(Path(place).is_relative_to(each) for each in _folders)
    if not inside or "site-packages" in place or not Path(place).is_dir():
        raise ImportError(place)
    loaders = (ExtensionFileLoader, EXTENSION_SUFFIXES), (ProjectSource, SOURCE_SUFFIXES)
    return FileFinder(place, *loaders)
