"""A remote workspace: every operation of the server as a method, with values as at home."""

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode, urlsplit

import msgspec

from thrive.client.blobs import RemoteBlobs
from thrive.client.local_server import find_local_server
from thrive.client.transport import Answer, Transport, error_named
from thrive.client.wire import is_local, is_post, path_of
from thrive.domain.errors import (
    Interrupted,
    NotFound,
    NotRight,
    Refused,
    StoreUnavailable,
    UsageError,
)
from thrive.domain.project import Change, Job, JobState, JobText
from thrive.flows.catalogue import Catalogue
from thrive.flows.terminal import show_on_terminal
from thrive.flows.workspace import Namespaces
from thrive.operations import Kind, Operation, Progress, convert_arguments
from thrive.settings import read_settings
from thrive.store.place import FOLDER, find_project_folder

FIRST_LOOK_S = 0.05
LONGEST_LOOK_S = 1.0
RECONNECT_S = 1.0
_LOOPBACK = {"localhost": "127.0.0.1", "::1": "127.0.0.1"}


class RemoteInvoker:
    """Calls operations on a server; safe to use from many threads.

    Args:
        transport: the way to the server.
        progress: told how far long work is.
        wait: wait for long work and return its result; else its job is returned.
    """

    def __init__(
        self, transport: Transport, progress: Progress | None = None, *, wait: bool = True
    ) -> None:
        self.operations: Mapping[str, Operation] = Catalogue()
        self.url = transport.url
        self._transport = transport
        self._progress = progress
        self._wait = wait

    def __call__(self, name: str, arguments: Mapping[str, Any]) -> Any:
        """Call an operation.

        Raises:
            Refused: it is about this machine alone, as `doctor` and `serve` are.
            ThriveError: whatever it raises there.
        """
        operation = self.operations[name]
        if not self.offers(operation, arguments):
            return self._with_files(operation, arguments)
        checked = _checked(operation, arguments)
        if operation.kind is Kind.STREAM:
            return self._follow(operation, checked)
        answer = self._send(operation, checked)
        if operation.kind is not Kind.JOB:
            return _decoded(answer, operation.returns)
        job = _decoded(answer, Job)
        return self._result(operation, job) if self._wait else job

    def offers(self, operation: Operation, arguments: Mapping[str, Any]) -> bool:
        """Tell whether a call can be made there: nothing of it is about local files."""
        return operation.kind is not Kind.CLIENT and not any(
            arguments.get(each.name) is not None for each in operation.parameters if is_local(each)
        )

    @property
    def progress(self) -> Progress:
        """Who is told how far long work is."""
        return self._progress or _silent

    def blobs(self, folder: Path) -> RemoteBlobs:
        """Return the blobs of the project, with copies in `folder`."""
        return RemoteBlobs(self._transport, folder, self._progress)

    def within(self, timeout_s: float) -> Self:
        """Return the same, giving up on the server after so long a silence (s)."""
        return type(self)(self._transport.within(timeout_s), self._progress, wait=self._wait)

    def poll(self, name: str, tag: str, wait_s: float) -> tuple[str, Any] | None:
        """Return the tag and the value of a read without arguments, None while it is as known.

        Args:
            name: the operation.
            tag: of the value that is known, empty for none.
            wait_s: how long the server may wait for another one.

        Raises:
            ThriveError: whatever the operation raises there.
            StoreUnavailable: the server does not answer; it is asked once.
        """
        operation = self.operations[name]
        answer = self._transport.poll(path_of(operation), tag, wait_s)
        return None if answer is None else (answer.tag, _decoded(answer, operation.returns))

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def _with_files(self, operation: Operation, arguments: Mapping[str, Any]) -> Any:
        """Do here what concerns the caller's files, and the rest there."""
        from thrive.client.local_parts import LOCAL_PARTS

        part = LOCAL_PARTS.get(operation.name)
        if part is None:
            raise _only_at_home(operation.name, self.url)
        return part(self, convert_arguments(operation, arguments))

    def _send(self, operation: Operation, arguments: Mapping[str, Any]) -> Answer:
        path = path_of(operation)
        if is_post(operation):
            return self._transport.post(path, msgspec.json.encode(arguments))
        return self._transport.get(path + _query(arguments))

    def _result(self, operation: Operation, job: Job) -> Any:
        pause, said = FIRST_LOOK_S, 0
        while job.state in {JobState.WAITING, JobState.RUNNING}:
            if self._progress is not None:
                self._progress(job.progress, job.message or job.state.value)
            time.sleep(pause)
            pause = min(pause * 1.5, LONGEST_LOOK_S)
            job = _decoded(self._transport.get(f"/api/jobs/show?job_id={job.job_id}"), Job)
            said = self._show_output(job.job_id, said)
        look = f"thrive jobs show {job.job_id}"
        if job.state is JobState.FAILED:
            what, _, hint = job.error.partition("\n  next: ")
            raise error_named(job.error_code, NotRight)(
                what or f"Job {job.job_id} failed.", hint or look
            )
        if job.state is JobState.CANCELLED:
            raise Interrupted(f"Job {job.job_id} was cancelled.", look)
        return msgspec.convert(job.result, operation.returns)

    def _show_output(self, job_id: str, after: int) -> int:
        """Show what a job has printed after a seq, as a run here would; return the newest seq."""
        target = f"/api/jobs/output?job_id={job_id}&after="
        while said := _decoded(self._transport.get(f"{target}{after}"), list[JobText]):
            show_on_terminal("".join(each.text for each in said))
            after = said[-1].seq
        return after

    def _follow(self, operation: Operation, arguments: Mapping[str, Any]) -> Iterator[Change]:
        """Yield changes for ever; a lost connection is made again where it broke."""
        after: int = arguments["after"]
        while True:
            try:
                response = self._transport.stream(f"{path_of(operation)}?after={after}")
                for change in _events(response):
                    after = change.seq
                    yield change
            except (StoreUnavailable, OSError):
                time.sleep(RECONNECT_S)


