"""Is a project's home sound? Each question with its answer, and what to do about it."""

import shutil
import time
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path

import msgspec

from thrive.contract.parse import CONTRACT_FILE, load
from thrive.domain.actor import ANYONE
from thrive.domain.erasure import ErasureState
from thrive.domain.errors import NotFound, NotRight, ThriveError
from thrive.flows.auditing import audit_verify
from thrive.flows.project import in_git
from thrive.operations import Context, Kind, operation
from thrive.store import erasures, postgresql, references
from thrive.store.filesystems import NETWORK, file_system_of
from thrive.store.home import migrate_home
from thrive.store.lock import FileLock
from thrive.store.place import FOLDER

_Examine = Callable[[Context, Path], tuple["Health", str, str]]

SAMPLED_BLOBS = 200
NAMED = 5
"""Users of a missing file that are named; the others are counted."""
LITTLE_SPACE = 1 << 30
LOCK_SECONDS = 2.0
OLDEST_POSTGRESQL = 15


class Health(StrEnum):
    """The answer to one question."""

    OK = "ok"
    WARNING = "warning"
    BAD = "bad"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One question about a home, its answer, and what to do."""

    question: str
    health: Health
    found: str
    fix: str = ""


class Diagnosis(msgspec.Struct, frozen=True, kw_only=True):
    """All findings about a home."""

    sound: bool
    findings: list[Finding]

    @property
    def exit_code(self) -> int:
        """1 when something is bad: what a script reads."""
        return 0 if self.sound else 1


@operation("doctor", kind=Kind.CLIENT, role=ANYONE)
def doctor(ctx: Context, *, migrate: bool = False, blobs: int = SAMPLED_BLOBS) -> Diagnosis:
    """Examine the home: format, database, audit chain, stored files, disk, locks, git.

    Args:
        migrate: bring a home of an older Thrive to this one's schema; a copy is made first.
        blobs: how many stored files to verify, spread over all; 0 verifies every one.

    Examples:
        thrive doctor
        thrive doctor --migrate
    """
    folder = ctx.local_folder()
    if not (folder / FOLDER).is_dir():
        raise NotFound(f"There is no Thrive home in {folder}.", "thrive init")
    findings: list[Finding] = []
    if migrate:
        copy = migrate_home(folder)
        found = f"migrated; the copy is {copy}" if copy else "nothing to migrate"
        findings.append(Finding(question="migration", health=Health.OK, found=found))
    for question, examine in _questions(ctx).items():
        findings.extend(_asked(question, examine, ctx, folder))
    findings.extend(_asked_of_blobs(ctx, blobs))
    bad = any(finding.health is Health.BAD for finding in findings)
    return Diagnosis(sound=not bad, findings=findings)


def _asked(question: str, examine: _Examine, ctx: Context, folder: Path) -> Iterator[Finding]:
    try:
        health, found, fix = examine(ctx, folder)
    except ThriveError as error:
        health, found, fix = Health.BAD, error.what, error.hint
    except OSError as error:
        health, found, fix = Health.BAD, f"{error.filename}: {error.strerror}", "make it writable"
    yield Finding(question=question, health=health, found=found, fix=fix)


def _home(ctx: Context, _folder: Path) -> tuple[Health, str, str]:
    return Health.OK, f"project {ctx.home.project.name}", ""


def _contract(_ctx: Context, folder: Path) -> tuple[Health, str, str]:
    parsed = load(folder)
    count = len(parsed.contract.model)
    return Health.OK, f"{CONTRACT_FILE} reads well: {count} model{'s' * (count != 1)}", ""


def _database(ctx: Context, _folder: Path) -> tuple[Health, str, str]:
    if not ctx.home.database.is_sqlite:
        return _postgresql(ctx)
    broken = ctx.home.database.quick_check()
    if broken:
        return Health.BAD, broken, "stop every writer and restore the newest backup"
    return Health.OK, "every page is sound", ""


def _postgresql(ctx: Context) -> tuple[Health, str, str]:
    began = time.perf_counter()
    with ctx.read() as tx:
        version = postgresql.server_version(tx)
    spent = (time.perf_counter() - began) * 1000
    found = f"PostgreSQL {version} answers within {spent:.0f} ms"
    if version < OLDEST_POSTGRESQL:
        return Health.WARNING, found, f"Thrive is tested from {OLDEST_POSTGRESQL} on: upgrade it"
    return Health.OK, found, ""


def _objects(ctx: Context, _folder: Path) -> tuple[Health, str, str]:
    seen = ctx.home.blobs.probe()
    if not seen.read_after_write:
        return Health.BAD, "it does not show what was just written", "use another object store"
    refuses = "refuses a second writer" if seen.create_if_absent else "lets a second writer in"
    return Health.OK, f"it shows what was just written and {refuses}", ""


def _audit(ctx: Context, _folder: Path) -> tuple[Health, str, str]:
    try:
        found = audit_verify(ctx)
    except NotRight as error:
        return Health.BAD, error.what, error.hint
    return Health.OK, f"every link and every signed head ({found.seals}) holds", ""


def _erasures(ctx: Context, _folder: Path) -> tuple[Health, str, str]:
    with ctx.read() as tx:
        waiting = erasures.unfinished(tx, ctx.project_id)
    if not waiting:
        return Health.OK, "none is unfinished", ""
    first = waiting[0]
    if first.state is ErasureState.ASKED:
        found = f"{first.erasure_id[:12]} waits for a second person"
        return Health.WARNING, found, f'thrive erasures approve {first.erasure_id} --reason "..."'
    found = f"{first.erasure_id[:12]} was broken off when it was {first.state.value}"
    return Health.BAD, found, 'thrive data erase --yes --reason "..." with the same person'


def _disk(_ctx: Context, folder: Path) -> tuple[Health, str, str]:
    free = shutil.disk_usage(folder).free
    found = f"{free / 1e9:.1f} GB free"
    if free < LITTLE_SPACE:
        return Health.WARNING, found, "free some space: writes are refused when it is full"
    return Health.OK, found, ""


def _file_system(_ctx: Context, folder: Path) -> tuple[Health, str, str]:
    kind = file_system_of(folder)
    if kind in NETWORK:
        return Health.BAD, f"{kind}, where SQLite can lose data", "move it to a local folder"
    return Health.OK, kind or "local", ""


def _lock(_ctx: Context, folder: Path) -> tuple[Health, str, str]:
    with FileLock(folder / FOLDER / "lock", LOCK_SECONDS).held():
        return Health.OK, "free", ""


def _git(_ctx: Context, folder: Path) -> tuple[Health, str, str]:
    if in_git(folder):
        return Health.OK, "inside a work tree", ""
    return Health.WARNING, "no git: runs record code without a commit", "git init"


_QUESTIONS = {
    "home": _home,
    "contract": _contract,
    "database": _database,
    "object store": _objects,
    "audit chain": _audit,
    "erasures": _erasures,
    "disk": _disk,
    "file system": _file_system,
    "writers' lock": _lock,
    "git": _git,
}
_OF_A_FOLDER = {"file system", "writers' lock"}
_OF_A_TEAM = {"object store"}


def _questions(ctx: Context) -> dict[str, _Examine]:
    """Return what is asked of this home: a folder's lock says nothing of PostgreSQL."""
    try:
        others = _OF_A_TEAM if ctx.home.database.is_sqlite else _OF_A_FOLDER
    except ThriveError:
        others = _OF_A_TEAM  # the home cannot be opened, and the first question says why
    return {name: each for name, each in _QUESTIONS.items() if name not in others}


