"""Tables that come packed in a zip file, and how far one may grow."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import zipfile

from thrive.domain.errors import UsageError

MOST_GROWTH = 200
"""Times its packed size that a packed table may have; only one that is all one value has more."""
GROWS_FREELY = 64 << 20
"""Bytes up to which a packed table may grow by any factor."""


def refuse_bomb(path: Path, member: "zipfile.ZipInfo") -> None:
    """Refuse a member that says it grows beyond measure; it cannot grow beyond what it says.

    Raises:
        UsageError: it does.
    """
    grows = member.file_size > MOST_GROWTH * max(member.compress_size, 1)
    if grows and member.file_size > GROWS_FREELY:
        raise UsageError(
            f"{path} would grow from {member.compress_size:,} to {member.file_size:,} bytes.",
            "unpack it yourself if that is right, and name the file in it",
        )
