"""What DVC pinned, read without DVC: `.dvc` files and `dvc.lock`, from its cache or a remote.

Formats as DVC 2 and 3 write them: outputs are named by MD5; those of version 3 (`hash: md5`) lie
under `files/md5/ab/cdef...`, older ones under `ab/cdef...`; a folder is a JSON list, `...dir`.
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from thrive.domain.errors import Damaged, NotFound, UsageError
from thrive.store.sources import objects
from thrive.store.sources.block_yaml import read_yaml

_LOCK = "dvc.lock"
_HINT = "dvc fetch, or dvc push where the data is"


class Pin(msgspec.Struct, frozen=True, kw_only=True):
    """One output of DVC: its path, its MD5 (`....dir` for a folder), and how it is stored."""

    path: str
    md5: str
    modern: bool


def is_pin(source: str) -> bool:
    """Tell whether a source is a `.dvc` file, or `dvc.lock:OUTPUT`."""
    return source.endswith(".dvc") or PurePosixPath(source.partition(":")[0]).name == _LOCK


def read_pin(source: str, base: Path) -> tuple[Pin, Path]:
    """Return the output that a source pins, and the folder of the file that pins it.

    Raises:
        NotFound: there is no such file or output.
        UsageError: the file is none that DVC writes.
    """
    name, _, output = source.partition(":")
    file = (base / Path(name).expanduser()).resolve()
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise NotFound(f"There is no file {file}.", "check the source") from None
    pins = list(_pins(read_yaml(text, file), locked=file.name == _LOCK))
    chosen = [pin for pin in pins if not output or pin.path == output]
    if len(chosen) != 1:
        known = ", ".join(pin.path for pin in pins) or "none"
        raise NotFound(
            f"{source!r} names {len(chosen)} outputs; {file.name} has {known}.",
            f"write {name}:OUTPUT",
        )
    return chosen[0], file.parent


def _pins(document: Any, *, locked: bool) -> Iterator[Pin]:
    stages = document.get("stages", {}).values() if locked else [document]
    for stage in stages:
        for out in stage.get("outs") or []:
            if "md5" not in out:
                raise UsageError(f"DVC pins {out.get('path')!r} by no MD5.", "dvc commit")
            modern = out.get("hash") == "md5"
            yield Pin(path=str(out["path"]), md5=str(out["md5"]), modern=modern)


def mark(source: str, base: Path) -> str:
    """Return the MD5 that a source pins."""
    return f"md5:{read_pin(source, base)[0].md5}"


def copy(source: str, base: Path, folder: Path, endpoint: str) -> Path:
    """Copy what a source pins into a folder, checked; return the path of the file or folder.

    Raises:
        NotFound: neither the cache nor the remote has it.
        Damaged: what is there does not have its MD5.
    """
    pin, place = read_pin(source, base)
    store = _Store(_repository(place), endpoint)
    target = folder / PurePosixPath(pin.path).name
    if not pin.md5.endswith(".dir"):
        store.bring(pin, pin.md5, target)
        return target
    listing = folder / ".listing"
    store.bring(pin, pin.md5, listing)
    for entry in json.loads(listing.read_text()):
        inside = PurePosixPath(entry["relpath"])
        if inside.is_absolute() or ".." in inside.parts:
            raise Damaged(f"A folder of DVC holds the name {entry['relpath']!r}.", _HINT)
        file = target / inside
        file.parent.mkdir(parents=True, exist_ok=True)
        store.bring(pin, entry["md5"], file)
    listing.unlink()
    return target


def _repository(place: Path) -> Path:
    for folder in (place, *place.parents):
        if (folder / ".dvc").is_dir():
            return folder
    raise NotFound(f"{place} is in no DVC repository.", "dvc init")


class _Store:
    """Where the contents of a repository are: its cache, and its default remote."""

    def __init__(self, repository: Path, endpoint: str) -> None:
        import configparser

        self._folder = repository / ".dvc"
        config = configparser.ConfigParser(interpolation=None)
        config.read([self._folder / "config", self._folder / "config.local"], encoding="utf-8")
        cache = config.get("cache", "dir", fallback="cache")
        self._cache = (self._folder / cache).resolve()
        remote = config.get("core", "remote", fallback="")
        section = f"'remote \"{remote}\"'"
        self._remote = config.get(section, "url", fallback="") if remote else ""
        self._endpoint = config.get(section, "endpointurl", fallback="") or endpoint

    def bring(self, pin: Pin, md5: str, target: Path) -> None:
        """Copy one content into a file, and check it."""
        root = "files/md5/" if pin.modern else ""
        name = f"{root}{md5[:2]}/{md5[2:]}"
        cached = self._cache / name
        if cached.is_file():
            shutil.copyfile(cached, target)
        elif "://" in self._remote:
            objects.fetch(f"{self._remote.rstrip('/')}/{name}", self._endpoint, target)
        elif self._remote and (self._folder / self._remote / name).is_file():
            shutil.copyfile(self._folder / self._remote / name, target)
        else:
            where = f"the cache {self._cache}" + (f" and {self._remote}" if self._remote else "")
            raise NotFound(f"{pin.path} ({md5}) is not in {where}.", _HINT)
        _check(target, md5)


def _check(path: Path, md5: str) -> None:
    import hashlib

    with path.open("rb") as file:
        found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if found != md5.removesuffix(".dir"):
        raise Damaged(f"The content {md5} of DVC has the MD5 {found}.", _HINT)
