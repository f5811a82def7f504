"""Write docs/reference/{contract,settings,commands,errors,http,operations}.md from the code.

usage: python scripts/generate_reference.py [--check]
"""

import inspect
import sys
import types
import typing
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import msgspec
from docstring_parser import DocstringStyle
from docstring_parser import parse as parse_docstring

from thrive.cli.manual import help_of
from thrive.cli.table import COMMANDS
from thrive.contract.gaps import gaps
from thrive.contract.parse import parse
from thrive.contract.schema import ACTION_DEFAULTS, Contract, Terms
from thrive.domain import errors
from thrive.flows.catalogue import load_all
from thrive.flows.workspace import attribute
from thrive.operations import Kind
from thrive.server.routes import build_routes
from thrive.serving import bodies, inference_v2
from thrive.serving.app import App
from thrive.serving.openapi import REFUSALS
from thrive.settings import Settings
from thrive.variables import variable

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


def contract_page() -> str:
    """Return every table of thrive.toml: its keys, their types, defaults and meanings."""
    needed = _needed()
    intro = (
        "Every key has a default. `thrive check` lists what is not answered yet; the last column "
        "says which step an empty answer blocks. Unknown keys are refused, with their line."
    )
    parts = [f"# thrive.toml\n\n{NOTE}\n{intro}\n"]
    for path, table in _tables("", Contract):
        doc = parse_docstring(inspect.getdoc(table) or "", DocstringStyle.GOOGLE)
        meanings = {
            each.arg_name: " ".join((each.description or "").split()) for each in doc.params
        }
        title = f"`[{path}]`" if path else "The file"
        words = doc.short_description
        rows = ["| key | value | default | meaning | blocks |", "|---|---|---|---|---|"]
        hints = typing.get_type_hints(table, include_extras=True)
        for field in msgspec.structs.fields(table):
            blocks = needed.get(f"{path}.{field.name}", "")
            rows.append(
                f"| `{field.name}` | {_kind(hints[field.name])} | {_default(field)} "
                f"| {meanings[field.name]} | {blocks} |"
            )
        parts.append(f"## {title}\n\n{words}\n\n" + "\n".join(rows) + "\n")
    parts.append(_causes())
    return "\n".join(parts)


def _needed() -> dict[str, str]:
    """Return which key blocks which step, as an empty contract is told."""
    tables = "[team.any]\n[data.any]\n[model.any]\nowner = 'any'\n"
    found = {gap.path.replace(".any", ".NAME"): gap.blocks for gap in gaps(parse(tables))}
    return found | {"model.NAME.owner": "production"}


def _tables(path: str, table: type[Terms]) -> Iterator[tuple[str, type[Terms]]]:
    """Yield each table of the contract with its path, outer ones first."""
    yield path, table
    for name, hint in typing.get_type_hints(table).items():
        inner = next((each for each in (hint, *typing.get_args(hint)) if _is_table(each)), None)
        if inner is None:
            continue
        one_of_many = typing.get_origin(hint) is dict
        step = f"{name}.{'CAUSE' if name == 'actions' else 'NAME'}" if one_of_many else name
        yield from _tables(f"{path}.{step}".removeprefix("."), inner)


def _is_table(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Terms)


def _kind(hint: Any) -> str:
    """Return the type of a key in words."""
    if typing.get_origin(hint) is typing.Annotated:
        inner, *marks = typing.get_args(hint)
        said = next((mark.description for mark in marks if getattr(mark, "description", None)), "")
        return said or _kind(inner)
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        kinds = [_kind(each) for each in typing.get_args(hint) if each is not type(None)]
        return " or ".join(kinds)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return ", ".join(f"`{member.value}`" for member in hint)
    if typing.get_origin(hint) is list:
        return f"list of {_kind(typing.get_args(hint)[0])}"
    if typing.get_origin(hint) is dict:
        return "table"
    names = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}
    return "table" if _is_table(hint) else names[hint]


def _default(field: msgspec.structs.FieldInfo) -> str:
    value = field.default
    if field.default_factory is not msgspec.NODEFAULT:
        value = field.default_factory()
    if value is msgspec.NODEFAULT:
        return "that of the cause"
    if value in (None, "", [], {}) or isinstance(value, Terms):
        return ""
    shown = value.value if isinstance(value, Enum) else value
    return f"`{msgspec.json.encode(shown).decode()}`"


