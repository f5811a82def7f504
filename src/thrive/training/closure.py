"""The code a step stands on: what it would take to give another result without other inputs.

From a function the walk reaches every project function, class and module constant that its tree
names, through globals, attributes of modules, closures, defaults and imports in its body, also
where a library has wrapped them, and the versions of the third-party libraries it touches. What
classes and functions were given after their definition counts. A module that is used as a whole
(`getattr`, a module as a value) counts with its whole file and the plain values in it.
"""

import ast
import contextlib
import functools
import importlib.util
import os
import platform
import random
import re
import sys
import types
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import msgspec
from blake3 import blake3

from thrive.domain.errors import ThriveError
from thrive.training import artifacts, sources
from thrive.training.digests import file_digest
from thrive.training.libraries import versions_behind

SHOWN = 60
"""Constants up to this many characters are told as they are, longer ones by their digest."""
_MISSING = object()
_CLOCKS = {
    "datetime.datetime": {"now", "utcnow", "today"},
    "datetime.date": {"today"},
}
_CODE = (types.FunctionType, types.MethodType, types.ModuleType, type, functools.partial)
_TABLES = {"DataFrame", "LazyFrame", "Series"}
_CACHED = type(functools.cache(len))
_SCALARS = (bool, int, float, complex, str, bytes, type(None), re.Pattern, range)
_CONTAINERS = (list, tuple, set, frozenset, dict, types.MappingProxyType)
_BY_NAME = {"globals", "eval", "exec"}
"""Builtins by which code reaches any name of its module."""
_IMPORTERS = {"import_module", "__import__"}
_GLOBAL_RANDOM = random.uniform.__self__  # pyright: ignore[reportFunctionMemberAccess] - a method
_CHANCE = {("uuid", "uuid1"), ("uuid", "uuid4"), ("posix", "urandom"), ("secrets", "")}


class Closure(msgspec.Struct, frozen=True, kw_only=True):
    """What a function stands on.

    Attributes:
        digest: of everything below.
        parts: name -> digest of a tree, or a short constant itself.
        libraries: distribution -> version, and that of Python.
        problem: why no key can be made of it, in words; "" when one can.
        files: the project's files that the parts stand in.
    """

    digest: str
    parts: dict[str, str]
    libraries: dict[str, str]
    problem: str = ""
    files: frozenset[str] = frozenset()


def closure_of(*roots: Any) -> Closure:
    """Return what functions, classes or steps stand on; computes nothing of the user's."""
    walk = _Walk()
    for root in roots:
        name = getattr(root, "__qualname__", str(root))
        walk.visit(root, name)
        outputs = getattr(root, "outputs", None)
        if outputs is not None:  # an alias in the annotation is not in the tree
            walk.parts[f"{name} ->"] = repr(outputs)
    libraries = dict(sorted({**walk.libraries, "python": platform.python_version()}.items()))
    parts = dict(sorted(walk.parts.items()))
    body = msgspec.json.encode([parts, libraries])
    return Closure(
        digest=blake3(body).hexdigest(),
        parts=parts,
        libraries=libraries,
        problem=walk.problem,
        files=frozenset(walk.files),
    )


