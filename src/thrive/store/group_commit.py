"""Writers of one SQLite file, one at a time; those that wait for each other share one commit.

A commit waits for the disk far longer than its statements take. So a writer that is done hands its
open transaction on to the next that waits, and returns when the last of them has committed: what
was acknowledged is on the disk, as ever, and one wait for the disk does for all. A writer that
fails undoes its own part alone (a savepoint); a commit that fails, fails all of them.
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

MOST = 64
"""Writers in one transaction."""
LONGEST_S = 0.05
"""How old a transaction may be that one more writer joins."""
Opened = Callable[[], AbstractContextManager[sa.Connection]]


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
            came = waiter.called.wait(self._patience)
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
    first = group.connection is None
    if group.connection is None:
        group.connection = group.resources.enter_context(group.opened())
    else:
        _or_fail(group, "SAVEPOINT part")
    group.members += 1
    try:
        yield group.connection
    except BaseException as error:
        if first or not group.raw.in_transaction:
            group.error = error
        else:
            _or_fail(group, "ROLLBACK TO part", "RELEASE part")
        raise
    if not first:
        _or_fail(group, "RELEASE part")


def _or_fail(group: _Group, *statements: str) -> None:
    """Execute statements about savepoints; where one fails, the whole group has failed."""
    try:
        for statement in statements:
            group.raw.execute(statement)
    except BaseException as error:
        group.error = error
        raise


def _end(group: _Group) -> None:
    error = group.error
    try:
        group.resources.__exit__(error and type(error), error, None)
    except BaseException as failure:  # noqa: BLE001 - every member raises it in its own thread
        group.error = failure
    finally:
        group.done.set()
