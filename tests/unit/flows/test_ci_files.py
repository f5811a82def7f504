"""`thrive init --ci`: files that a CI can read, with commands that can be typed."""

import re

import pytest

from thrive.cli.parse import parse
from thrive.cli.words import read_line
from thrive.domain.errors import Conflict
from thrive.flows.catalogue import Catalogue
from thrive.flows.ci_files import FILES, write_ci_files


def commands(text):
    joined = re.sub(r">-\n\s+", "", text)
    joined = re.sub(r"\n\s+--markdown", " --markdown", joined)
    found = re.findall(r"^\s*- (?:run: )?(thrive .*)$", joined, re.MULTILINE)
    return [line.replace('"$GITHUB_STEP_SUMMARY"', "summary.md").split()[1:] for line in found]


@pytest.mark.parametrize("path", FILES, ids=str)
def test_the_commands_of_the_files_can_be_typed(path):
    assert "\t" not in FILES[path]
    lines = commands(FILES[path])
    assert [" ".join(words[:2]) for words in lines][-1].startswith("gates")
    assert len(lines) >= 5
    operations = Catalogue()
    for words in lines:
        line = read_line(words)
        parse(operations[line.command], line.rest)


def test_of_several_datasets_each_is_added_and_one_model_is_named(tmp_path):
    (tmp_path / "thrive.toml").write_text(
        'contract = 1\n[project]\nname = "p"\n'
        '[data.a]\nsource = "a.csv"\n[data.b]\nsource = "b.csv"\n'
        '[model.x]\ntarget = { column = "late" }\n[model.y]\ntarget = { column = "late" }\n'
    )
    for name in write_ci_files(tmp_path):
        lines = [" ".join(words) for words in commands((tmp_path / name).read_text())]
        assert lines.count("data add --name a") == lines.count("data add --name b") == 1
        assert "data add" not in lines
        (judged,) = [line for line in lines if line.startswith("gates run")]
        assert judged.startswith("gates run x --json gate.json")


def test_nothing_is_written_over(tmp_path):
    (tmp_path / "thrive.toml").write_text('contract = 1\n[project]\nname = "p"\n')
    (tmp_path / ".gitlab-ci.yml").write_text("mine: {}\n")
    assert write_ci_files(tmp_path) == [".github/workflows/thrive.yml"]
    assert (tmp_path / ".gitlab-ci.yml").read_text() == "mine: {}\n"
    with pytest.raises(Conflict, match="there already"):
        write_ci_files(tmp_path)
