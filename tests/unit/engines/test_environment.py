"""What an environment is recorded as, and how it is built anew."""

import sys
from pathlib import Path

import pytest

from thrive.engines import rebuild
from thrive.engines.environment import record_environment
from thrive.engines.installed import installed
from thrive.engines.locks import pinned


def distribution(folder: Path, name: str, version: str) -> None:
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n\nText"
    )


def test_what_a_package_carries_inside_itself_is_no_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    packages = tmp_path / "site-packages"
    distribution(packages, "outer", "1.0")
    distribution(packages / "outer" / "vendored", "inner", "2.0")
    monkeypatch.setattr(sys, "path", [str(packages), str(packages / "outer" / "vendored")])

    assert record_environment()["libraries"] == ["outer==1.0"]


WHEEL = "outer/a.py,sha256=aaa,10\nouter/b.py,sha256=bbb,9\n"


def test_a_library_is_known_by_its_files_wherever_it_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    digests: list[str] = []
    for place, record in {
        "first": WHEEL + "../../../bin/outer,sha256=x,1\nouter-1.0.dist-info/RECORD,,\n",
        "second": "outer/__pycache__/a.pyc,,\nouter-1.0.dist-info/INSTALLER,sha256=u,2\n" + WHEEL,
        "third": WHEEL.replace("bbb", "ccc"),
        "fourth": "",
    }.items():
        folder = tmp_path / place / "site-packages"
        distribution(folder, "Outer", "1.0")
        (folder / "Outer-1.0.dist-info" / "RECORD").write_text(record)
        digests.append(installed([str(folder)])["outer"].digest)
    first, second, third, fourth = digests
    assert first == second != third
    assert fourth == ""

    folder = tmp_path / "first" / "site-packages"
    distribution(folder, "other", "2.0")  # the folder changes: it is read again
    assert [*installed([str(folder)])] == ["other", "outer"]

    one = {"libraries": ["outer==1.0"], "contents": {"outer": first}}
    other = {"libraries": ["outer==1.0"], "contents": {"outer": third}}
    assert rebuild.differences(one, other) == ["outer 1.0, now of other files"]
    assert rebuild.must_rebuild(one, other)
    assert not rebuild.must_rebuild(one, {"libraries": ["outer==1.0"]})


A, B = "a" * 64, "b" * 64
LOCKS = {
    "requirements.txt": f"Outer[x]==1.0 ; python_version > '3' \\\n  --hash=sha256:{A} \\\n"
    f"  --hash=sha256:{B}\nfree==2.0\n",
    "uv.lock": f'[[package]]\nname = "outer"\nversion = "1.0"\nsdist = {{ hash = "sha256:{A}" }}\n'
    f'wheels = [{{ url = "x", hash = "sha256:{B}" }}]\n',
    "pylock.toml": f'[[packages]]\nname = "outer"\nversion = "1.0"\n[[packages.wheels]]\n'
    f'hashes = {{ sha256 = "{A}" }}\n[[packages.wheels]]\nhashes = {{ sha256 = "{B}" }}\n',
    "poetry.lock": f'[[package]]\nname = "outer"\nversion = "1.0"\n'
    f'files = [{{ file = "a", hash = "sha256:{A}" }}, {{ file = "b", hash = "sha256:{B}" }}]\n',
    "Pipfile.lock": f'{{"default": {{"outer": {{"version": "==1.0", "hashes": ["sha256:{A}",'
    f' "sha256:{B}"]}}}}}}',
}


@pytest.mark.parametrize("name", LOCKS)
def test_lock_files_of_every_tool_are_read(tmp_path: Path, name: str) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / name).write_text(LOCKS[name])
    assert pinned(tmp_path) == {"outer==1.0": {f"sha256:{A}", f"sha256:{B}"}}
    (tmp_path / name).write_text("{ broken")
    assert pinned(tmp_path) == {}


def test_what_a_lock_file_pins_is_installed_from_pinned_files_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "requirements.txt").write_text(LOCKS["requirements.txt"])
    installs: list[tuple[bool, str]] = []

    def run(command: list[str]) -> None:
        if "install" in command:
            installs.append(("--require-hashes" in command, Path(command[-1]).read_text()))
        if command[1:3] == ["-m", "venv"]:
            (Path(command[3]) / "bin").mkdir(parents=True)
            (Path(command[3]) / "bin" / "python").touch()

    monkeypatch.setattr(rebuild, "_run", run)
    libraries = ["free==2.0", "outer==1.0"]
    record = {"python": sys.version.split()[0], "machine": "any", "libraries": libraries}
    pinned_one = rebuild.rebuild(record, tmp_path)
    assert installs == [
        (True, f"outer==1.0 --hash=sha256:{A} --hash=sha256:{B}\n"),
        (False, "free==2.0\n"),
    ]
    assert rebuild.rebuild(record) != pinned_one


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