class _Walk:
    def __init__(self) -> None:
        self.parts: dict[str, str] = {}
        self.libraries: dict[str, str] = {}
        self.problem = ""
        self.files: set[str] = set()
        self._seen: dict[int, Any] = {}  # holds what it has seen, so that no id is used twice
        self._tops: set[str] = set()

    def visit(self, value: Any, label: str) -> None:
        """Take in one value that code names."""
        value = _plain(value)
        if value is os.environ:  # what is read of it is seen when it is read
            return
        if id(value) in self._seen:
            return
        self._seen[id(value)] = value
        self._take(value, label)

    def _take(self, value: Any, label: str) -> None:
        if isinstance(value, types.FunctionType):
            self._function(value)
        elif isinstance(value, type):
            self._class(value)
        elif isinstance(value, types.ModuleType):
            self._module(value)
        elif isinstance(value, functools.partial):
            self._partial(value, label)
        elif isinstance(value, types.MethodType):
            self.visit(value.__func__, label)
            if value.__self__ is not _GLOBAL_RANDOM:  # that one is seeded for each step
                self.visit(value.__self__, f"{label}.__self__")
        elif isinstance(value, _CACHED):
            self.visit(value.__wrapped__, label)
        elif callable(value) and _is_compiled(value):
            self._compiled(value, label)
        else:
            self._held(_wrapped_by(value), label)
            self._constant(value, label)

    def _library(self, module: str) -> None:
        top = module.partition(".")[0]
        if top == "thrive" or top in self._tops:  # what ours read and tell is an input itself
            return
        self._tops.add(top)
        if not sources.is_project_module(sys.modules.get(top)):
            self.libraries.update(versions_behind(top))

    def _label(self, name: str) -> str:
        count = 2
        label = name
        while label in self.parts:
            label = f"{name}#{count}"
            count += 1
        return label

    def _function(self, function: types.FunctionType) -> None:
        code = function.__code__
        module = function.__module__ or ""
        if (module, function.__name__) in _CHANCE or module == "secrets":
            self._refuse(f"it calls {module}.{function.__name__}, which draws without the seed")
        around: dict[str, Any] = function.__globals__
        if not sources.is_project_file(code.co_filename) and not _is_made_of_text(function):
            self._library(module)
            self._library(str(around.get("__name__", "")))  # a wrapper says what it wraps
            self._inside(function, f"{module}.{function.__qualname__}")
            return
        self.files.add(code.co_filename)
        label = self._label(f"{module}.{function.__qualname__}")
        node = sources.function_node(code)
        self.parts[label] = _digest(node, function) if node else sources.code_digest(code)
        for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
            self._cell(cell, f"{label}({name})")
        for number, default in enumerate(function.__defaults__ or ()):
            self.visit(default, f"{label}=default {number}")
        for name, default in (function.__kwdefaults__ or {}).items():
            self.visit(default, f"{label}={name}")
        for name, each in vars(function).items():
            self._beside(each, f"{label}.{name}")
        if node is not None:
            self._names(node, around, sources.global_names(code))
        else:
            self._loose(sources.global_names(code), around)

    def _inside(self, function: types.FunctionType, label: str) -> None:
        """Take in what of the project a library's function holds, as a decorator's does."""
        for cell in function.__closure__ or ():
            with contextlib.suppress(ValueError):  # a cell that is filled later
                self._held(cell.cell_contents, label)
        for each in vars(function).values():
            self._held(each, label)

    def _held(self, value: Any, label: str) -> None:
        """Take in what of the project a library's object holds; the rest is the library's own."""
        value = _plain(value)
        if isinstance(value, types.FunctionType | _CACHED):
            self.visit(value, label)
        elif isinstance(value, types.MethodType):
            self._held(value.__func__, label)
            self._held(value.__self__, label)
        elif isinstance(value, functools.partial):
            for each in (value.func, *value.args, *value.keywords.values()):
                self._held(each, label)
        elif isinstance(value, _CONTAINERS):
            if id(value) not in self._seen:
                self._seen[id(value)] = value
                for each in _members_of(value):
                    self._held(each, label)
        elif _is_of_project(value):
            self.visit(value, label)

    def _beside(self, value: Any, label: str) -> None:
        """Take in what a class, a function or a module was given, if it can be named."""
        value = _plain(value)
        if _is_data(value) or (_is_of_project(value) and not isinstance(value, type)):
            self._constant(value, label, must=False)
        else:
            self._held(value, label)

    def _cell(self, cell: types.CellType, label: str) -> None:
        try:
            self.visit(cell.cell_contents, label)
        except ValueError:  # a cell that is filled later
            return

    def _class(self, kind: type) -> None:
        module = sys.modules.get(kind.__module__)
        if not sources.is_project_module(module):
            self._library(kind.__module__)
            return
        assert module is not None
        label = self._label(f"{kind.__module__}.{kind.__qualname__}")
        node = sources.class_node(str(module.__file__), kind.__qualname__)
        for base in kind.__mro__[1:]:
            self.visit(base, base.__qualname__)
        self.files.add(str(module.__file__))
        self._members(kind, node, label)
        if node is None:  # made inside a function, or by one: its members tell what it is
            self.parts[label] = blake3(repr(sorted(vars(kind))).encode()).hexdigest()
            return
        self.parts[label] = sources.tree_digest(node)
        self._names(node, vars(module), None)

    def _members(self, kind: type, node: ast.ClassDef | None, label: str) -> None:
        """Take in the values of a class, and the functions that do not stand in its tree."""
        for name, member in list(vars(kind).items()):
            plain = _plain(member)
            if isinstance(plain, types.FunctionType):
                if not _stands_in(plain.__code__, node, special=_is_special(name)):
                    self.visit(plain, f"{label}.{name}")
            elif not _is_special(name):
                self._beside(plain, f"{label}.{name}")

    def _module(self, module: types.ModuleType) -> None:
        """Take in a module that is used as a whole."""
        if not sources.is_project_module(module):
            self._library(module.__name__)
            return
        self._file(str(module.__file__), module.__name__)
        for name, value in list(vars(module).items()):
            if isinstance(value, types.ModuleType):
                if value.__name__ == f"{module.__name__}.{name}":
                    self.visit(value, value.__name__)
            elif not _is_special(name) and not callable(value):
                self._beside(value, f"{module.__name__}.{name}")

    def _file(self, file: str, name: str) -> None:
        label = f"module {name}"
        if label in self.parts:
            return
        self.files.add(file)
        path = Path(file)
        if path.suffix != ".py":  # compiled
            self.parts[label] = file_digest(path)
            return
        tree = sources.tree_of(file)
        self.parts[label] = sources.tree_digest(tree)
        self._imports(tree, name if path.stem == "__init__" else name.rpartition(".")[0])

    def _partial(self, value: "functools.partial[Any]", label: str) -> None:
        self.visit(value.func, f"{label}.func")
        for number, each in enumerate(value.args):
            self.visit(each, f"{label}({number})")
        for name, each in value.keywords.items():
            self.visit(each, f"{label}({name}=)")

    def _compiled(self, value: Any, label: str) -> None:
        module = str(getattr(value, "__module__", None) or type(value).__module__)
        name = str(getattr(value, "__name__", ""))
        if (module, name) in _CHANCE:
            self._refuse(f"it calls {name}, which draws without the seed")
        if name.endswith("(vectorized)"):
            self._refuse(f"it calls {name}, in which NumPy hides a function")
        if sources.is_project_module(sys.modules.get(module)):
            self.visit(sys.modules[module], module)
            return
        self._library(module)
        owner = getattr(value, "__self__", None)
        if owner is not None and _is_data(owner):  # `rates.get`
            self.visit(owner, f"{label}.__self__")
        self._held(getattr(value, "__wrapped__", None), label)

    def _constant(self, value: Any, label: str, *, must: bool = True) -> None:
        if value is None or isinstance(value, bool | int | float | str | bytes):
            text = repr(value)
            self.parts[self._label(label)] = text if len(text) <= SHOWN else _hashed(text.encode())
            return
        if type(value).__module__.startswith("polars."):
            if type(value).__name__ in _TABLES:
                self._refuse_if(
                    must, f"it reads the table {label} of its module: pass it as an argument"
                )
                return
            if callable(value):  # `col`, imported by name
                self._library("polars")
                return
        classes: list[Any] = []
        try:
            kind, parts = artifacts.encode(value, label, classes)
        except ThriveError:
            named = f"{label}, a {type(value).__name__}"
            self._refuse_if(must, f"it reads {named} that has no content to name")
            return
        hasher = blake3(kind.encode())
        for part in parts:
            hasher.update(part)
        self.parts[self._label(label)] = hasher.hexdigest()
        for each in [type(value), *classes]:
            self.visit(each, getattr(each, "__qualname__", label))

    def _names(self, node: ast.AST, around: dict[str, Any], known: set[str] | None) -> None:
        """Take in what a tree names; `known` are the names that may be global."""
        self._imports(node, str(around.get("__package__") or ""))
        for chain in _chains(node):
            if chain[-1] in _IMPORTERS:
                self._imported_by_name(node)
            elif chain[:2] == ("sys", "modules"):
                self._refuse("it looks for modules by their name (sys.modules)")
            elif known is None or chain[0] in known:
                self._chain(chain, around)

    def _imported_by_name(self, node: ast.AST) -> None:
        """Take in modules that code imports by calls."""
        calls = (each for each in ast.walk(node) if isinstance(each, ast.Call))
        for call in calls:
            if (_chain_of(call.func) or ("",))[-1] not in _IMPORTERS:
                continue
            first = call.args[0] if call.args else None
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                self._imported(first.value)
            else:
                self._refuse("it imports a module whose name only a run knows")

    def _loose(self, names: Iterable[str], around: dict[str, Any]) -> None:
        for name in sorted(names):
            self._chain((name,), around)

    def _chain(self, chain: tuple[str, ...], around: dict[str, Any]) -> None:
        value = around.get(chain[0], _MISSING)
        if value is _MISSING and chain[0] in _BY_NAME:
            self.visit(sys.modules.get(str(around.get("__name__"))), chain[0])
        if value is _MISSING or chain[0] in _OF_MODULES:
            return
        label = f"{around.get('__name__', '')}.{chain[0]}"
        for name in chain[1:]:
            if not isinstance(value, types.ModuleType):
                self._clock(value, name)
                break
            inner = getattr(value, name, _MISSING)
            if inner is _MISSING:
                break
            if not sources.is_project_module(value):
                self._library(value.__name__)
                if not isinstance(inner, _CODE) and not _is_compiled(inner):
                    return  # data of a library, as `polars.col` is: its version stands for it
            label = f"{value.__name__}.{name}"
            value = inner
        self.visit(value, label)

    def _clock(self, value: Any, name: str) -> None:
        if isinstance(value, type):
            kind = f"{value.__module__}.{value.__qualname__}"
            if name in _CLOCKS.get(kind, ()):
                self._refuse(f"it asks the clock ({kind}.{name})")

    def _imports(self, node: ast.AST, package: str) -> None:
        """Take in the imports inside a tree: project files whole, libraries by version."""
        for each in ast.walk(node):
            if isinstance(each, ast.Import):
                for alias in each.names:
                    self._imported(alias.name)
            elif isinstance(each, ast.ImportFrom):
                outer = package.split(".")[: len(package.split(".")) - each.level + 1]
                base = ".".join([*outer, each.module or ""]) if each.level else each.module or ""
                self._imported(base.strip("."))
                for alias in each.names:
                    self._imported(f"{base.strip('.')}.{alias.name}", certain=False)

    def _imported(self, name: str, *, certain: bool = True) -> None:
        top = name.partition(".")[0]
        if top in sys.stdlib_module_names or top == "thrive" or not name:
            return
        loaded = sys.modules.get(name)
        if sources.is_project_module(loaded):
            self.visit(loaded, name)
            return
        file = _file_of(name)
        if file is not None and sources.is_project_file(file):
            self._file(file, name)
        elif certain:
            self._library(top)

    def _refuse_if(self, certain: bool, why: str) -> None:
        if certain:
            self._refuse(why)

    def _refuse(self, why: str) -> None:
        self.problem = self.problem or why


