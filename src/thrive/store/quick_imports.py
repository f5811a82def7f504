"""Importing what keeps things, in less than two thirds of the time that it takes by itself.

Three costs are left out. Nobody looks for garbage among what is being imported: all of it stays.
SQLAlchemy imports asyncio, and with it TLS, for drivers that are not used here, hashlib, and with
it OpenSSL, for names that are too long, and the reader of installed packages, with it the parsers
of mails and of archives, for dialects that come with others: stand-ins take their places while
SQLAlchemy is imported, and hand on whatever is asked of them later. And of each of its 150 kinds of
expression it makes another class, for expressions with annotations: each is made with the first of
them here, as SQLAlchemy does it for kinds of others.
"""

import gc
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

_ASYNCIO = "asyncio"
_UNUSED = (_ASYNCIO, "importlib.metadata", "hashlib")
_ANNOTATIONS = "sqlalchemy.sql.annotation"
_OF_ALL, _OF_ONE = "_prepare_annotations", "_new_annotation_type"
"""What makes the annotated classes of a kind and all below it, and of that kind alone."""


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


class _Sparing:
    """Finds the module of annotations, and has it make its classes when they are needed."""

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return how to import that module; None for every other one."""
        spec = PathFinder.find_spec(name, path, target) if name == _ANNOTATIONS else None
        if spec is not None and spec.loader is not None:
            loader: Any = spec.loader
            run = loader.exec_module

            def exec_module(module: ModuleType) -> None:
                run(module)
                made = vars(module)
                if made.keys() >= {_OF_ALL, _OF_ONE}:  # both are SQLAlchemy's own: they may go
                    made[_OF_ALL] = made[_OF_ONE]

            loader.exec_module = exec_module
        return spec


@contextmanager
def quick_imports() -> Generator[None]:
    """Import modules that reach SQLAlchemy, inside of the block."""
    collecting = gc.isenabled()
    gc.disable()
    stand_ins = [_StandInAsyncio(name) if name == _ASYNCIO else _StandIn(name) for name in _UNUSED]
    for each in stand_ins:
        sys.modules.setdefault(each.__name__, each)
    sys.meta_path.insert(0, _Sparing)
    try:
        yield
    finally:
        sys.meta_path.remove(_Sparing)
        for each in stand_ins:
            if sys.modules.get(each.__name__) is each:
                del sys.modules[each.__name__]
        gc.freeze()
        if collecting:
            gc.enable()
