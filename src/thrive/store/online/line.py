"""A connection to a store on another host: renewed when it breaks, never waited for twice."""

import time
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from thrive.domain.errors import StoreUnavailable

T = TypeVar("T")
R = TypeVar("R")

PAUSE_S = 1.0
"""How long a store that did not answer is left alone: meanwhile requests fail at once."""


class Line(Generic[T]):
    """One connection, opened when it is needed; for one thread at a time.

    One that broke while it was idle (a restart, a fail-over) is replaced without a word. While
    nothing answers, the store is asked once a second and every other request is told at once.

    Args:
        connect: opens a connection; bounded in time.
        broken: the errors that mean that the store does not answer.
    """

    def __init__(self, connect: Callable[[], T], broken: tuple[type[Exception], ...]) -> None:
        self._connect = connect
        self._broken = broken
        self._connection: Any = None
        self._closed_until = 0.0

    def ask(self, question: Callable[[T], R]) -> R:
        """Return the answer of the store to a question that may be asked twice.

        Raises:
            StoreUnavailable: it does not answer.
        """
        known = self._connection is not None
        try:
            return question(self._open())
        except self._broken as error:
            self.close()
            if known:
                return self.ask(question)
            self._closed_until = time.monotonic() + PAUSE_S
            raise _unavailable() from error

    def close(self) -> None:
        """Close the connection, if there is one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _open(self) -> T:
        if self._connection is None:
            if time.monotonic() < self._closed_until:
                raise _unavailable()
            self._connection = self._connect()
        return self._connection


def _unavailable() -> StoreUnavailable:
    return StoreUnavailable(
        "The online store does not answer.", "see THRIVE_ONLINE_STORE, then try again"
    )