_OF_MODULES = frozenset({"__builtins__", "__doc__", "__file__", "__name__", "__spec__"})


def _plain(value: Any) -> Any:
    """Return the function behind a step, a pipeline, a static method or a property.

    It looks at no attribute of other values: some compute one for any name.
    """
    if isinstance(value, staticmethod | classmethod):
        return value.__func__
    if isinstance(value, property):
        return value.fget
    if isinstance(value, functools.cached_property):
        return value.func
    declared = type(value).__module__ == "thrive.training.declare"
    return value.function if declared and hasattr(value, "function") else value


def _wrapped_by(value: Any) -> Any:
    """Return what a callable object of a library says that it wraps; None if it says nothing."""
    own = getattr(value, "__dict__", None)
    return own.get("__wrapped__") if isinstance(own, dict) else None


def _is_made_of_text(function: types.FunctionType) -> bool:
    """Tell whether project code made a function by `exec` or `eval`."""
    module = sys.modules.get(str(function.__globals__.get("__name__")))
    return function.__code__.co_filename.startswith("<") and sources.is_project_module(module)


def _is_of_project(value: Any) -> bool:
    kind = value if isinstance(value, type) else type(value)
    return sources.is_project_module(sys.modules.get(kind.__module__))


def _is_data(value: Any, depth: int = 8) -> bool:
    """Tell whether a value is numbers and texts, also in containers and arrays."""
    if isinstance(value, _SCALARS):
        return True
    if not isinstance(value, _CONTAINERS):
        return type(value).__module__ == "numpy" and hasattr(value, "dtype")
    return depth > 0 and all(_is_data(each, depth - 1) for each in _members_of(value))


