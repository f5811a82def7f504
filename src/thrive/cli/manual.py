"""Help, answered from a generated table: nothing of a command is imported to explain it."""

import sys
from importlib import import_module
from pathlib import Path

from thrive.cli.table import COMMANDS
from thrive.cli.words import Line, nouns

FIRST_HOUR = ("init", "run", "serve", "status", "ui")
_GLOBAL = """\
Every command takes:
  --json             print JSON on standard output, all else on standard error
  --home FOLDER      the project's folder (default: this one, or the nearest above), or the URL
                     of its server, e.g. http://127.0.0.1:8000
  --token-file FILE  the file with the token for that server (default: THRIVE_TOKEN)
  --help             explain the command
"""


def show(line: Line) -> int:
    """Print the help of a command, of a noun, or of all."""
    sys.stdout.write(help_of(line.command))
    target = next((word for word in line.rest if not word.startswith("-")), "")
    if line.command == "run" and target:
        usage = import_module("thrive.cli.usage").usage_of(target, line.home or Path.cwd())
        sys.stdout.write(f"\n{usage}")
    return 0


def help_of(command: str) -> str:
    """Return the help of a command, of a noun, or with "" the overview."""
    if command in COMMANDS:
        return f"{COMMANDS[command].manual}\n{_GLOBAL}"
    return _noun(command) if command else _overview()


def _noun(noun: str) -> str:
    verbs = {
        name.partition(" ")[2]: entry.summary
        for name, entry in COMMANDS.items()
        if name.startswith(f"{noun} ")
    }
    return f"usage: thrive {noun} VERB\n\n{_listed(verbs)}\n{_GLOBAL}"


def _overview() -> str:
    short = {name: entry.summary for name, entry in COMMANDS.items() if " " not in name}
    first = {name: short.pop(name) for name in FIRST_HOUR if name in short}
    parts = [
        "Thrive brings machine-learning models into production and keeps them healthy there.\n",
        "usage: thrive COMMAND [ARGUMENTS] [OPTIONS]\n",
        f"The first hour:\n{_listed(first)}",
        f"Processes and keepers:\n{_listed(dict(sorted(short.items())))}",
    ]
    for noun in nouns():
        verbs = {
            name: entry.summary for name, entry in COMMANDS.items() if name.startswith(f"{noun} ")
        }
        parts.append(f"{noun}:\n{_listed(verbs)}")
    return "\n".join([*parts, _GLOBAL])


def _listed(entries: dict[str, str]) -> str:
    width = max((len(name) for name in entries), default=0)
    return "".join(f"  {name:<{width}}  {summary}\n" for name, summary in entries.items())
