"""Write one answer into the text of a contract, keeping its comments and its order."""

import tomllib
from typing import Any

from thrive.contract.lines import Place, key_places, path_of
from thrive.contract.spelling import TomlValue, toml_value
from thrive.domain.errors import ContractError, UsageError


def with_answer(text: str, keys: tuple[str, ...], value: TomlValue) -> str:
    """Return `text` with the answer at the nested `keys` set to `value`.

    A written answer is replaced where it stands; a new one goes to the end of its table, and a
    table that is missing is added at the end of the file.

    Args:
        text: the contract, valid TOML.
        keys: e.g. `("model", "flight-delay", "owner")`.
        value: what to write.

    Raises:
        ContractError: `text` is no TOML.
        UsageError: the answer cannot be written there without changing another one.
    """
    try:
        wanted = tomllib.loads(text)
    except ValueError as error:
        raise ContractError(f"The contract is not TOML: {error}.") from None
    newline = "\r\n" if "\r\n" in text else "\n"
    _set(wanted, keys, tomllib.loads(f"value = {toml_value(value)}")["value"])
    written = _written(text.replace("\r\n", "\n"), keys, toml_value(value))
    if not _says(written, wanted):
        raise _unwritable(keys)
    return written.replace("\n", newline)


def _says(written: str, wanted: dict[str, Any]) -> bool:
    try:
        return tomllib.loads(written) == wanted
    except tomllib.TOMLDecodeError:
        return False


def _unwritable(keys: tuple[str, ...]) -> UsageError:
    return UsageError(f"{path_of(*keys)} cannot be set for you.", "edit thrive.toml by hand")


def _set(tree: dict[str, Any], keys: tuple[str, ...], value: object) -> None:
    inner: Any = tree
    for key in keys[:-1]:
        inner = inner.setdefault(key, {})
        if not isinstance(inner, dict):
            raise _unwritable(keys)
    inner[keys[-1]] = value


def _written(text: str, keys: tuple[str, ...], shown: str) -> str:
    places = key_places(text)
    there = places.get(path_of(*keys))
    if there is not None and there.kind == "table":
        raise _unwritable(keys)
    if there is not None:
        return text[: there.start] + shown + text[there.end :]
    parent = path_of(*keys[:-1])
    table = places.get(parent)
    pair = f"{path_of(keys[-1])} = {shown}"
    if table is not None and table.kind == "inline":
        return _in_inline_table(text, table, pair)
    if table is not None and text.startswith("[", table.start):
        return _after(text, _end_of_table(places, parent), pair)
    return f"{text.rstrip()}\n\n[{parent}]\n{pair}\n" if parent else f"{pair}\n{text}"


def _in_inline_table(text: str, table: Place, pair: str) -> str:
    inside = text[table.start + 1 : table.end - 1].rstrip()
    filled = f"{{{inside}, {pair} }}" if inside.strip() else f"{{ {pair} }}"
    return text[: table.start] + filled + text[table.end :]


def _end_of_table(places: dict[str, Place], table: str) -> int:
    """Return the offset after the last value under a table's header, or after the header."""
    start = places[table].start
    headers = [place.start for place in places.values() if place.kind == "table"]
    following = min((other for other in headers if other > start), default=None)
    return max(
        place.end
        for place in places.values()
        if place.start >= start and (following is None or place.start < following)
    )


def _after(text: str, offset: int, pair: str) -> str:
    line_end = text.find("\n", offset)
    if line_end < 0:
        return f"{text}\n{pair}\n"
    return f"{text[: line_end + 1]}{pair}\n{text[line_end + 1 :]}"
