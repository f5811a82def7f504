"""Paths as they are typed: relative to the folder a command is typed in, as with any tool."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from thrive.operations import Operation, PathText, is_path


def from_here(
    operation: Operation, arguments: Mapping[str, Any], here: Path, folder: Path
) -> dict[str, Any]:
    """Return arguments whose paths mean the same when they are read in the project's folder.

    Args:
        operation: what is called.
        arguments: those that were typed, by name.
        here: the folder they were typed in.
        folder: the project's.
    """
    given = dict(arguments)
    for parameter in operation.parameters if here != folder else ():
        value = given.get(parameter.name)
        if value is None or value == parameter.default:
            continue
        if is_path(parameter):
            given[parameter.name] = here / Path(value).expanduser()
        elif parameter.annotation == PathText:
            given[parameter.name] = _text_from_here(value, here, folder)
    return given


def _text_from_here(text: str, here: Path, folder: Path) -> str:
    """Return a text that names something here as one of the project's folder, if it does."""
    file, colon, _ = text.partition(":")
    nowhere = not colon and not _is_in(folder, file)
    if not file or Path(file).is_absolute() or not (_is_in(here, file) or nowhere):
        return text
    place = Path(os.path.normpath(here / file))
    named = place.relative_to(folder) if place.is_relative_to(folder) else place
    return f"{named}{text[len(file) :]}"


def _is_in(folder: Path, file: str) -> bool:
    """Tell whether a relative path, also a pattern or without `.py`, is of something there."""
    if "*" in file:
        return ".." not in file and next(folder.glob(file), None) is not None
    return (folder / file).exists() or (folder / f"{file}.py").is_file()