def _members_of(container: Any) -> list[Any]:
    """Return what is in a container, of tables also the keys."""
    if isinstance(container, dict | types.MappingProxyType):
        table = cast("Mapping[Any, Any]", container)
        return [*table.keys(), *table.values()]
    return list(container)


def _is_special(name: str) -> bool:
    return name.startswith("__") and name.endswith("__")


def _stands_in(code: types.CodeType, node: ast.ClassDef | None, *, special: bool) -> bool:
    """Tell whether the tree of a class holds a method, or what it was generated from."""
    if code.co_filename.startswith("<"):
        return node is not None or special
    inside = node is not None and node.lineno <= code.co_firstlineno <= (node.end_lineno or 0)
    return inside and sources.is_project_file(code.co_filename)


def _is_compiled(value: Any) -> bool:
    """Tell whether a callable is no project object: a builtin, a ufunc, a method of C."""
    return not sources.is_project_module(sys.modules.get(type(value).__module__)) and not hasattr(
        value, "__dict__"
    )


def _digest(node: Any, function: Callable[..., Any]) -> str:
    """Return the digest of a function's tree without the decorators that are ours."""
    decorators = getattr(node, "decorator_list", None)
    if not decorators:
        return sources.tree_digest(node)
    around: dict[str, Any] = getattr(function, "__globals__", {})
    node.decorator_list = [each for each in decorators if not _is_ours(each, around)]
    try:
        return sources.tree_digest(node)
    finally:
        node.decorator_list = decorators


