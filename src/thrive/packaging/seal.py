"""Seals of versions: an Ed25519 signature that says who vouches for a package under which name.

What is signed names the model, the version and the package, so that the seal of one version is
none of another, and the moment, so that a key can end: seals made later than that are not trusted.
"""

from collections.abc import Mapping

import msgspec

from thrive.domain.errors import UnsafeModel
from thrive.domain.model import VersionSeal
from thrive.packaging import ed25519
from thrive.settings import read_settings

Trusted = Mapping[str, int | None]
"""Public keys in hex, each with the moment (UTC microseconds) at which it ends, None for never."""


def statement(model: str, version: int, package: str, at: int) -> bytes:
    """Return what is signed: which package is which version of which model, and since when."""
    said = {"model": model, "version": version, "package": package, "at": at}
    return b"thrive version 1\n" + msgspec.json.encode(said, order="sorted")


def sealed(secret: bytes, model: str, version: int, package: str, at: int) -> VersionSeal:
    """Return the seal of a version by the holder of a secret key, made at the moment `at`."""
    signature = ed25519.sign(secret, statement(model, version, package, at))
    return VersionSeal(key=ed25519.public_key(secret).hex(), signature=signature.hex(), at=at)


def check_seal(
    seal: VersionSeal | None, model: str, version: int, package: str, trusted: Trusted
) -> None:
    """Let a version be loaded, or not.

    Args:
        seal: of the version, None if it has none.
        model: the model's name.
        version: its number.
        package: the digest of the package that is to be loaded.
        trusted: keys of which one must have sealed it; with none, a version needs no seal, and
            one that it has must be right all the same.

    Raises:
        UnsafeModel: nobody who is trusted vouches for this package as this version.
    """
    label = f"{model}@{version}"
    if seal is None:
        if trusted:
            raise UnsafeModel(f"Nobody vouches for {label}.", f"thrive models sign {label}")
        return
    try:
        key, signature = bytes.fromhex(seal.key), bytes.fromhex(seal.signature)
    except ValueError:
        raise UnsafeModel(f"The seal of {label} cannot be read.", _ANEW) from None
    if not ed25519.verify(key, statement(model, version, package, seal.at), signature):
        raise UnsafeModel(f"The seal of {label} is not of this package.", _ANEW)
    if trusted and seal.key not in trusted:
        raise UnsafeModel(f"{label} is sealed by {seal.key}, which is no trusted key.", _TRUST)
    ends = trusted.get(seal.key)
    if ends is not None and seal.at >= ends:
        raise UnsafeModel(f"{label} was sealed with a key that had ended.", _ANEW)


def check_here(seal: VersionSeal | None, model: str, version: int, package: str) -> None:
    """Let a version be loaded on this machine, whose settings say whom it trusts; see `check_seal`.

    Raises:
        UnsafeModel: nobody who is trusted here vouches for the package as that version.
    """
    check_seal(seal, model, version, package, read_settings().trusted_model_keys())


_ANEW = "register the version anew"
_TRUST = "name the key in THRIVE_MODEL_KEYS if it is one of yours"
