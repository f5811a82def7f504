"""Digests of packages that the lock files of a project pin, whatever tool wrote them."""

import json
import re
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

_REQUIREMENT = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?\s*==\s*([^\s;\\]+)")
_HASH = re.compile(r"--hash[= ](sha256:[0-9a-f]{64})")
_SHA256 = re.compile(r"^(?:sha256:)?([0-9a-f]{64})$")

Pins = dict[str, set[str]]
"""`name==version` -> `sha256:...` of every file that may be installed for it."""


def pinned(folder: Path) -> Pins:
    """Return what the lock files in a folder pin; a file that cannot be read pins nothing."""
    found: Pins = {}
    for pattern, read in _READERS.items():
        for path in sorted(folder.glob(pattern)):
            try:
                for name, version, digests in read(path.read_text(encoding="utf-8")):
                    found.setdefault(f"{_plain(name)}=={version}", set()).update(digests)
            except (OSError, ValueError, TypeError, AttributeError, KeyError):
                continue
    return {pin: digests for pin, digests in found.items() if digests}


def digests_of(pins: Pins, library: str) -> list[str]:
    """Return the digests that pin a library, written as `name==version`."""
    name, _, version = library.partition("==")
    return sorted(pins.get(f"{_plain(name)}=={version}", ()))


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _requirements(text: str) -> Iterator[tuple[str, str, set[str]]]:
    for line in text.replace("\\\n", " ").splitlines():
        found = _REQUIREMENT.match(line.strip())
        if found:
            yield found[1], found[2], set(_HASH.findall(line))


def _toml(text: str) -> Iterator[tuple[str, str, set[str]]]:
    """Read uv.lock, pylock.toml, poetry.lock and pdm.lock: a table for each package."""
    read = tomllib.loads(text)
    for package in read.get("package", read.get("packages", [])):
        if "version" in package:
            yield package["name"], package["version"], set(_sha256(package))


def _pipfile(text: str) -> Iterator[tuple[str, str, set[str]]]:
    for name, package in json.loads(text).get("default", {}).items():
        yield name, package["version"].removeprefix("=="), set(_sha256(package))


def _sha256(value: Any) -> Iterator[str]:
    """Yield every sha256 inside of a package's table."""
    if isinstance(value, str):
        found = _SHA256.match(value)
        if found:
            yield f"sha256:{found[1]}"
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:  # pyright: ignore[reportUnknownVariableType]
            yield from _sha256(each)


_READERS: dict[str, Callable[[str], Iterator[tuple[str, str, set[str]]]]] = {
    "requirements*.txt": _requirements,
    "requirements/*.txt": _requirements,
    "uv.lock": _toml,
    "pylock*.toml": _toml,
    "poetry.lock": _toml,
    "pdm.lock": _toml,
    "Pipfile.lock": _pipfile,
}
