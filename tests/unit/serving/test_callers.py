"""Tokens of callers: where others reach the server, who shows none is not answered."""

import pytest

from thrive.domain.errors import NotFound, Refused, UsageError
from thrive.serving.agent import Agent, AgentOptions
from thrive.serving.callers import known_hosts, may_ask, name_of_host, read_callers
from thrive.serving.routes import Routes, ServedModel
from thrive.serving.serve import serving_options

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


def test_names_are_those_of_this_machine_unless_tokens_protect_it():
    assert known_hosts("127.0.0.1", [], tokens=True) == []
    here = known_hosts("192.0.2.7", ["Models.example.org"], tokens=False)
    for sent in (b"localhost:80", b"[::1]", b"192.0.2.7:1", b"models.EXAMPLE.org"):
        assert name_of_host(sent) in here
    for sent in (b"", b"models.example.org.evil.example", b"[::2]:80"):
        assert name_of_host(sent) not in here
    assert "models.example.org" in known_hosts("::", ["models.example.org"], tokens=True)


def test_a_host_serves_the_models_it_was_told(tmp_path):
    routes = Routes(
        project="flights",
        models={name: ServedModel(model=name, revision=1, variants=[]) for name in ("a", "b")},
    )
    assert list(routes.only(frozenset({"b"})).models) == ["b"]
    assert routes.only(frozenset()) is routes
    routes.refuse_unknown(frozenset({"a", "b"}))
    with pytest.raises(NotFound, match="no model 'c'"):
        routes.refuse_unknown(frozenset({"a", "c"}))


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
