"""The words of a command line: which command, and the options that every command takes."""

from collections import deque
from pathlib import Path
from typing import NamedTuple

from thrive.cli.table import ALIASES, COMMANDS
from thrive.domain.errors import UsageError


class Line(NamedTuple):
    """A command line taken apart.

    Attributes:
        command: the name of an operation, e.g. `data add`; a noun alone, or "" for neither.
        rest: the words after the command's name, without the options below.
        as_json: print JSON.
        home: the folder given by `--home`, None for the current one.
        server: the URL given by `--home` instead of a folder, "" for none.
        token_file: the file that holds the token for that server, None for none.
        help: show the help of the command instead of running it.
    """

    command: str
    rest: list[str]
    as_json: bool
    home: Path | None
    server: str
    token_file: Path | None
    help: bool


def read_line(words: list[str]) -> Line:
    """Take a command line apart.

    Raises:
        UsageError: there is no such command, or `--home` or `--token-file` is given wrongly.
    """
    plain, literal = _split(words)
    home, server, token_file = None, "", None
    kept: list[str] = []
    flags = {"--json": False, "--help": False}
    upcoming = deque(plain)
    while upcoming:
        word = upcoming.popleft()
        option, equals, value = word.partition("=")
        if option in {"--home", "--token-file"} and not equals:
            value = upcoming.popleft() if upcoming else ""
        if option == "--token-file":
            token_file = Path(value) if value else None
        elif option == "--home":
            if value.startswith(("http://", "https://")):
                server = value
            else:
                home = _folder(word, value)
        elif word == "--json" and upcoming and _is_file(kept, upcoming[0]):
            kept += [word, upcoming.popleft()]
        elif word in {"--json", "--help", "-h"}:
            flags["--help" if word == "-h" else word] = True
        else:
            kept.append(word)
    if token_file is not None and not server:
        raise UsageError("--token-file is for a server.", "--home https://... --token-file FILE")
    command, rest = _command(kept, asks_help=flags["--help"])
    return Line(
        command,
        [*rest, *literal],
        as_json=flags["--json"],
        home=home,
        server=server,
        token_file=token_file,
        help=flags["--help"],
    )


def _is_file(before: list[str], word: str) -> bool:
    """Tell whether the word after `--json` is a file that the command of `before` writes."""
    command = COMMANDS.get(" ".join(before[:2]))
    return word.endswith(".json") and command is not None and "--json" in command.options


def _split(words: list[str]) -> tuple[list[str], list[str]]:
    """Return the words before `--`, and `--` with all after it."""
    at = words.index("--") if "--" in words else len(words)
    return words[:at], words[at:]


def _folder(option: str, value: str) -> Path:
    if not value:
        raise UsageError(f"{option} needs a folder.", "thrive --home FOLDER status")
    folder = Path(value)
    if not folder.is_dir():
        raise UsageError(f"{value!r} is not a folder.", "give a project's folder, or https://...")
    return folder.resolve()


def nouns() -> list[str]:
    """Return the nouns that have verbs, sorted."""
    return sorted({name.partition(" ")[0] for name in COMMANDS if " " in name})


def _command(words: list[str], *, asks_help: bool) -> tuple[str, list[str]]:
    if not words:
        return "", []
    two = " ".join(words[:2])
    two = ALIASES.get(two, two)
    if two in COMMANDS:
        return two, words[2:]
    if words[0] in COMMANDS:
        return words[0], words[1:]
    if words[0] in nouns() and (len(words) == 1 or asks_help):
        return words[0], words[1:]
    raise _unknown(words)


def _unknown(words: list[str]) -> UsageError:
    import difflib

    if words[0] in nouns():
        verbs = [name.partition(" ")[2] for name in COMMANDS if name.startswith(f"{words[0]} ")]
        near = difflib.get_close_matches(words[1], verbs, n=1)
        hint = f"thrive {words[0]} {near[0]}" if near else f"one of: {', '.join(sorted(verbs))}"
        return UsageError(f"`thrive {words[0]}` has no {words[1]!r}.", hint)
    choices = sorted({*nouns(), *COMMANDS})
    near = difflib.get_close_matches(" ".join(words[:2]), choices, n=1)
    near = near or difflib.get_close_matches(words[0], choices, n=1)
    return UsageError(
        f"There is no command {words[0]!r}.", f"thrive {near[0]}" if near else "thrive --help"
    )
