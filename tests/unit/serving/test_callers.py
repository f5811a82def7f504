"""Tokens of callers: where others reach the server, who shows none is not answered."""

import pytest

from thrive.domain.errors import NotFound, Refused, UsageError
from thrive.serving.agent import Agent, AgentOptions
from thrive.serving.callers import may_ask, read_callers
from thrive.serving.operations import serving_options

TOKEN = "x" * 24


def test_one_of_the_tokens_opens_and_nothing_else(tmp_path):
    file = tmp_path / "callers"
    file.write_text(f"# the board\n{TOKEN}\n\n{'y' * 30}\n")
    callers = read_callers(file)
    assert len(callers) == 2
    assert TOKEN not in "".join(callers)
    assert may_ask("/predict/delay", f"Bearer {TOKEN}".encode(), callers)
    assert may_ask("/metrics", b"bearer " + b"y" * 30, callers)
    for wrong in (b"", b"Bearer", b"Bearer z", f"Basic {TOKEN}".encode(), TOKEN.encode()):
        assert not may_ask("/predict/delay", wrong, callers)
    assert may_ask("/ping", b"", callers)
    assert not may_ask("/health", b"", callers)
    assert may_ask("/health", b"", [])


def test_a_file_without_good_tokens_is_refused(tmp_path):
    (tmp_path / "short").write_text(f"{TOKEN}\nabc\n")
    (tmp_path / "empty").write_text("# none\n")
    for name in ("short", "empty"):
        with pytest.raises(UsageError, match="holds no token"):
            read_callers(tmp_path / name)
    with pytest.raises(NotFound):
        read_callers(tmp_path / "nowhere")


def test_an_address_of_others_needs_tokens(tmp_path):
    options = serving_options("0.0.0.0", 0, 1)
    with pytest.raises(Refused, match="no token protects"):
        Agent(None, tmp_path, tmp_path, options).run(None, print)
    (tmp_path / "callers").write_text(TOKEN)
    assert serving_options("0.0.0.0", 0, 1, tmp_path / "callers").limits.callers
    assert AgentOptions().limits.callers == []
