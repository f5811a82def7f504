"""Do the rules let this version go to users: contract, data, package, code?"""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from thrive.contract.gaps import gaps_for_model
from thrive.contract.parse import CONTRACT_FILE, ParsedContract
from thrive.contract.purposes import purposes_of
from thrive.domain.clock import format_time
from thrive.domain.dataset import DatasetVersion
from thrive.domain.gate import Answer, CheckResult
from thrive.domain.model import ModelVersion
from thrive.packaging.formats import pickle
from thrive.packaging.loader import FORMATS, allowed_here
from thrive.packaging.manifest import PackageManifest
from thrive.settings import read_settings
from thrive.variables import variable

GROUP = "policy"
_RESTRICTS = re.compile(
    r"\b(?:NC|ND|non-?commercial|no-?deriv\w*|research|academic|evaluation)\b", re.IGNORECASE
)
"""Words of licences that forbid commercial use or derived works, as in CC-BY-NC-4.0."""


def check_contract(version: ModelVersion, parsed: ParsedContract | None) -> CheckResult:
    """Judge whether the stored contract answers all that production asks for.

    Whether teams are reachable is left to promotion: it is no property of a version.
    """
    if parsed is None:
        return _result("contract", Answer.FAIL, "No contract was stored with this version.", {})
    gaps = gaps_for_model(
        parsed, version.model, version.training, reachable=frozenset(parsed.contract.team)
    )
    if gaps:
        more = f" ({len(gaps) - 1} more)" if len(gaps) > 1 else ""
        words = f"{gaps[0].what} {gaps[0].fix}{more}."
        found = {
            "gaps": {gap.path: gap.what for gap in gaps},
            "findings": [
                {"file": CONTRACT_FILE, "line": gap.line, "what": f"{gap.what} {gap.fix}"}
                for gap in gaps
            ],
        }
        return _result("contract", Answer.FAIL, words, found)
    return _result("contract", Answer.PASS, "The contract answers all production asks for.", {})


def check_data(
    version: ModelVersion,
    parsed: ParsedContract | None,
    upstream: Mapping[str, DatasetVersion | None],
) -> CheckResult:
    """Judge whether each upstream dataset may be trained on, and may serve this purpose.

    Args:
        version: the candidate.
        parsed: the contract stored with it.
        upstream: what is recorded of each dataset it was trained on, None where nothing is.
    """
    if not upstream:
        words = "The version names no dataset it was trained on: register it from a run."
        return _result("data", Answer.CANNOT_TELL, words, {})
    terms = parsed.contract.data if parsed else {}
    purposes = purposes_of(parsed.contract, version.model) if parsed else set[str]()
    problems: dict[str, str] = {}
    for name, found in upstream.items():
        allowed = {word.casefold() for word in terms[name].allowed} if name in terms else set[str]()
        if found is None:
            problems[name] = "no version with this content is recorded"
        elif not found.trainable:
            problems[name] = f"version {found.version} may not be trained on"
        elif allowed and not allowed & purposes:
            meant = ", ".join(sorted(purposes)) or version.model
            problems[name] = f"may serve {', '.join(terms[name].allowed)}, not {meant}"
    if problems:
        words = "; ".join(f"{name}: {why}" for name, why in sorted(problems.items()))
        return _result("data", Answer.FAIL, f"{words}.", problems)
    listed = ", ".join(sorted(upstream))
    return _result("data", Answer.PASS, f"May be used for this purpose: {listed}.", {})


def check_retention(
    parsed: ParsedContract | None, upstream: Mapping[str, DatasetVersion | None], now: int
) -> CheckResult | None:
    """Judge whether the data it was trained on may still be kept; nothing where nothing is said.

    It is of the group of what differs from run to run, as its answer is one of a day.

    Args:
        parsed: the contract stored with the version.
        upstream: what is recorded of each dataset it was trained on.
        now: the project's present moment, UTC microseconds.
    """
    terms = parsed.contract.data if parsed else {}
    known = {name: found for name, found in upstream.items() if found and name in terms}
    said = {name: terms[name].kept_until(found.created_at) for name, found in known.items()}
    ends = {name: end for name, end in sorted(said.items()) if end is not None}
    if not ends:
        return None
    over = [name for name, end in ends.items() if end < now]
    told = over or list(ends)
    words = ", ".join(f"{name} until {format_time(ends[name])}" for name in told)
    return CheckResult(
        check="retention",
        group="history",
        answer=Answer.FAIL if over else Answer.PASS,
        summary=f"Was to be kept: {words}." if over else f"May be kept: {words}.",
        evidence={name: format_time(end) for name, end in ends.items()},
    )


