"""The gate file: a verdict and the records it is signed over, for a job that has no home at hand.

It is one JSON object. The records stand in it as they were signed; a file that was laid out anew
(indented, its keys in another order) is read the same, as digests are of the canonical form.
"""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import msgspec

from thrive.domain.errors import NotFound, UsageError
from thrive.domain.gate import Verdict
from thrive.gates import verdict as verdicts
from thrive.packaging.manifest import digest_of

GATE_FILE_FORMAT = 1


class GateFile(msgspec.Struct, frozen=True, kw_only=True):
    """A verdict with its deterministic record and its measurements.

    Attributes:
        format: the number of this layout.
        verdict: what the gate found, with its signature.
        record: canonical JSON of `thrive.gates.verdict.Record`.
        measured: canonical JSON of `thrive.gates.verdict.Measured`.
    """

    verdict: Verdict
    record: msgspec.Raw
    measured: msgspec.Raw
    format: int = GATE_FILE_FORMAT

    def core(self) -> verdicts.Record:
        """Return the deterministic record."""
        return verdicts.read_record(bytes(self.record))


def write_gate_file(path: Path, found: GateFile) -> None:
    """Write a gate file as one line of JSON."""
    path.write_bytes(msgspec.json.encode(found) + b"\n")


def read_gate_file(path: Path) -> GateFile:
    """Return what a gate file holds.

    Raises:
        NotFound: there is no such file.
        UsageError: it is no gate file, or one of a later layout.
    """
    try:
        found = msgspec.json.decode(path.read_bytes(), type=GateFile)
    except FileNotFoundError:
        raise NotFound(f"There is no file {str(path)!r}.", "thrive gates run --json FILE") from None
    except (msgspec.DecodeError, OSError, UnicodeError) as error:
        raise UsageError(
            f"{str(path)!r} is no gate file: {error}", "thrive gates run --json FILE"
        ) from None
    if found.format > GATE_FILE_FORMAT:
        raise UsageError(
            f"{str(path)!r} has layout {found.format}; this Thrive reads {GATE_FILE_FORMAT}.",
            "pip install --upgrade thrive",
        )
    return found


def problems(found: GateFile, trusted: Collection[str]) -> list[str]:
    """Return what does not hold of a verdict and its records; nothing when all does.

    Args:
        found: the verdict with its records.
        trusted: public keys in hex of which one must have signed; empty for any.
    """
    wrong = [unsigned] if (unsigned := verdicts.unsigned(found.verdict, trusted)) else []
    for name, digest in (("record", found.verdict.record), ("measured", found.verdict.measured)):
        if digest_of(_canonical(getattr(found, name))) != digest:
            wrong.append(f"the {name} is not the one that was signed")
    try:
        record, measured = found.core(), verdicts.read_measured(bytes(found.measured))
    except msgspec.DecodeError as error:
        return [*wrong, f"a record cannot be read: {error}"]
    return [*wrong, *verdicts.differences(found.verdict, record, measured)]


def _canonical(raw: msgspec.Raw) -> bytes:
    value: Any = msgspec.json.decode(bytes(raw))
    return msgspec.json.encode(value, order="sorted")
