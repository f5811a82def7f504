"""The manifest of a package: which files, by which digest, in which format, for which requests."""

import re
from collections.abc import Mapping
from typing import Any

import msgspec
from blake3 import blake3

from thrive.domain.errors import Damaged, SchemaTooNew, UnsafeModel
from thrive.packaging.signature import Signature

FORMAT = 1
MANIFEST_NAME = "manifest.json"
FILE_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,40}(\.[a-z0-9]{1,11}){1,2}")


class FileEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One file of a package: the BLAKE3 of its bytes and how many there are."""

    digest: str
    size: int


class PackageManifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a package is: everything the loader needs to know before it opens a file.

    Attributes:
        format: the number of this record's form.
        model_format: the name of the model format, from the closed list.
        files: file name to digest and size.
        signature: what requests look like and what is answered.
        requirements: `name==version` of each library that loading needs.
        frameworks: name to version of the libraries it was trained with.
        created: UTC microseconds.
        extra: evidence of the export, e.g. the rows and difference of the parity check.
    """

    model_format: str
    files: dict[str, FileEntry]
    signature: Signature
    format: int = FORMAT
    requirements: tuple[str, ...] = ()
    frameworks: dict[str, str] = {}
    created: int = 0
    extra: dict[str, Any] = {}

    def to_bytes(self) -> bytes:
        """Return the canonical bytes: JSON with sorted keys; the digest is taken over them."""
        return msgspec.json.encode(self, order="deterministic")

    @property
    def digest(self) -> str:
        """The package digest: BLAKE3 of the canonical bytes."""
        return digest_of(self.to_bytes())


def digest_of(data: bytes) -> str:
    """Return the BLAKE3 of `data` as 64 hex digits."""
    return blake3(data).hexdigest()


def describe_files(files: Mapping[str, bytes]) -> dict[str, FileEntry]:
    """Return the manifest's entries for the bytes of the files."""
    return {name: FileEntry(digest=digest_of(data), size=len(data)) for name, data in files.items()}


def read_manifest(data: bytes, *, digest: str | None = None) -> PackageManifest:
    """Return the manifest in `data`; with `digest`, only if the bytes have it.

    Raises:
        Damaged: the bytes do not have the digest.
        SchemaTooNew: the manifest has a newer form than this Thrive reads.
        UnsafeModel: it is no manifest, or names a file outside the allowed form.
    """
    if digest is not None and digest_of(data) != digest:
        raise Damaged(
            f"The manifest does not have the digest {digest[:12]}...", "fetch the package again"
        )
    try:
        number = msgspec.json.decode(data, type=_Form).format
        if number > FORMAT:
            raise SchemaTooNew(
                f"The package has format {number}; this Thrive reads up to {FORMAT}.",
                "upgrade Thrive here",
            )
        manifest = msgspec.json.decode(data, type=PackageManifest)
    except (msgspec.DecodeError, RecursionError) as error:
        raise UnsafeModel(
            f"The manifest cannot be read: {error}.", "pack the model again"
        ) from None
    for name in manifest.files:
        check_file_name(name)
    return manifest


class _Form(msgspec.Struct):
    format: int = FORMAT


def check_file_name(name: str) -> None:
    """Refuse a file name that could be a path or hides something.

    Raises:
        UnsafeModel: the name is not of the allowed form.
    """
    if FILE_NAME.fullmatch(name) is None or name == MANIFEST_NAME:
        raise UnsafeModel(
            f"{name[:80]!r} cannot name a file of a package.",
            "names are lower-case with an extension, without folders, e.g. trees.npz",
        )
