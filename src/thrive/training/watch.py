"""What a step reads that its key does not name: files, variables, sockets, processes, chance.

The interpreter's audit events tell of `open`, of listed folders, of sockets, of loaded native
libraries and of processes; project code that is imported meanwhile and that the key does not
follow is seen as its loader opens it; variables are seen where project code reads `os.environ`;
Polars, DuckDB and pyarrow read outside of the interpreter and raise no event, so their known
readers are wrapped, and so is NumPy's generator without a seed. Not seen: what other native code
opens by itself, and what a program that a step starts does (that it starts one is); forks of the
step's process tell it what they saw.
"""

import contextlib
import functools
import importlib.util
import inspect
import os
import sys
import sysconfig
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from types import FrameType
from typing import Any, ClassVar

from thrive.training import sources

_SYSTEM = ("/proc/", "/sys/", "/dev/", "/usr/", "/lib/", "/lib64/", "/etc/", "/run/")
_PREFIXES = tuple({sys.prefix, sys.base_prefix, sysconfig.get_path("stdlib")})
_LOADERS = ("<frozen importlib", "<frozen zipimport")
_STANDARD = sysconfig.get_path("stdlib")
_TEXT_READERS = {
    f"{_STANDARD}{os.sep}{name}.py" for name in ("linecache", "tokenize", "inspect", "traceback")
}
_SEEDED = "numpy.random.default_rng"
_QUESTIONS = frozenset({"ldconfig", "lscpu", "nproc", "sysctl", "uname"})
"""Programs by which libraries ask the machine for its processors; no result follows from them."""
_WRITES = os.O_WRONLY | os.O_RDWR
_READERS: dict[str, tuple[str, ...]] = {
    "polars": (
        *("read_csv", "read_parquet", "read_ipc", "read_json", "read_ndjson", "read_excel"),
        *("read_delta", "read_avro", "read_database", "read_database_uri", "scan_csv"),
        *("scan_parquet", "scan_ipc", "scan_ndjson", "scan_delta"),
    ),
    "duckdb": ("connect", "sql", "query", "execute", "read_csv", "read_parquet", "read_json"),
    "pyarrow.parquet": ("read_table", "ParquetFile", "ParquetDataset"),
    "pyarrow.csv": ("read_csv", "open_csv"),
    "pyarrow.dataset": ("dataset",),
    "pyarrow.feather": ("read_table", "read_feather"),
    "numpy.random": ("default_rng",),
}


