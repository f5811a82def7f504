"""The channel between a task and the process that started the run.

User code runs in a child process that never opens the database: what it wants to know it asks
(`request`), what it has to say it sends (`send`). Values are what msgpack holds.

Requests that a run answers:

* `dataset` {name, version: int | None} -> the DatasetVersion as plain values; it becomes lineage
* `step` {key, name, options, args, kwargs, inputs} -> {result} or {failure, exception}
* `map` {key, name, options, rows: [{args, inputs}], kwargs, inputs} -> {results} or {failure, ...}
* `inline` {key, name, options, inputs, code: what it stands on by now, None if as before} ->
  {position, seed, result: None if none is known}
* `inline_map` {key, name, options, rows: inputs of each call, code} -> a list of such answers
* `register` {model, package, evaluation, reference, trained_rows, importance, note} -> its number

One-way messages: `log` {points}, `columns` {digest, columns: those of a dataset that are read, None
for all}, `features` {views, on_demand: what a training set was made with}, `inline_done`
{position, result, undeclared, failure}, `result` {ref, undeclared, used: `cpu` and `peak`, threads:
the pools if it loaded libraries with some}, `finished` {threads}, `failed` {failure, exception}.

Facts that a run tells at the start: `role` ("pipeline" or "step"), `run_id`, `blobs` (the folder
of the home's blobs), `scratch` (the folder of the run), `models` (terms of the contract by name).
"""

import itertools
import os
import socket
import threading
from typing import Any

import msgspec

from thrive.domain.errors import Interrupted
from thrive.engines import wire
from thrive.engines.failures import Failure, restore


class Channel:
    """The child's end; safe to use from many threads of one process.

    Args:
        connection: a connected Unix stream socket.
        facts: what the run told this task at its start: `run_id`, `blobs` (the folder), ...
    """

    def __init__(self, connection: socket.socket, facts: dict[str, Any]) -> None:
        self.facts = facts
        self.process = os.getpid()
        self._connection = connection
        self._numbers = itertools.count(1)
        self._sending = threading.Lock()
        self._arrived = threading.Condition()
        self._replies: dict[int, dict[str, Any]] = {}
        self._reading = False

    def send(self, kind: str, **body: Any) -> None:
        """Say something and go on.

        Raises:
            Interrupted: the process that started the run is gone.
        """
        self._write(0, kind, body)

    def request(self, kind: str, **body: Any) -> Any:
        """Ask and wait for the answer.

        Raises:
            ThriveError: what the other side raised.
            Interrupted: the process that started the run is gone.
        """
        return self.answer(self.ask(kind, **body))

    def ask(self, kind: str, **body: Any) -> int:
        """Ask, go on, and return the number to fetch the answer with.

        Raises:
            Interrupted: the process that started the run is gone.
        """
        number = next(self._numbers)
        self._write(number, kind, body)
        return number

    def answer(self, number: int) -> Any:
        """Wait for the answer to a question; like `request` in all else."""
        reply = self._reply(number)
        if reply["error"] is not None:
            raise restore(msgspec.convert(reply["error"], Failure))
        return reply["body"]

    def _write(self, number: int, kind: str, body: dict[str, Any]) -> None:
        with self._sending:
            try:
                wire.send(self._connection, {"number": number, "kind": kind, "body": body})
            except wire.WireClosed:
                raise _gone() from None

    def _reply(self, number: int) -> dict[str, Any]:
        """Wait for one reply; one of the waiting threads reads for all."""
        while True:
            with self._arrived:
                while self._reading and number not in self._replies:
                    self._arrived.wait()
                if number in self._replies:
                    return self._replies.pop(number)
                self._reading = True
            self._read_one()

    def _read_one(self) -> None:
        try:
            reply, _ = wire.receive(self._connection)
        except wire.WireClosed:
            reply = None
        with self._arrived:
            self._reading = False
            if reply is not None:
                self._replies[reply["number"]] = reply
            self._arrived.notify_all()
        if reply is None:
            raise _gone()


def _gone() -> Interrupted:
    return Interrupted("The process that started this run is gone.", "thrive runs list")


class _Present:
    channel: Channel | None = None


def install(channel: Channel | None) -> None:
    """Make `channel` the one of this process."""
    _Present.channel = channel


def current() -> Channel | None:
    """Return the channel inside a run, None outside one and in processes a task forks itself."""
    channel = _Present.channel
    return channel if channel is not None and channel.process == os.getpid() else None
