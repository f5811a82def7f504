"""What a step asks for: where it runs, its limits, its retries, what its result follows from."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Any

import msgspec

from thrive.domain.clock import SECOND, parse_duration
from thrive.domain.errors import UsageError

_UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


class Isolation(StrEnum):
    """Where a step runs."""

    FORK = "fork"
    """In a fork of a process that has imported the pipeline's file and computed nothing."""
    SPAWN = "spawn"
    """In a fresh interpreter."""
    INLINE = "inline"
    """In the process of the pipeline function."""
    RAY = "ray"
    """On a node of a Ray cluster; elsewhere there is no place for it."""


class StepOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The options of a step.

    Attributes:
        isolation: where it runs.
        timeout: seconds after which it is killed, None for no limit.
        memory: bytes it may add to what it starts with, None for no limit.
        cpu: how many processors it counts for when steps run side by side.
        gpu: how many graphics processors it needs; on a cluster it goes where they are.
        retries: how often it is tried again.
        retry_on: class names of the errors that are tried again; empty: all but plain mistakes.
        cache: whether its result is used again by later runs.
        files: files and glob patterns its result follows from.
        env: environment variables its result follows from.
        salt: anything else its result follows from; change it to forget old results.
    """

    isolation: Isolation = Isolation.FORK
    timeout: float | None = None
    memory: int | None = None
    cpu: float = 1.0
    gpu: float = 0.0
    retries: int = 0
    retry_on: tuple[str, ...] = ()
    cache: bool = True
    files: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    salt: str = ""


def read_options(given: dict[str, Any], known: StepOptions | None = None) -> StepOptions:
    """Return options from what a user wrote, over `known` ones.

    Raises:
        UsageError: an option is unknown or has a wrong value.
    """
    values = {name: _read(name, value) for name, value in given.items()}
    body = {**msgspec.structs.asdict(known or StepOptions()), **values}
    try:
        options = msgspec.convert(body, StepOptions, strict=False)
    except msgspec.ValidationError as error:
        raise UsageError(f"An option of a step is wrong: {error}.", "see @step") from None
    if options.cpu <= 0 or options.gpu < 0 or options.retries < 0:
        raise UsageError(
            f"cpu={options.cpu:g}, gpu={options.gpu:g}, retries={options.retries}: "
            "a step cannot have that.",
            "cpu above 0, gpu and retries 0 or more",
        )
    return options


def _read(name: str, value: Any) -> Any:
    if name not in StepOptions.__struct_fields__:
        import difflib  # for mistakes alone

        close = difflib.get_close_matches(name, StepOptions.__struct_fields__, n=1)
        hint = f"did you mean {close[0]}?" if close else _listed(StepOptions.__struct_fields__)
        raise UsageError(f"A step has no option {name!r}.", hint)
    if name == "isolation" and value not in set(Isolation):
        raise UsageError(f"{value!r} is no isolation.", f"write {_listed(list(Isolation))}")
    if name == "timeout":
        return parse_duration(value) / SECOND if value else None
    if name == "memory":
        return parse_size(value) if value else None
    if name in {"retry_on", "files", "env"}:
        return _names(value)
    return value


def _names(value: Any) -> tuple[str, ...]:
    several = value if isinstance(value, list | tuple) else [value] if value else []
    return tuple(each.__name__ if isinstance(each, type) else str(each) for each in several)


def _listed(names: Sequence[str]) -> str:
    return " or ".join(f'"{name}"' for name in names)


def parse_size(text: str) -> int:
    """Return a size like `2G` or `512M` in bytes.

    Raises:
        UsageError: it is no size.
    """
    clean = str(text).strip().upper().removesuffix("B").removesuffix("I")
    unit = _UNITS.get(clean[-1:], 1)
    try:
        size = float(clean[:-1] if clean[-1:] in _UNITS else clean) * unit
    except ValueError:
        size = 0.0
    if size < 1:
        raise UsageError(f"{text!r} is not a size.", 'write "512M" or "2G"')
    return int(size)