def _asked_of_blobs(ctx: Context, wanted: int) -> Iterator[Finding]:
    """Verify stored files, spread evenly over all; name each that is missing or damaged."""
    try:
        store = ctx.home.blobs
        with ctx.read() as tx:
            used = sorted(references.every_digest(tx))
    except ThriveError:
        return  # the home itself was found bad already
    missing = [digest for digest in used if not store.has(digest)]
    yield from (_bad_blob(ctx, digest, f"{digest[:12]} is missing") for digest in missing)
    digests = list(store.digests())
    step = max(1, len(digests) // wanted) if wanted else 1
    chosen = digests[::step]
    damaged = 0
    for number, digest in enumerate(chosen, 1):
        ctx.progress(number / len(chosen), "verifying stored files")
        try:
            store.open(digest).close()
        except ThriveError:
            damaged += 1
            yield _bad_blob(ctx, digest, f"{digest[:12]} is damaged")
    if not damaged and not missing:
        found = f"{len(used)} in use, {len(chosen)} of {len(digests)} verified"
        yield Finding(question="stored files", health=Health.OK, found=found)


def _bad_blob(ctx: Context, digest: str, what: str) -> Finding:
    with ctx.read() as tx:
        users = references.users(tx, ctx.project_id, digest)
    named = [f"{kind.replace('_', ' ')} {name}" for kind, name in users[:NAMED]]
    more = [f"{len(users) - NAMED:,} more"] if len(users) > NAMED else []
    shown = ", ".join(named + more) or "nothing"
    return Finding(
        question="stored file",
        health=Health.BAD,
        found=f"{what}; it is used by {shown}",
        fix=f"restore .thrive/blobs/{digest[:2]}/{digest[2:]} from a backup; "
        "or remove it, and add again the data that it is of, or `thrive data pull` it",
    )
