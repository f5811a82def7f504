"""The stored contract that a version was registered under; its text is parsed once a process."""

from thrive.contract.parse import ParsedContract, parse_stored
from thrive.domain.errors import NotFound
from thrive.domain.model import ModelVersion
from thrive.domain.reference import format_reference
from thrive.store import projects
from thrive.store.database import Tx


def find_contract(tx: Tx, project_id: str, version: ModelVersion) -> ParsedContract | None:
    """Return the contract a version was registered under, None if it is not stored."""
    stored = projects.find_contract(tx, project_id, version.contract)
    return parse_stored(stored.text) if stored is not None else None


def contract_of(tx: Tx, project_id: str, version: ModelVersion) -> ParsedContract:
    """Return the contract a version was registered under.

    Raises:
        NotFound: it is not stored.
    """
    found = find_contract(tx, project_id, version)
    if found is None:
        raise NotFound(
            f"The contract of {format_reference(version.model, version.version)} is not stored.",
            "thrive doctor",
        )
    return found
