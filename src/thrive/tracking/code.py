"""The code of a run: git's commit, branch and diff, and a bundle of the project's files."""

import ast
import contextlib
import io
import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
from blake3 import blake3

from thrive.domain.errors import Damaged, NotFound, Refused
from thrive.domain.run import CodeRecord
from thrive.store.blobs import BlobStore, BlobWriter

SUFFIXES = frozenset({".cfg", ".ini", ".lock", ".py", ".sql", ".toml", ".yaml", ".yml"})
NAMES = frozenset({"requirements.txt", "constraints.txt", ".python-version"})
FOREIGN = frozenset({"__pycache__", "node_modules", "site-packages", "venv", "build", "dist"})
DATA_LOCK = "thrive.lock"
"""Moves with each version of the data, which a run records by content: it makes no code dirty."""
_NO_CODE = (f":(exclude){DATA_LOCK}", ":(exclude,glob)**/__pycache__/**")
"""Files under git whose changes change no code: a compiled copy follows its source by itself."""
NAMED = 5
"""Files of a code that are named; the others are counted."""
LARGEST_FILE = 1 << 20
LARGEST_BUNDLE = 16 << 20
LARGEST_DIFF = 1 << 20
NO_GIT = "the folder is not under git: no commit and no history, only a copy of the files is kept"
NO_COMMIT = "git holds no commit yet: only a copy of the files is kept"
LONG_DIFF = "the diff is larger than 1 MiB and was left out: the bundle holds the files"


class CodeFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The record of a run's code, and what else is to be said of it.

    Attributes:
        record: what the run stores.
        untracked: files in the bundle that git does not know.
        left_out: files of the project that were too large for the bundle.
        lost: what the record lacks, in words; "" when it lacks nothing.
    """

    record: CodeRecord
    untracked: list[str] = []
    left_out: list[str] = []
    lost: str = ""


def record_code(
    folder: Path,
    entry: str,
    blobs: BlobWriter,
    *,
    with_declared: bool = False,
    memory: Path | None = None,
) -> CodeFacts:
    """Read the state of git and bundle the project's code files into a blob.

    Args:
        folder: the project's folder.
        entry: what is executed, as typed.
        blobs: where the bundle (a tar.gz, the same bytes for the same files) is kept.
        with_declared: bundle the files that steps declare too: where the code is executed later,
            nothing else of the folder is there.
        memory: a file that holds the last bundle: the same files are not packed twice in turn.

    Raises:
        Refused: a declared file is too large for a bundle.
    """
    listed = _git(folder, "ls-files", "-z", "--cached", "--", ".")
    under_git = listed is not None and _git(folder, "rev-parse", "--git-dir") is not None
    tracked = _names(listed)
    others = ("--others", "--exclude-standard", "--", ".")
    untracked = _names(_git(folder, "ls-files", "-z", *others)) if under_git else []
    names = sorted({*tracked, *untracked}) if under_git else _walked(folder)
    chosen, left_out = _chosen(folder, names, entry.partition(":")[0])
    chosen = _with_declared(folder, chosen) if with_declared else chosen
    bundle = blobs.put(_bundle(folder, chosen, memory))
    code = CodeRecord(entry=entry, bundle=bundle)
    if not under_git:
        return CodeFacts(record=code, left_out=left_out, lost=NO_GIT)
    fresh = [name for name in untracked if name in chosen and name != DATA_LOCK]
    return _with_git(folder, code, fresh, left_out)


def unpack_code(
    code: CodeRecord, folder: Path, blobs: BlobStore, *, with_lock: bool = False
) -> CodeFacts:
    """Write a run's recorded files into an empty folder, and return the facts of that code.

    Args:
        code: the record.
        folder: an empty folder.
        blobs: where the bundle is.
        with_lock: write `thrive.lock` too; without it, what is trained takes the newest data.

    Raises:
        NotFound: the run has no bundle.
        Damaged: the bundle holds a name that leaves the folder.
    """
    import tarfile

    if not code.bundle:
        raise NotFound("The run kept no copy of its code.", "train it with `thrive run FILE`")
    with tarfile.open(fileobj=io.BytesIO(blobs.get(code.bundle)), mode="r:gz") as archive:
        for member in archive:
            path = folder / member.name
            content = archive.extractfile(member) if member.isfile() else None
            if content is None or not path.resolve().is_relative_to(folder.resolve()):
                raise Damaged(f"The code of a run holds {member.name!r}.", "thrive doctor")
            if with_lock or member.name != DATA_LOCK:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content.read())
    return CodeFacts(record=code)


def _with_git(
    folder: Path, code: CodeRecord, untracked: list[str], left_out: list[str]
) -> CodeFacts:
    commit = commit_of(folder)
    against = ("HEAD",) if commit else ("--cached",)
    diff = _git(folder, "diff", "--binary", *against, "--", ".", *_NO_CODE) or b""
    long = len(diff) > LARGEST_DIFF
    code = msgspec.structs.replace(
        code,
        commit=commit,
        branch=_text(_git(folder, "branch", "--show-current")),
        dirty=bool(diff or untracked or not commit),
        diff="" if long else diff.decode(errors="replace"),
    )
    lost = NO_COMMIT if not commit else LONG_DIFF if long else ""
    return CodeFacts(record=code, untracked=untracked, left_out=left_out, lost=lost)


def uncommitted(code: CodeRecord, untracked: Sequence[str]) -> list[str]:
    """Return the files by which a run's code differs from its commit.

    Args:
        code: the record; of a diff that was too long to keep no file is known.
        untracked: files that git does not know.
    """
    heads = re.findall(r"^diff --git .* b/(.+)$", code.diff, re.MULTILINE)
    return sorted({*heads, *untracked})


def listed(files: Sequence[str]) -> str:
    """Return some files by name, of many the first ones."""
    more = f" and {len(files) - NAMED} more" if len(files) > NAMED else ""
    return f"{', '.join(files[:NAMED])}{more}"


def commit_of(folder: Path) -> str:
    """Return the commit that a folder is at, "" where it is under no git or has none."""
    return _text(_git(folder, "rev-parse", "--verify", "-q", "HEAD"))


def _git(folder: Path, *words: str) -> bytes | None:
    """Return what git answers, None when it refuses or is not installed."""
    command = ["git", "-c", "core.quotepath=off", "-C", str(folder), *words]
    try:
        done = subprocess.run(command, capture_output=True, check=False, timeout=30)
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def _names(listed: bytes | None) -> list[str]:
    return [name.decode(errors="surrogateescape") for name in (listed or b"").split(b"\0") if name]


def _text(answer: bytes | None) -> str:
    return (answer or b"").decode(errors="replace").strip()


def _walked(folder: Path) -> list[str]:
    found: list[str] = []
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name not in FOREIGN and name[0] != "."]
        found.extend(str((Path(parent) / name).relative_to(folder)) for name in files)
    return sorted(found)


def _chosen(folder: Path, names: list[str], entry: str) -> tuple[list[str], list[str]]:
    """Return the code files that fit into a bundle, and those that do not; what runs is code."""
    chosen: list[str] = []
    left_out: list[str] = []
    total = 0
    for name in names:
        path = folder / name
        code = path.suffix in SUFFIXES or path.name in NAMES or name == entry
        if not code or path.is_symlink() or not path.is_file():
            continue
        size = path.stat().st_size
        fits = size <= LARGEST_FILE and total + size <= LARGEST_BUNDLE
        (chosen if fits else left_out).append(name)
        total += size if fits else 0
    return chosen, left_out


def _with_declared(folder: Path, chosen: list[str]) -> list[str]:
    """Return the names with those of declared files."""
    room = LARGEST_BUNDLE - sum((folder / name).stat().st_size for name in chosen)
    every = {*chosen}
    for name in declared_files(folder, chosen):
        if name in every:
            continue
        room -= (folder / name).stat().st_size
        if room < 0:
            raise Refused(
                f"{name}, which a step declares, is too large to go with the code.",
                f"thrive data add {name}, and data.load in the step",
            )
        every.add(name)
    return sorted(every)


def declared_files(folder: Path, names: list[str]) -> list[str]:
    """Return the files inside a folder that its code declares: `@step(files="lookup/*.csv")`.

    Only what stands there as text is seen, not what is computed when the code is imported.

    Args:
        folder: the project's folder.
        names: its code files.
    """
    found: set[str] = set()
    for name in names:
        source = (folder / name).read_bytes() if name.endswith(".py") else b""
        if b"files" in source:
            for pattern in _declared_patterns(source):
                found.update(_inside(folder, pattern))
    return sorted(found)


def _declared_patterns(source: bytes) -> Iterator[str]:
    """Yield the texts given to steps as `files`."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = node.func.attr if isinstance(node.func, ast.Attribute) else node.func
        if called == "step" or (isinstance(called, ast.Name) and called.id == "step"):
            for given in (each.value for each in node.keywords if each.arg == "files"):
                texts = (n.value for n in ast.walk(given) if isinstance(n, ast.Constant))
                yield from (text for text in texts if isinstance(text, str))


