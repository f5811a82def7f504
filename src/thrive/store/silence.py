"""A PostgreSQL that takes connections and answers nothing: noticed, told, and left alone.

A server that stopped, a proxy whose other side is gone, a network that swallows packets: none of
them ends a statement, and TCP notices some of them only. How long a good statement takes nobody
knows, so it is not timed: once one has been quiet for a while, a new connection is tried. If that
is answered, the statement is at work. If not, the database is silent: what waits for it ends with
an error, and what comes is refused at once, until a connection is answered again.
"""

import threading
import time
from collections.abc import Callable, Generator
from typing import Any

import psycopg
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError, DisconnectionError

QUIET_S = 5.0
"""How long a statement may be without a sign of life before the database is asked for one."""
CONNECT_S = 5
"""How long the database may take to answer a new connection that asks for one."""
AGAIN_S = 1.0
"""How long after an answer, or none, it is asked again."""
PING_S = 10.0
"""How long the empty statement may take that tries an idle connection."""
IDLE_S = 1.0
"""A connection that was used since then is not tried before it is used again."""
_NOTHING = 0
"""What a generator of the driver is sent when nothing came meanwhile."""


class Pulse:
    """Whether a database gives signs of life.

    Attributes:
        silent: a connection was asked for and not answered.
        silent_at: when that was last so, in seconds of the monotonic clock.
    """

    def __init__(self) -> None:
        self.silent = False
        self.silent_at = 0.0
        self.connect: Callable[[], Any] | None = None
        self._doubted = False
        self._asking = False
        self._lock = threading.Lock()

    def forget(self) -> None:
        """Know nothing: called in a forked child, which has no thread that asks."""
        self.silent = self._doubted = self._asking = False
        self._lock = threading.Lock()

    def doubt(self) -> None:
        """Ask for a sign of life, in a thread of its own; `silent` tells what came of it."""
        with self._lock:
            self._doubted = True
            if self._asking or self.connect is None:
                return
            self._asking = True
        threading.Thread(target=self._ask_on, name="pulse", daemon=True).start()

    def _ask_on(self) -> None:
        while True:
            self.silent = not self._answers()
            if self.silent:
                self.silent_at = time.monotonic()
            with self._lock:
                if not (self.silent or self._doubted):
                    self._asking = False
                    return
                self._doubted = False
            time.sleep(AGAIN_S)

    def _answers(self) -> bool:
        assert self.connect is not None
        try:
            self.connect().close()
        except psycopg.errors.ConnectionTimeout:
            return False
        except psycopg.Error:
            return True  # it said no, which is an answer
        return True


class Watched(psycopg.Connection[Any]):
    """A connection that gives up on a silent database; `pulse` and `until` are set from outside.

    Attributes:
        pulse: of its database.
        until: when it gives up in any case, in seconds of the monotonic clock.
    """

    pulse: Pulse | None = None
    until: float | None = None

    def wait(self, gen: Generator[Any, Any, Any], *given: Any, **named: Any) -> Any:
        """Do what the driver does, and raise OperationalError when the database is silent."""
        return super().wait(self._watch(gen), *given, **named)

    def _watch(self, gen: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
        heard = time.monotonic()
        try:
            wanted = next(gen)
            while True:
                came = yield wanted
                if came == _NOTHING:
                    self._give_up_if_silent(heard)
                else:
                    heard = time.monotonic()
                wanted = gen.send(came)
        except StopIteration as end:
            return end.value

    def _give_up_if_silent(self, heard: float) -> None:
        now = time.monotonic()
        if self.pulse is not None and now - heard > QUIET_S:
            self.pulse.doubt()
        silent = self.pulse is not None and self.pulse.silent
        if silent or (self.until is not None and now > self.until):
            self.pgconn.finish()
            raise psycopg.OperationalError("the database is silent")


def watch(engine: sa.Engine) -> Pulse:
    """Let the connections of an engine give up on a silent database; return its pulse."""
    pulse = Pulse()

    def connect(_dialect: object, _record: object, given: Any, named: Any) -> Any:
        pulse.connect = lambda: psycopg.connect(*given, **{**named, "connect_timeout": CONNECT_S})
        made = Watched.connect(*given, **named)
        made.pulse = pulse
        return made

    def connected(_connection: object, record: Any) -> None:
        record.info["begun"] = record.info["used"] = time.monotonic()

    def checked_out(connection: Any, record: Any, _fairy: object) -> None:
        if record.info["begun"] < pulse.silent_at:
            raise DisconnectionError("a connection from before the silence")
        if time.monotonic() - record.info["used"] > IDLE_S:
            _ping(engine, connection)

    def checked_in(_connection: object, record: Any) -> None:
        record.info["used"] = time.monotonic()

    for name, listener in {
        "do_connect": connect,
        "connect": connected,
        "checkout": checked_out,
        "checkin": checked_in,
    }.items():
        event.listen(engine, name, listener)
    return pulse


def _ping(engine: sa.Engine, connection: Watched) -> None:
    connection.until = time.monotonic() + PING_S
    try:
        engine.dialect.do_ping(connection)  # pyright: ignore[reportArgumentType] - a driver's own
    except (psycopg.Error, DBAPIError) as error:
        raise DisconnectionError(str(error)) from error
    finally:
        connection.until = None
