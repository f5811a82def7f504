"""Where data may be kept: the regions that the contract allows (GDPR art. 44)."""

from thrive.contract.lines import path_of
from thrive.contract.schema import DataTerms
from thrive.domain.errors import Refused
from thrive.store.blobs import BlobStore, place_of, region_of


def refuse_place(blobs: BlobStore, dataset: str, terms: DataTerms) -> None:
    """Refuse to keep data in a bucket whose region its contract does not allow.

    A folder of the machine has no region and is not asked.

    Args:
        blobs: where it would be kept.
        dataset: its name.
        terms: what the contract says of it.

    Raises:
        Refused: the region is another, or nobody told which it is.
    """
    region = region_of(blobs)
    if not terms.regions or region is None or region in terms.regions:
        return
    owed = f" (owed by {terms.owner})" if terms.owner else ""
    cure = f"keep it elsewhere, or add the region to regions in [{path_of('data', dataset)}]"
    raise Refused(
        f"{dataset} may be kept in {', '.join(terms.regions)}, and not in {place_of(blobs)}{owed}.",
        cure if region else f"set AWS_REGION; else {cure}",
    )
