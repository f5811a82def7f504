"""What a user sets for one run beside the command line's parameters: a file, options of steps."""

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from thrive.domain.errors import NotFound, UsageError

STEPS = "steps"
"""The table of a config file that holds options of steps, by step."""


class RunConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What is set for one run.

    Attributes:
        values: parameters of the pipeline as plain values; what was typed comes before them.
        options: step -> option -> value, over what `@step` says.
    """

    values: dict[str, Any] = {}
    options: dict[str, dict[str, Any]] = {}


def read_config(config: Path | None, assignments: Sequence[str]) -> RunConfig:
    """Return what a config file and assignments such as `fit.cpu=4` say; the latter win.

    Args:
        config: a TOML or JSON file (YAML where PyYAML is installed): parameters by name, and a
            table `steps` with options of steps, e.g. `[steps.fit]`.
        assignments: `STEP.OPTION=VALUE`.

    Raises:
        NotFound: there is no such file.
        UsageError: a file or an assignment has another form.
    """
    said = _read(config) if config is not None else {}
    options = said.pop(STEPS, {})
    if not isinstance(options, dict) or not all(isinstance(o, dict) for o in options.values()):
        raise UsageError(f"{config}: `{STEPS}` is no table of tables.", "write [steps.fit]")
    for text in assignments:
        name, equals, value = text.partition("=")
        step, dot, option = name.partition(".")
        if not (equals and dot and step and option):
            raise UsageError(f"{text!r} sets no option of a step.", "write --set fit.cpu=4")
        options.setdefault(step, {})[option] = value
    return RunConfig(values=said, options=options)


def _read(file: Path) -> dict[str, Any]:
    try:
        text = file.read_text(encoding="utf-8")
    except OSError:
        raise NotFound(f"There is no file {str(file)!r}.", "give --config a file") from None
    try:
        said = _parsed(file, text)
    except (ValueError, msgspec.DecodeError) as error:
        raise UsageError(f"{file} cannot be read: {error}", "write TOML or JSON") from None
    if not isinstance(said, dict):
        raise UsageError(f"{file} holds no table.", 'write lines such as "rate = 0.5"')
    return said


def _parsed(file: Path, text: str) -> Any:
    if file.suffix in {".yaml", ".yml"}:
        try:
            return msgspec.yaml.decode(text)
        except ImportError:
            raise UsageError(f"{file}: YAML needs PyYAML.", "pip install pyyaml") from None
    return msgspec.json.decode(text) if file.suffix == ".json" else tomllib.loads(text)
