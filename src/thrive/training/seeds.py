"""Seeds of the libraries that a step draws with."""

import random
import sys
from collections.abc import Sequence
from importlib.abc import Loader
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, ClassVar

_GENERATORS = {
    "numpy.random": "seed",
    "tensorflow": "random.set_seed",
    "torch": "manual_seed",
}
"""Modules with a generator of their own -> what of them takes its seed."""


def sow(seed: int) -> None:
    """Seed the global generators of `random`, NumPy, PyTorch and TensorFlow.

    A library that is not imported yet is seeded when it is.
    """
    random.seed(seed)
    for name in _GENERATORS:
        if name in sys.modules:
            _seed(sys.modules[name], seed)
    _Later.seed = seed
    if _Later not in sys.meta_path:
        sys.meta_path.insert(0, _Later)


def _seed(module: ModuleType, seed: int) -> None:
    take: Any = module
    for part in _GENERATORS[module.__name__].split("."):
        take = getattr(take, part)
    take(seed)


class _Later:
    """A finder of modules: it has others find a library, and seeds it once it is imported."""

    seed: ClassVar[int] = 0

    @classmethod
    def find_spec(
        cls, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return where a module is, if it is one that is to be seeded."""
        if name not in _GENERATORS:
            return None
        others = (finder for finder in sys.meta_path if finder is not cls)
        specs = (finder.find_spec(name, path, target) for finder in others)
        spec = next((spec for spec in specs if spec is not None), None)
        if spec is not None and spec.loader is not None:
            spec.loader = _Seeding(spec.loader)
        return spec


class _Seeding(Loader):
    """A loader that seeds what another one has loaded."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Make the module as the other loader does."""
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """Execute the module as the other loader does, then seed it."""
        assert module.__spec__ is not None
        module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        _seed(module, _Later.seed)
