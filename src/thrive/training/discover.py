"""What a file is to a run (pipeline, script, notebook), and the pipeline in one that has some.

Whether a file declares pipelines is read from its text: to import a script is to execute it.
"""

import ast
import difflib
import importlib.util
import sys
from enum import StrEnum
from pathlib import Path
from types import ModuleType
from typing import Any

from thrive.domain.errors import NotFound, UsageError
from thrive.training.declare import Pipeline

NOTEBOOK_SUFFIX = ".ipynb"


class Form(StrEnum):
    """What a file is to a run."""

    PIPELINE = "pipeline"
    SCRIPT = "script"
    NOTEBOOK = "notebook"


def form_of(file: Path, name: str = "") -> Form:
    """Tell what a file is; one in which a pipeline is named, or that cannot be parsed, has some."""
    if file.suffix == NOTEBOOK_SUFFIX:
        return Form.NOTEBOOK
    if name:
        return Form.PIPELINE
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):
        return Form.PIPELINE
    return Form.PIPELINE if any(_declares(node) for node in ast.walk(tree)) else Form.SCRIPT


def _declares(node: ast.AST) -> bool:
    """Tell whether a piece of a file makes a pipeline: `@pipeline`, `p = pipeline(f)`."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return any(_is_pipeline(each) for each in node.decorator_list)
    return isinstance(node, ast.Call) and _is_pipeline(node.func)


def _is_pipeline(node: ast.expr) -> bool:
    if isinstance(node, ast.Call):
        return _is_pipeline(node.func)
    name = node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
    return name == "pipeline"


def split_target(target: str) -> tuple[str, str]:
    """Return file and pipeline name of `FILE` or `FILE:PIPELINE`; the name may be empty."""
    file, _, name = target.partition(":")
    return file, name


def find_file(target: str, folder: Path) -> Path:
    """Return the file a target names, relative to the project's folder; `.py` may be left out.

    Raises:
        NotFound: there is no such file.
        UsageError: it is neither a Python file nor a notebook.
    """
    file, _ = split_target(target)
    path = folder / file
    if not path.exists() and path.with_name(f"{path.name}.py").is_file():
        path = path.with_name(f"{path.name}.py")
    if not path.is_file():
        raise NotFound(f"There is no file {file!r} in {folder}.", _files_hint(folder, file))
    if path.suffix not in {".py", NOTEBOOK_SUFFIX}:
        raise UsageError(
            f"{file!r} is not a Python file and no notebook.", "thrive run FILE.py or FILE.ipynb"
        )
    return path.resolve()


def _files_hint(folder: Path, file: str) -> str:
    names = sorted(path.name for path in folder.glob("*.py"))
    close = difflib.get_close_matches(file, names, n=1)
    if close:
        return f"did you mean {close[0]}?"
    return f"the folder holds {', '.join(names[:8])}" if names else "write a file with a @pipeline"


def load_pipeline(path: Path, name: str = "") -> Pipeline[..., Any]:
    """Import a file and return its pipeline.

    Args:
        path: an existing Python file; its folder can be imported from.
        name: which pipeline; may be empty if the file declares exactly one.

    Raises:
        UsageError: it declares none, several, or none of that name.
    """
    module = _imported(path)
    own = {
        value.name: value
        for value in vars(module).values()
        if isinstance(value, Pipeline) and value.function.__module__ == module.__name__
    }
    if name in own:
        return own[name]
    choices = ", ".join(f"{path.name}:{known}" for known in own)
    if not own:
        raise UsageError(f"{path.name} declares no pipeline.", "put @pipeline on a function")
    if name:
        raise UsageError(f"{path.name} has no pipeline {name!r}.", f"thrive run with {choices}")
    if len(own) > 1:
        raise UsageError(
            f"{path.name} declares {len(own)} pipelines.", f"name one: thrive run {choices}"
        )
    return next(iter(own.values()))


def _imported(path: Path) -> ModuleType:
    sys.path.insert(0, str(path.parent))
    taken = path.stem in sys.stdlib_module_names or path.stem == "thrive"
    name = f"{path.stem}_pipeline" if taken else path.stem
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
