"""A script as it is: tracked, and done again from its record."""

import pytest

from thrive.cli.parse import parse
from thrive.domain.actor import local_actor
from thrive.domain.errors import NotFound, NotRight, Refused, UsageError
from thrive.flows.reproduce import reproduce
from thrive.flows.resume import resume
from thrive.flows.run import run
from thrive.operations import Context, find_operation
from thrive.store.home import create_home
from thrive.tracking import operations as runs

SCRIPT = """\
import atexit, os, sys
from pathlib import Path
import thrive

if __name__ != "__main__":
    raise SystemExit("imported")
rows = open("in.csv").read().splitlines()
os.environ.get("MODE")
rate = float(sys.argv[2])
Path("out.txt").write_text(str(len(rows) * rate))
thrive.log(rows=len(rows))
atexit.register(print, "the end")
sys.exit(3 if "--fail" in sys.argv else 0)
"""


@pytest.fixture
def project(tmp_path):
    (tmp_path / "thrive.toml").write_text('contract = 1\n[project]\nname = "plain"\n')
    (tmp_path / "script.py").write_text(SCRIPT)
    (tmp_path / "in.csv").write_text("1\n2\n")
    return Context(create_home(tmp_path, "plain"), local_actor("test"), folder=tmp_path)


def test_a_script_is_tracked_as_it_is_and_done_again(project, monkeypatch):
    monkeypatch.setenv("MODE", "x")
    typed = parse(find_operation("run"), ["script.py", "--rate", "0.5", "-v"])
    assert typed["params"] == ["--rate", "0.5", "-v"]
    ended = run(project, **typed)
    assert ended.metrics == {"rows": 2.0}
    assert any("variable MODE" in note for note in ended.notes)
    seen = runs.show_run(project, ended.run_id)
    assert seen.params == {"rate": 0.5, "v": True}
    used = {(use.name, use.direction) for use in seen.uses}
    assert used == {("in.csv", "in"), ("out.txt", "out")}
    assert "the end" in runs.show_logs(project, ended.run_id).text
    again = reproduce(project, ended.run_id)
    assert {(part.kind, part.verdict.value) for part in again.parts} == {
        ("metric", "bitwise"),
        ("file", "bitwise"),
    }
    (project.local_folder() / "in.csv").write_text("3\n")
    with pytest.raises(NotFound, match=r"in\.csv"):
        reproduce(project, ended.run_id)


def test_a_script_that_fails_says_how_and_is_not_resumed(project):
    with pytest.raises(NotRight, match=r"sys\.exit\(3\)"):
        run(project, "script.py", ["--rate", "1", "--fail"])
    failed = runs.list_runs(project).items[0]
    with pytest.raises(Refused, match="no steps") as caught:
        resume(project, failed.run_id)
    assert caught.value.hint == "thrive run script.py --rate 1 --fail"
    with pytest.raises(UsageError, match="declares no pipeline"):
        run(project, "script.py", set_=["fit.cpu=2"])
