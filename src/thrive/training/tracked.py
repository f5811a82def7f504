"""The program of a run of a script or a notebook: a fresh interpreter executes it as it is.

What it logs, registers and loads by name is the run's; what it reads and writes beside is seen by
the audit hooks and told at its end, with the contents of the project's files.
"""

import os
import runpy
import sys
from pathlib import Path
from typing import Any

import msgspec

from thrive.domain.errors import NotRight, UsageError
from thrive.engines import channel
from thrive.engines.channel import Channel
from thrive.engines.environment import record_environment, thread_pools
from thrive.engines.failures import Failure, describe
from thrive.training.keys import file_digest
from thrive.training.seeds import sow
from thrive.training.watch import Watch, watching

NOTEBOOK = "notebook"
"""The role of what executes a notebook."""
ARGUMENTS = "arguments"
"""The key of a run's environment that holds the words a script was given."""


class _Prepared:
    file: Path
    arguments: list[str]


def prepare(arguments: dict[str, Any]) -> dict[str, Any]:
    """Look at the file without executing anything of it.

    Args:
        arguments: `file`, `parameters` (as typed), `values` and `options` (must be empty), `seed`.

    Returns:
        What `thrive.training.driver.prepare` returns.

    Raises:
        UsageError: options are set that only a pipeline has.
        SyntaxError: it is no Python.
    """
    file = Path(arguments["file"])
    if arguments["values"] or arguments["options"]:
        raise UsageError(
            f"{file.name} declares no pipeline, so it takes no --config and no --set.",
            "give it words of its own: thrive run FILE --name value",
        )
    if file.suffix == ".py":
        compile(file.read_bytes(), str(file), "exec", dont_inherit=True)
    _Prepared.file, _Prepared.arguments = file, arguments["parameters"]
    return {
        "codes": {},
        "pipeline": file.stem,
        "params": named_words(_Prepared.arguments),
        "seed": arguments["seed"],
        "environment": {**record_environment(), ARGUMENTS: _Prepared.arguments},
        "modules": [],
    }


def named_words(words: list[str]) -> dict[str, Any]:
    """Return the options among words as parameters, to compare runs by: `--rate 0.5` -> rate: 0.5.

    A flag is True; words without a name are numbered.
    """
    found: dict[str, Any] = {}
    rest = list(words)
    while rest:
        word = rest.pop(0)
        name, equals, value = word.lstrip("-").partition("=")
        if not word.startswith("-") and not equals:
            found[f"argument {len(found) + 1}"] = word
        elif equals:
            found[name] = read_value(value)
        elif rest and not rest[0].startswith("--"):
            found[name] = read_value(rest.pop(0))
        else:
            found[name] = True
    return found


def read_value(text: str) -> Any:
    """Return a number, a truth or a text."""
    try:
        value = msgspec.json.decode(text)
    except msgspec.DecodeError:
        return {"True": True, "False": False, "None": None}.get(text, text)
    return value if isinstance(value, int | float | bool | None) else text


def perform(work: dict[str, Any]) -> None:
    """Execute the file to its end; say what it touched, and how it ended."""
    link = channel.current()
    assert link is not None
    sow(work["seed"])
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # pyright: ignore[reportAttributeAccessIssue] - files
    watch = Watch(_own_folders(link), [str(_Prepared.file)])
    try:
        with watching(watch):
            _execute(link, _Prepared.file, _Prepared.arguments)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - user code may raise anything
        _tell_touched(link, watch)
        known: Failure | None = getattr(error, "thrive_failure", None)
        failure = known or describe(error)
        link.send("failed", failure=msgspec.to_builtins(failure), exception=b"")
    else:
        _tell_touched(link, watch)
        link.send("finished")


def _execute(link: Channel, file: Path, words: list[str]) -> None:
    sys.argv = [str(file), *words]
    sys.path.insert(0, str(file.parent))
    if link.facts["role"] == NOTEBOOK:
        from thrive.training.notebook import execute

        execute(link, file, words)
        return
    try:
        runpy.run_path(str(file), run_name="__main__")
    except SystemExit as end:
        if end.code:
            raise NotRight(f"{file.name} ended by sys.exit({end.code!r}).", "") from None


def _tell_touched(link: Channel, watch: Watch) -> None:
    """Tell which files were read and written, what else was touched, and the threads in use."""
    root = Path(link.facts["folder"])
    own = tuple(f"{folder}{os.sep}" for folder in _own_folders(link))
    written = [Path(path) for path in watch.written if not path.startswith(own)]
    files = [found.removeprefix("file ") for found in watch.found if found.startswith("file ")]
    read = [Path(os.path.realpath(root / file)) for file in files]
    link.send(
        "touched",
        read=_digests(root, read),
        written=_digests(root, written),
        other=[found for found in watch.found if not _is_inside(root, found)],
        threads=thread_pools(),
    )


def _own_folders(link: Channel) -> list[str]:
    """Return the folders that the run itself uses; a repeated run has its project in the home."""
    facts = link.facts
    home = [] if facts["folder"].startswith(f"{facts['home']}{os.sep}") else [facts["home"]]
    return [facts["blobs"], facts["scratch"], *home]


def _is_inside(root: Path, found: str) -> bool:
    kind, _, name = found.partition(" ")
    return kind == "file" and (root / name).resolve().is_relative_to(root.resolve())


def _digests(root: Path, paths: list[Path]) -> dict[str, str]:
    """Return the contents of those files that lie in the project, by name relative to it."""
    base = root.resolve()
    found: dict[str, str] = {}
    for path in paths:
        if path.is_relative_to(base) and path.is_file():
            found[str(path.relative_to(base))] = file_digest(path)
    return found