class Watch:
    """Collects what was read and not declared, in the order it was seen.

    Args:
        ours: folders that the run itself reads.
        files: files that the step declares.
        variables: environment variables that the step declares.
    """

    def __init__(
        self, ours: Iterable[str], files: Iterable[str] = (), variables: Iterable[str] = ()
    ) -> None:
        self._ours = tuple(f"{folder}{os.sep}" for folder in ours)
        self._files = {os.path.realpath(file) for file in files}
        self._variables = set(variables)
        self._written: set[str] = set()
        self._found: dict[str, None] = {}
        self._process = os.getpid()
        self._shared = -1

    @property
    def found(self) -> list[str]:
        """What was seen: `file data/x.csv`, `variable MODE`, `socket host:port`, `chance NAME`."""
        return list(self._found)

    @property
    def written(self) -> list[str]:
        """The paths that were opened to be written anew."""
        return sorted(self._written)

    def file(self, name: Any, *, writes: bool = False, kind: str = "file") -> None:
        """Take note of a file or a folder that is opened."""
        if not isinstance(name, str | bytes | os.PathLike):
            return
        path = os.path.realpath(os.fsdecode(name))
        if writes:
            if path not in self._written:
                self._written.add(path)
                self._tell_parent("w", path)
        elif not self._known(path) and (kind == "file" or Path(path).is_dir()):
            self.other(f"{kind} {_short(path)}")

    def _known(self, path: str) -> bool:
        return (
            path in self._files
            or path in self._written
            or path.startswith((*_SYSTEM, *_PREFIXES, *self._ours))
            or "site-packages" in path
        )

    def variable(self, name: Any) -> None:
        """Take note of an environment variable that project code reads."""
        if isinstance(name, str) and name not in self._variables and _asked_by_project():
            self.other(f"variable {name}")

    def other(self, what: str) -> None:
        """Take note of anything else."""
        if what not in self._found:
            self._found[what] = None
            self._tell_parent("r", what)

    def share(self) -> None:
        """Make a place where forks of this process tell what they see; Linux alone has it."""
        if self._shared < 0 and self._process == os.getpid() and hasattr(os, "memfd_create"):
            self._shared = os.memfd_create("seen")

    def _tell_parent(self, kind: str, what: str) -> None:
        if self._shared >= 0 and self._process != os.getpid():
            os.write(self._shared, f"{kind}{what}\0".encode(errors="surrogateescape"))

    def gather(self) -> None:
        """Take in what forks of this process have seen."""
        if self._shared < 0 or self._process != os.getpid():
            return
        data = os.pread(self._shared, os.fstat(self._shared).st_size, 0)
        os.close(self._shared)
        self._shared = -1
        told = data.decode(errors="surrogateescape").split("\0")[:-1]
        self._written.update(each[1:] for each in told if each[0] == "w")
        self._found.update((each[1:], None) for each in told if each[0] == "r")

    def event(self, name: str, details: tuple[Any, ...]) -> None:
        """Take note of an audit event."""
        if name == "open":
            self._opened(details)
        elif name in {"os.listdir", "os.scandir"}:
            if _reader() is _Reader.CODE:
                self.file(details[0] or ".", kind="folder")
        elif name == "ctypes.dlopen":
            if os.sep in str(details[0]):
                self.file(details[0])
        elif name in {"socket.connect", "socket.sendto"} and details[1]:
            self.other(f"socket {_address(details[1])}")
        elif name == "sqlite3.connect":
            self.file(details[0])
        elif name in {"subprocess.Popen", "os.system", "os.posix_spawn", "os.exec"}:
            program = Path(str(details[0])).name or "shell"
            if program not in _QUESTIONS:
                self.other(f"process {program}")

    def _opened(self, details: tuple[Any, ...]) -> None:
        path, mode, flags = details
        writes = flags & _WRITES if isinstance(flags, int) else False
        fresh = bool(writes) and (mode is None or mode[:1] in {"w", "x"})
        reader = _reader()
        if reader is _Reader.CODE:
            self.file(path, writes=fresh)
        elif reader is _Reader.LOADER and isinstance(path, str):
            self._loaded(path)

    def _loaded(self, path: str) -> None:
        """Take note of project code that is imported."""
        source = path
        if path.endswith(".pyc"):
            with contextlib.suppress(ValueError):
                source = importlib.util.source_from_cache(path)
        if sources.is_project_file(source):
            self.file(source)


class _Present:
    watch: Watch | None = None
    installed = False
    modules = 0
    """How many modules were looked through."""
    wrappers: ClassVar[dict[int, tuple[Any, Any]]] = {}
    """id of a reader -> itself (so that the id stays its own) and its wrapper."""


def _hook(name: str, details: tuple[Any, ...]) -> None:
    watch = _Present.watch
    if watch is None:
        return
    _Present.watch = None  # what it does itself is not the step's
    try:
        watch.event(name, details)
    finally:
        _Present.watch = watch


def _before_fork() -> None:
    if _Present.watch is not None:
        _Present.watch.share()


@contextmanager
def watching(watch: Watch) -> Generator[None]:
    """Tell `watch` of what this process reads until the end of the block."""
    if not _Present.installed:
        sys.addaudithook(_hook)
        os.register_at_fork(before=_before_fork)
        _Present.installed = True
    kind = type(os.environ)
    wrap_readers()
    os.environ.__class__ = _Variables
    _Present.watch = watch
    try:
        yield
    finally:
        _Present.watch = None
        os.environ.__class__ = kind
        watch.gather()


