"""Write docs/reference/{settings,commands,errors,operations}.md from the code.

usage: python scripts/generate_reference.py [--check]
"""

import inspect
import sys
import typing
from pathlib import Path
from typing import Any

import msgspec

from thrive.cli.manual import help_of
from thrive.cli.table import COMMANDS
from thrive.domain import errors
from thrive.flows.catalogue import load_all
from thrive.flows.workspace import attribute
from thrive.settings import Settings, variable

FOLDER = Path(__file__).parents[1] / "docs/reference"
NOTE = "<!-- written by scripts/generate_reference.py; edit the code, not this page -->\n"


def settings_page() -> str:
    """Return the table of settings."""
    rows = ["| variable | type | default | meaning |", "|---|---|---|---|"]
    hints = typing.get_type_hints(Settings, include_extras=True)
    for field in msgspec.structs.fields(Settings):
        kind, meta = typing.get_args(hints[field.name])
        choices = typing.get_args(kind)
        shown = ", ".join(f"`{choice}`" for choice in choices) or f"{kind.__name__}"
        default = f"`{field.default}`" if field.default != "" else "none"
        rows.append(f"| `{variable(field.name)}` | {shown} | {default} | {meta.description} |")
    intro = "Each setting is one environment variable of the machine that Thrive runs on."
    return f"# Settings\n\n{NOTE}\n{intro}\n\n" + "\n".join(rows) + "\n"


def commands_page() -> str:
    """Return the help of every command."""
    parts = [f"# Commands\n\n{NOTE}\n```text\n{help_of('')}```\n"]
    parts += [
        f"## thrive {name}\n\n```text\n{entry.manual}```\n" for name, entry in COMMANDS.items()
    ]
    return "\n".join(parts)


def errors_page() -> str:
    """Return the table of errors: what each means, its exit code, whether trying again helps."""
    kinds: list[type[errors.ThriveError]] = [
        kind
        for _, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, errors.ThriveError)
    ]
    rows = ["| error | exit code | try again? | meaning |", "|---|---|---|---|"]
    for kind in sorted(kinds, key=lambda each: (each.exit_code, each.__name__)):
        meaning = (inspect.getdoc(kind) or "").split("\n", 1)[0]
        again = "yes" if kind.transient else "no"
        rows.append(f"| `{kind.__name__}` | {kind.exit_code} | {again} | {meaning} |")
    intro = (
        "Every message says what happened, with the value, and what to type next. The number is "
        "the exit code of the command; 0 is success. With `--json` the error is an object on "
        "standard output."
    )
    return f"# Errors and exit codes\n\n{NOTE}\n{intro}\n\n" + "\n".join(rows) + "\n"


def operations_page() -> str:
    """Return the table of operations: the same at every door."""
    rows = [
        "| command | Python | kind | who may | writes | what it does |",
        "|---|---|---|---|---|---|",
    ]
    for name, operation in sorted(load_all().items()):
        call = ".".join(attribute(word) for word in name.split(" "))
        who = ", ".join(sorted(operation.role))
        writes = "yes" if operation.writes else "no"
        rows.append(
            f"| `thrive {name}` | `workspace.{call}{_signature(operation.parameters)}` "
            f"| {operation.kind} | {who} | {writes} | {operation.summary} |"
        )
    intro = "`workspace = thrive.open()` gives the operations of a project's folder."
    return f"# Operations\n\n{NOTE}\n{intro}\n\n" + "\n".join(rows) + "\n"


def _signature(parameters: list[Any]) -> str:
    words: list[str] = []
    for parameter in parameters:
        if not parameter.positional and "*" not in words:
            words.append("*")
        default = "" if parameter.required else f"={str(parameter.default)!r}"
        if not parameter.required and not isinstance(parameter.default, str | Path):
            default = f"={parameter.default!r}"
        words.append(f"{parameter.name}{default}")
    return f"({', '.join(words)})".replace("|", "\\|")


PAGES = {
    "settings.md": settings_page,
    "commands.md": commands_page,
    "errors.md": errors_page,
    "operations.md": operations_page,
}


def main() -> int:
    """Write the pages, or with --check name those that are stale."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    stale = 0
    for name, write in PAGES.items():
        path, text = FOLDER / name, write()
        if path.exists() and path.read_text() == text:
            continue
        stale += 1
        if "--check" in sys.argv:
            print(f"docs/reference/{name} is stale: python scripts/generate_reference.py")
        else:
            path.write_text(text)
    return int("--check" in sys.argv and stale > 0)


if __name__ == "__main__":
    sys.exit(main())
