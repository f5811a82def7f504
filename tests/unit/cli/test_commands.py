"""The command line from outside: answers, errors, exit codes."""

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from thrive.cli import execute, main
from thrive.cli.parse import parse
from thrive.cli.simple import parse_simply
from thrive.cli.table import COMMANDS
from thrive.cli.words import read_line
from thrive.flows.catalogue import OPERATION_MODULES, load_all
from thrive.operations import find_operation
from thrive.version import __version__

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("script", ["generate_command_table.py", "generate_reference.py"])
def test_generated_files_are_fresh(script):
    command = [sys.executable, str(ROOT / "scripts" / script), "--check"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stdout


def test_every_module_of_operations_is_in_the_catalogue():
    declaring = {
        ".".join(("thrive", *path.relative_to(ROOT / "src/thrive").with_suffix("").parts))
        for path in (ROOT / "src/thrive").rglob("*.py")
        if "\n@operation(" in path.read_text()
    }
    assert declaring == set(OPERATION_MODULES)
    assert list(OPERATION_MODULES) == sorted(OPERATION_MODULES)


@pytest.mark.parametrize("name", sorted(load_all()))
def test_every_command_explains_each_of_its_words(name):
    page, operation = COMMANDS[name].manual, load_all()[name]
    assert page.startswith(f"usage: thrive {name}")
    for parameter in operation.parameters:
        described = page.partition("rguments:" if parameter.positional else "Options:")[2]
        assert parameter.name.strip("_").replace("_", "-") in described.lower().replace("_", "-")


@pytest.mark.parametrize("name", sorted(load_all()))
def test_every_command_has_examples_that_can_be_typed(name):
    examples = COMMANDS[name].manual.partition("Examples:\n")[2]
    typed = [shlex.split("thrive " + rest) for rest in examples.split("  thrive ")[1:]]
    assert typed, f"`thrive {name}` has no example"
    for words in typed:
        line = read_line(words[1:])
        assert line.command == name
        parse(find_operation(name), line.rest)


def test_version(cli):
    assert cli("--version") == (0, f"thrive {__version__}\n", "")


def test_help_lists_everything_once(cli):
    out = cli("--help").out
    for name in COMMANDS:
        assert out.count(f"\n  {name} ") == 1
    assert cli().out == out


def test_a_noun_lists_its_verbs(cli):
    assert "add" in cli("data").out
    assert cli("data").out == cli("data", "--help").out


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["dta", "add"], 2, "next: thrive data add"),
        (["data", "ad"], 2, "next: thrive data add"),
        (["data", "show"], 2, "requires an argument"),
        (["data", "show", "x", "--nme", "y"], 2, "--nme"),
        (["audit", "list", "--limit", "many"], 2, "many"),
        (["audit", "list", "flights"], 2, "'flights' is one word too many"),
        (["check", "--for", "moon"], 2, "moon"),
        (["--home", "/no/such/folder", "status"], 2, "/no/such/folder"),
        (["--token-file", "t", "status"], 2, "is for a server"),
        (
            ["status", "--home", "http://x", "--token-file", "/no/file"],
            2,
            "/no/file cannot be read",
        ),
        (["status", "--home", "http://x", "--token-file", "/dev/null"], 2, "is empty"),
        (["status"], 5, "next: thrive init"),
        (["data", "list"], 5, "next: thrive init"),
        (["--completion", "csh"], 2, "csh"),
    ],
)
def test_wrong_words_get_one_message_and_no_traceback(cli, words, code, said):
    answer = cli(*words)
    assert answer.code == code
    assert answer.out == ""
    assert said in answer.err
    assert answer.err.startswith("error: ")
    assert "Traceback" not in answer.err


def test_an_error_is_an_object_with_json(cli):
    answer = cli("status", "--json")
    error = json.loads(answer.out)["error"]
    assert (answer.code, answer.err) == (5, "")
    assert (error["code"], error["exit_code"], error["hint"]) == ("NotFound", 5, "thrive init")


def test_a_broken_contract_names_the_line(cli):
    cli("init")
    Path("thrive.toml").write_text("contract = 1\n[data.x\n")
    answer = cli("check")
    assert answer.code == 2
    assert "thrive.toml:2:" in answer.err


def test_an_unexpected_error_is_one_line_and_code_4(cli, monkeypatch):
    def broken(_line):
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(execute, "execute", broken)
    answer = cli("status")
    assert answer.code == 4
    assert answer.err.startswith("error: ZeroDivisionError: by zero\nnext: ")
    monkeypatch.setenv("THRIVE_DEBUG", "1")
    assert "Traceback" in cli("status").err


def test_an_interrupt_is_130(cli, monkeypatch):
    def interrupted(_line):
        raise KeyboardInterrupt

    monkeypatch.setattr(execute, "execute", interrupted)
    assert cli("status").code == 130


def test_a_reader_that_goes_away_is_no_error(tmp_path):
    subprocess.run([sys.executable, "-m", "thrive.cli", "init"], cwd=tmp_path, check=True)
    command = f"{sys.executable} -m thrive.cli --help | true; exit ${{PIPESTATUS[0]}}"
    answer = subprocess.run(
        ["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (answer.returncode, answer.stderr) == (0, "")


def test_pipes_get_tabs_and_whole_values(cli):
    cli("init")
    header, row = cli("audit", "list").out.splitlines()
    assert header.split("\t")[:4] == ["seq", "at", "actor", "operation"]
    assert (
        row.split("\t")[-1] == json.loads(cli("audit", "list", "--json").out)["items"][0]["digest"]
    )


def test_hints_go_to_standard_error(cli):
    answer = cli("init")
    assert answer.err == "next: thrive check\n"
    assert "next:" not in answer.out


def test_json_is_alone_on_standard_output(cli):
    cli("init")
    answer = cli("check", "--json")
    assert json.loads(answer.out)[0]["where"].startswith("thrive.toml:")
    assert answer.err == ""


def test_home_is_found_upwards_and_by_option(cli, tmp_path, monkeypatch):
    cli("init")
    (tmp_path / "deep" / "er").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "deep" / "er")
    assert cli("audit", "verify").code == 0
    monkeypatch.chdir("/")
    assert cli(f"--home={tmp_path}", "audit", "verify").code == 0
    assert cli("audit", "verify", "--home", str(tmp_path)).code == 0


def test_completion_answers_from_the_table():
    from thrive.cli.completion import candidates

    assert candidates(["da"]) == ["data"]
    assert "add" in candidates(["data", ""])
    assert candidates(["data", "add", "--na"]) == ["--name"]
    assert "--json" in candidates(["status", "--"])
    assert candidates(["nothing", "here", ""]) == []


def test_entry_point_leaves_with_the_code(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["thrive", "no-such"])
    with pytest.raises(SystemExit) as left:
        main.main()
    assert left.value.code == 2


@pytest.mark.parametrize(
    "words",
    [
        ["--port", "0", "--no-worker"],
        ["--worker"],
        ["--no-worker", "--no-worker"],
        ["--no-port"],
        ["--no-host", "x"],
        [],
    ],
)
def test_plain_words_mean_the_same_without_the_library(words):
    load_all()
    operation = find_operation("server")
    plain = parse_simply(operation, words)
    if plain is None:
        assert words not in ([], ["--port", "0", "--no-worker"])
        return
    known = {each.name: each.default for each in operation.parameters}
    assert known | plain == known | parse(operation, words)