def _inside(folder: Path, pattern: str) -> Iterator[str]:
    """Yield the names of the files of a pattern that lie in the folder."""
    import glob

    root = folder.resolve()
    for name in glob.glob(pattern, root_dir=folder, recursive=True):  # noqa: PTH207 - may be absolute
        path = (folder / name).resolve()
        if path.is_file() and path.is_relative_to(root) and not Path(name).is_absolute():
            yield os.path.normpath(name)


def _bundle(folder: Path, names: list[str], memory: Path | None) -> bytes:
    """Return a tar.gz that depends on names and contents alone."""
    contents = [(name, (folder / name).read_bytes()) for name in names]
    if memory is None:
        return _packed(contents)
    parts = (f"{name}\0{len(data)}\0".encode() + data for name, data in contents)
    key = blake3(b"".join(parts)).digest()
    try:
        known = memory.read_bytes()
    except OSError:
        known = b""
    size = len(key)
    if known[:size] == key and known[size : 2 * size] == blake3(known[2 * size :]).digest():
        return known[2 * size :]
    packed = _packed(contents)
    with contextlib.suppress(OSError):  # then it is packed again
        memory.write_bytes(key + blake3(packed).digest() + packed)
    return packed


def _packed(contents: list[tuple[str, bytes]]) -> bytes:
    import gzip
    import tarfile

    packed = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=packed, mode="wb", mtime=0, compresslevel=6) as squeezed,
        tarfile.open(fileobj=squeezed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for name, data in contents:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            member.mode = 0o644
            archive.addfile(member, io.BytesIO(data))
    return packed.getvalue()
