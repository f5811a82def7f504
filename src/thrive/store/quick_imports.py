"""Importing what keeps things, in two thirds of the time that it takes by itself.

Two costs are left out. Nobody looks for garbage among what is being imported: all of it stays. And
SQLAlchemy imports asyncio, and with it TLS, for drivers that are not used here: a stand-in takes
its place while SQLAlchemy is imported, and hands on whatever is asked of it later.
"""

import gc
import sys
from collections.abc import Generator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any

_ASYNCIO = "asyncio"


class _StandIn(ModuleType):
    """What a module that imports asyncio holds; asyncio itself is imported when it is used."""

    def __getattr__(self, name: str) -> Any:
        return getattr(_asyncio(self), name)

    def iscoroutine(self, value: Any) -> bool:
        """Answer as asyncio does: SQLAlchemy takes this function while it is imported."""
        return _asyncio(self).iscoroutine(value)


def _asyncio(stand_in: ModuleType) -> Any:
    if sys.modules.get(_ASYNCIO) is stand_in:
        del sys.modules[_ASYNCIO]
    return import_module(_ASYNCIO)


@contextmanager
def quick_imports() -> Generator[None]:
    """Import modules that reach SQLAlchemy, inside of the block."""
    collecting = gc.isenabled()
    gc.disable()
    stand_in = _StandIn(_ASYNCIO)
    sys.modules.setdefault(_ASYNCIO, stand_in)
    try:
        yield
    finally:
        if sys.modules.get(_ASYNCIO) is stand_in:
            del sys.modules[_ASYNCIO]
        gc.freeze()
        if collecting:
            gc.enable()
