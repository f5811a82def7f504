"""The wheel a user installs: with its islands where there is Node, whole without them."""

import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BUILT_WITH = ("bash", "env", "git", "sh", "uname")
pytestmark = [pytest.mark.full, pytest.mark.timeout(1200)]
SHOW = """
import sys
from pathlib import Path
from thrive.domain.actor import local_actor
from thrive.operations import Context
from thrive.store.home import create_home
from thrive.ui.app import pages_app
from thrive.ui.render import STATIC
sys.path.append(sys.argv[2])
from tests.unit.ui.browser import ask
folder = Path(sys.argv[1])
context = Context(create_home(folder, "p"), local_actor("ana"), folder=folder, operation="ui")
app = pages_app(context)
for path in ("/", "/models", "/alerts", "/releases", "/runs", "/gates", "/data", "/lineage",
             "/governance", "/audit", "/admin", "/kit"):
    assert ask(app, path).status == 200, path
page = ask(app, "/").text
assert ("/static/app.js" in page) == (STATIC / "app.js").is_file()
print(STATIC)
"""


def built(source: Path, into: Path, *words: str, path: str) -> Path:
    """Return the wheel that pip builds of a source."""
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(into), *words]
    done = subprocess.run(
        [*command, str(source)],
        env={**os.environ, "PATH": path},
        check=False,
        capture_output=True,
        text=True,
    )
    if "No matching distribution" in done.stderr or "Connection" in done.stderr:
        pytest.skip("the packages of the build cannot be had here")
    assert done.returncode == 0, done.stderr
    (found,) = into.glob("*.whl")
    return found


def bundles(wheel: Path) -> set[str]:
    """Return the files that the pages load."""
    with zipfile.ZipFile(wheel) as packed:
        return {Path(name).name for name in packed.namelist() if "/ui/static/" in name}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Return what git holds, and nothing that was built before."""
    made = tmp_path / "source"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(made)], check=True)
    for name in ("hatch_build.py", "pyproject.toml"):
        shutil.copy(ROOT / name, made / name)
    return made


def test_a_wheel_of_pip_alone_holds_the_islands(source: Path, tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in BUILT_WITH:  # the machine's own Node is out of sight: the build brings one
        found = shutil.which(name)
        if found:
            (tools / name).symlink_to(found)
    wheel = built(source, tmp_path / "wheel", path=str(tools))
    assert bundles(wheel) == {"app.css", "app.js", "thrive.css"}


def test_a_wheel_without_node_shows_every_page(source: Path, tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    wheel = built(source, tmp_path / "wheel", "--no-build-isolation", path=str(tools))
    assert bundles(wheel) == {"thrive.css"}
    place = tmp_path / "environment"
    venv.create(place, with_pip=False, system_site_packages=False)
    packages = next((place / "lib").glob("python*/site-packages"))
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(packages)
    ours = Path(pytest.__file__).parents[1]
    (packages / "libraries.pth").write_text(f"{ours}\n")
    shown = subprocess.run(
        [str(place / "bin" / "python"), "-c", SHOW, str(tmp_path / "home"), str(ROOT)],
        check=False,
        capture_output=True,
        text=True,
    )
    assert shown.returncode == 0, shown.stderr
    assert str(packages) in shown.stdout
