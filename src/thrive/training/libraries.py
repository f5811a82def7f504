"""Versions of the third-party libraries that code touches, with what they depend on."""

import re
import sys
from functools import cache

_NAMES = {"sklearn": "scikit-learn", "yaml": "pyyaml", "PIL": "pillow", "cv2": "opencv-python"}
"""Import names that differ from the name of the distribution; others are looked up, slowly."""
_REQUIRED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def versions_behind(module: str) -> dict[str, str]:
    """Return name and version of the library of a module, and of all that it requires.

    Args:
        module: dotted name; one of the standard library has no version beyond Python's own.
    """
    top = module.partition(".")[0]
    if top in sys.stdlib_module_names or top == "__main__":
        return {}
    found: dict[str, str] = {}
    for name in _distributions(top):
        _collect(name, found)
    return found or {top: str(getattr(sys.modules.get(top), "__version__", "unknown"))}


@cache
def _distributions(top: str) -> tuple[str, ...]:
    from importlib.metadata import packages_distributions

    name = _NAMES.get(top, top)
    if _entry(name) is not None:
        return (name,)
    return tuple(packages_distributions().get(top, ()))


@cache
def _entry(name: str) -> tuple[str, tuple[str, ...]] | None:
    """Return the version of a distribution and the names it requires; None if not installed."""
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        found = distribution(name)
    except PackageNotFoundError:
        return None
    always = [line for line in found.requires or () if "extra ==" not in line]
    names = (_REQUIRED.match(line) for line in always)
    return found.version, tuple(match.group() for match in names if match)


def _collect(name: str, found: dict[str, str]) -> None:
    key = re.sub(r"[-_.]+", "-", name).lower()
    entry = _entry(name)
    if entry is None or key in found:
        return
    found[key] = entry[0]
    for each in entry[1]:
        _collect(each, found)
