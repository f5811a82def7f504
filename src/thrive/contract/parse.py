"""Read `thrive.toml`: its terms with every default filled in, the line of each key, its digest."""

import re
import tomllib
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec

from thrive.contract.conform import Problem, problems
from thrive.contract.digest import digest_of
from thrive.contract.lines import key_lines
from thrive.contract.schema import (
    ACTION_DEFAULTS,
    APPROVAL_DEFAULTS,
    CONTRACT_FORMAT,
    ActionTerms,
    Contract,
)
from thrive.domain.errors import ContractError, InfrastructureError, NotFound

CONTRACT_FILE = "thrive.toml"

_TOML_PLACE = re.compile(r"(?P<what>.*?) \(at (?:line (\d+), column (\d+)|end of document)\)")


class ParsedContract(msgspec.Struct, frozen=True, kw_only=True):
    """A contract as it was read.

    Attributes:
        contract: the terms, with every default filled in.
        lines: the line (from 1) of each path that was written, e.g. `model.delay.owner`.
        digest: the name of the terms, whatever their spelling.
        filename: what messages call the file.
        text: what was read.
    """

    contract: Contract
    lines: dict[str, int]
    digest: str
    filename: str = CONTRACT_FILE
    text: str = ""


def load(folder: Path) -> ParsedContract:
    """Read the contract of a project folder.

    Raises:
        NotFound: there is no `thrive.toml` in the folder.
        ContractError: it cannot be read; the message names the line.
        InfrastructureError: the file is there and the machine does not give it.
    """
    path = folder / CONTRACT_FILE
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise NotFound(
            f"There is no {CONTRACT_FILE} in {folder}.",
            "write `thrive init`, or change to a project's folder",
        ) from None
    except OSError as error:
        reason = error.strerror or str(error)
        raise InfrastructureError(f"{path} cannot be read: {reason}.") from error
    return parse(_decoded(content), CONTRACT_FILE)


def parse(text: str, filename: str = CONTRACT_FILE) -> ParsedContract:
    """Parse the text of a contract.

    Raises:
        ContractError: the text is no TOML, or a key, a type or a spelling is wrong; the message
            says `file:line`, the value, what to write, and how many more problems there are.
    """
    text = text.removeprefix("\ufeff")
    raw, lines = _read(text, filename)
    _require_format(raw, lines, filename)
    found = sorted(problems(raw, Contract), key=lambda problem: lines.get(problem.path, 0))
    if found:
        raise _refusal(found, lines, filename)
    contract = msgspec.convert(_with_defaults(raw), Contract)
    return ParsedContract(
        contract=contract, lines=lines, digest=digest_of(contract), filename=filename, text=text
    )


@lru_cache(maxsize=64)
def parse_stored(text: str) -> ParsedContract:
    """Parse the text of a contract that was stored: the same one again costs nothing."""
    return parse(text)


def _decoded(content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ContractError(
            f"{CONTRACT_FILE}:{line}: byte {content[error.start]:#04x} is not UTF-8.",
            "save the file as UTF-8",
        ) from None


def _read(text: str, filename: str) -> tuple[dict[str, Any], dict[str, int]]:
    try:
        return tomllib.loads(text), key_lines(text)
    except RecursionError:
        raise ContractError(f"{filename}:1: the values are nested too deeply.") from None
    except ValueError as error:  # TOMLDecodeError, and what int() says of endless numbers
        raise _not_toml(text, filename, str(error)) from None


def _not_toml(text: str, filename: str, message: str) -> ContractError:
    rows = text.split("\n")
    found = _TOML_PLACE.fullmatch(message)
    what = found["what"] if found else message
    line, column = len(rows), len(rows[-1]) + 1
    if found and found[2]:
        line, column = int(found[2]), int(found[3])
    row = rows[line - 1].strip()
    shown = row if len(row) <= 80 else f"{row[:77]}..."
    return ContractError(
        f"{filename}:{line}:{column}: not TOML: {what[:1].lower()}{what[1:120]}: {shown}",
        'write key = "text", key = 1, key = true or key = ["a", "b"]; tables as [table]',
    )


def _require_format(raw: dict[str, Any], lines: dict[str, int], filename: str) -> None:
    number: object = raw.get("contract", CONTRACT_FORMAT)
    if type(number) is int and number == CONTRACT_FORMAT:
        return
    newer = type(number) is int and number > CONTRACT_FORMAT
    cure = "install a newer thrive" if newer else f"write contract = {CONTRACT_FORMAT}"
    raise ContractError(
        f"{filename}:{lines.get('contract', 1)}: contract = {number!r} is a format this Thrive "
        f"does not read; it reads {CONTRACT_FORMAT}.",
        cure,
    )


def _refusal(found: list[Problem], lines: dict[str, int], filename: str) -> ContractError:
    first, more = found[0], len(found) - 1
    rest = f" ({more} more after it)" if more else ""
    line = lines.get(first.path, 1)
    return ContractError(f"{filename}:{line}: {first.what}{rest}", first.fix)


def _with_defaults(raw: dict[str, Any]) -> dict[str, Any]:
    """Return `raw` with the defaults that depend on other answers."""
    models = {name: _model_defaults(terms) for name, terms in raw.get("model", {}).items()}
    return {**raw, "model": models}


def _model_defaults(terms: dict[str, Any]) -> dict[str, Any]:
    said, owner = terms.get("actions", {}), terms.get("owner", "")
    actions = {
        cause.value: _action(default, owner, said.get(cause.value, {}))
        for cause, default in ACTION_DEFAULTS.items()
    }
    release = terms.get("release", {})
    guard = {"p99_ms": terms.get("sla", {}).get("p99_ms"), **release.get("guard", {})}
    return {
        **terms,
        "actions": actions,
        "approvals": {**APPROVAL_DEFAULTS, **terms.get("approvals", {})},
        "release": {**release, "guard": guard},
    }


def _action(default: ActionTerms, owner: str, said: dict[str, Any]) -> dict[str, Any]:
    filled = {**msgspec.structs.asdict(default), "decide": owner}
    if "do" in said:
        filled["default"] = None  # our answer belongs to our action, not to theirs
    return {**filled, **said}