class _Variables(type(os.environ)):  # pyright: ignore[reportGeneralTypeIssues, reportUntypedBaseClass]
    """`os.environ` that tells of what is read."""

    def __getitem__(self, key: str) -> str:
        if _Present.watch is not None:
            _Present.watch.variable(key)
        return super().__getitem__(key)

    def __contains__(self, key: object) -> bool:
        if _Present.watch is not None:
            _Present.watch.variable(key)
        return super().__contains__(key)


def wrap_readers() -> None:
    """Put wrappers around the readers of loaded libraries, also where a project imported them.

    They stay: without a watch they only pass on. Modules are looked through when there are more;
    a zygote does it once for its forks, whose memory would be copied by the look.
    """
    if len(sys.modules) == _Present.modules:
        return
    _Present.modules = len(sys.modules)
    for module, names in _READERS.items():
        loaded = sys.modules.get(module)
        for name in names:
            reader = getattr(loaded, name, None)
            if reader is not None and not hasattr(reader, "thrive_reader"):
                _Present.wrappers[id(reader)] = reader, _wrapped(reader, f"{module}.{name}")
                setattr(loaded, name, _Present.wrappers[id(reader)][1])
    projects = [each for each in list(sys.modules.values()) if sources.is_project_module(each)]
    for each in projects if _Present.wrappers else ():
        for name, value in list(vars(each).items()):
            if id(value) in _Present.wrappers:
                setattr(each, name, _Present.wrappers[id(value)][1])


def _wrapped(reader: Callable[..., Any], label: str) -> Callable[..., Any]:
    @functools.wraps(reader)
    def read(*args: Any, **kwargs: Any) -> Any:
        named = args[:1] or tuple(kwargs.values())[:1]
        if _Present.watch is not None:
            _note(_Present.watch, label, named[0] if named else None)
        return reader(*args, **kwargs)

    read.__dict__["thrive_reader"] = True
    return read


def _note(watch: Watch, label: str, source: Any) -> None:
    if label == _SEEDED:
        if source is None:
            watch.other(f"chance {label}()")
        return
    if "database" in label:
        watch.other(f"database ({label})")
        return
    if label.startswith("duckdb.") and isinstance(source, str):
        quoted = source.split("'")[1::2] if "'" in source else [source]
        for text in quoted:
            if Path(text).exists():
                watch.file(text)
            elif "*" in text or "://" in text:
                watch.other(f"file {text}")
        return
    for each in source if isinstance(source, list | tuple) else [source]:
        if isinstance(each, str) and "://" in each:
            watch.other(f"address {each.partition('?')[0]}")
        else:
            watch.file(each)


class _Reader(Enum):
    """Who reads a file: code for itself, an import its module, or a library while it is imported.

    What libraries read as they are imported is theirs; what code of the project reads counts, also
    while it is imported.
    """

    CODE = 1
    LOADER = 2
    LIBRARY = 3


def _reader() -> _Reader:
    inner = True
    for frame in _callers(16):
        file = frame.f_code.co_filename
        if file == __file__:
            continue
        if file.startswith(_LOADERS):
            return _Reader.LOADER if inner else _Reader.LIBRARY
        if file in _TEXT_READERS:
            return _Reader.LIBRARY
        if sources.is_project_file(file):
            return _Reader.CODE
        inner = False
    return _Reader.CODE


def _asked_by_project() -> bool:
    """Tell whether project code reads a variable: the first caller that is not of `os` itself."""
    for frame in _callers(8):
        file = frame.f_code.co_filename
        if file == __file__ or file.endswith(("os.py", "_collections_abc.py")) or file[:1] == "<":
            continue
        return sources.is_project_file(file)
    return False


def _callers(most: int) -> Generator[FrameType]:
    frame: FrameType | None = inspect.currentframe()
    for _ in range(most):
        if frame is None:
            return
        yield frame
        frame = frame.f_back


def _address(address: Any) -> str:
    return ":".join(map(str, address[:2])) if isinstance(address, tuple) else str(address)


def _short(path: str) -> str:
    """Return a path relative to the working folder where it lies inside it."""
    here = f"{Path.cwd()}{os.sep}"
    return path.removeprefix(here)
