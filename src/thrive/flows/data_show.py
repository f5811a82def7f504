"""`data show`: a version, with what the contract has against training on it."""

import msgspec

from thrive.contract.parse import CONTRACT_FILE, load
from thrive.data.operations import VersionView, view
from thrive.data.reading import find_version
from thrive.domain.actor import ANYONE
from thrive.domain.errors import ContractError
from thrive.flows.data_use import use_problems
from thrive.operations import Context, operation


@operation("data show", role=ANYONE)
def show(ctx: Context, name: str) -> VersionView:
    """Show a version: its source, its columns with profile and labels, its checks, its use.

    What the contract of this folder has against training on it stands under `problems`.

    Args:
        name: the dataset, or one version of it as NAME@VERSION.

    Raises:
        NotFound: there is no such version.

    Examples:
        thrive data show flights
        thrive data show flights@2 --json
    """
    shown = view(ctx, name)
    return msgspec.structs.replace(shown, problems=_problems(ctx, name))


def _problems(ctx: Context, name: str) -> list[str]:
    """Return what the contract has against it; nothing where there is no contract to ask."""
    if ctx.folder is None or not (ctx.folder / CONTRACT_FILE).exists():
        return []
    try:
        contract = load(ctx.folder)
    except ContractError as error:
        return [str(error)]
    version = find_version(ctx, name)
    with ctx.read() as tx:
        found = use_problems(tx, ctx, version, contract)
    return [f"{each.what} {each.fix[:1].upper()}{each.fix[1:]}" for each in found]
