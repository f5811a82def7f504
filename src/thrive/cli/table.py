"""Every command, read from a generated file: nothing of a command is imported to know of it."""

import json
from pathlib import Path
from typing import NamedTuple

TABLE = Path(__file__).parents[1] / "flows" / "commands.json"
"""Written by `scripts/generate_command_table.py` from the catalogue of operations."""


class Command(NamedTuple):
    """One command: the module that declares it, its kind, its options, its help, its other name."""

    module: str
    kind: str
    summary: str
    options: list[str]
    manual: str
    alias: str = ""


COMMANDS = {name: Command(**entry) for name, entry in json.loads(TABLE.read_text()).items()}
ALIASES = {entry.alias: name for name, entry in COMMANDS.items() if entry.alias}
"""Other names of commands; each command is listed under its own alone."""
