"""Where a parsed TOML value departs from the schema: each departure with its path and its cure."""

import functools
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, cast

import msgspec
from msgspec import inspect

from thrive.contract.lines import path_of
from thrive.domain.errors import UsageError

_TYPE_NAMES: dict[type[inspect.Type], tuple[str, str]] = {
    inspect.StrType: ("a text in quotes", '"..."'),
    inspect.BoolType: ("true or false", "true"),
    inspect.IntType: ("a whole number", "1"),
    inspect.FloatType: ("a number", "0.5"),
    inspect.ListType: ("a list", '["..."]'),
    inspect.DictType: ("a table", "{ ... }"),
    inspect.StructType: ("a table", "{ ... }"),
}


EXACT = 2**53
"""Whole numbers below it are held exactly by every reader of JSON."""


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """One departure from the schema: the path it is at, what is wrong, what to write."""

    path: str
    what: str
    fix: str


def problems(value: object, schema: type) -> Iterator[Problem]:
    """Yield every departure of a parsed TOML `value` from the struct type `schema`."""
    yield from _judge(value, _described(schema), "")


@functools.cache
def _described(schema: type) -> inspect.Type:
    return inspect.type_info(schema)


def _judge(value: object, expected: inspect.Type, path: str) -> Iterator[Problem]:
    match expected:
        case inspect.Metadata():
            yield from _annotated(value, expected, path)
        case inspect.StructType():
            fields = {field.encode_name: field.type for field in expected.fields}
            yield from _struct(value, fields, path)
        case inspect.DictType():
            yield from _table(value, expected, path)
        case inspect.ListType():
            yield from _list(value, expected, path)
        case inspect.UnionType():
            yield from _union(value, expected, path)
        case inspect.EnumType():
            yield from _choice(value, [str(member.value) for member in expected.cls], path)
        case _:
            yield from _leaf(value, expected, path)


def _annotated(value: object, expected: inspect.Metadata, path: str) -> Iterator[Problem]:
    hints = expected.extra_json_schema or {}
    found = list(_judge(value, expected.type, path))
    if found and "examples" in hints and not isinstance(expected.type, inspect.ListType):
        noun = hints.get("description") or _type_name(expected.type)
        yield _mismatch(value, noun, msgspec.json.encode(hints["examples"][0]).decode(), path)
        return
    yield from found
    form = cast("Callable[[object], object] | None", (expected.extra or {}).get("form"))
    if form is not None and not found:
        yield from _formed(value, form, path)


def _formed(value: object, form: Callable[[object], object], path: str) -> Iterator[Problem]:
    try:
        form(value)
    except UsageError as error:
        yield Problem(path=path, what=f"{path}: {error.what}", fix=error.hint)


def _struct(value: object, fields: dict[str, inspect.Type], path: str) -> Iterator[Problem]:
    if not isinstance(value, dict):
        example = f"{{ {next(iter(fields))} = {_shown(value)} }}"
        yield _mismatch(value, "a table", example, path)
        return
    for key, inner in cast("dict[str, object]", value).items():
        inside = _inside(path, key)
        if key in fields:
            yield from _judge(inner, fields[key], inside)
        else:
            yield Problem(
                path=inside,
                what=f"{inside}: {key!r} is not a key of {path or 'the contract'}.",
                fix=_suggestion(key, fields),
            )


def _table(value: object, expected: inspect.DictType, path: str) -> Iterator[Problem]:
    if not isinstance(value, dict):
        yield _mismatch(value, "a table", f"{{ name = {_shown(value)} }}", path)
        return
    for key, inner in cast("dict[str, object]", value).items():
        inside = _inside(path, key)
        wrong_key = list(_judge(key, expected.key_type, inside))
        yield from wrong_key or _judge(inner, expected.value_type, inside)


def _list(value: object, expected: inspect.ListType, path: str) -> Iterator[Problem]:
    if not isinstance(value, list):
        yield _mismatch(value, "a list", f"[{_shown(value)}]", path)
        return
    for index, inner in enumerate(cast("list[object]", value)):
        yield from _judge(inner, expected.item_type, f"{path}[{index}]")


def _union(value: object, expected: inspect.UnionType, path: str) -> Iterator[Problem]:
    options = [option for option in expected.types if not isinstance(option, inspect.NoneType)]
    if len(options) == 1:
        yield from _judge(value, options[0], path)
    elif all(any(_judge(value, option, path)) for option in options):
        noun = " or ".join(_type_name(option) for option in options)
        yield _mismatch(value, noun, _TYPE_NAMES[type(options[0])][1], path)


def _choice(value: object, words: Iterable[str], path: str) -> Iterator[Problem]:
    known = list(words)
    if value not in known:
        what = f"{path}: {_shown(value)} is not one of {', '.join(known)}."
        yield Problem(path=path, what=what, fix=_suggestion(str(value), known))


def _leaf(value: object, expected: inspect.Type, path: str) -> Iterator[Problem]:
    finite = not isinstance(value, float) or math.isfinite(value)
    if not (finite and _fits(value, expected)):
        noun, example = _TYPE_NAMES[type(expected)]
        if isinstance(expected, inspect.StrType):
            example = _shown(str(value))
        yield _mismatch(value, noun, example, path)


def _fits(value: object, expected: inspect.Type) -> bool:
    if isinstance(expected, inspect.StrType | inspect.BoolType):
        return isinstance(value, str if isinstance(expected, inspect.StrType) else bool)
    number = cast("Any", expected)
    kinds = (int, float) if isinstance(expected, inspect.FloatType) else (int,)
    return (
        isinstance(value, kinds)
        and not isinstance(value, bool)
        and (number.gt is None or value > number.gt)
        and (number.ge is None or value >= number.ge)
        and (number.le is None or value <= number.le)
        and abs(value) < EXACT
    )


def _mismatch(value: object, noun: str, example: str, path: str) -> Problem:
    key = path.rpartition(".")[2]
    if isinstance(value, int | float) and not abs(value) < EXACT:
        noun = f"{noun}, finite and below {EXACT:.0e}"
    what = f"{path}: expected {noun}, found {_shown(value)}."
    return Problem(path=path, what=what, fix=f"write e.g. {key} = {example}")


def _type_name(expected: inspect.Type) -> str:
    return _TYPE_NAMES[type(expected)][0]


def _inside(path: str, key: str) -> str:
    return f"{path}.{path_of(key)}" if path else path_of(key)


def _suggestion(word: str, known: Iterable[str]) -> str:
    import difflib

    choices = list(known)
    near = difflib.get_close_matches(word, choices, n=1, cutoff=0.6)
    return f"did you mean {near[0]!r}?" if near else f"write one of: {', '.join(choices)}"


def _shown(value: object) -> str:
    """Return the value as TOML shows it, cut to a length a message can hold."""
    try:
        text = msgspec.json.encode(value).decode()
    except RecursionError:
        text = "a deeply nested value"
    if isinstance(value, float) and not math.isfinite(value):
        text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