def check_seal(version: ModelVersion) -> CheckResult:
    """Tell who vouches for the version; informs, as one whose seal is wrong is never loaded."""
    if version.seal is None:
        words = f"Nobody vouches for it: thrive models sign {version.model}@{version.version}."
        answer, evidence = Answer.CANNOT_TELL, dict[str, Any]()
    else:
        known = version.seal.key in read_settings().trusted_model_keys()
        words = f"Signed by {version.seal.key[:16]}{', a trusted key' if known else ''}."
        answer, evidence = Answer.PASS, {"key": version.seal.key, "trusted": known}
    found = _result("seal", answer, words, evidence)
    return msgspec.structs.replace(found, advisory=True)


def check_package(version: ModelVersion, manifest: PackageManifest) -> CheckResult:
    """Judge the package's format, and note code that was not committed."""
    name = manifest.model_format
    evidence = {"format": name, "commit": version.commit, "dirty": str(version.dirty).lower()}
    allowed = name == pickle.NAME and allowed_here().allows(version.model, manifest.digest)
    if not allowed and (name == pickle.NAME or name not in FORMATS):
        words = f"The format {name!r} runs code when loaded: pack the model in a safe one."
        return _result("package", Answer.FAIL, words, evidence)
    words = f"The format {name!r} is safe to load."
    if allowed:
        words = f"This package runs code when loaded: {variable('allow_pickles')} names its digest."
        evidence["allowed"] = manifest.digest
    if version.dirty:
        words += " Its code was not committed: it may be released to dev alone."
    elif not version.commit:
        words += " No commit is recorded: its code cannot be found again."
    return _result("package", Answer.PASS, words, evidence)


def check_licence(version: ModelVersion, parsed: ParsedContract | None) -> CheckResult:
    """Tell under which licence, and for how long, the data it was trained on is kept; informs."""
    terms = parsed.contract.data if parsed else {}
    known = {name: terms[name] for name in sorted(version.training) if name in terms}
    evidence = {
        name: {"licence": one.licence, "retention": one.retention} for name, one in known.items()
    }
    silent = [name for name in sorted(version.training) if not _is_said(evidence.get(name))]
    bound = [f"{name} {one.licence}" for name, one in known.items() if _restricts(one.licence)]
    if silent:
        words = f"Licence or retention is not written: {', '.join(silent)}."
    elif bound:
        words = f"May forbid this use, ask the data's owner: {', '.join(bound)}."
    else:
        told = (f"{name} {one.licence}, kept {one.retention}" for name, one in known.items())
        words = f"{'; '.join(told) or 'No dataset is named'}."
    answer = Answer.CANNOT_TELL if silent or bound else Answer.PASS
    found = _result("licence", answer, words, evidence)
    return msgspec.structs.replace(found, advisory=True)


def _restricts(licence: str) -> bool:
    """Tell whether a licence may forbid commercial use, or what is derived from the data."""
    return _RESTRICTS.search(licence) is not None


def _is_said(terms: Mapping[str, str] | None) -> bool:
    return terms is not None and all(terms.values())


def check_environment(version: ModelVersion, environment: Mapping[str, Any]) -> CheckResult:
    """Tell whether it is written down with what the version was made; informs."""
    libraries = environment.get("libraries") or {}
    evidence = {
        "run": version.run_id,
        "python": environment.get("python", ""),
        "libraries": len(libraries),
        "commit": version.commit,
    }
    if libraries and version.commit:
        words = (
            f"Made by Python {evidence['python']} with {len(libraries)} libraries, all recorded."
        )
        answer = Answer.PASS
    else:
        missing = "no commit" if libraries else "no list of its libraries"
        words, answer = f"It could not be made again: {missing} is recorded.", Answer.CANNOT_TELL
    found = _result("environment", answer, words, evidence)
    return msgspec.structs.replace(found, advisory=True)


def _result(check: str, answer: Answer, summary: str, evidence: Mapping[str, Any]) -> CheckResult:
    return CheckResult(
        check=check, group=GROUP, answer=answer, summary=summary, evidence=dict(evidence)
    )
