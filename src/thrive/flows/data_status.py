"""What changed in the sources of datasets since the versions that `thrive.lock` pins.

It looks at files alone: where nothing changed, the database is not even opened.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from blake3 import blake3

from thrive.contract.declared import declared_data
from thrive.domain.actor import ANYONE
from thrive.domain.errors import NotFound, UsageError
from thrive.operations import Context, Kind, operation
from thrive.store.pins import read_lock
from thrive.store.place import FOLDER
from thrive.store.snapshots.states import Remembered, StateCache, remembered_source, state_cache
from thrive.store.sources import Found, found_files, is_local
from thrive.store.sources.bring import MEMORY

UNCHANGED, CHANGED, GONE = "unchanged", "changed", "not found"
_MADE = "it was made in memory or by a run: there are no files to look at"
_ELSEWHERE = "it is elsewhere: thrive data refresh {name}"


class SourceChange(msgspec.Struct, frozen=True, kw_only=True):
    """One dataset: how its source differs from the pinned version, in numbers of files.

    `why` says why its files could not be looked at, or which of them were left out.
    """

    dataset: str
    state: str
    added: int = 0
    changed: int = 0
    removed: int = 0
    example: str = ""
    source: str = ""
    digest: str = ""
    why: str = ""


class DataStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The sources of all datasets against what is pinned."""

    datasets: list[SourceChange]
    next_hint: str = ""

    @property
    def exit_code(self) -> int:
        """1 when a source differs or is gone: what a script reads."""
        return int(any(each.state in {CHANGED, GONE} for each in self.datasets))


@operation("data status", kind=Kind.CLIENT, role=ANYONE)
def status(ctx: Context, name: str = "") -> DataStatus:
    """Tell how the files of datasets differ from the versions that `thrive.lock` pins.

    Only local sources are looked at; `thrive data refresh` reads the others. Nothing is stored. It
    exits with 1 if one that was looked at differs or is gone.

    Args:
        name: a dataset; all pinned ones if not given.

    Raises:
        NotFound: nothing is pinned, or not this dataset.

    Examples:
        thrive data status
        thrive data status flights
    """
    folder = ctx.local_folder()
    pins = read_lock(folder)
    if not pins or (name and name not in pins):
        what = f"thrive.lock pins no dataset {name!r}." if name else "thrive.lock pins no dataset."
        raise NotFound(what, "thrive data add PATH --name NAME")
    declared = declared_data(folder)
    found = [_look(ctx, each, pins[each], declared) for each in ([name] if name else pins)]
    differs = next((each for each in found if each.state == CHANGED), None)
    hint = f"thrive data add --name {differs.dataset}" if differs else ""
    return DataStatus(datasets=found, next_hint=hint)


def _look(ctx: Context, name: str, pin: str, declared: Mapping[str, Any]) -> SourceChange:
    source = _source(ctx, name, declared)
    if not source or not is_local(source):
        state = "not looked at" if source else "no source is known"
        why = _MADE if source == MEMORY else _ELSEWHERE.format(name=name) if source else ""
        return SourceChange(dataset=name, state=state, source=source, digest=pin, why=why)
    folder = ctx.local_folder()
    try:
        with found_files(source, folder, folder / FOLDER / "tmp") as found:
            counts = _compare(ctx, name, pin, found)
            why = _left_out(found.links)
    except NotFound as error:
        return SourceChange(dataset=name, state=GONE, source=source, digest=pin, why=error.what)
    differs = any((counts["added"], counts["changed"], counts["removed"]))
    state = CHANGED if differs else UNCHANGED
    return SourceChange(dataset=name, state=state, source=source, digest=pin, why=why, **counts)


def _left_out(links: list[str]) -> str:
    """Say which links to folders are not followed, the first ones by name."""
    shown = [*links[:3], "..."] if len(links) > 3 else links
    return f"not followed, as it links to a folder: {', '.join(shown)}" if links else ""


def _source(ctx: Context, name: str, declared: Mapping[str, Any]) -> str:
    terms = declared.get(name)
    said = terms.get("source", "") if isinstance(terms, dict) else ""
    known = said or remembered_source(ctx.local_folder() / FOLDER, name)
    if known:
        return str(known)
    from thrive.store import column_labels, datasets  # the first look: the database knows

    with ctx.read() as tx:
        state = column_labels.find_source(tx, ctx.project_id, name)
        versions = datasets.versions(tx, ctx.project_id, name)
    return state.source if state else versions[0].source if versions else ""


def _compare(ctx: Context, name: str, pin: str, found: Found) -> dict[str, Any]:
    cache = state_cache(ctx.local_folder() / FOLDER, found.place)
    remembered = cache.load()
    if remembered.name == pin and remembered.is_same(found.states):
        return _counts({}, {})
    now = _digests_now(found, remembered)
    pinned = remembered.files() if remembered.name == pin else _pinned_files(ctx, name, pin)
    if now == pinned:
        _remember(cache, pin, found, now, remembered.manifest if remembered.name == pin else "")
    return _counts(pinned, now)


def _digests_now(found: Found, remembered: Remembered) -> dict[str, bytes]:
    known = [*remembered.parts(), b""]  # the last one stands for no number, -1
    return {
        state[0]: known[number] or _hashed(found.locate(state[0]))
        for state, number in zip(found.states, remembered.match(found.states), strict=True)
    }


def _hashed(path: str) -> bytes:
    hasher = blake3(max_threads=1)
    with Path(path).open("rb", buffering=0) as file:
        while block := file.read(1 << 20):
            hasher.update(block)
    return hasher.digest()


def _remember(
    cache: StateCache, pin: str, found: Found, now: Mapping[str, bytes], manifest: str
) -> None:
    """Spare the next look what this one had to read; files that changed meanwhile stay doubtful."""
    if found.lasting and found.is_unchanged():
        digests = [now[state[0]] for state in found.states]
        cache.save(pin, found.states, digests, found.started_ns, manifest)


def _pinned_files(ctx: Context, name: str, pin: str) -> dict[str, bytes]:
    from thrive.store import datasets
    from thrive.store.snapshots.manifest import read_snapshot

    with ctx.read() as tx:
        versions = datasets.find_by_digest(tx, ctx.project_id, pin)
    version = next((each for each in versions if each.dataset == name), None)
    if version is None:
        raise UsageError(
            f"thrive.lock pins {name} to {pin[:12]}, which is not in this home.",
            f"thrive data pull --name {name}",
        )
    snapshot = read_snapshot(ctx.home.blobs, version.listed_in)
    return dict(zip(snapshot.paths, snapshot.digests, strict=True))


def _counts(before: Mapping[str, bytes], now: Mapping[str, bytes]) -> dict[str, Any]:
    added = sorted(now.keys() - before.keys())
    removed = sorted(before.keys() - now.keys())
    changed = sorted(each for each in now.keys() & before.keys() if now[each] != before[each])
    return {
        "added": len(added),
        "changed": len(changed),
        "removed": len(removed),
        "example": next(iter([*changed, *added, *removed]), ""),
    }
