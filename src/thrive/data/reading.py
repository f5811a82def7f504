"""Reading a version: by name, inside a run and outside of one."""

import warnings
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from thrive.data.projection import watched
from thrive.data.questions import held_back
from thrive.domain.actor import local_user
from thrive.domain.dataset import DatasetVersion
from thrive.domain.errors import ContractError, NotFound, Refused, UsageError
from thrive.domain.identifiers import checked_name
from thrive.operations import Context
from thrive.store import datasets, erasures
from thrive.store.blobs import BlobStore, open_blobs
from thrive.store.database import Tx
from thrive.store.home import open_home
from thrive.store.pins import read_lock
from thrive.store.place import FOLDER, find_project_folder
from thrive.store.snapshots.bring import local_files
from thrive.store.snapshots.checkout import Target, check_out
from thrive.store.snapshots.manifest import read_snapshot
from thrive.store.snapshots.snapshot import Snapshot
from thrive.store.snapshots.tables import scan_files

if TYPE_CHECKING:
    import polars as pl

    from thrive.data.access import PersonalView


def split_name(text: str) -> tuple[str, int | str | None]:
    """Return the dataset and the version of `flights@3`, or the tag of `flights@spring`.

    The version of `flights` is None.

    Raises:
        UsageError: what follows the `@` is neither a number nor a tag.
    """
    name, at, named = text.partition("@")
    if not at:
        return name, None
    if named.isdecimal():
        return name, int(named)
    if not named:
        raise UsageError(f"{text!r} names no version.", f"write {name}@1 or {name}@TAG")
    return name, checked_name(named, "tag")


def find_version(ctx: Context, name: str, version: int | None = None) -> DatasetVersion:
    """Return a version: the one given, else the one `thrive.lock` pins, else the newest.

    Args:
        ctx: the project.
        name: the dataset, also as `name@version` or `name@tag`.
        version: the version's number.

    Raises:
        NotFound: there is no such version or tag, or the pinned one is not in this home, or it
            was erased.
    """
    name, inside = split_name(name)
    asked = version if version is not None else inside
    with ctx.read() as tx:
        is_tag = isinstance(asked, str)
        number = datasets.tagged(tx, ctx.project_id, name, asked) if is_tag else asked
        pinned = read_lock(ctx.folder).get(name) if number is None and ctx.folder else None
        if pinned is None:
            return datasets.get_version(tx, ctx.project_id, name, number)
        for found in datasets.find_by_digest(tx, ctx.project_id, pinned):
            if found.dataset == name:
                _refuse_erased(tx, ctx, found, pinned)
                return found
        stone = erasures.tombstone(tx, ctx.project_id, pinned)
    if stone is not None:
        raise erasures.erased(stone, f"thrive data add --name {name}")
    raise NotFound(
        f"thrive.lock pins {name} to {pinned[:12]}, which is not in this home.",
        f"thrive data add --name {name}",
    )


def _refuse_erased(tx: Tx, ctx: Context, present: DatasetVersion, pinned: str) -> None:
    """Answer for content that was erased; raises NotFound with what stands in its place."""
    stone = erasures.tombstone(tx, ctx.project_id, pinned)
    if stone is not None:
        raise erasures.erased(
            stone, f'write {present.dataset} = "{present.digest}" into thrive.lock'
        )


def resolve(ctx: Context, name: str, version: int | None = None) -> DatasetVersion:
    """Return the version that training may read.

    Raises:
        NotFound: there is no such version.
        Refused: it failed a check and nobody decided that it may be trained on.
    """
    found = find_version(ctx, name, version)
    against = held_back(found)
    if against is not None:
        what, cure = against
        raise Refused(_owed(ctx, found.dataset, what), cure)
    return found


def _owed(ctx: Context, name: str, what: str) -> str:
    """Return what is wrong with a dataset, with the line of its checks and who answers for it."""
    from thrive.contract.gaps import refusal
    from thrive.contract.lines import line_of
    from thrive.contract.parse import load

    try:
        contract = load(ctx.folder) if ctx.folder else None
    except (NotFound, ContractError):
        contract = None
    terms = contract.contract.data.get(name) if contract else None
    if contract is None or terms is None:
        return f"{what}."
    line = line_of(contract.lines, "data", name, "checks")
    return refusal(contract.filename, line, what, terms.owner)


def scan_rows(
    name: str, version: int | None = None, columns: Sequence[str] | None = None
) -> "pl.LazyFrame":
    """Do the work of `thrive.data.load` and `scan`, whose arguments and errors it has.

    A warning names the line that called one of them.
    """
    from thrive.engines import channel

    run = channel.current()
    found = _found(name, version, columns)
    seen, hidden = found.version, found.hiding
    if found.warning:
        warnings.warn(found.warning, stacklevel=3)
    frame = scan_version(seen, found.blobs)
    frame = shown(frame, hidden)
    if run is None:
        return frame

    def tell(columns: list[str] | None) -> None:
        if channel.current() is run:  # a process that user code forked must not write there
            run.send("columns", digest=seen.digest, columns=columns)

    return watched(frame, tell)


