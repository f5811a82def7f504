"""Where versions were pushed: what is left is pushed again, what was erased is deleted there."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from thrive.data.moving import copy_blobs, record_of
from thrive.domain.errors import NotFound, ThriveError
from thrive.operations import Context
from thrive.store import audit, datasets, erasures
from thrive.store.place import FOLDER
from thrive.store.shelf import Shelf


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


def clean_remotes(ctx: Context) -> None:
    """Bring every place that answers to what this project has now; the proof names the others."""
    for place, pushed in remotes_of(ctx).items():
        if not is_home(place):
            try:
                _clean(ctx, place, pushed)
            except (ThriveError, OSError):
                continue


def _clean(ctx: Context, place: str, pushed: list[Pushed]) -> None:
    with _shelf(ctx, place) as shelf:
        for each in pushed:
            _push_again(ctx, shelf, each)
        for digest in _erased(ctx):
            shelf.blobs.delete(digest)


def _push_again(ctx: Context, shelf: Shelf, pushed: Pushed) -> None:
    """Push what the version is now, then remove the record of what it was."""
    with ctx.read() as tx:
        try:
            present = datasets.get_version(tx, ctx.project_id, pushed.dataset, pushed.version)
        except NotFound:
            return
    record = record_of(ctx, present)
    copy_blobs(ctx.home.blobs, shelf.blobs, record.blobs, ctx.progress)
    shelf.write(record)
    if present.digest != pushed.digest:
        shelf.remove(pushed.digest, pushed.dataset)


def left_at_remotes(ctx: Context) -> Iterator[str]:
    """Say which places still have erased content, or do not answer."""
    for place in remotes_of(ctx):
        if is_home(place):
            yield f"the project in {place}, to which versions were pushed: erase there too"
            continue
        try:
            with _shelf(ctx, place) as shelf:
                present = [each for each in _erased(ctx) if shelf.blobs.has(each)]
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
