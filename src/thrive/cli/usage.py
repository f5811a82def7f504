"""What a pipeline asks for, as its file declares it: read from its text, which nothing executes."""

import ast
from collections.abc import Iterator
from pathlib import Path

from docstring_parser import DocstringStyle
from docstring_parser import parse as parse_docstring

from thrive.tracking.entry import Form, find_file, form_of, pipelines_in, split_target


def usage_of(target: str, folder: Path) -> str:
    """Return the parameters of the pipelines that a target names, as a part of a help page.

    Args:
        target: `FILE` or `FILE:PIPELINE`.
        folder: what the file is relative to.

    Raises:
        NotFound: there is no such file.
        UsageError: it is neither a Python file nor a notebook.
    """
    file, (_, name) = find_file(target, folder), split_target(target)
    if form_of(file, name) is not Form.PIPELINE:
        return (
            f"{file.name} has no pipeline: its words are its own, and are handed on as they are.\n"
        )
    found = [each for each in pipelines_in(file) if name in {"", each.name}]
    return "\n".join("".join(_section(each, file)) for each in found)


def _section(function: ast.FunctionDef | ast.AsyncFunctionDef, file: Path) -> Iterator[str]:
    text = parse_docstring(ast.get_docstring(function) or "", DocstringStyle.GOOGLE)
    meanings = {each.arg_name: " ".join((each.description or "").split()) for each in text.params}
    said = f": {text.short_description}" if text.short_description else ":"
    yield f"Parameters of {function.name} in {file.name}{said}\n"
    given = function.args
    named = [*given.posonlyargs, *given.args]
    late = [None] * (len(named) - len(given.defaults))
    defaults = dict(zip((each.arg for each in named), [*late, *given.defaults], strict=True))
    defaults |= {a.arg: d for a, d in zip(given.kwonlyargs, given.kw_defaults, strict=True)}
    for each in [*named, *given.kwonlyargs]:
        yield f"  {_entry(each, defaults[each.arg], meanings.get(each.arg, ''))}\n"
    if not defaults:
        yield "  it takes none\n"


def _entry(argument: ast.arg, default: ast.expr | None, meaning: str) -> str:
    kind = ast.unparse(argument.annotation) if argument.annotation else ""
    value = "[required]" if default is None else f"[default: {ast.unparse(default)}]"
    start = f"--{argument.arg.replace('_', '-')} {kind}".rstrip().ljust(28)
    return f"{start}  {meaning} {value}" if meaning else f"{start}  {value}"
