"""What an environment is recorded as, and how it is built anew."""

import sys
from pathlib import Path

import pytest

from thrive.engines import rebuild
from thrive.engines.environment import record_environment


def distribution(folder: Path, name: str, version: str) -> None:
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n\nText"
    )


def test_what_a_package_carries_inside_itself_is_no_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = tmp_path / "site-packages"
    distribution(installed, "outer", "1.0")
    distribution(installed / "outer" / "vendored", "inner", "2.0")
    monkeypatch.setattr(sys, "path", [str(installed), str(installed / "outer" / "vendored")])

    assert record_environment()["libraries"] == ["outer==1.0"]


def test_an_environment_stands_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    cache = tmp_path / "thrive" / "environments"
    seen: list[list[str]] = []
    commands: list[list[str]] = []

    def run(command: list[str]) -> None:
        commands.append(command[1:])
        seen.append([path.name for path in cache.iterdir() if (path / "bin").exists()])
        if command[1:3] == ["-m", "venv"]:
            (Path(command[3]) / "bin").mkdir(parents=True)
            (Path(command[3]) / "bin" / "python").touch()

    monkeypatch.setattr(rebuild, "_run", run)
    record = {
        "python": sys.version.split()[0],
        "machine": "any",
        "libraries": ["outer==1.0", "pip==23.0"],
    }
    python = Path(rebuild.rebuild(record))

    assert seen == [[], [], []]
    assert commands[-1][1:3] == ["pip", "uninstall"]
    assert commands[-1][-2:] == ["setuptools", "wheel"]  # what nobody recorded, pip was
    assert python.exists()
    assert [path.name for path in cache.iterdir()] == [python.parents[1].name]
    assert rebuild.rebuild(record) == str(python)
    assert len(seen) == 3