class _Found(NamedTuple):
    """A version that may be trained on, where its bytes are, and what its reader may not see."""

    version: DatasetVersion
    blobs: BlobStore
    hiding: "Hiding"
    warning: str = ""


class Hiding(msgspec.Struct, frozen=True, kw_only=True):
    """What a run tells a task beside a version: the columns that are pseudonyms, and their key.

    And whose rows are left out, by which columns.
    """

    hidden: list[str] = []
    key: bytes = b""
    naming: list[str] = []
    left_out: list[str] = []


def shown(frame: "pl.LazyFrame", hiding: Hiding) -> "pl.LazyFrame":
    """Return the rows as their reader gets to see them."""
    if not hiding.key:
        return frame
    from thrive.store.pseudonyms import pseudonymised, without

    rows = without(frame, hiding.naming, hiding.left_out, hiding.key)
    return pseudonymised(rows, hiding.hidden, hiding.key) if hiding.hidden else rows


def hiding(ctx: Context, view: "PersonalView") -> Hiding:
    """Return how to read a version as somebody gets to see it."""
    if not view.hidden and not view.left_out:
        return Hiding()
    from thrive.store.pseudonym_keys import pseudonym_key

    key = pseudonym_key(ctx.home, ctx.actor.name)
    return Hiding(hidden=view.hidden, key=key, naming=view.naming, left_out=view.left_out)


def _found(
    name: str, version: int | None, columns: Sequence[str] | None = None, *, files: bool = False
) -> _Found:
    """Return what is read; `files` says that it is wanted as it is, which needs a grant for all."""
    from thrive.engines import channel

    run = channel.current()
    if run is not None:
        asked, number = split_name(name)
        if isinstance(number, str):
            asked, number = name, None
        reply = run.request("dataset", name=asked, version=version or number)
        blobs = open_blobs(run.facts["blobs"])
        return _Found(msgspec.convert(reply, DatasetVersion), blobs, msgspec.convert(reply, Hiding))
    # what follows is imported by those who read rows alone: `data add` is quick without it
    from thrive.data.access import hidden_words, log_read, refuse_hidden, view_of
    from thrive.data.wanted import terms_of

    with project_here("data load") as ctx:
        found = resolve(ctx, name, version)
        with ctx.read() as tx:
            whole = view_of(tx, ctx, found, terms_of(ctx.folder, found.dataset).personal_kinds)
        view = whole.only(None if columns is None else list(columns))
        if files:
            refuse_hidden(found, view)
        log_read(ctx, found, view)
        return _Found(found, ctx.home.blobs, hiding(ctx, view), hidden_words(found, view))


def folder_of(name: str, version: int | None) -> Path:
    """Return a folder with the files of a version, made once and left alone by its readers."""
    from thrive.engines import channel

    run = channel.current()
    found, blobs, hidden, _ = _found(name, version, files=True)
    if hidden.hidden or hidden.left_out:  # as a run is told
        from thrive.data.access import PersonalView, refuse_hidden

        seen = PersonalView(
            columns=hidden.hidden,
            hidden=hidden.hidden,
            naming=hidden.naming,
            left_out=hidden.left_out,
        )
        refuse_hidden(found, seen)
    root = Path(run.facts["scratch"]) if run else find_project_folder(Path.cwd()) / FOLDER / "cache"
    folder = root / "data" / found.digest
    check_out(read_snapshot(blobs, found.listed_in), blobs, Target(folder), _silent)
    return folder


def _silent(_done: int, _all: int, _name: str) -> None:
    return


@contextmanager
def project_here(operation: str) -> Generator[Context]:
    """Give the project of the current folder, or of the nearest above it, to its reader."""
    folder = find_project_folder(Path.cwd())
    home = open_home(folder)
    try:
        yield Context(home, local_user(), folder=folder, operation=operation)
    finally:
        home.close()


def scan_version(
    version: DatasetVersion, blobs: BlobStore, part: Snapshot | None = None
) -> "pl.LazyFrame":
    """Return the rows of a version, or those of some of its files.

    Raises:
        NotFound: a blob is missing.
        Damaged: a blob's bytes are not what they were.
        UsageError: the version is no table.
    """
    label = f"{version.dataset}@{version.version}"
    if not version.is_table:
        raise UsageError(
            f"{label} is a folder of {version.file_count:,} files, not a table.",
            f'thrive.data.load("{label}", form="path")',
        )
    snapshot = read_snapshot(blobs, version.listed_in) if part is None else part
    return scan_files(list(snapshot.entries()), local_files(blobs, snapshot), version.columns)