def _is_ours(decorator: ast.expr, around: dict[str, Any]) -> bool:
    target = decorator.func if isinstance(decorator, ast.Call) else decorator
    chains = list(_chains(target))
    value: Any = around.get(chains[0][0]) if chains else None
    for name in chains[0][1:] if chains else ():
        value = getattr(value, name, None)
    return getattr(value, "__module__", "") == "thrive.training.declare"


def _chains(node: ast.AST) -> list[tuple[str, ...]]:
    """Return the dotted names that a tree reads, each once and in order of appearance."""
    found: dict[tuple[str, ...], None] = {}
    waiting: list[ast.AST] = [node]
    while waiting:
        each = waiting.pop()
        chain = _chain_of(each)
        if chain:
            found[chain] = None
        else:
            waiting.extend(ast.iter_child_nodes(each))
    return list(found)


def _chain_of(node: ast.AST) -> tuple[str, ...]:
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
        return (node.id, *reversed(names))
    return ()


def _file_of(name: str) -> str | None:
    """Return the file of a module without importing it; None if there is none of that name."""
    loaded = sys.modules.get(name)
    if loaded is not None:
        return getattr(loaded, "__file__", None)
    top, _, rest = name.partition(".")
    try:
        found = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None
    if found is None or not rest:
        return found.origin if found else None
    for folder in found.submodule_search_locations or ():
        path = Path(folder, *rest.split("."))
        for file in (path.with_suffix(".py"), path / "__init__.py"):
            if file.is_file():
                return str(file)
    return None


def _hashed(data: bytes) -> str:
    return blake3(data).hexdigest()
