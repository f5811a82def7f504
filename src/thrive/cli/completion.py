"""Shell completion, answered from the table of commands alone."""

import sys

from thrive.cli.table import COMMANDS
from thrive.cli.words import nouns
from thrive.domain.errors import UsageError

GLOBAL_OPTIONS = ("--json", "--home", "--token-file", "--help")
_SCRIPTS = {
    "bash": """\
_thrive() {
    local IFS=$'\\n'
    COMPREPLY=($(thrive --complete "${COMP_WORDS[@]:1:COMP_CWORD}"))
}
complete -o default -F _thrive thrive
""",
    "zsh": """\
#compdef thrive
_thrive() {
    local -a found
    found=("${(@f)$(thrive --complete "${(@)words[2,CURRENT]}")}")
    compadd -a found || _files
}
compdef _thrive thrive
""",
    "fish": """\
complete -c thrive -f -a '(thrive --complete (commandline -opc)[2..] (commandline -ct))'
""",
}


def answer(words: list[str]) -> int:
    """Answer `--completion SHELL` with its script, `--complete WORDS...` with the candidates.

    Raises:
        UsageError: the shell is unknown.
    """
    if words[0] == "--complete":
        sys.stdout.write("".join(f"{word}\n" for word in candidates(words[1:])))
        return 0
    shell = words[1] if len(words) > 1 else ""
    if shell not in _SCRIPTS:
        raise UsageError(f"There is no completion for {shell!r}.", "thrive --completion bash")
    sys.stdout.write(_SCRIPTS[shell])
    return 0


def candidates(words: list[str]) -> list[str]:
    """Return what may stand in the place of the last of `words`, sorted."""
    typed, begun = words[:-1], words[-1] if words else ""
    choices = _choices([word for word in typed if not word.startswith("-")], begun)
    return sorted(choice for choice in choices if choice.startswith(begun))


def _choices(typed: list[str], begun: str) -> list[str]:
    command = " ".join(typed[:2]) if " ".join(typed[:2]) in COMMANDS else "".join(typed[:1])
    if begun.startswith("-"):
        known = COMMANDS[command].options if command in COMMANDS else ()
        return [*known, *GLOBAL_OPTIONS]
    if not typed:
        return [*nouns(), *(name for name in COMMANDS if " " not in name)]
    if len(typed) == 1:
        return [name.partition(" ")[2] for name in COMMANDS if name.startswith(f"{typed[0]} ")]
    return []
