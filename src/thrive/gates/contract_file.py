"""Does the contract on disk ask something else than the one a version is judged by?

A version is judged by the contract stored when it was registered. Whoever has just edited
`thrive.toml` would take the verdict for one by the new terms: it says so.
"""

from pathlib import Path
from typing import Any

import msgspec

from thrive.contract.lines import line_of
from thrive.contract.parse import CONTRACT_FILE, ParsedContract, load
from thrive.contract.schema import ModelTerms
from thrive.domain.errors import ThriveError
from thrive.domain.gate import Answer, CheckResult

CHECK = "contract on disk"
SHOWN = 3


def check_contract_file(
    model: str, stored: ParsedContract | None, folder: Path | None
) -> CheckResult | None:
    """Tell in what the file's gates and target differ from those judged by; None if in nothing.

    Args:
        model: whose terms.
        stored: the contract that was stored with the version.
        folder: of the project; None on a server, which has no file.
    """
    if stored is None or folder is None:
        return None
    try:
        present = load(folder)
    except ThriveError:
        return None
    if present.digest == stored.digest:
        return None
    old, new = (_judged_by(one.contract.model.get(model)) for one in (stored, present))
    other = {
        key: (old.get(key), new.get(key))
        for key in sorted({*old, *new})
        if old.get(key) != new.get(key)
    }
    if not other:
        return None
    told = "; ".join(
        f"{key} is {_said(now)}, judged by {_said(before)}"
        for key, (before, now) in list(other.items())[:SHOWN]
    )
    more = f" ({len(other) - SHOWN} more)" if len(other) > SHOWN else ""
    words = (
        f"{CONTRACT_FILE} differs from the contract this version was registered with: {told}{more}."
    )
    findings = [
        {
            "file": CONTRACT_FILE,
            "line": line_of(present.lines, "model", model, *key.split(".")),
            "what": f"{key} is not what the version is judged by: register it again to have it so.",
        }
        for key in other
    ]
    return CheckResult(
        check=CHECK,
        group="history",
        answer=Answer.CANNOT_TELL,
        summary=f"{words} Register it again to be judged by the file.",
        evidence={"differs": list(other), "findings": findings},
        advisory=True,
    )


def _judged_by(terms: ModelTerms | None) -> dict[str, Any]:
    """Return the terms a gate judges by, each under its path; those it does not name are none."""
    if terms is None:
        return {}
    said = {"target": terms.target, "gates": terms.gates, "entity": terms.entity, "sla": terms.sla}
    return dict(_flat(msgspec.to_builtins(said), ""))


def _flat(value: Any, path: str) -> list[tuple[str, Any]]:
    if not isinstance(value, dict):
        return [(path, value)]
    inner: dict[str, Any] = value
    return [
        each
        for key, part in inner.items()
        for each in _flat(part, f"{path}.{key}" if path else key)
    ]


def _said(value: Any) -> str:
    return "not said" if value in (None, "", []) else msgspec.json.encode(value).decode()
