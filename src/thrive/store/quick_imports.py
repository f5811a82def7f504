"""Importing what keeps things, in less than two thirds of the time that it takes by itself.

Two costs are left out. Nobody looks for garbage among what is being imported: all of it stays. And
SQLAlchemy imports asyncio, and with it TLS, for drivers that are not used here, and the reader of
installed packages, with it the parsers of mails and of archives, for dialects that come with
others: stand-ins take their places while SQLAlchemy is imported, and hand on whatever is asked of
them later.
"""

import gc
import sys
from collections.abc import Generator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any

_ASYNCIO = "asyncio"
_UNUSED = (_ASYNCIO, "importlib.metadata")


class _StandIn(ModuleType):
    """What a module holds that imports one of those; it is imported itself when it is used."""

    def __getattr__(self, name: str) -> Any:
        return getattr(_real(self), name)


class _StandInAsyncio(_StandIn):
    def iscoroutine(self, value: Any) -> bool:
        """Answer as asyncio does: SQLAlchemy takes this function while it is imported."""
        return _real(self).iscoroutine(value)


def _real(stand_in: ModuleType) -> Any:
    if sys.modules.get(stand_in.__name__) is stand_in:
        del sys.modules[stand_in.__name__]
    return import_module(stand_in.__name__)


@contextmanager
def quick_imports() -> Generator[None]:
    """Import modules that reach SQLAlchemy, inside of the block."""
    collecting = gc.isenabled()
    gc.disable()
    stand_ins = [_StandInAsyncio(name) if name == _ASYNCIO else _StandIn(name) for name in _UNUSED]
    for each in stand_ins:
        sys.modules.setdefault(each.__name__, each)
    try:
        yield
    finally:
        for each in stand_ins:
            if sys.modules.get(each.__name__) is each:
                del sys.modules[each.__name__]
        gc.freeze()
        if collecting:
            gc.enable()