class RemoteWorkspace(Namespaces):
    """A project on a server: the same names as a local `Workspace`, spoken over HTTP.

    Operations on local files (`data add`, `run`, ...) send and bring bytes by digest; those about
    one machine (`serve`, `doctor`, ...) are refused. Use it as a context manager, or call
    `close`. Made by `thrive.connect`.

    Args:
        invoker: calls the server.
    """

    def __init__(self, invoker: RemoteInvoker) -> None:
        self._invoker = invoker
        super().__init__(invoker.operations, invoker)

    def close(self) -> None:
        """Close the connections."""
        self._invoker.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<RemoteWorkspace {self._invoker.url}>"


def connect(
    url: str, token: str | None = None, *, wait: bool = True, progress: Progress | None = None
) -> RemoteWorkspace:
    """Connect to a server and return its project as a workspace.

    Args:
        url: where the server is, e.g. `http://127.0.0.1:8000`.
        token: what `thrive tokens create` returned. Without one, the setting THRIVE_TOKEN is
            taken; for a server on this machine, the token of the nearest project's folder.
        wait: wait for long work and return its result; else its job is returned at once.
        progress: called with the share done and a few words while long work runs.

    Raises:
        UsageError: the URL is not one.
        Refused: there is no token.

    Examples:
        >>> with thrive.connect("http://127.0.0.1:8000") as workspace:  # doctest: +SKIP
        ...     workspace.runs.list(limit=5)
    """
    return RemoteWorkspace(remote_invoker(url, token, progress, wait=wait))


def remote_invoker(
    url: str, token: str | None = None, progress: Progress | None = None, *, wait: bool = True
) -> RemoteInvoker:
    """Return what calls the server at `url`; see `connect` for the arguments."""
    known = token or read_settings().token or _local_token(url)
    if not known:
        raise Refused(f"There is no token for {url}.", "set THRIVE_TOKEN; thrive tokens create")
    if not (known.isascii() and known.isprintable()):
        raise UsageError("The token holds characters no token has.", "paste it again")
    return RemoteInvoker(Transport(url, known), progress, wait=wait)


def running_server(project_folder: Path, progress: Progress | None = None) -> RemoteInvoker | None:
    """Return what calls the server that runs in a project's folder, None when none does."""
    known = find_local_server(project_folder / FOLDER)
    return known and RemoteInvoker(Transport(known.url, known.token), progress)


def _local_token(url: str) -> str:
    """Return the token of the nearest project's server, if that is the server at `url`."""
    try:
        folder = find_project_folder(Path.cwd())
    except NotFound:
        return ""
    known = find_local_server(folder / FOLDER)
    return known.token if known and _place(known.url) == _place(url) else ""


_INSTEAD = {
    "init": ("A server's project was begun already", "thrive status --home {url}"),
    "server": ("A server is started where its home is", "thrive server, without --home"),
    "ui": ("A server shows its pages itself", "open {url} in a browser, and sign in with a token"),
}
"""By operation: why it is not for a server, and what to do."""


def _only_at_home(name: str, url: str) -> Refused:
    """Return the refusal of an operation that reads and writes a home's own files and stores."""
    what, hint = _INSTEAD.get(
        name,
        (
            f"`{name}` works in the folder of a project with its home, which a server is not",
            f"thrive {name}, without --home, in a folder that has the home",
        ),
    )
    return Refused(f"{what}: {url}.", hint.format(url=url))


def _place(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    host = parts.hostname or ""
    return parts.scheme, _LOOPBACK.get(host, host), parts.port


def _silent(_share: float, _words: str) -> None:
    return


def _checked(operation: Operation, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return arguments as the operation's types, without local paths: a mistake is told here."""
    local = {each.name for each in operation.parameters if is_local(each)}
    given = {name: value for name, value in arguments.items() if name not in local}
    known = convert_arguments(operation, msgspec.to_builtins(given))
    return {name: value for name, value in known.items() if name not in local}


def _query(arguments: Mapping[str, Any]) -> str:
    given = msgspec.to_builtins({k: v for k, v in arguments.items() if v is not None})
    words = {k: str(v).lower() if isinstance(v, bool) else v for k, v in given.items()}
    return f"?{urlencode(words, doseq=True)}" if words else ""


def _decoded(answer: Answer, kind: Any) -> Any:
    decode = msgspec.msgpack.decode if "msgpack" in answer.content_type else msgspec.json.decode
    return decode(answer.body, type=kind)


def _events(response: Any) -> Iterator[Change]:
    with response:
        for line in response:
            if line.startswith(b"data: "):
                yield msgspec.json.decode(line[6:], type=Change)
