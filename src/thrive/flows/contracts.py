"""The contract in force: of a version, and of a project; a text is parsed once a process."""

from thrive.contract.parse import ParsedContract, load, parse_stored
from thrive.contract.schema import Contract
from thrive.domain.errors import NotFound
from thrive.domain.model import ModelVersion
from thrive.domain.reference import format_reference
from thrive.operations import Context
from thrive.store import models, projects
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


def contract_here(ctx: Context) -> Contract:
    """Return the folder's contract; on a server the one under which a version was registered last.

    An empty one where there is none.
    """
    if ctx.folder is None:
        with ctx.read() as tx:
            stored = models.newest_contract(tx, ctx.project_id)
        return parse_stored(stored.text).contract if stored else Contract()
    try:
        return load(ctx.folder).contract
    except NotFound:
        return Contract()