def _causes() -> str:
    rows = ["| cause | do | within | default |", "|---|---|---|---|"]
    for cause, terms in ACTION_DEFAULTS.items():
        otherwise = terms.default.value if terms.default else "nothing"
        rows.append(f"| `{cause.value}` | `{terms.do.value}` | {terms.within} | {otherwise} |")
    note = "What a cause leads to when the contract says nothing; the model's owner decides."
    return f"## Causes\n\n{note}\n\n" + "\n".join(rows) + "\n"


def http_page() -> str:
    """Return the routes of the serving host and of the server."""
    return "\n".join([f"# HTTP\n\n{NOTE}", _serving_routes(), _server_routes()])


_PLACES = {
    "server": "Say what this server is.",
    "live": "Answer 200 while it runs.",
    "ready": "Answer 200 once requests can be answered, else 503.",
    "index": "List the models and the state of each.",
}


def _serving_routes() -> str:
    rows = ["| request | what it does |", "|---|---|"]
    rows += [
        f"| `POST /predict/MODEL` | {_answering(bodies.native_rows)} |",
        f"| `POST /invocations` | {_answering(bodies.mlflow_rows)} Or of one in CSV. |",
        "| `POST /v1/models/MODEL:predict` | The same, as KServe v1 and Vertex AI ask. |",
        "| `POST /endpoints/MODEL/invocations` | The same, as MLflow's deployment client asks. |",
        "| `POST /v2/models/MODEL/infer` | Answer tensors: Open Inference Protocol v2. |",
        "| `GET /v2/models/MODEL` | Name the inputs and outputs of a model. |",
        *(
            f"| `{'POST' if place.action == 'index' else 'GET'} {path}` | {_PLACES[place.action]} |"
            for path, place in inference_v2.PLACES.items()
        ),
    ]
    rows += [f"| `GET {path}` | {_first(page)} |" for path, page in App.PAGES.items()]
    statuses = ["| status | meaning |", "|---|---|", "| 200 | The answer. |"]
    statuses += [f"| {status} | {words} |" for status, words in REFUSALS.items()]
    words = (
        "`thrive serve` answers these; it listens on 127.0.0.1:8100. Requests and answers are "
        "JSON. An answer names the version and the prediction's id in its body, and in the headers "
        "`X-Model-Version`, `X-Variant` and `X-Prediction-Id`. Requests with the same "
        "`X-Route-Key` get the same variant; `X-Thrive-Model` names the model for "
        "`/invocations` when several are served. `X-Variant` names the version that answers, where "
        "the contract has `override = true`. A `traceparent` is answered with one and kept with "
        "the prediction."
    )
    return "\n".join(["## The serving host\n", words, "", *rows, "", *statuses, ""])


def _server_routes() -> str:
    rows = ["| request | what it does | answers with |", "|---|---|---|"]
    kinds = {Kind.CALL: "the value", Kind.JOB: "a job", Kind.STREAM: "a stream of events"}
    for path, route in sorted(build_routes(load_all()).items()):
        operation = route.operation
        rows.append(f"| `{route.method} {path}` | {operation.summary} | {kinds[operation.kind]} |")
    words = (
        "`thrive server` answers these; it listens on 127.0.0.1:8000. Parameters are those of "
        "[the operation](operations.md), in the query of a GET and in the JSON body of a POST. "
        "Every call carries `Authorization: Bearer TOKEN`. `GET /api/openapi.json` describes all "
        "of it."
    )
    return "\n".join(["## The server\n", words, "", *rows, ""])


def _answering(reader: Any) -> str:
    return _first(reader).replace("Return the rows of", "Answer the rows of", 1)


def _first(function: Any) -> str:
    """Return the first line of a docstring."""
    return (inspect.getdoc(function) or "").partition("\n")[0]


PAGES = {
    "contract.md": contract_page,
    "settings.md": settings_page,
    "commands.md": commands_page,
    "errors.md": errors_page,
    "http.md": http_page,
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
