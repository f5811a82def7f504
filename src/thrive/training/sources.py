"""Source text of the user's modules as syntax trees, read when they were imported.

The text is read once, right after the import: a file that is edited while a run goes on does not
change what the run believes it executes. A tree is normalised: no docstrings, and comments,
blank lines and positions do not count.
"""

import ast
import sys
import sysconfig
from functools import cache
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from blake3 import blake3

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda
_OWN = str(Path(__file__).resolve().parents[1])
_STANDARD = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib")})
_texts: dict[str, str] = {}


def is_project_file(file: str | None) -> bool:
    """Tell whether a file is the user's own: no library, no standard library, not Thrive."""
    if not file or file.startswith("<"):
        return False
    installed = "site-packages" in file or "dist-packages" in file
    return not installed and not file.startswith((_OWN, *_STANDARD))


def is_project_module(module: ModuleType | None) -> bool:
    """Tell whether a module is the user's own."""
    return module is not None and is_project_file(getattr(module, "__file__", None))


def remember() -> None:
    """Read the text of every project module that is imported by now."""
    for module in list(sys.modules.values()):
        if is_project_module(module):
            text_of(str(module.__file__))


def text_of(file: str) -> str:
    """Return a file's text as it was when it was first asked for; "" if it cannot be read."""
    if file not in _texts:
        try:
            _texts[file] = Path(file).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            _texts[file] = ""
    return _texts[file]


@cache
def tree_of(file: str) -> ast.Module:
    """Return the normalised tree of a file; an empty one if it cannot be parsed."""
    try:
        tree = ast.parse(text_of(file))
    except SyntaxError:
        tree = ast.Module(body=[], type_ignores=[])
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            _drop_docstring(node)
    return tree


def _drop_docstring(node: Any) -> None:
    first = node.body[0] if node.body else None
    if (
        isinstance(first, ast.Expr)
        and isinstance(first.value, ast.Constant)
        and isinstance(first.value.value, str)
    ):
        node.body = node.body[1:]


@cache
def _index(file: str) -> dict[tuple[str, int], list[Definition]]:
    """Return the definitions of a file by name and first line (that of the first decorator)."""
    found: dict[tuple[str, int], list[Definition]] = {}
    for node in ast.walk(tree_of(file)):
        if isinstance(node, ast.Lambda):
            found.setdefault(("<lambda>", node.lineno), []).append(node)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            line = min([node.lineno, *(each.lineno for each in node.decorator_list)])
            found.setdefault((node.name, line), []).append(node)
    return found


def function_node(code: CodeType) -> Definition | None:
    """Return the tree of a function; None if its source is not there or not certain."""
    nodes = _index(code.co_filename).get((code.co_name, code.co_firstlineno), [])
    return nodes[0] if len(nodes) == 1 else None


def class_node(file: str, qualname: str) -> ast.ClassDef | None:
    """Return the tree of a class that is not defined inside a function."""
    body: list[ast.stmt] = tree_of(file).body
    found: ast.ClassDef | None = None
    for name in qualname.split("."):
        # the last of its name is the one that counts, also under `if` and `try`
        nested = [node for statement in body for node in _classes(statement) if node.name == name]
        if not nested:
            return None
        found = nested[-1]
        body = found.body
    return found


def _classes(statement: ast.stmt) -> list[ast.ClassDef]:
    if isinstance(statement, ast.ClassDef):
        return [statement]
    if isinstance(statement, ast.If | ast.Try | ast.With):
        inner = [child for child in ast.iter_child_nodes(statement) if isinstance(child, ast.stmt)]
        return [node for child in inner for node in _classes(child)]
    return []


def tree_digest(node: ast.AST) -> str:
    """Return the digest of a tree without positions."""
    return blake3(ast.dump(node).encode()).hexdigest()


def code_digest(code: CodeType) -> str:
    """Return the digest of compiled code: for functions whose source is not at hand."""
    return blake3(repr(_compiled(code)).encode()).hexdigest()


def _compiled(code: CodeType) -> tuple[Any, ...]:
    constants = [
        _compiled(each) if isinstance(each, CodeType) else repr(each) for each in code.co_consts
    ]
    return (code.co_code, code.co_names, code.co_varnames, code.co_freevars, constants)


def global_names(code: CodeType) -> set[str]:
    """Return the names a function and those inside it may look up outside of them."""
    inner = (each for each in code.co_consts if isinstance(each, CodeType))
    return set(code.co_names).union(*(global_names(each) for each in inner))
