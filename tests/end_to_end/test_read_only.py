"""A project on a read-only mount: what only reads works, what writes says why it cannot."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from thrive.store.home import create_home

THRIVE = [sys.executable, "-m", "thrive.cli"]
_MOUNT = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && cd "$0" && exec "$@"'


def typed(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Type a command where the folder cannot be written; root alone needs a mount for that."""
    command = [*THRIVE, *words]
    if os.geteuid() == 0:
        command = ["unshare", "-m", "sh", "-c", _MOUNT, str(folder), *command]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_what_reads_reads_and_what_writes_says_that_nobody_may(tmp_path: Path) -> None:
    if os.geteuid() == 0 and subprocess.run(["unshare", "-m", "true"], check=False).returncode:
        pytest.skip("root may write everywhere here, and may not mount")
    (tmp_path / "thrive.toml").write_text('contract = 1\n[project]\nname = "rides"\n')
    create_home(tmp_path, "rides").close()
    places = (tmp_path / ".thrive", tmp_path)
    for place in places:
        place.chmod(0o555)
    try:
        listed = typed(tmp_path, "data", "list", "--json")
        assert (listed.returncode, listed.stdout.strip()) == (0, "[]"), listed.stderr
        refused = typed(tmp_path, "tokens", "create", "reports", "--role", "auditor")
        assert refused.returncode == 4
        assert "cannot be written: it is mounted read-only, or belongs to" in refused.stderr
        diagnosis = typed(tmp_path, "doctor")
        assert diagnosis.returncode == 1
        assert "report it" not in diagnosis.stderr
    finally:
        for place in places:
            place.chmod(0o755)
