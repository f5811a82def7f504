"""What a run executes: the file that a target names, and what that file is.

Whether a file declares pipelines is read from its text: to import a script is to execute it.
Nothing heavy is imported here: the process of a run is begun with this alone.
"""

import ast
from enum import StrEnum
from pathlib import Path

from thrive.domain.errors import NotFound, UsageError

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


def pipelines_in(file: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Return the functions of a file that `@pipeline` stands on; none of one that is no Python."""
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):
        return []
    return [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and _declares(node)
    ]


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
    import difflib  # for mistakes alone

    close = difflib.get_close_matches(file, names, n=1)
    if close:
        return f"did you mean {close[0]}?"
    return f"the folder holds {', '.join(names[:8])}" if names else "write a file with a @pipeline"
