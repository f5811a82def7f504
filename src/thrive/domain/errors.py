"""The error tree: every error Thrive raises on purpose.

* ThriveError
  - UsageError            2   the words of the call are wrong
    + ContractError       2   thrive.toml cannot be read
  - NotRight              1   the answer is no: a red gate, a different result, a failed step
  - CannotTell            3   not enough evidence for yes or no
  - InfrastructureError   4   the machine, the disk, the database, the network
    + StoreBusy           4   (transient) another writer holds the home
    + StoreUnavailable    4   (transient) the database or the object store does not answer
    + DiskFull            4
    + Damaged             4   bytes do not match their digest
    + SchemaTooNew        4   the home was written by a newer Thrive
  - NotFound              5   no such thing
  - Refused               6   a rule, a role or a missing duty says no
    + ContractGap         6   a required answer is missing in thrive.toml
    + UnsafeModel         6   a model format that is not allowed here
  - Conflict              7   somebody else was first
  - Interrupted         130   the user stopped it

The number is the exit code. Retries read only `transient`.
"""

from typing import ClassVar


class ThriveError(Exception):
    """Base of all errors that Thrive raises on purpose.

    Args:
        what: what happened, with the value that caused it; one sentence.
        hint: what to type or change next; one sentence or command, may be empty.
    """

    exit_code: ClassVar[int] = 1
    transient: ClassVar[bool] = False

    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(what, hint)
        self.what = what
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.what}\n  next: {self.hint}" if self.hint else self.what

    @property
    def code(self) -> str:
        """The stable name of this error in JSON: the class name."""
        return type(self).__name__


class UsageError(ThriveError):
    """The words of the call are wrong."""

    exit_code = 2


class ContractError(UsageError):
    """thrive.toml cannot be read; the message carries its line."""


class NotRight(ThriveError):
    """The work was done and the answer is no."""

    exit_code = 1


class CannotTell(ThriveError):
    """There is not enough evidence for yes or no."""

    exit_code = 3


class InfrastructureError(ThriveError):
    """The machine, the disk, the database or the network failed."""

    exit_code = 4


class StoreBusy(InfrastructureError):
    """Another writer holds the home; trying again helps."""

    transient = True


class StoreUnavailable(InfrastructureError):
    """The database or the object store does not answer; trying again may help."""

    transient = True


class DiskFull(InfrastructureError):
    """No space left; nothing was half-written."""


class Damaged(InfrastructureError):
    """Stored bytes do not match their digest."""


class SchemaTooNew(InfrastructureError):
    """The home was written by a newer Thrive than this one."""


class NotFound(ThriveError):
    """There is no such thing."""

    exit_code = 5


class Refused(ThriveError):
    """A rule, a role or a missing duty says no."""

    exit_code = 6


class ContractGap(Refused):
    """A required answer is missing in thrive.toml."""


class UnsafeModel(Refused):
    """A model format that is not allowed to be loaded here."""


class Conflict(ThriveError):
    """Somebody else was first; read again, then decide."""

    exit_code = 7


class Interrupted(ThriveError):
    """The user stopped it; what was acknowledged is kept."""

    exit_code = 130
