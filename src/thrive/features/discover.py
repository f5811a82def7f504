"""Find the views of a project: `features.py` in its folder, or the files named in its settings."""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec

from thrive.domain.errors import NotFound, UsageError
from thrive.engines.project_code import import_file
from thrive.features.declare import OnDemand, View

FILE = "features.py"


class Declared(msgspec.Struct, frozen=True, kw_only=True):
    """What a project's file declares, by name."""

    views: dict[str, Any] = {}
    on_demand: dict[str, Any] = {}

    def view(self, name: str) -> View:
        """Return a view.

        Raises:
            NotFound: none has this name.
        """
        return _named(self.views, name, "feature view")

    def chosen(self, names: list[str]) -> tuple[list[View], list[OnDemand]]:
        """Return the views and the on-demand features of given names.

        Raises:
            NotFound: nothing has a name.
        """
        known = {**self.views, **self.on_demand}
        found = [_named(known, name, "feature view") for name in names]
        views = [each for each in found if isinstance(each, View)]
        return views, [each for each in found if isinstance(each, OnDemand)]


def load_declared(folder: Path) -> Declared:
    """Import a project's `features.py` and return what it declares.

    Raises:
        NotFound: there is no such file.
        UsageError: two views have one name, or the file cannot be imported.
    """
    path = folder / FILE
    if not path.is_file():
        raise NotFound(
            f"There is no {FILE} in {folder}.", f"write @feature_view functions into {FILE}"
        )
    found = vars(_imported(path)).values()
    views = _by_name([each for each in found if isinstance(each, View)])
    on_demand = _by_name([each for each in found if isinstance(each, OnDemand)])
    twice = sorted(views.keys() & on_demand.keys())
    if twice:
        raise UsageError(f"{FILE} declares {twice[0]!r} twice.", "rename one of them")
    return Declared(views=views, on_demand=on_demand)


def _by_name(found: list[Any]) -> dict[str, Any]:
    named: dict[str, Any] = {}
    for each in found:
        if named.setdefault(each.name, each) is not each:
            raise UsageError(f"{FILE} declares {each.name!r} twice.", "rename one of them")
    return named


def _imported(path: Path) -> ModuleType:
    """Import a file as `features`; nothing else of that name is lost by it."""
    previous = sys.modules.get(path.stem)
    try:
        return import_file(path, path.stem)
    except Exception as error:
        raise UsageError(
            f"{path.name} cannot be imported: {type(error).__name__}: {error}.", f"mend {path}"
        ) from error
    finally:
        if previous is not None:
            sys.modules[path.stem] = previous


def _named(known: dict[str, Any], name: str, noun: str) -> Any:
    if name not in known:
        raise NotFound(
            f"There is no {noun} {name!r}.", f"{FILE} declares {', '.join(sorted(known)) or 'none'}"
        )
    return known[name]
