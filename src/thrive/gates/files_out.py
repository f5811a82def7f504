"""The files a gate run writes beside its answer: for people, for a CI, for the deploy job."""

import os
from collections.abc import Callable
from pathlib import Path

import msgspec

from thrive.domain.errors import UsageError
from thrive.gates.formats.junit import junit
from thrive.gates.formats.markdown import markdown
from thrive.gates.formats.openmetrics import openmetrics
from thrive.gates.formats.sarif import sarif
from thrive.gates.gate_file import GateFile, write_gate_file


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which files to write, and where; relative paths start at `folder`."""

    folder: Path
    json: Path | None = None
    junit: Path | None = None
    markdown: Path | None = None
    metrics: Path | None = None
    sarif: Path | None = None

    @property
    def paths(self) -> dict[str, Path]:
        """The files that are wanted, whole paths by option."""
        said = msgspec.structs.asdict(self)
        return {
            name: self.folder / path
            for name, path in said.items()
            if path is not None and name != "folder"
        }

    @property
    def any(self) -> bool:
        """Whether any file is wanted."""
        return bool(self.paths)

    def refuse_unwritable(self) -> None:
        """Make the folders of the files, before anything is judged for them.

        Raises:
            UsageError: a file cannot be written there.
        """
        for option, path in self.paths.items():
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                why = "it is a folder" if path.is_dir() else ""
            except OSError as error:
                why = str(error.strerror)
            if why or not os.access(path if path.exists() else path.parent, os.W_OK):
                raise UsageError(
                    f"--{option} {str(path)!r} cannot be written: {why or 'no permission'}.",
                    f"thrive gates run --{option} FILE",
                )


def write_outputs(found: GateFile, wanted: Wanted) -> None:
    """Write the files that are wanted; a job summary keeps what other steps wrote into it."""
    texts: list[tuple[Path | None, Callable[[GateFile], str]]] = [
        (wanted.junit, junit),
        (wanted.metrics, openmetrics),
        (wanted.sarif, sarif),
    ]
    if wanted.markdown is not None and not _is_summary(wanted.folder / wanted.markdown):
        texts.append((wanted.markdown, markdown))
    for path, text in texts:
        if path is not None:
            (wanted.folder / path).write_text(text(found), encoding="utf-8")
    if wanted.markdown is not None and _is_summary(wanted.folder / wanted.markdown):
        with (wanted.folder / wanted.markdown).open("a", encoding="utf-8") as file:
            file.write(markdown(found))
    if wanted.json is not None:
        write_gate_file(wanted.folder / wanted.json, found)


def _is_summary(path: Path) -> bool:
    return str(path) == os.environ.get("GITHUB_STEP_SUMMARY")
