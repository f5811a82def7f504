"""The digest that names a contract in force: of its terms, not of its spelling."""

import blake3
import msgspec

from thrive.contract.schema import Contract


def canonical(contract: Contract) -> bytes:
    """Return the contract as canonical JSON, defaults included, keys sorted.

    Comments, spacing and the order of keys in the file do not change it.
    """
    return msgspec.json.encode(contract, order="sorted")


def digest_of(contract: Contract) -> str:
    """Return the BLAKE3 digest of `canonical(contract)` as 64 hex digits."""
    return blake3.blake3(canonical(contract)).hexdigest()


def restore(stored: bytes) -> Contract:
    """Return the contract of stored canonical JSON; terms a newer Thrive added are ignored."""
    return msgspec.json.decode(stored, type=Contract)
