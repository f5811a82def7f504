"""Write values as TOML: the few forms a contract holds."""

import math
from collections.abc import Mapping, Sequence

from thrive.contract.lines import path_of, quoted

TomlValue = str | bool | int | float | Sequence["TomlValue"] | Mapping[str, "TomlValue"]


def toml_value(value: TomlValue) -> str:
    r"""Return a value as TOML on one line.

    >>> toml_value({"column": "late", "of": [1, True]})
    '{ column = "late", of = [1, true] }'
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, float):
        return _float(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, Mapping):
        pairs = [f"{path_of(key)} = {toml_value(inner)}" for key, inner in value.items()]
        return f"{{ {', '.join(pairs)} }}" if pairs else "{}"
    return f"[{', '.join(toml_value(inner) for inner in value)}]"


def _float(value: float) -> str:
    if not math.isfinite(value):
        return str(value)
    text = repr(value)
    return text if any(mark in text for mark in ".e") else f"{text}.0"
