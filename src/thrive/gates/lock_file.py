"""Was the version made with what the project's lock file says? Read from the code of its run."""

import io
import re
import tarfile
import tomllib
from collections.abc import Mapping
from typing import Any

import msgspec

from thrive.domain.gate import Answer, CheckResult
from thrive.store.blobs import BlobStore

CHECK = "lock file"
TABLES = {
    "pylock.toml": "packages",
    "uv.lock": "package",
    "poetry.lock": "package",
    "pdm.lock": "package",
}
"""Lock files in TOML, each with its array of packages; the first that is there is read."""
REQUIREMENTS = "requirements.txt"
OWN = "thrive"
"""Runs the steps, whatever is locked."""
SHOWN = 5
_PIN = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?\s*==\s*([^\s;\\#]+)", re.MULTILINE)
_SEPARATORS = re.compile(r"[-_.]+")


def check_lock_file(bundle: str, environment: Mapping[str, Any], blobs: BlobStore) -> CheckResult:
    """Tell whether the libraries of a run were those of the lock file beside its code; informs.

    A library that is locked and was not installed (for another platform, say) makes no difference.

    Args:
        bundle: digest of the code of the run, "" if none is kept.
        environment: with what the run was made.
        blobs: where the bundle is.
    """
    ran = dict(_pair(line) for line in environment.get("libraries") or ())
    file, locked = _locked(bytes(blobs.get(bundle))) if bundle else ("", {})
    if not file or not ran:
        missing = "The code of its run holds no lock file" if ran else "No libraries are recorded"
        return _told(Answer.CANNOT_TELL, f"{missing}.", {"file": file, "locked": len(locked)})
    other = {
        name: f"{ran[name]}, locked {', '.join(sorted(versions))}"
        for name, versions in sorted(locked.items())
        if name in ran and name != OWN and ran[name] not in versions
    }
    both = len(ran.keys() & locked.keys())
    evidence = {"file": file, "locked": len(locked), "installed": both, "other": other}
    if not other:
        return _told(Answer.PASS, f"Made with {both} libraries as {file} locks them.", evidence)
    told = "; ".join(f"{name} {words}" for name, words in list(other.items())[:SHOWN])
    more = f" ({len(other) - SHOWN} more)" if len(other) > SHOWN else ""
    return _told(Answer.FAIL, f"Not made with what {file} locks: {told}{more}.", evidence)


def _locked(bundle: bytes) -> tuple[str, dict[str, set[str]]]:
    """Return the lock file of a bundle, and the versions it locks of each library."""
    with tarfile.open(fileobj=io.BytesIO(bundle), mode="r:gz") as archive:
        names = set(archive.getnames())
        for file in (*TABLES, REQUIREMENTS):
            content = archive.extractfile(file) if file in names else None
            if content is not None and (locked := _read(file, content.read())):
                return file, locked
    return "", {}


def _read(file: str, content: bytes) -> dict[str, set[str]]:
    text = content.decode(errors="replace")
    if file == REQUIREMENTS:
        return _by_name(_PIN.findall(text))
    try:
        packages: list[dict[str, Any]] = tomllib.loads(text).get(TABLES[file], [])
        return _by_name(
            [(str(one["name"]), str(one["version"])) for one in packages if "version" in one]
        )
    except (tomllib.TOMLDecodeError, KeyError, TypeError, AttributeError):
        return {}


def _by_name(pins: list[tuple[str, str]]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for name, version in pins:
        found.setdefault(_normal(name), set()).add(version)
    return found


def _pair(line: str) -> tuple[str, str]:
    name, _, version = line.partition("==")
    return _normal(name), version


def _normal(name: str) -> str:
    """Return a library's name as indexes compare it (PEP 503)."""
    return _SEPARATORS.sub("-", name).lower()


def _told(answer: Answer, summary: str, evidence: dict[str, Any]) -> CheckResult:
    found = CheckResult(
        check=CHECK, group="policy", answer=answer, summary=summary, evidence=evidence
    )
    return msgspec.structs.replace(found, advisory=True)
