"""A command line in this process: `cli("data", "list")` gives code, output and errors."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from thrive.cli.main import run


class Answer(NamedTuple):
    """What a command said."""

    code: int
    out: str
    err: str


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> Callable[..., Answer]:
    """Run commands in an empty folder."""
    monkeypatch.chdir(tmp_path)
    for name in ("FORCE_COLOR", "NO_COLOR", "THRIVE_DEBUG"):
        monkeypatch.delenv(name, raising=False)

    def answer(*words: str) -> Answer:
        code = run(list(words))
        captured = capsys.readouterr()
        return Answer(code, captured.out, captured.err)

    return answer
