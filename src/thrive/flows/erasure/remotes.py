"""Where versions were pushed: what is left is pushed again, what was erased is deleted there."""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from thrive.data.moving import copy_blobs, record_of
from thrive.domain.errors import NotFound, ThriveError
from thrive.flows.erasure.sought import Sought
from thrive.operations import Context
from thrive.store import audit, datasets, erasures
from thrive.store.place import FOLDER
from thrive.store.shelf import Record, Shelf


class Pushed(NamedTuple):
    """A version that was pushed somewhere, under the digest that it had then."""

    dataset: str
    version: int
    digest: str


def remotes_of(ctx: Context) -> dict[str, list[Pushed]]:
    """Return what was pushed, by place, as the audit chain has it."""
    with ctx.read() as tx:
        entries = audit.entries_of(tx, ctx.project_id, "data push")
    found: dict[str, list[Pushed]] = {}
    for each in entries:
        name, _, number = each.subject.partition(":")[2].rpartition("@")
        pushed = Pushed(name, int(number), str(each.detail["digest"]))
        found.setdefault(str(each.detail["pushed_to"]), []).append(pushed)
    return found


def is_home(place: str) -> bool:
    """Tell whether a place is another project's folder, which has to erase by itself."""
    return "://" not in place and (Path(place) / FOLDER / "home.json").is_file()


def clean_remotes(ctx: Context, sought: Sought) -> None:
    """Bring every place that answers to what this project has now; the proof names the others.

    What this project removed or laid elsewhere since it was pushed goes there too, if it names the
    person.
    """
    for place, pushed in remotes_of(ctx).items():
        if not is_home(place):
            try:
                _clean(ctx, place, pushed, sought)
            except (ThriveError, OSError):
                continue


def _clean(ctx: Context, place: str, pushed: list[Pushed], sought: Sought) -> None:
    with _shelf(ctx, place) as shelf:
        new = {each: _present(ctx, each) for each in pushed}
        for record in filter(None, new.values()):
            copy_blobs(ctx.home.blobs, shelf.blobs, record.blobs, ctx.progress)
        naming = _naming(shelf, new, sought)
        for digest in (*_erased(ctx), *naming):
            shelf.blobs.delete(digest)
        for each, record in new.items():
            _renew(shelf, each, record, naming)


def _present(ctx: Context, pushed: Pushed) -> Record | None:
    """Return the record of what a version is now, None if it was removed."""
    with ctx.read() as tx:
        try:
            present = datasets.get_version(tx, ctx.project_id, pushed.dataset, pushed.version)
        except NotFound:
            return None
    return record_of(ctx, present)


def _naming(shelf: Shelf, present: Mapping[Pushed, Record | None], sought: Sought) -> set[str]:
    """Return the blobs that were pushed, that no version needs now, and that name the person.

    They are found by their records, so those are written over last. Of a short value nothing can
    be told.
    """
    if not sought.distinctive:
        return set()
    needed = {digest for each in present.values() if each for digest in each.blobs}
    old = (shelf.read(each.digest, each.dataset) for each in present)
    superseded = {digest for each in old if each for digest in each.blobs} - needed
    there = (digest for digest in superseded if shelf.blobs.has(digest))
    return {digest for digest in there if sought.named_inside(shelf.blobs.get(digest))}


def _renew(shelf: Shelf, pushed: Pushed, present: Record | None, gone: Collection[str]) -> None:
    """Write the record of what a version is now; one that lacks what it names goes."""
    old = shelf.read(pushed.digest, pushed.dataset)
    if present is not None:
        shelf.write(present)
        stale = present.version.digest != pushed.digest
    else:
        stale = old is not None and bool(set(gone) & set(old.blobs))
    if stale:
        shelf.remove(pushed.digest, pushed.dataset)


def left_at_remotes(ctx: Context, sought: Sought) -> Iterator[str]:
    """Say which places still have erased content, or do not answer."""
    for place, pushed in remotes_of(ctx).items():
        if is_home(place):
            yield f"the project in {place}, to which versions were pushed: erase there too"
            continue
        try:
            with _shelf(ctx, place) as shelf:
                present = {each for each in _erased(ctx) if shelf.blobs.has(each)}
                present |= _naming(shelf, {each: _present(ctx, each) for each in pushed}, sought)
        except (ThriveError, OSError):
            yield f"{place}, where versions were pushed, does not answer: erase again when it does"
            continue
        if present:
            yield f"{place} still has {len(present)} erased contents: erase again"


def _erased(ctx: Context) -> list[str]:
    with ctx.read() as tx:
        return erasures.every_removed(tx, ctx.project_id)


def _shelf(ctx: Context, place: str) -> Shelf:
    return Shelf(place, ctx.home.object_endpoint(), ctx.home.temporary_folder)
