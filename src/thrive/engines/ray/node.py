"""On a node: a zygote for each run, its forks, and what travels between them and the run."""

import contextlib
import importlib
import signal
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import msgspec

from thrive.engines.failures import Failure, describe
from thrive.engines.local import Exit, LocalEngine, Message, Needs, Output

DYING_SECONDS = 3.0
"""How long a task that was killed is kept back: a node that dies kills them before this process,
and then the task is lost, not failed."""
Fetch = Callable[[list[str]], None]
"""Brings blobs to this node by digest, verified; those that are there are not brought again."""


class Arrived(msgspec.Struct, frozen=True, kw_only=True):
    """What a run is on a node.

    Attributes:
        folder: the working directory of its tasks.
        arguments: what the program's `prepare` gets here.
        facts: what differs here from the facts that a task is told.
        environment: variables of all its processes; None takes one away.
    """

    folder: Path
    arguments: dict[str, Any]
    facts: dict[str, Any]
    environment: dict[str, str | None]


class Courier(Protocol):
    """What a module must offer so that its program's tasks run elsewhere: it knows the blobs."""

    def arrive(self, cargo: dict[str, Any], folder: Path, fetch: Fetch) -> Arrived:
        """Prepare a run in a folder of this node."""
        ...

    def needed(self, work: dict[str, Any]) -> list[str]:
        """Return the digests that a task reads."""
        ...

    def lay_out(self, folder: Path, place: Path, work: dict[str, Any]) -> None:
        """Lay files that a task opens by name into its working directory."""
        ...

    def told(self, folder: Path, kind: str, body: Any, fetch: Fetch) -> None:
        """Bring what the answer to a question of this kind speaks of."""
        ...

    def carried(self, folder: Path, kind: str, body: dict[str, Any]) -> list[str]:
        """Return the digests in this folder that a message to the run speaks of."""
        ...

    def path(self, folder: Path, digest: str) -> Path:
        """Return the verified file of a digest."""
        ...

    def missing(self, folder: Path, digests: list[str]) -> list[str]:
        """Return which of the digests are not in this folder."""
        ...

    def keep(self, folder: Path, digest: str, data: memoryview) -> None:
        """Keep bytes that arrived; raise Damaged if they are not what their name says."""
        ...


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """What a node is told of a run.

    Attributes:
        run: an id of the run; a process that gets tasks of another one ends its zygote.
        place: what runs share a folder on a node: the same for all of one home.
        program: as of `LocalEngine`.
        courier: the dotted name of a `Courier`.
        cargo: what the courier gets.
    """

    run: str
    place: str
    program: str
    courier: str
    cargo: dict[str, Any]


class Line(Protocol):
    """The way to the run."""

    def say(self, items: list[dict[str, Any]]) -> None:
        """Tell and go on; the order stays."""
        ...

    def ask(self, item: dict[str, Any]) -> Any:
        """Ask and wait; from any thread."""
        ...

    def lay(self, data: memoryview) -> Any:
        """Put bytes where the run can take them; return what names them."""
        ...

    def lift(self, name: Any) -> memoryview:
        """Take the bytes that the run laid."""
        ...


class Node:
    """One run on this node, in one process of its cluster.

    Args:
        setup: what is known of the run.
        node: an id of this node.
        line: the way to the run.
    """

    def __init__(self, setup: Setup, node: str, line: Line) -> None:
        self.run = setup.run
        self._line = line
        self._courier: Any = importlib.import_module(setup.courier)
        self._folder = Path(tempfile.gettempdir()) / "thrive-ray" / setup.place / node
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._answering = threading.Lock()
        place = self._courier.arrive(setup.cargo, self._folder, self.fetch)
        self._facts, self._place = place.facts, place.folder
        self._engine = LocalEngine(
            setup.program, place.arguments, folder=place.folder, environment=place.environment
        )
        try:
            for output in self._engine.ready():
                self._line.say([_plain(output)])
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the zygote and what it forked."""
        self._engine.close()

    def fetch(self, digests: list[str]) -> None:
        """Bring blobs here that are not yet."""
        missing: list[str] = self._courier.missing(self._folder, digests)
        if not missing:
            return
        for digest, name in self._line.ask({"kind": "blobs", "digests": missing}).items():
            self._courier.keep(self._folder, digest, self._line.lift(name))

    def perform(self, task: dict[str, Any]) -> None:
        """Do one task to its end."""
        name = task["task"]
        try:
            self.fetch(self._courier.needed(task["work"]))
            self._courier.lay_out(self._folder, self._place, task["work"])
        except Exception as error:  # noqa: BLE001 - it is the task's failure, whatever it is
            self._line.say(refused(name, error))
            return
        facts, needs = {**task["facts"], **self._facts}, msgspec.convert(task["needs"], Needs)
        self._engine.fork(name, task["work"], facts, needs)
        while True:
            for event in self._engine.events():
                self._pass_on(event)
                if isinstance(event, Exit):
                    return

    def _pass_on(self, event: Any) -> None:
        if isinstance(event, Exit) and event.code == -signal.SIGKILL and not event.timed_out:
            time.sleep(DYING_SECONDS)
        if isinstance(event, Message) and event.number:
            threading.Thread(target=self._ask, args=(event,), daemon=True).start()
            return
        if isinstance(event, Message):
            self._bring_home(event)
        self._line.say([_plain(event)])

    def _ask(self, message: Message) -> None:
        """Ask the run for a task, in a thread of its own: others go on meanwhile."""
        try:
            self._bring_home(message)
            answer = self._line.ask(_plain(message))
            if answer["error"] is None:
                kind, body = message.kind, answer["body"]
                self._courier.told(self._folder, kind, body, self.fetch)
            failure = answer["error"] and msgspec.convert(answer["error"], Failure)
        except Exception as error:  # noqa: BLE001 - the task must get an answer
            answer, failure = {"body": None}, describe(error)
        with self._answering, contextlib.suppress(OSError):
            self._engine.reply(message, answer["body"], failure)

    def _bring_home(self, message: Message) -> None:
        """Have the run keep the bytes that a message speaks of, before it is told the message."""
        carried: list[str] = self._courier.carried(self._folder, message.kind, message.body)
        if carried:
            laid = {digest: self._line.lay(self._bytes_of(digest)) for digest in carried}
            self._line.ask({"kind": "keep", "blobs": laid})

    def _bytes_of(self, digest: str) -> memoryview:
        return bytes_of(self._courier.path(self._folder, digest))


def bytes_of(path: Path) -> memoryview:
    """Return a file's bytes, mapped."""
    import mmap

    with path.open("rb") as file:
        if not path.stat().st_size:
            return memoryview(b"")
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def _plain(event: Message | Output | Exit) -> dict[str, Any]:
    kinds = {Message: "message", Output: "output", Exit: "exit"}
    body = msgspec.to_builtins(event, builtin_types=(bytes,))
    return {"kind": kinds[type(event)], "event": body}


def refused(task: str, error: BaseException) -> list[dict[str, Any]]:
    """Return what the run is told of a task that could not begin on this node."""
    failure = {"failure": msgspec.to_builtins(describe(error)), "exception": b""}
    said = Message(task=task, number=0, kind="failed", body=failure)
    ended = Exit(task=task, code=1, timed_out=False, cpu=0.0, peak=0)
    return [_plain(said), _plain(ended)]
