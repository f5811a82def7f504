"""Writers that must take turns; those of one process that wait for each other share one commit.

A commit waits for the disk far longer than its statements take. So a writer that is done hands its
open transaction on to the next that waits, and returns when the last of them has committed: what
was acknowledged is on the disk, as ever, and one wait for the disk does for all. A writer that
fails undoes its own part alone (a savepoint); a commit that fails, fails all of them.

What every writer appends to the same place (a link of a chain, a row of a feed) is handed over
with `at_end` and written once for all, just before the commit: the locks it takes are held briefly.
"""

import copy
import threading
import time
from collections import deque
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

import sqlalchemy as sa

from thrive.domain.errors import StoreBusy
from thrive.store.lock import patiently

MOST = 64
"""Writers in one transaction."""
LONGEST_S = 0.05
"""How old a transaction may be that one more writer joins."""
Opened = Callable[[], AbstractContextManager[sa.Connection]]
Append = Callable[[sa.Connection, list[Any]], None]
"""Writes what was handed over, in its order."""
_PENDING = "thrive_at_end"
_IDLE = 0
"""The driver of PostgreSQL's word for a connection without a transaction."""


def at_end(tx: sa.Connection, append: Append, item: object) -> None:
    """Have something written before the transaction is committed; at once if nobody shares it.

    Args:
        tx: the transaction.
        append: writes a list of such things; called once for all that were handed over with it.
        item: what is to be written, if this writer's part stands.
    """
    pending: list[tuple[Append, object]] | None = tx.info.get(_PENDING)
    if pending is None:
        append(tx, [item])
    else:
        pending.append((append, item))


class _Group:
    """An open transaction and all who wrote in it."""

    def __init__(self, opened: Opened) -> None:
        self.opened = opened
        self.began = time.monotonic()
        self.members = 0
        self.resources = ExitStack()
        self.done = threading.Event()
        self.error: BaseException | None = None
        self.connection: sa.Connection | None = None
        self.pending: list[tuple[Append, object]] = []
        self._saved = False

    def begin(self) -> None:
        """Open the transaction, or a savepoint in it for one more writer."""
        if self.connection is None:
            self.connection = self.resources.enter_context(self.opened())
            self.connection.info[_PENDING] = self.pending
        else:
            self._execute(*["RELEASE part"] * self._saved, "SAVEPOINT part")
            self._saved = True
        self.members += 1

    def undo(self, written: int) -> None:
        """Go back to the savepoint, where `written` things had been handed over."""
        self._execute("ROLLBACK TO part", "RELEASE part")
        self._saved = False
        del self.pending[written:]

    def append(self) -> None:
        """Write what was handed over, that of one kind together."""
        assert self.connection is not None
        del self.connection.info[_PENDING]
        for append in dict.fromkeys(each for each, _ in self.pending):
            append(self.connection, [item for each, item in self.pending if each is append])

    def _execute(self, *statements: str) -> None:
        """Execute statements about savepoints; where one fails, the whole group has failed."""
        try:
            if self._is_sqlite:
                for statement in statements:
                    self.raw.execute(statement)
            else:
                self.raw.execute("; ".join(statements), prepare=False)
        except BaseException as error:
            self.error = error
            raise

    @property
    def _is_sqlite(self) -> bool:
        return self.connection is not None and self.connection.dialect.name == "sqlite"

    @property
    def is_open(self) -> bool:
        """Whether the database has not ended the transaction by itself."""
        if self._is_sqlite:
            return self.raw.in_transaction
        return not self.raw.closed and self.raw.info.transaction_status != _IDLE

    @property
    def may_grow(self) -> bool:
        """Whether one more writer may join."""
        young = time.monotonic() - self.began < LONGEST_S
        return self.connection is not None and not self.error and young and self.members < MOST

    @property
    def raw(self) -> Any:
        """The driver's connection."""
        assert self.connection is not None
        return self.connection.connection.driver_connection


class _Waiter:
    """A writer that waits for its turn; it is given the open transaction, or None to open one."""

    def __init__(self) -> None:
        self.called = threading.Event()
        self.group: _Group | None = None


class GroupCommit:
    """Gives writers their turns, first come first served.

    Args:
        opened: opens a connection whose transaction may write, holding whatever lock it needs;
            it commits at the end of its block, or rolls back on an error.
        patience: how many seconds a writer waits for its turn.
    """

    def __init__(self, opened: Opened, patience: float) -> None:
        self._opened = opened
        self._patience = patience
        self._guard = threading.Lock()
        self._busy = False
        self._waiters: deque[_Waiter] = deque()

    @contextmanager
    def turn(self) -> Generator[sa.Connection]:
        """Write in a transaction that is committed when the block has been left.

        Raises:
            StoreBusy: the turn did not come.
        """
        group = self._enter()
        try:
            with _part(group) as connection:
                yield connection
        finally:
            self._leave(group)
        group.done.wait()
        if group.error is not None:
            raise copy.copy(group.error) from group.error

    def _enter(self) -> _Group:
        with self._guard:
            if not self._busy:
                self._busy = True
                return _Group(self._opened)
            waiter = _Waiter()
            self._waiters.append(waiter)
        try:
            came = patiently(waiter.called.wait, self._patience)
        except BaseException:
            if not self._left_queue(waiter):
                self._leave(waiter.group or _Group(self._opened))
            raise
        if not came and self._left_queue(waiter):
            raise StoreBusy("Other threads of this process are writing.", "try again")
        return waiter.group or _Group(self._opened)

    def _left_queue(self, waiter: _Waiter) -> bool:
        """Leave the queue; False when the turn came meanwhile: then it is ours to pass on."""
        with self._guard:
            if waiter.called.is_set():
                return False
            self._waiters.remove(waiter)
            return True

    def _leave(self, group: _Group) -> None:
        """Hand the transaction on, or commit it and call the next."""
        if group.may_grow and self._call_next(group):
            return
        _end(group)
        self._call_next(None)

    def _call_next(self, group: _Group | None) -> bool:
        """Give the turn, and an open transaction, to who waits longest; False if nobody does."""
        with self._guard:
            if not self._waiters:
                self._busy = group is not None
                return False
            waiter = self._waiters.popleft()
            waiter.group = group
            waiter.called.set()
            return True


@contextmanager
def _part(group: _Group) -> Generator[sa.Connection]:
    """Do one writer's part; one that fails is undone, and the rest stands if it can."""
    first, written = group.connection is None, len(group.pending)
    group.begin()
    assert group.connection is not None
    try:
        yield group.connection
    except BaseException as error:
        if first or not group.is_open:
            group.error = error
        else:
            group.undo(written)
        raise


def _end(group: _Group) -> None:
    """Commit, or roll back a group that failed."""
    try:
        if group.error is None and group.connection is not None:
            group.append()
    except BaseException as failure:  # noqa: BLE001 - every member raises it in its own thread
        group.error = failure
    error = group.error
    try:
        if group.connection is not None:
            group.connection.info.pop(_PENDING, None)
        group.resources.__exit__(error and type(error), error, None)
    except BaseException as failure:  # noqa: BLE001 - as above
        group.error = failure
    finally:
        group.done.set()
