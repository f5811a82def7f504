"""The first hour as it is typed: begin a project, add data, look at it, ask what is missing."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROWS = "".join(f"{i},{i * 7 % 50},{'yes' if i % 3 else 'no'}\n" for i in range(1, 201))


def typed(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("thrive")), *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a little data, as a user has one."""
    (tmp_path / "rides").mkdir()
    (tmp_path / "rides" / "data").mkdir()
    (tmp_path / "rides" / "data" / "trips.csv").write_text("id,minutes,late\n" + ROWS)
    return tmp_path / "rides"


def test_init_add_list_check_status(folder):
    begun = typed(folder, "init", "--target", "late", "--owner", "riders")
    assert begun.returncode == 0, begun.stderr
    assert begun.stderr == "next: thrive check\n"
    contract = (folder / "thrive.toml").read_text()
    assert 'source = "data/trips.csv"' in contract
    assert "[data.trips]" in contract

    added = typed(folder, "data", "add", "--json")
    assert added.returncode == 0, added.stderr
    version = json.loads(added.stdout)
    assert (version["dataset"], version["version"], version["rows"]) == ("trips", 1, 200)

    listed = typed(folder, "data", "list").stdout.splitlines()
    assert [line.split("\t")[:3] for line in listed] == [
        ["name", "versions", "rows"],
        ["trips", "1", "200"],
    ]

    checked = typed(folder, "check")
    assert checked.returncode == 0
    assert "\tproduction\t" in checked.stdout
    assert "\ttrain\t" not in checked.stdout
    assert typed(folder, "check", "--for", "train").returncode == 0
    refused = typed(folder, "check", "--for", "production")
    assert refused.returncode == 6
    assert "thrive.toml:" in refused.stderr

    shown = json.loads(typed(folder, "status", "--json").stdout)
    assert shown["project"] == "rides"
    assert shown["models"] == []


def test_a_fresh_clone_gets_its_home(folder):
    typed(folder, "init")
    clone = folder.parent / "clone"
    clone.mkdir()
    (clone / "thrive.toml").write_text((folder / "thrive.toml").read_text())
    assert "thrive init" in typed(clone, "status").stderr
    assert typed(clone, "init").returncode == 0
    again = typed(clone, "init")
    assert again.returncode == 7
    assert "is a project already" in again.stderr
