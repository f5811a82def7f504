"""The environment of an earlier run: in what this one differs, and how to build it anew."""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from blake3 import blake3

from thrive.domain.errors import InfrastructureError, Refused
from thrive.engines.environment import CHOSEN_VARIABLES
from thrive.engines.installed import user_cache
from thrive.engines.locks import digests_of, pinned

_HASH = "--hash="
OWN = "thrive"
"""Is never installed from elsewhere: the code that runs the steps is this one."""
POOLS = {
    "OMP_NUM_THREADS": "openmp",
    "OPENBLAS_NUM_THREADS": "openblas",
    "MKL_NUM_THREADS": "mkl",
}
INSTALL_SECONDS = 1800
INSTALLERS = ("setuptools", "wheel", "pip")
"""What a new environment brings by itself; of these it keeps what the record lists."""
PACKAGE = Path(__file__).resolve().parents[1]
"""The folder of this Thrive."""


def differences(first: dict[str, Any], second: dict[str, Any]) -> list[str]:
    """Return in what two records of environments differ, in words: `numpy 2.1.0, now 2.2.0`.

    Args:
        first: the record of the earlier run.
        second: that of another one, or of this process.
    """
    names = ("python", "implementation", "machine", "cpu", "cpus")
    one = {name: str(first[name]) for name in names if name in first and name in second}
    other = {name: str(second[name]) for name in one}
    one |= _versions(first) | _kernels(first)
    other |= _versions(second) | _kernels(second)
    if not second.get("threads"):  # nothing numeric is loaded in it: that is no difference
        one = {name: value for name, value in one.items() if not name.startswith("kernel ")}
    apart = [
        f"{name} {one.get(name, 'missing')}, now {other.get(name, 'missing')}"
        for name in sorted({*one, *other})
        if one.get(name) != other.get(name)
    ]
    alike = (name for name in _changed_inside(first, second) if one[name] == other.get(name))
    return apart + [f"{name} {one[name]}, now of other files" for name in alike]


def must_rebuild(first: dict[str, Any], second: dict[str, Any]) -> bool:
    """Tell whether Python or a library differs: what an environment can be built anew for."""
    names = ("python", "implementation")
    return (
        _versions(first) != _versions(second)
        or bool(_changed_inside(first, second))
        or any(first.get(name) != second.get(name) for name in names)
    )


def _versions(record: dict[str, Any]) -> dict[str, str]:
    parts = (line.partition("==") for line in record.get("libraries", ()))
    return {name: version for name, _, version in parts if name != OWN}


def _changed_inside(first: dict[str, Any], second: dict[str, Any]) -> list[str]:
    """Return the libraries whose files are known on both sides, and are not the same."""
    one, other = first.get("contents", {}), second.get("contents", {})
    return [name for name in sorted({*one} & {*other}) if one[name] != other[name] and name != OWN]


def _kernels(record: dict[str, Any]) -> dict[str, str]:
    return {
        f"kernel {pool['internal_api']}": str(pool["architecture"])
        for pool in record.get("threads", ())
        if "architecture" in pool
    }


def thread_variables(record: dict[str, Any]) -> dict[str, str | None]:
    """Return the variables that give a process the numerics of a recorded one; None unsets one.

    Where the record names no variable, the sizes of its thread pools are set: another number of
    processors would give others.
    """
    known: dict[str, str] = record.get("variables", {})
    wanted: dict[str, str | None] = {name: known.get(name) for name in CHOSEN_VARIABLES}
    for name, kind in POOLS.items():
        sizes = {
            str(pool["num_threads"])
            for pool in record.get("threads", ())
            if kind in {pool.get("user_api"), pool.get("internal_api")}
        }
        if wanted[name] is None and len(sizes) == 1:
            wanted[name] = sizes.pop()
    if wanted["POLARS_MAX_THREADS"] is None and record.get("cpus"):
        wanted["POLARS_MAX_THREADS"] = str(record["cpus"])
    return wanted


def rebuild(record: dict[str, Any], folder: Path | None = None) -> str:
    """Build the environment of a record, or find it built; return its interpreter.

    It stands in the user's cache under the digest of its list of libraries, so that runs share it.
    A library that a lock file of the folder pins is installed from one of the pinned files only.

    Args:
        record: the record.
        folder: the run's code, with the project's lock files.

    Raises:
        Refused: there is no such Python here, or the libraries cannot be installed.
    """
    if sys.platform == "win32":
        raise Refused("An environment is built on Linux and macOS alone.", "use --here")
    libraries = [line for line in record["libraries"] if line.partition("==")[0] != OWN]
    pins = pinned(folder) if folder else {}
    lines = [_requirement(library, digests_of(pins, library)) for library in libraries]
    wanted = f"{record['python']}\n{record['machine']}\n" + "\n".join(lines)
    place = user_cache("environments") / blake3(wanted.encode()).hexdigest()[:32]
    python = place / "bin" / "python"
    if not python.exists():
        _build(record["python"], lines, place)
    return str(python)


def _requirement(library: str, digests: list[str]) -> str:
    return " ".join([library, *(f"{_HASH}{digest}" for digest in digests)])


def _build(version: str, lines: list[str], folder: Path) -> None:
    """Build beside the folder and rename: who finds the folder finds all of it.

    An environment is not moved by a rename: its interpreter looks for `pyvenv.cfg` beside itself,
    and only its scripts, which nobody starts, name the folder of the build.
    """
    interpreter = _interpreter(version)
    with tempfile.TemporaryDirectory(dir=folder.parent) as place:
        built = Path(place) / "environment"
        _run([interpreter, "-m", "venv", str(built)])
        pip = [str(built / "bin" / "python"), "-m", "pip"]
        certain = [line for line in lines if _HASH in line]
        for part in filter(None, (certain, [line for line in lines if line not in certain])):
            listed = Path(place) / "requirements.txt"
            listed.write_text("\n".join(part) + "\n")
            strict = ["--require-hashes"] if part is certain else []
            install = [*pip, "install", "--quiet", "--no-deps", *strict]
            _run([*install, "--requirement", str(listed)])
        known = {line.partition("==")[0] for line in lines}
        foreign = [name for name in INSTALLERS if name not in known]
        if foreign:
            _run([*pip, "uninstall", "--quiet", "--yes", *foreign])
        _lend_own(built)
        _publish(built, folder)


def _publish(built: Path, folder: Path) -> None:
    if folder.exists() and not (folder / "bin" / "python").exists():
        shutil.rmtree(folder)  # left by a build that was killed while it still built in place
    try:
        built.rename(folder)
    except OSError:
        if not (folder / "bin" / "python").exists():
            raise  # else another process was first, with the same environment


def _lend_own(folder: Path) -> None:
    """Let the environment import this Thrive, and nothing else that stands beside it."""
    for packages in folder.glob("lib/python*/site-packages"):
        (packages / OWN).symlink_to(PACKAGE, target_is_directory=True)


def _interpreter(version: str) -> str:
    minor = ".".join(version.split(".")[:2])
    if minor == ".".join(map(str, sys.version_info[:2])):
        return sys.executable
    found = shutil.which(f"python{minor}")
    if found is None:
        raise Refused(
            f"The run was made with Python {version}, and there is no python{minor} here.",
            f"install Python {minor}, or compare in this environment: --here",
        )
    return found


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InfrastructureError(f"{command[0]} did not run: {error}", "or use --here") from None
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or [""]
        raise Refused(
            f"The environment of the run cannot be built: {last[0]}",
            "reach the package index, or compare in this environment: --here",
        )
