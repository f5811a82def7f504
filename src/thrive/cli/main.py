"""The entry point of `thrive`: quick answers first, then the one command that was typed."""

import gc
import os
import sys
from importlib import import_module
from types import ModuleType

from thrive.version import __version__

INTERRUPTED = 130
_RARELY = (200_000, 20, 20)
"""Looking for cycles among what was just imported took a tenth of a short command's time."""


def main() -> None:
    """Run the command line of this process and leave with its exit code."""
    code = run(sys.argv[1:])
    if code == INTERRUPTED:
        sys.stdout.flush()
        os._exit(code)  # threads that still read or import are not waited for
    sys.exit(code)


def run(words: list[str]) -> int:
    """Run one command line and return its exit code; no traceback reaches the user.

    Args:
        words: the words after `thrive`.
    """
    if words[:1] in (["--version"], ["-V"]):
        sys.stdout.write(f"thrive {__version__}\n")
        return 0
    gc.set_threshold(*_RARELY)
    try:
        code = _answer(words)
        sys.stdout.flush()
    except KeyboardInterrupt:
        sys.stderr.write("\ninterrupted; what was acknowledged is kept\n")
        return INTERRUPTED
    except BrokenPipeError:
        # the reader went away (`| head`): nothing is wrong, and closing must not complain again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:  # noqa: BLE001 - the last door: every error becomes one message
        return _part("failure").report(error, as_json="--json" in words)
    return code


def _answer(words: list[str]) -> int:
    if words[:1] in (["--completion"], ["--complete"]):
        return _part("completion").answer(words)
    interrupts = _part("interrupts")
    interrupts.hear_interrupts()
    try:
        return _command(words)
    finally:
        interrupts.end_at_once()


def _command(words: list[str]) -> int:
    line = _part("words").read_line(words)
    if line.help or not line.command or line.command not in _part("table").COMMANDS:
        return _part("manual").show(line)
    if line.command == "serve" and not {"-h", "--help"} & set(line.rest):
        with import_module("thrive.serving.prestart").begun():  # it imports while this one does
            return _part("execute").execute(line)
    return _part("execute").execute(line)


def _part(name: str) -> ModuleType:
    """Import a part of the command line when it is needed: this is what start-up is made of."""
    return import_module(f"thrive.cli.{name}")
